"""The page of a data set: everything that one should look at before training on it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8

from partial_labels.batch import UNKNOWN, PartialLabelBatch
from partial_labels.case_store import CaseStore
from reports import document
from reports.data import sections
from reports.document import Section


def write_data_page(
    store: CaseStore,
    parts: Mapping[str, Int64[np.ndarray, " _"]],
    status: UInt8[np.ndarray, "N C"],
    cluster: Int64[np.ndarray, " N"],
    crossing: Sequence[tuple[int, int]],
    samples: Sequence[PartialLabelBatch],
    output: Path,
) -> Path:
    """Write ``data.html``, complete in itself.

    Args:
        store: The cases.
        parts: Case ids of each part of the split; empty parts are left out.
        status: What training is shown of each cell.
        cluster: Near-duplicate cluster of each case.
        crossing: Near-duplicate pairs that a split given by the source cuts, (train case, held-out case).
        samples: Batches after augmentation.
        output: The page to write.
    """
    parts = {name: ids for name, ids in parts.items() if len(ids)}
    status = with_held_out(store, parts, status)
    pixels = sections.class_pixels(store) * (status > UNKNOWN)
    present = pixels > 0
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        found = [
            Section("What was examined", sections.examined(store, parts, status, present, scratch)),
            Section("Classes", sections.class_table(store, parts, status, pixels)),
            Section("Split", document.count_table("part", sections.part_sizes(store, parts, status))),
            Section("Near-duplicates", sections.duplicates(store, cluster, crossing, scratch)),
            Section("Grid and grey values", sections.grid(store, present, scratch)),
            Section("What training sees", sections.samples(samples, store, scratch)),
        ]
    subtitle = f"{len(store)} cases, {len(store.classes) - 1} classes"
    return document.write_document(output, f"Data: {store.header.name}", subtitle, found)


def with_held_out(
    store: CaseStore, parts: Mapping[str, Int64[np.ndarray, " _"]], status: UInt8[np.ndarray, "N C"]
) -> UInt8[np.ndarray, "N C"]:
    """Put the store's own status in for held-out cases: they are measured with all that is known of them."""
    held_out = np.setdiff1d(np.arange(len(store)), parts.get("train", np.arange(0)))
    status = status.copy()
    status[held_out] = store.status[held_out]
    return status
