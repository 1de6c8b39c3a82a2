"""Which classes every case shows, and how often a case should be drawn for the sake of its rarest one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from partial_labels.batch import HUMAN
from partial_labels.case_store import CaseStore


def present_cells(store: CaseStore, ids: NDArray[np.int64] | None = None) -> NDArray[np.bool_]:
    """Tell which classes are drawn in the labels, reading one label at a time.

    Args:
        store: The case store.
        ids: (M,) case ids; every case where not given.

    Returns:
        (M, C) bool; column 0 says whether a pixel has label 0.
    """
    rows = np.arange(len(store)) if ids is None else ids
    num_classes = len(store.classes)
    present = np.zeros((len(rows), num_classes), dtype=np.bool_)
    for row, case in zip(present, rows, strict=True):
        row[:] = np.bincount(store.labels[case].reshape(-1), minlength=256)[:num_classes] > 0
    return present


def rare_class_weights(
    present: NDArray[np.bool_], status: NDArray[np.uint8], ids: NDArray[np.int64], threshold: float = 0.1
) -> NDArray[np.float64]:
    """Weigh each labeled case by the rarest class that it certainly shows.

    Repeat-factor sampling (Gupta et al., LVIS, CVPR 2019, arXiv:1908.03195): ``max(1, sqrt(threshold / f))`` with f
    the share of the given cases in which the class was examined and found, so that classes above the threshold are
    drawn as they come and a class a hundred times rarer ten times as often. A case that shows no class weighs 1.

    Args:
        present: (N, C) which classes are drawn in each case of the store.
        status: (N, C) status as shown in training; only ``HUMAN`` cells count.
        ids: (M,) ids of the labeled cases.
        threshold: Share of cases below which a class is rare, in (0, 1].

    Returns:
        (M,) weights, at least 1.

    Raises:
        ValueError: If ``threshold`` lies outside (0, 1].
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold={threshold}: a share of cases must lie in (0, 1]")
    shown = (present[ids] & (status[ids] == HUMAN))[:, 1:]
    share = shown.mean(axis=0)
    factor = np.sqrt(threshold / np.where(share > 0, share, threshold))
    weights: NDArray[np.float64] = np.maximum(1.0, (shown * factor).max(axis=1, initial=0.0))
    return weights
