from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from losses.evidence import evidence_of, rows
from losses.sigmoid_reading import read_sigmoids
from partial_labels.batch import HUMAN, TEACHER, UNSURE, known_pixels, one_hot_label


def random_batches(test):
    return settings(max_examples=25)(given(seed=st.integers(0, 10_000))(test))


def entry_weights(batch):
    """The weight of every foreground entry, (B, P, K), from the project's definition of what is known."""
    known = known_pixels(batch.label, batch.status).float()
    human = (batch.status == HUMAN).float()
    scale = human + (batch.status == TEACHER) * batch.weight[:, None]
    return rows(known * scale[:, :, None, None])[:, :, 1:]


@random_batches
def test_factors_multiply_to_the_known_pixels(make_batch, seed):
    batch = make_batch(seed)
    evidence = evidence_of(batch).foreground()
    entries = torch.einsum("bnp,bnk->bpk", evidence.pixels, evidence.cells)
    torch.testing.assert_close(entries, entry_weights(batch))
    torch.testing.assert_close(evidence.weight, entry_weights(batch).sum(dim=1))
    torch.testing.assert_close(evidence.pixel_weight, entry_weights(batch).amax(dim=2))


@random_batches
def test_sums_are_those_of_masks(make_batch, make_logits, seed):
    batch = make_batch(seed)
    logits = make_logits(batch, 4, seed)
    reading = read_sigmoids(logits, batch)
    probs, weight = rows(logits).sigmoid(), entry_weights(batch)
    positive = weight * rows(one_hot_label(batch.label, 5)[:, 1:].float())
    overlap, predicted = (probs * positive).sum(dim=1), (probs * weight).sum(dim=1)
    torch.testing.assert_close((reading.overlap, reading.predicted), (overlap, predicted))
    torch.testing.assert_close(reading.evidence.labeled, positive.sum(dim=1))
    torch.testing.assert_close(reading.evidence.sum_pixels(probs), predicted)
    (felt,) = torch.autograd.grad((reading.overlap.sin() + reading.predicted.cos()).sum(), logits)
    (expected,) = torch.autograd.grad((overlap.sin() + predicted.cos()).sum(), logits)
    torch.testing.assert_close(felt, expected)


def test_a_label_whose_cell_is_unknown_says_nothing(make_batch):
    batch = make_batch(statuses=(0,), odd=False)
    batch.label[0, 0, 0] = 3
    assert evidence_of(batch).foreground().positive.sum() == 0


def test_unsure_pixels_of_an_image_that_only_a_teacher_saw_say_nothing(make_batch):
    batch = make_batch(statuses=(TEACHER,))
    unsure = batch.label.flatten(1) == UNSURE
    assert unsure.any()
    assert evidence_of(batch).foreground().pixel_weight[unsure].sum() == 0
