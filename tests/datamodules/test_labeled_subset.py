from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules.labeled_subset import hide_classes, select_labeled, show, show_as_sets
from partial_labels.batch import HUMAN, IGNORE, UNKNOWN, UNSURE
from partial_labels.case_table import CaseRow, CaseTable
from partial_labels.classes import ClassTable
from partial_labels.errors import InputError


def table(groups, ranks=None):
    rows = [CaseRow(f"case {i}", f"patient {g}", f"scan {g}", i) for i, g in enumerate(groups)]
    if ranks is not None:
        rows = [CaseRow(row.name, row.group, row.volume, list_rank=r) for row, r in zip(rows, ranks, strict=True)]
    return CaseTable(rows)


def examined(count, classes=7):
    return np.full((count, classes + 1), HUMAN, dtype=np.uint8)


def select(cases, status, train, seed=0, **options):
    none = {"labeled_groups": None, "labeled_fraction": None, "labeled_first": None}
    return select_labeled(cases, status, train, **(none | options), seed=seed)


GROUPS = np.arange(40) // 4
CASES = table(GROUPS)
TRAIN = np.arange(36)


def test_without_an_option_every_case_with_an_examined_class_stays():
    status = examined(40)
    status[[3, 5], 1:] = UNKNOWN
    status[[3, 5, 6], 0] = UNKNOWN
    assert select(CASES, status, TRAIN).tolist() == [i for i in range(36) if i not in (3, 5)]


def test_groups_are_drawn_whole_and_smaller_choices_are_part_of_larger_ones():
    chosen = [set(select(CASES, examined(40), TRAIN, labeled_groups=n).tolist()) for n in range(1, 10)]
    for n, ids in enumerate(chosen, start=1):
        assert len(set(GROUPS[list(ids)])) == n and len(ids) == 4 * n
    assert all(small < large for small, large in pairwise(chosen))
    assert chosen[-1] == set(TRAIN)
    third = set(select(CASES, examined(40), TRAIN, labeled_fraction=1 / 3).tolist())
    assert third == chosen[2]
    assert len(select(CASES, examined(40), TRAIN, labeled_fraction=0.01)) == 4
    seeds = {tuple(select(CASES, examined(40), TRAIN, seed=seed, labeled_groups=2)) for seed in range(8)}
    assert len(seeds) > 3


def test_unlabeled_groups_are_not_drawn():
    status = examined(40)
    status[8:] = UNKNOWN
    assert select(CASES, status, TRAIN, labeled_groups=2).tolist() == list(range(8))
    with pytest.raises(InputError, match="only 2 training groups"):
        select(CASES, status, TRAIN, labeled_groups=3)


def test_the_first_in_the_list_are_taken_in_its_order():
    ranks = [*range(9, -1, -1), *[-1] * 30]
    cases = table(GROUPS, ranks)
    assert select(cases, examined(40), np.arange(2, 40), labeled_first=3).tolist() == [7, 8, 9]
    status = examined(40)
    status[8] = UNKNOWN
    assert select(cases, status, TRAIN, labeled_first=3).tolist() == [7, 9]
    with pytest.raises(InputError, match="8 training cases have a place"):
        select(cases, examined(40), np.arange(2, 40), labeled_first=9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labeled_groups": 1, "labeled_first": 2}, "at most one"),
        ({"labeled_groups": 0}, "labeled_groups=0"),
        ({"labeled_first": -1}, "labeled_first=-1"),
        ({"labeled_fraction": 0.0}, "labeled_fraction=0.0"),
        ({"labeled_fraction": 1.2}, "labeled_fraction=1.2"),
        ({"labeled_first": 1}, "0 training cases have a place"),
    ],
)
def test_bad_options_are_one_line(options, message):
    with pytest.raises(InputError, match=message) as caught:
        select(CASES, examined(40), TRAIN, **options)
    assert "\n" not in str(caught.value)


def test_nothing_to_learn_is_an_error():
    with pytest.raises(InputError, match="none of the training cases has an examined class"):
        select(CASES, np.zeros((40, 8), dtype=np.uint8), TRAIN)


@settings(max_examples=50)
@given(st.integers(0, 2**31), st.floats(0, 0.99), st.lists(st.integers(0, 5), min_size=1, max_size=30))
def test_hiding_takes_classes_from_whole_groups_and_leaves_one(seed, fraction, groups):
    cases, groups = table(groups), np.array(groups)
    rng = np.random.default_rng(seed)
    status = np.where(rng.random((len(groups), 6)) < 0.5, HUMAN, UNKNOWN).astype(np.uint8)
    before = status.copy()
    ids = np.flatnonzero(rng.random(len(groups)) < 0.8)
    shown = hide_classes(cases, status, ids, fraction, seed)
    np.testing.assert_array_equal(status, before)
    others = np.setdiff1d(np.arange(len(groups)), ids)
    np.testing.assert_array_equal(shown[others], status[others])
    for group in np.unique(groups[ids]):
        members = ids[groups[ids] == group]
        was, now = status[members, 1:] == HUMAN, shown[members, 1:] == HUMAN
        kept = now.any(axis=0)
        np.testing.assert_array_equal(now, was & kept)
        n = was.any(axis=0).sum()
        hidden = n - kept.sum()
        assert hidden <= max(n - 1, 0)
        assert abs(hidden - fraction * n) < 1 or hidden == n - 1
    if fraction:
        np.testing.assert_array_equal(shown[ids, 0] == HUMAN, (shown[ids, 1:] == HUMAN).all(axis=1))


def test_the_hidden_share_is_right_on_average_and_seeded():
    cases = table(range(400))
    shown = hide_classes(cases, examined(400), np.arange(400), 0.5, 0)
    hidden = (shown[:, 1:] == UNKNOWN).sum(axis=1)
    assert set(hidden) == {3, 4}  # half of 7 classes
    assert hidden.mean() == pytest.approx(3.5, abs=0.1)
    assert (shown[:, 1:] == UNKNOWN).mean(axis=0) == pytest.approx(0.5, abs=0.1)
    assert (shown != hide_classes(cases, examined(400), np.arange(400), 0.5, 1)).any()


def test_what_a_group_hides_does_not_depend_on_the_others():
    every = hide_classes(CASES, examined(40), np.arange(40), 0.5, 3)
    some = hide_classes(CASES, examined(40), np.arange(12, 20), 0.5, 3)
    np.testing.assert_array_equal(every[12:20], some[12:20])


def test_hiding_nothing_or_everything():
    np.testing.assert_array_equal(hide_classes(CASES, examined(40), TRAIN, 0.0, 0), examined(40))
    for fraction in (-0.1, 1.0, float("nan")):
        with pytest.raises(InputError, match="hide_classes_fraction"):
            hide_classes(CASES, examined(40), TRAIN, fraction, 0)


def test_labels_are_shown_as_far_as_the_status_goes():
    stored = np.array([[0, 1, 1, 0], [1, 1, 1, 1], [0, 0, 0, 0]], dtype=np.uint8)
    shown = np.array([[0, 0, 1, 0], [1, 1, 1, 1], [0, 0, 0, 0]], dtype=np.uint8)
    lut = show(stored, shown).lut
    label = np.array([0, 1, 2, 3, 200, UNSURE, IGNORE])
    assert lut[0, label].tolist() == [0, 0, 2, 0, 0, UNSURE, IGNORE]
    assert lut[1, label].tolist() == [0, 1, 2, 3, 0, UNSURE, IGNORE]
    assert lut[2, label].tolist() == [0, 0, 0, 0, 0, 0, IGNORE]
    assert lut.dtype == np.uint8
    with pytest.raises(ValueError, match="does not know"):
        show(shown, stored)


CLASSES = ClassTable.from_foreground(["rv", "myo", "lv"])


def test_cases_are_shown_as_if_sets_had_been_joined():
    status = examined(40, classes=3)
    status[4, 2] = status[4, 0] = UNKNOWN
    shown = show_as_sets(CASES, status, TRAIN, [["RV"], ["myo", "lv"]], CLASSES, seed=0)
    kinds = {0: [0, 1, 0, 0], 1: [0, 0, 1, 1]}
    member = {g: int(shown[GROUPS == g][-1, 1] == UNKNOWN) for g in range(9)}
    assert sorted(member.values()) == [0] * 5 + [1] * 4
    for index in TRAIN:
        expected = list(kinds[member[GROUPS[index]]])
        assert shown[index].tolist() == [s * int(status[index, c] > 0) for c, s in enumerate(expected)]
    assert (shown[36:] == HUMAN).all()
    other = show_as_sets(CASES, status, TRAIN, [["RV"], ["myo", "lv"]], CLASSES, seed=1)
    assert not np.array_equal(shown, other)


def test_sets_that_cannot_be_made_are_refused():
    for sets, message in (
        ([["rv"], ["spleen"]], "'spleen' is no class; there is rv, myo, lv"),
        ([["rv"]] * 11, "11 sets of 9"),
    ):
        with pytest.raises(InputError, match=message):
            show_as_sets(CASES, examined(40, classes=3), TRAIN, sets, CLASSES, seed=0)
