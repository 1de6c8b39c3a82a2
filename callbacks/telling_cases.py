"""Pictures of the cases that a network does worst, and of those it does middling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from jaxtyping import UInt8
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from callbacks.known_case import panel_of
from metrics.partial_dice import CaseDice
from partial_labels.batch import ValidationBatch
from reports.pictures.case_gallery import write_gallery
from reports.pictures.panels import Panel


class TellingCases(Callback):
    """At the end of an evaluation: the folder ``cases`` with the worst cases and those around the median.

    Cases are ranked by the mean Dice of their countable classes. The few that are shown are predicted once more, for
    which they are is known only at the end, and keeping every prediction would take memory with every case.

    Args:
        output: Folder in which ``cases`` is made.
        worst: How many of the worst.
        median: How many around the median.
    """

    def __init__(self, output: str, worst: int = 4, median: int = 2) -> None:
        if worst < 0 or median < 0:
            raise ValueError(f"worst={worst}, median={median}: must be 0 or more")
        self.output, self.worst, self.median = Path(output), worst, median

    def on_test_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Choose the cases, predict them and draw them."""
        dice = pl_module.dice.per_case()
        if not trainer.is_global_zero:
            return
        dataset: Any = trainer.test_dataloaders.dataset  # type: ignore[union-attr]
        cases = []
        for case, kind in chosen(dice, self.worst, self.median).items():
            mine = dice.case_id == case
            by_class = dict(zip(dice.class_id[mine].tolist(), dice.dice[mine].tolist(), strict=True))
            cases.append((kind, self._panel(trainer, pl_module, dataset, case), by_class))
        write_gallery(cases, pl_module.target, self.output / "cases")

    def _panel(self, trainer: pl.Trainer, pl_module: Any, dataset: Any, case: int) -> Panel:
        """Predict a case as it was evaluated."""
        place = next(i for i, ids in enumerate(dataset.batches) if case in ids)
        batch: ValidationBatch = dataset[place]
        row = int(np.flatnonzero(dataset.batches[place] == case)[0])
        with trainer.precision_plugin.forward_context():
            prediction: UInt8[Tensor, "1 H W"] = pl_module.predict(batch.seen.image[row, None].to(pl_module.device))[0]
        return panel_of(batch, row, str(dataset.store.cases[case].name), prediction[0])


def chosen(dice: CaseDice, worst: int, median: int) -> dict[int, str]:
    """Return {case: ``worst`` or ``median``}, the worst first, each once; of equals those with more classes.

    Args:
        dice: The Dice of each countable (slice, class).
        worst: How many of the lowest mean.
        median: How many around the middle of the others.
    """
    cases, place = np.unique(dice.case_id, return_inverse=True)
    count = np.bincount(place)
    order = cases[np.lexsort((-count, np.bincount(place, dice.dice) / count))].tolist()
    start = max(len(order) // 2 - median // 2, min(worst, len(order)))
    return dict.fromkeys(order[:worst], "worst") | dict.fromkeys(order[start : start + median], "median")
