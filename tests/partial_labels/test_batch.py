from __future__ import annotations

from itertools import product

import numpy as np
import torch

from partial_labels.batch import HUMAN, TEACHER, UNKNOWN, derive_background, derive_background_array


def test_the_background_is_known_only_where_all_else_is():
    status = np.array(list(product((UNKNOWN, HUMAN, TEACHER), repeat=4)), dtype=np.uint8)
    before = status.copy()
    derived = derive_background_array(status)
    for (_, *others), (background, *same) in zip(status.tolist(), derived.tolist(), strict=True):
        known = UNKNOWN not in others
        assert background == (UNKNOWN if not known else TEACHER if TEACHER in others else HUMAN) and same == others
    assert np.array_equal(status, before)
    assert np.array_equal(derived, derive_background(torch.from_numpy(status)).numpy())
    assert derive_background_array(status[:0]).shape == (0, 4)
