"""Kills runs of two processes, resumes them, and holds what comes out against runs that were left alone.

``python -m tests.faults.kill_two`` starts ``train.py trainer=ddp`` on a CPU and, in the middle of an epoch, sends the
first process SIGTERM or SIGKILL, or the second SIGKILL; the same for a run that began with the weights of another.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.interrupted import EVERY_STEP, assert_same_run

ROOT = Path(__file__).parents[2]
SMALL = (
    *(
        "data=phantom",
        "data.source.num_slices=60",
        "data.image_size=32",
        "data.labeled_groups=4",
        "model.norm=instance",
    ),
    *("data.batch_size=4", "data.steps_per_epoch=12", "model.width=4", "model.depth=3", "model.dropout=0.1"),
    *("trainer=ddp", "trainer.accelerator=cpu", "trainer.threads=1", "trainer.max_epochs=3"),
    *("trainer.progress_bar=false", "logger=csv", "ssl=mean_teacher", EVERY_STEP),
    *(f"report.{name}=null" for name in ("panels", "errors", "cases", "attention")),
)
STEP = 21
"""Optimizer step, in the middle of the second epoch, from which on a process is killed."""
PATIENCE = 300.0
"""Seconds that a run may take on a busy machine."""


def begin(arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start ``train.py``; it starts its second process by itself."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, str(ROOT / "train.py"), *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes]) -> int:
    """Wait until a run ends, and return its exit code."""
    said = process.communicate(timeout=PATIENCE)[1].decode()
    if process.returncode not in (0, -signal.SIGKILL, 128 + signal.SIGTERM):
        print(f"  exit code {process.returncode}: {said.strip().splitlines()[-1]}")
    return process.returncode


def reached(run: Path, step: int) -> bool:
    """Tell whether a run has a checkpoint of a step, or a later one."""
    path = run / "checkpoints" / "checkpoints.json"
    return path.exists() and any(one["step"] >= step for one in json.loads(path.read_text())["checkpoints"])


def second_of(first: int) -> int:
    """Return the process that a first process has started."""
    children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
    return next(int(pid) for pid in children if b"train.py" in Path(f"/proc/{pid}/cmdline").read_bytes())


def interrupt(arguments: Sequence[str], run: Path, signum: int, rank: int) -> tuple[int, float]:
    """Begin a run, signal one of its processes in the second epoch, and return exit code and seconds until both end."""
    process = begin(arguments)
    while not reached(run, STEP):
        assert process.poll() is None, finish(process)
        time.sleep(0.01)
    second = second_of(process.pid)
    os.kill((process.pid, second)[rank], signum)
    begun = time.monotonic()
    code = finish(process)
    while Path(f"/proc/{second}").exists() and time.monotonic() < begun + PATIENCE:
        time.sleep(0.1)
    assert not Path(f"/proc/{second}").exists(), "the second process runs on"
    return code, time.monotonic() - begun


def main() -> None:
    """Interrupt and resume; an exception says where a run did not end the same."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        cache = f"paths.cache={root}/cache"
        starts: dict[str, list[str]] = {"scratch": [], "init": [f"init.checkpoint={root}/scratch"]}
        for start, weights in starts.items():
            whole = [*SMALL, cache, *weights]
            assert finish(begin([*whole, f"hydra.run.dir={root}/{start}"])) == 0
            for name, signum, rank in (
                ("TERM", signal.SIGTERM, 0),
                ("KILL", signal.SIGKILL, 0),
                ("KILL", signal.SIGKILL, 1),
            ):
                run = root / f"{start}_{name}_{rank}"
                code, seconds = interrupt([*whole, f"hydra.run.dir={run}"], run, signum, rank)
                assert not (run / "results.json").exists(), "it had ended before the signal came"
                assert finish(begin([f"resume={run}"])) == 0
                assert_same_run(run, root / start)
                print(
                    f"{start}, {name} to process {rank}: exit code {code} after {seconds:.1f} s; the same", flush=True
                )


if __name__ == "__main__":
    main()
