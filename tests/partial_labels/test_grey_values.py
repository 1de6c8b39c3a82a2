from __future__ import annotations

import numpy as np
import pytest
import torch

from partial_labels.grey_values import intensities


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_arrays_and_tensors_mean_the_same(dtype):
    stored = np.array([0, 3, 100, 255], dtype=dtype)
    single = np.float64 if dtype == np.float64 else np.float32
    expected = np.clip(stored.astype(single) * single(1 / 200) - single(0.25), 0, 1)
    found = intensities(stored, 1 / 200, -0.25)
    assert found.dtype == single and np.array_equal(found, expected) and found[0] == 0 and found[-1] == 1
    assert torch.equal(intensities(torch.from_numpy(stored), 1 / 200, -0.25), torch.from_numpy(expected))


def test_each_image_may_have_a_scale_of_its_own_and_none_is_changed_in_place():
    stored = torch.full((2, 1, 2, 2), 10.0)
    slope, intercept = torch.tensor([[0.01, 0.0], [0.02, 0.5]])[..., None, None, None].unbind(dim=1)
    assert intensities(stored, slope, intercept).flatten(1).tolist() == [
        pytest.approx([0.1] * 4),
        pytest.approx([0.7] * 4),
    ]
    assert (stored == 10).all()
