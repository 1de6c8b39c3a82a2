from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from losses.masked import MaskedBCE, MaskedDice
from partial_labels.batch import HUMAN, IGNORE, TEACHER, UNKNOWN, UNSURE, one_hot_label


def random_batches(test):
    return settings(max_examples=25)(given(seed=st.integers(0, 10_000))(test))


LOSSES = [MaskedBCE(), MaskedDice(), MaskedDice(pool_batch=False)]


def known_entries(batch):
    """Yield (image, row, column, class, is it that class, weight) of everything that is known, one by one."""
    for b in range(batch.label.shape[0]):
        for y in range(batch.label.shape[1]):
            for x in range(batch.label.shape[2]):
                here = int(batch.label[b, y, x])
                for c in range(1, batch.status.shape[1]):
                    status = int(batch.status[b, c])
                    if here == IGNORE or status == UNKNOWN or (here == UNSURE and status != HUMAN):
                        continue
                    weight = float(batch.weight[b]) if status == TEACHER else 1.0
                    yield b, y, x, c, here == c, weight


def slow_bce(logits, batch):
    total = weights = 0.0
    for b, y, x, c, positive, weight in known_entries(batch):
        total += weight * F.softplus(-logits[b, c - 1, y, x] if positive else logits[b, c - 1, y, x])
        weights += weight
    return total / weights if weights else 0 * logits.sum()


def slow_dice(logits, batch, pool, smooth=1.0):
    probs = logits.sigmoid()
    areas, best = {}, {}
    for b, y, x, c, positive, weight in known_entries(batch):
        key = c if pool else (b, c)
        overlap, predicted, labeled = areas.get(key, (0.0, 0.0, 0.0))
        p = probs[b, c - 1, y, x]
        areas[key] = (overlap + weight * p * positive, predicted + weight * p, labeled + weight * positive)
    for b, c in ((b, c) for b in range(4) for c in range(1, 5) if batch.status[b, c] > UNKNOWN):
        key = c if pool else (b, c)
        weight = float(batch.weight[b]) if batch.status[b, c] == TEACHER else 1.0
        best[key] = max(best.get(key, 0.0), weight)
    losses = {key: 1 - (2 * a[0] + smooth) / (a[1] + a[2] + smooth) for key, a in areas.items()}
    return sum(best[key] * losses[key] for key in losses) / sum(best.values()) if losses else 0 * logits.sum()


def assert_same(value, expected, logits):
    torch.testing.assert_close(value, expected)
    (felt,), (slow,) = (torch.autograd.grad(loss, logits) for loss in (value, expected))
    torch.testing.assert_close(felt, slow)


@random_batches
def test_bce_is_the_mean_over_known_entries(make_batch, make_logits, seed):
    batch = make_batch(seed, size=(3, 4))
    logits = make_logits(batch, 4, seed)
    assert_same(MaskedBCE()(logits, batch), slow_bce(logits, batch), logits)


@pytest.mark.parametrize("pool", [True, False])
@random_batches
def test_dice_is_the_slow_one(make_batch, make_logits, pool, seed):
    batch = make_batch(seed, size=(3, 4))
    logits = make_logits(batch, 4, seed)
    assert_same(MaskedDice(pool_batch=pool, smooth=1.0)(logits, batch), slow_dice(logits, batch, pool), logits)


@pytest.mark.parametrize("loss", LOSSES)
@random_batches
def test_unknown_cells_feel_exactly_nothing(make_batch, make_logits, loss, seed):
    batch = make_batch(seed)
    logits = make_logits(batch, 4, seed)
    loss(logits, batch).backward()
    unknown = batch.status[:, 1:] == UNKNOWN
    assert logits.grad[unknown].count_nonzero() == 0
    certain = (batch.label < UNSURE)[:, None] & (batch.status[:, 1:] == HUMAN)[:, :, None, None]
    assert (logits.grad[certain] != 0).all()


def test_bce_is_the_textbooks_when_all_is_examined(make_batch, make_logits):
    batch = make_batch(statuses=(HUMAN,), odd=False)
    logits = make_logits(batch, 4)
    target = one_hot_label(batch.label, 5)[:, 1:].float()
    torch.testing.assert_close(MaskedBCE()(logits, batch), F.binary_cross_entropy_with_logits(logits, target))


def test_dice_is_the_textbooks_when_all_is_examined(make_batch, make_logits):
    batch = make_batch(statuses=(HUMAN,), odd=False)
    logits = make_logits(batch, 4)
    probs, target = logits.sigmoid(), one_hot_label(batch.label, 5)[:, 1:].float()
    per_class = [
        (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)
        for p, t in zip(probs.unbind(1), target.unbind(1), strict=True)
    ]
    torch.testing.assert_close(MaskedDice(smooth=1.0)(logits, batch), 1 - torch.stack(per_class).mean())


def test_bce_stays_exact_where_it_is_confident(make_batch):
    batch = make_batch(statuses=(HUMAN,), size=(64, 64), odd=False)
    target = one_hot_label(batch.label, 5)[:, 1:].float()
    logits = 12 * (2 * target - 1)
    exact = F.binary_cross_entropy_with_logits(logits.double(), target.double())
    torch.testing.assert_close(MaskedBCE()(logits, batch).double(), exact, rtol=1e-4, atol=0)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_certain_absence_pushes_down_and_unsure_pixels_are_negatives_of_humans(make_batch, make_logits, loss):
    batch = make_batch(statuses=(HUMAN, TEACHER))
    present = [(b, c) for b in range(4) for c in range(1, 5) if (batch.label[b] == c).any()]
    b, c = next(cell for cell in present if batch.status[cell] == HUMAN)
    label = batch.label.clone()
    label[b][label[b] == c] = UNSURE
    logits = make_logits(batch, 4)
    loss(logits, batch._replace(label=label)).backward()
    felt = logits.grad[b, c - 1]
    assert (felt[label[b] != IGNORE] > 0).all()


@pytest.mark.parametrize("loss", LOSSES)
@random_batches
def test_a_teacher_of_no_weight_is_as_if_it_had_not_spoken(make_batch, make_logits, loss, seed):
    batch = make_batch(seed)
    batch = batch._replace(weight=torch.zeros(4))
    unknown = torch.where(batch.status == TEACHER, UNKNOWN, batch.status)
    logits = make_logits(batch, 4, seed)
    torch.testing.assert_close(loss(logits, batch), loss(logits, batch._replace(status=unknown)))


def test_pooling_lets_absences_count_against_the_predicted_area(make_batch):
    batch = make_batch(images=2, classes=2, statuses=(HUMAN,), size=(2, 2), odd=False)
    batch = batch._replace(label=torch.tensor([[[1, 1], [0, 0]], [[0, 0], [0, 0]]], dtype=torch.uint8))
    logits = torch.where(batch.label == 1, 30.0, -30.0)[:, None]
    assert MaskedDice()(logits, batch) < 1e-6
    logits[1] = 30.0
    assert MaskedDice(smooth=1.0)(logits, batch).item() == pytest.approx(1 - 5 / 9)


@pytest.mark.parametrize("smooth", [0.0, -1.0])
def test_smooth_out_of_range_is_refused(smooth):
    with pytest.raises(ValueError, match="smooth="):
        MaskedDice(smooth=smooth)
