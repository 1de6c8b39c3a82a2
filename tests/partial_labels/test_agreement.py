import pytest
import torch

from partial_labels.agreement import Agreement, mean_dice, moved


def bright(image):
    """Predict class 1 where the image is bright, class 2 where it is very bright."""
    return ((image[:, 0] > 0.4).to(torch.uint8) + (image[:, 0] > 0.7).to(torch.uint8)).to(torch.uint8)


def blob(level):
    image = torch.full((1, 1, 16, 16), 0.1)
    image[:, :, 4:10, 5:11] = level
    return image


def everywhere(image):
    return torch.ones_like(image[:, 0], dtype=torch.bool)


def test_a_network_that_follows_the_image_agrees_with_itself():
    image = blob(0.55)
    score = Agreement(gammas=(), shifts=(0.1, 0.3))(bright, image, bright(image), everywhere(image), 3)
    assert score.tolist() == [1.0]


def test_a_network_that_looks_at_places_does_not():
    image = blob(0.55)
    fixed = bright(image)
    score = Agreement(gammas=(), shifts=(0.2,))(lambda _: fixed, image, fixed, everywhere(image), 3)
    assert 0 < score.item() < 0.8


def test_gamma_changes_what_a_threshold_sees():
    image = torch.cat([blob(0.55), blob(0.75)])
    score = Agreement(gammas=(1.25,), shifts=())(bright, image, bright(image), everywhere(image), 3)
    assert score.tolist() == [1.0, 0.0]


def test_an_empty_prediction_comes_last_and_pixels_can_be_left_out():
    empty = torch.zeros(1, 4, 4, dtype=torch.uint8)
    full = torch.ones(1, 4, 4, dtype=torch.uint8)
    valid = torch.ones(1, 4, 4, dtype=torch.bool)
    assert mean_dice(empty, empty, valid, 3).item() == 0
    half = full.clone()
    half[:, :2] = 0
    assert mean_dice(full, half, valid, 3).item() == pytest.approx(2 / 3)
    valid[:, :2] = False
    assert mean_dice(full, half, valid, 3).item() == 1


@pytest.mark.parametrize(("step", "axis"), [(2, -2), (-3, -1)])
def test_moving_repeats_the_border(step, axis):
    image = torch.arange(36.0).view(1, 1, 6, 6)
    found = moved(image, step, axis)
    rolled = image.roll(step, axis)
    inside = slice(step, None) if step > 0 else slice(None, step)
    index = (..., inside, slice(None)) if axis == -2 else (..., inside)
    assert torch.equal(found[index], rolled[index])
    border = image.select(axis, 0 if step > 0 else -1)
    assert torch.equal(found.select(axis, 0 if step > 0 else -1), border)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"gammas": (), "shifts": ()}, "give at least one"),
        ({"gammas": (0.0,)}, "must be above 0"),
        ({"shifts": (0.5,)}, "must lie in"),
    ],
)
def test_ranges_are_checked(wrong, message):
    with pytest.raises(ValueError, match=message):
        Agreement(**wrong)
