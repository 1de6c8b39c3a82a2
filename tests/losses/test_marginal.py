from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from losses.marginal import MarginalCE, MarginalDice
from partial_labels.batch import HUMAN, IGNORE, TEACHER, UNKNOWN, UNSURE, one_hot_label


def random_batches(test):
    return settings(max_examples=25)(given(seed=st.integers(0, 10_000))(test))


def possible(label, status):
    """The classes that a pixel may be, by what is said of its image."""
    if 0 < label < UNSURE and status[label] > UNKNOWN:
        return [label]
    closed = (HUMAN,) if label == UNSURE else (HUMAN, TEACHER)
    return [0] + [c for c in range(1, len(status)) if int(status[c]) not in closed]


def pixels(batch):
    for b in range(batch.label.shape[0]):
        for y in range(batch.label.shape[1]):
            for x in range(batch.label.shape[2]):
                if batch.label[b, y, x] != IGNORE:
                    yield b, y, x, int(batch.label[b, y, x])


def slow_ce(logits, batch):
    """Pixel by pixel: what the humans say, and with weight ``w`` what they and the teacher say."""
    probs = logits.double().softmax(dim=1)
    total = weights = 0.0
    for b, y, x, label in pixels(batch):
        status = batch.status[b].tolist()
        humans = [HUMAN if s == HUMAN else UNKNOWN for s in status]
        w, has_human, has_teacher = float(batch.weight[b]), HUMAN in status[1:], TEACHER in status[1:]

        def surprise(said, label=label, p=probs[b, :, y, x]):
            return -p[possible(label, said)].sum().log()

        if 0 < label < UNSURE:
            weight = 1.0 if status[label] == HUMAN else w
            total += weight * surprise(status)
        elif label == UNSURE:
            weight = float(has_human)
            total += weight * surprise(humans)
        else:
            weight = 1.0 if has_human else w * has_teacher
            mixed = w * surprise(status) + (1 - w) * surprise(humans) if has_teacher else surprise(status)
            total += mixed if weight else 0.0
        weights += weight
    return total / weights if weights else 0 * logits.double().sum()


def slow_dice(logits, batch, pool):
    """For humans only: merge, then the Dice of every class by loops."""
    probs = logits.double().softmax(dim=1)
    areas = {}
    for b, y, x, label in pixels(batch):
        status = batch.status[b].tolist()
        if HUMAN not in status[1:]:
            continue
        merged = [c for c in range(len(status)) if c == 0 or status[c] == UNKNOWN]
        entries = [(0, probs[b, merged, y, x].sum(), label in (0, UNSURE))]
        entries += [(c, probs[b, c, y, x], label == c) for c in range(1, len(status)) if status[c] == HUMAN]
        for c, p, positive in entries:
            key = c if pool else (b, c)
            overlap, predicted, labeled = areas.get(key, (0.0, 0.0, 0.0))
            areas[key] = (overlap + p * positive, predicted + p, labeled + positive)
    dice = [(2 * i + 1) / (p + t + 1) for i, p, t in areas.values()]
    return 1 - torch.stack(dice).mean() if dice else 0 * logits.double().sum()


def assert_same(value, expected, logits):
    torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=1e-6)
    (felt,), (slow,) = (torch.autograd.grad(loss, logits) for loss in (value, expected))
    torch.testing.assert_close(felt, slow, rtol=1e-4, atol=1e-6)


@random_batches
def test_ce_is_the_slow_one(make_batch, make_logits, seed):
    batch = make_batch(seed, size=(3, 4))
    logits = make_logits(batch, 5, seed)
    assert_same(MarginalCE()(logits, batch), slow_ce(logits, batch), logits)


@pytest.mark.parametrize("pool", [True, False])
@random_batches
def test_dice_is_the_slow_one(make_batch, make_logits, pool, seed):
    batch = make_batch(seed, size=(3, 4), statuses=(UNKNOWN, HUMAN))
    logits = make_logits(batch, 5, seed)
    assert_same(MarginalDice(pool_batch=pool, smooth=1.0)(logits, batch), slow_dice(logits, batch, pool), logits)


@pytest.mark.parametrize("loss", [MarginalCE(), MarginalDice(), MarginalDice(pool_batch=False)])
@random_batches
def test_background_and_unknown_classes_feel_the_same_at_unlabeled_pixels(make_batch, make_logits, loss, seed):
    batch = make_batch(seed, statuses=(UNKNOWN, HUMAN))
    probs = make_logits(batch, 5, seed, scale=0.5).detach().softmax(dim=1).requires_grad_()
    loss(probs.log(), batch).backward()
    for b in range(4):
        merged = [0, *(c for c in range(1, 5) if batch.status[b, c] == UNKNOWN)]
        felt = probs.grad[b][:, batch.label[b] == 0]
        torch.testing.assert_close(felt[merged], felt[:1].expand(len(merged), -1), rtol=1e-3, atol=1e-6)
        others = [c for c in range(1, 5) if c not in merged]
        if others and len(merged) > 1:
            assert (felt[others] > felt[0]).all()


def test_ce_is_the_textbooks_when_all_is_examined(make_batch, make_logits):
    batch = make_batch(statuses=(HUMAN,), odd=False)
    logits = make_logits(batch, 5)
    torch.testing.assert_close(MarginalCE()(logits, batch), F.cross_entropy(logits, batch.label.long()))


def test_dice_is_the_textbooks_when_all_is_examined(make_batch, make_logits):
    batch = make_batch(statuses=(HUMAN,), odd=False)
    logits = make_logits(batch, 5)
    probs, target = logits.softmax(dim=1), one_hot_label(batch.label, 5).float()
    overlap, areas = (probs * target).sum((0, 2, 3)), (probs + target).sum((0, 2, 3))
    torch.testing.assert_close(MarginalDice(smooth=1.0)(logits, batch), 1 - ((2 * overlap + 1) / (areas + 1)).mean())


@pytest.mark.parametrize("loss", [MarginalCE(), MarginalDice()])
@random_batches
def test_a_teacher_of_no_weight_does_not_speak_at_unlabeled_pixels(make_batch, make_logits, loss, seed):
    batch = make_batch(seed)
    teacher = batch.status == TEACHER
    drawn = teacher.gather(1, (batch.label * (batch.label < UNSURE)).flatten(1).long()).view_as(batch.label)
    label = torch.where(drawn & (batch.label > 0) & (batch.label < UNSURE), IGNORE, batch.label)
    batch = batch._replace(label=label, weight=torch.zeros(4))
    unknown = torch.where(teacher, UNKNOWN, batch.status)
    logits = make_logits(batch, 5, seed)
    torch.testing.assert_close(loss(logits, batch), loss(logits, batch._replace(status=unknown)))


@pytest.mark.parametrize("loss", [MarginalCE(), MarginalDice()])
def test_unsure_pixels_push_human_classes_down_and_leave_the_rest_alike(make_batch, make_logits, loss):
    batch = make_batch(3, odd=False)
    batch = batch._replace(label=torch.full_like(batch.label, UNSURE))
    status = torch.tensor([[UNKNOWN, HUMAN, HUMAN, TEACHER, UNKNOWN]] * 4, dtype=torch.uint8)
    probs = make_logits(batch, 5).detach().softmax(dim=1).requires_grad_()
    loss(probs.log(), batch._replace(status=status)).backward()
    felt = probs.grad
    torch.testing.assert_close(felt[:, [3, 4]], felt[:, [0, 0]])
    assert (felt[:, [1, 2]] > felt[:, [0, 0]]).all()


def test_an_impossible_pixel_still_has_a_gradient(make_batch):
    batch = make_batch(images=1, statuses=(HUMAN,), size=(1, 1), odd=False)
    batch = batch._replace(label=torch.zeros_like(batch.label))
    logits = torch.zeros(1, 5, 1, 1)
    logits[0, 2] = 1e4
    logits.requires_grad_()
    loss = MarginalCE()(logits, batch)
    loss.backward()
    assert loss.item() == 1e4
    assert logits.grad.flatten().tolist() == [-1, 0, 1, 0, 0]
