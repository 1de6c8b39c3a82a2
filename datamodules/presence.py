"""Which classes every case shows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from partial_labels.case_store import CaseStore


def present_cells(store: CaseStore, ids: NDArray[np.int64] | None = None, *, truth: bool = False) -> NDArray[np.bool_]:
    """Tell which classes are drawn in the labels, reading one label at a time.

    Args:
        store: The case store.
        ids: (M,) case ids; every case where not given.
        truth: Read the truth where the store keeps one, for decisions that training itself never sees.

    Returns:
        (M, C) bool; column 0 says whether a pixel has label 0.
    """
    rows = np.arange(len(store)) if ids is None else ids
    num_classes = len(store.classes)
    labels = store.truth if truth and store.truth is not None else store.labels
    present = np.zeros((len(rows), num_classes), dtype=np.bool_)
    for row, case in zip(present, rows, strict=True):
        row[:] = np.bincount(labels[case].reshape(-1), minlength=256)[:num_classes] > 0
    return present
