"""Folders of volumes with label maps, or with one file an organ: the layouts that NIfTI and DICOM sets share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from datamodules.sources.labeled_volumes import LabeledVolumes, Scan
from datamodules.sources.nifti_file import ENDINGS, is_nifti, stem
from datamodules.sources.slices import read_classes
from datamodules.sources.volume_labels import LabelMap, OrganFiles, Overlap
from partial_labels.classes import ClassTable
from partial_labels.errors import InputError

Missing = Literal["unexamined", "absent"]
CHOOSE = (
    "data.source.missing is not set: say what it means that a case has no file of an organ. unexamined: nobody looked, "
    "so the organ may be there and is not trained on in this case. absent: it was looked for and is not there, so "
    "predicting it is punished. The wrong choice either wastes the absences or teaches wrong ones"
)


class VolumeFolder(LabeledVolumes):
    """A folder of volumes; a subclass says how an image is recognised.

    ::

        layout=label_maps                          layout=organ_files (TotalSegmentator's)
          images/CASE...                             CASE/ct.nii.gz
          labels/CASE.nii.gz                         CASE/segmentations/ORGAN.nii.gz
          classes.json

    An image without a label file, or without a folder of organ files, is unlabeled.

    Args:
        layout: ``label_maps`` or ``organ_files``.
        classes: Names of classes 1, 2, ...; by default those of ``classes.json``, or every organ that has a file.
        missing: For ``organ_files``, must be chosen: what a missing file means, ``unexamined`` or ``absent``. A file
            in which nothing is drawn always means examined and absent.
        overlap: For ``organ_files``: what a voxel of two organs is, ``ignore`` or ``later`` (the later class).
        images: For ``label_maps``: the folder of the images.
        labels: For ``label_maps``: the folder of the label maps.
        segmentations: For ``organ_files``: the folder of the organs in each case's folder.
        pairs: Ids of structures that exchange under a mirror; by default found by name.
        shared: What every source of volumes takes.

    Raises:
        InputError: If a folder is missing or empty, a label has no image, or ``missing`` is not chosen.
    """

    def __init__(
        self,
        layout: Literal["label_maps", "organ_files"] = "label_maps",
        classes: Sequence[str] | None = None,
        missing: Missing | None = None,
        overlap: Overlap = "ignore",
        images: str = "images",
        labels: str = "labels",
        segmentations: str = "segmentations",
        pairs: Sequence[Sequence[int]] | None = None,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        given = None if pairs is None else [(left, right) for left, right in pairs]
        if layout == "organ_files":
            if missing is None:
                raise InputError(CHOOSE)
            self._take_organ_files(classes, missing, overlap, segmentations, given)
        else:
            table = read_classes(self.root / "classes.json", pairs) if classes is None else None
            self._take_label_maps(table or ClassTable.from_foreground(classes or (), given), images, labels)

    @abstractmethod
    def image_of_case(self, folder: Path) -> Path | None:
        """Return the image in a case's own folder, or None where there is none."""

    @abstractmethod
    def images_in(self, folder: Path) -> Mapping[str, Path]:
        """Return the images in a folder of images, by the names of their cases."""

    def _take_label_maps(self, classes: ClassTable, images: str, labels: str) -> None:
        folder = self.root / images
        if not folder.is_dir():
            hint = "; or is it data.source.layout=organ_files?" if any(self.root.glob("*/segmentations")) else ""
            raise InputError(f"{folder}: no such folder; put the images there, or name it as data.source.images{hint}")
        maps = {stem(path): path for path in nifti_files(self.root / labels)}
        found = self.images_in(folder)
        lonely = sorted(set(maps) - set(found))
        if lonely:
            raise InputError(f"{maps[lonely[0]]}: no image of this name lies in {folder}; add it or remove the label")
        ids = {index: index for index in range(1, len(classes))}
        foreground = np.arange(len(classes)) > 0
        scans = [
            Scan(name, image, LabelMap(maps[name], ids), foreground)
            if name in maps
            else Scan(name, image, None, np.zeros_like(foreground))
            for name, image in sorted(found.items())
        ]
        self.take(classes, scans)

    def _take_organ_files(
        self,
        names: Sequence[str] | None,
        missing: Missing,
        overlap: Overlap,
        segmentations: str,
        pairs: Sequence[tuple[int, int]] | None,
    ) -> None:
        folders = [path for path in sorted(self.root.iterdir()) if path.is_dir()]
        images = {folder.name: image for folder in folders if (image := self.image_of_case(folder)) is not None}
        if not images:
            raise InputError(f"{self.root}: no folder with an image lies there; name the folder of the cases")
        organs = {name: {stem(path): path for path in nifti_files(self.root / name / segmentations)} for name in images}
        every = sorted({organ for files in organs.values() for organ in files})
        if not every:
            raise InputError(
                f"{self.root}: no organ file (CASE/{segmentations}/ORGAN.nii.gz) lies there; mend data.root"
            )
        classes = ClassTable.from_foreground(names or every, pairs)
        unknown = [name for name in classes.foreground if name not in every]
        if unknown:
            raise InputError(f"data.source.classes: no case has a file of {unknown[0]!r}; there is {', '.join(every)}")
        scans = []
        for name, image in images.items():
            files = {i: organs[name][organ] for i, organ in enumerate(classes.names) if organ in organs[name]}
            labeled = (self.root / name / segmentations).is_dir()
            looked = np.array([i > 0 and labeled and (missing == "absent" or i in files) for i in range(len(classes))])
            scans.append(Scan(name, image, OrganFiles(files, overlap) if labeled else None, looked))
        self.take(classes, scans)


def nifti_files(folder: Path) -> list[Path]:
    """Return the NIfTI files in a folder, which may be missing.

    Raises:
        InputError: If one case or organ has two files, as ``.nii`` and as ``.nii.gz``.
    """
    found = sorted(path for path in folder.iterdir() if is_nifti(path)) if folder.is_dir() else []
    twice = [path for path in found if path.name.endswith(ENDINGS[1]) and path.with_name(path.name + ".gz") in found]
    if twice:
        raise InputError(f"{twice[0]}: lies there as .nii and as .nii.gz; remove one of them")
    return found
