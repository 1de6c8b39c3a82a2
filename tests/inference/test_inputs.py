import numpy as np
import pytest

from datamodules.sources.volume import VolumeReader
from inference.inputs import find_inputs
from partial_labels.case_table import CaseRow
from partial_labels.case_writer import CaseStoreWriter
from partial_labels.classes import ClassTable
from partial_labels.errors import InputError
from partial_labels.store_header import StoreHeader


def test_two_cases_of_a_store_may_not_be_written_as_one(tmp_path):
    classes, blank = ClassTable.from_foreground(["liver"]), np.zeros((4, 4), np.uint8)
    with CaseStoreWriter(tmp_path / "store", StoreHeader("s", classes, (4, 4), fingerprint="0"), 2) as writer:
        for name in ("images/0.png", "images/0.webp"):
            writer.add(CaseRow(name, group=name, volume=name, slice_index=0), blank, blank, np.ones(2, bool))
    with pytest.raises(
        InputError, match=r"store: case images/0\.png and .*0\.webp: both would be written as images/0;"
    ):
        find_inputs(tmp_path / "store", VolumeReader)
