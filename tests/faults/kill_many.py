"""Kills runs at random moments, resumes them, and holds what comes out against runs that were left alone.

``python -m tests.faults.kill_many --kills 50`` does so with every strategy in turn and prints one line each.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import signal
import tempfile
import time
import warnings
from pathlib import Path

import torch
from omegaconf import DictConfig

from runs.training import train
from tests.configs import composed
from tests.interrupted import EVERY_STEP, assert_same_run, resumed

STRATEGIES = ("supervised", "mean_teacher", "teacher_student", "pretrain_finetune", "self_training")
SMALL = (
    *("data=phantom", "data.source.num_slices=60", "data.image_size=32", "data.labeled_groups=4"),
    *("data.batch_size=4", "data.steps_per_epoch=6", "model.width=4", "model.depth=3", "pseudo.threshold=0.01"),
    *("trainer=cpu", "trainer.max_epochs=9", "trainer.progress_bar=false", "logger=csv", EVERY_STEP),
    *(f"report.{name}=null" for name in ("tables", "panels", "errors", "cases", "attention")),
)


def kill_at_random(cfg: DictConfig, kills: int, longest: float, seed: int) -> int:
    """Run to the end in processes of which a number are killed, each after a random time.

    Args:
        cfg: The run.
        kills: How many processes to kill at most; the one after them is left alone.
        longest: Longest time in seconds before a kill.
        seed: Of the times.

    Returns:
        How many were killed before the run had ended.
    """
    times = random.Random(seed)
    for number in range(kills):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                go_on(cfg)
                code = 0
            finally:
                os._exit(code)
        deadline = time.monotonic() + times.uniform(0, longest)
        while time.monotonic() < deadline and os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            time.sleep(0.01)
        os.kill(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status == 0:
            return number
        if status != -signal.SIGKILL:
            raise RuntimeError(f"part {number} failed by itself")
    go_on(cfg)
    return kills


def go_on(cfg: DictConfig) -> None:
    """Resume a run, or begin one that was killed before its configuration lay in its directory."""
    if (Path(cfg.paths.run) / "config.yaml").exists():
        resumed(cfg)
    else:
        train(cfg)


def main() -> None:
    """Kill each strategy's share of the processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="in all")
    parser.add_argument("--longest", type=float, help="seconds before a kill, at most; default: a sixth of a run")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        for number, ssl in enumerate(STRATEGIES):
            whole, parts = (composed(Path(folder) / ssl / name, *SMALL, f"ssl={ssl}") for name in ("whole", "parts"))
            whole.paths.cache = parts.paths.cache = folder
            begun = time.monotonic()
            train(whole)
            longest = options.longest or (time.monotonic() - begun) / 6
            share = options.kills // len(STRATEGIES)
            begun = time.monotonic()
            kills = kill_at_random(parts, share, longest, options.seed + number)
            assert_same_run(parts.paths.run, whole.paths.run)
            print(f"{ssl}: {kills} kills, {time.monotonic() - begun:.0f} s, the same to the bit", flush=True)


if __name__ == "__main__":
    main()
