"""From case numbers to batches, read by memory map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from datamodules.labeled_subset import ShownLabels
from datamodules.sampler import Draw
from partial_labels.batch import HUMAN, UNSURE, PartialLabelBatch, ValidationBatch
from partial_labels.case_store import CaseStore
from partial_labels.errors import InputError
from partial_labels.pseudo_store import PseudoRound


def labels_of(store: CaseStore, case_ids: NDArray[np.int64]) -> UInt8[NDArray, "B H W"]:
    """Read stored labels.

    Raises:
        InputError: If one is no class of the table: the file was changed since the store was built.
    """
    labels = np.asarray(store.labels[case_ids])
    classes = len(store.classes)
    outside = labels - np.uint8(classes) < UNSURE - classes  # in eight bits what is below wraps around to above
    if outside.any():
        row = int(outside.any(axis=(1, 2)).argmax())
        name, label = store.cases[int(case_ids[row])].name, labels[row][outside[row]].max()
        raise InputError(
            f"{store.path}: case {name} holds label id {label}, "
            f"the class table ends at {classes - 1}; delete the folder, it is built anew from its source"
        )
    return labels


class TrainingCases:
    """The cases as training may see them: labels that a split or a simulation hides are gone.

    Args:
        store: The case store.
        shown: The statuses, and the label numbers to show, of every case.
        pseudo_round: What a teacher filled in, for the cases that are drawn as completed.
    """

    def __init__(self, store: CaseStore, shown: ShownLabels, pseudo_round: PseudoRound | None = None) -> None:
        self.store, self.shown, self.pseudo_round = store, shown, pseudo_round

    def read(self, case_ids: Int64[Tensor, " B"], completed: Sequence[bool] = ()) -> PartialLabelBatch:
        """Read the cases from the memory map.

        Args:
            case_ids: Rows of the case table.
            completed: Whether to read each with what the teacher filled in; none of them by default.
        """
        ids = case_ids.numpy()
        label = self.shown.lut[ids[:, None, None], labels_of(self.store, ids)]
        status, weight = self.shown.status[ids], np.ones(len(ids), dtype=np.float32)
        if self.pseudo_round is not None and any(completed):
            filled = np.where(completed, self.pseudo_round.rows_of(ids), -1)
            mine, rows = filled >= 0, filled[filled >= 0]
            label[mine], status[mine], weight[mine] = (
                values[rows]
                for values in (self.pseudo_round.labels, self.pseudo_round.status, self.pseudo_round.weight)
            )
        return PartialLabelBatch(
            image=self.store.header.intensities(torch.from_numpy(self.store.image(ids))),
            label=torch.from_numpy(label),
            status=torch.from_numpy(status),
            weight=torch.from_numpy(weight),
            case_id=case_ids,
        )


class Drawn(NamedTuple):
    """What the training loader yields: a batch, or only its case numbers where the cases live on the device."""

    batch: PartialLabelBatch | Tensor
    draw: Draw


class TrainingDataset(Dataset[Drawn]):
    """Maps a draw of the sampler to its batch.

    Args:
        cases: Where to read, or None where only the case numbers are wanted.
    """

    def __init__(self, cases: TrainingCases | None) -> None:
        self.cases = cases

    def __getitem__(self, draw: Draw) -> Drawn:
        case_ids = torch.as_tensor(draw.case_ids, dtype=torch.int64)
        return Drawn(case_ids if self.cases is None else self.cases.read(case_ids, draw.completed), draw)


class EvaluationDataset(Dataset[ValidationBatch]):
    """The cases in order, batch by batch: what is shown of them, and the truth.

    Args:
        store: The case store.
        case_ids: Which cases.
        batch_size: Cases a batch.
        shown: Where to read what is shown: None for the source's labels, as a human would judge a prediction by them;
            or the cases as training sees them, to measure what a teacher fills in.
    """

    def __init__(
        self, store: CaseStore, case_ids: NDArray[np.int64], batch_size: int, shown: TrainingCases | None = None
    ) -> None:
        self.store, self.shown = store, shown
        self.batches = [case_ids[i : i + batch_size] for i in range(0, len(case_ids), batch_size)]

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> ValidationBatch:
        ids = self.batches[index]
        store = self.store
        truth = seen = PartialLabelBatch(
            image=store.header.intensities(torch.from_numpy(store.image(ids))),
            label=torch.from_numpy(labels_of(store, ids)),
            status=torch.from_numpy(store.status[ids]),
            weight=torch.ones(len(ids)),
            case_id=torch.from_numpy(ids),
        )
        if store.truth is not None:
            everything = torch.full_like(seen.status, HUMAN)
            truth = seen._replace(label=torch.from_numpy(np.asarray(store.truth[ids])), status=everything)
        if self.shown is not None:
            seen = self.shown.read(seen.case_id)
        return ValidationBatch(seen, truth, torch.from_numpy(store.cases.volume_number[ids]))


def mean_and_std(
    store: CaseStore, case_ids: NDArray[np.int64], block: int = 256
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each channel's intensities, from one histogram of stored values each.

    Raises:
        InputError: If every image of a channel is of the same grey, which nothing can normalise.
    """
    lowest = int(np.iinfo(store.header.image_dtype).min)
    levels = np.iinfo(store.header.image_dtype).max - lowest + 1
    counts = np.zeros((store.header.channels, levels), dtype=np.int64)
    for start in range(0, len(case_ids), block):
        stored = store.image(case_ids[start : start + block])
        for channel, count in enumerate(counts):
            count += np.bincount(stored[:, channel].ravel().astype(np.int64) - lowest, minlength=levels)
    level = store.header.intensities(np.arange(levels, dtype=np.float64) + lowest)
    means = [float(np.average(level, weights=count)) for count in counts]
    variances = [np.average((level - mean) ** 2, weights=count) for mean, count in zip(means, counts, strict=True)]
    deviations = [float(variance) ** 0.5 for variance in variances]
    constant = [channel for channel, deviation in enumerate(deviations) if not deviation > 0]
    if constant:
        which = f"channel {constant[0]} of " if store.header.channels > 1 else ""
        raise InputError(f"{store.header.name}: {which}every training image is constant; check the source's files")
    return tuple(means), tuple(deviations)
