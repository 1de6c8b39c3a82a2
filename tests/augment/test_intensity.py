from __future__ import annotations

import pytest
import torch

from augment.draws import Draws
from augment.intensity import Blur, Brightness, Contrast, Cutout, Gamma, IntensityOp, Noise

OPS: list[IntensityOp] = [
    Gamma(1.0, 0.5, 2.0),
    Contrast(1.0, 0.5, 2.0),
    Brightness(1.0, -0.5, 0.5),
    Noise(1.0, 0.1, 0.5),
    Blur(1.0, 0.5, 2.0),
    Cutout(1.0, 0.2, 0.5, holes=3),
]
NAMES = [type(op).__name__ for op in OPS]


def draws(rows: list[int] | None = None, size: int = 8) -> Draws:
    return Draws(0, 0, 0, torch.tensor(list(range(size)) if rows is None else rows, dtype=torch.int64), size)


def images(count: int = 8, height: int = 20, width: int = 24) -> torch.Tensor:
    return torch.rand(count, 1, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("op", OPS, ids=NAMES)
def test_every_image_changes_and_stays_within_0_and_1(op: IntensityOp) -> None:
    image = images()
    changed = op(image, draws())
    assert torch.equal(image, images()), "the images given must stay as they are"
    assert (changed != image).flatten(1).any(1).all()
    assert changed.min() >= 0 and changed.max() <= 1 and changed.dtype == torch.float32


@pytest.mark.parametrize("op", OPS, ids=NAMES)
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_a_constant_image_stays_finite(op: IntensityOp, value: float) -> None:
    changed = op(torch.full((8, 1, 20, 24), value), draws())
    assert changed.isfinite().all() and changed.min() >= 0 and changed.max() <= 1


@pytest.mark.parametrize("kind", [type(op) for op in OPS], ids=NAMES)
def test_only_chosen_images_change_whatever_the_split(kind: type[IntensityOp]) -> None:
    op, never = kind(0.5, 0.2, 0.6), kind(0.0, 0.2, 0.6)
    image = images()
    whole = op(image, draws())
    assert 0 < (whole != image).flatten(1).any(1).sum() < 8
    assert torch.equal(never(image, draws()), image)
    for rank in range(3):
        rows = list(range(8))[rank::3]
        assert torch.allclose(op(image[rows], draws(rows)), whole[rows], atol=1e-6)


@pytest.mark.parametrize("op", OPS, ids=NAMES)
def test_a_process_without_chosen_rows_draws_along(op: IntensityOp) -> None:
    with_rows, without = draws([0, 1]), draws([])
    op(images(2), with_rows)
    op(images(0), without)
    assert with_rows.generator.random() == without.generator.random()


@pytest.mark.parametrize("op", OPS, ids=NAMES)
def test_all_channels_are_changed_alike(op: IntensityOp) -> None:
    grey = images()
    changed = op(grey.expand(-1, 3, -1, -1), draws())
    assert changed.shape == (8, 3, 20, 24)
    if isinstance(op, Noise):
        assert (changed[:, 0] != changed[:, 1]).flatten(1).any(1).all()
    else:
        torch.testing.assert_close(changed, op(grey, draws()).expand(-1, 3, -1, -1))


def test_contrast_keeps_the_mean_of_each_channel() -> None:
    image = 0.4 + 0.2 * images() * torch.tensor([0.2, 0.5, 1.0])[:, None, None]
    assert torch.allclose(Contrast(1.0, 0.5, 0.5)(image, draws()).mean((2, 3)), image.mean((2, 3)), atol=1e-6)


def test_gamma_brightness_and_contrast_by_hand() -> None:
    image = torch.tensor([0.25, 0.75]).reshape(1, 1, 1, 2)
    one = draws(size=1)
    assert Gamma(1.0, 2.0, 2.0)(image, one).flatten().tolist() == pytest.approx([0.0625, 0.5625])
    assert Brightness(1.0, 0.2, 0.2)(image, one).flatten().tolist() == pytest.approx([0.45, 0.95])
    assert Brightness(1.0, -0.5, -0.5)(image, one).flatten().tolist() == pytest.approx([0, 0.25])
    assert Contrast(1.0, 0.5, 0.5)(image, one).flatten().tolist() == pytest.approx([0.375, 0.625])
    assert Contrast(1.0, 4.0, 4.0)(image, one).flatten().tolist() == pytest.approx([0, 1])


def test_noise_has_its_deviation() -> None:
    noisy = Noise(1.0, 0.05, 0.05)(torch.full((8, 1, 40, 40), 0.5), draws())
    assert (noisy - 0.5).std().item() == pytest.approx(0.05, rel=0.05)


@pytest.mark.parametrize("sigma", [0.6, 1.5])
def test_blur_is_a_gaussian_of_its_sigma(sigma: float) -> None:
    point = torch.zeros(2, 1, 31, 31)
    point[:, :, 15, 15] = 1
    blurred = Blur(1.0, sigma, sigma)(point, draws([0, 1]))[:, 0]
    place = torch.arange(31) - 15.0
    for profile in (blurred.sum(1), blurred.sum(2)):
        assert torch.allclose(profile.sum(1), torch.ones(2))
        assert torch.allclose((profile * place**2).sum(1).sqrt(), torch.tensor(sigma), rtol=0.03)


def test_each_image_gets_its_own_blur() -> None:
    point = torch.zeros(8, 1, 15, 15)
    point[:, :, 7, 7] = 1
    peaks = Blur(1.0, 0.5, 2.0)(point, draws())[:, 0, 7, 7]
    assert len(peaks.unique()) == 8


def test_blur_does_not_darken_the_border() -> None:
    assert torch.allclose(Blur(1.0, 2.0, 2.0)(torch.ones(8, 1, 6, 6), draws()), torch.ones(()))


@pytest.mark.parametrize("fill, value", [("zero", 0.0), ("mean", 0.5)])
def test_cutout_hides_one_rectangle_of_its_size(fill: str, value: float) -> None:
    checks = (torch.arange(40)[:, None] + torch.arange(60)).remainder(2).float().expand(8, 1, 40, 60)
    image = checks * 0.4 + 0.3
    hidden = (Cutout(1.0, 0.25, 0.5, fill=fill)(image, draws()) - value).abs() < 1e-6
    for mask in hidden[:, 0]:
        rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
        height, width = len(rows), len(columns)
        assert 1 <= height <= 21 and 1 <= width <= 31
        assert mask.sum() == height * width
        assert rows[-1] - rows[0] == height - 1 and columns[-1] - columns[0] == width - 1
    assert len(hidden.flatten(1).unique(dim=0)) == 8


def test_autocast_does_not_reach_in() -> None:
    image = images()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = [op(image, draws()) for op in OPS]
    assert all(torch.equal(op(image, draws()), found) for op, found in zip(OPS, inside, strict=True))


@pytest.mark.parametrize("kind", [type(op) for op in OPS], ids=NAMES)
@pytest.mark.parametrize("values", [(1.5, 0.2, 0.4), (0.5, 0.4, 0.2), (0.5, -2.0, 0.4), (0.5, 0.2, float("inf"))])
def test_ranges_are_checked(kind: type[IntensityOp], values: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match=kind.__name__):
        kind(*values)


@pytest.mark.parametrize("wrong", [{"high": 1.5}, {"holes": 0}])
def test_cutout_checks_its_own(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="Cutout"):
        Cutout(**{"probability": 0.5, "low": 0.1, "high": 0.3} | wrong)
