"""What is known of a case, as every picture of it shows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from partial_labels.batch import ValidationBatch
from reports.pictures.panels import Panel


class KnownCase(NamedTuple):
    """One case of a batch.

    Args:
        image: Intensities in [0, 1], of the first channel where there are several.
        label: Class ids as shown to training.
        status: What is known of each cell, channel 0 the background.
        truth: Every class, where the experimenter knows more than was shown.
    """

    image: Float[np.ndarray, "H W"]
    label: UInt8[np.ndarray, "H W"]
    status: UInt8[np.ndarray, " C"]
    truth: UInt8[np.ndarray, "H W"] | None

    @classmethod
    def of(cls, batch: ValidationBatch, row: int) -> KnownCase:
        """Take a row of a batch off its device."""
        knows_more = not torch.equal(batch.truth.status[row], batch.seen.status[row])
        return cls(
            image=batch.seen.image[row, 0].cpu().numpy(),
            label=batch.seen.label[row].cpu().numpy(),
            status=batch.seen.status[row].cpu().numpy(),
            truth=batch.truth.label[row].cpu().numpy() if knows_more else None,
        )


def panel_of(batch: ValidationBatch, row: int, name: str, prediction: UInt8[Tensor, "H W"]) -> Panel:
    """Return one case of a batch, with what a network made of it, as something to draw."""
    return Panel(name=name, prediction=prediction.cpu().numpy(), **KnownCase.of(batch, row)._asdict())
