from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck

from losses import evidence
from losses.evidence import evidence_of, portions
from losses.masked import MaskedBCE, MaskedDice
from losses.sigmoid_reading import _Sums, read_sigmoids


def test_gradients_of_all_sums_are_those_of_small_differences(make_batch):
    found = evidence_of(make_batch(images=2, size=(2, 3))).foreground()
    g = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 6, 4, generator=g, dtype=torch.float64, requires_grad=True)
    masks = torch.cat([found.pixels, found.drawn[:, None]], dim=1).double()
    cells = torch.cat([found.cells, found.cells[:, :1] == 0], dim=1).double()
    assert gradcheck(lambda x: _Sums.apply(x, masks, cells, found.channel, found.positive.double()), logits)


def test_at_logits_that_overflow_an_exponential_all_stays_finite(make_batch):
    batch = make_batch()
    sign = torch.randint(2, (4, 4, 6, 8), generator=torch.Generator().manual_seed(0))
    logits = (1e4 * (2.0 * sign - 1)).requires_grad_()
    reading = read_sigmoids(logits, batch)
    total = reading.surprise.sum() + reading.excluded.sum() + reading.overlap.sum() + reading.predicted.sum()
    total.backward()
    assert total.isfinite()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("cached", [1, 400, 2**19])
def test_images_computed_together_do_not_matter(make_batch, make_logits, monkeypatch, cached):
    batch = make_batch()
    logits = make_logits(batch, 4)
    whole = [loss(logits, batch) for loss in (MaskedBCE(), MaskedDice())]
    (expected,) = torch.autograd.grad(sum(whole), logits)
    monkeypatch.setattr(evidence, "CACHED", cached)
    parts = [loss(logits, batch) for loss in (MaskedBCE(), MaskedDice())]
    torch.testing.assert_close(parts, whole)
    torch.testing.assert_close(torch.autograd.grad(sum(parts), logits)[0], expected)


def test_portions_cover_every_image_once():
    images = torch.empty(7, 2**10, 2**8)
    seen = [index for part in portions(images) for index in range(7)[part]]
    assert seen == list(range(7))
    assert [part.start for part in portions(images)] == [0, 2, 4, 6]
