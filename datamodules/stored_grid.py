"""The grid that every slice of a store is brought to, and the stated rule that brings it there.

``scale``: scaled by one factor so that the side which is longer in relation to the target just fits, then padded, the
slice centred. ``pad``: never scaled; centred, cropped where it is larger and padded where it is smaller. A slice of
the stored size passes unchanged under both. ``spacing``: scaled to the pixel of :attr:`StoredGrid.spacing_mm`, so that
a millimetre is as long in every slice, then as ``pad``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from datamodules.placement import Pair, Placement, Size
from partial_labels.errors import InputError

Fit = Literal["scale", "pad", "spacing"]


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

    @classmethod
    def of(
        cls, image_size: int | Sequence[int], fit: Fit, spacing_mm: float | Sequence[float] | None = None
    ) -> StoredGrid:
        """Make it of the keys as they are typed, where one number stands for both sides.

        Raises:
            ValueError: If there are not one or two positive sides.
        """
        sides = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
        if len(sides) != 2 or min(sides) < 1:
            raise ValueError(f"image_size={image_size}: give one side in pixels, or two, as in [256,192]")
        pair = (spacing_mm, spacing_mm) if isinstance(spacing_mm, (int, float)) else spacing_mm
        return cls((sides[0], sides[1]), fit, None if pair is None else (float(pair[0]), float(pair[-1])))

    def place(self, source: Size, spacing_mm: Pair | None = None, where: str = "") -> Placement:
        """Apply the rule to a slice.

        Args:
            source: Its rows and columns.
            spacing_mm: Side of a pixel of it (row, column), where it is known.
            where: Names the slice in an error.

        Raises:
            InputError: If the rule needs the spacing and it is not known.
        """
        zoom = self._zoom(source, spacing_mm, where)
        scaled = max(1, round(source[0] * zoom[0])), max(1, round(source[1] * zoom[1]))
        offset = (self.size[0] - scaled[0]) // 2, (self.size[1] - scaled[1]) // 2
        return Placement(source, scaled, offset, self.size)

    def _zoom(self, source: Size, spacing_mm: Pair | None, where: str) -> Pair:
        """Return stored pixels per source pixel (rows, columns), before they are rounded to whole slices."""
        if self.fit == "scale":
            return (min(self.size[0] / source[0], self.size[1] / source[1]),) * 2
        if self.spacing_mm is None:
            return 1.0, 1.0
        if spacing_mm is None:
            raise InputError(f"{where}: no spacing is known, which fit=spacing needs; choose data.fit=scale or pad")
        return spacing_mm[0] / self.spacing_mm[0], spacing_mm[1] / self.spacing_mm[1]
