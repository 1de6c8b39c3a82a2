"""Painting one slice of a patient: grey values as a CT shows them, and the structures in it."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from datamodules.sources.anatomy import GRID, STRUCTURE_ID
from datamodules.sources.phantom_body import KEEP, NO_GAS, Body, Grey, Placed
from datamodules.sources.phantom_scan import pixel_axis
from datamodules.sources.phantom_shapes import Floats, Section

AIR = -1000.0
GAS = -950.0
SKIN = 2.0
"""Width of the skin in pixels of the 256 grid."""
TEXTURE_WIDTHS = (7.0, 7.0, 2.0, 2.0)
"""Deviations of the kernels that smooth the textures, in pixels of the 256 grid."""

Box = tuple[slice, slice]


class Canvas:
    """A slice while it is painted: HU and ids on the image's pixels, and where these lie in the patient.

    Args:
        body: The patient.
        z: Level in the mean anatomy.
        size: Pixels along a side.
        textures: What :func:`make_textures` gives.
    """

    def __init__(self, body: Body, z: float, size: int, textures: Floats) -> None:
        self.body, self.z, self.size = body, z, size
        pose = body.scan.pose
        self.row, self.column = pose.grid(size, z)
        self.margin = float(np.abs(pose.knots(z)).max()) + 2
        self.coarse, self.fine = drift(textures, z, int(1000 * pose.bend[0, 0, 0, 0]) % size)
        self.hu = np.full((size, size), AIR, np.float32)
        self.ids = np.zeros((size, size), np.uint8)
        self.outside = self._outside()
        wall = body.wall.cut(z)
        self.wall = None if wall is None else wall.level(self.row, self.column)
        if self.wall is not None:
            self.outside = np.minimum(self.outside, self.wall - body.wall_width - 3)

    def _outside(self) -> Floats:
        """Return about how far every pixel lies outside of the skin; negative inside."""
        fat = self.body.fat * float(np.clip((self.z - 0.06) / 0.08, 0.2, 1))
        levels = []
        for solid in self.body.outlines:
            section = solid.cut(self.z)
            if section is not None:
                thick = Section(section.ellipses + np.array([0, 0, fat, fat, 0]), section.power, section.wobble)
                levels.append(thick.level(self.row, self.column))
        return np.asarray(np.minimum.reduce(levels))

    def paint(self, placed: Placed) -> None:
        """Paint one solid and the fat plane around it."""
        section = placed.solid.cut(self.z)
        if section is None:
            return
        grey = placed.grey
        box = self.body.scan.pose.box(section, grey.rim + self.margin, self.size)
        if box is None:
            return
        level = section.level(self.row[box], self.column[box])
        near = level < (0 if placed.label == KEEP else grey.rim)
        if placed.inside and self.wall is not None:
            near &= self.wall[box] < -0.8
        inside = near & (level < 0)
        hu, ids = self.hu[box], self.ids[box]
        if grey.rim and placed.label != KEEP:
            rim = near & ~inside
            hu[rim], ids[rim] = self.body.tissues["fat"].core if grey.rim_hu is None else grey.rim_hu, 0
        hu[inside] = self._tissue(grey, level, box)[inside]
        if placed.gas < NO_GAS:
            _, column, _, half, _ = section.ellipses[0]
            hu[inside & (level < -grey.shell_width) & (self.column[box] > column + placed.gas * half)] = GAS
        if placed.label != KEEP:
            ids[inside] = placed.label

    def _tissue(self, grey: Grey, level: Floats, box: Box) -> Floats:
        """Return HU of a tissue: core with texture and spots, and the shell."""
        coarse, fine = self.coarse[box], self.fine[box]
        values = np.float32(grey.core) + np.float32(grey.texture) * (coarse + fine)
        if grey.spots:
            values += np.float32(grey.spots) * np.maximum(fine - np.float32(1.1), 0)
        if grey.shell is not None:
            shell = np.float32(grey.shell) + np.float32(0.3 * grey.texture) * fine
            values = np.where(level > -grey.shell_width, shell, values)
        return np.asarray(values)

    def paint_trunk(self) -> None:
        """Paint skin, the fat below it, the wall of the trunk with its ribs, and the fat inside."""
        body, everywhere = self.body, (slice(None), slice(None))
        tissues = body.tissues
        fat = self._tissue(tissues["fat"], self.outside, everywhere)
        self.hu = np.where(self.outside < -SKIN, fat, np.float32(tissues["skin"].core))
        if self.wall is None:
            return
        inner = self.wall <= 0
        self.hu[inner] = self._tissue(tissues["omentum"], self.wall, everywhere)[inner]
        # In the pelvis bones and gluteal muscles take the wall's place, first at the back.
        front = self.column > np.clip((self.z - 0.76) * 900, 0, 65) - 65 if self.z > 0.76 else True
        wall = ~inner & (self.wall < body.wall_width) & front
        self.hu[wall] = self._tissue(tissues["muscle"], self.wall, everywhere)[wall]
        self._paint_ribs(self.wall)

    def _paint_ribs(self, wall: Floats) -> None:
        """Paint where the bows of the ribs cross the slice."""
        ribs, bone = self.body.ribs, self.body.tissues["bone"]
        angle = np.arctan2(np.abs(self.row), -self.column)
        place = (self.z - ribs.first - ribs.slope * angle) / ribs.spacing
        number = np.clip(np.round(place), 0, 11)
        across = (wall - self.body.wall_width / 2) / np.float32(ribs.depth)
        radius = np.hypot((place - number) / ribs.width, across)
        reach = np.maximum(2.45 - 0.2 * np.maximum(number - 5, 0), 0.9)
        here = (radius < 1) & (angle > 0.28) & (angle < reach)
        self.hu[here] = np.where(radius > 0.55, bone.shell or bone.core, bone.core)[here]
        self.ids[here] = np.where(self.row < 0, STRUCTURE_ID["ribs_left"], STRUCTURE_ID["ribs_right"])[here]

    def close(self) -> None:
        """Cut away what lies outside of the skin, and add the table."""
        outside = self.outside > 0
        self.hu[outside], self.ids[outside] = AIR, 0
        table = self.body.scan.table
        if table is not None:
            axis = pixel_axis(self.size)
            depth = table + 6 * (axis[:, None] / 60) ** 2 - axis[None]
            board = (depth > 0) & (depth < 9) & outside & (np.abs(axis) < 105)[:, None]
            self.hu[board] = np.where((depth < 1.6) | (depth > 7.4), -150, -880)[board]


def make_textures(rng: Generator, size: int) -> Floats:
    """Return (4, size, size) periodic smooth fields of unit deviation: two coarse, two fine ones."""
    fields = []
    for width in TEXTURE_WIDTHS:
        field = gaussian_filter(rng.standard_normal((size, size)), max(width * size / GRID, 0.5), mode="wrap")
        fields.append(field / field.std())
    return np.stack(fields).astype(np.float32)


def drift(textures: Floats, z: float, shift: int) -> Floats:
    """Return (2, size, size): a coarse and a fine texture that change slowly with z, moved by whole pixels."""
    cos, sin = np.float32(np.cos(60 * z)), np.float32(np.sin(60 * z))
    return np.roll(cos * textures[0::2] + sin * textures[1::2], (shift, 3 * shift), axis=(1, 2))


def render(
    body: Body, z: float, size: int, textures: Floats, rng: Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the image and the ids of the 54 structures, both (size, size), at a slice's place ``z`` in the scan.

    The body is blurred as by the scanner, then grain is added that is finer than the blur; at smaller sizes, where a
    pixel averages over more of it, there is less.
    """
    canvas = Canvas(body, body.level_of(z), size, textures)
    canvas.paint_trunk()
    for placed in body.solids:
        canvas.paint(placed)
    canvas.close()
    for placed in body.arms:
        canvas.paint(placed)
    scale = size / GRID
    hu = gaussian_filter(canvas.hu, 0.15 + 0.75 * scale)
    grain = gaussian_filter(rng.standard_normal((size, size), dtype=np.float32), max(0.35, 0.7 * scale))
    hu += grain * np.float32(body.scan.noise * np.sqrt(scale))
    low, high = body.scan.window
    return np.clip((hu - low) * (255 / (high - low)), 0, 255).astype(np.uint8), canvas.ids
