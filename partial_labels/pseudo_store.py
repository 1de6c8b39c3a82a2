"""Rounds of pseudo-labels on disk: the only way from a teacher back to the DataModule, and one that can be looked at.

A round is a folder, ``RUN/pseudo/<stage>``::

    header.json     RoundHeader: which teacher, threshold and filters made it, for which store
    cases.csv       one row a case: name, scores, accepted classes
    case_ids.npy    (M,) int64, rows of the store's case table
    labels.npy      (M, H, W) uint8, completed
    status.npy      (M, C) uint8: HUMAN as shown, TEACHER where a filled cell was accepted, UNKNOWN where it was not
    weight.npy      (M,) float32, the weight of the case's TEACHER cells
    cells.npy       (M, C, 3) float32: peak, confidence and pixels, as in CellScores
    checksums.json  SHA-256 of the header and the arrays, compared before a stage learns from them

It is written into a temporary folder beside its place and renamed, so it is there whole or not at all; labels are
written as they come and read by memory map.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from partial_labels.batch import TEACHER
from partial_labels.case_store import CaseStore
from partial_labels.checksums import verify
from partial_labels.errors import InputError
from partial_labels.pseudo_filters import Bools

FORMAT = 1
FOLDER = "pseudo"
"""Folder of the rounds in a run directory."""
ARRAYS = ("case_ids", "labels", "status", "weight", "cells")
AGAIN = "delete the folder and continue the run with resume=, which writes it again"


@dataclass(frozen=True)
class RoundHeader:
    """Where a round comes from.

    Args:
        classes: Names of the classes in id order, the background first.
        store: Fingerprint of the case store.
        stage: The stage that trained the teacher.
        network: The child of its module that predicted, ``student`` or ``teacher``.
        checkpoint: The weights, relative to the run directory.
        checkpoint_sha256: SHA-256 of that file.
        seed: The run's seed.
        threshold: Least probability of an accepted pixel.
        filters: Name and settings of the filters, in their order.
        created: When, ISO 8601 in UTC.
    """

    classes: tuple[str, ...]
    store: str
    stage: str
    network: str
    checkpoint: str
    checkpoint_sha256: str
    seed: int
    threshold: float
    filters: Mapping[str, Any]
    created: str

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self) | {"classes": list(self.classes), "format": FORMAT}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> RoundHeader:
        """Read what :meth:`to_json` wrote."""
        values = {f.name: record[f.name] for f in fields(cls)}
        return cls(**values | {"classes": tuple(record["classes"])})


@dataclass(frozen=True)
class PseudoRound:
    """A round that was opened; arrays are memory maps and cost nothing until they are read.

    Args:
        path: The folder.
        header: Where it comes from.
        case_ids: (M,) rows of the store's case table.
        labels: (M, H, W) completed class ids, ``UNSURE`` or ``IGNORE``.
        status: (M, C) what is known of each cell, channel 0 derived.
        weight: (M,) weight of the ``TEACHER`` cells.
        cells: (M, C, 3) peak, confidence and pixels.
    """

    path: Path
    header: RoundHeader
    case_ids: NDArray[np.int64]
    labels: NDArray[np.uint8]
    status: NDArray[np.uint8]
    weight: NDArray[np.float32]
    cells: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.case_ids)

    @classmethod
    def open(cls, path: str | Path, store: CaseStore | None = None) -> PseudoRound:
        """Open a round.

        Args:
            path: The folder.
            store: The case store that it has to belong to; None to look at a round by itself.

        Raises:
            InputError: If the folder is no round, a damaged one, or one of other classes or cases.
        """
        path = Path(path)
        try:
            record = json.loads((path / "header.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: no round of pseudo-labels ({error}); run the stage that writes it") from error
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise InputError(f"{path}: no round of pseudo-labels of format {FORMAT}; {AGAIN}")
        try:
            arrays = {name: np.load(path / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ARRAYS}
            opened = cls(path, RoundHeader.from_json(record), **arrays)
        except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: damaged round of pseudo-labels ({error}); {AGAIN}") from error
        if store is not None:
            opened.check(store)
        return opened

    def __post_init__(self) -> None:
        cases, classes = len(self.case_ids), len(self.header.classes)
        shapes = {"case_ids": (cases,), "labels": (cases, *self.labels.shape[1:]), "status": (cases, classes)}
        shapes |= {"weight": (cases,), "cells": (cases, classes, 3)}
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} of shape {getattr(self, name).shape}, expected {shape}")

    def check(self, store: CaseStore) -> None:
        """Refuse a store that the round was not made for, and a round that is not what was written.

        Raises:
            InputError: If classes, slice size or cases are others, or a file is damaged.
        """
        if self.header.classes != store.classes.names:
            raise InputError(f"{self.path}: pseudo-labels of other classes than {store.path}; {AGAIN}")
        if self.header.store != store.header.fingerprint or self.labels.shape[1:] != tuple(store.header.size):
            raise InputError(f"{self.path}: pseudo-labels of other cases than {store.path}; {AGAIN}")
        verify(self.path, AGAIN)

    @cached_property
    def accepted(self) -> Bools:
        """(M,) whether the case holds at least one ``TEACHER`` cell."""
        held: Bools = (self.status[:, 1:] == TEACHER).any(axis=1)
        return held

    def rows_of(self, case_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return (K,) the rows of some cases, -1 for a case that is not in the round."""
        if not len(self):
            return np.full(len(case_ids), -1, dtype=np.int64)
        numbers, order = self._sorted
        place = np.searchsorted(numbers, case_ids).clip(max=len(numbers) - 1)
        return np.where(numbers[place] == case_ids, order[place], -1)

    @cached_property
    def _sorted(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        order = np.argsort(self.case_ids, kind="stable")
        return np.asarray(self.case_ids)[order], order


def find_rounds(run: Path) -> dict[str, Path]:
    """Return the complete rounds of a run directory, {stage: folder}, the oldest first."""
    found = [path.parent for path in (run / FOLDER).glob("*/header.json") if not path.parent.name.startswith(".")]
    return {path.name: path for path in sorted(found, key=lambda path: (path / "header.json").stat().st_mtime)}
