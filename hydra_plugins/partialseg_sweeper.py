"""The sweeper of ``train.py -m``; it lies in this folder because Hydra takes plugins from nowhere else."""

from __future__ import annotations

import logging
import shlex
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, final

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf, open_dict

from partial_labels.errors import InputError, Interrupted
from runs.quoting import quoted
from runs.sweeps.sweep import RECORD, SweepFailedError, write_jobs

log = logging.getLogger(__name__)


class Job(NamedTuple):
    """A job of a sweep.

    Args:
        overrides: What it is launched with.
        typed: What of that makes the same run alone.
        distinct: What of that distinguishes it.
        folder: Its run directory.
    """

    overrides: tuple[str, ...]
    typed: str
    distinct: str
    folder: Path


@final
class TableSweeper(BasicSweeper):
    """Runs every combination of what was typed with commas, or of the rows of a table, as far as it is not finished.

    Hydra's own sweeper numbers the jobs that it launches. Here every job has its directory before any is launched, so
    that a sweep can be taken up again with the jobs that are missing or unfinished, under any launcher. A failing job
    stops no other; all that failed are named at the end.

    Args:
        max_batch_size: Jobs that are handed to the launcher at a time; None for all.
        params: Values of keys, comma-separated, that hold unless they are typed.
        variants: Name of a row: its overrides.
        resume: Whether the sweep was started before.
    """

    def __init__(
        self,
        max_batch_size: int | None = None,
        params: Mapping[str, Any] | None = None,
        variants: Mapping[str, Sequence[str]] | None = None,
        resume: bool = False,
    ) -> None:
        super().__init__(max_batch_size, dict(params or {}))
        self.variants, self.resume = variants or {"": ()}, resume

    def sweep(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        """Launch the jobs that are not finished.

        Raises:
            InputError: If another sweep lies in the directory.
            SweepFailedError: If a job failed.
        """
        assert self.config is not None
        folder = Path(self.config.hydra.sweep.dir)
        if (folder / RECORD).exists() and not self.resume:
            raise InputError(f"{folder}: another sweep lies there; {resuming(folder)} completes it")
        jobs = self.jobs(arguments)
        folder.mkdir(parents=True, exist_ok=True)
        if not self.resume:
            OmegaConf.save(self.config, folder / RECORD)
        write_jobs(folder, [(job.folder.name, job.typed, "") for job in jobs])
        waiting = [job for job in jobs if not (job.folder / "results.json").exists()]
        log.info("%d jobs in %s, %d finished before", len(jobs), folder, len(jobs) - len(waiting))
        size = self.max_batch_size or max(len(waiting), 1)
        returns = [self.launch(waiting[first : first + size], folder) for first in range(0, len(waiting), size)]
        ended = zip(waiting, [job for batch in returns for job in batch], strict=True)
        failed = {job: str(one._return_value) for job, one in ended if one.status is not JobStatus.COMPLETED}
        write_jobs(folder, [(job.folder.name, job.typed, failed.get(job, "")) for job in jobs])
        report(failed, waiting, folder)
        log.info("table: python -m reports.results_table %s", folder / "results")
        return returns

    def jobs(self, arguments: Sequence[str]) -> list[Job]:
        """Compose every job once, which refuses wrong input before anything runs, and give it its directory."""
        assert self.config is not None and self.hydra_context is not None
        loader = self.hydra_context.config_loader
        parse = OverridesParser.create(config_loader=loader).parse_overrides
        master = HydraConfig.instance().cfg
        found: list[Job] = []
        for variant, overrides in self.variants.items():
            shared = [f"{key}={value}" for key, value in self.params.items()]
            parsed = parse([*shared, *overrides, *arguments])
            swept = {one.get_key_element() for one in parsed if one.is_sweep_override()}
            for combination in self.split_arguments(parsed, None)[0]:
                config = loader.load_sweep_config(self.config, combination)
                with open_dict(config):
                    config.hydra.job.num = config.hydra.job.id = len(found)
                HydraConfig.instance().set_config(config)  # ${hydra:...} in the directory's name looks there
                own_words = [one for one in combination if one.partition("=")[0] in swept]
                name = row_name(variant, own_words)
                subdir = f"{len(found)}_{variant}_seed{config.seed}" if variant else str(config.hydra.sweep.subdir)
                folder = Path(self.config.hydra.sweep.dir)
                own = [f"hydra.sweep.subdir={quoted(subdir)}"]
                if config.paths.record is None:
                    own.append(f"paths.record={quoted(folder / 'results' / f'{name}_seed{config.seed}.json')}")
                found.append(Job((*combination, *own), shlex.join(combination), " ".join(own_words), folder / subdir))
        HydraConfig.instance().cfg = master
        return found

    def launch(self, jobs: Sequence[Job], folder: Path) -> Sequence[JobReturn]:
        """Hand jobs to the launcher.

        Raises:
            SweepFailedError: If the launcher itself gives up, as it does when a job's process is killed.
        """
        assert self.launcher is not None
        try:
            return self.launcher.launch([list(job.overrides) for job in jobs], initial_job_idx=0)
        except (KeyboardInterrupt, Interrupted) as stop:
            print(completing(folder), file=sys.stderr)
            raise Interrupted(stop.signum if isinstance(stop, Interrupted) else signal.SIGINT) from stop
        except Exception as error:
            first = (str(error).strip().splitlines() or [""])[0]
            raise SweepFailedError(
                f"the launcher gave up, {type(error).__name__}: {first}\n{completing(folder)}"
            ) from error


def report(failed: Mapping[Job, str], jobs: Sequence[Job], folder: Path) -> None:
    """Name every job that failed, with its reason.

    Raises:
        SweepFailedError: If one did.
    """
    if failed:
        lines = [f"  {job.folder.name} ({job.distinct}): {reason}" for job, reason in failed.items()]
        raise SweepFailedError("\n".join([f"{len(failed)} of {len(jobs)} jobs failed:", *lines, completing(folder)]))


def row_name(variant: str, words: Sequence[str]) -> str:
    """Name the row of a job in the table of its sweep: its variant and what distinguishes it, the seed aside."""
    parts = [word.replace("/", "-") for word in words if not word.startswith("seed=")]
    return ",".join([variant] * bool(variant) + parts) or "runs"


def completing(folder: Path) -> str:
    """Say how a sweep is completed."""
    return f"complete the sweep: python train.py -m {resuming(folder)}"


def resuming(folder: Path) -> str:
    """Return the argument that names a sweep, as it is typed in a shell; Hydra does not read it."""
    return shlex.quote(f"resume_sweep={folder}")
