"""Where a slice lies in the stored grid, the way there and the way back.

Pixels are squares, so grids are aligned at their outer edges: nothing moves by half a pixel, in either direction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from partial_labels.batch import IGNORE

Array = NDArray[Any]
Size = tuple[int, int]
Pair = tuple[float, float]


@dataclass(frozen=True)
class Placement:
    """Where a slice lies in the stored grid; :meth:`datamodules.stored_grid.StoredGrid.place` decides it.

    Args:
        source: (rows, columns) of the slice.
        scaled: The same after scaling, in stored pixels.
        offset: (row, column) in the stored grid of its first pixel; negative where the slice is cropped.
        size: (H, W) of the stored grid.
    """

    source: Size
    scaled: Size
    offset: Size
    size: Size

    @property
    def moves(self) -> bool:
        """Whether the stored slice is another than the source's."""
        return not self.source == self.scaled == self.size

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

    def image(self, image: Array, fill: int = 0) -> Array:
        """Bring an image there: bilinear, widened to the pixel where it shrinks so that nothing aliases.

        Args:
            image: (h, w) uint8 or int16, or (I, h, w) of several channels.
            fill: Value of the padding.
        """
        return self._put(image if self.scaled == self.source else resized(image, self.scaled), fill)

    def label(self, label: NDArray[np.uint8], fill: int = IGNORE) -> NDArray[np.uint8]:
        """Bring an (h, w) label map there: each stored pixel takes the class under its centre.

        Args:
            label: Class ids.
            fill: Value of the padding.
        """
        if self.scaled != self.source:
            rows, columns = (
                (2 * np.arange(scaled) + 1) * source // (2 * scaled)
                for scaled, source in zip(self.scaled, self.source, strict=True)
            )
            label = label[rows[:, None], columns]
        return self._put(label, fill)

    def native(self, probs: Float[Tensor, "C H W"], beyond: float = 1.0) -> Float[Tensor, "C h w"]:
        """Bring probabilities from the stored grid back to the source grid, bilinearly.

        What the rule cropped away was never seen by the network and is certain background.

        Args:
            probs: Probabilities on the stored grid, channel 0 the background.
            beyond: Probability of the background there; less where the probabilities are a share of an ensemble's.
        """
        seen = probs[:, self.stored[0], self.stored[1]]
        if seen.shape[1:] != self.scaled:
            scaled = torch.zeros(probs.shape[0], *self.scaled, dtype=probs.dtype, device=probs.device)
            scaled[0] = beyond
            scaled[:, self.kept[0], self.kept[1]] = seen
            seen = scaled
        if self.scaled != self.source:
            return interpolate(seen[None], self.source, mode="bilinear", align_corners=False, antialias=True)[0]
        return seen

    def _put(self, scaled: Array, fill: int) -> Array:
        """Put a scaled slice, or its channels, into a stored grid full of ``fill``."""
        grid = np.full((*scaled.shape[:-2], *self.size), fill, dtype=scaled.dtype)
        grid[(..., *self.stored)] = scaled[(..., *self.kept)]
        return grid


def resized(image: Array, size: Size) -> Array:
    """Return an image, or each of its channels, in ``size`` rows and columns of its own type."""
    if image.ndim == 3:
        return np.stack([resized(channel, size) for channel in image])
    rows, columns = size
    scaled = Image.fromarray(image.astype(np.float32)).resize((columns, rows), Image.Resampling.BILINEAR)
    rounded: Array = np.rint(np.asarray(scaled)).astype(image.dtype)
    return rounded
