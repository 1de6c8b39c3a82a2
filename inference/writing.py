"""What is written for each input: a label map, and on request probabilities and a picture, each in one rename."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, final

import numpy as np
from jaxtyping import Float, Int
from numpy.lib.format import open_memmap

from inference.inputs import Input
from inference.overlay import draw_overlay
from inference.postprocess import Postprocess
from inference.predictor import Job
from partial_labels.classes import ClassTable

LABELS, PROBABILITIES, OVERLAYS = "labels", "probabilities", "overlays"


class Written(NamedTuple):
    """An input whose files are in their places."""

    name: str
    pixels: Int[np.ndarray, " C"]
    voxel_ml: float | None


@final
class OutputFolder:
    """The folder of a prediction: ``labels/``, and on request ``probabilities/`` and ``overlays/``.

    Label maps hold class ids on the source's grid: PNG for slices, NIfTI for volumes, with spacing, orientation and
    header of a NIfTI source. Probabilities are float16 arrays (C, ...) in the layout of the label map, which
    ``numpy.load`` reads, also by memory map; they are those before post-processing.

    Args:
        folder: The folder; made where it is missing.
        classes: The class table of the prediction.
        postprocess: What is done to label maps.
        probabilities: Whether to write them.
        overlays: Whether to draw pictures.
    """

    def __init__(
        self, folder: Path, classes: ClassTable, postprocess: Postprocess, probabilities: bool, overlays: bool
    ) -> None:
        self.folder, self.classes, self.postprocess = folder, classes, postprocess
        self.probabilities, self.overlays = probabilities, overlays

    def label_path(self, item: Input) -> Path:
        """Return where the label map of an input lies."""
        return self.folder / LABELS / f"{item.name}{item.ending}"

    def begin(self, job: Job) -> None:
        """Let a job write its probabilities as they come."""
        if not self.probabilities:
            return
        path = unfinished(self._probabilities_path(job.item))
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (len(self.classes), *job.item.written_shape(job.scan))
        array = open_memmap(path, mode="w+", dtype=np.float16, shape=shape)
        views = [job.item.canonical(job.scan, one) for one in array]

        def put(number: int, probs: Float[np.ndarray, "C y x"]) -> None:
            for view, values in zip(views, probs, strict=True):
                view[number] = values

        job.probs = put

    def write(self, job: Job) -> Written:
        """Clean the label map of a finished job and write everything; the label map comes last."""
        label = job.label if self.postprocess.idle else self.postprocess(job.label, self.classes)
        if self.probabilities:
            job.probs = None  # closes the memory map
            os.replace(unfinished(self._probabilities_path(job.item)), self._probabilities_path(job.item))
        if self.overlays:
            with finishing(self.folder / OVERLAYS / f"{job.item.name}.png") as path:
                draw_overlay(path, job.scan, label, self.classes)
        with finishing(self.label_path(job.item)) as path:
            job.item.write(path, job.scan, label)
        pixels = np.bincount(label.ravel(), minlength=len(self.classes))
        return Written(job.item.name, pixels, job.scan.voxel_ml)

    def _probabilities_path(self, item: Input) -> Path:
        return self.folder / PROBABILITIES / f"{item.name}.npy"


def unfinished(path: Path) -> Path:
    """Return the name of a file while it is written; the ending stays, since libraries go by it."""
    return path.with_name(f".{path.name}")


@contextmanager
def finishing(path: Path) -> Iterator[Path]:
    """Yield the unfinished name of a file, and rename it when the block ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    yield unfinished(path)
    os.replace(unfinished(path), path)
