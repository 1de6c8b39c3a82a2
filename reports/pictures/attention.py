"""Where the gates of a network look, over the slices that it looks at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from partial_labels.classes import ClassTable
from reports.pictures.canvas import Canvas, ids_in
from reports.pictures.panels import draw_legend
from reports.pictures.sheet import Sheet
from reports.pictures.style import MUTED, SMALL

CELL, GAP, MARGIN, HEADER, CAPTION, LEGEND = 1.75, 0.07, 0.2, 0.3, 0.46, 0.5
"""Inches: width of a picture, between pictures, around the page, above the first row, a row's texts, the foot."""
COLORS, OPACITY = "magma", 0.7


@dataclass(frozen=True)
class Attention:
    """One case to draw.

    Args:
        name: The case's name.
        image: Intensities in [0, 1], of the first channel where there are several.
        prediction: Class ids.
        maps: What each gate lets through, in [0, 1], at its own resolution; the finest first.
    """

    name: str
    image: Float[np.ndarray, "H W"]
    prediction: UInt8[np.ndarray, "H W"]
    maps: Mapping[str, Any]


def draw_attention(cases: Sequence[Attention], classes: ClassTable, output: Path) -> Path:
    """Draw one row a case: the prediction, and the map of each gate over the slice, from dark (least) to light (most).

    Every map has its own scale, whose ends stand under it: what a gate lets through often lies in a narrow range, and
    the convolutions behind it can undo any factor.

    Args:
        cases: At least one; all with maps of the same names.
        classes: The class table.
        output: The PNG to write.
    """
    titles = ["prediction", *(f"gate at {name}" for name in cases[0].maps)]
    heights = [CELL * case.image.shape[0] / case.image.shape[1] for case in cases]
    width = 2 * MARGIN + len(titles) * (CELL + GAP) - GAP
    sheet = Sheet(width, HEADER + sum(heights) + CAPTION * len(cases) + LEGEND + MARGIN)
    for i, title in enumerate(titles):
        sheet.text(MARGIN + i * (CELL + GAP), MARGIN / 2, title, color=MUTED)
    y = HEADER
    for case, height in zip(cases, heights, strict=True):
        sheet.text(MARGIN, y, case.name, weight="bold")
        pictures = [predicted(case, classes), *(overlay(case.image, one) for one in case.maps.values())]
        ranges = ["", *(f"{one.min():.2f} to {one.max():.2f}" for one in case.maps.values())]
        for i, (picture, text) in enumerate(zip(pictures, ranges, strict=True)):
            x = MARGIN + i * (CELL + GAP)
            sheet.picture(x, y + CAPTION / 2, CELL, picture)
            sheet.text(x, y + CAPTION / 2 + height + 0.04, text, size=SMALL, color=MUTED)
        y += CAPTION + height
    present = ids_in(*(case.prediction for case in cases), num_classes=len(classes))
    draw_legend(sheet, present, classes, [], columns=max(2, int(width / 2.1)))
    return sheet.save(output)


def predicted(case: Attention, classes: ClassTable) -> Float[np.ndarray, "h w 3"]:
    """Outline what the network found."""
    canvas = Canvas(case.image)
    for i in ids_in(case.prediction, num_classes=len(classes)):
        canvas.outline(case.prediction == i, classes.colors[i], width=2)
    return canvas.rgb


def overlay(image: Float[np.ndarray, "H W"], attention: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "y x 3"]:
    """Lay a map over the slice; its pixels stay as coarse as they are."""
    grey = Canvas(image).rgb
    least, most = float(attention.min()), float(attention.max())
    stretched = (attention - least) / max(most - least, 1e-6)
    size = (grey.shape[1], grey.shape[0])
    large = np.asarray(Image.fromarray(stretched.astype(np.float32)).resize(size, Image.Resampling.NEAREST))
    heat = matplotlib.colormaps[COLORS](large)[..., :3].astype(np.float32)
    blended: Float[np.ndarray, "y x 3"] = (1 - OPACITY) * grey + OPACITY * heat
    return blended
