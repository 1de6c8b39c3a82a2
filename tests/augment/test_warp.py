from __future__ import annotations

import pytest
import torch
from scipy.ndimage import map_coordinates

from augment.warp import MAX_BEND, resample, resting_points, sampling_grid, spline_basis
from partial_labels.batch import IGNORE, UNSURE


@pytest.mark.parametrize("cells", [1, 3, 8])
def test_weights_add_up_to_one_and_are_not_negative(cells: int) -> None:
    basis = spline_basis(17, cells)
    assert torch.allclose(basis.sum(1), torch.ones(17))
    assert basis.min() >= 0 and ((basis > 0).sum(1) <= 4).all()


@pytest.mark.parametrize("size", [(9, 9), (12, 31)])
def test_an_affine_map_of_the_control_points_is_that_map_of_every_pixel(size: tuple[int, int]) -> None:
    height, width = size
    matrix, shift = torch.tensor([[0.8, 0.3], [-0.5, 1.1]]), torch.tensor([2.0, -1.0])
    rest = resting_points(height, width, 3)
    control = torch.einsum("ij,jrc->irc", matrix, rest) + shift[:, None, None]
    columns, rows = torch.arange(width) - (width - 1) / 2, torch.arange(height) - (height - 1) / 2
    pixel = torch.stack(torch.meshgrid(columns, rows, indexing="xy"))
    expected = torch.einsum("ij,jrc->irc", matrix, pixel) + shift[:, None, None]
    found = sampling_grid(control[None], height, width)[0] * torch.tensor([width - 1, height - 1])[:, None, None] / 2
    assert torch.allclose(found, expected, atol=1e-4)


def test_resting_points_give_back_image_and_label() -> None:
    image = torch.rand(2, 1, 20, 31)
    label = torch.randint(0, 256, (2, 20, 31), dtype=torch.uint8)
    grid = sampling_grid(resting_points(20, 31, 4).expand(2, -1, -1, -1), 20, 31)
    same_image, same_label = resample(image, label, grid)
    assert torch.allclose(same_image, image, atol=1e-4)
    assert torch.equal(same_label, label)


def test_resampling_agrees_with_scipy() -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 1, 11, 14, generator=generator)
    label = torch.randint(0, 256, (1, 11, 14), dtype=torch.uint8, generator=generator)
    grid = torch.rand(1, 2, 11, 14, generator=generator) * 3 - 1.5
    columns, rows = ((grid[0, axis] + 1) * (size - 1) / 2 for axis, size in enumerate((14, 11)))
    places = torch.stack([rows, columns]).numpy()
    new_image, new_label = resample(image, label, grid)
    expected_image = map_coordinates(image[0, 0].numpy(), places, order=1, mode="grid-constant", cval=0)
    expected_label = map_coordinates(label[0].numpy(), places, order=0, mode="grid-constant", cval=IGNORE)
    assert torch.allclose(new_image[0, 0], torch.from_numpy(expected_image), atol=1e-5)
    assert torch.equal(new_label[0], torch.from_numpy(expected_label))


def test_beyond_the_frame_lies_zero_and_ignore() -> None:
    image, label = torch.ones(1, 1, 8, 8), torch.full((1, 8, 8), UNSURE, dtype=torch.uint8)
    control = resting_points(8, 8, 2)[None] + torch.tensor([3.0, 0.0])[:, None, None]
    moved_image, moved_label = resample(image, label, sampling_grid(control, 8, 8))
    assert (moved_label[..., :5] == UNSURE).all() and (moved_label[..., 5:] == IGNORE).all()
    assert torch.allclose(moved_image[..., :5], torch.ones(5), atol=1e-5) and moved_image[..., 5:].max() < 1e-5


def test_the_largest_bend_does_not_fold() -> None:
    cells, size = 4, 65
    rest = resting_points(size, size, cells)
    signs = torch.randint(0, 2, (500, *rest.shape), generator=torch.Generator().manual_seed(0)) * 2 - 1
    grid = sampling_grid(rest + signs * MAX_BEND / cells * (size - 1), size, size)
    down, right = grid.diff(dim=2)[..., :-1], grid.diff(dim=3)[:, :, :-1]
    area = right[:, 0] * down[:, 1] - right[:, 1] * down[:, 0]
    assert area.min() > 0


def test_half_precision_around_it_moves_no_pixel():
    control = 100 * torch.rand(1, 2, 7, 7)
    with torch.autocast("cpu", torch.bfloat16):
        grid = sampling_grid(control, 384, 512)
    assert torch.equal(grid, sampling_grid(control, 384, 512))
