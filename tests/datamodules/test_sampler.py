from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset

from datamodules.sampler import Draw, Stream, StreamSampler, rare_class_weights
from partial_labels.batch import HUMAN, UNKNOWN


class Echo(Dataset):
    def __getitem__(self, draw: Draw) -> Draw:
        return draw


def loaded(sampler, workers=0):
    """What comes out of a loader, which turns the tuples inside a tuple into lists."""
    loader = DataLoader(Echo(), sampler=sampler, batch_size=None, num_workers=workers)
    assert len(loader) == len(sampler)
    return [
        Draw(draw.epoch, draw.step, tuple(draw.case_ids), tuple(draw.rows), tuple(map(bool, draw.completed)))
        for draw in loader
    ]


def streams(labeled=7, unlabeled=11, batch=4, weights=None):
    return [
        Stream("labeled", np.arange(labeled), batch, weights),
        Stream("unlabeled", np.arange(100, 100 + unlabeled), 2 * batch),
    ]


@settings(max_examples=50)
@given(
    st.integers(0, 2**31), st.integers(1, 9), st.integers(1, 9), st.integers(0, 20), st.integers(0, 8), st.booleans()
)
def test_a_draw_depends_on_seed_epoch_and_step_alone(seed, cases, steps, epoch, step, weighted):
    step %= steps
    weights = np.arange(1.0, cases + 1) if weighted else None
    fresh = StreamSampler(streams(cases, weights=weights), steps, seed)
    used = StreamSampler(streams(cases, weights=weights), steps, seed)
    for e, s in ((3, 0), (0, steps - 1), (epoch + 1, step)):
        used.draw(e, s)
    assert used.draw(epoch, step) == fresh.draw(epoch, step)


@settings(max_examples=50)
@given(st.integers(0, 2**31), st.integers(1, 4), st.integers(1, 3), st.integers(0, 5))
def test_the_ranks_share_the_global_batch(seed, world, per_rank, step):
    groups = streams(batch=world * per_rank)
    whole = StreamSampler(groups, 6, seed).draw(2, step)
    parts = [StreamSampler(groups, 6, seed, rank, world).draw(2, step) for rank in range(world)]
    placed = {row: case for part in parts for row, case in zip(part.rows, part.case_ids, strict=True)}
    assert sum(len(part.rows) for part in parts) == len(placed)
    assert tuple(placed[row] for row in range(len(placed))) == whole.case_ids
    assert all(sum(case < 100 for case in part.case_ids) == per_rank for part in parts)


@settings(max_examples=50)
@given(st.integers(0, 2**31), st.integers(1, 20), st.integers(1, 8), st.integers(1, 9))
def test_every_case_comes_once_before_any_comes_twice(seed, cases, batch, steps):
    sampler = StreamSampler([Stream("labeled", np.arange(cases), batch)], steps, seed)
    flat: list[int] = []
    for epoch in range(-(-3 * cases // (steps * batch))):
        sampler.set_epoch(epoch)
        flat += [case for draw in sampler for case in draw.case_ids]
    for start in range(0, 3 * cases, cases):
        assert sorted(flat[start : start + cases]) == list(range(cases))


def test_permutations_differ_between_rounds_streams_and_seeds():
    def first(name, seed, epoch):
        return StreamSampler([Stream(name, np.arange(50), 50)], 1, seed).draw(epoch, 0).case_ids

    seen = {first("labeled", 0, 0), first("labeled", 0, 1), first("unlabeled", 0, 0), first("labeled", 1, 0)}
    assert len(seen) == 4


def test_labeled_rows_come_first():
    for draw in StreamSampler(streams(), 5, 0):
        assert [case < 100 for case in draw.case_ids] == [True] * 4 + [False] * 8
        assert draw.rows == tuple(range(12))


def test_weights_decide_how_often():
    sampler = StreamSampler([Stream("labeled", np.array([5, 6, 9]), 50, np.array([1.0, 1.0, 8.0]))], 40, 0)
    counts = Counter(case for draw in sampler for case in draw.case_ids)
    assert counts[9] / 2000 == pytest.approx(0.8, abs=0.03)
    assert counts[5] and counts[6]
    assert sampler.draw(0, 0).case_ids != sampler.draw(1, 0).case_ids


def test_resume_continues_in_the_middle_of_an_epoch_and_only_there():
    whole = StreamSampler(streams(), 5, 0)
    whole.set_epoch(3)
    rest = list(whole)[2:]
    resumed = StreamSampler(streams(), 5, 0)
    resumed.resume_from(3, 2)
    resumed.set_epoch(3)  # what Lightning says before it iterates
    assert len(resumed) == 5
    assert list(resumed) == loaded(resumed, workers=1) == rest
    resumed.set_epoch(4)
    assert [draw.step for draw in resumed] == [0, 1, 2, 3, 4]


def test_a_loader_passes_the_draws_on():
    sampler = StreamSampler(streams(), 3, 0)
    assert loaded(sampler) == list(sampler)


def test_ranges_are_checked():
    ids = np.arange(3)
    for bad in (lambda: Stream("a", ids[:0], 1), lambda: Stream("a", ids, 0), lambda: Stream("a", ids, 1, np.ones(2))):
        with pytest.raises(ValueError, match="stream a"):
            bad()
    for weights in ([1, 0, 1], [1, np.nan, 1], [1, -1, 1]):
        with pytest.raises(ValueError, match="positive"):
            Stream("a", ids, 1, np.array(weights, dtype=float))
    good = [Stream("a", ids, 3)]
    for args in ((0, 0), (1, -1), (1, 0, 1, 1)):
        with pytest.raises(ValueError, match="out of range"):
            StreamSampler(good, *args)
    with pytest.raises(ValueError, match="multiple of 2"):
        StreamSampler(good, 1, 0, 0, 2)
    with pytest.raises(ValueError, match="unique"):
        StreamSampler(good * 2, 1, 0)
    with pytest.raises(ValueError, match="step=2"):
        StreamSampler(good, 1, 0).resume_from(0, 2)


def test_rare_classes_weigh_more():
    present = np.zeros((100, 4), dtype=bool)
    present[:, 1] = True  # in every case
    present[:4, 2] = True  # in 4 %
    present[:50, 3] = True  # in half of the cases, examined in one
    status = np.full((100, 4), HUMAN, dtype=np.uint8)
    status[:, 3] = UNKNOWN
    status[9, 3] = HUMAN
    weights = rare_class_weights(present, status, np.arange(100), threshold=0.16)
    np.testing.assert_allclose(weights[:4], 2)
    np.testing.assert_allclose(weights[9], 4)
    assert (np.delete(weights, [0, 1, 2, 3, 9]) == 1).all()
    np.testing.assert_allclose(rare_class_weights(present, status, np.array([50, 0]), threshold=1), [1, 2**0.5])
    assert rare_class_weights(np.zeros_like(present), status, np.arange(3)).tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="threshold"):
        rare_class_weights(present, status, np.arange(3), threshold=0)
