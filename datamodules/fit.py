"""The stated rule by which slices of any size come to the stored size, and the way back to the source grid.

``scale``: scaled by one factor so that the side which is longer in relation to the target just fits, then padded, the
slice centred. ``pad``: never scaled; centred, cropped where it is larger and padded where it is smaller. A slice of
the stored size passes unchanged under both. ``spacing``: scaled to the pixel of :attr:`StoredGrid.spacing_mm`, so that
a millimetre is as long in every slice, then as ``pad``.

Pixels are squares, so grids are aligned at their outer edges: nothing moves by half a pixel, in either direction.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from partial_labels.errors import InputError

Array = NDArray[Any]
Fit = Literal["scale", "pad", "spacing"]
Size = tuple[int, int]
Pair = tuple[float, float]


@dataclass(frozen=True)
class StoredGrid:
    """What every slice of a store is brought to.

    Args:
        size: (H, W) in pixels.
        fit: The rule.
        spacing_mm: Side of a stored pixel (row, column) under ``spacing``; otherwise not given.

    Raises:
        InputError: If a side is not positive, or the spacing is missing or too much for the rule.
    """

    size: Size
    fit: Fit
    spacing_mm: Pair | None = None

    def __post_init__(self) -> None:
        if len(self.size) != 2 or min(self.size) < 1 or self.fit not in get_args(Fit):
            rules = ", ".join(get_args(Fit))
            raise InputError(f"image_size={self.size}, fit={self.fit!r}: give one or two positive sides, and {rules}")
        if (self.fit == "spacing") != (self.spacing_mm is not None):
            raise InputError(
                f"fit={self.fit}, spacing_mm={self.spacing_mm}: fit=spacing needs it, and only fit=spacing"
            )
        if self.spacing_mm is not None and not all(0 < side < math.inf for side in self.spacing_mm):
            raise InputError(f"spacing_mm={self.spacing_mm}: must be positive")

    def zoom(self, spacing_mm: Pair | None, where: str = "") -> Pair:
        """Return stored pixels per source pixel (rows, columns) that the rule asks for before it looks at the size.

        Args:
            spacing_mm: Side of a pixel of the slice (row, column).
            where: Names the slice in an error.

        Raises:
            InputError: If the rule needs the slice's spacing and it is not known.
        """
        if self.spacing_mm is None:
            return 1.0, 1.0
        if spacing_mm is None:
            raise InputError(f"{where}: no spacing is known, which fit=spacing needs; choose data.fit=scale or pad")
        return spacing_mm[0] / self.spacing_mm[0], spacing_mm[1] / self.spacing_mm[1]


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
    def of(cls, source: Size, size: Size, fit: Fit, zoom: Pair = (1.0, 1.0)) -> Placement:
        """Apply the rule to a slice of ``source`` pixels; ``zoom`` as :meth:`StoredGrid.zoom` gives it."""
        if fit == "scale":
            zoom = (min(size[0] / source[0], size[1] / source[1]),) * 2
        scaled = max(1, round(source[0] * zoom[0])), max(1, round(source[1] * zoom[1]))
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
        """Put a scaled slice, or its channels, into a stored grid full of ``fill``."""
        grid = np.full((*scaled.shape[:-2], *self.size), fill, dtype=scaled.dtype)
        grid[(..., *self.stored)] = scaled[(..., *self.kept)]
        return grid


def fit_image(image: Array, size: Size, fit: Fit, fill: int = 0, zoom: Pair = (1.0, 1.0)) -> Array:
    """Bring an image to the stored size: bilinear, widened to the pixel where it shrinks so that nothing aliases.

    Args:
        image: (h, w) uint8 or int16, or (I, h, w) of several channels.
        size: (H, W).
        fit: The rule.
        fill: Value of the padding.
        zoom: See :meth:`StoredGrid.zoom`.
    """
    place = Placement.of((image.shape[-2], image.shape[-1]), size, fit, zoom)
    return place.put(image if place.scaled == image.shape[-2:] else resized(image, place.scaled), fill)


def resized(image: Array, size: Size) -> Array:
    """Return an image, or each of its channels, in ``size`` rows and columns of its own type."""
    if image.ndim == 3:
        return np.stack([resized(channel, size) for channel in image])
    rows, columns = size
    scaled = Image.fromarray(image.astype(np.float32)).resize((columns, rows), Image.Resampling.BILINEAR)
    rounded: Array = np.rint(np.asarray(scaled)).astype(image.dtype)
    return rounded


def fit_label(label: NDArray[np.uint8], size: Size, fit: Fit, fill: int, zoom: Pair = (1.0, 1.0)) -> NDArray[np.uint8]:
    """Bring a label map to the stored size: each stored pixel takes the class under its centre.

    Args:
        label: (h, w) class ids.
        size: (H, W).
        fit: The rule.
        fill: Value of the padding.
        zoom: See :meth:`StoredGrid.zoom`.
    """
    place = Placement.of((label.shape[0], label.shape[1]), size, fit, zoom)
    if place.scaled != label.shape:
        rows, columns = (
            (2 * np.arange(scaled) + 1) * source // (2 * scaled)
            for scaled, source in zip(place.scaled, label.shape, strict=True)
        )
        label = label[rows[:, None], columns]
    return place.put(label, fill)


def to_native(
    probs: Float[Tensor, "C H W"], height: int, width: int, fit: Fit, zoom: Pair = (1.0, 1.0), beyond: float = 1.0
) -> Float[Tensor, "C h w"]:
    """Bring probabilities from the stored grid back to the source grid, bilinearly.

    What the rule cropped away was never seen by the network and is certain background.

    Args:
        probs: Probabilities on the stored grid, channel 0 the background.
        height: Rows of the source slice.
        width: Columns of the source slice.
        fit: The rule that the store was built by.
        zoom: See :meth:`StoredGrid.zoom`.
        beyond: Probability of the background there; less where the probabilities are a share of an ensemble's.
    """
    place = Placement.of((height, width), (probs.shape[1], probs.shape[2]), fit, zoom)
    rows, columns = place.stored
    seen = probs[:, rows, columns]
    if seen.shape[1:] != place.scaled:
        scaled = torch.zeros(probs.shape[0], *place.scaled, dtype=probs.dtype, device=probs.device)
        scaled[0] = beyond
        rows, columns = place.kept
        scaled[:, rows, columns] = seen
        seen = scaled
    if place.scaled != (height, width):
        return interpolate(seen[None], (height, width), mode="bilinear", align_corners=False, antialias=True)[0]
    return seen
