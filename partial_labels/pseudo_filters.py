"""Filters of pseudo-labels: which of the cells that a teacher filled in are believed.

They are applied one after the other and each may only reject. A rejected cell becomes ``UNKNOWN`` again and the pixels
of its class ``UNSURE``, never background; the threshold on single pixels is that of
:func:`partial_labels.confidence.confident_labels`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np
from numpy.typing import NDArray

from partial_labels.batch import UNKNOWN

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]
COLUMNS = ("status", "peak", "confidence", "pixels")
Score = Literal["foreground", "entropy", "classes", "agreement"]


@dataclass(frozen=True)
class PseudoTable:
    """How sure the teacher is of N cases and of their N x C cells; channel 0 is the background.

    Args:
        status: (N, C) what was known before: ``UNKNOWN`` where the teacher filled a cell in.
        peak: (N, C) as in :class:`partial_labels.confidence.CellScores`.
        confidence: (N, C) likewise.
        pixels: (N, C) likewise.
        scores: (N,) each: those of :class:`partial_labels.confidence.CaseScores`, and ``agreement`` where it was
            measured; higher is surer.
    """

    status: NDArray[np.uint8]
    peak: Floats
    confidence: Floats
    pixels: NDArray[np.int64]
    scores: Mapping[str, Floats]

    @property
    def to_fill(self) -> Bools:
        """(N, C) the cells that the teacher filled in; the background's is derived and no filter's business."""
        open_cells: Bools = self.status == UNKNOWN
        open_cells[:, 0] = False
        return open_cells

    @property
    def present(self) -> Bools:
        """(N, C) cells in which the teacher predicts at least one pixel; in the others it asserts an absence."""
        return self.pixels > 0

    @classmethod
    def concatenate(cls, parts: Sequence[PseudoTable]) -> PseudoTable:
        """Return one table of all cases, in order."""
        joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS}
        scores = {name: np.concatenate([part.scores[name] for part in parts]) for name in parts[0].scores}
        return cls(**joined, scores=scores)

    def score(self, name: str) -> Floats:
        """Return a case score.

        Raises:
            ValueError: If it was not measured.
        """
        if name not in self.scores:
            raise ValueError(f"score={name}: it was not measured; choose one of {', '.join(self.scores)}")
        return self.scores[name]


class Filter(ABC):
    """Believes some of the cells that the filters before it left."""

    @final
    def __call__(self, table: PseudoTable, accepted: Bools) -> Bools:
        """Return (N, C) the cells that are still accepted: never one that was not before."""
        return accepted & self.believes(table, accepted)

    @abstractmethod
    def believes(self, table: PseudoTable, accepted: Bools) -> Bools:
        """Return a mask that broadcasts to (N, C).

        Args:
            table: What is known of the cells.
            accepted: (N, C) what the filters before it left.
        """

    def to_json(self) -> dict[str, Any]:
        """Return its name and settings as plain values."""
        return {"filter": type(self).__name__, **vars(self)}


@final
class TopKCases(Filter):
    """Keeps the surest cases whole, and rejects every cell of the others.

    Only cases that still have an accepted cell are counted; of equals the earlier one is surer.

    Args:
        k: How many cases to keep; give this or ``fraction``.
        fraction: Which part of them, in (0, 1], rounded to whole cases and at least one.
        score: By which score; see :class:`partial_labels.confidence.CaseScores`. ``agreement`` has to be measured.

    Raises:
        ValueError: If not exactly one of ``k`` and ``fraction`` is given, or it leaves its range.
    """

    def __init__(self, k: int | None = None, fraction: float | None = None, score: Score = "foreground") -> None:
        self.k, self.fraction = checked_amount(k, fraction)
        self.score: Score = score

    def believes(self, table: PseudoTable, accepted: Bools) -> Bools:
        """Return (N, 1)."""
        candidates = np.asarray(accepted.any(axis=1))
        return surest(table.score(self.score), candidates, self.k, self.fraction)[:, None]


@final
class ClassBalancedTopK(Filter):
    """Keeps the surest cells of each class by itself, so that rare organs are not starved.

    A case score is dominated by large, frequent organs. Here every class keeps the same share (Zou et al.,
    Class-Balanced Self-Training, ECCV 2018, arXiv:1810.07911), and twice over: of the cells in which it is asserted
    present, those with the highest mean confidence over its pixels; of those in which it is asserted absent, the ones
    with the lowest peak. In one ranking, the many absences of a rare organ would crowd out its few presences.

    Args:
        k: How many cells of each kind to keep in a class; give this or ``fraction``.
        fraction: Which part of them, in (0, 1], rounded to whole cells and at least one.

    Raises:
        ValueError: If not exactly one of ``k`` and ``fraction`` is given, or it leaves its range.
    """

    def __init__(self, k: int | None = None, fraction: float | None = None) -> None:
        self.k, self.fraction = checked_amount(k, fraction)

    def believes(self, table: PseudoTable, accepted: Bools) -> Bools:
        """Return (N, C)."""
        believed = np.zeros_like(accepted)
        for c in range(1, accepted.shape[1]):
            present = table.present[:, c]
            kept = surest(table.confidence[:, c], accepted[:, c] & present, self.k, self.fraction)
            believed[:, c] = kept | surest(-table.peak[:, c], accepted[:, c] & ~present, self.k, self.fraction)
        return believed


@final
class CellThreshold(Filter):
    """Keeps the cells whose presence or absence the teacher is sure of, and rejects what lies between.

    A cell is asserted present where the teacher predicts the class at one pixel or more; it is kept if the peak
    probability is at least ``present_peak`` and at least ``min_pixels`` pixels are predicted. Otherwise it is asserted
    absent, and kept if the peak is below ``absent_peak``: a teacher that nearly saw the organ knows neither.

    Args:
        present_peak: Least peak of a present class, in [0, 1].
        min_pixels: Least number of pixels of a present class on the stored grid.
        absent_peak: Peak that an absent class must stay below, in (0, 1].

    Raises:
        ValueError: If a value leaves its range.
    """

    def __init__(self, present_peak: float = 0.9, min_pixels: int = 10, absent_peak: float = 0.3) -> None:
        if not 0 <= present_peak <= 1:
            raise ValueError(f"present_peak={present_peak}: must lie in [0, 1]")
        if not 0 < absent_peak <= 1:
            raise ValueError(f"absent_peak={absent_peak}: must lie in (0, 1]")
        if min_pixels < 1:
            raise ValueError(f"min_pixels={min_pixels}: must be at least 1")
        self.present_peak, self.min_pixels, self.absent_peak = present_peak, min_pixels, absent_peak

    def believes(self, table: PseudoTable, accepted: Bools) -> Bools:
        """Return (N, C)."""
        surely_there = (table.peak >= self.present_peak) & (table.pixels >= self.min_pixels)
        believed: Bools = np.where(table.present, surely_there, table.peak < self.absent_peak)
        return believed


def accepted_cells(table: PseudoTable, filters: Mapping[str, Filter]) -> Bools:
    """Return (N, C) the filled cells that every filter believes, the filters taken in their order."""
    accepted = table.to_fill
    for one in filters.values():
        accepted = one(table, accepted)
    return accepted


def surest(score: Floats, candidates: Bools, k: int | None, fraction: float | None) -> Bools:
    """Return (N,) the ``k`` candidates, or the fraction of them, with the highest score; of equals the earlier ones."""
    places = np.flatnonzero(candidates)
    count = max(1, round((fraction or 0) * len(places))) if k is None else k
    chosen = np.zeros(len(candidates), dtype=np.bool_)
    chosen[places[np.argsort(-score[places], kind="stable")[:count]]] = True
    return chosen


def checked_amount(k: int | None, fraction: float | None) -> tuple[int | None, float | None]:
    """Return both if exactly one is given and lies in its range.

    Raises:
        ValueError: Otherwise.
    """
    if (k is None) == (fraction is None):
        raise ValueError(f"k={k} with fraction={fraction}: give exactly one of the two")
    if k is not None and k < 1:
        raise ValueError(f"k={k}: must be at least 1")
    if fraction is not None and not 0 < fraction <= 1:
        raise ValueError(f"fraction={fraction}: must lie in (0, 1]")
    return k, fraction
