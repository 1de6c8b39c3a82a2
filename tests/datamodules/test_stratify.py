from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules.stratify import split_units, stratify


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=40))
def test_units_cut_neither_groups_nor_clusters_and_are_no_larger_than_that(pairs):
    group, cluster = np.array(pairs).T
    unit = split_units(np.array([f"patient {g}" for g in group]), cluster)
    same = (group[:, None] == group) | (cluster[:, None] == cluster)
    for _ in range(len(pairs)):
        same = same @ same
    np.testing.assert_array_equal(unit[:, None] == unit, same)


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.integers(0, 12), st.integers(1, 6))
def test_a_class_with_enough_single_class_units_is_found_in_every_part(seed, parts, extra, classes):
    """Units that show one class each can always be dealt out so that no part goes without."""
    rng = np.random.default_rng(seed)
    shown = np.repeat(np.eye(classes, dtype=np.int64), parts, axis=0)
    counts = np.concatenate([shown * rng.integers(1, 9, (len(shown), 1)), np.zeros((extra, classes), dtype=np.int64)])
    counts = np.column_stack([counts, counts.sum(axis=1) + 1])
    shares = rng.dirichlet(np.full(parts, 2.0))
    part = stratify(counts, shares, np.random.default_rng(seed))
    assert part.min() >= 0 and part.max() < parts
    for p in range(parts):
        assert (counts[part == p, :-1].sum(axis=0) > 0).all()


@settings(max_examples=100)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 0.5))
def test_no_class_is_missing_that_one_move_could_bring(seed, val_share):
    rng = np.random.default_rng(seed)
    shown = rng.random((rng.integers(4, 14), 5)) < 0.3
    counts = np.column_stack([shown, np.ones(len(shown), dtype=bool)]).astype(np.int64)
    part = stratify(counts, np.array([1 - val_share, val_share]), rng)
    held = np.stack([(counts[part == p] > 0).sum(axis=0) for p in (0, 1)])
    for target, column in np.argwhere(held == 0):
        for unit in np.flatnonzero((counts[:, column] > 0) & (part != target)):
            assert (held[part[unit]][counts[unit] > 0] == 1).any(), "a spare unit stayed where it was"


def test_a_class_of_two_units_goes_to_train_and_val_and_one_of_one_unit_to_train():
    counts = np.ones((20, 3), dtype=np.int64)
    counts[2:, 0] = 0
    counts[:, 1] = 0
    counts[7, 1] = 1
    for seed in range(20):
        part = stratify(counts, np.array([0.8, 0.2]), np.random.default_rng(seed))
        assert sorted(part[:2]) == [0, 1]
        assert part[7] == 0
        assert 3 <= (part == 1).sum() <= 5


def test_shares_are_met_for_every_class():
    rng = np.random.default_rng(3)
    counts = np.column_stack([rng.random((500, 12)) < rng.uniform(0.04, 0.5, 12), np.ones(500, dtype=bool)])
    part = stratify(counts.astype(np.int64), np.array([0.8, 0.2]), rng)
    share = counts[part == 1].sum(axis=0) / counts.sum(axis=0)
    np.testing.assert_allclose(share, 0.2, atol=0.05)


def test_seeds_decide():
    counts = np.ones((30, 1), dtype=np.int64)
    draw = [stratify(counts, np.array([0.5, 0.5]), np.random.default_rng(seed)).tolist() for seed in (0, 0, 1)]
    assert draw[0] == draw[1] != draw[2]
