"""Host memory over many jobs in one process, as a sweep runs them: ``python -m benchmarks jobs``."""

from __future__ import annotations

import gc
import resource
import tempfile
from pathlib import Path

import torch

from benchmarks.measuring import parser, record
from benchmarks.small_run import SMALL, composed
from runs.training import train

MIB = 2**20
WARM_UP = 3
"""Jobs after which everything that is loaded once has been loaded."""


def jobs(number: int) -> list[float]:
    """Run short jobs in this process and return its resident memory in MiB after each."""
    held: list[float] = []
    short = (*SMALL, "data.steps_per_epoch=2", "trainer.max_epochs=1")
    with tempfile.TemporaryDirectory() as folder:
        for job in range(number):
            train(composed(Path(folder), *short, f"seed={job}", f"paths.run={folder}/run{job}"))
            gc.collect()
            held.append(resident() / MIB)
    print(f"{number} jobs in one process, MiB after each: {' '.join(f'{one:.0f}' for one in held)}")
    return held


def resident() -> int:
    """Return the bytes that this process holds in memory now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * resource.getpagesize()


def main() -> None:
    """Measure."""
    options = parser(__doc__, jobs=20).parse_args()
    torch.set_num_threads(1)
    held = jobs(options.jobs)
    growth = (held[-1] - held[WARM_UP - 1]) / (len(held) - WARM_UP) if len(held) > WARM_UP else 0.0
    print(f"growth {growth:.2f} MiB a job after the first {WARM_UP}")
    record("jobs", {"mib": held, "growth_mib_a_job": growth})


if __name__ == "__main__":
    main()
