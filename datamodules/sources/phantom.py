"""The embedded default data: synthetic patients with 54 structures, shown the way the challenge shows its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache

import numpy as np
from numpy.random import SeedSequence, default_rng
from numpy.typing import NDArray

from datamodules.sources.anatomy import ANATOMY_NAMES, STRUCTURE_ID, select_structures
from datamodules.sources.base import Source, SourceCase
from datamodules.sources.phantom_body import Body
from datamodules.sources.phantom_render import make_textures, render
from partial_labels.case_table import CaseRow
from partial_labels.classes import ClassTable

VERSION = 3
"""Raised whenever the same options would give other slices."""
SLICES_PER_PATIENT = (4, 8)
NEIGHBOUR = 0.12
"""Share of slices that lie directly beside the previous one of their patient."""


class PhantomSource(Source):
    """A procedural anatomy: every patient is one consistent body, cut into axial slices from crown to thigh.

    The slices lie as in the challenge (head and neck 10 %, thorax 40 %, abdomen 30 %, pelvis 20 %), and area, place and
    frequency of the structures follow its statistics. The truth holds every structure; what is shown is a random part:
    a share of the slices is labeled, and of those a share of the classes examined, whether they are present or not.

    Every slice depends on ``seed``, its patient and its place only, so any order of reading gives the same bits.

    Args:
        num_slices: Number of cases.
        image_size: Pixels along both sides; the anatomy is scaled from 256.
        structures: Names of the structures to keep, renumbered from 1 in the order of the table; None: all 54.
        min_pixels: Keep structures of at least this mean area at 256 x 256 only.
        seed: Any non-negative number.
        labeled_fraction: Share of the slices that are labeled, in [0, 1]; chosen at random, and listed first.
        examined_fraction: Share of the classes examined in each labeled slice, in (0, 1].
        examined: ``partial``; or ``all`` to examine every class of the same labeled slices.

    Raises:
        ValueError: If a number is out of its range.
        InputError: If ``structures`` or ``min_pixels`` select nothing or something unknown.
    """

    name = "phantom"
    left_right_axis = "rows"
    has_truth = True

    def __init__(
        self,
        *,
        num_slices: int = 2000,
        image_size: int = 256,
        structures: Sequence[str] | None = None,
        min_pixels: int = 0,
        seed: int = 0,
        labeled_fraction: float = 0.4,
        examined_fraction: float = 0.5,
        examined: str = "partial",
    ) -> None:
        if num_slices < 1 or image_size < 16 or seed < 0:
            raise ValueError(f"{num_slices=}, {image_size=}, {seed=}: at least 1, 16 and 0")
        if not 0 <= labeled_fraction <= 1 or not 0 < examined_fraction <= 1:
            raise ValueError(f"{labeled_fraction=} must lie in [0, 1] and {examined_fraction=} in (0, 1]")
        if examined not in ("partial", "all"):
            raise ValueError(f"{examined=}: choose partial or all")
        self.num_slices, self.image_size, self.seed = num_slices, image_size, seed
        self.labeled_fraction, self.examined_fraction, self.examined = labeled_fraction, examined_fraction, examined
        self.structures = tuple(structure.name for structure in select_structures(structures, min_pixels))
        self._body = lru_cache(maxsize=None)(self._draw_body)

    @property
    def classes(self) -> ClassTable:
        """The background and the chosen structures."""
        return ClassTable.from_foreground(self.structures)

    @property
    def num_labeled(self) -> int:
        """Number of labeled slices; they come first."""
        return round(self.labeled_fraction * self.num_slices)

    def fingerprint(self) -> str:
        """Return the options and the version of the anatomy."""
        shown = (self.num_slices, self.image_size, self.seed, self.labeled_fraction, self.examined_fraction)
        return f"phantom {VERSION} {shown} {self.examined} {','.join(self.structures)}"

    def __len__(self) -> int:
        return self.num_slices

    def cases(self) -> Iterator[SourceCase]:
        """Yield the labeled slices, then the others."""
        for rank in range(self.num_slices):
            yield self.case(rank)

    def case(self, rank: int) -> SourceCase:
        """Return the slice at this place of the list."""
        patient, index, z = self._plan[rank]
        number = self._order[rank]
        grain = default_rng(SeedSequence(self.seed, spawn_key=(2, int(number))))
        image, ids = render(self._body(patient), z, self.image_size, self._textures, grain)
        truth = self._renumber[ids]
        examined = self._examined(rank)
        volume = f"phantom_{patient:04d}"
        row = CaseRow(f"{volume}_s{index:02d}", volume, volume, index, list_rank=rank)
        return SourceCase(row, image, np.where(examined[truth], truth, 0).astype(np.uint8), examined, truth)

    def _draw_body(self, patient: int) -> Body:
        return Body(default_rng(SeedSequence(self.seed, spawn_key=(1, patient))))

    def _examined(self, rank: int) -> NDArray[np.bool_]:
        """Draw the classes examined in a slice without looking at what is in it."""
        examined = np.zeros(len(self.classes), dtype=bool)
        if rank >= self.num_labeled:
            return examined
        if self.examined == "all":
            return ~examined
        count = max(1, round(self.examined_fraction * len(self.structures)))
        rng = default_rng(SeedSequence(self.seed, spawn_key=(3, int(self._order[rank]))))
        examined[1 + rng.permutation(len(self.structures))[:count]] = True
        return examined

    @cached_property
    def _textures(self) -> NDArray[np.float32]:
        return np.asarray(make_textures(default_rng(SeedSequence(self.seed, spawn_key=(4,))), self.image_size))

    @cached_property
    def _renumber(self) -> NDArray[np.uint8]:
        """The id here of each id of the full table."""
        table = np.zeros(len(ANATOMY_NAMES) + 1, dtype=np.uint8)
        for number, name in enumerate(self.structures, start=1):
            table[STRUCTURE_ID[name]] = number
        return table

    @cached_property
    def _order(self) -> NDArray[np.int64]:
        """For each rank in the list the number of the slice, counted patient by patient."""
        return default_rng(SeedSequence(self.seed, spawn_key=(5,))).permutation(self.num_slices)

    @cached_property
    def _plan(self) -> list[tuple[int, int, float]]:
        """For each rank in the list the patient, the slice's place in it, and z."""
        rng = default_rng(SeedSequence(self.seed, spawn_key=(0,)))
        fewest, most = SLICES_PER_PATIENT
        sizes = rng.integers(fewest, most + 1, self.num_slices // fewest + 1)
        ends = np.minimum(np.cumsum(sizes), self.num_slices)
        counts = np.diff(ends, prepend=0)
        counts = counts[counts > 0]
        anchors = (rng.permutation(len(counts)) + rng.random(len(counts))) / len(counts)
        plan = [
            (patient, index, z)
            for patient, (count, anchor) in enumerate(zip(counts, anchors, strict=True))
            for index, z in enumerate(scan(rng, int(count), anchor))
        ]
        return [plan[number] for number in self._order]


def scan(rng: np.random.Generator, count: int, anchor: float) -> list[float]:
    """Return the z of a patient's slices, in order: spread around an anchor, some of them close neighbours.

    What would leave [0, 1] is mirrored back, so anchors that are even on [0, 1] give slices that are, too.
    """
    length = rng.uniform(0.15, 0.5)
    places = anchor + length * (rng.random(count) - 0.5)
    for index in range(1, count):
        if rng.random() < NEIGHBOUR:
            places[index] = places[index - 1] + rng.choice((-1, 1)) * rng.uniform(0.001, 0.004)
    places = 1 - np.abs(1 - np.abs(places))
    return sorted(places.tolist())
