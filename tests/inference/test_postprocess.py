import numpy as np
import pytest

from inference.postprocess import Postprocess
from partial_labels.classes import ClassTable
from partial_labels.errors import InputError

CLASSES = ClassTable.from_foreground(["liver", "colon"])


def drawn(*rows):
    return np.array([[int(cell) for cell in row] for row in rows], dtype=np.uint8)


LABEL = drawn("1110000", "1010022", "1120020", "1110000", "0000001", "2200001")


def test_off_it_changes_nothing():
    assert Postprocess().idle
    assert np.array_equal(Postprocess()(LABEL, CLASSES), LABEL)


def test_holes_are_filled_where_nothing_else_is():
    ring = drawn("11111", "10021", "11111")
    assert np.array_equal(Postprocess(fill_holes=True)(ring, CLASSES), drawn("11111", "11121", "11111"))
    assert np.array_equal(Postprocess(fill_holes=["colon"])(ring, CLASSES), ring)


def test_holes_of_a_single_slice_are_filled_as_a_volume_s():
    ring = drawn("11111", "10021", "11111")
    filled = Postprocess(fill_holes=True, per="volume")(ring[None], CLASSES)
    assert np.array_equal(filled[0], drawn("11111", "11121", "11111"))


def test_the_largest_part_is_kept_of_the_classes_named():
    cleaned = Postprocess(largest=["Liver"])(LABEL, CLASSES)
    assert (cleaned == 1).sum() == 10 and np.array_equal(cleaned == 2, LABEL == 2)
    assert (Postprocess(largest=True)(LABEL, CLASSES) == 2).sum() == 3


def test_small_parts_are_removed():
    cleaned = Postprocess(min_pixels=3)(LABEL, CLASSES)
    assert np.array_equal(cleaned, drawn("1110000", "1010022", "1100020", "1110000", "0000000", "0000000"))


def test_a_volume_is_cleaned_slice_by_slice_or_at_once():
    volume = np.zeros((3, 4, 6), dtype=np.uint8)
    volume[:, 1, 1:3] = 1
    volume[1, 3, 3:6] = 1  # the larger part of its slice, the smaller of the volume
    by_slice = Postprocess(largest=True)(volume, CLASSES)
    assert by_slice[1, 3].any() and not by_slice[1, 1].any()
    at_once = Postprocess(largest=True, per="volume")(volume, CLASSES)
    assert at_once[:, 1, 1:3].all() and not at_once[1, 3].any()


def test_the_given_label_map_stays_as_it_is():
    before = LABEL.copy()
    Postprocess(fill_holes=True, largest=True, min_pixels=5)(LABEL, CLASSES)
    assert np.array_equal(LABEL, before)


def test_wrong_keys_are_named():
    with pytest.raises(InputError, match=r"postprocess\.largest=spleen: no such class"):
        Postprocess(largest=["spleen"]).check(CLASSES)
    with pytest.raises(ValueError, match="min_pixels=-1"):
        Postprocess(min_pixels=-1)
