"""What every loss keeps to, whatever it measures."""

from __future__ import annotations

import pytest
import torch

from losses.dice import NaiveCE, ReportDice
from losses.exclusion import SigmoidExclusion, SoftmaxExclusion
from losses.marginal import MarginalCE, MarginalDice
from losses.masked import MaskedBCE, MaskedDice
from losses.weighted_sum import WeightedSum
from partial_labels.batch import HUMAN, IGNORE, TEACHER, UNKNOWN

SIGMOID = [MaskedBCE(), MaskedDice(), MaskedDice(pool_batch=False), SigmoidExclusion()]
SOFTMAX = [
    MarginalCE(),
    MarginalDice(),
    MarginalDice(pool_batch=False),
    SoftmaxExclusion(),
    ReportDice(),
    NaiveCE(),
]
CHANNELS = [pytest.param(loss, 4, id=type(loss).__name__) for loss in SIGMOID]
CHANNELS += [pytest.param(loss, 5, id=type(loss).__name__) for loss in SOFTMAX]
every_loss = pytest.mark.parametrize(("loss", "channels"), CHANNELS)
BELIEVES_TEACHERS = [p for p in CHANNELS if not isinstance(p.values[0], SigmoidExclusion | SoftmaxExclusion)]


@every_loss
def test_a_batch_of_which_nothing_is_known_gives_zero_and_no_gradient(loss, channels, make_batch, make_logits):
    for batch in (make_batch(statuses=(UNKNOWN,)), make_batch()._replace(label=torch.full((4, 6, 8), IGNORE))):
        batch = batch._replace(label=batch.label.to(torch.uint8))
        logits = make_logits(batch, channels)
        value = loss(logits, batch)
        value.backward()
        assert value.item() == 0
        assert logits.grad.count_nonzero() == 0


@every_loss
def test_ignored_pixels_feel_nothing_and_others_do(loss, channels, make_batch, make_logits):
    batch = make_batch()
    logits = make_logits(batch, channels)
    loss(logits, batch).backward()
    felt = logits.grad.movedim(1, -1)
    assert felt[batch.label == IGNORE].count_nonzero() == 0
    assert felt[batch.label != IGNORE].count_nonzero() > 0


@every_loss
def test_an_unlabeled_image_changes_nothing(loss, channels, make_batch, make_logits):
    batch = make_batch()
    status = batch.status.clone()
    status[1] = UNKNOWN
    label = batch.label.clone()
    label[1] = 0
    logits = make_logits(batch, channels)
    others = torch.tensor([0, 2, 3])
    without = type(batch)(*(value[others] for value in batch))
    expected = loss(logits[others], without)
    value = loss(logits, batch._replace(status=status, label=label))
    torch.testing.assert_close(value, expected)
    value.backward()
    assert logits.grad[1].count_nonzero() == 0


@pytest.mark.parametrize(("loss", "channels"), BELIEVES_TEACHERS)
def test_a_trusted_teacher_is_as_good_as_a_human(loss, channels, make_batch, make_logits):
    batch = make_batch(odd=False)._replace(weight=torch.ones(4))
    human = batch._replace(status=torch.where(batch.status == TEACHER, HUMAN, batch.status))
    logits = make_logits(batch, channels)
    torch.testing.assert_close(loss(logits, batch), loss(logits, human))


@every_loss
def test_value_and_gradient_are_finite_at_huge_fp16_logits(loss, channels, make_batch):
    batch = make_batch()
    sign = torch.randint(2, (4, channels, 6, 8), generator=torch.Generator().manual_seed(0))
    logits = (1e4 * (2 * sign - 1)).to(torch.float16).requires_grad_()
    value = WeightedSum({"term": loss}, {"term": 1.0})(logits, batch)["term"]
    value.backward()
    assert value.isfinite()
    assert logits.grad.isfinite().all()


@every_loss
@pytest.mark.parametrize("classes", [5, 20])
def test_memory_order_does_not_matter(loss, channels, classes, make_batch, make_logits):
    """With 20 classes the softmax runs along another axis than with 5."""
    batch = make_batch(classes=classes)
    logits = make_logits(batch, channels + classes - 5)
    other = logits.detach().contiguous().requires_grad_()
    values = loss(logits, batch), loss(other, batch)
    for value in values:
        value.backward()
    torch.testing.assert_close(*values)
    torch.testing.assert_close(logits.grad, other.grad)
