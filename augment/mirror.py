"""The left/right mirror, which is a change of the anatomy's names as much as of the picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch

from augment.draws import send
from partial_labels.batch import PartialLabelBatch
from partial_labels.store_header import AXES


@final
@dataclass(frozen=True)
class MirrorRule:
    """How a left/right mirror acts on a data set.

    Args:
        axis: The array axis along which left and right lie, ``rows`` or ``columns``, or ``none``
            (``StoreHeader.left_right_axis``).
        swap: For each class id the id it becomes, the background included (``ClassTable.mirror``).

    Raises:
        ValueError: If the axis is unknown, or swapping twice does not give every id back.
    """

    axis: str
    swap: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.axis not in AXES:
            raise ValueError(f"mirror axis {self.axis!r}: choose one of {', '.join(AXES)}")
        size = len(self.swap)
        if self.swap[:1] != (0,) or any(not 0 <= i < size or self.swap[i] != own for own, i in enumerate(self.swap)):
            raise ValueError(f"mirror swap {self.swap}: must exchange pairs of ids and leave the background alone")

    @property
    def forbidden(self) -> bool:
        """Whether mirrors must stay off: without left/right pairs nothing says what a mirrored structure is called."""
        return self.axis == "none" or self.swap == tuple(range(len(self.swap)))

    def apply(self, batch: PartialLabelBatch) -> PartialLabelBatch:
        """Mirror every image and label, and exchange the ids and the statuses of left and right."""
        dim = -2 if self.axis == "rows" else -1
        swap, new_id = torch.tensor(self.swap), torch.arange(256, dtype=torch.uint8)
        new_id[: len(swap)] = swap.to(torch.uint8)
        swap, new_id = send(swap, batch.label.device), send(new_id, batch.label.device)
        label = new_id[batch.label.flip(dim).int()]
        return batch._replace(image=batch.image.flip(dim), label=label, status=batch.status[:, swap])
