"""What sources of volumes share: a volume and its label become slices."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from datamodules.sources.base import SourceCase, VolumeSource, is_constant
from datamodules.sources.case_notes import examined_of, read_case_notes
from datamodules.sources.dicom_series import dicom_files
from datamodules.sources.file_stamp import stamp
from datamodules.sources.volume import VolumeReader
from datamodules.sources.volume_labels import VolumeLabel
from partial_labels.batch import IGNORE
from partial_labels.case_table import CaseRow
from partial_labels.classes import ClassTable
from partial_labels.errors import InputError


@dataclass(frozen=True)
class Scan:
    """A volume that was found, not yet read.

    Args:
        name: The case's name, unique.
        image: NIfTI file, or folder of a DICOM series.
        label: What was drawn, or None for an unlabeled volume.
        examined: (C,) bool, as far as the files tell.
        split: ``train``, ``val``, ``test`` or empty, as far as the files tell.
    """

    name: str
    image: Path
    label: VolumeLabel | None
    examined: NDArray[np.bool_]
    split: str = ""


class LabeledVolumes(VolumeSource):
    """Cuts volumes into slices; a subclass finds them.

    Slices that show nothing (one grey value in each channel, as outside the patient) are left out.

    Args:
        root: The folder of the set.
        reader: Reads the volumes.
        examined: ``all``, or the names of the classes that were examined in this set. What is drawn of others is not
            shown.
        table: A table that says it of each case, and may give groups and splits
            (:mod:`datamodules.sources.case_notes`); it wins over ``examined``. A path, relative to ``root``.
        every: Take every n-th slice of a volume.
        drawn_only: Of labeled volumes, take only slices in which an examined class is drawn. Makes a smaller set, at
            the price of the certain absences in the other slices.
        name: Name of the store; the folder's by default.

    Raises:
        InputError: If the folder is missing.
        ValueError: If ``every`` is below 1.
    """

    def __init__(
        self,
        root: str,
        reader: VolumeReader | None = None,
        examined: Literal["all"] | Sequence[str] = "all",
        table: str | None = None,
        every: int = 1,
        drawn_only: bool = False,
        name: str | None = None,
    ) -> None:
        if every < 1:
            raise ValueError(f"every={every}: must be 1 or more")
        self.root = Path(root)
        if not root or not self.root.is_dir():
            raise InputError(f"data.root={root}: no such folder; name the folder of the set")
        self.reader = reader or VolumeReader()
        self.given_examined, self.table = examined, table
        self.every, self.drawn_only = every, drawn_only
        self.name = name or self.root.resolve().name
        self.left_right_axis, self.channels = self.reader.left_right_axis, self.reader.channels

    def take(self, classes: ClassTable, scans: Sequence[Scan]) -> None:
        """Receive what the subclass found, and what the table says of it.

        Raises:
            InputError: If nothing was found, or the table contradicts it.
        """
        if not scans:
            raise InputError(f"{self.root}: no volume lies there; name the right folder")
        self._classes, self.scans = classes, []
        self._fingerprints: dict[int, str] = {}
        everywhere = examined_of(self.given_examined, classes, "data.source")
        table = None if self.table is None else self.root / self.table
        self.notes = read_case_notes(table, [scan.name for scan in scans], classes)
        self.examined = {}
        for scan in scans:
            noted = self.notes[scan.name].examined
            examined = scan.examined & everywhere if noted is None else noted
            if examined.any() and scan.label is None:
                raise InputError(f"{table}: {scan.name} has examined classes but no label file; mend either")
            self.examined[scan.name] = examined
            self.scans.append(replace(scan, label=scan.label.only(examined) if scan.label else None))

    @property
    def classes(self) -> ClassTable:
        """The class table."""
        return self._classes

    @property
    def volumes(self) -> Sequence[str]:
        """Names of the cases."""
        return [scan.name for scan in self.scans]

    def options(self) -> str:
        """Return everything that shapes each volume."""
        return json.dumps([self.name, self.classes.to_json(), self.reader.options, self.every, self.drawn_only])

    def volume_fingerprint(self, number: int) -> str:
        """Return what is known of a case, and size and time of its files; they are looked at once."""
        if number not in self._fingerprints:
            scan = self.scans[number]
            files = dicom_files(scan.image) if scan.image.is_dir() else [scan.image]
            stats = [stamp(path) for path in (*files, *(scan.label.files if scan.label else ()))]
            note, meaning = self.notes[scan.name], scan.label.meaning if scan.label else ""
            known = [scan.name, note.group, note.split or scan.split, self.examined[scan.name].tolist(), meaning]
            self._fingerprints[number] = json.dumps([known, stats])
        return self._fingerprints[number]

    def read(self, number: int) -> Iterator[SourceCase]:
        """Yield the slices of one volume."""
        scan = self.scans[number]
        volume = self.reader.read(scan.image)
        grey = self.reader.grey(volume)
        label = scan.label.read(volume) if scan.label else np.zeros(volume.image.shape, dtype=np.uint8)
        examined, note = self.examined[scan.name], self.notes[scan.name]
        shown = np.arange(256, dtype=np.uint8)
        shown[1 : len(self.classes)] *= examined[1:]
        for index in range(0, len(grey), self.every):
            drawn = shown[label[index]]
            if self.drawn_only and examined.any() and not ((drawn > 0) & (drawn != IGNORE)).any():
                continue
            if is_constant(grey[index]):
                continue
            row = CaseRow(
                f"{scan.name}_{index:04d}", note.group, scan.name, slice_index=index, split=note.split or scan.split
            )
            image = grey[index] if self.channels > 1 else grey[index, 0]
            yield SourceCase(row, image, drawn, examined, spacing_mm=volume.frame.spacing_mm)
