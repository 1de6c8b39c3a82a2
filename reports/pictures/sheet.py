"""A page on which things are placed in inches from the upper left corner."""

from __future__ import annotations

from pathlib import Path
from typing import Any, final

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from reports.pictures.style import DPI, INK, TEXT, bare, new_figure, save


@final
class Sheet:
    """A figure whose pictures and captions keep their size however many there are.

    Args:
        width: Inches.
        height: Inches.
        dpi: Pixels an inch.
    """

    def __init__(self, width: float, height: float, dpi: int = DPI) -> None:
        self.width, self.height = width, height
        self.figure = new_figure(width, height, dpi=dpi)

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """Return axes whose upper left corner lies at (x, y)."""
        bottom = self.height - y - height
        return self.figure.add_axes((x / self.width, bottom / self.height, width / self.width, height / self.height))

    def picture(self, x: float, y: float, width: float, rgb: Float[np.ndarray, "h w 3"]) -> Axes:
        """Show a picture with its corner at (x, y), as high as its shape asks."""
        axes = self.axes(x, y, width, width * rgb.shape[0] / rgb.shape[1])
        axes.imshow(rgb.clip(0, 1), interpolation="antialiased", aspect="auto")
        bare(axes)
        return axes

    def text(self, x: float, y: float, text: str, size: float = TEXT, color: str = INK, **options: Any) -> None:
        """Write a text whose upper left corner lies at (x, y)."""
        style: dict[str, Any] = {"ha": "left", "va": "top", "fontsize": size, "color": color}
        self.figure.text(x / self.width, 1 - y / self.height, text, **style | options)

    def save(self, path: Path) -> Path:
        """Write the sheet as a PNG in one rename and return its path."""
        return save(self.figure, path)
