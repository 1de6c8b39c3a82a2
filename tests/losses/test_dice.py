from __future__ import annotations

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from losses.dice import NaiveCE, ReportDice
from partial_labels.batch import HUMAN, IGNORE, TEACHER, UNKNOWN, UNSURE, one_hot_label


def random_batches(test):
    return settings(max_examples=25)(given(seed=st.integers(0, 10_000))(test))


def naive_target(batch):
    return torch.where(batch.label >= UNSURE, 0, batch.label).long()


def slow_weight(batch):
    weight = torch.zeros(batch.label.shape)
    for b in range(4):
        statuses = batch.status[b, 1:].tolist()
        human = float(HUMAN in statuses)
        weight[b] = max(human, float(batch.weight[b]) * (TEACHER in statuses))
        weight[b][batch.label[b] == UNSURE] = human
        weight[b][batch.label[b] == IGNORE] = 0
    return weight


@random_batches
def test_report_dice_pools_every_channel_and_takes_unknown_for_background(make_batch, make_logits, seed):
    batch = make_batch(seed)
    logits = make_logits(batch, 5, seed)
    probs, weight = logits.softmax(dim=1), slow_weight(batch)
    dice = []
    for c in range(5):
        p, t = probs[:, c], (naive_target(batch) == c).float()
        dice.append(2 * (weight * p * t).sum() / ((weight * p).sum() + (weight * t).sum() + 1e-6))
    torch.testing.assert_close(ReportDice()(logits, batch), 1 - torch.stack(dice).mean())


@random_batches
def test_naive_ce_takes_unknown_for_background(make_batch, make_logits, seed):
    batch = make_batch(seed)
    logits = make_logits(batch, 5, seed)
    surprise, weight = F.cross_entropy(logits, naive_target(batch), reduction="none"), slow_weight(batch)
    torch.testing.assert_close(NaiveCE()(logits, batch), (surprise * weight).sum() / weight.sum())


def test_both_are_the_textbooks_when_all_is_examined(make_batch, make_logits):
    batch = make_batch(statuses=(HUMAN,), odd=False)
    logits = make_logits(batch, 5)
    torch.testing.assert_close(NaiveCE()(logits, batch), F.cross_entropy(logits, batch.label.long()))
    probs, target = logits.softmax(dim=1), one_hot_label(batch.label, 5).float()
    overlap, areas = (probs * target).sum((0, 2, 3)), (probs + target).sum((0, 2, 3))
    torch.testing.assert_close(ReportDice()(logits, batch), 1 - (2 * overlap / (areas + 1e-6)).mean())


def test_unknown_cells_do_feel_it(make_batch, make_logits):
    batch = make_batch(statuses=(UNKNOWN, HUMAN), odd=False)
    for loss in (NaiveCE(), ReportDice()):
        logits = make_logits(batch, 5)
        loss(logits, batch).backward()
        seen = (batch.status[:, 1:] == HUMAN).any(dim=1)
        unknown = (batch.status == UNKNOWN) & seen[:, None]
        unknown[:, 0] = False
        assert (logits.grad[unknown] > 0).float().mean() > 0.9
