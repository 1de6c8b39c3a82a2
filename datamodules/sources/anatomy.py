"""The 54 structures of challenge 165, shared by its reader and the phantom, whose slices shall have their figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from partial_labels.errors import InputError

GRID = 256
"""Pixels along one side of the slice in whose unit every length of the phantom is given."""


class Structure(NamedTuple):
    """One structure, and what 800 real slices that examined it in half of them say about it.

    The figures are those of the ENS x Raidium challenge 165 (54 structures, 256 x 256, axial CT).
    """

    name: str
    slices: int
    """Slices of 800 that show it; each slice examined half of the structures, so its frequency is ``slices / 400``."""
    area: int
    """Mean pixels where it shows."""
    row: int
    """Mean row from the body's centre; negative is the patient's left."""
    column: int
    """Mean column from the body's centre; negative is the back."""

    @property
    def frequency(self) -> float:
        """Share of all slices that hold it."""
        return self.slices / 400


STRUCTURES = (
    Structure("adrenal_gland_left", 21, 44, -24, -1),
    Structure("adrenal_gland_right", 18, 37, 18, -10),
    Structure("aorta", 226, 509, -8, 1),
    Structure("autochthon_left", 313, 666, -20, -58),
    Structure("autochthon_right", 311, 647, 22, -55),
    Structure("brain", 15, 18931, 0, -12),
    Structure("clavicula_left", 17, 278, -64, 49),
    Structure("clavicula_right", 13, 340, 62, 45),
    Structure("colon", 173, 1431, -2, 30),
    Structure("duodenum", 53, 371, 17, 25),
    Structure("esophagus", 130, 135, -1, -6),
    Structure("face", 37, 8656, -6, 86),
    Structure("femur_left", 12, 661, -58, 4),
    Structure("femur_right", 9, 681, 74, 13),
    Structure("gallbladder", 31, 242, 45, 45),
    Structure("gluteus_maximus_left", 62, 1051, -58, -44),
    Structure("gluteus_maximus_right", 67, 821, 62, -42),
    Structure("gluteus_medius_left", 74, 858, -72, -16),
    Structure("gluteus_medius_right", 82, 833, 77, -10),
    Structure("gluteus_minimus_left", 34, 351, -77, 13),
    Structure("gluteus_minimus_right", 41, 342, 78, 14),
    Structure("heart", 70, 4718, -14, 29),
    Structure("hip_left", 98, 922, -52, -11),
    Structure("hip_right", 84, 910, 56, -10),
    Structure("humerus_left", 6, 330, -97, 10),
    Structure("humerus_right", 6, 310, 104, 28),
    Structure("iliac_artery_left", 79, 58, -21, 20),
    Structure("iliac_artery_right", 91, 55, 23, 21),
    Structure("iliac_vena_left", 89, 103, -18, 10),
    Structure("iliac_vena_right", 82, 78, 27, 12),
    Structure("iliopsoas_left", 156, 562, -37, 3),
    Structure("iliopsoas_right", 167, 518, 36, -3),
    Structure("inferior_vena_cava", 149, 188, 15, 10),
    Structure("kidney_left", 68, 697, -47, -15),
    Structure("kidney_right", 73, 760, 48, -12),
    Structure("liver", 125, 4407, 49, 18),
    Structure("lung_left", 145, 5387, -54, -12),
    Structure("lung_right", 153, 6047, 54, -4),
    Structure("pancreas", 59, 351, -2, 24),
    Structure("portal_vein_and_splenic_vein", 38, 146, 6, 15),
    Structure("pulmonary_artery", 35, 1048, -6, 20),
    Structure("ribs_left", 195, 273, -73, -10),
    Structure("ribs_right", 193, 264, 75, -15),
    Structure("sacrum", 70, 1093, 0, -38),
    Structure("scapula_left", 62, 285, -93, -38),
    Structure("scapula_right", 62, 230, 97, -30),
    Structure("small_bowel", 154, 2048, -16, 41),
    Structure("spleen", 62, 1169, -64, -19),
    Structure("stomach", 77, 1445, -24, 36),
    Structure("trachea", 56, 248, 2, 23),
    Structure("urinary_bladder", 18, 1557, 11, 26),
    Structure("vertebrae_cervical", 35, 1478, -1, 7),
    Structure("vertebrae_lumbar", 118, 940, 0, -20),
    Structure("vertebrae_thoracic", 167, 952, 5, -40),
)

ANATOMY_NAMES = tuple(structure.name for structure in STRUCTURES)
"""Names of classes 1 to 54 in the order of their ids; sides are the patient's."""
STRUCTURE_ID = {name: number for number, name in enumerate(ANATOMY_NAMES, start=1)}
"""Ids in the full table, 1 to 54."""


def select_structures(names: Sequence[str] | None = None, min_pixels: int = 0) -> tuple[Structure, ...]:
    """Return the structures of that name and of at least that mean area, in the order of the table.

    Raises:
        InputError: If a name is unknown or given twice, or if nothing is left.
    """
    wanted = ANATOMY_NAMES if names is None else tuple(names)
    unknown = sorted(set(wanted) - set(ANATOMY_NAMES))
    if unknown or len(set(wanted)) != len(wanted):
        culprits = unknown or sorted({name for name in wanted if wanted.count(name) > 1})
        fault = "unknown" if unknown else "named twice"
        raise InputError(f"data.structures: {fault}: {', '.join(culprits)}; choose among {', '.join(ANATOMY_NAMES)}")
    chosen = tuple(s for s in STRUCTURES if s.name in wanted and s.area >= min_pixels)
    if not chosen:
        raise InputError(f"data.min_pixels={min_pixels}: none of the {len(wanted)} structures is that large; lower it")
    return chosen
