"""The pictures of a data set: grey values, near-duplicates, sides, and what training sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from partial_labels.batch import IGNORE, PartialLabelBatch
from partial_labels.case_store import CaseStore
from reports.pictures.canvas import Canvas
from reports.pictures.panels import paint
from reports.pictures.sheet import Sheet
from reports.pictures.style import INK, MUTED, PAGE_WIDTH, SERIES, SMALL, TEXT, new_figure, quiet, rgb255, save

SAMPLED = 200
"""Images of which the grey values are counted."""
BINS = 64
"""Steps of grey in which they are counted."""
Counts = NDArray[np.float64]
ACROSS, GAP, MARGIN, CAPTION = 6, 0.08, 0.12, 0.22
"""Pictures in a line; inches between them, around the sheet, and above each for its name."""


def draw_intensities(store: CaseStore, output: Path) -> Path:
    """Draw how often each grey value occurs, in all pixels and inside the structures shown, of cases at even steps.

    Every channel has axes of its own, side by side.
    """
    ids = np.unique(np.linspace(0, len(store) - 1, min(SAMPLED, len(store))).round().astype(int)).tolist()
    figure = new_figure(PAGE_WIDTH, 2.6, ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12))
    for channel, axes in enumerate(figure.subplots(1, store.header.channels, sharey=True, squeeze=False)[0]):
        quiet(axes)
        _draw_channel(axes, *_grey_values(store, ids, channel))
        axes.set_xlabel(f"intensity in channel {channel}" if store.header.channels > 1 else "intensity")
        if channel == 0:
            axes.set_ylabel("% of pixels", fontsize=SMALL, color=MUTED)
            axes.legend(frameon=False, fontsize=SMALL, labelcolor=INK)
        axes.xaxis.label.set(fontsize=SMALL, color=MUTED)
    return save(figure, output)


def _grey_values(store: CaseStore, ids: Sequence[int], channel: int) -> tuple[Counts, Counts]:
    """Count the grey values of a channel in all pixels, and inside the structures shown."""
    every, inside = np.zeros(BINS), np.zeros(BINS)
    for index in ids:
        image, label = unit_image(store, index, channel), store.labels[index]
        every += np.histogram(image[label != IGNORE], BINS, (0, 1))[0]
        inside += np.histogram(image[(label > 0) & (label < len(store.classes))], BINS, (0, 1))[0]
    return every, inside


def _draw_channel(axes: Any, every: Counts, inside: Counts) -> None:
    """Draw both counts as shares."""
    for counts, name, color in ((every, "all pixels", SERIES[6]), (inside, "inside the structures shown", SERIES[0])):
        if counts.sum():
            edges = np.linspace(0, 1, BINS + 1)
            axes.stairs(100 * counts / counts.sum(), edges, label=name, color=color, linewidth=1.6)
    axes.set_yscale("log")
    axes.minorticks_off()
    axes.set_xlim(0, 1)


def unit_image(store: CaseStore, index: int, channel: int = 0) -> Float[np.ndarray, "H W"]:
    """Return the intensities of a case's channel in [0, 1]."""
    return store.header.intensities(store.image(index)[channel])


def draw_cases(store: CaseStore, lines: Mapping[str, Sequence[int]], output: Path) -> Path:
    """Draw lines of cases, each under its name; of a long line only the beginning."""
    width = (PAGE_WIDTH - 2 * MARGIN + GAP) / ACROSS - GAP
    height = width * store.header.size[0] / store.header.size[1] + CAPTION + 0.12
    sheet = Sheet(PAGE_WIDTH, 2 * MARGIN + (height + CAPTION) * len(lines))
    for row, (title, ids) in enumerate(lines.items()):
        y = MARGIN + row * (height + CAPTION)
        sheet.text(MARGIN, y, title, size=TEXT, weight="bold")
        for column, index in enumerate(ids[:ACROSS]):
            x = MARGIN + column * (width + GAP)
            sheet.text(x, y + CAPTION, shortened(store.cases[index].name, width), size=SMALL, color=MUTED)
            sheet.picture(x, y + 2 * CAPTION, width, Canvas(unit_image(store, index), side=200).rgb)
    return sheet.save(output)


def draw_sides(store: CaseStore, present: Bool[np.ndarray, "N C"], output: Path) -> Path | None:
    """Draw the cases that show most pairs, left blue and right orange, so that the axis given can be checked.

    Args:
        store: The cases.
        present: Which classes each case shows.
        output: The PNG to write.

    Returns:
        The path; None where there is no axis, no pair, or no case that shows both of a pair.
    """
    pairs = store.classes.pairs
    if store.header.left_right_axis == "none" or not pairs:
        return None
    left, right = np.array(pairs).T
    shown = (present[:, left] & present[:, right]).sum(axis=1)
    best = [int(i) for i in np.argsort(-shown, kind="stable")[:ACROSS] if shown[i]]
    if not best:
        return None
    width = (PAGE_WIDTH - 2 * MARGIN + GAP) / ACROSS - GAP
    sheet = Sheet(PAGE_WIDTH, 2 * MARGIN + CAPTION + width * store.header.size[0] / store.header.size[1])
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
    width = (PAGE_WIDTH - 2 * MARGIN + GAP) / ACROSS - GAP
    high = width * store.header.size[0] / store.header.size[1]
    sheet = Sheet(PAGE_WIDTH, 2 * MARGIN + (2 * high + GAP + 2.5 * CAPTION) * len(lines))
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
