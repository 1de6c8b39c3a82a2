from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from augment.mirror import MirrorRule
from datamodules.stored_grid import StoredGrid
from inference.ensemble import Ensemble, Member, fitted
from inference.inputs import ImageInput, Scan
from inference.predictor import Job, Predictor, on_grid
from inference.views import TestTimeViews
from partial_labels.classes import ClassTable
from partial_labels.errors import InputError
from partial_labels.head import SigmoidHead, SoftmaxHead

LIVER = ClassTable.from_foreground(["liver", "kidney_left", "kidney_right"])
SPLEEN = ClassTable.from_foreground(["Kidney_Left", "spleen"])
GRID = StoredGrid((8, 8), "scale")
IMAGE = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))


class Constant(nn.Module):
    """Gives the same logits everywhere, so that the mean is seen by eye."""

    def __init__(self, *logits):
        super().__init__()
        self.register_buffer("logits", torch.tensor(logits))

    def forward(self, image):
        return self.logits[None, :, None, None].expand(len(image), -1, *image.shape[2:])


def sigmoid(*probs, classes=LIVER, grid=GRID, threshold=0.5):
    return Member(Constant(*torch.tensor(probs).logit().tolist()), SigmoidHead(threshold), classes, grid)


def softmax(*probs, classes=LIVER, grid=GRID):
    return Member(Constant(*torch.tensor(probs).log().tolist()), SoftmaxHead(), classes, grid)


def test_members_see_the_same_channels():
    grey, windows = (Member(Constant(0.0, 0.0, 0.0), SigmoidHead(), LIVER, GRID, channels=i) for i in (1, 3))
    assert Ensemble([windows, windows]).channels == 3
    with pytest.raises(InputError, match="channels of an image: 1 for the first, 3 for number 2"):
        Ensemble([grey, windows])


def pixel(probs):
    assert (probs == probs[..., :1, :1]).all()
    return pytest.approx(probs[0, :, 0, 0].tolist(), abs=1e-6)


def test_one_member_answers_as_it_is():
    ensemble = Ensemble([sigmoid(0.2, 0.7, 0.1)])
    assert torch.equal(ensemble.probs(IMAGE), ensemble.members[0](IMAGE))
    assert ensemble.head is ensemble.members[0].head and ensemble.classes is LIVER


def test_softmax_members_are_averaged_and_decoded_by_the_most_probable():
    ensemble = Ensemble([softmax(0.4, 0.35, 0.15, 0.1), softmax(0.3, 0.5, 0.1, 0.1)])
    probs = ensemble.probs(IMAGE)
    assert [0.35, 0.425, 0.125, 0.1] == pixel(probs)
    assert isinstance(ensemble.head, SoftmaxHead)
    assert ensemble.head.decode(probs).unique().tolist() == [1]


def test_a_class_is_averaged_over_the_members_that_know_it():
    ensemble = Ensemble([sigmoid(0.2, 0.6, 0.1), sigmoid(0.8, 0.7, classes=SPLEEN)])
    assert ensemble.classes.names == ("background", "liver", "kidney_left", "kidney_right", "spleen")
    assert [1 - 0.7, 0.2, 0.7, 0.1, 0.7] == pixel(ensemble.probs(IMAGE))


def test_the_background_comes_from_the_members_that_know_every_class():
    kidneys = ClassTable.from_foreground(["kidney_right"])
    ensemble = Ensemble([softmax(0.4, 0.3, 0.2, 0.1), softmax(0.9, 0.1, classes=kidneys)])
    assert [0.4, 0.3, 0.2, 0.1] == pixel(ensemble.probs(IMAGE))


def test_different_heads_are_decoded_by_the_mean_threshold():
    members = [
        sigmoid(0.2, 0.4, 0.1, threshold=0.3),
        softmax(0.6, 0.1, 0.2, 0.1),
        sigmoid(0.2, 0.3, 0.1, threshold=0.2),
    ]
    head = Ensemble(members).head
    assert isinstance(head, SigmoidHead) and head.threshold == pytest.approx(0.25)
    assert head.peak is None
    assert Ensemble(members, threshold=0.4).head.threshold == 0.4
    members[0].head.peak = 0.9  # and 0.2 for the other: its threshold
    assert Ensemble(members).head.peak == pytest.approx(0.55)
    assert Ensemble(members, threshold=0.6).head.peak == pytest.approx(0.6)
    chosen = Ensemble(members[1:2], peak=0.7).head  # a softmax is decoded as sigmoids are, once a rule is asked for
    assert (chosen.threshold, chosen.peak) == (0.5, 0.7)
    assert Ensemble([softmax(0.6, 0.1, 0.2, 0.1)], threshold=0.15).head.predict(torch.zeros(1, 3, 2, 2)).shape == (
        1,
        2,
        2,
    )


def test_members_of_other_sizes_see_the_image_at_their_own():
    seen = []

    class Looking(Constant):
        def forward(self, image):
            seen.append(tuple(image.shape[-2:]))
            return super().forward(image)

    def member(grid):
        return Member(Looking(0.0, 0.0, 0.0), SigmoidHead(), LIVER, grid)

    probs = Ensemble([member(GRID), member(StoredGrid((4, 6), "scale")), member(StoredGrid((12, 12), "pad"))]).probs(
        IMAGE
    )
    assert seen == [(8, 8), (4, 6), (12, 12)]
    assert probs.shape == (2, 4, 8, 8) and [0.5, 0.5, 0.5, 0.5] == pixel(probs)


def native(ensemble, scan):
    """Return the probabilities of the one slice of a scan as they would be written."""
    found = []
    job = Job(
        ImageInput(Path("a.png"), "a"),
        scan,
        [on_grid(scan, grid, "a.png") for grid in ensemble.grids],
        np.zeros(scan.label_shape, np.uint8),
        lambda number, probs: found.append(torch.from_numpy(probs)),
    )
    Predictor(ensemble, torch.device("cpu"), nullcontext, torch.float32, 1, 1)._label([(job, 0)])
    return found[0]


def test_what_a_grid_crops_away_is_background_with_the_share_of_its_members():
    small = StoredGrid((4, 4), "pad")
    liver, both = (ClassTable.from_foreground(names) for names in (["liver"], ["liver", "spleen"]))
    same = Ensemble([softmax(0.1, 0.7, 0.1, 0.1, grid=small), softmax(0.2, 0.6, 0.1, 0.1)])
    other = Ensemble([softmax(0.1, 0.9, classes=liver, grid=small), softmax(0.2, 0.3, 0.5, classes=both)])
    image = np.zeros((1, 1, 8, 8), np.uint8)
    for ensemble, corner in ((same, [0.6, 0.3, 0.05, 0.05]), (other, [0.2, 0.15, 0.5])):
        for probs in (native(ensemble, Scan(image)), ensemble.probs(torch.from_numpy(image).float())[0]):
            assert probs[:, 0, 0].tolist() == pytest.approx(corner)
        cropped = native(ensemble, Scan(image[..., 2:-2, 2:-2], origin=small.place((8, 8))))
        assert cropped[:, 0, 0].tolist() == pytest.approx([1, *[0] * (len(corner) - 1)])  # by the store: for all


def test_a_grid_s_rule_is_that_of_the_store():
    image = torch.arange(48.0).view(1, 1, 6, 8) / 48
    assert fitted(image, StoredGrid((6, 8), "scale").place((6, 8))).equal(image)
    padded = fitted(image, StoredGrid((8, 8), "pad").place((6, 8)))
    assert padded[..., 1:7, :].equal(image) and padded[..., [0, 7], :].eq(0).all()


def test_it_is_a_network_whose_logits_its_head_decodes():
    for members in ([sigmoid(0.2, 0.6, 0.1)] * 2, [softmax(0.4, 0.35, 0.15, 0.1)] * 2):
        ensemble = Ensemble(members)
        assert torch.allclose(ensemble.head.probs(ensemble(IMAGE)), ensemble.probs(IMAGE), atol=1e-6)


def test_mirrors_use_each_member_s_own_pairs():
    member = sigmoid(0.2, 0.6, 0.1)
    member.mirror_rule = MirrorRule("rows", LIVER.mirror)
    probs = Ensemble([member], TestTimeViews(mirror=True)).probs(IMAGE)
    assert [0.4, 0.2, 0.35, 0.35] == pixel(probs)
    with pytest.raises(InputError, match="mirror"):
        Ensemble([sigmoid(0.2, 0.6, 0.1)], TestTimeViews(mirror=True))


def test_members_without_a_common_class_are_refused():
    with pytest.raises(InputError, match="without a common class: liver, kidney_left, kidney_right"):
        Ensemble([sigmoid(0.2, 0.7, 0.1), sigmoid(0.5, classes=ClassTable.from_foreground(["brain"]))])


def test_the_threshold_must_be_a_probability():
    with pytest.raises(ValueError, match="threshold"):
        Ensemble([sigmoid(0.2, 0.7, 0.1)], threshold=1.5)
