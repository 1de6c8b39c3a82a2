from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from datamodules.placement import Placement
from datamodules.stored_grid import StoredGrid
from partial_labels.batch import IGNORE
from partial_labels.errors import InputError

SIDES = st.integers(16, 90)


@pytest.mark.parametrize(
    ("source", "size", "fit", "scaled", "offset"),
    [
        ((256, 216), (128, 128), "scale", (128, 108), (0, 10)),
        ((100, 50), (64, 64), "scale", (64, 32), (0, 16)),
        ((50, 100), (64, 96), "scale", (48, 96), (8, 0)),
        ((32, 32), (64, 64), "scale", (64, 64), (0, 0)),
        ((256, 216), (224, 224), "pad", (256, 216), (-16, 4)),
        ((64, 64), (64, 64), "pad", (64, 64), (0, 0)),
    ],
)
def test_the_rule(source, size, fit, scaled, offset):
    assert StoredGrid(size, fit).place(source) == Placement(source, scaled, offset, size)


@pytest.mark.parametrize("fit", ["scale", "pad"])
def test_a_slice_of_the_stored_size_is_left_alone(fit):
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (20, 30)).astype(np.uint8)
    label = random.integers(0, 5, (20, 30)).astype(np.uint8)
    probs = torch.rand(3, 20, 30)
    place = StoredGrid((20, 30), fit).place((20, 30))
    assert not place.moves and StoredGrid((20, 31), fit).place((20, 30)).moves
    assert np.array_equal(place.image(image), image)
    assert np.array_equal(place.label(label), label)
    assert torch.equal(place.native(probs), probs)


def test_padding_is_black_and_ignored():
    image, label = np.full((10, 20), 7, np.int16), np.ones((10, 20), np.uint8)
    for fit, ends in (("scale", (4, 12)), ("pad", (3, 13))):
        place = StoredGrid((16, 16), fit).place((10, 20))
        stored, ids = place.image(image, fill=-1000), place.label(label)
        inside = np.zeros((16, 16), bool)
        inside[slice(*ends)] = True
        assert np.array_equal(stored, np.where(inside, 7, -1000))
        assert np.array_equal(ids, np.where(inside, 1, IGNORE))


def test_shrinking_does_not_alias():
    stripes = np.tile(np.array([0, 255, 0, 255, 0, 255, 0, 255], np.uint8), (64, 8))
    assert np.ptp(StoredGrid((16, 16), "scale").place((64, 64)).image(stripes)[:, 2:-2].astype(int)) <= 8


def test_sixteen_bit_values_are_not_cut():
    image = np.linspace(-3000, 3000, 64 * 64).reshape(64, 64).astype(np.int16)
    small = StoredGrid((32, 32), "scale").place((64, 64)).image(image)
    assert small.dtype == np.int16
    assert np.allclose(small[1:-1, 1:-1], image.reshape(32, 2, 32, 2).mean((1, 3))[1:-1, 1:-1], atol=40)


def centre(mass):
    """Centre of mass in pixels from the outer edge of the grid."""
    mass = np.asarray(mass, dtype=float)
    rows, columns = (np.arange(n) + 0.5 for n in mass.shape)
    return np.array([(mass.sum(1) * rows).sum(), (mass.sum(0) * columns).sum()]) / mass.sum()


@settings(max_examples=60)
@given(SIDES, SIDES, st.tuples(SIDES, SIDES), st.sampled_from(["scale", "pad"]), st.floats(0, 1))
def test_the_round_trip_moves_nothing_by_half_a_pixel(height, width, size, fit, at):
    """Image, label and probabilities of a box stay aligned, up to the rounding to pixels of the coarser grid."""
    box = np.zeros((height, width), np.uint8)
    spans = []
    for source, target in zip((height, width), size, strict=True):
        seen = source if fit == "scale" else min(source, target)
        start = (source - seen) // 2 + round(at * (seen - seen // 2))
        spans.append(slice(start, start + seen // 2))
    box[tuple(spans)] = 1

    place = StoredGrid(size, fit).place((height, width))
    stored, image = place.label(box), place.image(box * np.uint8(200))
    scale = np.array(place.scaled) / (height, width)
    assert np.abs(centre(stored == 1) - centre(image)).max() <= 0.5

    foreground = torch.from_numpy(stored == 1).float()
    back = place.native(torch.stack([1 - foreground, foreground]))
    assert back.shape == (2, height, width)
    assert np.allclose(back.sum(0), 1, atol=1e-5)
    tolerance = 0.5 * max(1, 1 / scale.min())
    assert np.abs(centre(back[1]) - centre(box)).max() <= tolerance


@settings(max_examples=60)
@given(height=SIDES, width=SIDES, side=SIDES)
def test_a_smooth_structure_comes_back_in_place(height, width, side):
    rows, columns = np.ogrid[:height, :width]
    blob = np.exp(-(((rows - height * 0.45) / (height / 8)) ** 2) - ((columns - width * 0.55) / (width / 8)) ** 2)
    image = np.rint(blob * 30000).astype(np.int16)
    place = StoredGrid((side, side), "scale").place((height, width))
    stored = torch.from_numpy(place.image(image).astype(np.float32) / 30000)
    back = place.native(torch.stack([1 - stored, stored]))
    assert np.abs(centre(back[1]) - centre(blob)).max() <= 0.5


@settings(max_examples=60)
@given(SIDES, SIDES, st.tuples(SIDES, SIDES), st.tuples(*[st.floats(0.4, 2.5)] * 2), st.floats(0, 1))
def test_resampling_to_a_spacing_and_back_moves_nothing_by_half_a_pixel(height, width, size, zoom, at):
    """A box that lies within the crop comes back in its place, up to half a pixel of the coarser grid."""
    place = StoredGrid(size, "spacing", (1.0, 1.0)).place((height, width), zoom)
    scale = np.array(place.scaled) / (height, width)
    box = np.zeros((height, width), np.uint8)
    spans = []
    for axis in range(2):
        first = int(np.ceil(max(0, -place.offset[axis]) / scale[axis]))
        last = int(np.floor(min(place.scaled[axis], size[axis] - place.offset[axis]) / scale[axis]))
        length = max(1, (last - first) // 2)
        start = first + round(at * max(0, last - first - length))
        spans.append(slice(start, start + length))
    box[tuple(spans)] = 1
    assume(box.sum() and min((spans[i].stop - spans[i].start) * scale[i] for i in (0, 1)) >= 2)

    stored, image = place.label(box), place.image(box * np.uint8(200))
    # a label's edges are rounded by up to half a pixel each, and the filter gives the image's a little more
    assert np.abs(centre(stored == 1) - centre(image)).max() <= 0.6
    foreground = torch.from_numpy(stored == 1).float()
    back = place.native(torch.stack([1 - foreground, foreground]))
    assert back.shape == (2, height, width)
    assert np.allclose(back.sum(0), 1, atol=1e-5)
    assert (np.abs(centre(back[1]) - centre(box)) <= 0.5 * np.maximum(1, 1 / scale)).all()


def test_the_grid_says_what_is_wrong_with_it(unchecked_shapes):
    for grid, message in (
        (((8, 0), "scale", None), "positive sides"),
        (((8, 8), "stretch", None), "scale, pad, spacing"),
        (((8, 8), "spacing", None), "fit=spacing needs it"),
        (((8, 8), "pad", (1.0, 1.0)), "only fit=spacing"),
        (((8, 8), "spacing", (1.0, -1.0)), "must be positive"),
    ):
        with pytest.raises(InputError, match=message):
            StoredGrid(*grid)
    with pytest.raises(InputError, match="a slice: no spacing is known"):
        StoredGrid((8, 8), "spacing", (1.0, 1.0)).place((8, 8), None, "a slice")
    assert StoredGrid((8, 8), "spacing", (2.0, 1.0)).place((8, 8), (1.0, 3.0)).scaled == (4, 24)


def test_one_number_stands_for_both_sides():
    assert StoredGrid.of(8, "pad") == StoredGrid.of([8, 8], "pad") == StoredGrid((8, 8), "pad")
    assert StoredGrid.of((8, 6), "spacing", 2) == StoredGrid((8, 6), "spacing", (2.0, 2.0))
    assert StoredGrid.of(8, "spacing", [2, 3]).spacing_mm == (2.0, 3.0)
    for size in (0, (8, -1), [8, 8, 8]):
        with pytest.raises(ValueError, match="give one side in pixels, or two"):
            StoredGrid.of(size, "pad")


def test_what_was_cropped_away_is_background():
    probs = torch.zeros(3, 8, 8)
    probs[2] = 1
    back = StoredGrid((8, 8), "pad").place((12, 6)).native(probs)
    assert back[0, [0, 1, -2, -1]].eq(1).all()
    assert back[2, 2:-2].eq(1).all()
    assert back.sum(0).eq(1).all()
