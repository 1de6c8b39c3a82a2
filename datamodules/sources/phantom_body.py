"""One synthetic patient: the mean anatomy, made individual by a random generator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from datamodules.sources.phantom_anatomy import STRUCTURE_ID
from datamodules.sources.phantom_atlas import BODY, CAGE, PARTS, TISSUES, Frame, Part, Tissue
from datamodules.sources.phantom_shapes import Chain, Floats, Solid, Sweep
from partial_labels.classes import BACKGROUND

KEEP = 255
"""In place of a structure's id: leave the label that lies there."""
HARMONICS = 4
BOWEL_LOOPS = 130


@dataclass(frozen=True)
class Grey:
    """A tissue as this patient has it, in HU.

    Args:
        core: Mean.
        texture: Deviation of the texture.
        shell: Mean of the outer layer, None without one.
        shell_width: Its width in pixels of the 256 grid.
        rim: Width of the fat plane around it, in pixels of the 256 grid.
    """

    core: float
    texture: float
    shell: float | None
    shell_width: float
    rim: float


@dataclass(frozen=True)
class Placed:
    """A solid of one patient.

    Args:
        label: The structure's id, 0 for none, ``KEEP`` for what lies there already.
        grey: What it looks like.
        solid: Its shape.
        gas: Where gas begins in it, from -1 (back) to 1 (front) of its half axis along columns; 2: no gas.
    """

    label: int
    grey: Grey
    solid: Solid
    gas: float


@dataclass(frozen=True)
class Ribs:
    """The ribs, which lie in the chest wall and sink from the spine to the front.

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
class Pose:
    """How the patient lies in the frame of the image, lengths in pixels of the 256 grid.

    Args:
        shift: Row and column of the body's axis from the middle of the image.
        angle: Rotation about the patient's axis in radians.
        zoom: Pixels of the image per pixel of the mean anatomy along rows and columns.
        bend: (2, 2, k, k) smooth displacement (row, column) over the image at two levels of z.
        table: Column of the table top from the middle of the image; None without one.
        arms: Rows of the forearms' centres beside the body; None where they are raised.
    """

    shift: tuple[float, float]
    angle: float
    zoom: tuple[float, float]
    bend: Floats
    table: float | None
    arms: float | None


@dataclass(frozen=True)
class Jitter:
    """How one group of solids differs from the mean anatomy."""

    z: float
    stretch: float
    row: float
    column: float
    scale: float


SPREADS = {
    "spine": (0.006, 2.0, 0.05),
    "cage": (0.008, 1.5, 0.03),
    "head": (0.003, 2.0, 0.03),
    "jaw": (0.003, 2.0, 0.04),
}
"""Deviation between patients in z, in place (pixels) and in log size, where it is not ``DEFAULT_SPREAD``."""
DEFAULT_SPREAD = (0.012, 4.0, 0.1)


class Body:
    """A patient drawn from a random generator; everything else follows from ``z``.

    Args:
        rng: Drawn from once, here.
    """

    def __init__(self, rng: Generator) -> None:
        self._rng = rng
        self.phase = draw_phase(rng)
        self.pose = draw_pose(rng)
        self.fat = float(np.clip(rng.normal(1.0, 0.4), 0.3, 2.2))
        self.wall = float(rng.normal(7.0, 0.9))
        self.window = float(rng.normal(-420, 60)), float(rng.normal(520, 70))
        self.noise = float(np.exp(rng.normal(np.log(17), 0.35)))
        self.axis = rng.normal(0, (0.006, 0.004)), rng.uniform(0, 2 * np.pi, 2)
        self.ribs = Ribs(*rng.normal((0.105, 0.0345, 0.055, 0.19, 2.8), (0.005, 0.001, 0.006, 0.015, 0.25)))
        self.tissues = {name: self._grey(tissue) for name, tissue in TISSUES.items()}
        self._groups: dict[str, Jitter] = {}
        self.outline = self._solid(BODY)
        self.cage = self._solid(CAGE)
        self.solids = [placed for part in PARTS for one in both_sides(part) for placed in self._place(one)]

    def level_of(self, z: float) -> float:
        """Return the anatomical ``z`` of a slice: the proportions of the trunk differ between patients."""
        (once, twice), (a, b) = self.axis
        return float(z + once * np.sin(2 * np.pi * z + a) + twice * np.sin(4 * np.pi * z + b))

    def _grey(self, tissue: Tissue) -> Grey:
        rng = self._rng
        core = float(np.dot(self.phase, tissue.core)) + rng.normal(0, tissue.spread)
        shell = None if tissue.shell is None else tissue.shell * float(np.exp(rng.normal(0, 0.15)))
        return Grey(core, tissue.texture * float(np.exp(rng.normal(0, 0.25))), shell, tissue.shell_width, tissue.rim)

    def _place(self, part: Part) -> list[Placed]:
        rng = self._rng
        if rng.random() >= part.chance:
            return []
        label = KEEP if part.label is None else 0 if part.label == BACKGROUND else STRUCTURE_ID[part.label]
        if part.label == "small_bowel":
            return [self._loop(label) for _ in range(BOWEL_LOOPS)]
        gas = float(rng.uniform(-0.4, 0.7)) if rng.random() < part.gas else 2.0
        solid = self._chain(part) if part.balls else self._solid(part)
        return [Placed(label, self.tissues[part.tissue], solid, gas)]

    def _loop(self, label: int) -> Placed:
        """A bowel loop: an ellipsoid somewhere in the front of the abdomen."""
        rng = self._rng
        z, half = rng.uniform(0.56, 0.955), rng.uniform(0.014, 0.04)
        row, column = rng.uniform(-62, 50), rng.uniform(12, 66)
        radii = rng.uniform(8, 15, 2)
        drift = rng.normal(0, 5, 2)
        angle = rng.uniform(0, np.pi)
        ends = [(z - half, row - drift[0], column - drift[1]), (z + half, row + drift[0], column + drift[1])]
        frames = np.array([(*end, *radii, angle) for end in ends])
        grey = self.tissues["bowel"]
        filled = Grey(grey.core + rng.normal(0, 12), grey.texture, grey.shell, grey.shell_width, grey.rim)
        gas = float(rng.uniform(-0.6, 0.6)) if rng.random() < 0.15 else 2.0
        return Placed(label, filled, Sweep(frames, 2.0, self._wobble(0.08), 2.0), gas)

    def _jitter(self, part: Part) -> Jitter:
        group = part.group or part.label or ""
        if part.group == "" and part.label in (None, BACKGROUND, ""):
            group = f"{part.frames}"
        if group not in self._groups:
            rng = self._rng
            along, place, size = SPREADS.get(group, DEFAULT_SPREAD)
            row, column = rng.normal(0, place, 2)
            stretch, scale = np.exp(rng.normal(0, (0.05, size)))
            self._groups[group] = Jitter(rng.normal(0, along), stretch, row, column, scale)
        return self._groups[group]

    def _wobble(self, strength: float) -> NDArray[np.complex64]:
        falling = strength / np.arange(1, HARMONICS + 1)
        real, imaginary = self._rng.normal(0, 1, (2, 2, HARMONICS)) * falling
        return np.asarray(real + 1j * imaginary, dtype=np.complex64)

    def _moved(self, part: Part, frames: Floats) -> Floats:
        """Return the frames of a part after the jitter of its group; columns 0 to 2 are z, row, column."""
        jitter = self._jitter(part)
        middle = frames.mean(axis=0)
        moved = frames.copy()
        moved[:, 0] = middle[0] + (frames[:, 0] - middle[0]) * jitter.stretch + jitter.z
        moved[:, 1] += jitter.row
        moved[:, 2] += jitter.column
        return moved

    def _solid(self, part: Part) -> Sweep:
        rng = self._rng
        frames = np.array([(*frame, 0.0)[:6] for frame in part.frames])
        moved = self._moved(part, frames)
        scale = self._jitter(part).scale
        count = len(frames)
        individual = part.wobble * min(1.0, part.wobble / 0.04)
        moved[:, 3:5] *= scale * np.exp(rng.normal(0, individual, (count, 2)))
        moved[:, 1:3] += rng.normal(0, 0.8 * individual, (count, 2)) * moved[:, 3:5]
        moved[:, 5] = np.deg2rad(frames[:, 5]) + rng.normal(0, 0.08)
        wobble = self._wobble(0.7 * part.wobble) if part.wobble > 0 else None
        return Sweep(moved, part.power, wobble, part.taper, part.repeat and self._moved_repeat(part))

    def _moved_repeat(self, part: Part) -> tuple[float, float, float, float]:
        assert part.repeat is not None
        period, start, begin, end = part.repeat
        jitter = self._jitter(part)
        return period * jitter.stretch, start + jitter.z, begin, end

    def _chain(self, part: Part) -> Chain:
        rng = self._rng
        nodes = self._moved(part, np.array(part.frames))
        nodes[:, 3] *= self._jitter(part).scale * np.exp(rng.normal(0, 0.08, len(nodes)))
        nodes[:, 1:3] += rng.normal(0, 2.5, (len(nodes), 2))
        steps = np.linalg.norm(np.diff(nodes[:, :3], axis=0) * (480, 1, 1), axis=1)
        places = np.concatenate([[0], np.cumsum(steps)])
        evenly = np.linspace(0, places[-1], part.balls)
        balls = np.column_stack([np.interp(evenly, places, column) for column in nodes.T])
        balls[:, 3] *= 1 + 0.1 * np.sin(evenly / balls[:, 3] * 2.2)
        return Chain(balls)


def both_sides(part: Part) -> tuple[Part, ...]:
    """Return the part, or for a name with ``{side}`` the right one and its mirror image on the left."""
    if "{side}" not in f"{part.label}":
        return (part,)
    assert part.label is not None
    mirrored = tuple(mirror(frame, part.balls > 0) for frame in part.frames)
    sides = (("right", part.frames), ("left", mirrored))
    return tuple(
        part._replace(label=part.label.format(side=side), group=part.group.format(side=side), frames=frames)
        for side, frames in sides
    )


def mirror(frame: Frame, ball: bool) -> Frame:
    """Return a frame of the other side."""
    z, row, *rest = frame
    if not ball and len(rest) == 4:
        rest[3] = -rest[3]
    return (z, -row, *rest)


def draw_phase(rng: Generator) -> NDArray[np.float64]:
    """Return how far the contrast medium has come: weights of the native, arterial and portal venous phase."""
    time = rng.choice(3, p=(0.25, 0.25, 0.5)) + rng.normal(0, 0.2)
    weights = np.maximum(0, 1 - np.abs(np.arange(3) - np.clip(time, 0, 2)))
    return np.asarray(weights / weights.sum())


def draw_pose(rng: Generator) -> Pose:
    """Return how a patient lies."""
    zoom = np.exp(rng.normal(0, 0.06))
    wide = np.exp(rng.normal(0, 0.04))
    return Pose(
        shift=(float(rng.normal(0, 5)), float(rng.normal(0, 6))),
        angle=float(rng.normal(0, 0.06)),
        zoom=(float(zoom * wide), float(zoom / wide)),
        bend=rng.normal(0, 4.0, (2, 2, 6, 6)).astype(np.float32),
        table=float(rng.normal(-100, 4)) if rng.random() < 0.6 else None,
        arms=float(rng.uniform(118, 128)) if rng.random() < 0.12 else None,
    )
