from __future__ import annotations

import numpy as np
import pytest

from partial_labels.array_file import ArrayFile


@pytest.mark.parametrize("row_shape", [(), (3, 4)])
def test_what_is_appended_comes_back(tmp_path, row_shape):
    rows = np.random.default_rng(0).integers(-9, 9, size=(1037, *row_shape)).astype(np.int16)
    file = ArrayFile(tmp_path / "a.npy", "int16", row_shape)
    for part in np.split(rows, [1, 1, 30, 1000]):
        file.append(part)
    file.close()
    file.close()
    found = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert found.dtype == np.int16
    assert np.array_equal(found, rows)


def test_an_array_in_another_order_is_written_row_by_row(tmp_path):
    rows = np.arange(12, dtype=np.uint8).reshape(4, 3).T
    file = ArrayFile(tmp_path / "a.npy", "uint8", (4,))
    file.append(rows)
    file.close()
    assert np.array_equal(np.load(tmp_path / "a.npy"), rows)


@pytest.mark.parametrize("rows", [np.zeros((1, 2), np.int64), np.zeros((1, 3), np.uint8), np.zeros(2, np.uint8)])
def test_another_type_or_shape_is_refused(tmp_path, rows):
    file = ArrayFile(tmp_path / "a.npy", "uint8", (2,))
    with pytest.raises(ValueError, match="for a file of"):
        file.append(rows)
    file.close()
