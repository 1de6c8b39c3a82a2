"""Finds the jobs of a sweep that left no run to compare."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from reports.comparison.files import read_table
from reports.comparison.run_directories import find_runs
from reports.comparison.runs import Run

RECORD, JOBS = "multirun.yaml", "jobs.csv"
"""What a sweep was started with, and its jobs."""


@dataclass(frozen=True)
class Job:
    """A job of a sweep without a run: none of its files are there.

    Args:
        sweep: Directory of the sweep, as the user named it.
        name: Name of the job's directory; of a sweep that kept no list of its jobs, its number.
        typed: What makes it, without what makes all jobs of the sweep; empty where the sweep did not keep it.
        failure: Why it was refused, when the sweep last came to its end.
    """

    sweep: Path
    name: str
    typed: str = ""
    failure: str = ""

    @property
    def state(self) -> str:
        """Say that it was refused, or never begun."""
        return f"refused: {self.failure}" if self.failure else "not begun"


def find_sweeps(directories: Iterable[str | Path]) -> list[Path]:
    """Return the sweeps among the directories and below them, each once; runs named one by one are no sweep."""
    found: dict[Path, Path] = {}
    for directory in map(Path, directories):
        for folder in dict.fromkeys([directory, *(path.parent for path in find_runs(directory))]):
            if folder.is_relative_to(directory) and (folder / RECORD).is_file():
                found.setdefault(folder.resolve(), folder)
    return list(found.values())


def missing_jobs(sweep: Path) -> list[Job]:
    """Return the jobs of a sweep without a run of their own, in their order.

    A sweep without a list of its jobs shows them by the gaps in the numbers of those that are there.
    """
    runs = [path.name for path in find_runs(sweep) if path.parent == sweep]
    if (sweep / JOBS).is_file():
        rows = read_table(sweep / JOBS, ("job", "typed", "failure"))
        own = own_words([row["typed"] for row in rows])
        return [
            Job(sweep, row["job"], words, " ".join(row["failure"].split()))
            for row, words in zip(rows, own, strict=True)
            if row["job"] not in runs
        ]
    numbers = {int(one[0]) for one in (re.match(r"\d+(?=_)", name) for name in runs) if one}
    return [Job(sweep, f"job {number}") for number in sorted(set(range(max(numbers, default=-1))) - numbers)]


def own_words(lines: Sequence[str]) -> list[str]:
    """Leave out of every line the words that all of them hold."""
    words = [line.split() for line in lines]
    shared = set.intersection(*map(set, words)) if words else set()
    return [" ".join(word for word in line if word not in shared) for line in words]


def notes_on_sweep(sweep: Path, jobs: Sequence[Job], runs: Sequence[Run]) -> list[str]:
    """Say which jobs of a sweep left nothing, and what completes it; nothing of one that is complete.

    Args:
        sweep: Its directory.
        jobs: Its jobs without a run.
        runs: All runs that were found.
    """
    found = [f"{job.name}{f' ({job.typed})' if job.typed else ''}: {job.state}" for job in jobs]
    unfinished = [run for run in runs if run.path.parent == sweep.resolve() and not run.finished]
    if not found and not unfinished:
        return []
    lacking = " and ".join(
        f"{number} {what}" for number, what in ((len(jobs), "without a run"), (len(unfinished), "unfinished")) if number
    )
    if any(run.running for run in unfinished):
        return [*found, f"{sweep}: {lacking}; it is still at work"]
    command = shlex.join(["python", "train.py", "-m", f"resume_sweep={sweep}"])
    return [*found, f"{sweep}: {lacking}; complete it: {command}"]
