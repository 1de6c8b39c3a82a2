"""Means, spreads and differences of groups of runs, and what may be said of them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

from metrics.means import Floats, Ints
from metrics.paired import CellSums, Difference, paired_gain
from reports.comparison.files import read_table
from reports.comparison.keys import Group
from reports.comparison.runs import Run, evaluated
from reports.run.curves import Curve

PAIRED = {"dice": "cases.csv", "dice_volume": "volumes.csv"}
"""Figures that can be compared case by case, and where an evaluation keeps their cases."""
FEW = 6
"""Patients below which an interval over them is taken with a grain of salt."""


@dataclass(frozen=True)
class Mean:
    """A figure of a group.

    Args:
        values: One a run.
    """

    values: list[float]

    @property
    def mean(self) -> float:
        """Their mean, NaN where a run lacks the figure."""
        return statistics.fmean(self.values) if self.values else math.nan

    @property
    def deviation(self) -> float:
        """Their standard deviation; NaN of a single run."""
        whole = len(self.values) > 1 and not any(map(math.isnan, self.values))
        return statistics.stdev(self.values) if whole else math.nan


@dataclass(frozen=True)
class Gain:
    """How much better a group is than the baseline.

    Args:
        group: Label of the group.
        over_cases: The difference, with a 95 % bootstrap interval over patients; None where the runs cannot be paired.
        over_seeds: 95 % interval over seeds (Welch, 1947); None where a group has a single run.
        units: Patients that were drawn.
        verdict: Whether the gain is noise, in words.
    """

    group: str
    over_cases: Difference | None
    over_seeds: tuple[float, float] | None
    units: int
    verdict: str


class Cells(NamedTuple):
    """What an evaluation counted: one entry for each countable case, or volume, and class.

    Args:
        units: Number of validation patients, N.
        patient: (n,) which of them, by number.
        class_id: (n,).
        dice: (n,).
    """

    units: int
    patient: Ints
    class_id: Ints
    dice: Floats

    def sums(self, classes: int) -> CellSums:
        """Add up the cases of each patient, (N, classes)."""
        place, size = self.patient * classes + self.class_id, self.units * classes
        total, number = (np.bincount(place, by, size).astype(np.float64) for by in (self.dice, np.ones(len(place))))
        return CellSums(total.reshape(self.units, classes), number.reshape(self.units, classes))


def figure_of(group: Group, checkpoint: str, name: str) -> Mean:
    """Return a figure of a checkpoint over the finished runs of a group."""
    return Mean([run.figure(checkpoint, name) for run in group.finished])


def mean_curve(curves: Sequence[Curve]) -> tuple[Floats, Floats, Floats]:
    """Return the epochs at which every run was measured, and mean and deviation there; of one run it is 0."""
    epochs = sorted(set.intersection(*(set(at.tolist()) for at, _ in curves))) if curves else []
    rows = [dict(zip(at.tolist(), values.tolist(), strict=True)) for at, values in curves]
    values = np.array([[row[epoch] for epoch in epochs] for row in rows]).reshape(len(rows), len(epochs))
    deviation = values.std(axis=0, ddof=1) if len(rows) > 1 else np.zeros(len(epochs))
    return np.array(epochs), np.array([statistics.fmean(column) for column in values.T]), deviation


def gains_over(groups: Sequence[Group], baseline: Group, figure: str, part: str = "val") -> list[Gain]:
    """Return how much better the last checkpoints of each other group are than the baseline's.

    Patients are drawn with all their cases, and the same ones for every run; so a difference that hangs on few of them
    shows as a wide interval.

    Args:
        groups: The groups.
        baseline: The one of them to compare with.
        figure: A key of ``PAIRED``.
        part: Whose cases: ``val`` or ``test``.
    """
    cells = {run.path: read_cells(run, figure, part) for group in groups for run in group.finished}
    return [gain_over(group, baseline, figure, part, cells) for group in groups if group is not baseline]


def gain_over(group: Group, baseline: Group, figure: str, part: str, cells: Mapping[Path, Cells]) -> Gain:
    """Compare one group with the baseline, or say why that cannot be done."""
    sides = group.finished, baseline.finished
    runs = [*sides[0], *sides[1]]
    lacking = next((one.label for one in (group, baseline) if not one.finished), None)
    bare = next((run.name for run in runs if not len(cells[run.path].dice)), None)
    if lacking or bare:
        table = f"evaluation/{evaluated('last', part)}/{PAIRED[figure]}"
        reason = f"{lacking} has no finished run" if lacking else f"{bare} has no {table}"
        return Gain(group.label, None, None, 0, f"not compared: {reason}")
    if len({run.data for run in runs}) > 1:
        return Gain(group.label, None, None, 0, "not compared: other data, or another split")
    classes = 1 + max(int(cells[run.path].class_id.max()) for run in runs)
    ours, theirs = ([cells[run.path].sums(classes) for run in side] for side in sides)
    difference = paired_gain(ours, theirs)
    seeds = seed_interval(*(figure_of(one, evaluated("last", part), figure) for one in (group, baseline)))
    units = cells[runs[0].path].units
    return Gain(group.label, difference, seeds, units, verdict(difference, seeds, units))


def read_cells(run: Run, figure: str, part: str = "val") -> Cells:
    """Read the Dice of every case, or volume, and class that an evaluation counted, with the patient of each.

    Volumes are numbered in the order in which the case table names them.
    """
    volumes = dict.fromkeys(row["volume"] for row in run.split)
    patients = {row["volume"]: row["group"] for row in reversed(run.split) if row["part"] == part}
    units = sorted({row["group"] for row in run.split if row["part"] == part})
    place = [units.index(patients[volume]) if volume in patients else -1 for volume in volumes]
    path = run.path / "evaluation" / evaluated("last", part) / PAIRED[figure]
    rows = read_table(path, ("volume", "class_id", "dice")) if place else []
    whole = [row for row in rows if row["dice"] != "nan"]
    patient = np.array([place[int(row["volume"])] for row in whole], dtype=np.int64)
    class_id = np.array([int(row["class_id"]) for row in whole], dtype=np.int64)
    return Cells(len(units), patient, class_id, np.array([float(row["dice"]) for row in whole]))


def seed_interval(ours: Mean, baseline: Mean) -> tuple[float, float] | None:
    """Return a 95 % interval of the difference over seeds, whose variances need not be equal (Welch, 1947)."""
    parts = [(one.deviation**2 / len(one.values), len(one.values)) for one in (ours, baseline)]
    variance = sum(part for part, _ in parts)
    gain = ours.mean - baseline.mean
    if math.isnan(variance):
        return None
    if variance == 0:
        return gain, gain
    freedom = variance**2 / sum(part**2 / (number - 1) for part, number in parts)
    half = float(stdtrit(freedom, 0.975)) * math.sqrt(variance)
    return gain - half, gain + half


def verdict(over_cases: Difference, over_seeds: tuple[float, float] | None, units: int) -> str:
    """Say in words whether a gain is noise."""
    word = over_cases.outcome
    few = f" (only {units} patients)" if units < FEW else ""
    if word == "nothing to compare":
        return f"{word}: no class has a countable case"
    if word == "no difference":
        return f"{word} on these patients{few}"
    if word == "may be noise":
        return f"{word}: other patients could turn it round{few}"
    if over_seeds is None:
        return f"{word} on these patients{few}; a single run does not tell what the seed does"
    if over_seeds[0] <= 0 <= over_seeds[1]:
        return f"{word} on these patients{few}, but may be noise: the seeds differ by as much"
    return f"{word}: neither the patients nor the seeds explain it{few}"


def common_curves(group: Group) -> Mapping[str, list[Curve]]:
    """Return the curves by key that every finished run of a group has logged."""
    runs = group.finished
    keys = [key for key in (runs[0].curves if runs else ()) if all(key in run.curves for run in runs)]
    return {key: [run.curves[key] for run in runs] for key in keys}
