"""How one synthetic patient was scanned: pose in the frame, contrast medium, grey window and noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from datamodules.sources.anatomy import GRID
from datamodules.sources.phantom_shapes import Floats, Section

PHASES = (0.2, 0.25, 0.55)
"""Share of patients scanned without contrast medium, in the arterial and in the portal venous phase."""
NARROW = 0.25
"""Share of patients shown in a window for soft tissue."""
KNOTS = 6
BENDING = 4.0
"""Deviation of the knots of the smooth displacement, in pixels of the 256 grid."""


@dataclass(frozen=True)
class Pose:
    """From the pixels of an image to the patient's rows and columns; lengths in pixels of the 256 grid.

    Args:
        shift: Row and column of the body's axis from the middle of the image.
        angle: Rotation about the body's axis in radians.
        zoom: Pixels of the image per pixel of the mean anatomy, along rows and columns.
        bend: (2, 2, k, k) knots of a smooth displacement of (row, column), at two levels of z a quarter turn apart.
    """

    shift: tuple[float, float]
    angle: float
    zoom: tuple[float, float]
    bend: Floats

    @classmethod
    def draw(cls, rng: Generator) -> Pose:
        """Draw how a patient lies."""
        row, column = rng.normal(0, (5.0, 6.0))
        zoom, wide = np.exp(rng.normal(0, (0.05, 0.035)))
        bend = rng.normal(0, BENDING, (2, 2, KNOTS, KNOTS)).astype(np.float32)
        return cls((row, column), rng.normal(0, 0.06), (zoom * wide, zoom / wide), bend)

    def knots(self, z: float) -> Floats:
        """Return (2, k, k): the displacement at a level."""
        turn = 3 * np.pi * z
        return np.asarray(np.cos(turn) * self.bend[0] + np.sin(turn) * self.bend[1], dtype=np.float32)

    def grid(self, size: int, z: float) -> tuple[Floats, Floats]:
        """Return the patient's row and column of every pixel of an image with that many pixels along a side."""
        axis = pixel_axis(size)
        y, x = (axis - np.float32(self.shift[0]))[:, None], (axis - np.float32(self.shift[1]))[None]
        cos, sin = np.float32(np.cos(self.angle)), np.float32(np.sin(self.angle))
        weight = spline_weights((axis / GRID + 0.5) * (KNOTS - 1), KNOTS)
        bend_row, bend_column = (weight @ one @ weight.T for one in self.knots(z))
        row = (cos * y + sin * x) / np.float32(self.zoom[0]) + bend_row
        return row, (cos * x - sin * y) / np.float32(self.zoom[1]) + bend_column

    def box(self, section: Section, margin: float, size: int) -> tuple[slice, slice] | None:
        """Return the pixels that a section with a margin around it may touch, None for none.

        ``margin`` has to make up for the bend, which is not undone here.
        """
        low_row, high_row, low_column, high_column = section.bounds(margin)
        rows = np.array([low_row, low_row, high_row, high_row]) * self.zoom[0]
        columns = np.array([low_column, high_column, low_column, high_column]) * self.zoom[1]
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        corners = cos * rows - sin * columns + self.shift[0], sin * rows + cos * columns + self.shift[1]
        places = [(corner / GRID + 0.5) * size for corner in corners]
        first = [max(0, int(place.min())) for place in places]
        last = [min(size, int(place.max()) + 2) for place in places]
        if first[0] >= last[0] or first[1] >= last[1]:
            return None
        return slice(first[0], last[0]), slice(first[1], last[1])


@dataclass(frozen=True)
class Scan:
    """What was set, injected and measured.

    Args:
        pose: How the patient lies.
        phase: (3,) weights of the native, arterial and portal venous phase.
        window: HU shown as grey 0 and as grey 255.
        noise: Deviation of the noise of a pixel of the 256 grid, in HU.
        table: Column of the table top from the middle of the image; None where it lies outside.
    """

    pose: Pose
    phase: Floats
    window: tuple[float, float]
    noise: float
    table: float | None

    @classmethod
    def draw(cls, rng: Generator) -> Scan:
        """Draw the scan of one patient."""
        time = np.clip(rng.choice(3, p=PHASES) + rng.normal(0, 0.2), 0, 2)
        phase = np.maximum(0, 1 - np.abs(np.arange(3) - time))
        low, high = rng.normal((-870, 1000), (80, 140))
        if rng.random() < NARROW:
            low, high = rng.normal((-430, 580), (70, 70))
        noise = np.exp(rng.normal(np.log(32), 0.35))
        table = rng.normal(-104, 4) if rng.random() < 0.6 else None
        return cls(Pose.draw(rng), phase, (low, high), noise, table)


def pixel_axis(size: int) -> Floats:
    """Return the places of the pixels along a side, in pixels of the 256 grid from the middle of the image."""
    return (((np.arange(size) + 0.5) / size - 0.5) * GRID).astype(np.float32)


def spline_weights(places: Floats, knots: int) -> Floats:
    """Return (n, knots): the cubic B-spline of each knot at each place, which lies in [0, knots - 1]."""
    distance = np.abs(places[:, None] - np.arange(knots)[None])
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = (2 - np.minimum(distance, 2)) ** 3 / 6
    return np.asarray(np.where(distance < 1, near, far), dtype=np.float32)
