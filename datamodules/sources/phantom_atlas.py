"""The mean anatomy: every solid of the phantom in painting order, and the tissues they are made of.

Lengths are pixels of the 256 grid from the body's axis, rows towards the patient's right, columns towards the front;
``z`` runs from the crown (0) to the thighs (1): head and neck end at 0.1, the thorax at 0.5, the abdomen at 0.8.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

from partial_labels.classes import BACKGROUND

Frame = tuple[float, ...]


class Tissue(NamedTuple):
    """What a solid looks like. Grey values are Hounsfield units (HU), widths pixels of the 256 grid."""

    core: tuple[float, float, float]
    """Without contrast medium, in the arterial and in the portal venous phase."""
    spread: float = 8.0
    """Deviation between patients."""
    texture: float = 6.0
    """Deviation of the texture."""
    rim: float = 1.6
    """Width of the layer that parts it from its surroundings."""
    shell: float | None = None
    """HU of the outer layer (bone cortex, bowel wall), None without one."""
    shell_width: float = 0.0
    """Its width."""
    rim_hu: float | None = None
    """HU of the layer around it; None: fat."""
    spots: float = 0.0
    """HU by which a peak of the fine texture stands out: vessels in the lung, fat between the fibres of a muscle."""


def plain(hu: float, spread: float = 8.0, texture: float = 6.0, rim: float = 1.6, spots: float = 0.0) -> Tissue:
    """Return a tissue that takes up no contrast medium."""
    return Tissue((hu, hu, hu), spread, texture, rim, spots=spots)


TISSUES = {
    "air": plain(-990, 5, 4, 0),
    "airway": Tissue((-990, -990, -990), 5, 4, 0, 30, 1.6),
    "artery": Tissue((42, 290, 150), 25, 5),
    "bile": plain(8, 8, 4),
    "bone": Tissue((230, 235, 235), 50, 45, 0, 620, 2.2),
    "bowel": Tissue((22, 25, 28), 30, 12, 1.6, 72, 1.8),
    "brain": Tissue((34, 38, 42), 4, 5, 6.5, rim_hu=750, spots=-14),
    "cava": Tissue((40, 80, 130), 25, 8),
    "chamber": Tissue((42, 270, 145), 35, 5, 0),
    "colon": Tissue((10, 10, 10), 40, 45, 1.8, 62, 1.8),
    "cord": plain(35, 8, 5, 0),
    "csf": plain(8, 4, 3, 0),
    "disc": plain(85, 15, 8, 0),
    "duodenum": Tissue((30, 35, 40), 22, 10, 1.6, 72, 2.2),
    "esophagus": Tissue((40, 55, 60), 8, 7, 1.6),
    "face": plain(10, 20, 22, 0, -60),
    "fat": plain(-100, 8, 9, 0, 25),
    "gland": Tissue((30, 75, 80), 12, 9),
    "heart": Tissue((42, 120, 120), 15, 7, 2.5),
    "kidney": Tissue((32, 150, 175), 15, 9),
    "liver": Tissue((55, 68, 108), 13, 8, spots=12),
    "lung": plain(-830, 45, 22, 0, 330),
    "medulla": Tissue((30, 70, 165), 15, 7, 0),
    "muscle": Tissue((50, 58, 62), 7, 8, spots=-45),
    "omentum": plain(-100, 8, 12, 0, 110),
    "pancreas": Tissue((38, 95, 92), 12, 12, 1.6, spots=-60),
    "plate": Tissue((380, 385, 385), 60, 40, 0, 620, 1.6),
    "portal": Tissue((42, 110, 170), 20, 5),
    "pulmonary": Tissue((42, 260, 140), 50, 7, 1.0),
    "sinus": plain(-70, 30, 20, 0),
    "skin": plain(10, 20, 5, 0),
    "spleen": Tissue((46, 115, 120), 9, 7),
    "stomach": Tissue((22, 22, 22), 45, 16, 2, 60, 2.4),
    "tooth": plain(1300, 300, 200, 0),
    "urine": Tissue((6, 6, 20), 10, 4, 2, 45, 1.6),
    "vein": Tissue((42, 70, 140), 20, 6),
}


class Part(NamedTuple):
    """One solid of the mean anatomy."""

    label: str | None
    """The structure its pixels belong to; ``background``: to none; None: to what lies there already."""
    tissue: str
    frames: tuple[Frame, ...]
    """(z, row, column, half axis along rows, along columns, angle in degrees); of a chain (z, row, column, radius)."""
    group: str
    """Solids that move and grow together."""
    power: float = 2.0
    """Exponent of the superellipse."""
    ends: float = 0.0
    """How it closes towards the first and the last frame: 0 flat, 2 like an ellipsoid, more: later."""
    wobble: float = 0.05
    """How irregular its outline is."""
    gas: float = 0.0
    """Share of patients that have gas in it."""
    chance: float = 1.0
    """Share of patients that have it."""
    balls: int = 0
    """Balls of a chain; 0 for a sweep."""
    inside: bool = False
    """Never reaches beyond the chest and abdominal wall."""
    repeat: tuple[float, float, float, float] | None = None
    """(period, first z, from, to): there only in that share of each period."""


OUTLINE = """
0 skin group=trunk power=2.4 wobble=.012:
    -.1 0 -10 51.3 61.6 / 0 0 -11 82.2 100.7 / .02 0 -6 93.5 115.1 / .045 0 -4 92.4 120.2 / .07 0 -4 88.3 114.1 /
    .085 0 -8 82.2 94.5 / .097 0 -14 106.9 74 / .115 0 -12 127.4 77 / .14 0 -9 127.4 85.2 / .2 0 -6 122.2 93.5 /
    .3 0 -2 119.1 95.5 / .4 0 -2 118.1 94.5 / .5 0 -2 115.1 91.4 / .6 0 0 112.9 90.4 / .7 0 0 112.9 89.4 /
    .8 0 -2 116.1 88.3 / .9 0 -4 120.2 88.3 / 1.2 0 -4 118.1 86.3
0 skin group=breast chance=.45 pair wobble=.05 ends=3: .24 52 74 34 16 -24 / .3 54 80 40 24 -22 / .4 52 78 36 18 -20
0 skin group=head ends=3: .035 0 104 12 14 / .058 0 112 13 20
"""
"""The body is the union of these."""

CAGE = """
0 muscle group=trunk power=2.3 wobble=.012:
    .094 0 -12 32.1 23.5 / .12 0 -12 57.9 40.7 / .15 0 -7 79.3 56.8 / .2 0 -3 92.1 68.6 / .3 0 2 99.6 75 /
    .4 0 4 102.8 77.1 / .5 0 6 101.7 75 / .6 0 8 99.6 70.7 / .7 0 10 98.5 66.4 / .8 0 12 96.4 62.2 /
    .9 0 8 92.1 62.2 / 1.2 0 5 85.7 60
"""
"""Inner face of the chest and abdominal wall."""

LUNGS = """
lung_left lung power=2.4 ends=8:
    .115 -30 -12 25.7 28.9 / .15 -44 -11 38.5 49.2 / .22 -55 -9 43.9 65.3 / .35 -59 -10 47.1 71.7 /
    .43 -60 -15 46 67.4 / .49 -61 -32 40.7 42.8
lung_right lung power=2.4 ends=8:
    .112 30 -12 25.9 29.2 / .15 44 -7 38.9 51.8 / .22 55 -3 45.4 70.2 / .35 57 0 48.6 75.6 / .43 58 -5 48.6 71.3 /
    .508 59 -30 43.2 43.2
"""

SHOULDERS = """
0 muscle group=neck wobble=.05:
    .045 0 -38 58 30 / .07 0 -32 64 38 / .095 0 -30 66 38 / .115 0 -50 60 20 / .13 0 -60 50 8
0 muscle pair group=sternomastoid ends=4: .05 52 0 10 20 / .08 48 24 10 16 / .12 28 34 8 8
0 muscle pair group=trapezius ends=6:
    .09 58 -34 30 14 -18 / .115 66 -42 36 14 -16 / .15 60 -62 34 8 6 / .24 40 -76 26 5 8
0 muscle pair group=deltoid ends=6: .098 102 -10 17 34 / .13 110 -4 12 36 / .2 110 -10 8 24
0 muscle pair group=pectoral ends=6: .118 50 42 34 10 -14 / .15 56 60 36 10 -20 / .22 54 72 36 8 -18 / .3 50 78 28 5 -14
0 muscle pair group=subscapular ends=6: .105 78 -40 26 17 36 / .2 86 -48 28 17 52 / .29 92 -42 26 9 62
0 muscle pair group=latissimus ends=6: .26 101 -24 6 30 -10 / .36 104 -18 5 34 -10 / .5 100 -28 4 26 -16
scapula plate pair group=shoulder ends=8:
    .112 88 -27 15 6 20 / .14 95 -33 23 5 42 / .2 96 -42 26 4 56 / .275 94 -53 14 3.6 64
clavicula plate pair balls=26: .124 30 41 5.4 / .119 55 47 5.4 / .114 80 38 5.2 / .11 98 22 5.4
0 bone group=trunk: .135 0 64 18 6 / .18 0 73 13 5 / .4 0 78 11 4.5
"""

NECK = """
0 artery pair group=carotid: .045 33 26 5 5 / .1 24 30 5 5 / .16 14 14 5 5 / .235 10 20 5 5
0 vein pair group=jugular: .045 42 20 7 6 / .1 34 30 8 7 / .15 28 24 8 7
0 gland pair group=thyroid ends=4: .09 16 40 8 11 / .118 16 31 8 10
"""

CHEST = """
0 cava group=cava: .15 18 26 9 8 / .2 20 24 9 9 / .29 21 22 9 9 / .315 19 16 9 9
aorta artery group=aorta: .235 13 27 15 15 / .33 11 27 16 16 / .345 7 25 15 15
heart heart ends=8:
    .298 2 28 36 28.6 / .34 -8 30 47.7 39.2 / .4 -16 31 54.1 41.3 -18 / .45 -22 33 48.8 35 -20 /
    .477 -26 35 31.8 22.3 -20
. chamber group=heart ends=4: .32 -26 20 17 13 / .38 -34 26 21 16 -25 / .44 -36 30 16 12 -25
. chamber group=heart ends=4: .31 17 30 17 17 / .38 13 27 18 18 / .44 9 25 13 13
. chamber group=heart ends=4: .34 -2 50 21 13 -20 / .43 -14 48 21 10 -20
. chamber group=heart ends=4: .31 -6 7 21 10 / .38 -6 5 21 11
pulmonary_artery pulmonary balls=20: .3 -12 31 14.6 / .272 -14 25 14.6 / .262 -14 11 12.4 / .275 -24 -7 9.7
pulmonary_artery pulmonary balls=20: .275 -10 19 13.5 / .28 4 3 11.9 / .283 20 -1 10.3 / .286 34 -5 8.6
"""

VISCERA = """
small_bowel bowel:
liver liver power=2.3 ends=8 wobble=.08:
    .418 45 6 26.8 26.8 / .45 43 9 47.1 47.1 / .5 43 12 53.5 58.9 / .56 49 14 47.1 58.9 / .64 61 14 31 51.4 /
    .7 68 8 21.4 35.3 / .738 70 4 13.9 20.3
liver liver ends=4 wobble=.08: .455 5 36 25.7 19.3 / .52 -7 46 38.5 20.3 / .58 3 48 27.8 15 / .62 11 46 12.8 9.6
spleen spleen ends=5 wobble=.07:
    .472 -64 -22 17.6 20.9 / .52 -65 -19 25.3 37.4 14 / .58 -66 -16 24.2 35.2 10 / .632 -68 -12 14.3 17.6
stomach stomach ends=4 wobble=.07 gas=.7:
    .462 -44 10 21 21 / .5 -41 18 29 32 -20 / .56 -32 34 34 23 -30 / .61 -12 46 31 16 / .66 8 46 20 12
kidney_left kidney ends=4 wobble=.08:
    .53 -45 -18 16.1 17.2 / .6 -47 -15 20.7 21.8 20 / .66 -48 -12 20.7 21.8 30 / .71 -49 -8 16.1 17.2
. medulla group=kidney_left ends=4: .56 -43 -14 9 11 20 / .69 -45 -10 9 11 30
. sinus group=kidney_left ends=4: .58 -38 -10 7 5 / .67 -39 -6 8 6
kidney_right kidney ends=4 wobble=.08:
    .548 46 -18 16.4 17.5 / .62 48 -13 21.1 23.4 -20 / .68 49 -10 22.2 23.4 -30 / .733 50 -6 17.5 18.7
. medulla group=kidney_right ends=4: .58 44 -13 9 11 -20 / .71 46 -8 9 11 -30
. sinus group=kidney_right ends=4: .6 39 -8 7 5 / .69 40 -4 8 6
colon colon balls=90 gas=.6:
    .79 60 17 17 / .74 68 16 18 / .65 68 25 15 / .62 62 41 14 / .67 40 63 13 / .7 0 67 13 / .66 -40 63 13 /
    .575 -68 33 13 / .575 -74 11 12 / .66 -74 11 11.5 / .77 -70 21 11.5 / .855 -62 41 12 / .885 -34 53 13 /
    .89 4 45 13 / .905 12 21 13 / .93 2 -1 14 / .965 0 -15 14
duodenum duodenum balls=28 gas=.25:
    .588 22 42 10.5 / .6 33 32 10.5 / .68 34 20 11 / .697 20 14 9.9 / .685 -8 18 9.4 / .655 -20 24 8.8
pancreas pancreas balls=30: .65 18 22 10.5 / .61 12 28 12.5 / .58 -6 32 9.5 / .56 -26 24 9.5 / .545 -44 8 9
portal_vein_and_splenic_vein portal balls=30:
    .51 33 15 5 / .545 19 17 5.2 / .585 0 19 5.4 / .57 -21 15 4.4 / .545 -47 1 3.8
0 artery: .6 -3 20 4 4 / .7 0 28 3.5 3.5 / .76 6 32 3 3
0 vein: .59 8 22 5.5 5.5 / .7 10 30 4.5 4.5 / .76 14 34 4 4
gallbladder bile ends=4 chance=.92 wobble=.08: .572 41 36 7.6 9.7 / .61 45 45 10.3 13 / .655 48 50 8.6 9.7
adrenal_gland_left gland group=adrenal_left ends=8: .512 -25 -2 1.7 7.5 25 / .573 -26 0 1.7 7.5 35
adrenal_gland_left gland group=adrenal_left ends=8: .515 -21 -2 1.5 6.5 -30 / .572 -21 0 1.5 6.5 -20
adrenal_gland_right gland ends=8: .505 21 -7 1.5 9.5 -14 / .556 22 -5 1.5 9 -22
0 muscle pair group=quadratus: .59 48 -32 12 6 -20 / .68 50 -34 15 8 -20 / .77 52 -30 14 7 -20
"""

PELVIS = """
iliopsoas muscle pair:
    .575 24 -12 5.8 6.7 / .65 31 -8 12.5 13.4 / .75 38 -4 15.4 15.4 / .85 42 0 16.3 14.4 -20 /
    .93 46 5 16.3 12.5 -25 / .985 50 16 12.5 11.5
iliac_artery artery pair: .783 4 7 5.5 5.5 / .83 14 11 4.8 4.8 / .9 23 15 4.5 4.5 / .992 37 29 4.5 4.5
iliac_vena vein pair: .785 9 1 6 5.5 / .83 17 0 5.6 5.2 / .9 24 6 5.6 5.2 / 1.02 35 23 5.6 5.2
gluteus_medius muscle pair group=hip ends=14:
    .785 72 -7 15.4 11 60 / .85 70 -25 34.2 14.4 62 / .92 72 -27 36.4 14.4 60 / 1.02 78 -13 24.2 11 66
gluteus_minimus muscle pair group=hip ends=8: .878 74 3 17 7.5 62 / .92 74 3 23 8 62 / .97 78 9 16 7 70
gluteus_maximus muscle pair group=hip ends=10:
    .84 52 -55 17 7.6 30 / .9 60 -51 29.2 10.4 38 / 1 64 -45 32.9 12.2 42 / 1.06 64 -45 28.2 12.2 42
sacrum bone group=spine power=2.5 ends=10:
    .802 0 -34 31 14 / .85 0 -38 39 17 / .9 0 -44 31 13 / .95 0 -50 19 9 / .975 0 -50 9 6
. cord group=spine: .805 0 -42 8 4 / .92 0 -50 4 3
hip plate pair group=hip ends=12:
    .772 64 -7 20 5 56 / .82 57 -17 33 6 58 / .88 53 -21 41 7.5 56 / .93 56 -17 32 10 60 / .965 60 -3 26 14 70 /
    1.03 56 1 28 18 80
femur bone pair group=hip ends=6: .966 70 1 13.5 13.5 / .985 71 1 16.2 15.3 / 1.04 80 -3 21.6 13.5
0 muscle pair group=obturator ends=4: .96 34 -4 5 18 10 / 1.03 36 2 6 22 10
0 muscle pair group=thigh ends=4: .965 74 42 16 14 / 1.08 76 42 22 18
0 gland group=genital ends=4: .935 0 4 18 12 / .995 0 0 16 11
urinary_bladder urine ends=4: .94 3 17 25 20 / .96 4 19 29 24 / .988 3 17 21 18
"""

MUSCLES = """
autochthon muscle pair power=2.5:
    .082 17 -36 15 13 / .12 18 -56 13 11 / .2 18 -67 14 9.5 / .4 20 -68 17 10 / .5 22 -61 20 12.5 / .6 24 -49 22 15 /
    .75 24 -47 22 16 / .83 18 -56 15 11 / .87 12 -60 8 7
"""

MIDLINE = """
esophagus esophagus:
    .098 -3 12 7.2 6.7 / .13 -3 0 7.7 6.7 / .2 -4 -15 8.2 6.7 / .3 -4 -14 8.2 6.7 / .42 -8 -10 9.6 7.7 /
    .432 -12 -6 8.6 7.7
trachea airway: .084 0 34 9 9.5 / .13 1 13 9 9.5 / .2 2 1 9.5 9 / .225 2 -1 13 8.5
0 airway balls=16: .222 4 2 7 / .25 17 -2 7 / .29 30 -6 5
0 airway balls=16: .222 0 2 7 / .26 -17 -2 6.5 / .3 -30 -6 5
aorta artery group=aorta balls=24: .247 13 27 14.5 / .236 4 15 14 / .236 -10 -2 13.5 / .252 -17 -16 12.5
aorta artery group=aorta: .24 -18 -18 12.5 12.5 / .4 -15 -16 11.5 11.5 / .5 -8 -4 11 11 / .56 -5 7 10.5 10.5 /
    .7 -4 16 10 10 / .79 -3 14 10 9
inferior_vena_cava cava: .435 17 10 9 8 / .5 17 8 9 8 / .6 16 9 9 7 / .7 15 14 9 7 / .81 12 9 9 7
"""

HEAD = """
brain brain group=head wobble=.02:
    -.05 0 -10 45.8 56.2 / 0 0 -11 71.8 89.4 / .01 0 -10 78 96.7 / .02 0 -13 75.9 87.4 / .03 0 -48 56.2 42.6 /
    .037 0 -55 41.6 30.2
. csf pair group=head ends=4: 0 12 -4 7 24 10 / .012 13 -6 8 30 8 / .022 18 -20 5 14 0
. csf group=head ends=4: -.01 0 -13 1.6 84 / .027 0 -20 1.6 68
"""

FACE = """
face face group=head ends=10 power=3:
    -.04 0 112 68 20.6 / .01 0 112 84.5 28.8 / .02 0 100 94.8 41.2 / .035 0 88 98.9 61.8 / .055 0 84 96.8 61.8 /
    .075 0 88 82.4 53.6 / .1 0 96 63.9 37.1
. muscle pair group=masseter ends=4: .03 66 24 12 34 / .06 62 28 14 34 / .085 54 42 9 16
. plate pair group=eye ends=4: .018 40 74 24 22 / .03 38 72 24 22
. fat pair group=eye ends=4: .016 38 80 20 20 / .032 37 78 20 20
. csf pair group=eye ends=4: .018 36 88 12 12 / .03 36 88 12 12
. plate pair group=head ends=4: .028 34 72 20 22 / .052 32 68 18 22
. air pair group=head ends=4: .03 34 72 16 18 / .05 32 68 14 18
. air group=head ends=4: .024 0 82 7 26 / .05 0 78 8 30
. plate pair group=jaw ends=4: .05 42 64 6 34 -22 / .075 42 66 5 34 -26 / .088 27 88 5 22 -48
. plate group=jaw ends=4: .055 0 96 27 6 / .088 0 100 22 6
. tooth group=jaw ends=4: .056 0 91 23 4 / .07 0 91 23 4
. muscle group=jaw ends=4: .055 0 66 23 24 / .085 0 72 18 20
. air group=jaw ends=4: .045 0 46 11 7 / .07 0 42 10 7 / .084 0 46 8 8
"""

ARMS = """
0 fat group=arm pair: .1 104 -4 20 26 / .2 114 -4 22 26 / .3 124 -6 24 26 / 1.2 128 -6 22 22
0 muscle group=arm pair: .1 104 -4 17 22 / .2 114 -4 18 21 / .3 124 -6 19 21 / 1.2 128 -6 17 17
humerus bone group=arm pair ends=8: .102 98 6 14 14 / .15 102 8 12 12 / .27 111 4 8 8
0 bone group=arm pair: .275 118 0 8 10 / .5 124 0 6 6 / 1.2 128 -8 6 6
"""
"""Beside the body, of patients who could not raise them."""

SPINE = (
    (0.018, 6), (0.05, 12), (0.08, 22), (0.1, 13), (0.13, -16), (0.2, -32), (0.4, -33), (0.5, -23), (0.55, -13),
    (0.65, -1), (0.75, -2), (0.81, -16),
)  # fmt: skip
"""(z, column) of the middle of the vertebral bodies."""


def read(table: str, inside: bool = False) -> tuple[Part, ...]:
    """Read solids from lines ``label tissue option=value ...: frame / frame ...``; an indented line continues one.

    The label ``0`` is the background and ``.`` leaves the label that is there. ``pair`` adds the mirror image: the
    solid as given is the right one.
    """
    lines = table.strip().replace("\n    ", " ").splitlines()
    return tuple(part for line in lines for part in read_line(line, inside))


def read_line(line: str, inside: bool) -> tuple[Part, ...]:
    """Read one solid, or the two of a pair."""
    head, _, body = line.partition(":")
    label, tissue, *words = head.split()
    options: dict[str, Any] = {}
    for word in words:
        key, _, value = word.partition("=")
        options[key] = value if key in ("group", "pair") else int(value) if key == "balls" else float(value)
    frames = tuple(tuple(map(float, frame.split())) for frame in body.split("/") if frame.strip())
    pair = options.pop("pair", None) is not None
    group = options.pop("group", label if label not in "0." else body)
    part = Part(None, tissue, frames, group, inside=inside, **options)
    if not pair:
        return (part._replace(label=owner(label, "")),)
    right = part._replace(label=owner(label, "_right"), group=f"{group}_right")
    mirrored = tuple(mirror(frame) for frame in frames)
    return right, part._replace(label=owner(label, "_left"), group=f"{group}_left", frames=mirrored)


def owner(label: str, side: str) -> str | None:
    """Return the structure's name, ``background``, or None for "what is there already"."""
    return {"0": BACKGROUND, ".": None}.get(label, label + side)


def mirror(frame: Frame) -> Frame:
    """Return a frame of the other side."""
    z, row, *rest = frame
    return (z, -row, *rest[:3], *(-angle for angle in rest[3:]))


def vertebrae(label: str, begin: float, end: float, count: int, size: float) -> tuple[Part, ...]:
    """Return the bones, discs and the canal of one section of the spine; ``size`` is relative to a thoracic one."""
    stations = [(begin, column_at(begin)), *((z, c) for z, c in SPINE if begin < z < end), (end, column_at(end))]
    period = (end - begin) / count

    def piece(
        owner: str, tissue: str, shape: tuple[float, float, float, float, float], on: tuple[float, float] | None = None
    ) -> Part:
        row, back, rows, columns, angle = shape
        frames = tuple((z, row * size, c - back * size, rows * size, columns * size, angle) for z, c in stations)
        return Part(owner, tissue, frames, "spine", repeat=(period, begin, *on) if on else None)

    return (
        piece(BACKGROUND, "disc", (0, 0, 16, 13, 0)),
        piece(label, "bone", (0, 0, 15.5, 12.5, 0), (0.0, 0.78)),
        piece(label, "plate", (21, 21, 12, 3.4, -22), (0.15, 0.65)),
        piece(label, "plate", (-21, 21, 12, 3.4, 22), (0.15, 0.65)),
        piece(label, "plate", (0, 35, 2.6, 11, 0), (0.25, 1.0)),
        piece(label, "plate", (0, 20, 13, 10.5, 0)),
        piece(BACKGROUND, "cord", (0, 17.5, 8, 7, 0)),
    )


def column_at(z: float) -> float:
    """Return where the spine runs at ``z``."""
    for (z0, c0), (z1, c1) in pairwise(SPINE):
        if z <= z1:
            return c0 + (c1 - c0) * (z - z0) / (z1 - z0)
    return SPINE[-1][1]


OUTLINES = read(OUTLINE)
(WALL,) = read(CAGE)
PARTS = (
    *read(LUNGS, inside=True),
    *read(SHOULDERS),
    *read(NECK),
    *read(CHEST, inside=True),
    *read(VISCERA, inside=True),
    *read(PELVIS),
    *read(MUSCLES),
    *read(FACE),
    *vertebrae("vertebrae_cervical", 0.018, 0.1, 7, 1.4),
    *vertebrae("vertebrae_thoracic", 0.1, 0.515, 12, 1.08),
    *vertebrae("vertebrae_lumbar", 0.515, 0.81, 5, 1.11),
    *read(MIDLINE),
    *read(HEAD),
)
ARM_PARTS = read(ARMS)
