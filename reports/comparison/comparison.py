"""Compares runs: which is better, by how much, and whether that is more than noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from partial_labels.errors import InputError
from reports.comparison.jobs import Job, find_sweeps, missing_jobs, notes_on_sweep
from reports.comparison.keys import Group, group_runs
from reports.comparison.runs import Run, read_runs
from reports.comparison.statistics import PAIRED, Gain, gains_over


@dataclass(frozen=True)
class Comparison:
    """What a comparison shows.

    Args:
        runs: All runs that were found.
        missing: Jobs of sweeps that left none.
        groups: The runs, put together.
        baseline: The group that the others are held against.
        figure: The figure that counts, a key of ``PAIRED``.
        part: The cases that count: ``test`` where every finished run was measured on test cases, else ``val``.
        gains: Of every other group, for every key of ``PAIRED``.
        notes: What must be known to read it right, such as runs that are unfinished.
    """

    runs: list[Run]
    missing: list[Job]
    groups: list[Group]
    baseline: Group
    figure: str
    part: str
    gains: dict[str, list[Gain]]
    notes: list[str]


def compare(
    directories: Sequence[str | Path],
    group_by: Sequence[str] = (),
    baseline: str | None = None,
    figure: str | None = None,
) -> Comparison:
    """Read, group and compare runs.

    Args:
        directories: Directories of runs or sweeps.
        group_by: Keys of the configuration; by default those in which the runs differ, seed aside.
        baseline: Label of a group, or a value that only one has; by default the first group with a finished run.
        figure: The figure that counts; by default what the runs monitored, as far as cases keep it.

    Raises:
        InputError: If there is no run, a file is damaged, or a key or group does not exist.
    """
    runs = read_runs(directories)
    groups = group_runs(runs, group_by)
    against = choose_baseline(groups, baseline)
    counts = figure or monitored(runs)
    done = [run.results["figures"] for run in runs if run.results]
    part = "test" if done and all("last_test" in figures for figures in done) else "val"
    gains = {name: gains_over(groups, against, name, part) for name in PAIRED}
    missing = {sweep: missing_jobs(sweep) for sweep in find_sweeps(directories)}
    told = [note for sweep, jobs in missing.items() for note in notes_on_sweep(sweep, jobs, runs)]
    jobs = [job for found in missing.values() for job in found]
    return Comparison(runs, jobs, groups, against, counts, part, gains, [*told, *notes_on(runs, groups)])


def choose_baseline(groups: Sequence[Group], name: str | None) -> Group:
    """Find the group that the user means by its label, or by values that it alone has (``supervised, 0.05``).

    Raises:
        InputError: If there is no such group, or several.
    """
    if name is None:
        return next((group for group in groups if group.finished), groups[0])
    words = {word.strip() for word in name.split(",")}
    found = [group for group in groups if group.label == name]
    found = found or [group for group in groups if words <= {*group.keys.values(), *group.label.split(", ")}]
    if len(found) == 1:
        return found[0]
    wrong = "no such group" if not found else "several groups are meant"
    raise InputError(f"--baseline {name!r}: {wrong}; there is {' | '.join(group.label for group in found or groups)}")


def monitored(runs: Sequence[Run]) -> str:
    """Return the figure that the runs chose their best checkpoint by, the slice-wise Dice where they disagree."""
    names = {str(run.config.get("monitor", "")).removeprefix("val/") for run in runs}
    return names.pop() if len(names) == 1 and names <= PAIRED.keys() else "dice"


def notes_on(runs: Sequence[Run], groups: Sequence[Group]) -> list[str]:
    """Say what a reader would otherwise not notice."""
    found = [f"{run.name}: {run.state}; it is shown, but counts nowhere" for run in runs if not run.finished]
    if len({run.data for run in runs if run.finished}) > 1:
        found.append(
            "the runs were validated on different data or splits: their figures stand side by side, but only groups "
            "on the baseline's cases are compared with it"
        )
    for group in groups:
        seeds = [run.seed for run in group.finished]
        if group.mixed:
            found.append(f"{group.label}: its runs differ in {', '.join(group.mixed)}, not in the seed alone")
        elif len(set(seeds)) < len(seeds):
            found.append(f"{group.label}: some of its runs have the same seed, so that its spread is too small")
    return found
