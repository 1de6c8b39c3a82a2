"""Seconds until ``--help`` answers, beside importing what the training needs: ``python -m benchmarks startup``."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path
from time import perf_counter

from benchmarks.measuring import Cost, Stopwatch, parser, print_costs, record

ROOT = Path(__file__).parents[1]
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "train.py --help": ["train.py", "--help"],
    "train.py --cfg job": ["train.py", "--cfg", "job"],
    "import torch, pytorch_lightning": ["-c", "import torch, pytorch_lightning"],
}


def run(arguments: list[str]) -> tuple[float, float]:
    """Run Python and return the seconds of its processor time and on the clock."""
    before, start = children(), perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, env=dict(os.environ), check=True, stdout=subprocess.DEVNULL)
    return children() - before, perf_counter() - start


def children() -> float:
    """Return the processor seconds of all finished child processes."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Measure."""
    options = parser(__doc__, rounds=5).parse_args()
    watches = {name: Stopwatch() for name in COMMANDS}
    for turn in range(options.rounds + 1):
        for name, arguments in COMMANDS.items():
            seconds = run(arguments)
            if turn:  # the first one fills the file cache
                watches[name].taken.append((1e3 * seconds[0], 1e3 * seconds[1]))
    cost: dict[str, Cost] = {name: watch.cost for name, watch in watches.items()}
    print_costs(cost, "train.py --help")
    record("startup", {name: one._asdict() for name, one in cost.items()})


if __name__ == "__main__":
    main()
