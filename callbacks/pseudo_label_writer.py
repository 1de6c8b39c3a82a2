"""Labels what nobody examined, when the teacher's stage is over."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, final

import numpy as np
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from callbacks.labeler import Labeler, best_checkpoint, weights_of
from callbacks.pseudo_review import review
from partial_labels.agreement import Agreement
from partial_labels.array_file import sha256
from partial_labels.case_store import CaseStore
from partial_labels.confidence import checked_threshold
from partial_labels.errors import InputError
from partial_labels.pseudo_filters import Filter, PseudoTable, TopKCases, accepted_cells
from partial_labels.pseudo_store import RoundHeader
from partial_labels.pseudo_writer import PseudoRoundWriter

log = logging.getLogger(__name__)


@final
class PseudoLabelWriter(Callback):
    """At the end of its stage, lets the best weights label the cases to fill, and writes one round.

    The network sees every case once and its labels go to disk as they come; the filters then decide on the small table
    of scores, and a second pass over the labels takes out what they rejected and measures the rest. Memory does not
    grow with the size of the images. The round is there whole or not at all, beside it ``quality.csv`` and
    ``panels.png`` in its folder, and the figures of :class:`metrics.pseudo_quality.PseudoQuality` go to the loggers
    under ``pseudo/``.

    Args:
        output: Folder of the round, ``RUN/pseudo/<stage>``.
        threshold: Least probability of a pixel's class, in (0, 1]; below it the pixel is ``UNSURE``.
        filters: Reject cells, applied in this order; an entry that is null is passed over.
        complete_labeled: Fill the unexamined classes of labeled cases too.
        weight: Weight of the ``TEACHER`` cells in the losses, above 0; human cells weigh 1.
        agreement: Measures the score ``agreement``; null for none, since it costs several passes.
        panels: How many of the surest and of the least sure cases to draw; 0 for no picture.

    Raises:
        ValueError: If a value leaves its range, or a filter asks for a score that is not measured.
    """

    def __init__(
        self,
        output: str,
        threshold: float,
        filters: Mapping[str, Filter | None] | None = None,
        complete_labeled: bool = False,
        weight: float = 1.0,
        agreement: Agreement | None = None,
        panels: int = 3,
    ) -> None:
        if not 0 < weight < float("inf"):
            raise ValueError(f"weight={weight}: must be above 0")
        if panels < 0:
            raise ValueError(f"panels={panels}: must not be negative")
        self.output, self.threshold = Path(output), checked_threshold(threshold)
        self.filters = {name: one for name, one in (filters or {}).items() if one is not None}
        for name, one in self.filters.items():
            if isinstance(one, TopKCases) and one.score == "agreement" and agreement is None:
                raise ValueError(f"filters.{name}.score=agreement: it is only measured where agreement is set")
        self.complete_labeled, self.weight = complete_labeled, weight
        self.agreement, self.panels = agreement, panels

    def on_fit_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Write the round, in the first process; the others wait for it."""
        if trainer.is_global_zero:
            checkpoint = best_checkpoint(trainer)
            with weights_of(checkpoint, pl_module, trainer):
                self._write(trainer, pl_module, checkpoint)
        trainer.strategy.barrier("pseudo-labels")

    def _write(self, trainer: pl.Trainer, pl_module: Any, checkpoint: Path) -> None:
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        store: CaseStore = data.opened
        loader = data.filling_loader(self.complete_labeled)
        teacher = Labeler(pl_module.monitored, pl_module.head, trainer)
        with PseudoRoundWriter(self.output, store.header.size, len(store.classes)) as writer:
            for batch in loader:
                filled = teacher.complete(batch.seen, self.threshold, self.agreement)
                writer.add(batch.seen.case_id.numpy(), *filled)
            table = checked(writer, checkpoint)
            accepted = accepted_cells(table, self.filters)
            quality = review(loader, writer, table, accepted, store, self.panels)
            names = [store.cases[case].name for case in np.concatenate(writer.case_ids).tolist()]
            header = self._header(trainer, pl_module, checkpoint, store)
            writer.finish(header, names, accepted, self.weight)
        self._report(trainer, quality.compute(), len(names))

    def _header(self, trainer: pl.Trainer, pl_module: Any, checkpoint: Path, store: CaseStore) -> RoundHeader:
        return RoundHeader(
            classes=store.classes.names,
            store=store.header.fingerprint,
            stage=self.output.name,
            network=pl_module.monitored_name,
            checkpoint=os.path.relpath(checkpoint, trainer.default_root_dir),
            checkpoint_sha256=sha256(checkpoint),
            seed=trainer.datamodule.seed,  # type: ignore[attr-defined]
            threshold=self.threshold,
            filters={name: one.to_json() for name, one in self.filters.items()},
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        )

    def _report(self, trainer: pl.Trainer, figures: dict[str, float], num_cases: int) -> None:
        """Hand the figures to the loggers and say the most important ones."""
        step = trainer.fit_loop.epoch_loop._batches_that_stepped
        for logger in trainer.loggers:
            logger.log_metrics({f"pseudo/{name}": value for name, value in figures.items()}, step=step)
            logger.save()
        known = [f"{name} {figures[name]:.3f}" for name in ("precision", "dice") if name in figures]
        shares = f"{figures['cases']:.0f} of {num_cases} cases, {figures['coverage']:.1%} of the cells to fill"
        log.info("pseudo-labels in %s: %s", self.output, ", ".join([shares, *known]))
        if not figures["cells"]:
            log.warning("pseudo-labels: every cell was rejected; loosen pseudo.filters")


def checked(writer: PseudoRoundWriter, checkpoint: Path) -> PseudoTable:
    """Return the table of scores.

    Raises:
        InputError: If there is nothing to fill, or the network gave something that is no probability.
    """
    if not writer.tables:
        raise InputError(
            "pseudo-labels: no training case has a cell to fill; hide some labels (data.labeled_groups=), "
            "or set pseudo.complete_labeled=true"
        )
    table = writer.table()
    if not np.isfinite(table.peak).all():
        raise InputError(f"{checkpoint}: its probabilities are not finite; try a lower optimizer.lr")
    return table
