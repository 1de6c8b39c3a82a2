from __future__ import annotations

import pytest

from partial_labels.ranges import at_least


def test_the_first_value_that_is_too_small_is_named():
    at_least(1, first=1, second=None)
    with pytest.raises(ValueError, match=r"^second=0: must be at least 1$"):
        at_least(1, first=1, second=0, third=-1)
