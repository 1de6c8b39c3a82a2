"""Sweeps: what a job of one may not take over from the job before, and how an unfinished sweep is taken up again."""

from __future__ import annotations

import csv
import gc
import os
import random
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from omegaconf import OmegaConf

from partial_labels.errors import InputError
from partial_labels.whole_file import whole_file
from runs.quoting import quoted

RECORD = "multirun.yaml"
"""Where a sweep keeps what was typed."""
JOBS = "jobs.csv"
"""Where a sweep keeps what is typed for each of its jobs, and why those failed that did."""
OWN = ("launcher=", "hydra.launcher.", "hydra.job_logging.", "hydra.hydra_logging.")
"""What may be typed beside ``resume_sweep``: how the jobs are launched, not what they are."""


class SweepFailedError(Exception):
    """Jobs of a sweep failed; the message names each with its reason, and the command that completes the sweep."""


def resumed_arguments(arguments: Sequence[str]) -> list[str]:
    """Replace ``resume_sweep=SWEEP_DIR`` by the arguments that the sweep was started with, and by its directory.

    The working directory becomes the one that it was started in, so that relative paths mean what they meant.

    Args:
        arguments: Command line, without the name of the program.

    Returns:
        The arguments as they are where they hold no ``resume_sweep``.

    Raises:
        InputError: If no sweep lies there, or something is typed beside it that would change the jobs.
    """
    named = [one.partition("=")[2] for one in arguments if one.startswith("resume_sweep=")]
    if not named:
        return list(arguments)
    extra = [one for one in arguments if one not in ("-m", "--multirun") and not one.startswith("resume_sweep=")]
    if wrong := [one for one in extra if not one.startswith(OWN)]:
        raise InputError(f"resume_sweep takes the jobs as they were; leave out {wrong[0]} (launcher=... may be typed)")
    folder = Path(named[-1]).expanduser().resolve()
    if not (folder / RECORD).is_file():
        raise InputError(f"resume_sweep={named[-1]}: no sweep lies there; name the folder that holds {RECORD}")
    hydra = OmegaConf.load(folder / RECORD).hydra
    typed = [one for one in [*hydra.overrides.task, *hydra.overrides.hydra] if not one.startswith("hydra.mode=")]
    replaced = [one.partition("=")[0] for one in extra] + ["hydra.sweep.dir", "hydra.sweeper.resume"]
    if any(one.startswith("launcher=") for one in extra):  # the settings of another launcher are not this one's
        typed = [one for one in typed if not one.startswith("hydra.launcher.")]
    kept = [one for one in typed if one.partition("=")[0] not in replaced]
    sources = hydra.runtime.get("config_sources", [])
    added = [f"--config-dir={source.path}" for source in sources if source.provider == "command-line"]
    if Path(hydra.runtime.cwd).is_dir():
        os.chdir(hydra.runtime.cwd)
    return ["--multirun", *added, *kept, *extra, f"hydra.sweep.dir={quoted(folder)}", "hydra.sweeper.resume=true"]


def write_jobs(folder: Path, rows: Iterable[tuple[str, str, str]]) -> None:
    """Write the jobs of a sweep, for those who ask later what is missing: directory, what is typed, why it failed."""
    with whole_file(folder / JOBS) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([("job", "typed", "failure"), *rows])


@contextmanager
def isolated() -> Iterator[None]:
    """Leave the process as it was found, so that the next job in it is the one that it would be alone.

    A job seeds every generator itself; what it may leave behind is the number of torch's threads, the environment
    (Lightning keeps its seed there), warning filters and memory.
    """
    import torch  # only a sweep needs it here, and its jobs import it anyway

    threads, matmul = torch.get_num_threads(), torch.get_float32_matmul_precision()
    environment, generator = dict(os.environ), random.getstate()
    try:
        with warnings.catch_warnings():
            yield
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(matmul)
        os.environ.clear()
        os.environ.update(environment)
        random.setstate(generator)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
