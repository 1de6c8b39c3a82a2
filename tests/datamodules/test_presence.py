from __future__ import annotations

import numpy as np

from datamodules.presence import present_cells
from partial_labels.batch import IGNORE
from partial_labels.case_store import CaseStore
from partial_labels.case_table import CaseRow
from partial_labels.case_writer import CaseStoreWriter
from partial_labels.classes import ClassTable
from partial_labels.store_header import StoreHeader


def test_present_cells_are_those_of_the_labels(tmp_path):
    labels = np.random.default_rng(0).choice([0, 1, 3, IGNORE], p=[0.9, 0.04, 0.02, 0.04], size=(12, 5, 6))
    labels = labels.astype(np.uint8)
    header = StoreHeader("tiny", ClassTable.from_foreground(["a", "b", "c"]), (5, 6))
    with CaseStoreWriter(tmp_path / "store", header, 12) as writer:
        for i, label in enumerate(labels):
            writer.add(CaseRow(f"case {i}", "g", "v"), label, label, np.ones(4, dtype=bool))
    store = CaseStore.open(tmp_path / "store")
    expected = np.array([[(label == c).any() for c in range(4)] for label in labels])
    assert expected.any() and not expected[:, 1].all()
    np.testing.assert_array_equal(present_cells(store), expected)
    ids = np.array([7, 2])
    np.testing.assert_array_equal(present_cells(store, ids), expected[ids])


def test_the_truth_counts_where_it_is_asked_for_and_kept(tmp_path):
    label, truth = np.zeros((2, 2), dtype=np.uint8), np.array([[0, 2], [IGNORE, 0]], dtype=np.uint8)
    header = StoreHeader("tiny", ClassTable.from_foreground(["a", "b"]), (2, 2))
    for kept in (truth, None):
        with CaseStoreWriter(tmp_path / str(kept is None), header, 1, kept is not None) as writer:
            writer.add(CaseRow("case", "g", "v"), label, label, np.ones(3, dtype=bool), truth=kept)
        store = CaseStore.open(tmp_path / str(kept is None))
        assert present_cells(store).tolist() == [[True, False, False]]
        assert present_cells(store, truth=True).tolist() == [[True, False, kept is not None]]
