"""Dice of partially examined slices: nothing is counted that nobody looked at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from metrics.joint_histogram import count_pairs
from metrics.means import Bools, Floats, Ints, mean_over_cases, mean_over_classes, ratio
from partial_labels.batch import HUMAN, PartialLabelBatch, ValidationBatch


@dataclass(frozen=True)
class ClassRow:
    """What is known of one class after validation; a Dice is NaN where no case was countable.

    Args:
        name: The class.
        dice: Mean over the slices in which the class was examined, and drawn or predicted.
        dice_volume: Mean over the volumes, pixels pooled over the examined slices of each.
        dice_truth: As ``dice``, against the truth; NaN where no more is known than was shown.
        present: Examined slices that show the class.
        absent: Examined slices that certainly do not.
        unknown: Slices in which nobody looked for it.
        false_positives: How many of the ``absent`` slices it was predicted in all the same.
        dice_pessimistic: As ``dice``, over all slices, a class that nobody examined taken as absent.
    """

    name: str
    dice: float
    dice_volume: float
    dice_truth: float
    present: int
    absent: int
    unknown: int
    false_positives: int
    dice_pessimistic: float = math.nan


class CaseDice(NamedTuple):
    """One entry for each countable (slice, class), sorted by case and class: what a paired comparison needs."""

    case_id: Ints
    volume: Ints
    class_id: Ints
    dice: Floats


class VolumeDice(NamedTuple):
    """One entry for each countable (volume, class), sorted by volume and class: pixels pooled over its slices."""

    volume: Ints
    class_id: Ints
    dice: Floats
    """Over the slices in which the class was examined; NaN where there is none."""
    dice_truth: Floats
    """Over all slices, against the truth."""


class PartialDice(Metric):
    """Dice over the cells that a human examined, by slice, by volume, pessimistic, and against the truth.

    For a class and an examined slice the Dice is 2 |A and B| / (|A| + |B|). If neither label nor prediction has the
    class, the slice does not count; if it was predicted where it is certainly absent, its Dice is 0. ``IGNORE`` pixels
    are left out; at ``UNSURE`` pixels every examined class is absent. The order of the means is the challenge's:
    first over the slices of a class, then over the classes; a class without a countable slice is left out.

    Integer counts of each case are kept until the end, so the figures depend neither on the batches nor on the number
    of processes, and a case that a sampler repeated to fill a batch counts once. Slices may differ in size.

    Args:
        class_names: All names in id order, the background first.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    case_id: list[Tensor]
    volume: list[Tensor]
    seen_status: list[Tensor]
    truth_status: list[Tensor]
    seen_counts: list[Tensor]
    truth_counts: list[Tensor]

    def __init__(self, class_names: Sequence[str]) -> None:
        super().__init__()
        if len(class_names) < 2:
            raise ValueError(f"class_names={list(class_names)}: the background and at least one class are needed")
        self.class_names = tuple(class_names)
        for name in ("case_id", "volume", "seen_status", "truth_status", "seen_counts", "truth_counts"):
            self.add_state(name, default=[], dist_reduce_fx="cat")
        self._tally: _Tally | None = None

    def update(self, prediction: UInt8[Tensor, "B H W"], batch: ValidationBatch) -> None:
        """Count one batch.

        Args:
            prediction: Label map of the network.
            batch: The slices as they were shown and as they truly are.

        Raises:
            ValueError: If shapes differ or an id is not in the class table.
        """
        seen = self._count(prediction, batch.seen)
        same = torch.equal(batch.seen.label, batch.truth.label)
        self.case_id.append(batch.seen.case_id)
        self.volume.append(batch.volume)
        self.seen_status.append(batch.seen.status)
        self.truth_status.append(batch.truth.status)
        self.seen_counts.append(seen)
        self.truth_counts.append(seen if same else self._count(prediction, batch.truth))

    def _count(self, prediction: UInt8[Tensor, "B H W"], batch: PartialLabelBatch) -> Int64[Tensor, "B 3 C"]:
        """Return per case and class the pixels of the intersection, of the label and of the prediction."""
        pairs = count_pairs(batch.label, prediction, len(self.class_names))
        drawn = pairs[:, :-1].sum(dim=2)
        return torch.stack([pairs.diagonal(dim1=1, dim2=2), drawn, pairs.sum(dim=1)], dim=1)

    def compute(self) -> dict[str, Tensor]:
        """Return the figures as float64 scalars on the CPU, NaN where no class has a countable case.

        ``dice``, ``dice_volume``, ``dice_pessimistic`` (every cell, unknown taken as absent), ``dice_classes`` (how
        many classes ``dice`` is the mean of), ``dice/<class>`` of those, ``foreground_fraction`` (part of the pixels
        that was predicted as any class but the background), and, where the truth knows more cells than were shown,
        ``dice_truth``.
        """
        self._tally = tally = self._gather()
        dice = tally.seen.class_dice()
        figures = {
            "dice": mean_over_classes(dice),
            "dice_volume": mean_over_classes(tally.seen.pooled(tally.volume).class_dice()),
            "dice_pessimistic": mean_over_classes(tally.seen.all_examined().class_dice()),
            "dice_classes": float(np.isfinite(dice).sum()),
            "foreground_fraction": tally.foreground_fraction,
        }
        if tally.knows_more:
            figures["dice_truth"] = mean_over_classes(tally.truth.class_dice())
        names = self.class_names[1:]
        figures |= {f"dice/{name}": value for name, value in zip(names, dice, strict=True) if np.isfinite(value)}
        return {name: torch.tensor(value, dtype=torch.float64) for name, value in figures.items()}

    def table(self) -> list[ClassRow]:
        """Return one row for each class but the background, of the cases that :meth:`compute` last saw.

        With several processes, call :meth:`compute` in all of them first.
        """
        tally = self._computed_tally()
        seen = tally.seen
        nothing = np.full(len(self.class_names) - 1, np.nan)
        present = seen.examined & (seen.drawn > 0)
        absent = seen.examined & (seen.drawn == 0)
        columns = (
            seen.class_dice(),
            seen.pooled(tally.volume).class_dice(),
            tally.truth.class_dice() if tally.knows_more else nothing,
            present.sum(axis=0),
            absent.sum(axis=0),
            (~seen.examined).sum(axis=0),
            (absent & (seen.predicted > 0)).sum(axis=0),
            seen.all_examined().class_dice(),
        )
        values = zip(*(column.tolist() for column in columns), strict=True)
        return [ClassRow(name, *row) for name, row in zip(self.class_names[1:], values, strict=True)]

    def per_case(self) -> CaseDice:
        """Return the Dice of each countable (slice, class), of the cases that :meth:`compute` last saw."""
        tally = self._computed_tally()
        dice = tally.seen.case_dice()
        case, column = np.nonzero(np.isfinite(dice))
        return CaseDice(tally.case_id[case], tally.volume[case], column + 1, dice[case, column])

    def per_volume(self) -> VolumeDice:
        """Return the Dice of each countable (volume, class), of the cases that :meth:`compute` last saw."""
        tally = self._computed_tally()
        seen, truth = (cells.pooled(tally.volume).case_dice() for cells in (tally.seen, tally.truth))
        row, column = np.nonzero(np.isfinite(seen) | np.isfinite(truth))
        return VolumeDice(np.unique(tally.volume)[row], column + 1, seen[row, column], truth[row, column])

    def _computed_tally(self) -> _Tally:
        self.compute()
        assert self._tally is not None
        return self._tally

    def _gather(self) -> _Tally:
        """Bring the states to the host, sorted by case, each case once."""
        case_id, first = np.unique(dim_zero_cat(self.case_id).cpu().numpy(), return_index=True)

        def rows(state: list[Tensor]) -> Ints:
            array: Ints = dim_zero_cat(state).cpu().numpy().astype(np.int64, copy=False)
            return array[first]

        return _Tally(
            case_id,
            rows(self.volume),
            _Cells(rows(self.seen_counts), rows(self.seen_status)[:, 1:] == HUMAN),
            _Cells(rows(self.truth_counts), rows(self.truth_status)[:, 1:] == HUMAN),
        )


@dataclass(frozen=True)
class _Cells:
    """Counts of N cases (or volumes): ``counts`` (N, 3, C) with the background, ``examined`` (N, C - 1) without."""

    counts: Ints
    examined: Bools

    @property
    def drawn(self) -> Ints:
        return self.counts[:, 1, 1:]

    @property
    def predicted(self) -> Ints:
        return self.counts[:, 2, 1:]

    def case_dice(self) -> Floats:
        """Return (N, C - 1), NaN where the cell is not countable."""
        size = self.drawn + self.predicted
        return ratio(2 * self.counts[:, 0, 1:], size, self.examined & (size > 0))

    def class_dice(self) -> Floats:
        """Return (C - 1,), the mean over the countable cells of each class, NaN where there is none."""
        return mean_over_cases(self.case_dice())

    def pooled(self, volume: Ints) -> _Cells:
        """Add up the examined cells of each volume."""
        numbers, place = np.unique(volume, return_inverse=True)
        counts = np.zeros((len(numbers), *self.counts.shape[1:]), dtype=np.int64)
        examined = np.zeros((len(numbers), self.examined.shape[1]), dtype=np.bool_)
        np.add.at(counts[:, :, 1:], place, self.counts[:, :, 1:] * self.examined[:, None])
        np.logical_or.at(examined, place, self.examined)
        return _Cells(counts, examined)

    def all_examined(self) -> _Cells:
        """Take every cell as examined."""
        return _Cells(self.counts, np.ones_like(self.examined))


@dataclass(frozen=True)
class _Tally:
    """All cases, sorted by id, without repetition."""

    case_id: Ints
    volume: Ints
    seen: _Cells
    truth: _Cells

    @property
    def knows_more(self) -> bool:
        return int(self.truth.examined.sum()) > int(self.seen.examined.sum())

    @property
    def foreground_fraction(self) -> float:
        pixels = int(self.seen.counts[:, 2].sum())
        return int(self.seen.predicted.sum()) / pixels if pixels else float("nan")
