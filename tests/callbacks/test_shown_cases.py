from types import SimpleNamespace

import numpy as np
import pytest

from callbacks.shown_cases import shown_cases

NAMES = np.array([f"case{n}" for n in range(20)])


def loader(*batches):
    cases = SimpleNamespace(column=lambda name: {"name": NAMES}[name])
    return SimpleNamespace(
        dataset=SimpleNamespace(store=SimpleNamespace(cases=cases), batches=[np.array(ids) for ids in batches])
    )


@pytest.mark.parametrize(
    ("count", "places", "expected"),
    [(3, "ends", [4, 8, 12]), (3, "middles", [5, 8, 11]), (1, "middles", [8]), (50, "ends", list(range(4, 13)))],
)
def test_cases_are_spread_evenly_and_named(count, places, expected):
    chosen = shown_cases(loader(range(4, 9), range(9, 13)), count, places)
    assert sorted(chosen) == expected
    assert all(name == f"case{case}" for case, name in chosen.items())
