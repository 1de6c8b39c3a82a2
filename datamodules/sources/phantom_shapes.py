"""The two kinds of solid that the phantom is made of, and how a slice cuts them.

A solid is given along ``z``, which runs from the crown (0) to the thighs (1) and is scaled so that the slices of the
challenge lie evenly on it. Cut at one ``z`` it leaves a :class:`Section`, a union of ellipses in the plane.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Z_PIXELS = 480.0
"""Pixels of the plane to which one unit of ``z`` corresponds in the trunk."""


@dataclass(frozen=True)
class Section:
    """A union of ellipses in the plane of a slice, in pixels of the 256 grid from the body's axis.

    Args:
        ellipses: (n, 5) of row, column, half axis along rows and along columns, angle in radians.
        power: Exponent of the superellipse; 2 is an ellipse, more is boxier.
        wobble: (k,) complex amplitudes of the outline's 2nd, 3rd, ... harmonic, relative to the radius.
    """

    ellipses: Floats
    power: float = 2.0
    wobble: NDArray[np.complex64] | None = None

    def bounds(self, margin: float) -> tuple[float, float, float, float]:
        """Return the least and largest row, and the least and largest column, that it may reach."""
        reach = self.ellipses[:, 2:4].max(axis=1) * 1.25 + margin
        row, column = self.ellipses[:, 0], self.ellipses[:, 1]
        return (row - reach).min(), (row + reach).max(), (column - reach).min(), (column + reach).max()

    def level(self, row: Floats, column: Floats) -> Floats:
        """Return about how far each point lies outside, in pixels; negative inside."""
        levels = []
        for y, x, half_rows, half_columns, angle in self.ellipses.tolist():
            cos, sin = math.cos(angle), math.sin(angle)
            dy, dx = row - y, column - x
            u, v = (cos * dy + sin * dx) / half_rows, (cos * dx - sin * dy) / half_columns
            levels.append((self._radius(u, v) - 1) * min(half_rows, half_columns))
        return np.asarray(np.minimum.reduce(levels))

    def _radius(self, u: Floats, v: Floats) -> Floats:
        """Return the distance from the centre in units of the outline's."""
        radius = np.sqrt(u * u + v * v)
        shaped = radius if self.power == 2 else (np.abs(u) ** self.power + np.abs(v) ** self.power) ** (1 / self.power)
        if self.wobble is None:
            return shaped
        direction = np.empty(radius.shape, np.complex64)
        direction.real, direction.imag = u, v
        direction /= np.maximum(radius, 1e-3)
        # Horner's scheme for the harmonics 2, 3, ...
        outline = np.full(radius.shape, self.wobble[-1])
        for amplitude in self.wobble[-2::-1]:
            outline *= direction
            outline += amplitude
        outline *= direction * direction
        return np.asarray(shaped / (1 + outline.real))


class Solid(ABC):
    """Something with a place in the body."""

    @abstractmethod
    def cut(self, z: float) -> Section | None:
        """Return what a slice shows of it, None where it passes by."""


@dataclass(frozen=True)
class Sweep(Solid):
    """A superellipse that changes along ``z``, linearly between frames.

    Args:
        frames: (n, 6) rising in z: z, row, column, half axis along rows, along columns, angle in radians.
        power: See :class:`Section`.
        wobble: Harmonics at the first and at the last frame, (2, k) complex, or None for a smooth outline.
        taper: How the ends close: the half axes shrink by ``sqrt(1 - |2 u - 1| ** taper)``, u from 0 to 1; 0: open.
        repeat: (period, first, from, to): shown only in that part of each period of ``z``; None: everywhere.
    """

    frames: Floats
    power: float = 2.0
    wobble: NDArray[np.complex64] | None = None
    taper: float = 0.0
    repeat: tuple[float, float, float, float] | None = None

    def cut(self, z: float) -> Section | None:
        """Return one superellipse."""
        first, last = self.frames[0, 0], self.frames[-1, 0]
        if not first <= z <= last:
            return None
        if self.repeat is not None:
            period, start, begin, end = self.repeat
            if not begin <= ((z - start) / period) % 1 < end:
                return None
        along = float((z - first) / (last - first))
        index = min(int(np.searchsorted(self.frames[:, 0], z, side="right")), len(self.frames) - 1)
        before, after = self.frames[index - 1], self.frames[index]
        share = (z - before[0]) / (after[0] - before[0])
        values = (before + share * (after - before))[1:]
        if self.taper:
            values[2:4] *= np.sqrt(1 - abs(2 * along - 1) ** self.taper)
        if values[2:4].min() < 0.5:
            return None
        wobble = None if self.wobble is None else (1 - along) * self.wobble[0] + along * self.wobble[1]
        return Section(values[None], self.power, wobble)


@dataclass(frozen=True)
class Chain(Solid):
    """Balls along a curve, close enough to make a tube: for what does not run along ``z``.

    Args:
        balls: (n, 4) of z, row, column, radius in pixels.
    """

    balls: Floats

    def cut(self, z: float) -> Section | None:
        """Return the circles in which the slice cuts the balls."""
        squared = self.balls[:, 3] ** 2 - ((self.balls[:, 0] - z) * Z_PIXELS) ** 2
        hit = squared > 1
        if not hit.any():
            return None
        radius = np.sqrt(squared[hit])
        return Section(np.column_stack([self.balls[hit, 1:3], radius, radius, np.zeros_like(radius)]))
