"""Cases side by side: image, what the annotator showed, full truth, prediction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.patches import Patch

from partial_labels.batch import IGNORE, UNKNOWN
from partial_labels.classes import ClassTable
from reports.pictures.canvas import Canvas, ids_in
from reports.pictures.sheet import Sheet
from reports.pictures.style import GRID, INK, MUTED, PAPER, SMALL, TEXT
from reports.wording import listed, plain

CELL, GAP, MARGIN, HEADER, CAPTION, LINE = 2.5, 0.07, 0.2, 0.25, 0.56, 0.18
"""Inches: width of a picture, between pictures, around the page, above the first row, above a row, a legend's line."""


@dataclass(frozen=True)
class Panel:
    """One case to draw.

    Args:
        name: The case's name.
        image: Intensities in [0, 1], of the first channel where there are several.
        label: Class ids as shown to training.
        prediction: Class ids as predicted.
        status: What is known of each cell, channel 0 the background.
        truth: Every class, where the experimenter knows it.
        dice: Mean over the case's countable classes; NaN where none can be counted.
    """

    name: str
    image: Float[np.ndarray, "H W"]
    label: UInt8[np.ndarray, "H W"]
    prediction: UInt8[np.ndarray, "H W"]
    status: UInt8[np.ndarray, " C"]
    truth: UInt8[np.ndarray, "H W"] | None = None
    dice: float = math.nan


def draw_panels(panels: Sequence[Panel], classes: ClassTable, output: Path) -> Path:
    """Draw one row a case, so that what nobody examined never looks like background or like an error.

    In the annotation, structures that nobody examined are hatched grey where the truth is known, and named in the
    row's caption. In the prediction, classes that were examined are filled and the others only outlined. The truth has
    a column only where it shows more than the annotation.
    """
    with_truth = any(panel.truth is not None and not np.array_equal(panel.truth, panel.label) for panel in panels)
    titles = (
        ("image", "annotation", "full truth", "prediction") if with_truth else ("image", "annotation", "prediction")
    )
    present = ids_in(*(m for p in panels for m in (p.label, p.prediction, p.truth)), num_classes=len(classes))
    width = 2 * MARGIN + len(titles) * (CELL + GAP) - GAP
    heights = [CELL * panel.image.shape[0] / panel.image.shape[1] for panel in panels]
    body = sum(heights) + CAPTION * len(panels)
    columns = max(2, int(width / 2.1))
    sheet = Sheet(width, HEADER + body + LINE * math.ceil((len(present) + 2) / columns) + 2 * MARGIN)
    for i, title in enumerate(titles):
        sheet.text(MARGIN + i * (CELL + GAP), MARGIN / 2, title, color=MUTED)
    y = HEADER
    for panel, height in zip(panels, heights, strict=True):
        _draw_row(sheet, y, panel, classes, titles)
        y += CAPTION + height
    keys = [
        Patch(facecolor="#8a8f94", edgecolor=GRID, hatch="/////", label="there, but not examined"),
        Patch(facecolor=PAPER, edgecolor=INK, linewidth=1.6, label="predicted, not examined"),
    ]
    draw_legend(sheet, present, classes, keys, columns)
    return sheet.save(output)


def shown_picture(panel: Panel, classes: ClassTable) -> Float[np.ndarray, "h w 3"]:
    """Paint what the annotator drew, with the structures that nobody examined hatched as far as they are known."""
    canvas = Canvas(panel.image)
    paint(canvas, panel.label, classes)
    canvas.fill(panel.label == IGNORE, (110, 110, 120), opacity=0.7)
    if panel.truth is not None:
        hatch_unexamined(canvas, panel.truth, panel.status)
    return canvas.rgb


def predicted_picture(panel: Panel, classes: ClassTable) -> Float[np.ndarray, "h w 3"]:
    """Paint the prediction; a class that nobody examined here is outlined, for it is neither right nor wrong."""
    canvas = Canvas(panel.image)
    for i in ids_in(panel.prediction, num_classes=len(classes)):
        mask = panel.prediction == i
        if panel.status[i] == UNKNOWN:
            canvas.outline(mask, classes.colors[i], width=2)
        else:
            canvas.fill(mask, classes.colors[i])
    return canvas.rgb


def truth_picture(panel: Panel, classes: ClassTable) -> Float[np.ndarray, "h w 3"]:
    """Paint every structure, where that is known."""
    canvas = Canvas(panel.image)
    if panel.truth is not None:
        paint(canvas, panel.truth, classes)
    return canvas.rgb


def paint(canvas: Canvas, label: UInt8[np.ndarray, "H W"], classes: ClassTable) -> None:
    """Fill every structure of a label map in its colour."""
    for i in ids_in(label, num_classes=len(classes)):
        canvas.fill(label == i, classes.colors[i])


def hatch_unexamined(canvas: Canvas, truth: UInt8[np.ndarray, "H W"], status: UInt8[np.ndarray, " C"]) -> None:
    """Hatch the structures that are there although nobody looked for them."""
    for i in ids_in(truth, num_classes=len(status)):
        if status[i] == UNKNOWN:
            canvas.hatch(truth == i)
            canvas.outline(truth == i, (222, 222, 222))


def unknown_names(
    status: UInt8[np.ndarray, " C"],
    classes: ClassTable,
    length: int = 100,
    words: tuple[str, str, str] = ("every class examined", "no class examined", "not examined: "),
) -> str:
    """Name the classes that are unknown, as many as fit into ``length`` characters.

    Args:
        status: What is known of each cell.
        classes: The class table.
        length: Characters.
        words: What to say of none, and of all, and what comes before the names.
    """
    names = [classes.names[i] for i in range(1, len(classes)) if status[i] == UNKNOWN]
    of_none, of_all, of_some = words
    if not names:
        return of_none
    return of_all if len(names) == len(classes) - 1 else of_some + listed(names, length - len(of_some))


def _draw_row(sheet: Sheet, y: float, panel: Panel, classes: ClassTable, titles: Sequence[str]) -> None:
    dice = "no class to count" if math.isnan(panel.dice) else f"Dice {panel.dice:.3f}"
    characters = int((sheet.width - 2 * MARGIN) * 16)
    sheet.text(MARGIN, y + 0.13, panel.name, weight="bold")
    sheet.text(sheet.width - MARGIN, y + 0.13, dice, ha="right")
    sheet.text(MARGIN, y + 0.33, unknown_names(panel.status, classes, characters), size=SMALL, color=MUTED)
    pictures = {
        "image": Canvas(panel.image).rgb,
        "annotation": shown_picture(panel, classes),
        "full truth": truth_picture(panel, classes),
        "prediction": predicted_picture(panel, classes),
    }
    for i, title in enumerate(titles):
        axes = sheet.picture(MARGIN + i * (CELL + GAP), y + CAPTION, CELL, pictures[title])
        if title == "full truth" and panel.truth is None:
            axes.text(0.5, 0.5, "not known", transform=axes.transAxes, ha="center", color=PAPER, fontsize=TEXT)


def draw_legend(sheet: Sheet, present: Sequence[int], classes: ClassTable, keys: Sequence[Patch], columns: int) -> None:
    """Draw the colours of the classes that are there, and what other marks mean, at the foot of a sheet."""
    swatches = [Patch(color=[c / 255 for c in classes.colors[i]], label=plain(classes.names[i])) for i in present]
    sheet.figure.legend(
        handles=[*swatches, *keys],
        loc="lower left",
        bbox_to_anchor=(MARGIN / 2 / sheet.width, MARGIN / 2 / sheet.height),
        ncols=columns,
        fontsize=SMALL,
        frameon=False,
        labelcolor=INK,
        handlelength=1.4,
        columnspacing=1.2,
        labelspacing=0.5,
    )
