"""Writes a round of pseudo-labels, out of core and in one rename."""

from __future__ import annotations

import csv
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from partial_labels.array_file import ArrayFile
from partial_labels.batch import HUMAN, TEACHER, UNKNOWN, UNSURE, derive_background_array
from partial_labels.checksums import write_checksums
from partial_labels.pseudo_filters import Bools, PseudoTable
from partial_labels.pseudo_store import ARRAYS, RoundHeader


class PseudoRoundWriter:
    """Writes a round out of core: completed cases as they come, then without the cells that filters rejected.

    Use it as a context manager. Leaving it by an exception, or without :meth:`finish`, removes what was written and
    leaves a round that lay there before as it is; what a killed process left is removed by the next.

    Args:
        path: The folder to make.
        size: (H, W) of the labels.
        num_classes: C, background included.
    """

    def __init__(self, path: Path, size: tuple[int, int], num_classes: int) -> None:
        self.path, self.size, self.num_classes = path, size, num_classes
        self.case_ids: list[NDArray[np.int64]] = []
        self.tables: list[PseudoTable] = []

    def __enter__(self) -> PseudoRoundWriter:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for abandoned in self.path.parent.glob(f".{self.path.name}.*"):
            shutil.rmtree(abandoned, ignore_errors=True)
        self.folder = Path(tempfile.mkdtemp(prefix=f".{self.path.name}.", dir=self.path.parent))
        self.file = ArrayFile(self.folder / "labels.npy", "uint8", self.size)
        return self

    def add(self, case_ids: NDArray[np.int64], labels: NDArray[np.uint8], table: PseudoTable) -> None:
        """Append completed cases, (B,) and (B, H, W), with the scores of their cells."""
        self.file.append(labels)
        self.case_ids.append(case_ids)
        self.tables.append(table)
        # Many small arrays that outlive the batch's large ones would keep the memory of all of them in pieces.
        while len(self.tables) > 1 and len(self.tables[-1].status) >= len(self.tables[-2].status):
            self.tables[-2:] = [PseudoTable.concatenate(self.tables[-2:])]

    def table(self) -> PseudoTable:
        """Return the scores of all cases that were added, in that order."""
        return PseudoTable.concatenate(self.tables)

    def labels(self) -> NDArray[np.uint8]:
        """Return the labels, (M, H, W), to change them in place; nothing can be added after that."""
        self.file.close()
        mapped: NDArray[np.uint8] = np.load(self.folder / "labels.npy", mmap_mode="r+")
        return mapped

    def finish(self, header: RoundHeader, names: Sequence[str], accepted: Bools, weight: float) -> None:
        """Write the tables and take the place of a round that lies there.

        Args:
            header: Where the round comes from.
            names: (M,) names of the cases.
            accepted: (M, C) the filled cells that were believed.
            weight: Weight of their ``TEACHER`` cells.
        """
        self.file.close()
        table, case_ids = self.table(), np.concatenate(self.case_ids)
        scores = np.stack([table.peak, table.confidence, table.pixels.astype(np.float32)], axis=2)
        np.save(self.folder / "case_ids.npy", case_ids)
        np.save(self.folder / "status.npy", completed_status(table.status, accepted))
        np.save(self.folder / "weight.npy", np.full(len(case_ids), weight, dtype=np.float32))
        np.save(self.folder / "cells.npy", scores)
        write_cases(self.folder / "cases.csv", case_ids, names, table, accepted, header.classes)
        (self.folder / "header.json").write_text(json.dumps(header.to_json(), indent=1) + "\n", encoding="utf-8")
        write_checksums([self.folder / "header.json", *(self.folder / f"{name}.npy" for name in ARRAYS)])
        self.folder.chmod(0o755)
        self._put_in_place()

    def _put_in_place(self) -> None:
        """Rename; a folder cannot be renamed over another, so an older round steps aside first."""
        older = self.folder.with_name(self.folder.name + ".older")
        if self.path.exists():
            os.rename(self.path, older)
        try:
            os.rename(self.folder, self.path)
        except OSError:
            if older.exists():
                os.rename(older, self.path)
            raise
        shutil.rmtree(older, ignore_errors=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def completed_status(status: NDArray[np.uint8], accepted: Bools) -> NDArray[np.uint8]:
    """Return the status (M, C) with accepted cells ``TEACHER``, and the background derived from the others."""
    return derive_background_array(np.where(accepted & (status == UNKNOWN), TEACHER, status).astype(np.uint8))


def without_rejected(labels: NDArray[np.uint8], status: NDArray[np.uint8], accepted: Bools) -> NDArray[np.uint8]:
    """Return the labels (B, H, W) with the pixels of rejected cells ``UNSURE``.

    Args:
        labels: As completed by the teacher.
        status: (B, C) what was known before.
        accepted: (B, C) the filled cells that were believed.
    """
    rejected = (status == UNKNOWN) & ~accepted
    rejected[:, 0] = False
    lut = np.tile(np.arange(256, dtype=np.uint8), (len(labels), 1))
    lut[:, : rejected.shape[1]][rejected] = UNSURE
    return lut[np.arange(len(labels))[:, None, None], labels]


def write_cases(
    path: Path,
    case_ids: NDArray[np.int64],
    names: Sequence[str],
    table: PseudoTable,
    accepted: Bools,
    classes: Sequence[str],
) -> None:
    """Write one row a case: what a person looks for when a round looks wrong."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["case_id", "name", *table.scores, "to_fill", "accepted", "accepted_present", "examined"])
        for row, (case, name) in enumerate(zip(case_ids.tolist(), names, strict=True)):
            scores = [f"{score[row]:.6f}" for score in table.scores.values()]
            present = accepted[row] & table.present[row]
            examined = np.append(False, table.status[row, 1:] == HUMAN)
            counts = [int(table.to_fill[row].sum()), int(accepted[row].sum())]
            lists = ["; ".join(classes[c] for c in np.flatnonzero(mask).tolist()) for mask in (present, examined)]
            writer.writerow([case, name, *scores, *counts, *lists])
