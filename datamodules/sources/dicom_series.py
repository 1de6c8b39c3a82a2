"""Read a DICOM series, and say which file is at fault when that fails."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.sources.frame import RADIOLOGICAL, Frame
from partial_labels.errors import InputError

Array = NDArray[Any]
NUMBERS = {"ImageOrientationPatient": 6, "ImagePositionPatient": 3, "PixelSpacing": 2, "Rows": 1, "Columns": 1}
"""What places a slice, with the count of its values."""
TAGS = (*NUMBERS, "SeriesInstanceUID")
NOT_IMAGES = ("SEG", "RTSTRUCT", "RTPLAN", "RTDOSE", "SR", "PR", "KO", "REG")
"""Modalities of objects that lie beside a series without being part of it."""
DAMAGE = (OSError, EOFError, RuntimeError, AttributeError, LookupError, TypeError, ValueError, struct.error)
"""What pydicom raises for a damaged file, many of them only where a value is looked at."""
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
SAME_MM = 0.01
"""Distance under which two slices lie at the same place."""
GAP = 0.1
"""Share of the distance of two slices by which another distance may differ."""


def is_dicom(path: Path) -> bool:
    """Tell by its first bytes whether a file is DICOM; one without the standard's preamble is not seen as such."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM" and path.name != "DICOMDIR"


def dicom_files(folder: Path) -> list[Path]:
    """Return the DICOM files that lie directly in a folder."""
    return [path for path in sorted(folder.iterdir()) if path.is_file() and is_dicom(path)]


def read_series(folder: Path, orientation: str = RADIOLOGICAL) -> tuple[Array, Frame]:
    """Read the series of a folder: grey values rescaled (Hounsfield units in CT), slices sorted by their position.

    Args:
        folder: Holds the files of one series, one a slice; reports and segmentations beside them are passed over.
        orientation: What the frame turns it to.

    Returns:
        (columns, rows, slices), int16 where slope and intercept are whole numbers that fit, else float32; its frame.

    Raises:
        InputError: If files are damaged, encrypted, inverted, or compressed in a way that no installed decoder reads;
            if the folder mixes series, grids or directions; or if a slice is missing or there twice.
    """
    datasets = read_headers(folder)
    normal, order = sort_by_position(datasets, folder)
    datasets = [datasets[i] for i in order]
    step = check_steps(datasets, normal, folder)
    first = datasets[0][1]
    directions = np.array([float(value) for value in first.ImageOrientationPatient])
    row_mm, column_mm = (float(value) for value in first.PixelSpacing)
    affine = np.eye(4)
    affine[:3, 0] = directions[:3] * column_mm
    affine[:3, 1] = directions[3:] * row_mm
    affine[:3, 2] = step
    affine[:3, 3] = _position(first)
    pixels = np.stack([read_pixels(path) for path, _ in datasets], axis=-1)
    columns, rows, depth = pixels.shape
    try:
        return pixels, Frame((columns, rows, depth), LPS_TO_RAS @ affine, orientation)
    except InputError as error:
        raise InputError(f"{folder}: {error}") from error


def read_headers(folder: Path) -> list[tuple[Path, Any]]:
    """Return the files of a folder with their headers, and refuse what is not one series on one grid."""
    import_pydicom()
    from pydicom import dcmread

    found: list[tuple[Path, Any]] = []
    for path in dicom_files(folder):
        with restorable(path):
            header = dcmread(path, stop_before_pixels=True)
            if header.get("Modality") not in NOT_IMAGES:
                check_slice(path, header)
                found.append((path, header))
    if not found:
        raise InputError(f"{folder}: no DICOM image lies there; name the folder of a series")
    check_one_series(found, folder)
    return found


@contextmanager
def restorable(path: Path) -> Iterator[None]:
    """Name the file in whatever is raised for its damage."""
    from pydicom.errors import BytesLengthException, InvalidDicomError

    try:
        yield
    except InputError:
        raise
    except (*DAMAGE, BytesLengthException, InvalidDicomError) as error:
        raise InputError(f"{path}: damaged ({' '.join(str(error).split())}); restore it") from error


def check_slice(path: Path, header: Any) -> None:
    """Refuse a file that is not one slice of grey values, bright where they are high, at a known place."""
    lacking = [name for name in TAGS if header.get(name) is None]
    if lacking or int(header.get("NumberOfFrames", 1) or 1) > 1:
        reason = f"has no {lacking[0]}" if lacking else "holds several frames"
        raise InputError(f"{path}: {reason}, so it is no slice of a series; convert the series to NIfTI")
    for name, count in NUMBERS.items():
        numbers(path, header, name, count)
    if header.get("PhotometricInterpretation") == "MONOCHROME1":
        raise InputError(f"{path}: MONOCHROME1, whose low values are bright; convert the series to MONOCHROME2")


def numbers(path: Path, header: Any, name: str, count: int = 1, default: float | None = None) -> list[float]:
    """Return the values of an element; the default, where there is one, if it is missing or empty."""
    value = header.get(name)
    if value is None and default is not None:
        return [default]
    values = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    if len(values) != count:
        raise InputError(f"{path}: {name} has {len(values)} values instead of {count}; restore it")
    if not np.isfinite(found := [float(one) for one in values]).all():
        raise InputError(f"{path}: {name} is {value}, not finite; restore it")
    return found


def check_one_series(found: Sequence[tuple[Path, Any]], folder: Path) -> None:
    """Refuse a folder whose files are of several series, sizes, spacings or directions, naming one of each."""
    first_path, first = found[0]
    for path, header in found[1:]:
        for name in ("SeriesInstanceUID", "Rows", "Columns", "PixelSpacing", "ImageOrientationPatient"):
            ours, theirs = first.get(name), header.get(name)
            same = ours == theirs if name == "SeriesInstanceUID" else np.allclose(ours, theirs, atol=1e-3)
            if not same:
                raise InputError(
                    f"{folder}: {first_path.name} and {path.name} differ in {name} ({ours} and {theirs}); "
                    "put each series into its own folder"
                )


def sort_by_position(datasets: Sequence[tuple[Path, Any]], folder: Path) -> tuple[NDArray[np.float64], list[int]]:
    """Return the direction across the slices, and the order of the files along it."""
    directions = np.array([float(value) for value in datasets[0][1].ImageOrientationPatient])
    normal = np.cross(directions[:3], directions[3:])
    places = [float(_position(header) @ normal) for _, header in datasets]
    return normal, sorted(range(len(places)), key=places.__getitem__)


def check_steps(datasets: Sequence[tuple[Path, Any]], normal: NDArray[np.float64], folder: Path) -> Array:
    """Return the step from one slice to the next, in mm, and refuse a slice that is missing or there twice."""
    positions = np.stack([_position(header) for _, header in datasets])
    if len(positions) == 1:
        with restorable(datasets[0][0]):
            return normal * (numbers(*datasets[0], "SliceThickness", default=1.0)[0] or 1.0)
    steps = np.diff(positions @ normal)
    pairs = [f"{folder}: {one[0].name} and {other[0].name}" for one, other in pairwise(datasets)]
    for where, step in zip(pairs, steps, strict=True):
        if step < SAME_MM:
            raise InputError(f"{where} lie at the same place; keep one of them, or put each series into its own folder")
    usual = float(np.sort(steps)[(len(steps) - 1) // 2])
    for where, step in zip(pairs, steps, strict=True):
        if abs(step - usual) > GAP * usual:
            raise InputError(f"{where} lie {step:.3g} mm apart, others {usual:.3g} mm; restore the slices between")
    return np.asarray((positions[-1] - positions[0]) / (len(positions) - 1))


def read_pixels(path: Path) -> Array:
    """Return the rescaled grey values of a file, (columns, rows)."""
    from pydicom import dcmread

    with restorable(path):
        dataset = dcmread(path)
        if "PixelData" not in dataset:
            raise InputError(f"{path}: no pixels, or encrypted ones; restore or decrypt it")
        if numbers(path, dataset, "SamplesPerPixel", default=1) != [1]:
            raise InputError(f"{path}: a colour image; take it out of the series")
        pixels = decoded(path, dataset)
        (slope,) = numbers(path, dataset, "RescaleSlope", default=1)
        (intercept,) = numbers(path, dataset, "RescaleIntercept", default=0)
    values: Array = pixels.astype(np.float32) * slope + intercept
    whole = slope == round(slope) and intercept == round(intercept) and np.abs(values).max() < 2**15
    return values.astype(np.int16).T if whole else values.T


def decoded(path: Path, dataset: Any) -> Array:
    """Return the stored values of a file, (rows, columns)."""
    try:
        pixels: Array = dataset.pixel_array
    except DAMAGE as error:
        syntax = dataset.file_meta.TransferSyntaxUID
        if syntax.is_compressed:
            raise InputError(
                f"{path}: compressed as {syntax.name}, and no installed decoder reads it; pip install pylibjpeg "
                "pylibjpeg-libjpeg pylibjpeg-openjpeg, or decompress the series"
            ) from error
        raise InputError(f"{path}: damaged pixels ({' '.join(str(error).split())}); restore it") from error
    return pixels


def _position(header: Any) -> NDArray[np.float64]:
    return np.array([float(value) for value in header.ImagePositionPatient])


def import_pydicom() -> None:
    """Refuse to go on where the optional library is missing."""
    try:
        import pydicom  # noqa: F401
    except ImportError as error:
        raise InputError("DICOM files need the package pydicom: pip install 'partialseg[io]'") from error
