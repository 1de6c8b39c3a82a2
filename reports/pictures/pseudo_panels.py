"""The pseudo-labels of a round side by side: where the teacher is surest, and where it is least sure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.patches import Patch

from partial_labels.batch import IGNORE, TEACHER, UNSURE
from partial_labels.classes import ClassTable
from reports.pictures.canvas import Canvas, ids_in
from reports.pictures.panels import CAPTION, CELL, GAP, HEADER, LINE, MARGIN, draw_legend, paint, unknown_names
from reports.pictures.sheet import Sheet
from reports.pictures.style import GRID, MUTED, PAPER, SMALL, TEXT

GROUP = 0.32
"""Inches above the first row of a group."""
REMAINING = ("every class known", "rejected: every class stays unknown", "still unknown: ")
"""How :func:`reports.pictures.panels.unknown_names` says it of a round."""


@dataclass(frozen=True)
class PseudoPanel:
    """One case of a round.

    Args:
        name: The case's name.
        score: How sure the teacher is of it.
        image: Intensities in [0, 1], of the first channel where there are several.
        shown: Class ids as shown before completing.
        label: Class ids as completed, without the rejected cells.
        status: What is known of each cell after that.
        truth: Every class, where the experimenter knows it.
    """

    name: str
    score: float
    image: Float[np.ndarray, "H W"]
    shown: UInt8[np.ndarray, "H W"]
    label: UInt8[np.ndarray, "H W"]
    status: UInt8[np.ndarray, " C"]
    truth: UInt8[np.ndarray, "H W"] | None = None


def draw_pseudo_panels(groups: Mapping[str, Sequence[PseudoPanel]], classes: ClassTable, output: Path) -> Path:
    """Draw a titled group of cases after the other, one row a case, and return the picture's path.

    Human classes are filled and a teacher's are filled and outlined; ``UNSURE`` pixels are hatched; the classes that
    remain unknown are named in the caption.
    """
    panels = [panel for group in groups.values() for panel in group]
    titles = ["image", "shown", "pseudo-label"]
    titles += ["full truth"] if any(panel.truth is not None for panel in panels) else []
    present = ids_in(*(m for p in panels for m in (p.shown, p.label, p.truth)), num_classes=len(classes))
    width = 2 * MARGIN + len(titles) * (CELL + GAP) - GAP
    columns = max(2, int(width / 2.1))
    body = sum(CAPTION + CELL * panel.image.shape[0] / panel.image.shape[1] for panel in panels)
    legend = LINE * -(-(len(present) + 2) // columns)
    sheet = Sheet(width, HEADER + GROUP * len(groups) + body + legend + 2 * MARGIN)
    for i, title in enumerate(titles):
        sheet.text(MARGIN + i * (CELL + GAP), MARGIN / 2, title, color=MUTED)
    y = HEADER
    for title, group in groups.items():
        sheet.text(MARGIN, y + 0.15, title, weight="bold", color=MUTED)
        y += GROUP
        for panel in group:
            y = _draw_row(sheet, y, panel, classes, len(titles))
    keys = [
        Patch(facecolor="#8a8f94", edgecolor=GRID, hatch="/////", label="unsure: not learnt from"),
        Patch(facecolor="#8a8f94", edgecolor="#ffffff", linewidth=1.6, label="white edge: the teacher's"),
    ]
    draw_legend(sheet, present, classes, keys, columns)
    return sheet.save(output)


def _draw_row(sheet: Sheet, y: float, panel: PseudoPanel, classes: ClassTable, columns: int) -> float:
    """Draw a case below ``y`` and return where it ends."""
    sheet.text(MARGIN, y + 0.13, panel.name, weight="bold")
    sheet.text(sheet.width - MARGIN, y + 0.13, f"confidence {panel.score:.3f}", ha="right")
    said = unknown_names(panel.status, classes, int((sheet.width - 2 * MARGIN) * 16), REMAINING)
    sheet.text(MARGIN, y + 0.33, said, size=SMALL, color=MUTED)
    pictures = [Canvas(panel.image), painted(panel.image, panel.shown, classes), completed_picture(panel, classes)]
    if columns > len(pictures):
        pictures.append(painted(panel.image, panel.truth, classes))
    for i, canvas in enumerate(pictures):
        axes = sheet.picture(MARGIN + i * (CELL + GAP), y + CAPTION, CELL, canvas.rgb)
        if i == 3 and panel.truth is None:
            axes.text(0.5, 0.5, "not known", transform=axes.transAxes, ha="center", color=PAPER, fontsize=TEXT)
    height, width = panel.image.shape
    return y + CAPTION + CELL * int(height) / int(width)


def painted(image: Float[np.ndarray, "H W"], label: UInt8[np.ndarray, "H W"] | None, classes: ClassTable) -> Canvas:
    """Paint a label map over an image; the image alone where there is none."""
    canvas = Canvas(image)
    if label is not None:
        paint(canvas, label, classes)
    return canvas


def completed_picture(panel: PseudoPanel, classes: ClassTable) -> Canvas:
    """Paint the completed label, a teacher's classes with an outline, ``UNSURE`` pixels hatched."""
    canvas = painted(panel.image, panel.label, classes)
    for i in ids_in(panel.label, num_classes=len(classes)):
        if panel.status[i] == TEACHER:
            canvas.outline(panel.label == i, (255, 255, 255))
    canvas.fill(panel.label == IGNORE, (110, 110, 120), opacity=0.7)
    canvas.fill(panel.label == UNSURE, (0, 0, 0), opacity=0.55)  # or the lines vanish on a bright organ
    canvas.hatch(panel.label == UNSURE)
    return canvas
