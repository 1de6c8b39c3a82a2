from __future__ import annotations

import pytest

from reports.wording import listed

NAMES = ["liver", "kidney_left", "spleen"]


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (100, "liver, kidney left, spleen"),
        (26, "liver, kidney left, spleen"),
        (25, "liver and 2 more"),
        (0, "liver and 2 more"),
    ],
)
def test_names_are_listed_as_far_as_they_fit(length, text):
    assert listed(NAMES, length) == text


def test_nothing_to_list():
    assert listed([], 10) == ""
