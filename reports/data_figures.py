"""The pictures of a data set: what was examined, grey values, near-duplicates, sides, and what training sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int64, UInt8
from matplotlib.colors import to_rgb
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch

from partial_labels.batch import IGNORE, UNKNOWN, PartialLabelBatch
from partial_labels.case_store import CaseStore
from partial_labels.classes import ClassTable
from reports.canvas import Canvas
from reports.panels import paint
from reports.sheet import Sheet
from reports.style import (
    ABSENT,
    INK,
    MUTED,
    PRESENT,
    SERIES,
    SMALL,
    TEXT,
    UNKNOWN_CELL,
    new_figure,
    quiet,
    rgb255,
    save,
)
from reports.wording import plain

COLUMNS = 1200
"""Most columns of the examined matrix; more cases than that are averaged."""
SAMPLED = 200
"""Images of which the grey values are counted."""
ACROSS, GAP, MARGIN, CAPTION = 6, 0.08, 0.12, 0.22
"""Pictures in a line; inches between them, around the sheet, and above each for its name."""
WIDTH = 9.6
"""Inches: width of a picture of the page."""


def draw_examined(
    status: UInt8[np.ndarray, "N C"],
    present: Bool[np.ndarray, "N C"],
    parts: Mapping[str, Int64[np.ndarray, " _"]],
    classes: ClassTable,
    output: Path,
) -> Path:
    """Draw the examined matrix: a line a class, a column a case, part by part, what is alike side by side.

    Unlabeled cases are all the same and get a narrow band however many they are.
    """
    colors = np.array([to_rgb(color) for color in (UNKNOWN_CELL, ABSENT, PRESENT)])
    cells = np.where(status == UNKNOWN, 0, np.where(present, 2, 1))[:, 1:]
    often = np.argsort(-(cells == 2).sum(axis=0), kind="stable")
    groups = labeled_parts(status, parts)
    blocks = [alike(cells[ids][:, often]) for ids in groups.values()]
    narrow = max(4, sum(len(block) for block in blocks if block.any()) // 8)
    blocks = [block if block.any() else block[:narrow] for block in blocks]
    picture = np.concatenate([colors[block] for block in blocks]).swapaxes(0, 1)
    figure = new_figure(WIDTH, 1.5 + 0.145 * len(often), ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12))
    axes = figure.subplots()
    quiet(axes, grid=False)
    axes.imshow(
        squeezed(picture, COLUMNS), aspect="auto", interpolation="nearest", extent=(0, picture.shape[1], len(often), 0)
    )
    names = [plain(classes.foreground[i]) for i in often]
    axes.set_yticks(np.arange(len(often)) + 0.5, names, fontsize=SMALL if len(often) < 30 else 6.5)
    edges = np.cumsum([0, *map(len, blocks)])
    for edge in edges[1:-1]:
        axes.axvline(edge, color=INK, linewidth=1)
    labels = [f"{name}\n{len(ids)}" for name, ids in groups.items()]
    axes.set_xticks((edges[1:] + edges[:-1]) / 2, labels, fontsize=SMALL)
    keys = zip((PRESENT, ABSENT, UNKNOWN_CELL), ("examined, present", "examined, absent", "not examined"), strict=True)
    handles = [Patch(color=color, label=label) for color, label in keys]
    axes.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, fontsize=SMALL, labelcolor=INK
    )
    return save(figure, output)


def labeled_parts(
    status: UInt8[np.ndarray, "N C"], parts: Mapping[str, Int64[np.ndarray, " _"]]
) -> dict[str, Int64[np.ndarray, " _"]]:
    """Split every part into its labeled and unlabeled cases; a kind that a part does not have is left out."""
    found: dict[str, Int64[np.ndarray, " _"]] = {}
    for name, ids in parts.items():
        labeled = (status[ids, 1:] > UNKNOWN).any(axis=1)
        both = labeled.any() and not labeled.all()
        for kind, chosen in (("labeled", ids[labeled]), ("unlabeled", ids[~labeled])):
            if len(chosen):
                found[f"{name}, {kind}" if both or kind == "unlabeled" else name] = chosen
    return found


def alike(cells: Int64[np.ndarray, "N C"]) -> Int64[np.ndarray, "N C"]:
    """Sort the rows so that cases with the same structures lie side by side, the first class weighing most."""
    order = np.lexsort(-(cells[:, ::-1] == 2).T.astype(np.int8)) if cells.shape[1] else np.arange(len(cells))
    return cells[order]


def squeezed(picture: Float[np.ndarray, "H W 3"], most: int) -> Float[np.ndarray, "H w 3"]:
    """Average neighbouring columns until at most ``most`` are left, so that no case is passed over."""
    width = picture.shape[1]
    if width <= most:
        return picture
    edges = np.linspace(0, width, most + 1).round().astype(int)
    sums = np.add.reduceat(picture, edges[:-1], axis=1)
    return sums / np.diff(edges)[None, :, None]


def draw_intensities(store: CaseStore, output: Path) -> Path:
    """Draw how often each grey value occurs, in all pixels and inside the structures shown, of cases at even steps."""
    ids = np.unique(np.linspace(0, len(store) - 1, min(SAMPLED, len(store))).round().astype(int)).tolist()
    edges = np.linspace(0, 1, 65)
    every, inside = np.zeros(64), np.zeros(64)
    for index in ids:
        image, label = unit_image(store, index), store.labels[index]
        every += np.histogram(image[label != IGNORE], edges)[0]
        inside += np.histogram(image[(label > 0) & (label < len(store.classes))], edges)[0]
    figure = new_figure(WIDTH, 2.6, ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12))
    axes = figure.subplots()
    quiet(axes)
    for counts, name, color in ((every, "all pixels", SERIES[6]), (inside, "inside the structures shown", SERIES[0])):
        if counts.sum():
            axes.stairs(100 * counts / counts.sum(), edges, label=name, color=color, linewidth=1.6)
    axes.set_yscale("log")
    axes.minorticks_off()
    axes.set_xlim(0, 1)
    axes.set_xlabel("intensity", fontsize=SMALL, color=MUTED)
    axes.set_ylabel("% of pixels", fontsize=SMALL, color=MUTED)
    axes.legend(frameon=False, fontsize=SMALL, labelcolor=INK)
    return save(figure, output)


def unit_image(store: CaseStore, index: int) -> Float[np.ndarray, "H W"]:
    """Return a case's intensities in [0, 1]."""
    image = np.asarray(store.images[index], dtype=np.float32)
    return (image * np.float32(store.header.slope) + np.float32(store.header.intercept)).clip(0, 1)


def draw_cases(store: CaseStore, lines: Mapping[str, Sequence[int]], output: Path) -> Path:
    """Draw lines of cases, each under its name; of a long line only the beginning."""
    width = (WIDTH - 2 * MARGIN + GAP) / ACROSS - GAP
    height = width * store.header.size[0] / store.header.size[1] + CAPTION + 0.12
    sheet = Sheet(WIDTH, 2 * MARGIN + (height + CAPTION) * len(lines))
    for row, (title, ids) in enumerate(lines.items()):
        y = MARGIN + row * (height + CAPTION)
        sheet.text(MARGIN, y, title, size=TEXT, weight="bold")
        for column, index in enumerate(ids[:ACROSS]):
            x = MARGIN + column * (width + GAP)
            sheet.text(x, y + CAPTION, shortened(store.cases[index].name, width), size=SMALL, color=MUTED)
            sheet.picture(x, y + 2 * CAPTION, width, Canvas(unit_image(store, index), side=200).rgb)
    return sheet.save(output)


def draw_sides(store: CaseStore, output: Path) -> Path | None:
    """Draw the cases that show most pairs, left blue and right red, with the axis along which a mirror would turn them.

    Returns:
        The path; None where there is no axis, no pair, or no case that shows both of a pair.
    """
    pairs = store.classes.pairs
    if store.header.left_right_axis == "none" or not pairs:
        return None
    shown = np.array([sum(a in ids and b in ids for a, b in pairs) for ids in map(set, map(np.unique, store.labels))])
    best = [int(i) for i in np.argsort(-shown, kind="stable")[:ACROSS] if shown[i]]
    if not best:
        return None
    width = (WIDTH - 2 * MARGIN + GAP) / ACROSS - GAP
    sheet = Sheet(WIDTH, 2 * MARGIN + CAPTION + width * store.header.size[0] / store.header.size[1])
    left, right = np.array(pairs).T
    for column, index in enumerate(best):
        canvas = Canvas(unit_image(store, index), side=300)
        canvas.fill(np.isin(store.labels[index], left), rgb255(SERIES[0]), 0.75)
        canvas.fill(np.isin(store.labels[index], right), rgb255(SERIES[1]), 0.75)
        x = MARGIN + column * (width + GAP)
        sheet.text(x, MARGIN, shortened(store.cases[index].name, width), size=SMALL, color=MUTED)
        sheet.picture(x, MARGIN + CAPTION, width, canvas.rgb)
    return sheet.save(output)


def draw_samples(samples: Sequence[PartialLabelBatch], store: CaseStore, output: Path) -> Path:
    """Draw training samples as the network sees them, and under each what is taught; grey is what a warp brought in."""
    rows = [(batch, i, bool(batch.known[i, 1:].any())) for batch in samples for i in range(len(batch.image))]
    labeled, unlabeled = ([(batch, i) for batch, i, known in rows if known is kind] for kind in (True, False))
    chosen = [*labeled[: 2 * ACROSS], *unlabeled[:ACROSS]]
    lines = [chosen[i : i + ACROSS] for i in range(0, len(chosen), ACROSS)]
    width = (WIDTH - 2 * MARGIN + GAP) / ACROSS - GAP
    high = width * store.header.size[0] / store.header.size[1]
    sheet = Sheet(WIDTH, 2 * MARGIN + (2 * high + GAP + 2.5 * CAPTION) * len(lines))
    for line, pictures in enumerate(lines):
        y = MARGIN + line * (2 * high + GAP + 2.5 * CAPTION)
        for column, (batch, i) in enumerate(pictures):
            x = MARGIN + column * (width + GAP)
            image, label = batch.image[i, 0].float().cpu().numpy(), batch.label[i].cpu().numpy()
            canvas = Canvas(image, side=300)
            paint(canvas, label, store.classes)
            canvas.fill(label == IGNORE, (150, 150, 158), 0.6)
            sheet.text(x, y, shortened(store.cases[int(batch.case_id[i])].name, width), size=SMALL, color=MUTED)
            sheet.picture(x, y + CAPTION, width, Canvas(image, side=300).rgb)
            sheet.picture(x, y + CAPTION + GAP + high, width, canvas.rgb)
            known = int(batch.known[i, 1:].sum())
            sheet.text(
                x,
                y + CAPTION + GAP + 2 * high + 0.05,
                f"{known} classes known" if known else "unlabeled",
                size=SMALL,
                color=MUTED,
            )
    return sheet.save(output)


def shortened(name: str, inches: float) -> str:
    """Keep the end of a name, which tells cases apart, as far as it fits."""
    most = int(inches * 14)
    return name if len(name) <= most else "..." + name[-(most - 3) :]
