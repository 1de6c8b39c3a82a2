from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck

from losses import softmax_reading
from losses.evidence import evidence_of
from losses.exclusion import SoftmaxExclusion
from losses.marginal import MarginalCE
from losses.softmax_reading import _Softmax, read_softmax

SURPRISES = ("surprise", "unexamined", "undrawn", "known")


@pytest.mark.parametrize("classes", [4, 17])
def test_gradients_of_all_that_is_read_are_those_of_small_differences(make_batch, classes):
    found = evidence_of(make_batch(images=2, classes=classes, size=(2, 2)))
    g = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, classes, generator=g, dtype=torch.float64, requires_grad=True)
    sets = torch.randint(2, (2, 3, classes), generator=g).double()
    assert gradcheck(lambda x: _Softmax.apply(x, found.pixels.double(), sets, found.channel, found.positive), logits)


def test_probabilities_that_underflow_are_taken_by_log_sum_exp(make_batch, make_logits, monkeypatch):
    """Both ways agree where both can be gone."""
    batch = make_batch()
    logits = make_logits(batch, 5)
    losses = (MarginalCE(), SoftmaxExclusion())
    plain, values = read_softmax(logits, batch), [loss(logits, batch) for loss in losses]
    (felt,) = torch.autograd.grad(sum(values), logits)
    monkeypatch.setattr(softmax_reading, "RARE", 2.0)
    exact, others = read_softmax(logits, batch), [loss(logits, batch) for loss in losses]
    for name in SURPRISES:
        torch.testing.assert_close(getattr(plain, name), getattr(exact, name), rtol=1e-5, atol=2e-6)
    torch.testing.assert_close(torch.autograd.grad(sum(others), logits)[0], felt, rtol=1e-4, atol=1e-7)


def test_the_impossible_is_as_surprising_as_the_logits_say(make_batch):
    batch = make_batch(statuses=(1,), odd=False)
    logits = torch.zeros(4, 5, 6, 8)
    logits[:, 2] = 1e4
    reading = read_softmax(logits, batch)
    assert (reading.unexamined == 1e4).all()
    assert torch.equal(reading.surprise, 1e4 * (batch.label != 2).flatten(1))
