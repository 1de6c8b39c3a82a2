from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from reports.data.examined_matrix import alike, draw_examined, labeled_parts, squeezed
from reports.data.sections import class_pixels


def test_squeezing_averages_every_case():
    picture = np.random.default_rng(0).random((2, 10, 3))
    narrow = squeezed(picture, 5)
    assert narrow == pytest.approx(picture.reshape(2, 5, 2, 3).mean(axis=2))
    assert squeezed(picture, 3).shape == (2, 3, 3)
    assert squeezed(picture, 10) is picture


def test_cases_with_the_same_structures_lie_side_by_side():
    cells = np.array([[1, 2], [2, 0], [0, 0], [2, 2]])
    assert alike(cells).tolist() == [[2, 2], [2, 0], [1, 2], [0, 0]]


def test_parts_are_named_by_what_they_hold():
    status = np.array([[0, 1], [0, 0], [1, 1]], np.uint8)
    named = labeled_parts(status, {"train": np.array([0, 1]), "val": np.array([2]), "test": np.array([1])})
    assert {name: ids.tolist() for name, ids in named.items()} == {
        "train, labeled": [0],
        "train, unlabeled": [1],
        "val": [2],
        "test, unlabeled": [1],
    }


def test_the_matrix_does_not_grow_with_the_cases(small_store, tmp_path):
    sizes = []
    for repeat in (1, 300):
        status = np.tile(small_store.status, (repeat, 1))
        pixels = np.tile(class_pixels(small_store), (repeat, 1))
        parts = {"train": np.arange(len(status))}
        path = draw_examined(status, pixels > 0, parts, small_store.classes, tmp_path / "examined.png")
        with Image.open(path) as picture:
            sizes.append(picture.size)
    assert sizes[0] == sizes[1]
