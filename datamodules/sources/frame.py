"""The frame that every volume is brought to, and the way back; nothing is interpolated in either direction."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from partial_labels.errors import InputError

Array = NDArray[Any]
AXES = ("LR", "PA", "IS")
"""Letters of the patient's three axes, the negative end of NIfTI's world first."""
RADIOLOGICAL = "PLS"
"""Rows run to the patient's back, columns to the patient's left, slices to the head: how axial CT is looked at."""


@dataclass(frozen=True, eq=False)
class Frame:
    """How a volume lies on disk, and how it is turned to lie as ``orientation`` says.

    Turning exchanges and reverses axes, so :meth:`to_source` undoes :meth:`to_canonical` exactly. An oblique volume is
    turned to the nearest such frame.

    Args:
        shape: The source grid, (X, Y, Z) as on disk.
        affine: (4, 4), from voxel indices to mm in the patient's frame (x to the right, y to the front, z to the head).
        orientation: Three letters of L, R, A, P, I, S: where rows, columns and slices of the turned volume run to.

    Raises:
        InputError: If the affine has no inverse, or the letters do not name three axes.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    orientation: str = RADIOLOGICAL

    def __post_init__(self) -> None:
        check_orientation(self.orientation)
        if self.affine.shape != (4, 4) or not np.isfinite(self.affine).all() or not self._volume_mm3 > 1e-9:
            rows = np.array2string(self.affine[:3], precision=3, separator=",").replace("\n", "")
            raise InputError(f"the affine {rows} has no inverse; write the volume again with a valid header")

    @property
    def _volume_mm3(self) -> float:
        return abs(float(np.linalg.det(self.affine[:3, :3])))

    @cached_property
    def turn(self) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
        """For rows, columns and slices: the axis on disk, and whether it runs the other way there."""
        world = _nearest_axes(self.affine[:3, :3])
        axes, reversed_ = [], []
        for letter in self.orientation:
            number = next(i for i, pair in enumerate(AXES) if letter in pair)
            axis = world.index(number)
            axes.append(axis)
            runs_up = bool(self.affine[number, axis] > 0)
            reversed_.append(runs_up != (letter == AXES[number][1]))
        return (axes[0], axes[1], axes[2]), (reversed_[0], reversed_[1], reversed_[2])

    def to_canonical(self, array: Array) -> Array:
        """Turn (X, Y, Z) as on disk to slices (D, H, W); a view.

        Raises:
            ValueError: If the array is not on this grid.
        """
        if array.shape != self.shape:
            raise ValueError(f"array of {array.shape} voxels on a grid of {self.shape}")
        axes, flips = self.turn
        turned: Array = np.flip(array.transpose(axes), tuple(i for i, flip in enumerate(flips) if flip))
        return turned.transpose(2, 0, 1)

    def to_source(self, slices: Array) -> Array:
        """Turn slices (D, H, W), such as a label map, back to (X, Y, Z) as on disk; a view.

        Raises:
            ValueError: If the array is not on this grid.
        """
        if slices.shape != self.canonical_shape:
            raise ValueError(f"array of {slices.shape} voxels on a grid of {self.canonical_shape}")
        axes, flips = self.turn
        turned: Array = np.flip(slices.transpose(1, 2, 0), tuple(i for i, flip in enumerate(flips) if flip))
        return turned.transpose(np.argsort(axes))

    @property
    def canonical_shape(self) -> tuple[int, int, int]:
        """(D, H, W) of the turned volume."""
        rows, columns, slices = (self.shape[axis] for axis in self.turn[0])
        return slices, rows, columns

    @property
    def canonical_affine(self) -> NDArray[np.float64]:
        """(4, 4), from (row, column, slice) of the turned volume to mm; two frames of one place agree in it."""
        axes, flips = self.turn
        step = np.zeros((4, 4))
        step[3, 3] = 1
        for new, (axis, flip) in enumerate(zip(axes, flips, strict=True)):
            step[axis, new] = -1 if flip else 1
            step[axis, 3] = self.shape[axis] - 1 if flip else 0
        return self.affine @ step

    @property
    def spacing_mm(self) -> tuple[float, float]:
        """Side of a pixel of the turned slices, (row, column)."""
        sides = np.linalg.norm(self.affine[:3, :3], axis=0)
        rows, columns, _ = self.turn[0]
        return float(sides[rows]), float(sides[columns])

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel in millilitres."""
        return self._volume_mm3 / 1000

    def agrees_with(self, other: Frame, tolerance: float = 0.1) -> bool:
        """Tell whether two volumes cover the same voxels, up to a share of a voxel at every corner."""
        if self.canonical_shape != other.canonical_shape:
            return False
        depth, height, width = self.canonical_shape
        corners = np.array(np.meshgrid([0, height - 1], [0, width - 1], [0, depth - 1], [1])).reshape(4, -1)
        distance = np.abs((self.canonical_affine - other.canonical_affine) @ corners)[:3].max()
        return bool(distance <= tolerance * np.linalg.norm(self.affine[:3, :3], axis=0).min())


def check_orientation(orientation: str) -> None:
    """Refuse what does not name each of the patient's axes once."""
    if sorted(next((i for i, pair in enumerate(AXES) if letter in pair), -1) for letter in orientation) != [0, 1, 2]:
        raise InputError(
            f"orientation={orientation}: name where rows, columns and slices run to, one of L or R, one of A or P, "
            f"one of I or S, as in {RADIOLOGICAL}"
        )


def left_right_axis(orientation: str) -> str:
    """Return the array axis along which the patient's left and right lie; ``none`` in sagittal slices."""
    return ("rows", "columns", "none")[next(i for i, letter in enumerate(orientation) if letter in AXES[0])]


def _nearest_axes(rotation: NDArray[np.float64]) -> list[int]:
    """Return for each axis on disk the patient's axis nearest to it, each taken once, the clearest first."""
    cosines = np.abs(rotation / np.linalg.norm(rotation, axis=0))
    world = [-1, -1, -1]
    for _ in range(3):
        number, axis = np.unravel_index(np.argmax(cosines), cosines.shape)
        world[int(axis)] = int(number)
        cosines[number, :] = -1
        cosines[:, axis] = -1
    return world
