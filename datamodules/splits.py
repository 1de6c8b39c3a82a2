"""Train, val and test: seeded, by group, near-duplicates kept together, every class on both sides where it can be."""

from __future__ import annotations

import csv
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.near_duplicates import cluster_vectors, similar_pairs, thumbnail_vectors
from datamodules.presence import present_cells
from datamodules.stratify import split_units, stratify
from partial_labels.batch import HUMAN
from partial_labels.case_store import CaseStore
from partial_labels.case_table import CaseTable
from partial_labels.errors import InputError
from partial_labels.whole_file import whole_file

logger = logging.getLogger(__name__)

PARTS = ("train", "val", "test")
COLUMNS = ("name", "group", "volume", "cluster", "part", "labels", "crossing")
NAMED = 5
"""How many names a warning lists before it only counts."""

Ids = NDArray[np.int64]
Parts = NDArray[Any]


@dataclass(frozen=True)
class Split:
    """Which case is used for what; all arrays hold rows of the case table in ascending order.

    Args:
        train: Cases to train on, labeled or not.
        val: Cases to validate on.
        test: Cases for the end. A case in none of the three is left out of this run.
        cluster: (N,) near-duplicate cluster of each case.
        crossing: Near-duplicate pairs (train case, val or test case) that a split given by the source cuts.
    """

    train: Ids
    val: Ids
    test: Ids
    cluster: Ids
    crossing: tuple[tuple[int, int], ...] = ()

    @property
    def part(self) -> Parts:
        """(N,) ``train``, ``val``, ``test`` or an empty string."""
        part = np.full(len(self.cluster), "", dtype="<U5")
        for name in PARTS:
            part[getattr(self, name)] = name
        return part

    def write(self, path: Path, cases: CaseTable, labeled: Ids) -> None:
        """Write one row a case, in the order of the case table.

        Args:
            path: The CSV file, replaced in one rename.
            cases: The case table.
            labeled: Ids of the training cases whose labels are shown.
        """
        labels = np.where(np.isin(np.arange(len(cases)), labeled), "labeled", "unlabeled")
        partners: dict[int, list[str]] = {}
        for train, other in self.crossing:
            partners.setdefault(train, []).append(str(other))
        with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for i, (row, part) in enumerate(zip(cases, self.part, strict=True)):
                shown = labels[i] if part == "train" else ""
                cells = (row.name, row.group, row.volume, self.cluster[i], part, shown, " ".join(partners.get(i, [])))
                writer.writerow(cells)

    @classmethod
    def read(cls, path: Path, cases: CaseTable) -> Split:
        """Read what :meth:`write` wrote.

        Raises:
            InputError: If the file is missing, damaged or belongs to another case table.
        """
        try:
            with path.open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            cluster = np.array([int(row["cluster"]) for row in rows], dtype=np.int64)
            crossing = tuple((i, int(other)) for i, row in enumerate(rows) for other in row["crossing"].split())
            part = np.array([row["part"] for row in rows])
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: no readable split ({error!r}); give the split.csv of a run") from error
        if unknown := set(part.tolist()).difference(PARTS, ("",)):
            raise InputError(f"{path}: no part is called {min(unknown)}; restore the file, or train again")
        if [row["name"] for row in rows] != [row.name for row in cases]:
            raise InputError(f"{path}: its cases are not those of the data; use the data that the run was trained on")
        return from_parts(part, cluster, crossing)


def make_split(
    store: CaseStore,
    *,
    val_fraction: float = 0.2,
    folds: int | None = None,
    fold: int | None = None,
    similarity: float = 0.98,
    seed: int = 0,
) -> Split:
    """Decide which cases train, validate and test.

    A split given by the source wins: its near-duplicates that cross are reported, never moved. Where the source names
    no val case, a share of the training cases becomes val; cases without a word of the source train. What is drawn
    here never cuts a group or a near-duplicate cluster. Where a truth is kept, the classes are balanced by it and not
    by what of it is shown: the more and the less annotated variants of a phantom are then measured on the same cases.

    Args:
        store: The cases.
        val_fraction: Share of the training cases that becomes val where the source gives none, in (0, 1).
        folds: Number of folds inside train, for choosing hyperparameters: val becomes one of them, and the val and
            test cases of the same call without ``folds`` are left out, so nothing is tuned on them.
        fold: Which fold becomes val, 0 to ``folds`` - 1.
        similarity: Correlation of thumbnails above which slices are near-duplicates, in (0, 1]; 1 joins none.
        seed: Everything drawn is a function of it.

    Raises:
        InputError: If an argument is out of range, a part is empty, the units are too few, or no class has a case.
    """
    _check_arguments(val_fraction, folds, fold, similarity)
    vectors = thumbnail_vectors(store.first_channel)
    cluster = cluster_vectors(vectors, similarity)
    shown = present_cells(store) & (store.status == HUMAN)
    balanced = shown if store.truth is None else present_cells(store, truth=True)
    part = given_parts(store)
    if not (part == "val").any():
        shares = np.array([1 - val_fraction, val_fraction])
        drawn = _draw(store, part, cluster, balanced, shares, seed)
        part[(part == "train") & (drawn == 1)] = "val"
    if folds is not None:
        drawn = _draw(store, part, cluster, balanced, np.full(folds, 1 / folds), seed)
        part = np.where(part == "train", np.where(drawn == fold, "val", "train"), "")
    split = from_parts(part, cluster, _crossing(vectors, part, similarity))
    name, sizes = store.header.name, [f"{len(getattr(split, part))} {part}" for part in PARTS]
    logger.info("%s: %s cases, %d near-duplicate clusters", name, ", ".join(sizes), len(np.unique(split.cluster)))
    _refuse_untrainable(store, split, shown)
    _warn(store, split, shown)
    return split


def from_parts(part: Parts, cluster: Ids, crossing: tuple[tuple[int, int], ...] = ()) -> Split:
    """Build a split from the part of each case."""
    train, val, test = (np.flatnonzero(part == name).astype(np.int64) for name in PARTS)
    return Split(train, val, test, cluster, crossing)


def _check_arguments(val_fraction: float, folds: int | None, fold: int | None, similarity: float) -> None:
    if not 0 < val_fraction < 1:
        raise InputError(f"data.val_fraction={val_fraction}: must lie in (0, 1)")
    if not 0 < similarity <= 1:
        raise InputError(f"data.similarity={similarity}: must lie in (0, 1]; 1 joins no slices")
    if (folds is None) != (fold is None):
        raise InputError(f"data.folds={folds} data.fold={fold}: give both or neither")
    if folds is not None and folds < 2:
        raise InputError(f"data.folds={folds}: at least 2 are needed")
    if folds is not None and fold is not None and not 0 <= fold < folds:
        raise InputError(f"data.fold={fold}: must lie in 0 to {folds - 1} (data.folds={folds})")


def given_parts(store: CaseStore) -> Parts:
    """Return the part of each case as the source gives it; one without a word trains.

    Raises:
        InputError: If a case is given another word.
    """
    given = store.cases.column("split")
    unknown = np.flatnonzero(~np.isin(given, ("", *PARTS)))
    if len(unknown):
        row = store.cases[unknown[0]]
        raise InputError(f"{store.header.name}, case {row.name}: split {row.split!r}; use train, val, test or nothing")
    return np.where(given == "", "train", given).astype("<U5")


def _draw(
    store: CaseStore, part: Parts, cluster: Ids, balanced: NDArray[np.bool_], shares: NDArray[np.float64], seed: int
) -> Ids:
    """Return for each case the drawn share's number, -1 outside train; ``balanced`` are its classes, (N, C)."""
    pool = np.flatnonzero(part == "train")
    unit = split_units(store.cases.column("group")[pool], cluster[pool]) if len(pool) else pool
    units = int(unit.max(initial=-1)) + 1
    if units < len(shares):
        raise InputError(
            f"{store.header.name}: {len(pool)} training cases form {units} units that must stay whole (patients, "
            f"near-duplicates), {len(shares)} are needed; add patients, lower data.folds or fill the split column"
        )
    labeled = (store.status[pool, 1:] == HUMAN).any(axis=1)
    columns = np.column_stack([balanced[pool, 1:], labeled, np.ones(len(pool), dtype=bool)])
    counts = np.zeros((units, columns.shape[1]), dtype=np.int64)
    np.add.at(counts, unit, columns)
    drawn = np.full(len(part), -1, dtype=np.int64)
    drawn[pool] = stratify(counts, shares, np.random.default_rng([seed, len(shares)]))[unit]
    return drawn


def _crossing(vectors: NDArray[np.float32], part: Parts, similarity: float) -> tuple[tuple[int, int], ...]:
    train, held_out = np.flatnonzero(part == "train"), np.flatnonzero((part == "val") | (part == "test"))
    blocks = similar_pairs(vectors[train], vectors[held_out], similarity)
    return tuple((int(train[i]), int(held_out[j])) for pairs in blocks for i, j in pairs)


def _refuse_untrainable(store: CaseStore, split: Split, shown: NDArray[np.bool_]) -> None:
    """Refuse an empty part, one that shows nothing, and a class that nobody examined."""
    name = store.header.name
    for part in ("train", "val"):
        if not len(getattr(split, part)):
            raise InputError(f"{name}: no {part} case; check the split column of the source, or leave it empty")
        if not shown[getattr(split, part), 1:].any():
            raise InputError(f"{name}: no {part} case shows any class; check the labels and the examined lists")
    unseen = np.flatnonzero(~(store.status[:, 1:] == HUMAN).any(axis=0))
    if len(unseen):
        names = ", ".join(store.classes.foreground[i] for i in unseen)
        raise InputError(
            f"{name}: no case is examined for {names}; take the class out of the class table (classes.json), or put "
            "its id into the examined lists"
        )


def _warn(store: CaseStore, split: Split, shown: NDArray[np.bool_]) -> None:
    """Warn of what a given split cuts, and of classes that a part never shows."""
    name = store.header.name
    if split.crossing:
        pairs = [f"{store.cases[a].name} ~ {store.cases[b].name}" for a, b in split.crossing]
        logger.warning("%s: the source's split cuts %d near-duplicate pairs: %s", name, len(pairs), some(pairs))
    group = store.cases.column("group")
    cut = sorted(set(group[split.train]) & set(group[np.concatenate([split.val, split.test])]))
    if cut:
        logger.warning("%s: the source's split cuts %d groups: %s", name, len(cut), some(cut))
    for part in ("train", "val"):
        missing = np.flatnonzero(~shown[getattr(split, part), 1:].any(axis=0))
        if len(missing):
            listed = ", ".join(store.classes.foreground[i] for i in missing)
            logger.warning("%s: no %s case shows %d of the classes: %s", name, part, len(missing), listed)


def some(names: list[str]) -> str:
    """List the first few names."""
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
