"""What can be predicted: image files, NIfTI and DICOM volumes, and the cases of a store."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from jaxtyping import Float, Shaped, UInt8
from PIL import Image
from torch import Tensor

from datamodules.placement import Pair, Placement
from datamodules.sources.dicom_series import dicom_files, is_dicom
from datamodules.sources.image_file import read_image
from datamodules.sources.nifti_file import is_nifti, stem
from datamodules.sources.volume import Volume, VolumeReader
from datamodules.stored_grid import StoredGrid
from partial_labels.case_store import CaseStore
from partial_labels.errors import InputError
from partial_labels.grey_values import intensities

IMAGES = (".png", ".webp")
WANTED = "PNG, WebP, NIfTI, a folder of them or of a DICOM series, or a case store"


@dataclass(frozen=True, eq=False)
class Scan:
    """What was read of one input: its slices in the frame and the greys that the network was trained on.

    Args:
        image: Slices as a store would hold them, with their I channels.
        slope: ``intensity = image * slope + intercept`` lies in [0, 1].
        intercept: See ``slope``.
        voxel_ml: Volume of a voxel in millilitres, where it is known.
        spacing_mm: Side of a pixel of ``image`` (row, column), where it is known.
        origin: How a store brought ``image`` to its own grid; None where it lies on the source's.
        volume: The volume, of a NIfTI file or a DICOM series.
    """

    image: Shaped[np.ndarray, "D I h w"]
    slope: float = 1 / 255
    intercept: float = 0.0
    voxel_ml: float | None = None
    spacing_mm: Pair | None = None
    origin: Placement | None = None
    volume: Volume | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of a slice as it was read."""
        return self.image.shape[2], self.image.shape[3]

    @property
    def label_shape(self) -> tuple[int, int, int]:
        """(D, rows, columns) of the label map."""
        return (len(self.image), *(self.origin.source if self.origin else self.size))

    def intensities(self, number: int) -> Float[np.ndarray, "I h w"]:
        """Return the intensities of a slice in [0, 1]."""
        return intensities(self.image[number], self.slope, self.intercept)

    def native(self, probs: Float[Tensor, "C H W"], grid: StoredGrid, beyond: float = 1.0) -> Float[Tensor, "C y x"]:
        """Bring the probabilities of a slice from a network's grid to the source's; see :meth:`Placement.native`."""
        if grid.size != self.size or grid.fit == "spacing":
            probs = grid.place(self.size, self.spacing_mm).native(probs, beyond)
        return probs if self.origin is None else self.origin.native(probs, beyond)


class Input(ABC):
    """One thing to predict, of which one label map is written.

    Args:
        path: Where it lies.
        name: What its outputs are called, without an ending; unique among the inputs.
    """

    ending: str
    heavy = False
    """Whether few of them fit into memory."""
    channels = 1
    """Channels of its slices."""

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name

    def __str__(self) -> str:
        return str(self.path)

    @abstractmethod
    def read(self) -> Scan:
        """Read it.

        Raises:
            InputError: If it is damaged or of another kind; one line naming the file.
        """

    def write(self, path: Path, scan: Scan, label: UInt8[np.ndarray, "D y x"]) -> None:
        """Write its label map: ids as an 8-bit grey PNG of the source's size."""
        Image.fromarray(label[0]).save(path, compress_level=1)

    def canonical(self, scan: Scan, array: Shaped[np.ndarray, "*source"]) -> Shaped[np.ndarray, "D y x"]:
        """Return a view of an array in the layout of the written label map, slice by slice."""
        return array[None]

    def written_shape(self, scan: Scan) -> tuple[int, ...]:
        """Shape of the written label map."""
        return scan.label_shape[1:]


@final
class ImageInput(Input):
    """An 8-bit grey PNG or WebP: one slice."""

    ending = ".png"

    def read(self) -> Scan:
        """Read the file."""
        return Scan(read_image(self.path, str(self.path))[None, None])


@final
class VolumeInput(Input):
    """A NIfTI file or the folder of a DICOM series.

    Args:
        path: Where it lies.
        name: What its outputs are called.
        reader: Turns it to the frame and the greys that the network was trained on.
    """

    ending = ".nii.gz"
    heavy = True

    def __init__(self, path: Path, name: str, reader: VolumeReader) -> None:
        super().__init__(path, name)
        self.reader, self.channels = reader, reader.channels

    def read(self) -> Scan:
        """Read the volume."""
        volume = self.reader.read(self.path)
        frame = volume.frame
        return Scan(self.reader.grey(volume), voxel_ml=frame.voxel_ml, spacing_mm=frame.spacing_mm, volume=volume)

    def write(self, path: Path, scan: Scan, label: UInt8[np.ndarray, "D y x"]) -> None:
        """Write the label map as NIfTI on the source's grid."""
        assert scan.volume is not None
        scan.volume.write(path, label)

    def canonical(self, scan: Scan, array: Shaped[np.ndarray, "*source"]) -> Shaped[np.ndarray, "D y x"]:
        """Return the slices of an array that lies as the volume does on disk."""
        assert scan.volume is not None
        return scan.volume.frame.to_canonical(array)

    def written_shape(self, scan: Scan) -> tuple[int, ...]:
        """The volume's shape on disk."""
        assert scan.volume is not None
        return scan.volume.frame.shape


@final
class CaseInput(Input):
    """A case of a store; its label map is written on the grid that its source had.

    Args:
        store: The case store.
        number: Row of the case table.
    """

    ending = ".png"

    def __init__(self, store: CaseStore, number: int) -> None:
        name = store.cases[number].name
        super().__init__(store.path, str(Path(name).with_suffix("")) if Path(name).suffix in IMAGES else name)
        self.store, self.number, self.channels = store, number, store.header.channels

    def __str__(self) -> str:
        return f"{self.path}: case {self.store.cases[self.number].name}"

    def read(self) -> Scan:
        """Read it from the memory map."""
        header, row = self.store.header, self.store.cases[self.number]
        image = np.array(self.store.image(self.number))[None]
        origin = None
        if row.native_offset >= 0:
            fit: Any = header.fit
            grid = StoredGrid(header.size, fit, header.spacing_mm if fit == "spacing" else None)
            origin = grid.place((row.height, row.width), row.spacing_mm, row.name)
        return Scan(image, header.slope, header.intercept, spacing_mm=header.spacing_mm, origin=origin)


def find_inputs(
    path: Path, reader: Callable[[], VolumeReader], pattern: str = "*", output: Path | None = None
) -> list[Input]:
    """Return what there is to predict, in numeric order (10 after 9).

    Args:
        path: A file, a folder of files, the folder of a DICOM series, or a case store.
        reader: Makes what reads volumes; called only where there is one.
        pattern: Which paths below a folder to take, such as ``*/ct.nii.gz``; files of other kinds are passed over.
        output: The output folder; where it lies below ``path``, what lies in it is no input.

    Raises:
        InputError: If the path holds nothing of the kind, or other files beside a DICOM series; if the pattern is none
            of paths below it; or if two outputs would have the same name.
    """
    if (path / "header.json").exists():
        store = CaseStore.open(path)
        found: list[Input] = [CaseInput(store, number) for number in range(len(store))]
    elif path.is_file():
        found = [input_of(path, path.parent, reader)]
    elif not is_series(path):
        paths = sorted((one for one in below(path, pattern, output) if is_kind(one)), key=numeric)
        found = [input_of(one, path, reader) for one in paths]
    else:
        found = [VolumeInput(path, path.resolve().name, reader())]
    if not found:
        raise InputError(f"input={path}: nothing to predict matches {pattern!r} there; give {WANTED}")
    check_names(found)
    return found


def below(folder: Path, pattern: str, output: Path | None) -> list[Path]:
    """Return what matches below a folder, without what lies in an output folder there."""
    try:
        found = list(folder.glob(pattern))
    except (ValueError, IndexError, NotImplementedError) as error:
        raise InputError(
            f"pattern={pattern!r}: no pattern of paths below input; give one such as */ct.nii.gz"
        ) from error
    place = None if output is None else output.resolve()
    if place is None or folder.resolve() not in place.parents:
        return found
    return [one for one in found if not one.resolve().is_relative_to(place)]


def input_of(path: Path, root: Path, reader: Callable[[], VolumeReader]) -> Input:
    """Return the input that a file or the folder of a series is."""
    place = path.parent.relative_to(root)
    if path.suffix.lower() in IMAGES:
        return ImageInput(path, str(place / path.stem))
    if is_nifti(path) or path.is_dir():
        return VolumeInput(path, str(place / stem(path)), reader())
    if is_dicom(path):
        raise InputError(f"input={path}: one file of a DICOM series; name the folder of the series")
    raise InputError(f"input={path}: no image; give {WANTED}")


def is_slice(path: Path) -> bool:
    """Tell by its name whether a file is an image or a NIfTI volume."""
    return path.is_file() and (path.suffix.lower() in IMAGES or is_nifti(path))


def is_series(folder: Path) -> bool:
    """Tell whether a DICOM series lies in a folder, and refuse one that lies there with images or NIfTI volumes."""
    files = [one for one in sorted(folder.iterdir()) if one.is_file()]
    others = [one for one in files if is_slice(one)]
    series = any(not is_slice(one) and is_dicom(one) for one in files)
    if series and others:
        raise InputError(
            f"input={folder}: a DICOM series and {others[0].name} lie there; name the file itself, or give the series "
            "a folder of its own"
        )
    return series


def is_kind(path: Path) -> bool:
    """Tell whether a path is a file that can be predicted, or the folder of a DICOM series."""
    return is_slice(path) or (path.is_dir() and bool(dicom_files(path)))


def numeric(path: Path) -> list[Any]:
    """Sort names with numbers in them by the numbers."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", str(path))]


def check_names(inputs: Sequence[Input]) -> None:
    """Refuse two inputs whose label maps would have the same name, and a name that leads out of the output folder."""
    found: dict[str, Input] = {}
    for one in inputs:
        if Path(one.name).is_absolute() or ".." in Path(one.name).parts:
            raise InputError(f"{one}: {one.name!r} leaves the output folder; rename it")
        twin = found.setdefault(one.name, one)
        if twin is not one:
            raise InputError(
                f"{twin} and {one}: both would be written as {one.name}; rename one, or use pattern= in a folder"
            )
