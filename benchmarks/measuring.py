"""What the benchmarks share: the clocks, taking turns, and the record of a measurement."""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch

from runs.checkpoints.loading import write_json

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "performance"
RECORD = "--record"
LIBRARIES = ("torch", "pytorch-lightning", "monai", "torchmetrics", "numpy")


class Cost(NamedTuple):
    """Median cost of one call, in milliseconds.

    Args:
        cpu_ms: Process CPU time, all threads.
        wall_ms: Time on the clock, with the device's work finished.
    """

    cpu_ms: float
    wall_ms: float


class Stopwatch:
    """Collects the cost of many calls."""

    def __init__(self) -> None:
        self.taken: list[tuple[float, float]] = []

    def time(self, call: Callable[[], Any], calls: int = 1) -> Any:
        """Call, note the mean cost of a call, and return the last result."""
        start = now()
        for _ in range(calls):
            result = call()
        self.note(start, calls)
        return result

    def note(self, start: tuple[float, float], calls: int = 1) -> None:
        """Note what ``calls`` calls have cost since ``start``."""
        cpu, wall = (1e3 * (end - begin) / calls for begin, end in zip(start, now(), strict=True))
        self.taken.append((cpu, wall))

    @property
    def cost(self) -> Cost:
        """The medians."""
        cpu, wall = (statistics.median(column) for column in zip(*self.taken, strict=True))
        return Cost(cpu, wall)


def now() -> tuple[float, float]:
    """Return process CPU and wall seconds, after what was given to a GPU is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.process_time(), time.perf_counter()


def in_turn(contenders: Mapping[str, Callable[[], Any]], rounds: int, calls: int = 1) -> dict[str, Cost]:
    """Run all in turn, ``rounds`` times after a warm-up, and return each one's median cost.

    What else a shared machine does meanwhile then falls on all of them alike.
    """
    watches = {name: Stopwatch() for name in contenders}
    for turn in range(rounds + 1):
        for name, call in contenders.items():
            watch = Stopwatch() if turn == 0 else watches[name]
            watch.time(call, 1 if turn == 0 else calls)
    return {name: watch.cost for name, watch in watches.items()}


def ratios(cost: Mapping[str, Cost], base: str) -> dict[str, float]:
    """Return how many times the base's cost each contender takes: CPU time on a CPU, wall time on a GPU."""
    column = 1 if torch.cuda.is_available() else 0
    return {name: one[column] / cost[base][column] for name, one in cost.items()}


def print_costs(cost: Mapping[str, Cost], base: str) -> None:
    """Print one line for each contender, and how many times the base's cost it takes."""
    print(f"{'':34}{'CPU ms':>10}{'wall ms':>10}{'ratio':>8}")
    for name, ratio in ratios(cost, base).items():
        print(f"{name:34}{cost[name].cpu_ms:10.2f}{cost[name].wall_ms:10.2f}{ratio:8.2f}")


def record(name: str, figures: Mapping[str, Any]) -> None:
    """Write ``docs/results/performance/NAME.json``, if asked: the figures, the command, the machine, the versions."""
    if RECORD not in sys.argv:
        return
    plain = {key: one._asdict() if isinstance(one, Cost) else one for key, one in figures.items()}
    command = " ".join([f"python -m benchmarks {name}", *sys.argv[1:]])
    write_json(RESULTS / f"{name}.json", {"command": command, **machine(), "figures": rounded(plain)})


def machine() -> dict[str, Any]:
    """Return what a figure depends on."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "date": date.today().isoformat(),
        "processor": processor(),
        "gpu": gpu,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {library: version(library) for library in LIBRARIES},
    }


def processor() -> str:
    """Return the processor's name."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def rounded(value: Any) -> Any:
    """Return the figures with four digits, which is more than a measurement holds."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, Mapping):
        return {key: rounded(inner) for key, inner in value.items()}
    return [rounded(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def parser(doc: str | None, **numbers: int) -> argparse.ArgumentParser:
    """Return a parser with one option for each number, and its default."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument(RECORD, action="store_true", help="write the figures to docs/results/performance")
    for option, default in numbers.items():
        made.add_argument(f"--{option}", type=int, default=default, help=f"default {default}")
    return made
