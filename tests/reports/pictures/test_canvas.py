from __future__ import annotations

import numpy as np

from reports.pictures.canvas import Canvas, eroded, ids_in

RED = (255, 0, 0)


def square(size: int = 16) -> np.ndarray:
    mask = np.zeros((size, size), dtype=bool)
    mask[4:12, 4:12] = True
    return mask


def red_part(canvas: Canvas, mask: np.ndarray) -> float:
    large = mask.repeat(canvas.factor, 0).repeat(canvas.factor, 1)
    return float((canvas.rgb[large][:, 0] > 0.5).mean())


def test_a_coarse_slice_is_enlarged_and_a_fine_one_is_not():
    assert Canvas(np.zeros((16, 32), np.float32), side=320).rgb.shape == (160, 320, 3)
    assert Canvas(np.zeros((600, 700), np.float32), side=480).rgb.shape == (600, 700, 3)


def test_fill_covers_outline_and_hatch_only_a_part_and_nothing_leaves_the_structure():
    parts = {}
    for name in ("fill", "outline", "hatch"):
        canvas = Canvas(np.zeros((16, 16), np.float32))
        getattr(canvas, name)(square(), RED)
        parts[name] = red_part(canvas, square())
        assert red_part(canvas, ~square()) == 0
    assert parts["fill"] == 1
    assert 0 < parts["outline"] < 0.3
    assert 0.1 < parts["hatch"] < 0.4


def test_intensities_out_of_range_or_not_finite_still_give_a_picture():
    image = np.array([[np.nan, np.inf], [-5.0, 9.0]], np.float32)
    rgb = Canvas(image, side=8).rgb
    assert np.isfinite(rgb).all() and rgb.min() >= 0 and rgb.max() <= 1


def test_erosion_takes_the_edge_but_not_at_the_pictures_border():
    mask = np.zeros((6, 6), dtype=bool)
    mask[:, :3] = True
    expected = mask.copy()
    expected[:, 2] = False
    assert np.array_equal(eroded(mask, 1), expected)
    assert not eroded(square(), 4).any()


def test_ids_are_sorted_and_free_of_background_and_reserved_ids():
    label = np.array([[0, 3, 255]], np.uint8)
    assert ids_in(label, None, np.array([[254, 1, 3]], np.uint8), num_classes=5) == [1, 3]
    assert ids_in(num_classes=5) == []
