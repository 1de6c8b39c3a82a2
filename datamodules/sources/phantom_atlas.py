# ruff: noqa: E501
"""The mean anatomy: every solid of the phantom in painting order, and the tissues they are made of.

Lengths are pixels of the 256 grid from the body's axis, rows towards the patient's right, columns towards the front;
``z`` runs from the crown (0) to the thighs (1): head and neck end at 0.1, the thorax at 0.5, the abdomen at 0.8.
A name with ``{side}`` stands for two solids, given on the right and mirrored to the left.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from partial_labels.classes import BACKGROUND

Frame = tuple[float, ...]


class Tissue(NamedTuple):
    """What a solid looks like. Grey values are Hounsfield units (HU)."""

    core: tuple[float, float, float]
    """Without contrast medium, in the arterial and in the portal venous phase."""
    spread: float = 8.0
    """Deviation between patients."""
    texture: float = 6.0
    """Deviation of the texture."""
    shell: float | None = None
    """HU of the outer layer (bone cortex, bowel wall), None without one."""
    shell_width: float = 0.0
    """Its width in pixels of the 256 grid."""
    rim: float = 1.3
    """Width of the fat plane that parts it from its surroundings, in pixels of the 256 grid."""


def plain(hu: float, spread: float = 8.0, texture: float = 6.0, rim: float = 1.3) -> Tissue:
    """Return a tissue that takes up no contrast medium."""
    return Tissue((hu, hu, hu), spread, texture, rim=rim)


TISSUES = {
    "fat": plain(-100, 8, 9, 0),
    "muscle": Tissue((50, 58, 62), 7, 9),
    "skin": plain(10, 20, 5, 0),
    "brain": Tissue((34, 38, 42), 4, 7, rim=0),
    "csf": plain(8, 4, 3, 0),
    "face": plain(10, 20, 30, 0),
    "gland": Tissue((30, 75, 80), 12, 9),
    "bone": Tissue((230, 235, 235), 50, 45, 620, 2.2, 0),
    "plate": Tissue((380, 385, 385), 60, 40, 620, 1.6, 0),
    "tooth": plain(1300, 300, 200, 0),
    "disc": plain(85, 15, 8, 0),
    "cord": plain(35, 8, 5, 0),
    "air": plain(-990, 5, 4, 0),
    "airway": Tissue((-990, -990, -990), 5, 4, 30, 1.6, 0),
    "lung": plain(-830, 45, 25, 0),
    "artery": Tissue((42, 290, 150), 25, 5),
    "vein": Tissue((42, 70, 140), 20, 6),
    "cava": Tissue((40, 80, 130), 25, 8),
    "portal": Tissue((42, 110, 170), 20, 5),
    "pulmonary": Tissue((42, 260, 140), 50, 7, rim=1.0),
    "heart": Tissue((42, 120, 120), 15, 7, rim=2.5),
    "chamber": Tissue((42, 270, 145), 35, 5, rim=0),
    "liver": Tissue((55, 68, 108), 13, 9),
    "spleen": Tissue((46, 115, 120), 9, 7),
    "kidney": Tissue((32, 150, 175), 15, 9),
    "medulla": Tissue((30, 70, 165), 15, 7, rim=0),
    "sinus": plain(-70, 30, 20, 0),
    "pancreas": Tissue((38, 95, 92), 12, 16, rim=1.6),
    "esophagus": Tissue((40, 55, 60), 8, 7, rim=1.6),
    "stomach": Tissue((22, 22, 22), 45, 16, 60, 2.4, 2),
    "bowel": Tissue((22, 25, 28), 30, 12, 72, 1.8, 1.6),
    "duodenum": Tissue((30, 35, 40), 22, 10, 72, 2.2, 1.6),
    "colon": Tissue((10, 10, 10), 40, 45, 62, 1.8, 1.8),
    "bile": plain(8, 8, 4),
    "urine": Tissue((6, 6, 20), 10, 4, 45, 1.6, 2),
}


class Part(NamedTuple):
    """One solid of the mean anatomy."""

    label: str | None
    """The structure its pixels belong to; ``background``: to none; None: to what lies there already."""
    tissue: str
    frames: tuple[Frame, ...]
    """(z, row, column, half axis along rows, along columns, angle in degrees); of a chain (z, row, column, radius)."""
    group: str = ""
    """Solids that move and grow together; its own name by default."""
    power: float = 2.0
    taper: float = 0.0
    wobble: float = 0.05
    gas: float = 0.0
    """Probability that a patient has gas in it."""
    repeat: tuple[float, float, float, float] | None = None
    chance: float = 1.0
    """Share of patients that have it."""
    balls: int = 0
    """Balls of a chain; 0 for a sweep."""


def blob(label: str | None, tissue: str, *frames: Frame, group: str = "", power: float = 2.0, taper: float = 4.0,
         wobble: float = 0.06, gas: float = 0.0, chance: float = 1.0) -> Part:  # fmt: skip
    """An organ with round ends."""
    return Part(label, tissue, frames, group, power, taper, wobble, gas, chance=chance)


def tube(label: str | None, tissue: str, *frames: Frame, group: str = "", power: float = 2.0, wobble: float = 0.04,
         repeat: tuple[float, float, float, float] | None = None) -> Part:  # fmt: skip
    """A solid along ``z`` with flat ends, or a series of them."""
    return Part(label, tissue, frames, group, power, 0.0, wobble, repeat=repeat)


def chain(label: str | None, tissue: str, balls: int, *nodes: Frame, group: str = "", gas: float = 0.0) -> Part:
    """A tube along a curve."""
    return Part(label, tissue, nodes, group, gas=gas, balls=balls)


BODY = tube(
    None, "skin",
    (-0.1, 0, -14, 50, 60), (0.0, 0, -14, 74, 90), (0.02, 0, -8, 86, 104), (0.045, 0, 0, 88, 112), (0.07, 0, 0, 84, 106), (0.09, 0, -4, 82, 84),
    (0.105, 0, -8, 116, 72), (0.14, 0, -6, 122, 80), (0.2, 0, -4, 118, 86), (0.3, 0, 0, 114, 88), (0.4, 0, 0, 112, 87),
    (0.5, 0, 0, 109, 84), (0.6, 0, 2, 107, 83), (0.7, 0, 2, 107, 82), (0.8, 0, 0, 110, 81), (0.9, 0, -2, 114, 80),
    (1.2, 0, -4, 110, 76), power=2.4, wobble=0.012,
)  # fmt: skip
CAGE = tube(
    None, "muscle",
    (0.095, 0, -10, 30, 24), (0.12, 0, -10, 52, 38), (0.15, 0, -6, 72, 52), (0.2, 0, -2, 84, 62), (0.3, 0, 2, 90, 68),
    (0.4, 0, 4, 94, 70), (0.5, 0, 6, 93, 68), (0.6, 0, 8, 91, 64), (0.7, 0, 10, 90, 60), (0.8, 0, 12, 88, 56),
    (0.9, 0, 8, 84, 56), (1.2, 0, 5, 78, 54), group="cage", power=2.3, wobble=0.012,
)  # fmt: skip
"""Inner face of the chest and abdominal wall."""

SPINE = (
    (0.012, -18), (0.05, 8), (0.08, 20), (0.1, 10), (0.13, -20), (0.2, -36), (0.4, -37), (0.5, -28), (0.55, -18),
    (0.65, -6), (0.75, -7), (0.81, -19),
)  # fmt: skip
"""(z, column) of the middle of the vertebral bodies."""


def vertebrae(label: str, begin: float, end: float, count: int, size: float) -> tuple[Part, ...]:
    """Return the bones, discs and the canal of one section of the spine; ``size`` is relative to a thoracic one."""
    stations = [(begin, column_at(begin)), *((z, c) for z, c in SPINE if begin < z < end), (end, column_at(end))]
    period = (end - begin) / count

    def along(row: float, back: float, rows: float, columns: float, angle: float = 0) -> tuple[Frame, ...]:
        return tuple((z, row * size, c - back * size, rows * size, columns * size, angle) for z, c in stations)

    def piece(owner: str, tissue: str, frames: tuple[Frame, ...], on: tuple[float, float] | None = None) -> Part:
        return tube(owner, tissue, *frames, group="spine", repeat=(period, begin, *on) if on else None)

    return (
        piece(BACKGROUND, "disc", along(0, 0, 16, 13)),
        piece(label, "bone", along(0, 0, 15.5, 12.5), (0.0, 0.78)),
        piece(label, "plate", along(21, 21, 12, 3.4, -22), (0.15, 0.65)),
        piece(label, "plate", along(-21, 21, 12, 3.4, 22), (0.15, 0.65)),
        piece(label, "plate", along(0, 35, 2.6, 11), (0.25, 1.0)),
        piece(label, "plate", along(0, 20, 13, 10.5)),
        piece(BACKGROUND, "cord", along(0, 17.5, 8, 7)),
    )


def column_at(z: float) -> float:
    """Return where the spine runs at ``z``."""
    for (z0, c0), (z1, c1) in pairwise(SPINE):
        if z <= z1:
            return c0 + (c1 - c0) * (z - z0) / (z1 - z0)
    return SPINE[-1][1]


HEAD = (
    blob("face", "face", (-0.01, 0, 98, 60, 16), (0.015, 0, 96, 66, 20), (0.03, 0, 86, 72, 34), (0.05, 0, 80, 72, 48),
         (0.075, 0, 84, 58, 42), (0.095, 0, 92, 44, 30), group="head", taper=8, power=2.6),
    blob(None, "muscle", (0.03, 60, 20, 12, 34), (0.06, 58, 24, 14, 34), (0.085, 52, 40, 9, 16), group="head"),
    blob(None, "muscle", (0.03, -60, 20, 12, 34), (0.06, -58, 24, 14, 34), (0.085, -52, 40, 9, 16), group="head"),
    tube(BACKGROUND, "plate", (-0.02, 0, -14, 60, 76), (0.01, 0, -12, 75, 93), (0.025, 0, -14, 75, 88),
         (0.034, 0, -28, 70, 68), (0.041, 0, -48, 52, 42), group="head", wobble=0.02),
    tube("brain", "brain", (-0.02, 0, -14, 53, 69), (0.01, 0, -12, 68, 86), (0.025, 0, -14, 68, 81),
         (0.034, 0, -28, 62, 60), (0.041, 0, -50, 40, 32), group="head", wobble=0.02),
    blob(None, "csf", (0.0, 12, -4, 7, 24, 10), (0.012, 13, -6, 8, 30, 8), (0.022, 18, -20, 5, 14, 0), group="head"),
    blob(None, "csf", (0.0, -12, -4, 7, 24, -10), (0.012, -13, -6, 8, 30, -8), (0.022, -18, -20, 5, 14, 0), group="head"),
    blob(None, "csf", (-0.01, 0, -14, 1.6, 74), (0.034, 0, -14, 1.6, 66), group="head"),
    blob(None, "plate", (0.02, 36, 66, 22, 20), (0.03, 36, 66, 22, 20), group="head"),
    blob(None, "plate", (0.02, -36, 66, 22, 20), (0.03, -36, 66, 22, 20), group="head"),
    blob(None, "fat", (0.018, 34, 72, 18, 19), (0.032, 34, 72, 18, 19), group="head"),
    blob(None, "fat", (0.018, -34, 72, 18, 19), (0.032, -34, 72, 18, 19), group="head"),
    blob(None, "csf", (0.02, 33, 80, 11, 11), (0.03, 33, 80, 11, 11), group="head"),
    blob(None, "csf", (0.02, -33, 80, 11, 11), (0.03, -33, 80, 11, 11), group="head"),
    blob(None, "plate", (0.028, 32, 70, 20, 22), (0.052, 30, 66, 18, 22), group="head"),
    blob(None, "plate", (0.028, -32, 70, 20, 22), (0.052, -30, 66, 18, 22), group="head"),
    blob(None, "air", (0.03, 32, 70, 16, 18), (0.05, 30, 66, 14, 18), group="head"),
    blob(None, "air", (0.03, -32, 70, 16, 18), (0.05, -30, 66, 14, 18), group="head"),
    blob(None, "air", (0.024, 0, 78, 7, 26), (0.05, 0, 74, 8, 30), group="head"),
    blob(None, "plate", (0.05, 40, 62, 6, 34, -22), (0.075, 40, 64, 5, 34, -26), (0.088, 26, 86, 5, 22, -48), group="jaw"),
    blob(None, "plate", (0.05, -40, 62, 6, 34, 22), (0.075, -40, 64, 5, 34, 26), (0.088, -26, 86, 5, 22, 48), group="jaw"),
    blob(None, "plate", (0.055, 0, 98, 26, 6), (0.088, 0, 102, 22, 6), group="jaw"),
    blob(None, "tooth", (0.056, 0, 94, 22, 4), (0.07, 0, 94, 22, 4), group="jaw"),
    blob(None, "muscle", (0.055, 0, 68, 22, 24), (0.085, 0, 74, 18, 20), group="jaw"),
    blob(None, "air", (0.045, 0, 44, 11, 7), (0.07, 0, 40, 10, 7), (0.084, 0, 44, 8, 8), group="jaw"),
)  # fmt: skip

NECK = (
    tube(BACKGROUND, "muscle", (0.045, 0, -34, 56, 30), (0.07, 0, -26, 62, 40), (0.1, 0, -20, 66, 42), (0.12, 0, -44, 60, 22),
         group="neck"),
    blob(BACKGROUND, "muscle", (0.05, 50, 0, 10, 20), (0.08, 46, 24, 10, 16), (0.12, 28, 36, 8, 8), group="neck"),
    blob(BACKGROUND, "muscle", (0.05, -50, 0, 10, 20), (0.08, -46, 24, 10, 16), (0.12, -28, 36, 8, 8), group="neck"),
    tube(BACKGROUND, "artery", (0.045, 32, 26, 5, 5), (0.1, 24, 34, 5, 5), (0.16, 14, 16, 5, 5), (0.22, 10, 22, 5, 5)),
    tube(BACKGROUND, "artery", (0.045, -32, 26, 5, 5), (0.1, -24, 34, 5, 5), (0.16, -14, 12, 5, 5), (0.22, -10, 12, 5, 5)),
    tube(BACKGROUND, "vein", (0.045, 40, 20, 7, 6), (0.1, 34, 32, 8, 7), (0.15, 28, 26, 8, 7)),
    tube(BACKGROUND, "vein", (0.045, -40, 20, 7, 6), (0.1, -34, 32, 7, 6), (0.15, -28, 26, 7, 6)),
    blob(BACKGROUND, "gland", (0.09, 16, 44, 8, 11), (0.118, 16, 34, 8, 10)),
    blob(BACKGROUND, "gland", (0.09, -16, 44, 8, 11), (0.118, -16, 34, 8, 10)),
)  # fmt: skip

SHOULDERS = (
    blob(BACKGROUND, "muscle", (0.1, 100, -6, 16, 30), (0.14, 106, -4, 14, 32), (0.22, 102, -10, 10, 20)),
    blob(BACKGROUND, "muscle", (0.1, -100, -6, 16, 30), (0.14, -106, -4, 14, 32), (0.22, -102, -10, 10, 20)),
    blob(BACKGROUND, "muscle", (0.13, 56, 56, 34, 10, -20), (0.2, 54, 70, 36, 8, -18), (0.29, 50, 76, 28, 5, -14)),
    blob(BACKGROUND, "muscle", (0.13, -56, 56, 34, 10, 20), (0.2, -54, 70, 36, 8, 18), (0.29, -50, 76, 28, 5, 14)),
    blob(BACKGROUND, "muscle", (0.11, 76, -44, 26, 16, 42), (0.2, 84, -46, 28, 16, 52), (0.29, 90, -40, 26, 9, 62)),
    blob(BACKGROUND, "muscle", (0.11, -76, -44, 26, 16, -42), (0.2, -84, -46, 28, 16, -52), (0.29, -90, -40, 26, 9, -62)),
    blob(BACKGROUND, "muscle", (0.26, 98, -22, 6, 30, -10), (0.36, 102, -16, 5, 34, -10), (0.5, 98, -26, 4, 26, -16)),
    blob(BACKGROUND, "muscle", (0.26, -98, -22, 6, 30, 10), (0.36, -102, -16, 5, 34, 10), (0.5, -98, -26, 4, 26, 16)),
    blob("scapula_{side}", "plate", (0.112, 88, -22, 13, 5, 20), (0.14, 95, -26, 20, 4.2, 42), (0.2, 94, -34, 24, 3.2, 56),
         (0.275, 92, -46, 12, 3, 64), group="shoulder_{side}", taper=8),
    chain("clavicula_{side}", "plate", 26, (0.136, 20, 52, 6), (0.126, 45, 56, 6), (0.114, 72, 46, 5.5), (0.106, 92, 28, 6)),
    blob("humerus_{side}", "bone", (0.106, 103, 10, 14, 14), (0.15, 106, 12, 12, 12), (0.28, 110, 10, 8, 8), chance=0.1,
         group="shoulder_{side}"),
    blob(BACKGROUND, "bone", (0.135, 0, 64, 18, 6), (0.18, 0, 72, 13, 5), (0.4, 0, 76, 11, 4.5), group="cage"),
)  # fmt: skip

BACK = (
    tube("autochthon_{side}", "muscle", (0.082, 17, -38, 15, 13), (0.12, 18, -56, 13, 11), (0.2, 18, -68, 15, 10),
         (0.4, 20, -69, 18, 10.5), (0.5, 22, -63, 21, 13), (0.6, 24, -50, 22, 16), (0.75, 24, -48, 22, 17), (0.83, 18, -58, 15, 11),
         (0.87, 12, -62, 8, 7), power=2.5),
    *vertebrae("vertebrae_cervical", 0.012, 0.1, 7, 1.22),
    *vertebrae("vertebrae_thoracic", 0.1, 0.515, 12, 1.0),
    *vertebrae("vertebrae_lumbar", 0.515, 0.81, 5, 1.18),
)  # fmt: skip

CHEST = (
    blob("lung_left", "lung", (0.118, -32, -12, 14, 16), (0.15, -44, -10, 27, 36), (0.22, -52, -7, 33, 52), (0.35, -56, -8, 36, 58),
         (0.43, -58, -14, 36, 54), (0.487, -60, -32, 34, 32), power=2.4, taper=8, wobble=0.05),
    blob("lung_right", "lung", (0.115, 32, -12, 14, 16), (0.15, 44, -8, 28, 38), (0.22, 52, -4, 35, 54), (0.35, 55, -2, 38, 60),
         (0.43, 56, -6, 38, 58), (0.505, 58, -32, 36, 32), power=2.4, taper=8, wobble=0.05),
    tube(BACKGROUND, "vein", (0.15, 18, 26, 8, 7), (0.2, 19, 24, 8, 8), (0.29, 20, 22, 8, 8), (0.315, 18, 16, 8, 8)),
    tube("esophagus", "esophagus", (0.098, -3, 14, 5.5, 5.5), (0.13, -3, 2, 6, 5.5), (0.2, -4, -12, 6.5, 5.5), (0.3, -4, -12, 7, 5.5),
         (0.42, -8, -8, 8, 6.5), (0.432, -12, -4, 8, 7)),
    tube("trachea", "airway", (0.084, 0, 40, 8.5, 9), (0.13, 1, 16, 8.5, 9), (0.2, 2, 4, 9, 8.5), (0.225, 2, 2, 12, 8)),
    chain(BACKGROUND, "airway", 16, (0.222, 4, 2, 7), (0.25, 17, -2, 7), (0.29, 30, -6, 5)),
    chain(BACKGROUND, "airway", 16, (0.222, 0, 2, 7), (0.26, -17, -2, 6.5), (0.3, -30, -6, 5)),
    tube("aorta", "artery", (0.235, 12, 26, 13, 13), (0.33, 10, 26, 14, 14), (0.345, 6, 24, 13, 13)),
    chain("aorta", "artery", 24, (0.247, 12, 26, 13), (0.236, 4, 14, 13), (0.236, -10, -4, 12.5), (0.252, -17, -18, 11.5)),
    tube("aorta", "artery", (0.24, -18, -20, 11, 11), (0.4, -15, -18, 10, 10), (0.5, -8, -6, 9.5, 9.5), (0.56, -5, 4, 9, 9),
         (0.7, -4, 14, 8.5, 8.5), (0.79, -3, 13, 9, 8)),
    blob("heart", "heart", (0.298, 2, 28, 30, 24), (0.34, -8, 30, 42, 34), (0.4, -16, 30, 48, 36, -18), (0.45, -22, 32, 42, 30, -20),
         (0.477, -26, 34, 26, 18, -20), taper=8),
    blob(None, "chamber", (0.32, -26, 20, 16, 12), (0.38, -34, 26, 20, 15, -25), (0.44, -36, 30, 15, 11, -25), group="heart"),
    blob(None, "chamber", (0.31, 16, 30, 16, 16), (0.38, 12, 26, 17, 17), (0.44, 8, 24, 12, 12), group="heart"),
    blob(None, "chamber", (0.34, -2, 48, 20, 12, -20), (0.43, -14, 46, 20, 9, -20), group="heart"),
    blob(None, "chamber", (0.31, -6, 8, 20, 10), (0.38, -6, 6, 20, 11), group="heart"),
    chain("pulmonary_artery", "pulmonary", 20, (0.3, -14, 38, 14), (0.272, -16, 32, 14), (0.262, -16, 18, 12), (0.275, -26, 0, 9)),
    chain("pulmonary_artery", "pulmonary", 20, (0.275, -12, 26, 13), (0.28, 2, 10, 11.5), (0.283, 18, 6, 10), (0.286, 32, 2, 8)),
)  # fmt: skip

ABDOMEN = (
    tube(BACKGROUND, "muscle", (0.59, 46, -32, 12, 6, -20), (0.68, 48, -34, 15, 8, -20), (0.77, 50, -30, 14, 7, -20)),
    tube(BACKGROUND, "muscle", (0.59, -46, -32, 12, 6, 20), (0.68, -48, -34, 15, 8, 20), (0.77, -50, -30, 14, 7, 20)),
    Part("small_bowel", "bowel", (), balls=0, group="small_bowel"),
    blob("liver", "liver", (0.418, 48, 6, 24, 24), (0.45, 46, 8, 42, 42), (0.5, 46, 12, 48, 52), (0.56, 52, 14, 42, 52),
         (0.64, 64, 14, 27, 46), (0.7, 70, 8, 19, 32), (0.738, 72, 4, 12, 18), power=2.3, taper=8, wobble=0.09),
    blob("liver", "liver", (0.455, 8, 34, 24, 18), (0.52, -4, 44, 36, 19), (0.58, 6, 46, 26, 14), (0.62, 14, 44, 12, 9), group="liver"),
    blob("spleen", "spleen", (0.472, -66, -24, 12, 14), (0.52, -68, -22, 17, 27, 14), (0.58, -70, -20, 16, 24, 10),
         (0.632, -72, -16, 9, 12)),
    blob("stomach", "stomach", (0.462, -44, 8, 18, 18), (0.5, -42, 18, 26, 29, -20), (0.56, -34, 34, 30, 20, -30),
         (0.61, -16, 46, 27, 14), (0.66, 4, 46, 17, 10), gas=0.7),
    blob("kidney_left", "kidney", (0.53, -45, -18, 13, 14), (0.6, -47, -15, 16, 18, 20), (0.66, -48, -12, 16, 18, 30),
         (0.71, -50, -8, 13, 14), chance=0.98, wobble=0.09),
    blob(None, "medulla", (0.56, -43, -14, 9, 11, 20), (0.69, -45, -10, 9, 11, 30), group="kidney_left"),
    blob(None, "sinus", (0.58, -38, -10, 7, 5), (0.67, -39, -6, 8, 6), group="kidney_left"),
    blob("kidney_right", "kidney", (0.548, 46, -18, 13, 14), (0.62, 48, -13, 16, 18, -20), (0.68, 49, -10, 17, 18, -30),
         (0.733, 51, -6, 13, 14), chance=0.98, wobble=0.09),
    blob(None, "medulla", (0.58, 44, -13, 9, 11, -20), (0.71, 46, -8, 9, 11, -30), group="kidney_right"),
    blob(None, "sinus", (0.6, 39, -8, 7, 5), (0.69, 40, -4, 8, 6), group="kidney_right"),
    chain("colon", "colon", 90, (0.79, 60, 2, 17), (0.74, 68, 0, 18), (0.64, 70, 8, 15), (0.62, 66, 24, 14), (0.67, 42, 54, 13),
          (0.7, 0, 58, 13), (0.66, -40, 54, 13), (0.57, -70, 16, 13), (0.57, -74, -4, 12), (0.66, -76, -6, 11.5), (0.77, -72, 4, 11.5),
          (0.86, -62, 22, 11), (0.9, -34, 34, 12), (0.9, 4, 26, 12), (0.92, 12, 4, 12), (0.945, 2, -14, 13), (0.985, 0, -24, 13), gas=0.6),
    chain("duodenum", "duodenum", 28, (0.588, 22, 40, 10), (0.6, 34, 28, 10), (0.68, 36, 14, 10.5), (0.7, 22, 12, 9.5),
          (0.69, -8, 14, 9), (0.65, -22, 20, 8.5), gas=0.25),
    chain("pancreas", "pancreas", 30, (0.655, 20, 18, 9), (0.61, 14, 24, 10.5), (0.58, -6, 28, 8), (0.56, -26, 20, 8.5), (0.545, -44, 6, 8)),
    tube("inferior_vena_cava", "cava", (0.435, 17, 10, 9, 8), (0.5, 17, 8, 9, 8), (0.6, 16, 8, 9, 7), (0.7, 15, 13, 9, 7),
         (0.81, 12, 8, 9, 7)),
    chain("portal_vein_and_splenic_vein", "portal", 30, (0.52, 36, 16, 6), (0.55, 20, 18, 6.5), (0.575, 2, 20, 6.5), (0.56, -20, 14, 5.5),
          (0.548, -46, 0, 4.5)),
    tube(BACKGROUND, "artery", (0.6, -3, 18, 4, 4), (0.7, 0, 26, 3.5, 3.5), (0.76, 6, 30, 3, 3)),
    tube(BACKGROUND, "vein", (0.59, 8, 20, 5.5, 5.5), (0.7, 10, 28, 4.5, 4.5), (0.76, 14, 32, 4, 4)),
    blob("gallbladder", "bile", (0.572, 40, 34, 7, 9), (0.61, 45, 45, 9, 12), (0.655, 48, 50, 8, 9), chance=0.9),
    blob("adrenal_gland_left", "gland", (0.512, -25, -2, 1.8, 8, 25), (0.573, -26, 0, 1.8, 8, 35), group="adrenal_left", taper=8),
    blob("adrenal_gland_left", "gland", (0.515, -21, -2, 1.6, 7, -30), (0.572, -21, 0, 1.6, 7, -20), group="adrenal_left", taper=8),
    blob("adrenal_gland_right", "gland", (0.505, 21, -6, 1.7, 11, -14), (0.556, 22, -4, 1.7, 10, -22), taper=8),
)  # fmt: skip

PELVIS = (
    tube("iliopsoas_{side}", "muscle", (0.575, 24, -10, 5, 6), (0.65, 30, -6, 11, 12), (0.75, 38, -2, 14, 14), (0.85, 42, 2, 15, 13, -20),
         (0.93, 46, 8, 15, 11, -25), (0.985, 50, 20, 12, 11)),
    tube("iliac_artery_{side}", "artery", (0.783, 5, 12, 5, 5), (0.83, 17, 16, 4.3, 4.3), (0.9, 28, 22, 4, 4), (0.992, 44, 38, 4, 4)),
    tube("iliac_vena_{side}", "vein", (0.79, 12, 6, 6, 5), (0.83, 22, 6, 5.5, 5), (0.9, 31, 13, 5.5, 5), (1.0, 42, 32, 5.5, 5)),
    blob("gluteus_medius_{side}", "muscle", (0.79, 76, 0, 10, 7, 60), (0.85, 76, -14, 28, 11, 62), (0.92, 78, -14, 30, 11, 60),
         (1.0, 84, 0, 18, 8, 66), group="hip_{side}", taper=10),
    blob("gluteus_minimus_{side}", "muscle", (0.868, 77, 8, 12, 6, 62), (0.92, 77, 8, 19, 7, 62), (0.972, 82, 16, 12, 6, 70),
         group="hip_{side}", taper=8),
    blob("gluteus_maximus_{side}", "muscle", (0.835, 50, -52, 18, 7, 30), (0.9, 60, -46, 32, 11, 38), (1.0, 64, -40, 36, 14, 42),
         (1.06, 64, -40, 30, 14, 42), taper=10),
    blob("sacrum", "bone", (0.802, 0, -34, 26, 12), (0.85, 0, -38, 33, 14), (0.9, 0, -46, 25, 10), (0.95, 0, -54, 14, 7), (0.982, 0, -52, 7, 5),
         power=2.5, taper=10, group="spine"),
    tube(None, "cord", (0.805, 0, -42, 8, 4), (0.92, 0, -50, 4, 3), group="spine"),
    blob("hip_{side}", "plate", (0.772, 64, 2, 14, 4, 56), (0.82, 58, -8, 30, 5.5, 58), (0.88, 53, -12, 38, 7, 56), (0.93, 56, -8, 28, 9, 60),
         (0.965, 60, 4, 22, 12, 70), (1.03, 56, 8, 24, 16, 80), group="hip_{side}", taper=10),
    blob("femur_{side}", "bone", (0.962, 70, 6, 13, 13), (0.985, 71, 6, 16, 15), (1.04, 80, 2, 22, 13), group="hip_{side}", taper=6),
    blob(BACKGROUND, "muscle", (0.96, 34, -4, 5, 18, 10), (1.03, 36, 2, 6, 22, 10)),
    blob(BACKGROUND, "muscle", (0.96, -34, -4, 5, 18, -10), (1.03, -36, 2, 6, 22, -10)),
    blob(BACKGROUND, "muscle", (0.97, 76, 40, 16, 14), (1.06, 76, 40, 22, 18)),
    blob(BACKGROUND, "muscle", (0.97, -76, 40, 16, 14), (1.06, -76, 40, 22, 18)),
    blob(BACKGROUND, "gland", (0.93, 0, 6, 18, 12), (0.99, 0, 0, 16, 11)),
    blob("urinary_bladder", "urine", (0.935, 2, 24, 22, 18), (0.96, 3, 26, 26, 22), (0.99, 2, 24, 18, 15)),
)  # fmt: skip

PARTS = (*NECK, *SHOULDERS, *CHEST, *ABDOMEN, *PELVIS, *BACK, *HEAD)
