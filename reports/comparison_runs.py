"""Finds the runs to compare, and reads what each has left in its directory."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from partial_labels.errors import InputError
from reports.curves import Curve, read_curves

CHECKPOINTS = ("last", "best")
REMEDY = "leave this run out, or run it again"


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
        """What must be the same where two runs are compared case by case: the store, and the cases validated on."""
        cases = tuple(f"{row['group']}/{row['name']}" for row in self.split if row["part"] == "val")
        return (str((self.results or {}).get("store", "")), *cases)

    @cached_property
    def typed(self) -> str:
        """The command that made it, which in a sweep made other runs too."""
        return (self.path / "command.txt").read_text(encoding="utf-8", errors="replace").strip()

    @property
    def swept(self) -> bool:
        """Whether it is a job of a sweep."""
        return bool({"-m", "--multirun"} & set(self.typed.split()))

    @property
    def overrides(self) -> list[str]:
        """What was typed for this run, as far as it is known."""
        if self.results:
            return list(self.results["overrides"])
        return [] if self.swept else [word for word in self.typed.split() if "=" in word]

    @property
    def command(self) -> str:
        """What to type to make this run again; of a finished job in a sweep, the job alone."""
        if not self.swept or not self.results:
            return self.typed
        root = self.config.get("data", {}).get("root")
        return shlex.join([*self.typed.split()[:2], *self.overrides, *([f"data.root={root}"] if root else [])])


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


def find_runs(directory: Path) -> list[Path]:
    """Return the run directories in a directory, itself included; a sweep's in the order of their numbers.

    Raises:
        InputError: If there is none.
    """
    if not directory.is_dir():
        raise InputError(f"{directory}: no such directory; name a run's or a sweep's")
    found = sorted(_walk(directory), key=lambda path: _natural(path.as_posix()))
    if not found:
        raise InputError(
            f"{directory}: no run lies there (none has config.yaml and command.txt); name a run's directory"
        )
    return found


def read_run(path: Path, name: str) -> Run:
    """Read one run directory.

    Raises:
        InputError: If a file is damaged.
    """
    try:
        config = OmegaConf.to_container(OmegaConf.load(path / "config.yaml"))
    except (YAMLError, OmegaConfBaseException, UnicodeDecodeError) as error:
        raise InputError(
            f"{path / 'config.yaml'}: no YAML ({_line(error)}); leave this run out, or run it again"
        ) from error
    if not isinstance(config, dict):
        raise InputError(f"{path / 'config.yaml'}: holds no configuration; {REMEDY}")
    results = read_json(path / "results.json") if (path / "results.json").is_file() else None
    return Run(path, name, config, results, checked_curves(path / "metrics.csv"))  # type: ignore[arg-type]


def checked_curves(metrics_csv: Path) -> dict[str, Curve]:
    """Read the curves of a run; none where nothing was logged yet.

    Raises:
        InputError: If the file is not what ``CSVLogger`` wrote: the row, and what is wrong with it.
    """
    for number, row in enumerate(read_table(metrics_csv, ("step",)), start=2):
        wrong = next((key for key, cell in row.items() if cell and not _is_number(cell)), None)
        if wrong is not None:
            raise InputError(f"{metrics_csv}, row {number}: {wrong}={row[wrong]!r} is no number; {REMEDY}")
    return read_curves(metrics_csv) if metrics_csv.is_file() else {}


def read_table(path: Path, columns: Iterable[str]) -> list[dict[str, str]]:
    """Read a CSV file with these columns at least; an absent file has no rows.

    Raises:
        InputError: If it has other columns, or a row is cut off.
    """
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            missing = [name for name in columns if name not in header]
            if missing:
                raise InputError(f"{path}: has no column {missing[0]}; {REMEDY}")
            rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: no CSV file ({_line(error)}); {REMEDY}") from error
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise InputError(f"{path}, row {number}: {len(row)} cells for {len(header)} columns; {REMEDY}")
    return [dict(zip(header, row, strict=True)) for row in rows]


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file.

    Raises:
        InputError: If it is damaged.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: no JSON ({_line(error)}); {REMEDY}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds no JSON object; {REMEDY}")
    return content


def _walk(directory: Path) -> Iterator[Path]:
    """Yield run directories; what lies inside one is not searched (W&B keeps a config.yaml of its own)."""
    for folder, below, files in os.walk(directory):
        if {"config.yaml", "command.txt"} <= set(files):
            below.clear()
            yield Path(folder)


def _natural(text: str) -> list[tuple[int, str]]:
    """Sort 10_x behind 9_x."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text)]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:120]
