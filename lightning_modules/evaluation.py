"""Measures a trained network; the one place that both the end of a run and ``evaluate.py`` use."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import numpy as np
import pytorch_lightning as pl
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor, nn

from metrics.partial_dice import PartialDice
from metrics.surface import Spacing, SurfaceMetrics
from partial_labels.batch import UNKNOWN, PartialLabelBatch, ValidationBatch, derive_background
from partial_labels.classes import ClassTable
from partial_labels.head import Head

Refine = Callable[[NDArray[np.uint8], ClassTable], NDArray[np.uint8]]
"""Cleans one label map (H, W) of the network's classes."""
NativeView = Callable[[Tensor, ValidationBatch], tuple[Tensor, ValidationBatch]]
"""Takes (C, H, W) probabilities and one case to the source grid."""


@final
class EvaluationModule(pl.LightningModule):
    """Counts a network's predictions on cases whose class table may differ from its own.

    Args:
        network: A trained network with its normalisation.
        head: Its head.
        classes: The class table it was trained with.
        target: The class table of the cases; classes are matched by name. A class of the cases that the network does
            not know is counted nowhere; a class that only the network knows becomes background.
        spacing_mm: Pixel (row, column) of the grid that is compared, of all or (N, 2) of each case; None where it is
            not known.
        nsd_tolerance_mm: Tolerance of the normalised surface Dice.
        to_native: Takes probabilities and labels to the source grid, or None to compare on the stored one.
        refine: Post-processing of label maps, or None for none.
    """

    def __init__(
        self,
        network: nn.Module,
        head: Head,
        classes: ClassTable,
        target: ClassTable,
        spacing_mm: Spacing = None,
        nsd_tolerance_mm: float = 2.0,
        to_native: NativeView | None = None,
        refine: Refine | None = None,
    ) -> None:
        super().__init__()
        self.network, self.head, self.to_native, self.refine = network, head, to_native, refine
        self.classes, self.target = classes, target
        matched = classes.match(target)
        rename = torch.zeros(len(classes), dtype=torch.uint8)
        for ours, theirs in matched.items():
            rename[ours] = theirs
        self.register_buffer("rename", rename)
        known = torch.zeros(len(target), dtype=torch.bool)
        known[sorted(set(matched.values()) | {0})] = True
        self.register_buffer("counted", known)
        visible = torch.arange(256, dtype=torch.uint8)
        visible[: len(target)] *= known
        self.register_buffer("visible", visible)
        self.dice = PartialDice(target.names)
        self.surface = SurfaceMetrics(target.names, spacing_mm=spacing_mm, tolerance_mm=nsd_tolerance_mm)
        self.figures: dict[str, float] = {}

    def test_step(self, batch: ValidationBatch, batch_idx: int) -> dict[str, Tensor]:
        """Count one batch on the chosen grid, and return the prediction on the stored one and how sure it is."""
        probs = self.head.probs(self.network(batch.seen.image))
        decoded = self._decoded(probs)
        if self.to_native is None:
            self._count(self._renamed(decoded), batch)
        else:
            for row in range(len(probs)):
                case = case_of(batch, row)
                native, case = self.to_native(probs[row], case)
                self._count(self._renamed(self._decoded(native[None])), case)
        return {"prediction": self._renamed(decoded), "confidence": confidence_of(decoded, probs)}

    def predict(self, image: Float[Tensor, "B I H W"]) -> tuple[UInt8[Tensor, "B H W"], Float[Tensor, "B C H W"]]:
        """Return label maps of the target's classes, and the probabilities of the network's own."""
        probs = self.head.probs(self.network(image))
        return self._renamed(self._decoded(probs)), probs

    def _decoded(self, probs: Float[Tensor, "B C H W"]) -> UInt8[Tensor, "B H W"]:
        """Return label maps of the network's own classes."""
        prediction = self.head.decode(probs)
        if self.refine is not None:
            cleaned = [self.refine(one, self.classes) for one in prediction.cpu().numpy()]
            prediction = torch.from_numpy(np.stack(cleaned)).to(prediction.device)
        return prediction

    def _renamed(self, decoded: UInt8[Tensor, "B H W"]) -> UInt8[Tensor, "B H W"]:
        """Return label maps of the target's classes."""
        renamed: Tensor = self.rename[decoded.long()]  # type: ignore[index]
        return renamed

    def _count(self, prediction: UInt8[Tensor, "B H W"], batch: ValidationBatch) -> None:
        batch = batch._replace(seen=self._restrict(batch.seen), truth=self._restrict(batch.truth))
        self.dice.update(prediction, batch)
        self.surface.update(prediction, batch)

    def _restrict(self, batch: PartialLabelBatch) -> PartialLabelBatch:
        """Leave the classes that the network does not know out of every figure."""
        if bool(self.counted.all()):  # type: ignore[operator]
            return batch
        status = torch.where(self.counted, batch.status, UNKNOWN).to(torch.uint8)  # type: ignore[arg-type]
        label = self.visible[batch.label.long()]  # type: ignore[index]
        return batch._replace(label=label, status=derive_background(status))

    def on_test_epoch_end(self) -> None:
        """Keep the figures; the tables are read from ``dice`` and ``surface`` by the caller."""
        figures = self.dice.compute() | self.surface.compute()
        self.figures = {key: float(value) for key, value in figures.items()}


def confidence_of(decoded: UInt8[Tensor, "B H W"], probs: Float[Tensor, "B C H W"]) -> Float[Tensor, "B H W"]:
    """Return the probability of what was drawn, which a peak or the cleaning may have kept from the most probable."""
    return probs.gather(1, decoded[:, None].long())[:, 0]


def case_of(batch: ValidationBatch, row: int) -> ValidationBatch:
    """Return one case of a batch, as a batch of one."""
    seen, truth = (PartialLabelBatch(*(field[row : row + 1] for field in part)) for part in (batch.seen, batch.truth))
    return ValidationBatch(seen, truth, batch.volume[row : row + 1])
