"""A volume of any format as slices in one frame, as training sees them, and predictions back to the source's grid.

A source and a prediction read through the same :class:`VolumeReader`, a node of its own in the configuration
(``data.source.reader``), so that a network gets at prediction what it was trained on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from datamodules.sources.dicom_series import read_series
from datamodules.sources.frame import RADIOLOGICAL, Frame, check_orientation, left_right_axis
from datamodules.sources.nifti_file import is_nifti, read_nifti, write_nifti
from partial_labels.errors import InputError

Array = NDArray[Any]
Window = tuple[float, float]
"""Lowest and highest grey value that are told apart."""


@final
@dataclass(frozen=True, eq=False)
class Volume:
    """A volume that was read.

    Args:
        path: The NIfTI file, or the folder of the DICOM series.
        image: (D, H, W) grey values in the source's units, in the frame's orientation, on the source's own pixels.
        frame: The source's grid, and the way to and from it; ``frame.spacing_mm`` is the side of a pixel (row, column).
    """

    path: Path
    image: Array
    frame: Frame

    def to_source(self, label: Array) -> Array:
        """Turn a label map (D, H, W) to the source's grid, (X, Y, Z) of ``frame.affine``."""
        return self.frame.to_source(label)

    def write(self, path: Path, label: Array) -> None:
        """Write a label map (D, H, W) as NIfTI on the source's grid, with the header of a NIfTI source."""
        like = self.path if is_nifti(self.path) else None
        write_nifti(path, self.to_source(label), self.frame.affine, like)


@final
class VolumeReader:
    """Reads NIfTI files and folders of DICOM series into one orientation and one scale of grey.

    Args:
        orientation: Where rows, columns and slices run to, three letters of L, R, A, P, I, S. ``PLS`` gives axial
            slices as they are looked at; ``RAS`` the frame of challenge 165.
        window: Lowest and highest grey value of the source's units (Hounsfield in CT) that are told apart; below is
            black, above white. Of several windows, as of ``[[-160, 240], [-1000, 200]]``, each becomes a channel. None
            takes ``percentiles``.
        percentiles: The same as percentiles of each volume, for images without a unit, such as MRI; one channel.

    Raises:
        ValueError: If there is no window in a list of them, one of the pairs does not rise, or percentiles lie outside
            [0, 100].
    """

    def __init__(
        self,
        orientation: str = RADIOLOGICAL,
        window: Sequence[float] | Sequence[Sequence[float]] | None = None,
        percentiles: tuple[float, float] = (0.5, 99.5),
    ) -> None:
        check_orientation(orientation)
        self.windows = listed(window)
        if not 0 <= percentiles[0] < percentiles[1] <= 100:
            raise ValueError(f"percentiles={list(percentiles)}: must rise within [0, 100]")
        self.orientation, self.percentiles = orientation, percentiles

    @property
    def channels(self) -> int:
        """Channels of a slice: one for each window."""
        return max(1, len(self.windows))

    @property
    def left_right_axis(self) -> str:
        """The axis of a slice along which the patient's left and right lie: ``rows``, ``columns`` or ``none``."""
        return left_right_axis(self.orientation)

    @property
    def options(self) -> tuple[Any, ...]:
        """What changes the slices of a volume; of a single window the same as before there could be several."""
        window = self.windows if len(self.windows) > 1 else next(iter(self.windows), None)
        return self.orientation, window, None if window else self.percentiles

    def read(self, path: str | Path) -> Volume:
        """Read a NIfTI file or the DICOM series of a folder.

        Raises:
            InputError: If it is neither, or is damaged; one line naming the file.
        """
        path = Path(path)
        if path.is_dir():
            array, frame = read_series(path, self.orientation)
        elif is_nifti(path):
            array, frame = read_nifti(path, self.orientation)
        else:
            raise InputError(f"{path}: neither .nii, .nii.gz nor a folder of DICOM files; convert it")
        return Volume(path, frame.to_canonical(array), frame)

    def grey(self, volume: Volume) -> NDArray[np.uint8]:
        """Return the slices with their channels, (D, I, H, W) uint8: 0 is a window's lower end, 255 its upper.

        A voxel that is no number shows nothing and becomes black.
        """
        image = volume.image
        windows = self.windows or (self._range(image, volume.path),)
        grey = np.empty((len(image), len(windows), *image.shape[1:]), dtype=np.uint8)
        for number, one in enumerate(image):  # a float copy of the whole volume would take four times its room
            for channel, (low, high) in enumerate(windows):
                levels = np.rint((one.astype(np.float32) - low) * (255 / (high - low)))
                grey[number, channel] = np.nan_to_num(levels, nan=0).clip(0, 255)
        return grey

    def _range(self, image: Array, path: Path) -> Window:
        finite = image[np.isfinite(image)] if image.dtype.kind == "f" else image
        low, high = np.percentile(finite, self.percentiles) if finite.size else (0.0, 0.0)
        if not low < high:
            raise InputError(f"{path}: every voxel has the same grey value ({low:g}); mend it or leave it out")
        return float(low), float(high)


def listed(window: Sequence[float] | Sequence[Sequence[float]] | None) -> tuple[Window, ...]:
    """Return one window or several as several; none of them where the window is None.

    Raises:
        ValueError: If the list is empty, or something in it is no pair of finite numbers that rise.
    """
    if window is None:
        return ()
    one = not window or isinstance(window[0], (int, float))
    windows: Sequence[Any] = [window] if one else window
    for pair in windows:
        if len(pair) != 2 or not -math.inf < pair[0] < pair[1] < math.inf:
            raise ValueError(
                f"window={written(window)}: must be a lower and a higher grey value, as [-160, 240], or a list of such"
            )
    return tuple((low, high) for low, high in windows)


def written(value: Any) -> str:
    """Write nested numbers as one would on the command line."""
    return f"[{', '.join(map(written, value))}]" if isinstance(value, Sequence) else f"{value}"
