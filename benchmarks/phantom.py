"""How close the phantom comes to the challenge's statistics, what it costs, and what a pixel classifier reaches.

``python -m benchmarks phantom`` prints the tables of ``docs/phantom.md``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, binary_opening, gaussian_filter

from datamodules.sources.anatomy import STRUCTURES
from datamodules.sources.phantom import PhantomSource
from metrics.joint_histogram import joint_histogram

Array = NDArray[Any]
BODY_GREY = 25
"""Grey value above which a pixel may belong to the body."""


class Measured(NamedTuple):
    """Statistics over the slices, entry 0 of each array the background."""

    frequency: Array
    area: Array
    row: Array
    column: Array
    summary: dict[str, float]


def load(source: PhantomSource) -> tuple[Array, Array, Array, float]:
    """Return images, truth, patient numbers, and the process CPU seconds that they took."""
    start = time.process_time()
    cases = list(source.cases())
    seconds = time.process_time() - start
    patients = {group: number for number, group in enumerate(sorted({case.row.group for case in cases}))}
    images, truth = (np.stack([getattr(case, name) for case in cases]) for name in ("image", "truth"))
    return images, truth, np.array([patients[case.row.group] for case in cases]), seconds


def measure(images: Array, truth: Array) -> Measured:
    """Count the structures and where they lie, as FACTS' table does."""
    count, size = len(images), images.shape[-1]
    number = len(STRUCTURES) + 1
    areas = np.stack([np.bincount(one.ravel(), minlength=number) for one in truth])
    offsets = np.full((2, count, number), np.nan)
    grid = np.mgrid[:size, :size].reshape(2, -1)
    for index in range(count):
        body = binary_fill_holes(binary_opening(images[index] > BODY_GREY, iterations=3)).ravel()
        centre = grid[:, body].mean(axis=1)
        for axis in range(2):
            total = np.bincount(truth[index].ravel(), grid[axis] - centre[axis], minlength=number)
            offsets[axis, index] = np.divide(total, areas[index], where=areas[index] > 0, out=offsets[axis, index])
    present = areas > 0
    foreground = images[truth > 0]
    summary = {
        "structures per slice": present[:, 1:].sum(axis=1).mean(),
        "labeled share of the pixels": (truth > 0).mean(),
        "mean grey": images.mean(),
        "mean grey of the foreground": foreground.mean(),
        "deviation of the foreground": foreground.std(),
    }
    area = areas.sum(axis=0) / np.maximum(present.sum(axis=0), 1)
    row, column = np.nanmean(offsets, axis=1)
    return Measured(present.mean(axis=0), area, row, column, summary)


def table(measured: Measured) -> Iterator[str]:
    """Yield the lines of a Markdown table, phantom beside challenge."""
    yield "| structure | frequency | challenge | area | challenge | row | challenge | column | challenge |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for number, one in enumerate(STRUCTURES, start=1):
        frequency, area = measured.frequency[number], measured.area[number]
        row, column = measured.row[number], measured.column[number]
        yield (
            f"| {one.name} | {frequency:.3f} | {one.frequency:.3f} | {area:.0f} | {one.area} "
            f"| {row:.0f} | {one.row} | {column:.0f} | {one.column} |"
        )


def near_duplicate_groups(images: Array, patients: Array, threshold: float = 0.98) -> int:
    """Return the number of groups that slices of one patient fall into at a correlation above the threshold."""
    groups = 0
    for patient in np.unique(patients):
        thumbs = images[patients == patient][:, ::4, ::4].reshape((patients == patient).sum(), -1).astype(float)
        alike = np.atleast_2d(np.corrcoef(thumbs)) > threshold
        groups += sum(not alike[i, :i].any() for i in range(len(thumbs)))
    return groups


class PixelClassifier:
    """Bins of (row, column, grey), each with a share of every class; the most frequent one is predicted.

    Args:
        bins: Number of bins along rows, columns and grey values.
        smooth: Deviation of the smoothing of the shares, in bins.
        least: A class is predicted where its share reaches this, else background.
    """

    def __init__(self, bins: tuple[int, int, int], smooth: float, least: float) -> None:
        self.bins, self.smooth, self.least = bins, smooth, least

    def keys(self, images: Array) -> Array:
        """Return the bin of every pixel."""
        size = images.shape[-1]
        rows, columns, greys = self.bins
        place = np.arange(size)
        row, column = (place * rows // size)[:, None], (place * columns // size)[None]
        return np.asarray((row * columns + column) * greys + images.astype(int) * greys // 256)

    def fit(self, images: Array, truth: Array, num_classes: int) -> PixelClassifier:
        """Count, smooth and decide every bin."""
        keys = self.keys(images).ravel() * num_classes + truth.ravel()
        counts = np.bincount(keys, minlength=int(np.prod(self.bins)) * num_classes).astype(np.float32)
        counts = counts.reshape(*self.bins, num_classes)
        shares = gaussian_filter(counts, (self.smooth, self.smooth, self.smooth, 0)) + 1e-9
        best = shares.argmax(axis=-1)
        sure = shares.max(axis=-1) >= self.least * shares.sum(axis=-1)
        self.decision = np.where(sure, best, 0).astype(np.uint8).ravel()
        return self

    def predict(self, images: Array) -> Array:
        """Return the label maps."""
        return np.asarray(self.decision[self.keys(images)])


def mean_dice(truth: Array, prediction: Array, num_classes: int) -> float:
    """Return ``val/dice_truth``: per slice and class, mean over slices, then over classes."""
    pairs = joint_histogram(torch.from_numpy(truth), torch.from_numpy(prediction), num_classes).numpy()[:, 1:]
    both = np.einsum("bii->bi", pairs[:, :, 1:])
    sums = pairs.sum(axis=2) + joint_columns(prediction, num_classes)
    dice = np.where(sums > 0, 2 * both / np.maximum(sums, 1), np.nan)
    return float(np.nanmean(np.nanmean(dice[:, (sums > 0).any(axis=0)], axis=0)))


def joint_columns(prediction: Array, num_classes: int) -> Array:
    """Return the predicted areas (n, C - 1)."""
    return np.stack([np.bincount(one.ravel(), minlength=num_classes)[1:] for one in prediction])


def classify(images: Array, truth: Array, patients: Array, num_classes: int) -> dict[str, float]:
    """Return the Dice of several pixel classifiers on a fifth of the patients, fitted on the others."""
    held_out = patients % 5 == 0
    scores = {}
    for side, greys, smooth, least in (
        (24, 16, 0.5, 0.0), (24, 16, 1.0, 0.0), (48, 32, 1.0, 0.0), (48, 32, 1.5, 0.0), (48, 32, 2.5, 0.0),
        (48, 32, 1.5, 0.3), (48, 32, 1.5, 0.5), (96, 32, 2.0, 0.0),
    ):  # fmt: skip
        classifier = PixelClassifier((side, side, greys), smooth, least)
        classifier.fit(images[~held_out], truth[~held_out], num_classes)
        name = f"{side} x {side} x {greys} bins, smoothed by {smooth}, share at least {least}"
        scores[name] = mean_dice(truth[held_out], classifier.predict(images[held_out]), num_classes)
    return scores


def main() -> None:
    """Print everything."""
    images, truth, patients, seconds = load(PhantomSource())
    measured = measure(images, truth)
    print(f"{len(images)} slices of {len(np.unique(patients))} patients in {seconds:.1f} s of process CPU time")
    print(f"{near_duplicate_groups(images, patients)} groups of near-duplicates")
    for name, value in measured.summary.items():
        print(f"{name}: {value:.2f}")
    print("\n".join(table(measured)))
    source = PhantomSource(image_size=96, min_pixels=200)
    images, truth, patients, _ = load(source)
    for name, dice in classify(images, truth, patients, len(source.classes)).items():
        print(f"pixel classifier, {name}: {dice:.3f}")


if __name__ == "__main__":
    main()
