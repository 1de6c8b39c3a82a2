"""A slice under coloured, outlined and hatched structures."""

from __future__ import annotations

from typing import final

import numpy as np
from jaxtyping import Bool, Float, Shaped
from PIL import Image

from partial_labels.classes import Color

GREY: Color = (222, 222, 222)


@final
class Canvas:
    """An RGB picture, several times the size of the slice so that lines are thin even on a coarse grid.

    Grey values are interpolated; structures keep their pixels, so that nothing looks smoother than it is.

    Args:
        image: Intensities in [0, 1].
        side: Least length of the longer side of the picture, in pixels.
    """

    def __init__(self, image: Float[np.ndarray, "H W"], side: int = 480) -> None:
        height, width = image.shape
        self.factor = max(1, -(-side // max(height, width)))
        self.unit = max(1, max(height, width) * self.factor // 320)
        finite = np.nan_to_num(np.asarray(image, dtype=np.float32)).clip(0, 1)
        size = (width * self.factor, height * self.factor)
        grey = np.asarray(Image.fromarray(finite).resize(size, Image.Resampling.BICUBIC)).clip(0, 1)
        self.rgb: Float[np.ndarray, "h w 3"] = np.repeat(grey[..., None], 3, axis=2)

    def fill(self, mask: Bool[np.ndarray, "H W"], color: Color, opacity: float = 0.6) -> None:
        """Lay a colour over the structure."""
        self._blend(self._enlarge(mask), color, opacity)

    def outline(self, mask: Bool[np.ndarray, "H W"], color: Color, width: int = 1) -> None:
        """Draw the structure's inner edge, so that the edges of neighbours lie side by side."""
        large = self._enlarge(mask)
        self._blend(large & ~eroded(large, width * self.unit), color, 1.0)

    def hatch(self, mask: Bool[np.ndarray, "H W"], color: Color = GREY, opacity: float = 0.75) -> None:
        """Draw diagonal lines over the structure."""
        large = self._enlarge(mask)
        rows, columns = np.indices(large.shape)
        stripes = (rows + columns) % (7 * self.unit) < 1.5 * self.unit
        self._blend(large & stripes, color, opacity)

    def _enlarge(self, mask: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "h w"]:
        return np.asarray(mask).repeat(self.factor, axis=0).repeat(self.factor, axis=1)

    def _blend(self, mask: Bool[np.ndarray, "h w"], color: Color, opacity: float) -> None:
        self.rgb[mask] = (1 - opacity) * self.rgb[mask] + opacity * np.asarray(color, dtype=np.float32) / 255


def eroded(mask: Bool[np.ndarray, "H W"], steps: int) -> Bool[np.ndarray, "H W"]:
    """Take ``steps`` pixels off the mask's edge; the picture's own border is no edge."""
    for _ in range(steps):
        padded = np.pad(mask, 1, mode="edge")
        mask = padded[1:-1, 1:-1] & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask


def ids_in(*labels: Shaped[np.ndarray, "..."] | None, num_classes: int) -> list[int]:
    """Return the ids of the structures drawn in any of the label maps, in order; ``UNSURE`` and ``IGNORE`` are none."""
    found = set().union(*(np.unique(label).tolist() for label in labels if label is not None))
    return sorted(int(i) for i in found if 0 < i < num_classes)
