"""What was drawn in a volume: one file with ids, or one file an organ."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, final

import numpy as np
from numpy.typing import NDArray

from datamodules.sources.nifti_file import read_nifti
from datamodules.sources.volume import Volume
from partial_labels.batch import IGNORE
from partial_labels.errors import InputError

Label = NDArray[np.uint8]
Overlap = Literal["ignore", "later"]


class VolumeLabel(ABC):
    """Files that say what was drawn in a volume."""

    @property
    @abstractmethod
    def files(self) -> tuple[Path, ...]:
        """Every file that is read."""

    @property
    @abstractmethod
    def meaning(self) -> str:
        """A text that changes whenever the same files would mean something else."""

    def only(self, examined: NDArray[np.bool_]) -> VolumeLabel:
        """Return the label without what would hide an examined class; ``examined`` is (C,) bool."""
        return self

    @abstractmethod
    def read(self, volume: Volume) -> Label:
        """Return (D, H, W) class ids in the volume's frame."""


@final
@dataclass(frozen=True)
class LabelMap(VolumeLabel):
    """One file whose voxels are ids.

    Args:
        path: NIfTI.
        ids: What each id in the file is called here: a class id, 0 or ``IGNORE``; 0 stays 0.
    """

    path: Path
    ids: Mapping[int, int]

    @property
    def files(self) -> tuple[Path, ...]:
        """The file."""
        return (self.path,)

    @property
    def meaning(self) -> str:
        """The ids."""
        return repr(sorted(self.ids.items()))

    def read(self, volume: Volume) -> Label:
        """Return class ids.

        Raises:
            InputError: If the file lies on another grid than the image, or holds what is no id of the table.
        """
        array = read_on(self.path, volume)
        with np.errstate(invalid="ignore"):
            ids = array.astype(np.uint8)
        wrong = ids != array
        if wrong.any():
            value = array[wrong][0]
            raise InputError(f"{self.path}: a voxel of value {value}; a label map holds whole numbers from 0 to 255")
        lut, known = np.zeros(256, dtype=np.uint8), {0: 0, **self.ids}
        lut[list(known)] = list(known.values())
        unknown = [index for index in np.flatnonzero(np.bincount(ids.ravel(), minlength=256)) if index not in known]
        if unknown:
            table = ", ".join(map(str, sorted(self.ids)))
            raise InputError(f"{self.path}: id {unknown[0]} is not in the class table ({table}); mend either")
        return lut[ids]


@final
@dataclass(frozen=True)
class OrganFiles(VolumeLabel):
    """One file an organ, every voxel above 0 belonging to it.

    Args:
        organs: Class id and NIfTI file.
        overlap: What a voxel of two organs is: ``ignore`` claims nothing of it; ``later`` gives it to the class with
            the higher id, as where a lesion lies in its organ.
    """

    organs: Mapping[int, Path]
    overlap: Overlap = "ignore"

    @property
    def files(self) -> tuple[Path, ...]:
        """The files in the order of the classes."""
        return tuple(self.organs[index] for index in sorted(self.organs))

    @property
    def meaning(self) -> str:
        """The classes that have a file, and the rule."""
        return repr([sorted(self.organs), self.overlap])

    def only(self, examined: NDArray[np.bool_]) -> VolumeLabel:
        """Leave out the files of other classes: an unexamined lesion would cut a hole into its examined organ."""
        return replace(self, organs={index: path for index, path in self.organs.items() if examined[index]})

    def read(self, volume: Volume) -> Label:
        """Return class ids.

        Raises:
            InputError: If a file lies on another grid than the image.
        """
        label = np.zeros(volume.image.shape, dtype=np.uint8)
        for index in sorted(self.organs):
            drawn = read_on(self.organs[index], volume) > 0
            twice = drawn & (label > 0) if self.overlap == "ignore" else None
            label[drawn] = index
            if twice is not None:
                label[twice] = IGNORE
        return label


def read_on(path: Path, volume: Volume) -> NDArray[Any]:
    """Read a file that must cover the voxels of an image, however it lies on disk.

    Returns:
        (D, H, W) in the image's frame.

    Raises:
        InputError: If shape or place differ.
    """
    array, frame = read_nifti(path, volume.frame.orientation)
    ours, theirs = volume.frame.canonical_shape, frame.canonical_shape
    if ours != theirs:
        raise InputError(
            f"{path}: {' x '.join(map(str, theirs))} voxels (slices, rows, columns), but {volume.path} has "
            f"{' x '.join(map(str, ours))}; image and label must be of one grid"
        )
    if not frame.agrees_with(volume.frame):
        raise InputError(f"{path}: its affine places it elsewhere than {volume.path}; resample one onto the other")
    return frame.to_canonical(array)
