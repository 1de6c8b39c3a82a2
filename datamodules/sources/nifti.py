"""Folders of NIfTI volumes with label maps, or in TotalSegmentator's layout."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

from datamodules.sources.nifti_file import stem
from datamodules.sources.volume_folder import VolumeFolder, nifti_files
from partial_labels.errors import InputError


@final
class NiftiSource(VolumeFolder):
    """Reads NIfTI volumes (``.nii``, ``.nii.gz``).

    Args:
        image: For ``layout=organ_files``: the file name of each case's image.
        shared: See :class:`~datamodules.sources.volume_folder.VolumeFolder`.

    Raises:
        InputError: If the files cannot be what the options say.
    """

    def __init__(self, image: str = "ct.nii.gz", **shared: Any) -> None:
        self.image = image
        super().__init__(**shared)

    def image_of_case(self, folder: Path) -> Path | None:
        """Return the image in a case's folder."""
        path = folder / self.image
        return path if path.exists() else None

    def images_in(self, folder: Path) -> Mapping[str, Path]:
        """Return every NIfTI file."""
        found = {stem(path): path for path in nifti_files(folder)}
        if not found:
            raise InputError(f"{folder}: no .nii or .nii.gz lies there; put the images there")
        return found
