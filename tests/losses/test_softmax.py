from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from losses.evidence import rows
from losses.softmax import VECTOR, ordered, softmax, surprise, surprise_among

many_or_few = pytest.mark.parametrize("channels", [3, VECTOR - 1, VECTOR, 20])


@pytest.fixture
def logits(channels):
    values = torch.randn(2, channels, 4, 6, generator=torch.Generator().manual_seed(channels))
    return values.contiguous(memory_format=torch.channels_last).requires_grad_()


@many_or_few
def test_probabilities_and_surprise_are_the_textbooks(logits, channels):
    target = torch.randint(channels, (2, 24), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(softmax(ordered(logits)), rows(logits.softmax(dim=1)))
    expected = F.cross_entropy(logits.flatten(2), target, reduction="none")
    torch.testing.assert_close(surprise(logits, target), expected)
    felt, slow = (torch.autograd.grad(loss.sum(), logits)[0] for loss in (surprise(logits, target), expected))
    torch.testing.assert_close(felt, slow)


@many_or_few
def test_the_difference_of_surprises_is_that_of_the_merged_probability(logits, channels):
    possible = torch.zeros(2, channels, dtype=torch.bool)
    possible[0, 2] = possible[1, 1] = True
    background = torch.zeros(2, 24, dtype=torch.long)
    left = surprise(logits, background) - surprise_among(possible, logits, background)
    probs = logits.softmax(dim=1).flatten(2)
    merged = torch.stack([probs[0, 0] + probs[0, 2], probs[1, 0] + probs[1, 1]])
    torch.testing.assert_close(left, -merged.log())
