from __future__ import annotations

from typing import Any

import pytest
import torch

from augment.draws import Draws
from augment.geometry import RandomGeometry
from augment.mirror import MirrorRule
from partial_labels.batch import HUMAN, IGNORE, PartialLabelBatch
from partial_labels.errors import InputError

STILL = MirrorRule("none", (0, 1, 2, 3))
ALWAYS = {f"{name}_probability": 1.0 for name in ("rotation", "scale", "shift", "elastic")}
NEVER = {name: 0.0 for name in ALWAYS}


def draws(rows: list[int], size: int = 16, step: int = 0) -> Draws:
    return Draws(0, 0, step, torch.tensor(rows), size)


def squares(count: int = 16, height: int = 48, width: int = 64) -> PartialLabelBatch:
    """A bright square of class 2 on a dark ground of class 0, somewhere in each image."""
    label = torch.zeros(count, height, width, dtype=torch.uint8)
    for index in range(count):
        label[index, 12 + index % 5 : 32 + index % 5, 20 + index % 7 : 40 + index % 7] = 2
    image = 0.2 + 0.3 * label[:, None].float()
    status = torch.full((count, 4), HUMAN, dtype=torch.uint8)
    return PartialLabelBatch(image, label, status, torch.linspace(0, 1, count), torch.arange(count))


def same(first: PartialLabelBatch, second: PartialLabelBatch) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(
    "still", [NEVER, ALWAYS | {"rotation_deg": 0.0, "scale": (1.0, 1.0), "shift": 0.0, "elastic": 0.0}]
)
def test_without_geometry_the_batch_comes_back_bit_for_bit(still: dict[str, Any]) -> None:
    assert same(RandomGeometry(**still)(squares(), draws(list(range(16))), STILL), squares())


def test_every_channel_is_moved_alike() -> None:
    geometry, batch, mirrors = RandomGeometry(**ALWAYS, mirror=0.5), squares(), MirrorRule("rows", (0, 2, 1, 3))
    levels = torch.tensor([1.0, 0.5, 0.25])[:, None, None]
    moved = geometry(batch._replace(image=batch.image * levels), draws(list(range(16))), mirrors)
    grey = geometry(batch, draws(list(range(16))), mirrors)
    assert torch.equal(moved.image, grey.image * levels)
    assert torch.equal(moved.label, grey.label) and not torch.equal(grey.label, batch.label)


def test_only_images_that_drew_something_change() -> None:
    batch = squares()
    moved = RandomGeometry(**NEVER | {"rotation_probability": 0.5})(batch, draws(list(range(16))), STILL)
    changed = (moved.image != batch.image).flatten(1).any(1)
    assert 0 < changed.sum() < 16
    assert torch.equal(changed, (moved.label != batch.label).flatten(1).any(1))
    assert same(batch, squares()), "the batch given must stay as it is"


@pytest.mark.parametrize("only", [*ALWAYS, "all"])
def test_image_and_label_move_together(only: str) -> None:
    chances = ALWAYS if only == "all" else NEVER | {only: 1.0}
    batch = squares()
    moved = RandomGeometry(**chances, elastic=0.1)(batch, draws(list(range(16))), STILL)
    seen, drawn = moved.image[:, 0] > 0.5, moved.label == 2
    overlap = (seen & drawn).sum((1, 2)) / (seen | drawn).sum((1, 2))
    assert overlap.min() > 0.9
    before = (batch.label == 2) & drawn
    assert (before.sum((1, 2)) < (batch.label == 2).sum((1, 2))).sum() > 8, "the squares should have moved"
    assert set(moved.label.unique().tolist()) <= {0, 2, IGNORE}
    assert all(torch.equal(getattr(moved, name), getattr(batch, name)) for name in ("status", "weight", "case_id"))


def test_what_comes_in_over_a_border_is_ignored_and_black() -> None:
    batch = squares()._replace(image=torch.ones(16, 1, 48, 64))
    moved = RandomGeometry(**NEVER | {"scale_probability": 1.0}, scale=(0.5, 0.5))(batch, draws(list(range(16))), STILL)
    inside = moved.label != IGNORE
    assert inside.float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert inside[:, 13:35, 17:47].all()
    assert moved.image[:, 0][~inside].max() < 0.51
    assert torch.allclose(moved.image[:, 0, 13:35, 17:47], torch.ones(()))


def test_zoom_above_one_makes_structures_grow() -> None:
    batch = squares()
    grown = RandomGeometry(**NEVER | {"scale_probability": 1.0}, scale=(1.2, 1.2))(batch, draws(list(range(16))), STILL)
    growth = (grown.label == 2).sum() / (batch.label == 2).sum()
    assert growth.item() == pytest.approx(1.44, abs=0.08)


def test_a_turn_by_ninety_degrees_keeps_pixels_square() -> None:
    geometry = RandomGeometry(**NEVER | {"rotation_probability": 1.0}, rotation_deg=90.0)
    control = geometry.control_points(48, 64, draws(list(range(16))))
    lengths = (control[:, :, 1:] - control[:, :, :-1]).norm(dim=1)
    assert torch.allclose(lengths, torch.tensor(47 / 4), atol=1e-4)


@pytest.mark.parametrize("world", [1, 2, 3])
def test_figures_do_not_depend_on_the_split_into_processes(world: int) -> None:
    geometry, rule, batch = RandomGeometry(mirror=0.5), MirrorRule("columns", (0, 1, 3, 2)), squares()
    whole = geometry(batch, draws(list(range(16))), rule)
    assert not same(whole, geometry(batch, draws(list(range(16)), step=1), rule))
    for rank in range(world):
        rows = list(range(16))[rank::world]
        part = geometry(PartialLabelBatch(*(values[rows] for values in batch)), draws(rows), rule)
        for expected, found in zip(whole, part, strict=True):
            assert torch.allclose(expected[rows].float(), found.float(), atol=1e-6)


def test_mirrors_swap_the_chosen_images_and_no_other() -> None:
    rule, batch = MirrorRule("columns", (0, 1, 3, 2)), squares()
    batch.status[:, 2] = 0
    mirrored = RandomGeometry(**NEVER, mirror=0.5)(batch, draws(list(range(16))), rule)
    swapped = (mirrored.label == 3).flatten(1).any(1)
    assert 0 < swapped.sum() < 16
    assert torch.equal(mirrored.label[~swapped], batch.label[~swapped])
    assert (mirrored.status[swapped, 3] == 0).all() and (mirrored.status[swapped, 2] == HUMAN).all()
    assert torch.equal(mirrored.status[~swapped], batch.status[~swapped])
    twice = RandomGeometry(**NEVER, mirror=0.5)(mirrored, draws(list(range(16))), rule)
    assert same(twice, batch)


@pytest.mark.parametrize("rule", [STILL, MirrorRule("none", (0, 1, 3, 2)), MirrorRule("rows", (0, 1, 2, 3))])
def test_a_mirror_where_it_is_forbidden_is_refused(rule: MirrorRule) -> None:
    with pytest.raises(InputError, match="set mirror=0"):
        RandomGeometry(mirror=0.5)(squares(), draws(list(range(16))), rule)


@pytest.mark.parametrize(
    "wrong",
    [
        {"rotation_deg": -1.0},
        {"rotation_probability": 1.1},
        {"scale": (1.2, 0.8)},
        {"scale": (0.0, 1.0)},
        {"scale": (1.0,)},
        {"shift": 1.0},
        {"elastic": 0.2},
        {"elastic_cells": 0},
        {"mirror": -0.1},
    ],
)
def test_ranges_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must (lie|be)"):
        RandomGeometry(**wrong)
