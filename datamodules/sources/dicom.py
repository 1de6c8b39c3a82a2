"""Folders of DICOM series, with labels as NIfTI."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import final

from datamodules.sources.dicom_series import dicom_files
from datamodules.sources.volume_folder import VolumeFolder
from partial_labels.errors import InputError


@final
class DicomSource(VolumeFolder):
    """Reads DICOM series; each case has a folder of its own, at any depth below which its one series lies.

    Labels are NIfTI files on the grid of the series, in either layout of
    :class:`~datamodules.sources.volume_folder.VolumeFolder` (``images/CASE/*.dcm`` and ``labels/CASE.nii.gz``, or
    ``CASE/*.dcm`` and ``CASE/segmentations/ORGAN.nii.gz``).
    """

    def image_of_case(self, folder: Path) -> Path | None:
        """Return the folder of a case's series.

        Raises:
            InputError: If there are several.
        """
        inside = [folder, *sorted(path for path in folder.rglob("*") if path.is_dir())]
        found = [path for path in inside if dicom_files(path)]
        if len(found) > 1:
            raise InputError(f"{folder}: {found[0]} and {found[1]} both hold a series; give each case one")
        return found[0] if found else None

    def images_in(self, folder: Path) -> Mapping[str, Path]:
        """Return the series of every case."""
        folders = [path for path in sorted(folder.iterdir()) if path.is_dir()]
        found = {path.name: image for path in folders if (image := self.image_of_case(path)) is not None}
        if not found:
            raise InputError(f"{folder}: no folder with DICOM files lies there; give each series a folder")
        return found
