"""Painting one slice of a patient: grey values as a CT shows them, and the structures in it."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from datamodules.sources.phantom_anatomy import GRID, STRUCTURE_ID
from datamodules.sources.phantom_body import KEEP, Body, Grey, Placed
from datamodules.sources.phantom_shapes import Floats, Section

AIR = -1000.0
TILES = 4


class Canvas:
    """A slice while it is painted: the grid in the patient's coordinates, HU values and ids.

    Args:
        body: The patient.
        z: Anatomical height of the slice.
        size: Pixels along a side.
        textures: (4, size, size) smooth fields of unit deviation, two coarse and two fine ones.
    """

    def __init__(self, body: Body, z: float, size: int, textures: Floats) -> None:
        self.body, self.z, self.size = body, z, size
        self.step = GRID / size
        axis = ((np.arange(size) + 0.5) * self.step - GRID / 2).astype(np.float32)
        self.row, self.column = self._anatomical(axis)
        self.texture = self._textures(textures)
        self.hu = np.full((size, size), AIR, np.float32)
        self.ids = np.zeros((size, size), np.uint8)

    def _anatomical(self, axis: Floats) -> tuple[Floats, Floats]:
        """Return the patient's row and column of every pixel."""
        pose = self.body.pose
        y, x = (axis - pose.shift[0])[:, None], (axis - pose.shift[1])[None]
        cos, sin = np.float32(np.cos(pose.angle)), np.float32(np.sin(pose.angle))
        row, column = (cos * y + sin * x) / np.float32(pose.zoom[0]), (cos * x - sin * y) / np.float32(pose.zoom[1])
        knots = pose.bend.shape[-1]
        weight = hat_weights((axis + GRID / 2) / GRID * (knots - 1), knots)
        turn = 3 * np.pi * self.z
        coarse = np.float32(np.cos(turn)) * pose.bend[0] + np.float32(np.sin(turn)) * pose.bend[1]
        bend_row, bend_column = (weight @ one @ weight.T for one in coarse)
        self.margin = float(np.abs(coarse).max()) + 2
        return row + bend_row, column + bend_column

    def _textures(self, tiles: Floats) -> Floats:
        """Return (2, size, size): a coarse and a fine texture that drift slowly with z."""
        angle = self.z * 60
        cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        shift = int(self.body.pose.bend[0, 0, 0, 0] * 1000) % self.size
        return np.asarray(np.roll(cos * tiles[0::2] + sin * tiles[1::2], (shift, 3 * shift), axis=(1, 2)))

    def box(self, section: Section, margin: float) -> tuple[slice, slice] | None:
        """Return the pixels that a section may touch."""
        pose = self.body.pose
        low_row, high_row, low_column, high_column = section.bounds(margin + self.margin)
        rows = np.array([low_row, low_row, high_row, high_row]) * pose.zoom[0]
        columns = np.array([low_column, high_column, low_column, high_column]) * pose.zoom[1]
        cos, sin = np.cos(pose.angle), np.sin(pose.angle)
        y, x = cos * rows - sin * columns + pose.shift[0], sin * rows + cos * columns + pose.shift[1]
        slices = []
        for values in (y, x):
            first = max(0, int((values.min() + GRID / 2) / self.step))
            last = min(self.size, int((values.max() + GRID / 2) / self.step) + 2)
            if first >= last:
                return None
            slices.append(slice(first, last))
        return slices[0], slices[1]

    def paint(self, placed: Placed) -> None:
        """Paint one solid with its fat plane."""
        section = placed.solid.cut(self.z)
        if section is None:
            return
        grey = placed.grey
        box = self.box(section, grey.rim)
        if box is None:
            return
        column = self.column[box]
        level = section.level(self.row[box], column)
        inside = level < 0
        hu, ids = self.hu[box], self.ids[box]
        if grey.rim and placed.label != KEEP:
            ring = (level < grey.rim) & ~inside
            hu[ring] = (self.body.tissues["fat"].core + 8 * self.texture[0][box])[ring]
            ids[ring] = 0
        values = self._tissue(grey, level, box)
        if placed.gas < 1:
            _, x, _, half, _ = section.ellipses[0]
            values[(level < -grey.shell_width) & (column > x + placed.gas * half)] = -950
        hu[inside] = values[inside]
        if placed.label != KEEP:
            ids[inside] = placed.label

    def _tissue(self, grey: Grey, level: Floats, box: tuple[slice, slice]) -> Floats:
        coarse, fine = self.texture[0][box], self.texture[1][box]
        values = np.float32(grey.core) + np.float32(grey.texture) * (coarse + fine)
        if grey.shell is not None:
            values = np.where(level > -grey.shell_width, np.float32(grey.shell) + 0.3 * grey.texture * fine, values)
        return np.asarray(values)

    def paint_wall(self) -> None:
        """Paint skin, fat, the muscular wall of the trunk with its ribs, and the fat inside."""
        body = self.body
        outline = body.outline.cut(float(np.clip(self.z, 0.0, 1.0)))
        assert outline is not None
        widen = np.array([0, 0, 1, 1, 0]) * (8 * (body.fat - 1) if self.z > 0.1 else 2 * (body.fat - 1))
        self.outside = Section(outline.ellipses + widen, outline.power, outline.wobble).level(self.row, self.column)
        fat, skin = body.tissues["fat"], body.tissues["skin"]
        texture = self.texture[0] + self.texture[1]
        self.hu = np.where(self.outside < -2, fat.core + fat.texture * texture, skin.core).astype(np.float32)
        cage = body.cage.cut(self.z)
        if cage is None:
            return
        self.level = cage.level(self.row, self.column)
        muscle = body.tissues["muscle"]
        wall = (self.level > 0) & (self.level < body.wall)
        self.hu[wall] = (muscle.core + muscle.texture * texture)[wall]
        self._paint_ribs(cage)

    def _paint_ribs(self, cage: Section) -> None:
        ribs, body = self.body.ribs, self.body
        _, centre, *_ = cage.ellipses[0]
        angle = np.arctan2(np.abs(self.row), centre - self.column)
        place = (self.z - ribs.first - ribs.slope * angle) / ribs.spacing
        number = np.clip(np.round(place), 0, 11)
        along = (place - number) / ribs.width
        across = (self.level - body.wall / 2) / ribs.depth
        reach = np.clip(2.45 - 0.22 * np.maximum(number - 5, 0), 0.9, None)
        radius = np.sqrt(along**2 + across**2)
        mask = (radius < 1) & (angle > 0.28) & (angle < reach)
        bone = body.tissues["bone"]
        cortex = np.where(radius > 0.55, bone.shell or 0.0, bone.core)
        self.hu[mask] = cortex[mask]
        self.ids[mask] = np.where(self.row < 0, STRUCTURE_ID["ribs_left"], STRUCTURE_ID["ribs_right"])[mask]

    def close(self) -> None:
        """Cut away what lies outside the skin, and add the table."""
        outside = self.outside > 0
        self.hu[outside] = AIR
        self.ids[outside] = 0
        pose = self.body.pose
        if pose.table is not None:
            axis = (np.arange(self.size) + 0.5) * self.step - GRID / 2
            top = pose.table + (axis[:, None] / 60) ** 2 * 6 - axis[None]
            band = (top > 0) & (top < 9) & outside & (np.abs(axis) < 105)[:, None]
            self.hu[band] = np.where((top < 1.6) | (top > 7.4), -150, -880)[band]


def hat_weights(places: Floats, knots: int) -> Floats:
    """Return (n, knots): cubic smoothing weights of the knots at each place, which lies in [0, knots - 1]."""
    distance = np.abs(places[:, None] - np.arange(knots)[None])
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = (2 - np.minimum(distance, 2)) ** 3 / 6
    return np.asarray(np.where(distance < 1, near, far), dtype=np.float32)


def make_textures(rng: Generator, size: int) -> Floats:
    """Return (4, size, size) periodic smooth fields of unit deviation: two coarse, two fine ones."""
    fields = []
    for width in (7.0, 7.0, 2.0, 2.0):
        field = gaussian_filter(rng.standard_normal((size, size)), max(width * size / GRID, 0.4), mode="wrap")
        fields.append(field / field.std())
    return np.asarray(np.stack([fields[0], fields[1], fields[2], fields[3]]), dtype=np.float32)


def render(
    body: Body, z: float, size: int, textures: Floats, rng: Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the image and the ids of the 54 structures, both (size, size) uint8."""
    canvas = Canvas(body, body.level_of(z), size, textures)
    canvas.paint_wall()
    for placed in body.solids:
        canvas.paint(placed)
    canvas.close()
    blur = 0.75 * size / GRID + 0.15
    hu = gaussian_filter(canvas.hu, blur)
    grain = gaussian_filter(rng.standard_normal((size, size), dtype=np.float32), max(0.35, 0.7 * size / GRID))
    hu += grain * np.float32(body.noise * 2.2 * np.sqrt(size / GRID))
    low, high = body.window
    image = np.clip((hu - low) * (255 / (high - low)), 0, 255)
    return image.astype(np.uint8), canvas.ids
