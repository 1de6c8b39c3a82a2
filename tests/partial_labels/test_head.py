import pytest
import torch

from partial_labels.head import SigmoidHead, SoftmaxHead


@pytest.mark.parametrize("head", [SigmoidHead(prior=0.02), SoftmaxHead(prior=0.02)])
def test_an_untrained_network_gives_every_class_the_prior(head):
    logits = head.initial_logits(5)
    assert len(logits) == head.channels(5)
    probs = head.probs(logits[None, :, None, None])
    assert probs[0, 1:, 0, 0].tolist() == pytest.approx([0.02] * 4, rel=1e-5)


def test_many_classes_cannot_all_have_a_large_prior():
    probs = SoftmaxHead(prior=0.5).probs(SoftmaxHead(prior=0.5).initial_logits(10)[None, :, None, None])
    assert probs.flatten().tolist() == pytest.approx([0.1] * 10)


def test_the_sigmoid_background_is_what_the_largest_class_leaves():
    logits = torch.tensor([0.0, 2.0, -1.0])[None, :, None, None]
    probs = SigmoidHead().probs(logits)
    assert probs[0, 0, 0, 0] == pytest.approx(1 - torch.tensor(2.0).sigmoid().item())
    assert probs.shape == (1, 4, 1, 1)


def test_a_sigmoid_pixel_takes_its_most_probable_class_where_it_reaches_the_threshold():
    probs = torch.tensor([[0.5, 0.3, 0.5], [0.7, 0.35, 0.3], [0.6, 0.1, 0.4]]).T[None, :, None, :]
    head = SigmoidHead(threshold=0.3)
    assert head.decode(probs)[0, 0].tolist() == [2, 1, 2]
    assert SigmoidHead(threshold=0.45).decode(probs)[0, 0].tolist() == [2, 0, 0]


def test_a_class_is_drawn_where_one_of_its_pixels_reaches_the_peak():
    probs = torch.tensor([[0.1, 0.2, 0.1, 0.9], [0.9, 0.6, 0.4, 0.1], [0.2, 0.7, 0.7, 0.3]])[None, :, None]
    assert SigmoidHead(peak=0.5).decode(probs).flatten().tolist() == [1, 2, 2, 0]
    assert SigmoidHead(peak=0.8).decode(probs).flatten().tolist() == [1, 1, 0, 0]  # what the silent class leaves
    both = torch.cat([probs, 0.9 * probs])  # each image has a peak of its own
    assert SigmoidHead(peak=0.85).decode(both)[1].flatten().tolist() == [0, 0, 0, 0]
    assert SigmoidHead(0.3, peak=0.85).moved_to(0.9).peak == 0.9


def test_softmax_decodes_by_the_largest_probability_in_fp32():
    logits = torch.tensor([1.0, 3.0, 2.0], dtype=torch.bfloat16)[None, :, None, None]
    head = SoftmaxHead()
    assert head.probs(logits).dtype == torch.float32
    assert head.predict(logits).item() == 1


@pytest.mark.parametrize(
    "make",
    [
        *(lambda: SigmoidHead(threshold=1.0), lambda: SigmoidHead(prior=0.0), lambda: SoftmaxHead(prior=1.0)),
        *(lambda: SigmoidHead(peak=0.4), lambda: SigmoidHead(peak=1.0)),
    ],
)
def test_ranges_are_checked(make):
    with pytest.raises(ValueError, match=r"head\."):
        make()
