"""An nnU-Net raw data set.

::

    dataset.json                        labels, channels, number of training cases
    imagesTr/CASE_0000.nii.gz           one file a channel
    labelsTr/CASE.nii.gz
    imagesTs/CASE_0000.nii.gz           optional, and labelsTs
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, final

import numpy as np

from datamodules.sources.labeled_volumes import LabeledVolumes, Scan
from datamodules.sources.nifti_file import stem
from datamodules.sources.nnunet_json import read_nnunet_json
from datamodules.sources.volume_folder import nifti_files
from datamodules.sources.volume_labels import LabelMap
from partial_labels.classes import ClassTable
from partial_labels.errors import InputError


@final
class NnunetSource(LabeledVolumes):
    """Reads a folder of ``nnUNet_raw``; its ignore label becomes ``IGNORE``, of which nothing is claimed.

    Args:
        channel: The channel to read, one file of each case.
        test_images: What to do with ``imagesTs``: ``leave_out``, take them as ``unlabeled`` training cases, or as the
            ``test`` part with the labels of ``labelsTs``.
        pairs: Ids of structures that exchange under a mirror; by default found by name.
        shared: See :class:`~datamodules.sources.labeled_volumes.LabeledVolumes`.

    Raises:
        InputError: If ``dataset.json`` and the files contradict each other.
    """

    def __init__(
        self,
        channel: int = 0,
        test_images: Literal["leave_out", "unlabeled", "test"] = "leave_out",
        pairs: Sequence[Sequence[int]] | None = None,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        self.json = self.root / "dataset.json"
        self.told = read_nnunet_json(self.json)
        if not 0 <= channel < self.told.channels:
            raise InputError(f"data.source.channel={channel}: {self.json} has {self.told.channels}, the first is 0")
        self.channel = channel
        classes = ClassTable.from_foreground(
            self.told.names, None if pairs is None else [(left, right) for left, right in pairs]
        )
        scans = self._scans("Tr", True, "")
        if self.told.num_training not in (None, len(scans)):
            raise InputError(
                f"{self.json}: numTraining is {self.told.num_training}, but {len(scans)} cases lie in imagesTr; "
                "restore the files, or correct the number"
            )
        if test_images != "leave_out":
            scans += self._scans("Ts", test_images == "test", "test" if test_images == "test" else "")
        self.take(classes, scans)

    def _scans(self, part: str, labeled: bool, split: str) -> list[Scan]:
        """Return the cases of a part, each with every channel and, where ``labeled``, its label."""
        folder, labels = self.root / f"images{part}", self.root / f"labels{part}"
        files = {stem(path): path for path in nifti_files(folder)}
        names = sorted({name.rpartition("_")[0] for name in files})
        odd = [name for name in files if not re.fullmatch(r".+_\d{4}", name)]
        if odd or not names:
            fault = f"{odd[0]} is no CASE_0000" if odd else "no .nii.gz lies there"
            raise InputError(f"{folder}: {fault}; data.root must be a folder of nnUNet_raw, as Dataset001_Name")
        maps = {stem(path): path for path in nifti_files(labels)} if labeled else {}
        lonely = sorted(set(maps) ^ set(names)) if labeled else []
        if lonely:
            here, there = (labels, folder) if lonely[0] in maps else (folder, labels)
            raise InputError(f"{here}: {lonely[0]} lies there but not in {there}; restore or remove it")
        known = np.arange(len(self.told.names) + 1) > (0 if labeled else len(self.told.names))
        return [
            Scan(name, self._image(files, name), LabelMap(maps[name], self.told.ids) if labeled else None, known, split)
            for name in names
        ]

    def _image(self, files: dict[str, Path], name: str) -> Path:
        """Return the file of the chosen channel, and refuse a case that lacks any."""
        for number in range(self.told.channels):
            if f"{name}_{number:04d}" not in files:
                raise InputError(
                    f"{self.json}: {self.told.channels} channels are announced, but {name}_{number:04d} is missing; "
                    "restore the file, or correct channel_names"
                )
        return files[f"{name}_{self.channel:04d}"]
