"""What may be done to a label map after decoding: holes filled, small and stray parts removed; off by default."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, final

import numpy as np
from jaxtyping import Bool, UInt8
from scipy import ndimage

from partial_labels.classes import ClassTable
from partial_labels.errors import InputError

Classes = bool | Sequence[str]
"""Which classes: true for all, false for none, or a list of names."""


@final
class Postprocess:
    """Cleans each class of a label map on its own: holes first, then parts too small, then all but the largest.

    Parts are connected through faces, edges and corners. What is removed becomes 0, and a hole is filled only where no
    other class was predicted. Keep the largest part only of structures that are in one piece, and in a slice of CT few
    are: the colon, ribs and vessels are cut several times by one plane.

    Args:
        fill_holes: Fill what a class encloses.
        largest: Keep the largest part only.
        min_pixels: Remove parts of fewer pixels (voxels).
        per: ``slice``, or ``volume`` to look at a whole NIfTI or DICOM volume at once.

    Raises:
        ValueError: If ``min_pixels`` is negative.
    """

    def __init__(
        self,
        fill_holes: Classes = False,
        largest: Classes = False,
        min_pixels: int = 0,
        per: Literal["slice", "volume"] = "slice",
    ) -> None:
        if min_pixels < 0:
            raise ValueError(f"min_pixels={min_pixels}: must be 0 or more")
        self.fill_holes, self.largest, self.min_pixels, self.per = fill_holes, largest, min_pixels, per

    @property
    def idle(self) -> bool:
        """Whether nothing would be changed."""
        return not (self.fill_holes or self.largest or self.min_pixels > 1)

    def check(self, classes: ClassTable) -> None:
        """Refuse names that the class table does not have.

        Raises:
            InputError: Naming the key and the class.
        """
        for key in ("fill_holes", "largest"):
            value = getattr(self, key)
            known = {name.casefold() for name in classes.foreground}
            for name in () if isinstance(value, bool) else value:
                if name.casefold() not in known:
                    raise InputError(
                        f"postprocess.{key}={name}: no such class; there is {', '.join(classes.foreground)}"
                    )

    def __call__(self, label: UInt8[np.ndarray, "*D H W"], classes: ClassTable) -> UInt8[np.ndarray, "*D H W"]:
        """Return the cleaned label map of one slice (H, W), or of a volume (D, H, W); the one given stays as it is."""
        if label.ndim == 3 and (self.per == "slice" or len(label) == 1):  # nothing is enclosed within a depth of 1
            return np.stack([self(one, classes) for one in label])
        label = label.copy()
        for index, box in enumerate(ndimage.find_objects(label), start=1):
            if box is not None:
                self._clean(label[box], index, classes.names[index].casefold())
        return label

    def _clean(self, label: UInt8[np.ndarray, "*D H W"], index: int, name: str) -> None:
        """Clean one class, in place, inside its bounding box."""
        if chosen(self.fill_holes, name):
            label[ndimage.binary_fill_holes(label == index) & (label == 0)] = index
        if self.min_pixels > 1 or chosen(self.largest, name):
            mask = label == index
            label[mask & ~self._kept(mask, chosen(self.largest, name))] = 0

    def _kept(self, mask: Bool[np.ndarray, "*D H W"], largest: bool) -> Bool[np.ndarray, "*D H W"]:
        parts, _ = ndimage.label(mask, structure=np.ones((3,) * mask.ndim))
        size = np.bincount(parts.ravel())
        size[0] = 0
        kept = size >= max(self.min_pixels, 1)
        if largest:
            kept &= np.arange(len(size)) == size.argmax()
        return np.asarray(kept[parts])


def chosen(classes: Classes, name: str) -> bool:
    """Tell whether a class is among those that a key names."""
    return classes if isinstance(classes, bool) else name in {one.casefold() for one in classes}
