import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from partial_labels.batch import HUMAN, IGNORE, TEACHER, UNKNOWN, UNSURE, derive_background, known_pixels
from partial_labels.confidence import case_scores, cell_scores, confident_labels
from partial_labels.head import SigmoidHead, SoftmaxHead

CLASSES = 4


def random_case(seed, head, size=6, batch=3):
    """Return probabilities and a label that is consistent with a random status."""
    rng = torch.Generator().manual_seed(seed)
    status = torch.randint(2, (batch, CLASSES), generator=rng, dtype=torch.uint8)
    status = derive_background(status)
    label = torch.randint(CLASSES, (batch, size, size), generator=rng, dtype=torch.uint8)
    examined = status.gather(1, label.flatten(1).long()).view_as(label) == HUMAN
    label = torch.where(examined, label, 0).to(torch.uint8)
    lottery = torch.rand(label.shape, generator=rng)
    label[lottery < 0.1], label[lottery > 0.9] = UNSURE, IGNORE
    logits = 4 * torch.randn(batch, head.channels(CLASSES), size, size, generator=rng)
    return head.probs(logits), label, status


@pytest.mark.parametrize("head", [SoftmaxHead(), SigmoidHead()])
@settings(max_examples=60)
@given(seed=st.integers(0, 2**31), threshold=st.floats(0.01, 1.0))
def test_a_completed_case_never_contradicts_a_human(head, seed, threshold):
    probs, label, status = random_case(seed, head)
    completed, filled = confident_labels(probs, label, status, threshold)
    human = (status == HUMAN)[:, 1:]
    assert torch.equal((filled == HUMAN)[:, 1:], human)
    assert not (filled[:, 1:] == UNKNOWN).any()
    for c in range(1, CLASSES):
        mine = human[:, c - 1]
        before, after = label[mine] == c, completed[mine] == c
        assert torch.equal(before, after), "a class that a human examined has gained or lost a pixel"
        said_before = known_pixels(label, status)[mine, c]
        assert torch.equal(known_pixels(completed, filled)[mine, c], said_before)
    for mark in (UNSURE, IGNORE):
        assert (completed[label == mark] == mark).all()
    whole = human.all(dim=1)
    assert torch.equal(completed[whole], label[whole])


def slow_completion(probs, label, status, threshold):
    """Pixel by pixel, as the docstring says it."""
    completed = label.clone()
    for b, row, column in (label == 0).nonzero().tolist():
        if not (status[b, 1:] == UNKNOWN).any():
            continue
        pixel = probs[b, :, row, column]
        best = int(pixel.argmax())
        examined = best > 0 and status[b, best] != UNKNOWN
        completed[b, row, column] = UNSURE if examined or pixel[best] < threshold else best
    return completed


@pytest.mark.parametrize("head", [SoftmaxHead(), SigmoidHead()])
@pytest.mark.parametrize("threshold", [0.01, 0.7, 0.99])
def test_it_is_the_rule_said_pixel_by_pixel(head, threshold):
    probs, label, status = random_case(7, head)
    completed, _ = confident_labels(probs, label, status, threshold)
    assert torch.equal(completed, slow_completion(probs, label, status, threshold))


def test_a_case_by_hand():
    """Class 1 was examined and drawn at the first pixel; class 2 was not examined."""
    probs = torch.tensor([[0.1, 0.1, 0.8], [0.1, 0.9, 0.0], [0.1, 0.0, 0.9], [0.4, 0.0, 0.6], [0.9, 0.1, 0.0]])
    label = torch.tensor([[[1, 0, 0, 0, 0]]], dtype=torch.uint8)
    status = torch.tensor([[UNKNOWN, HUMAN, UNKNOWN]], dtype=torch.uint8)
    completed, filled = confident_labels(probs.T[None, :, None], label, status, threshold=0.7)
    assert completed.flatten().tolist() == [1, UNSURE, 2, UNSURE, 0]
    assert filled.tolist() == [[TEACHER, HUMAN, TEACHER]]


def test_a_probability_that_is_none_is_not_believed():
    probs = torch.full((1, 3, 1, 1), float("nan"))
    label, status = torch.zeros(1, 1, 1, dtype=torch.uint8), torch.zeros(1, 3, dtype=torch.uint8)
    assert confident_labels(probs, label, status, 0.1)[0].item() == UNSURE


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.1])
def test_the_threshold_has_a_range(threshold):
    probs, label, status = random_case(0, SoftmaxHead())
    with pytest.raises(ValueError, match=f"threshold={threshold}: must lie in"):
        confident_labels(probs, label, status, threshold)


def test_cell_scores_by_hand():
    probs = torch.tensor([[[0.1, 0.2, 0.7, 0.0], [0.8, 0.6, 0.2, 0.0], [0.1, 0.2, 0.1, 1.0]]])[:, :, None]
    valid = torch.tensor([[[True, True, True, False]]])
    cells = cell_scores(probs, valid)
    assert cells.pixels.tolist() == [[1, 2, 0]]
    assert cells.peak[0].tolist() == pytest.approx([0.7, 0.8, 0.2])
    assert cells.confidence[0].tolist() == pytest.approx([0.7, 0.7, 0.0])
    scores = case_scores(probs, valid, cells)
    assert scores.foreground.item() == pytest.approx(0.7)
    assert scores.classes.item() == pytest.approx(0.7)


def test_small_organs_count_as_much_as_large_ones_only_in_one_score():
    foreground = torch.tensor([0.9] * 8 + [0.6, 0.6])
    probs = torch.zeros(1, 3, 1, 10)
    probs[0, 1, 0, :8], probs[0, 2, 0, 8:] = foreground[:8], foreground[8:]
    probs[0, 0] = 1 - foreground
    valid = torch.ones(1, 1, 10, dtype=torch.bool)
    scores = case_scores(probs, valid, cell_scores(probs, valid))
    assert scores.foreground.item() == pytest.approx(0.84)
    assert scores.classes.item() == pytest.approx(0.75)


def test_entropy_runs_from_undecided_to_decided():
    undecided, decided = torch.full((1, 3, 2, 2), 1 / 3), torch.zeros(1, 3, 2, 2)
    decided[:, 1] = 1
    valid = torch.ones(1, 2, 2, dtype=torch.bool)
    for probs, expected in ((undecided, -1), (decided, 0), (3 * undecided, -1)):
        found = case_scores(probs, valid, cell_scores(probs, valid)).entropy.item()
        assert found == pytest.approx(expected, abs=1e-6)
    half = torch.tensor([0.5, 0.5, 0.0])[None, :, None, None].expand(1, 3, 2, 2)
    found = case_scores(half, valid, cell_scores(half, valid)).entropy.item()
    assert found == pytest.approx(-math.log(2) / math.log(3))


def test_an_image_without_foreground_or_pixels_comes_last():
    probs = torch.tensor([0.9, 0.1])[None, :, None, None].expand(2, 2, 2, 2)
    valid = torch.ones(2, 2, 2, dtype=torch.bool)
    valid[1] = False
    scores = case_scores(probs, valid, cell_scores(probs, valid))
    assert scores.foreground.tolist() == [0, 0] and scores.classes.tolist() == [0, 0]
    assert scores.entropy[1] == 0
