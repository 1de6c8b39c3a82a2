"""What the page of a data set consists of, as HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from partial_labels.batch import UNKNOWN, PartialLabelBatch
from partial_labels.case_store import CaseStore
from reports import document
from reports.data import figures
from reports.data.examined_matrix import draw_examined

MOST = 4
"""Clusters, and pairs that cross the split, that are shown as pictures."""


def class_pixels(store: CaseStore) -> Int64[np.ndarray, "N C"]:
    """Count the pixels of every class in each case as shown, reading one label at a time."""
    pixels = np.zeros((len(store), len(store.classes)), dtype=np.int64)
    for row, label in zip(pixels, store.labels, strict=True):
        row[:] = np.bincount(label.reshape(-1), minlength=256)[: len(row)]
    return pixels


def class_table(
    store: CaseStore,
    parts: Mapping[str, Int64[np.ndarray, " _"]],
    status: UInt8[np.ndarray, "N C"],
    pixels: Int64[np.ndarray, "N C"],
) -> str:
    """Return how many cases of each part show a class, certainly do not, or were never searched for it."""
    shown = (pixels > 0).sum(axis=0)[1:]
    area = pixels.sum(axis=0)[1:] / np.maximum(shown, 1)
    head = ["class", "mean pixels"]
    columns = [list(store.classes.foreground), [f"{a:.0f}" if n else "-" for a, n in zip(area, shown, strict=True)]]
    for name, ids in parts.items():
        known, there = status[ids, 1:] > UNKNOWN, pixels[ids, 1:] > 0
        for kind, cells in (("present", there), ("absent", known & ~there), ("unknown", ~known)):
            head.append(f"{name} {kind}")
            columns.append([str(count) for count in cells.sum(axis=0)])
    return document.table(head, zip(*columns, strict=True))


def part_sizes(
    store: CaseStore, parts: Mapping[str, Int64[np.ndarray, " _"]], status: UInt8[np.ndarray, "N C"]
) -> dict[str, dict[str, int]]:
    """Count what each part of the split holds."""
    group, volume = store.cases.column("group"), store.cases.column("volume")
    sizes = {}
    for name, ids in parts.items():
        labeled = int((status[ids, 1:] > UNKNOWN).any(axis=1).sum())
        sizes[name] = {
            "cases": len(ids),
            "labeled": labeled,
            "unlabeled": len(ids) - labeled,
            "groups": len(np.unique(group[ids])),
            "volumes": len(np.unique(volume[ids])),
        }
    return sizes


def examined(
    store: CaseStore,
    parts: Mapping[str, Int64[np.ndarray, " _"]],
    status: UInt8[np.ndarray, "N C"],
    present: Bool[np.ndarray, "N C"],
    scratch: Path,
) -> str:
    """Count the cells that were examined, and draw them."""
    known = status[:, 1:] > UNKNOWN
    text = (
        f"A cell is one class in one case. Of {known.size} cells {int(known.sum())} were examined: "
        f"{int(present[:, 1:].sum())} show the class, {int((known & ~present[:, 1:]).sum())} certainly do not. "
        f"Of the other {int((~known).sum())} nothing is known, and nothing is claimed."
    )
    png = draw_examined(status, present, parts, store.classes, scratch / "examined.png")
    return document.paragraph(text) + document.picture(png, "Examined matrix: classes by cases")


def duplicates(
    store: CaseStore, cluster: Int64[np.ndarray, " N"], crossing: Sequence[tuple[int, int]], scratch: Path
) -> str:
    """Show the largest clusters of near-duplicates, and the pairs that the split cuts."""
    sizes = np.bincount(cluster)
    largest = [int(number) for number in np.argsort(-sizes, kind="stable")[:MOST] if sizes[number] > 1]
    lines = {
        f"cluster {number}: {sizes[number]} cases": np.flatnonzero(cluster == number).tolist() for number in largest
    }
    many = int((sizes > 1).sum())
    body = document.paragraph(
        f"{len(sizes)} clusters of slices that are nearly the same picture; {many} hold more than one case"
        + (f", the largest {sizes.max()}." if many else ".")
        + " A split that is drawn here never cuts one."
    )
    if crossing:
        pairs = {f"crossing pair {i + 1}": list(pair) for i, pair in enumerate(crossing[:MOST])}
        lines = pairs | lines
        body += document.paragraph(
            f"The split that the source gives cuts {len(crossing)} near-duplicate pairs: figures on the held-out cases "
            "are flattered by them."
        )
    if not lines:
        return body
    return body + document.picture(figures.draw_cases(store, lines, scratch / "clusters.png"), "Near-duplicates")


def grid(store: CaseStore, present: Bool[np.ndarray, "N C"], scratch: Path) -> str:
    """Show size, spacing and grey values, and where left and right lie."""
    header = store.header
    spacing = f"{header.spacing_mm[0]:.3g} x {header.spacing_mm[1]:.3g} mm" if header.spacing_mm else "not known"
    axis, names = header.left_right_axis, store.classes.names
    facts = {
        "size": f"{header.size[0]} x {header.size[1]} pixels ({header.fit})",
        "spacing": spacing,
        "stored as": f"{header.image_dtype}, intensity = stored x {header.slope:.6g} + {header.intercept:.6g}",
        "left and right": "no axis given: mirrors stay off" if axis == "none" else f"lie along the {axis}",
        "exchanged by a mirror": ", ".join(f"{names[a]} / {names[b]}" for a, b in store.classes.pairs) or "no class",
    }
    if header.channels > 1:
        facts["channels"] = f"{header.channels}, numbered from 0; pictures show channel 0"
    body = document.facts(facts)
    sides = figures.draw_sides(store, present, scratch / "sides.png")
    if sides:
        body += document.paragraph(f"Left structures are blue, right ones orange; they must part along the {axis}.")
        body += document.picture(sides, "Left and right structures")
    return body + document.picture(figures.draw_intensities(store, scratch / "grey.png"), "Grey values")


def samples(samples: Sequence[PartialLabelBatch], store: CaseStore, scratch: Path) -> str:
    """Show what the network is trained on."""
    if not samples:
        return document.paragraph("No sample was drawn.")
    text = (
        "Augmented samples, and under each what is taught of it. Grey came in over a border: nothing is claimed there. "
        "What has no colour is background only for the classes that were examined."
    )
    picture = figures.draw_samples(samples, store, scratch / "samples.png")
    return document.paragraph(text) + document.picture(picture, "Augmented training samples")
