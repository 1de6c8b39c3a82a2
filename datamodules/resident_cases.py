"""Training cases that live in the memory of the device."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import Tensor

from augment.draws import send
from datamodules.dataset import TrainingCases
from partial_labels.batch import PartialLabelBatch
from partial_labels.case_store import CaseStore

log = logging.getLogger(__name__)


class ResidentCases:
    """The same cases, copied once to the memory of a device, so that no loader stands between them and the network.

    Args:
        cases: Where to copy from.
        case_ids: Which cases; others cannot be read.
        device: Where to.
    """

    BLOCK = 256

    def __init__(self, cases: TrainingCases, case_ids: NDArray[np.int64], device: torch.device) -> None:
        self.header = cases.store.header
        numbers = torch.from_numpy(np.unique(case_ids))
        labels = []
        for start, block in zip(range(0, len(numbers), self.BLOCK), torch.split(numbers, self.BLOCK), strict=True):
            images = torch.from_numpy(cases.store.image(block.numpy()))
            if start == 0:  # whole at once: to put blocks together would take twice the memory
                self.images = images.new_empty((len(numbers), *images.shape[1:]), device=device)
            self.images[start : start + len(block)] = images.to(device)
            labels.append(cases.read(block).label)
        status = [torch.from_numpy(cases.shown.status[numbers.numpy()])]
        weight = [torch.ones(len(numbers))]
        place = torch.full((len(cases.store),), -1, dtype=torch.int64)
        place[numbers] = torch.arange(len(numbers))
        filled = place.clone()
        if cases.pseudo_round is not None:
            filled[torch.from_numpy(np.array(cases.pseudo_round.case_ids))] = len(numbers) + torch.arange(
                len(cases.pseudo_round.case_ids)
            )
            labels += [torch.from_numpy(np.array(cases.pseudo_round.labels))]
            status += [torch.from_numpy(np.array(cases.pseudo_round.status))]
            weight += [torch.from_numpy(np.array(cases.pseudo_round.weight))]
        self.labels, self.status, self.weight = (torch.cat(parts).to(device) for parts in (labels, status, weight))
        self.places = torch.stack([place, filled]).to(device)

    @staticmethod
    def bytes_needed(store: CaseStore, num_cases: int) -> int:
        """Return the memory that ``num_cases`` cases take."""
        header = store.header
        return num_cases * math.prod(header.size) * (header.channels * np.dtype(header.image_dtype).itemsize + 1)

    def read(self, case_ids: Int64[Tensor, " B"], completed: Sequence[bool] = ()) -> PartialLabelBatch:
        """Gather the cases on the device; see :meth:`TrainingCases.read`."""
        rows = self.places[0, case_ids]
        known = rows
        if any(completed):
            known = torch.where(send(torch.tensor(completed), rows.device), self.places[1, case_ids], rows)
        return PartialLabelBatch(
            image=self.header.intensities(self.images[rows]),
            label=self.labels[known],
            status=self.status[known],
            weight=self.weight[known],
            case_id=case_ids,
        )


def keep_resident(
    cases: TrainingCases, case_ids: NDArray[np.int64], device: torch.device, wanted: Literal["auto"] | bool
) -> ResidentCases | None:
    """Copy cases to a device where that is wanted.

    Args:
        cases: Where to copy from.
        case_ids: Which cases.
        device: Where to.
        wanted: ``auto``: if it is a GPU and they take at most a quarter of what is free there.
    """
    if wanted is False or (wanted == "auto" and not fits_on(device, cases.store, len(case_ids))):
        return None
    log.info("%d training cases are kept on %s", len(case_ids), device)
    return ResidentCases(cases, case_ids, device)


def fits_on(device: torch.device, store: CaseStore, num_cases: int) -> bool:
    """Tell whether a device is a GPU that has room for so many cases and three times more."""
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return ResidentCases.bytes_needed(store, num_cases) <= free // 4
