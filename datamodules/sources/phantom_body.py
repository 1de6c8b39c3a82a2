"""One synthetic patient: the mean anatomy, made individual by a random generator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from datamodules.sources.anatomy import STRUCTURE_ID
from datamodules.sources.phantom_atlas import ARM_PARTS, OUTLINES, PARTS, TISSUES, WALL, Part, Tissue
from datamodules.sources.phantom_scan import Scan
from datamodules.sources.phantom_shapes import Z_PIXELS, Chain, Floats, Solid, Sweep
from partial_labels.classes import BACKGROUND

KEEP = 255
"""In place of a structure's id: leave the label that lies there."""
NO_GAS = 2.0
HARMONICS = 4
BOWEL_LOOPS = 110
ARMS_DOWN = 0.09
"""Share of patients with the arms beside the body."""
SPREADS = {
    "spine": (0.006, 2.0, 0.05),
    "trunk": (0.006, 1.5, 0.04),
    "head": (0.003, 2.0, 0.03),
    "jaw": (0.003, 2, 0.04),
}
"""Deviation between patients in z, in place (pixels of the 256 grid) and in log size, where it is not the usual."""
USUAL_SPREAD = (0.01, 3.2, 0.09)


@dataclass(frozen=True)
class Grey:
    """A tissue as this patient has it; see :class:`~datamodules.sources.phantom_atlas.Tissue`."""

    core: float
    texture: float
    rim: float
    shell: float | None
    shell_width: float
    rim_hu: float | None
    spots: float


@dataclass(frozen=True)
class Placed:
    """A solid of one patient.

    Args:
        label: The structure's id, 0 for none, ``KEEP`` for what lies there already.
        grey: What it looks like.
        solid: Its shape.
        gas: Where gas begins in it, from -1 (back) to 1 (front) of its half axis along columns, or ``NO_GAS``.
        inside: Whether the chest and abdominal wall bounds it.
    """

    label: int
    grey: Grey
    solid: Solid
    gas: float
    inside: bool


@dataclass(frozen=True)
class Ribs:
    """Twelve pairs of bows in the chest wall that sink from the spine to the front.

    Args:
        first: z of the first rib at the spine.
        spacing: Distance of two ribs along z.
        slope: How far a rib sinks, in z per radian around the chest.
        width: Half thickness along z, as a share of the spacing.
        depth: Half thickness across the wall, in pixels of the 256 grid.
    """

    first: float
    spacing: float
    slope: float
    width: float
    depth: float


@dataclass(frozen=True)
class Jitter:
    """How one group of solids differs from the mean anatomy, and whether the patient has it."""

    z: float
    stretch: float
    row: float
    column: float
    scale: float
    luck: float


class Body:
    """A patient drawn from a random generator; every slice follows from its ``z``.

    Args:
        rng: Drawn from here only.
    """

    def __init__(self, rng: Generator) -> None:
        self._rng = rng
        self._groups: dict[str, Jitter] = {}
        self.scan = Scan.draw(rng)
        self.fat = float(np.clip(rng.normal(1, 4.5), -7, 11))
        self.wall_width = float(rng.normal(7.5, 0.9))
        self.ribs = Ribs(*rng.normal((0.086, 0.036, 0.07, 0.2, 2.9), (0.005, 0.001, 0.006, 0.02, 0.25)))
        self.axis = rng.normal(0, (0.006, 0.004)), rng.uniform(0, 2 * np.pi, 2)
        self.tissues = {name: self._grey(tissue) for name, tissue in TISSUES.items()}
        self.outlines = [placed.solid for part in OUTLINES for placed in self._place(part)]
        self.wall = self._sweep(WALL)
        self.solids = [placed for part in PARTS for placed in self._place(part)]
        arms = ARM_PARTS if rng.random() < ARMS_DOWN else ()
        self.arms = [placed for part in arms for placed in self._place(part)]

    def level_of(self, z: float) -> float:
        """Return the ``z`` of the mean anatomy that lies at a slice: the proportions of the trunk differ."""
        (once, twice), (a, b) = self.axis
        return float(z + once * np.sin(2 * np.pi * z + a) + twice * np.sin(4 * np.pi * z + b))

    def _grey(self, tissue: Tissue) -> Grey:
        rng = self._rng
        core = float(np.dot(self.scan.phase, tissue.core)) + rng.normal(0, tissue.spread)
        shell = None if tissue.shell is None else tissue.shell * float(np.exp(rng.normal(0, 0.15)))
        texture = tissue.texture * float(np.exp(rng.normal(0, 0.25)))
        return Grey(core, texture, tissue.rim, shell, tissue.shell_width, tissue.rim_hu, tissue.spots)

    def _place(self, part: Part) -> Iterator[Placed]:
        label = KEEP if part.label is None else 0 if part.label == BACKGROUND else STRUCTURE_ID[part.label]
        if part.label == "small_bowel":
            yield from (self._loop(label) for _ in range(BOWEL_LOOPS))
        elif self._jitter(part).luck < part.chance:
            gas = self._rng.uniform(-0.4, 0.7) if self._rng.random() < part.gas else NO_GAS
            solid = self._chain(part) if part.balls else self._sweep(part)
            yield Placed(label, self.tissues[part.tissue], solid, gas, part.inside)

    def _loop(self, label: int) -> Placed:
        """Return a loop of the small bowel: an ellipsoid somewhere in the front of the abdomen."""
        rng, grey = self._rng, self.tissues["bowel"]
        z, half = rng.uniform(0.575, 0.93), rng.uniform(0.014, 0.035)
        row, column, angle = rng.uniform((-66, 14, 0), (46, 66, np.pi))
        radii, drift = rng.uniform(10, 17, 2), rng.normal(0, 5, 2)
        frames = [(z + way * half, row + way * drift[0], column + way * drift[1], *radii, angle) for way in (-1, 1)]
        filled = replace(grey, core=grey.core + rng.normal(0, 12))
        gas = rng.uniform(-0.6, 0.6) if rng.random() < 0.15 else NO_GAS
        return Placed(label, filled, Sweep(np.array(frames), 2.0, self._wobble(0.06), 2.0), gas, True)

    def _jitter(self, part: Part) -> Jitter:
        """Return what the part's group has in common, drawn at its first part."""
        if part.group not in self._groups:
            rng = self._rng
            along, place, size = SPREADS.get(part.group, USUAL_SPREAD)
            row, column = rng.normal(0, place, 2)
            stretch, scale = np.exp(rng.normal(0, (0.05, size)))
            self._groups[part.group] = Jitter(rng.normal(0, along), stretch, row, column, scale, rng.random())
        return self._groups[part.group]

    def _wobble(self, strength: float) -> NDArray[np.complex64]:
        """Draw the harmonics of an outline at both ends of a sweep, weaker the finer they are."""
        falling = strength / np.arange(1, HARMONICS + 1)
        real, imaginary = self._rng.normal(0, 1, (2, 2, HARMONICS)) * falling
        return np.asarray(real + 1j * imaginary, dtype=np.complex64)

    def _moved(self, part: Part) -> Floats:
        """Return the frames after the jitter of their group, (n, 6), or (n, 4) for a chain."""
        jitter = self._jitter(part)
        width = 4 if part.balls else 6
        frames = np.array([(*frame, 0.0)[:width] for frame in part.frames])
        middle = frames[:, 0].mean()
        frames[:, 0] = middle + (frames[:, 0] - middle) * jitter.stretch + jitter.z
        frames[:, 1:3] += jitter.row, jitter.column
        frames[:, 3:5] *= jitter.scale
        return frames

    def _sweep(self, part: Part) -> Sweep:
        rng, frames = self._rng, self._moved(part)
        count = len(frames)
        frames[:, 3:5] *= np.exp(rng.normal(0, part.wobble, (count, 2)))
        frames[:, 1:3] += rng.normal(0, 0.8 * part.wobble, (count, 2)) * frames[:, 3:5]
        frames[:, 5] = np.deg2rad(frames[:, 5]) + rng.normal(0, 0.08)
        repeat = None
        if part.repeat is not None:
            jitter, (period, first, begin, end) = self._jitter(part), part.repeat
            repeat = period * jitter.stretch, first + jitter.z, begin, end
        return Sweep(frames, part.power, self._wobble(0.7 * part.wobble), part.ends, repeat)

    def _chain(self, part: Part) -> Chain:
        rng, nodes = self._rng, self._moved(part)
        nodes[:, 3] *= np.exp(rng.normal(0, 0.08, len(nodes)))
        nodes[:, 1:3] += rng.normal(0, 2.5, (len(nodes), 2))
        steps = np.linalg.norm(np.diff(nodes[:, :3], axis=0) * (Z_PIXELS, 1, 1), axis=1)
        places = np.concatenate([[0], np.cumsum(steps)])
        evenly = np.linspace(0, places[-1], part.balls)
        balls = np.column_stack([np.interp(evenly, places, column) for column in nodes.T])
        balls[:, 3] *= 1 + 0.1 * np.sin(evenly / balls[:, 3] * 2.2)
        return Chain(balls)
