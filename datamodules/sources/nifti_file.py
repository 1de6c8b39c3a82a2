"""Read and write NIfTI files, and say which one is at fault when that fails."""

from __future__ import annotations

import logging
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.sources.frame import RADIOLOGICAL, Frame
from partial_labels.errors import InputError

logger = logging.getLogger(__name__)
Array = NDArray[Any]
ENDINGS = (".nii.gz", ".nii")


def is_nifti(path: Path) -> bool:
    """Tell by its name whether a file is NIfTI."""
    return path.name.endswith(ENDINGS)


def stem(path: Path) -> str:
    """Return the name of a file without ``.nii.gz`` or ``.nii``."""
    return next((path.name.removesuffix(end) for end in ENDINGS if path.name.endswith(end)), path.name)


def read_nifti(path: Path, orientation: str = RADIOLOGICAL) -> tuple[Array, Frame]:
    """Read a volume as it lies on disk.

    Args:
        path: ``.nii`` or ``.nii.gz``.
        orientation: What the frame turns it to.

    Returns:
        (X, Y, Z), scaled by the header's slope and intercept, integers where those change nothing; and its frame.

    Raises:
        InputError: If the file is missing, damaged, not of three dimensions or of real numbers, or its affine has no
            inverse.
    """
    import_nibabel()
    from nibabel.filebasedimages import ImageFileError
    from nibabel.loadsave import load
    from nibabel.spatialimages import HeaderDataError

    try:
        image: Any = load(path)
        array = np.asanyarray(image.dataobj)
    except FileNotFoundError as error:
        raise InputError(f"{path}: the file is missing; restore it") from error
    except (OSError, EOFError, ValueError, OverflowError, zlib.error, ImageFileError, HeaderDataError) as error:
        raise InputError(f"{path}: unreadable or truncated ({' '.join(str(error).split())}); restore it") from error
    if array.dtype.kind not in "iufb":
        raise InputError(f"{path}: voxels of type {array.dtype}; convert it to a volume of grey values or ids")
    array = array.reshape([*array.shape, 1][:3]) if array.ndim == 2 else array
    if array.ndim < 3 or array.size != np.prod(array.shape[:3]) or array.size == 0:
        raise InputError(f"{path}: {array.ndim} dimensions {array.shape}; split it into volumes of three dimensions")
    shape = (array.shape[0], array.shape[1], array.shape[2])
    if image.header.get("sform_code", 1) == image.header.get("qform_code", 1) == 0:
        warn_of_guess(path.parent)
    try:
        return array.reshape(shape), Frame(shape, np.asarray(image.affine, dtype=np.float64), orientation)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


@cache
def warn_of_guess(folder: Path) -> None:
    """Say once for a folder that left and right are a guess in it."""
    logger.warning("%s: files without an orientation in their header; left and right are guessed", folder)


def write_nifti(path: Path, array: Array, affine: NDArray[np.float64], like: Path | None = None) -> None:
    """Write a volume on the grid that an affine describes.

    Args:
        path: ``.nii`` or ``.nii.gz``.
        array: (X, Y, Z) as it shall lie on disk.
        affine: (4, 4).
        like: A NIfTI file whose header (codes and units of the grid, description) is kept; its affine is then the
            same to the last bit.
    """
    import_nibabel()
    from nibabel.loadsave import load
    from nibabel.nifti1 import Nifti1Image

    header = None
    if like is not None:
        source: Any = load(like)
        header = source.header.copy()
        header.set_data_dtype(array.dtype)
        header.set_slope_inter(1, 0)
        header["cal_min"] = header["cal_max"] = 0
    Nifti1Image(np.ascontiguousarray(array), affine, header).to_filename(path)


def import_nibabel() -> None:
    """Refuse to go on where the optional library is missing."""
    try:
        import nibabel  # noqa: F401
    except ImportError as error:
        raise InputError("NIfTI files need the package nibabel: pip install 'partialseg[io]'") from error
