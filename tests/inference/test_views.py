import pytest
import torch

from augment.intensity import Brightness, Gamma
from augment.mirror import MirrorRule
from inference.views import TestTimeViews
from partial_labels.errors import InputError

STILL = MirrorRule("none", (0, 1, 2))
SIDES = MirrorRule("rows", (0, 2, 1))


def blob(height=24, width=32):
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.exp(-((rows - 8.0) ** 2 + (columns - 20.0) ** 2) / 30)[None, None]


def by_grey(image):
    """A network that looks at each pixel alone: its answer turns with the image."""
    return torch.cat([1 - image, image / 2, image / 2], dim=1)


def by_place(image):
    """A network that knows left from right: what lies in the upper half is class 1, in the lower half class 2."""
    half = torch.arange(image.shape[-2])[:, None] < image.shape[-2] / 2
    return torch.cat([1 - image, image * half, image * ~half], dim=1)


def test_no_view_but_the_image_gives_its_answer():
    views = TestTimeViews()
    assert len(views) == 1
    assert torch.equal(views.average(by_grey, blob(), STILL), by_grey(blob()))


def test_turned_and_zoomed_answers_come_back_in_place():
    views = TestTimeViews(rotations_deg=[-10, 10], scales=[0.9, 1.1])
    assert len(views) == 5
    answer = views.average(by_grey, blob(), STILL)
    assert (answer - by_grey(blob())).abs().max() < 0.03
    assert torch.allclose(answer.sum(1), torch.tensor(1.5 - 0.5).expand_as(answer.sum(1)), atol=1e-5)


def test_views_of_several_channels_are_those_of_each():
    views = TestTimeViews(rotations_deg=[-10], scales=[1.1], intensity=[Gamma(1, 0.8, 0.8)], mirror=True)
    three = torch.cat([blob() / 2, blob(), blob() / 4], dim=1)
    answer = views.average(lambda image: by_place(image[:, 1:2]), three, SIDES)
    assert torch.allclose(answer, views.average(by_place, blob(), SIDES), atol=1e-6)


def test_views_of_double_precision_stay_in_it():
    views = TestTimeViews(rotations_deg=[-10], scales=[1.1])
    answer = views.average(by_grey, blob().double(), STILL)
    assert answer.dtype == torch.float64
    assert torch.allclose(answer.float(), views.average(by_grey, blob(), STILL), atol=1e-5)


def test_what_a_view_did_not_see_is_not_averaged_in():
    flat = torch.full((1, 1, 16, 16), 0.5)
    answer = TestTimeViews(rotations_deg=[30], scales=[3]).average(by_grey, flat, STILL)
    assert torch.allclose(answer, by_grey(flat), atol=1e-3)


def test_grey_values_are_changed_for_the_network_only():
    answer = TestTimeViews(intensity=[Brightness(1, 0.2, 0.2)]).average(by_grey, blob() * 0.5, STILL)
    assert torch.allclose(answer[:, 1], (blob() * 0.5 / 2 + (blob() * 0.5 + 0.2) / 2)[:, 0] / 2, atol=1e-6)


@pytest.mark.parametrize("axis", ["rows", "columns"])
def test_a_mirror_exchanges_the_sides(axis):
    rule = MirrorRule(axis, (0, 2, 1))
    answer = TestTimeViews(mirror=True).average(by_place, blob(), rule)
    if axis == "rows":  # the network is symmetric under this mirror, names included
        assert torch.allclose(answer, by_place(blob()), atol=1e-6)
    else:  # under this one it would have to keep the names
        swapped = by_place(blob())[:, [0, 2, 1]]
        assert torch.allclose(answer, (by_place(blob()) + swapped) / 2, atol=1e-6)


def test_a_mirror_needs_axis_and_pairs():
    for rule in (STILL, MirrorRule("rows", (0, 1, 2)), MirrorRule("none", (0, 2, 1))):
        with pytest.raises(InputError, match=r"tta\.mirror=true"):
            TestTimeViews(mirror=True).check(rule)


@pytest.mark.parametrize(
    "keys", [{"scales": [0.0]}, {"intensity": [Gamma(0.5, 0.8, 0.8)]}, {"intensity": [Gamma(1, 0.8, 1.2)]}]
)
def test_wrong_arguments(keys):
    with pytest.raises(ValueError, match="="):
        TestTimeViews(**keys)
