"""The stated rule by which slices of any size come to the stored size, and the way back to the source grid.

``scale``: scaled by one factor so that the side which is longer in relation to the target just fits, then padded, the
slice centred. ``pad``: never scaled; centred, cropped where it is larger and padded where it is smaller. A slice of
the stored size passes unchanged under both.

Pixels are squares, so grids are aligned at their outer edges: nothing moves by half a pixel, in either direction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

Array = NDArray[Any]
Fit = Literal["scale", "pad"]
Size = tuple[int, int]


@dataclass(frozen=True)
class Placement:
    """Where a slice lies in the stored grid.

    Args:
        scaled: (rows, columns) of the slice after scaling, in stored pixels.
        offset: (row, column) in the stored grid of its first pixel; negative where the slice is cropped.
        size: (H, W) of the stored grid.
    """

    scaled: Size
    offset: Size
    size: Size

    @classmethod
    def of(cls, source: Size, size: Size, fit: Fit) -> Placement:
        """Apply the rule to a slice of ``source`` pixels."""
        scaled = source
        if fit == "scale":
            factor = min(size[0] / source[0], size[1] / source[1])
            scaled = (max(1, round(source[0] * factor)), max(1, round(source[1] * factor)))
        return cls(scaled, ((size[0] - scaled[0]) // 2, (size[1] - scaled[1]) // 2), size)

    @property
    def stored(self) -> tuple[slice, slice]:
        """The part of the stored grid that the slice covers."""
        rows, columns = (
            slice(max(0, offset), min(size, offset + scaled))
            for offset, scaled, size in zip(self.offset, self.scaled, self.size, strict=True)
        )
        return rows, columns

    @property
    def kept(self) -> tuple[slice, slice]:
        """The part of the scaled slice that lies in the stored grid."""
        rows, columns = (
            slice(part.start - offset, part.stop - offset)
            for part, offset in zip(self.stored, self.offset, strict=True)
        )
        return rows, columns

    def put(self, scaled: Array, fill: int) -> Array:
        """Put a scaled slice into a stored grid full of ``fill``."""
        grid = np.full(self.size, fill, dtype=scaled.dtype)
        grid[self.stored] = scaled[self.kept]
        return grid


def fit_image(image: Array, size: Size, fit: Fit, fill: int = 0) -> Array:
    """Bring an image to the stored size: bilinear, widened to the pixel where it shrinks so that nothing aliases.

    Args:
        image: (h, w) uint8 or int16.
        size: (H, W).
        fit: The rule.
        fill: Value of the padding.
    """
    place = Placement.of((image.shape[0], image.shape[1]), size, fit)
    if place.scaled != image.shape:
        rows, columns = place.scaled
        resized = Image.fromarray(image.astype(np.float32)).resize((columns, rows), Image.Resampling.BILINEAR)
        image = np.rint(np.asarray(resized)).astype(image.dtype)
    return place.put(image, fill)


def fit_label(label: NDArray[np.uint8], size: Size, fit: Fit, fill: int) -> NDArray[np.uint8]:
    """Bring a label map to the stored size: each stored pixel takes the class under its centre.

    Args:
        label: (h, w) class ids.
        size: (H, W).
        fit: The rule.
        fill: Value of the padding.
    """
    place = Placement.of((label.shape[0], label.shape[1]), size, fit)
    if place.scaled != label.shape:
        rows, columns = (
            (2 * np.arange(scaled) + 1) * source // (2 * scaled)
            for scaled, source in zip(place.scaled, label.shape, strict=True)
        )
        label = label[rows[:, None], columns]
    return place.put(label, fill)


def to_native(probs: Float[Tensor, "C H W"], height: int, width: int, fit: Fit) -> Float[Tensor, "C h w"]:
    """Bring probabilities from the stored grid back to the source grid, bilinearly.

    What the rule cropped away was never seen by the network and is certain background.

    Args:
        probs: Probabilities on the stored grid, channel 0 the background.
        height: Rows of the source slice.
        width: Columns of the source slice.
        fit: The rule that the store was built by.
    """
    place = Placement.of((height, width), (probs.shape[1], probs.shape[2]), fit)
    rows, columns = place.stored
    seen = probs[:, rows, columns]
    if place.scaled != (height, width):
        return interpolate(seen[None], (height, width), mode="bilinear", align_corners=False, antialias=True)[0]
    native = torch.zeros(probs.shape[0], height, width, dtype=probs.dtype, device=probs.device)
    native[0] = 1
    rows, columns = place.kept
    native[:, rows, columns] = seen
    return native
