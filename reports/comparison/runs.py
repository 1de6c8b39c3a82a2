"""Finds the runs to compare, and reads what each has left in its directory."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from partial_labels.errors import InputError
from reports.comparison.files import REMEDY, check_numbers, read_config, read_json, read_table
from reports.comparison.run_directories import find_runs
from reports.run.curves import Curve, read_curves

RESULTS = ("figures", "overrides", "stages", "steps", "cpu_seconds", "wall_seconds")
"""What is read of ``results.json``."""


@dataclass(frozen=True)
class Run:
    """What lies in one run directory.

    Args:
        path: The directory.
        name: Short and unique among the runs that are compared.
        config: The resolved configuration.
        results: What ``results.json`` holds; None where the run has not come to its end.
        curves: Everything that was logged, by key: epochs and values.
    """

    path: Path
    name: str
    config: Mapping[str, Any]
    results: Mapping[str, Any] | None
    curves: Mapping[str, Curve]

    @property
    def finished(self) -> bool:
        """Whether the run has measured its checkpoints."""
        return self.results is not None

    @property
    def seed(self) -> int:
        """Its seed."""
        return int(self.config.get("seed", 0))

    @property
    def stages(self) -> list[dict[str, Any]]:
        """Its finished stages with their epochs; of a run that came to its end, all."""
        if self.results:
            return list(self.results["stages"])
        found = self.path.glob("checkpoints/*/stage.json")
        return [read_json(file) for file in sorted(found, key=lambda file: file.stat().st_mtime)]

    def figure(self, checkpoint: str, name: str) -> float:
        """Return a figure of a checkpoint, NaN where it was not measured."""
        figures: Mapping[str, float] = (self.results or {}).get("figures", {}).get(checkpoint, {})
        return float(figures.get(name, "nan"))

    @cached_property
    def split(self) -> list[dict[str, str]]:
        """The rows of ``split.csv``, in the order of the case table; empty where there is none."""
        return read_table(self.path / "split.csv", ("name", "group", "volume", "part"))

    @cached_property
    def data(self) -> tuple[str, ...]:
        """What must be the same where runs are compared case by case: the source, the size of its slices, the cases.

        The folder of the data may be named in other ways, and the fingerprint of the store hangs on it; what was
        examined of each class shows whether the truth is the same.
        """
        node = self.config.get("data", {})
        source = {key: value for key, value in (node.get("source") or {}).items() if key != "root"}
        store = str((self.results or {}).get("store", "")).rpartition("-")[0]
        known = ("name", "present", "absent", "unknown")
        classes = read_table(self.path / "evaluation" / "last" / "classes.csv", known)
        cases = [f"{row['part']} {row['group']} {row['name']}" for row in self.split if row["part"] in ("val", "test")]
        counts = [" ".join(row[key] for key in known) for row in classes]
        return (store, str(node.get("image_size")), json.dumps(source, sort_keys=True), *counts, *cases)

    @cached_property
    def typed(self) -> str:
        """The command that made it, which in a sweep made other runs too."""
        return (self.path / "command.txt").read_text(encoding="utf-8", errors="replace").strip()

    @property
    def swept(self) -> bool:
        """Whether it is a job of a sweep."""
        return bool({"-m", "--multirun"} & set(self.typed.split()))

    @cached_property
    def overrides(self) -> list[str]:
        """What was typed for this run alone, as far as it is known."""
        origin = self.path / "origin.json"
        if self.results or origin.is_file():
            return list((self.results or read_json(origin)).get("overrides", []))
        return [] if self.swept else [word for word in self.typed.split() if "=" in word]

    @property
    def command(self) -> str:
        """What to type to make this run again; of a job in a sweep, the job alone, where that is known."""
        if not self.swept or not self.overrides:
            return self.typed
        root = self.config.get("data", {}).get("root")
        known = root is None or any(word.startswith("data.root=") for word in self.overrides)
        first, second, *others = self.typed.split()
        added = [word for word in others if word.startswith("--config-dir=")]
        return shlex.join([first, second, *added, *self.overrides, *([] if known else [f"data.root={root}"])])

    @property
    def running(self) -> bool:
        """Whether a process is at work on it: it holds the lock of ``runs.run_directory.claimed``."""
        return is_locked(self.path / "checkpoints" / ".lock")

    @property
    def state(self) -> str:
        """Say whether the run is finished, or where it stands."""
        if self.finished:
            return "finished"
        epochs = max((float(at[-1]) for at, _ in self.curves.values() if len(at)), default=0.0)
        whole = self.config.get("trainer", {}).get("max_epochs", "?")
        after = f"after {epochs:.0f} of {whole} epochs"
        if self.running:
            return f"running {after}"
        note = self.path / "failure.txt"
        if note.is_file():
            return f"failed {after}: {note.read_text(encoding='utf-8', errors='replace').strip()}"
        return f"stopped {after}"


def evaluated(which: str, part: str) -> str:
    """Return under which name a run keeps what it measured of its ``last`` or ``best`` checkpoint on a part."""
    return which if part == "val" else f"{which}_{part}"


def read_runs(directories: Iterable[str | Path]) -> list[Run]:
    """Read the runs that lie in the directories or below them, each once, in the order of their names.

    Args:
        directories: Run directories, or any that hold them, such as a sweep's.

    Raises:
        InputError: If a directory holds no run, or a file in one cannot be read.
    """
    paths = list(dict.fromkeys(path.resolve() for directory in directories for path in find_runs(Path(directory))))
    root = Path(os.path.commonpath([path.parent for path in paths]))
    return [read_run(path, path.relative_to(root).as_posix()) for path in paths]


def read_run(path: Path, name: str) -> Run:
    """Read one run directory.

    Raises:
        InputError: If a file is damaged.
    """
    config, metrics = read_config(path / "config.yaml"), path / "metrics.csv"
    check_numbers(metrics)
    results = read_json(path / "results.json") if (path / "results.json").is_file() else None
    missing = [key for key in RESULTS if results is not None and key not in results]
    if missing:
        raise InputError(f"{path / 'results.json'}: has no {missing[0]}; {REMEDY}")
    return Run(path, name, config, results, read_curves(metrics) if metrics.is_file() else {})


def is_locked(path: Path) -> bool:
    """Whether another process holds this file; one that is missing nobody holds."""
    try:
        with path.open("rb") as file:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
