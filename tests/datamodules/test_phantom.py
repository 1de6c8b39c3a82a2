from __future__ import annotations

import numpy as np
import pytest

from datamodules.sources.anatomy import ANATOMY_NAMES
from datamodules.sources.phantom import PhantomSource
from partial_labels.errors import InputError


def source(**options):
    return PhantomSource(**{"num_slices": 24, "image_size": 48, "seed": 3} | options)


def test_the_same_seed_gives_the_same_bits_in_any_order():
    forward, backward = source(), source()
    last_first = {rank: backward.case(rank) for rank in reversed(range(24))}
    for rank, case in enumerate(forward.cases()):
        assert case.row == last_first[rank].row
        for field in ("image", "label", "examined", "truth"):
            np.testing.assert_array_equal(getattr(case, field), getattr(last_first[rank], field))


def test_another_seed_gives_other_slices():
    assert any((a.image != b.image).any() for a, b in zip(source().cases(), source(seed=4).cases(), strict=True))


def test_shown_is_the_truth_of_the_examined_classes():
    for rank, case in enumerate(source(labeled_fraction=0.5).cases()):
        assert case.examined.sum() == (27 if rank < 12 else 0)
        assert not case.examined[0]
        np.testing.assert_array_equal(case.label, np.where(case.examined[case.truth], case.truth, 0))
        assert case.image.dtype == case.label.dtype == case.truth.dtype == np.uint8
        assert case.row.list_rank == rank


def test_examining_everything_keeps_the_slices():
    for part, full in zip(source().cases(), source(examined="all").cases(), strict=True):
        np.testing.assert_array_equal(part.truth, full.truth)
        assert full.examined.all() == bool(part.examined.any())


def test_what_is_examined_does_not_depend_on_what_is_present():
    absent = [not (case.truth == k).any() for case in source().cases() for k in np.flatnonzero(case.examined)]
    assert 0.5 < np.mean(absent) < 0.95


def test_a_selection_is_renumbered_in_the_order_of_the_table():
    part = source(structures=["spleen", "liver", "aorta"])
    assert part.classes.foreground == ("aorta", "liver", "spleen")
    for small, full in zip(part.cases(), source().cases(), strict=True):
        for number, name in enumerate(part.structures, start=1):
            np.testing.assert_array_equal(small.truth == number, full.truth == 1 + ANATOMY_NAMES.index(name))


def test_min_pixels_composes_with_structures():
    assert source(structures=["spleen", "adrenal_gland_left"], min_pixels=200).structures == ("spleen",)
    assert "trachea" in source(min_pixels=200).structures and "esophagus" not in source(min_pixels=200).structures


def test_names_are_unique_and_groups_hold_four_to_eight_slices():
    rows = [case.row for case in source(num_slices=60, image_size=16).cases()]
    assert len({row.name for row in rows}) == 60
    sizes = {row.group: sum(other.group == row.group for other in rows) for row in rows}
    assert (
        all(1 <= size <= 8 for size in sizes.values()) and sum(size >= 4 for size in sizes.values()) >= len(sizes) - 1
    )
    assert all(row.group == row.volume and not row.split for row in rows)


def test_the_fingerprint_tells_options_apart():
    prints = {source(**o).fingerprint() for o in ({}, {"seed": 1}, {"min_pixels": 200}, {"examined": "all"})}
    assert len(prints) == 4


@pytest.mark.parametrize(
    "options", [{"num_slices": 0}, {"labeled_fraction": 1.5}, {"examined_fraction": 0}, {"examined": "some"}]
)
def test_numbers_out_of_range(options):
    with pytest.raises(ValueError):
        source(**options)


@pytest.mark.parametrize(
    "options", [{"structures": ["tail"]}, {"structures": ["liver", "liver"]}, {"min_pixels": 10**6}]
)
def test_an_impossible_selection_says_what_to_do(options):
    with pytest.raises(InputError):
        source(**options)
