from __future__ import annotations

import pytest

from partial_labels.classes import ClassTable
from partial_labels.errors import InputError
from partial_labels.store_header import StoreHeader


@pytest.mark.parametrize("changes", [{"left_right_axis": "depth"}, {"image_dtype": "float32"}])
def test_a_header_refuses_what_no_store_holds(changes):
    with pytest.raises(InputError):
        StoreHeader("made", ClassTable.from_foreground(["liver"]), (6, 4), **changes)
