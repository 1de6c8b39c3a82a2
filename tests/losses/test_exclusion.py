from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from losses.exclusion import SigmoidExclusion, SoftmaxExclusion
from partial_labels.batch import HUMAN, UNKNOWN, UNSURE


def random_batches(test):
    return settings(max_examples=25)(given(seed=st.integers(0, 10_000))(test))


def drawn_pixels(batch):
    """Yield (image, row, column, unknown classes) of the pixels that show a human's class."""
    for b, y, x in torch.nonzero((batch.label > 0) & (batch.label < UNSURE)).tolist():
        if batch.status[b, int(batch.label[b, y, x])] == HUMAN:
            yield b, y, x, [c for c in range(1, 5) if batch.status[b, c] == UNKNOWN]


@random_batches
def test_sigmoid_is_the_mean_over_unknown_entries_at_drawn_pixels(make_batch, make_logits, seed):
    batch = make_batch(seed)
    logits = make_logits(batch, 4, seed)
    entries = [F.softplus(logits[b, c - 1, y, x]) for b, y, x, unknown in drawn_pixels(batch) for c in unknown]
    expected = torch.stack(entries).mean() if entries else torch.tensor(0.0)
    torch.testing.assert_close(SigmoidExclusion()(logits, batch), expected)


@random_batches
def test_softmax_is_minus_log_of_what_the_unknown_classes_leave(make_batch, make_logits, seed):
    batch = make_batch(seed)
    logits = make_logits(batch, 5, seed)
    probs = logits.double().softmax(dim=1)
    entries = [-(1 - probs[b, unknown, y, x].sum()).log() for b, y, x, unknown in drawn_pixels(batch)]
    expected = torch.stack(entries).mean() if entries else torch.tensor(0.0).double()
    value = SoftmaxExclusion()(logits, batch).double()
    torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("loss", "channels"), [(SigmoidExclusion(), 4), (SoftmaxExclusion(), 5)])
def test_unknown_classes_are_pushed_down_at_drawn_pixels_only(make_batch, make_logits, loss, channels):
    batch = make_batch()
    logits = make_logits(batch, channels)
    loss(logits, batch).backward()
    drawn = torch.zeros_like(batch.label, dtype=torch.bool)
    for b, y, x, unknown in drawn_pixels(batch):
        drawn[b, y, x] = True
        rows = [c - 5 + channels for c in unknown]
        assert (logits.grad[b, rows, y, x] > 0).all()
    assert drawn.any()
    assert logits.grad.movedim(1, -1)[~drawn].count_nonzero() == 0


def test_sigmoid_leaves_known_cells_alone(make_batch, make_logits):
    batch = make_batch()
    logits = make_logits(batch, 4)
    SigmoidExclusion()(logits, batch).backward()
    assert logits.grad[batch.status[:, 1:] > UNKNOWN].count_nonzero() == 0


@pytest.mark.parametrize(("loss", "channels"), [(SigmoidExclusion(), 4), (SoftmaxExclusion(), 5)])
def test_a_fully_examined_batch_has_nothing_to_exclude(make_batch, make_logits, loss, channels):
    batch = make_batch(statuses=(HUMAN,))
    assert loss(make_logits(batch, channels), batch).item() == pytest.approx(0, abs=1e-6)
