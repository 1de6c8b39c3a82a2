"""A whole prediction: everything below a folder, whatever of it is not done yet, written as it gets ready."""

from __future__ import annotations

import logging
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal, NamedTuple, final

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from datamodules.sources.volume import VolumeReader
from inference.challenge import check_numbers, check_reference, write_submission
from inference.ensemble import Ensemble
from inference.inputs import Input, find_inputs
from inference.journal import Journal
from inference.postprocess import Postprocess
from inference.predictor import Failure, Predictor
from inference.writing import LABELS, OVERLAYS, PROBABILITIES, OutputFolder, Written
from partial_labels.errors import InputError

log = logging.getLogger(__name__)


class Outcome(NamedTuple):
    """What a prediction did.

    Args:
        done: Inputs that were predicted now.
        skipped: Inputs that had been before.
        failures: What could not be read.
        slices: Slices that were predicted now.
        seconds: From the first to the last, on the clock.
        submission: The challenge's file, where it was asked for.
    """

    done: int
    skipped: int
    failures: list[Failure]
    slices: int
    seconds: float
    submission: Path | None


@final
class Prediction:
    """Predicts all there is at a place.

    Args:
        ensemble: On its device and in eval mode.
        reader: Makes what reads volumes; called only where there is one.
        postprocess: What is done to label maps.
        device: Where to compute.
        autocast: Makes the context of a batch.
        dtype: Type of the networks' weights.
        pattern: Which paths below a folder to take.
        format: ``source``, or ``challenge`` to write its table besides.
        reference: A table whose header the challenge's must have.
        probabilities: Whether to write them.
        overlays: Whether to draw pictures.
        batch_size: Slices a batch.
        workers: Threads that read, and as many that write.
        progress_bar: Whether to show one.
    """

    def __init__(
        self,
        ensemble: Ensemble,
        reader: Callable[[], VolumeReader],
        postprocess: Postprocess,
        device: torch.device,
        autocast: Callable[[], AbstractContextManager[object]],
        dtype: torch.dtype,
        pattern: str = "*",
        format: Literal["source", "challenge"] = "source",
        reference: str | None = None,
        probabilities: bool = False,
        overlays: bool = False,
        batch_size: int = 32,
        workers: int = 4,
        progress_bar: bool = True,
    ) -> None:
        postprocess.check(ensemble.classes)
        self.ensemble, self.reader, self.postprocess = ensemble, reader, postprocess
        self.predictor = Predictor(ensemble, device, autocast, dtype, batch_size, workers)
        self.pattern, self.format = pattern, format
        self.reference = None if reference is None else Path(reference)
        self.probabilities, self.overlays = probabilities, overlays
        self.workers, self.progress_bar = workers, progress_bar

    def run(self, source: Path, output: Path, settings: Mapping[str, Any]) -> Outcome:
        """Predict what lies at ``source`` and is not done yet.

        Args:
            source: See :func:`inference.inputs.find_inputs`.
            output: The output folder.
            settings: What decides the outputs; a folder holds predictions of one kind.

        Raises:
            InputError: If there is nothing to predict, something has other channels than the networks take, or the
                output folder is the input, holds it where files are written, or belongs to another prediction. What
                cannot be read is no error here but among the failures.
        """
        if output.resolve() in (source.resolve(), source.resolve().parent if source.is_file() else None):
            raise InputError(f"output={output}: that is where the input lies; name another folder")
        inputs = find_inputs(source, self.reader, self.pattern, output)
        check_output(output, inputs)
        self._check_channels(inputs)
        if self.format == "challenge":
            check_numbers(inputs)
            if self.reference is not None:
                check_reference(self.reference, [f"{item.name}.png" for item in inputs])
        output.mkdir(parents=True, exist_ok=True)
        journal = Journal(output, self.ensemble.classes, settings)
        folder = OutputFolder(output, self.ensemble.classes, self.postprocess, self.probabilities, self.overlays)
        todo = [item for item in inputs if item.name not in journal.done or not folder.label_path(item).exists()]
        journal.forget({item.name for item in todo})
        start = time.perf_counter()
        slices, failures = self._predict(todo, folder, journal)
        seconds = time.perf_counter() - start
        submission = None
        if self.format == "challenge" and not failures:
            labels = [folder.label_path(item) for item in inputs]
            submission = write_submission(output / "submission.csv", labels, self.ensemble.classes)
        done = len(todo) - len(failures)
        return Outcome(done, len(inputs) - len(todo), failures, slices, seconds, submission)

    def _check_channels(self, inputs: Sequence[Input]) -> None:
        """Refuse inputs with other channels than the networks were trained on."""
        wrong = next((item for item in inputs if item.channels != self.ensemble.channels), None)
        if wrong is not None:
            raise InputError(
                f"input={wrong.path}: channels of an image: {self.ensemble.channels} in training, {wrong.channels} "
                "here; each is a window of grey values: give volumes, read through the run's own windows"
            )

    def _predict(self, todo: list[Input], folder: OutputFolder, journal: Journal) -> tuple[int, list[Failure]]:
        """Predict and write; an input enters the journal when its files are in their places."""
        slices, failures = 0, []
        waiting: deque[Future[Written]] = deque()
        most = 1 if any(item.heavy for item in todo) else 2 * self.workers
        with self._bar(len(todo)) as bar, ThreadPoolExecutor(self.workers) as pool:
            for job in self.predictor.run(todo, folder.begin):
                if isinstance(job, Failure):
                    failures.append(job)
                else:
                    slices += len(job.label)
                    waiting.append(pool.submit(folder.write, job))
                    del job  # a volume's pixels go as soon as they are written
                bar.advance(bar.task_ids[0])
                while waiting and (len(waiting) > most or waiting[0].done()):
                    journal.add(*waiting.popleft().result())
            while waiting:
                journal.add(*waiting.popleft().result())
        return slices, failures

    def _bar(self, total: int) -> Progress:
        """Return a bar on stderr, shown where somebody can see it."""
        columns = (TextColumn("predicting"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        hidden = not (self.progress_bar and sys.stderr.isatty())
        bar = Progress(*columns, console=Console(stderr=True), disable=hidden)
        bar.add_task("predicting", total=total)
        return bar


def check_output(output: Path, inputs: Sequence[Input]) -> None:
    """Refuse to write into the folder that an input lies in or is a link to, or into one above it."""
    written = {folder.resolve(): folder for folder in (output / LABELS, output / PROBABILITIES, output / OVERLAYS)}
    for path in dict.fromkeys(item.path for item in inputs):
        for place in (path.resolve(), path.parent.resolve() / path.name):
            taken = next((one for one in (place, *place.parents) if one in written), None)
            if taken is not None:
                raise InputError(
                    f"output={output}: {path} lies in {written[taken]}, where files are written; name another folder"
                )
