"""A trained network as a labeler: the best weights of a stage, run as its Trainer ran them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import final

import numpy as np
import pytorch_lightning as pl
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from callbacks.checkpoints import checkpoints_of
from partial_labels.agreement import Agreement
from partial_labels.batch import IGNORE, PartialLabelBatch
from partial_labels.confidence import case_scores, cell_scores, confident_labels
from partial_labels.errors import InputError
from partial_labels.head import Head
from partial_labels.pseudo_filters import PseudoTable


@final
class Labeler:
    """A network with its head, run as the Trainer runs it, without gradient.

    Args:
        network: Images in, logits out; on its device and in eval mode.
        head: Turns logits into probabilities.
        trainer: Gives device and precision.
    """

    def __init__(self, network: nn.Module, head: Head, trainer: pl.Trainer) -> None:
        self.network, self.head = network, head
        self.precision, self.device = trainer.precision_plugin, trainer.strategy.root_device

    @torch.no_grad()
    def probs(self, image: Float[Tensor, "B I H W"]) -> Float[Tensor, "B C H W"]:
        """Return class probabilities in fp32."""
        with self.precision.forward_context():
            logits = self.network(self.precision.convert_input(image))
        return self.head.probs(logits)

    def predict(self, image: Float[Tensor, "B I H W"]) -> UInt8[Tensor, "B H W"]:
        """Return the most probable class of each pixel."""
        return self.probs(image).argmax(dim=1).to(torch.uint8)

    def complete(
        self, seen: PartialLabelBatch, threshold: float, agreement: Agreement | None
    ) -> tuple[UInt8[np.ndarray, "B H W"], PseudoTable]:
        """Fill what nobody examined in a batch, and score it.

        Args:
            seen: The batch as it was shown.
            threshold: Least probability of a pixel's class; below it the pixel is ``UNSURE``.
            agreement: Measures the score ``agreement``; None for none.

        Returns:
            The completed labels, and the scores of each case and cell.
        """
        image, label, status = (field.to(self.device) for field in (seen.image, seen.label, seen.status))
        probs, valid = self.probs(image), label != IGNORE
        cells = cell_scores(probs, valid)
        scores = case_scores(probs, valid, cells)._asdict()
        if agreement is not None:
            prediction = probs.argmax(dim=1).to(torch.uint8)
            scores["agreement"] = agreement(self.predict, image, prediction, valid, probs.shape[1])
        label, _ = confident_labels(probs, label, status, threshold)
        arrays, measured = (
            {name: values.cpu().numpy() for name, values in found.items()} for found in (cells._asdict(), scores)
        )
        return label.cpu().numpy(), PseudoTable(seen.status.numpy(), **arrays, scores=measured)


@contextmanager
def weights_of(checkpoint: Path, module: pl.LightningModule, trainer: pl.Trainer) -> Iterator[None]:
    """Give a module the weights of a checkpoint, on the Trainer's device and in eval mode, and its own back afterwards.

    Lightning has moved the module to the CPU when a fit ends. The file is read as the run reads its checkpoints, which
    refuses a damaged one.
    """
    live = {name: value.detach().clone() for name, value in module.state_dict().items()}
    origin, training = module.device, module.training
    try:
        content = trainer.strategy.checkpoint_io.load_checkpoint(checkpoint, weights_only=True)
        module.load_state_dict(content["state_dict"])
        module.to(trainer.strategy.root_device).eval()
        yield
    finally:
        module.to(origin).train(training)
        module.load_state_dict(live)


def best_checkpoint(trainer: pl.Trainer) -> Path:
    """Return the stage's best checkpoint, or its last where nothing was monitored.

    Raises:
        InputError: If none was written.
    """
    checkpoints = checkpoints_of(trainer)
    found = checkpoints and checkpoints.best
    if found is None:
        raise InputError("pseudo-labels: the stage wrote no checkpoint to label with; give it at least one epoch")
    return found
