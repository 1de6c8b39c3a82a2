"""Labels what nobody examined, when the teacher's stage is over."""

from __future__ import annotations

import csv
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import astuple, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, final

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from callbacks.labeler import Labeler, best_checkpoint, weights_of
from metrics.pseudo_quality import ClassQuality, PseudoQuality
from partial_labels.agreement import Agreement
from partial_labels.array_file import sha256
from partial_labels.batch import IGNORE, PartialLabelBatch, ValidationBatch
from partial_labels.case_store import CaseStore
from partial_labels.confidence import case_scores, cell_scores, checked_threshold, confident_labels
from partial_labels.errors import InputError
from partial_labels.pseudo_filters import Bools, Filter, PseudoTable, TopKCases, accepted_cells
from partial_labels.pseudo_store import RoundHeader
from partial_labels.pseudo_writer import PseudoRoundWriter, completed_status, without_rejected
from reports.pseudo_panels import PseudoPanel, draw_pseudo_panels

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
                writer.add(batch.seen.case_id.numpy(), *self._complete(teacher, batch.seen))
            table = checked(writer, checkpoint)
            accepted = accepted_cells(table, self.filters)
            quality = self._review(loader, writer, table, accepted, store)
            write_quality(quality, writer.folder / "quality.csv")
            names = [store.cases[case].name for case in np.concatenate(writer.case_ids).tolist()]
            header = self._header(trainer, pl_module, checkpoint, store)
            writer.finish(header, names, accepted, self.weight)
        self._report(trainer, quality.compute(), len(names))

    def _complete(self, teacher: Labeler, seen: PartialLabelBatch) -> tuple[NDArray[np.uint8], PseudoTable]:
        """Return completed labels and the scores of a batch."""
        image, label, status = (field.to(teacher.device) for field in (seen.image, seen.label, seen.status))
        probs, valid = teacher.probs(image), label != IGNORE
        cells = cell_scores(probs, valid)
        scores = case_scores(probs, valid, cells)._asdict()
        if self.agreement is not None:
            prediction = probs.argmax(dim=1).to(torch.uint8)
            scores["agreement"] = self.agreement(teacher.predict, image, prediction, valid, probs.shape[1])
        label, _ = confident_labels(probs, label, status, self.threshold)
        arrays = {name: values.cpu().numpy() for name, values in cells._asdict().items()}
        measured = {name: values.cpu().numpy() for name, values in scores.items()}
        return label.cpu().numpy(), PseudoTable(seen.status.numpy(), **arrays, scores=measured)

    def _review(
        self,
        loader: Iterable[ValidationBatch],
        writer: PseudoRoundWriter,
        table: PseudoTable,
        accepted: Bools,
        store: CaseStore,
    ) -> PseudoQuality:
        """Take rejected cells out of the labels, measure what remains and draw some of it."""
        labels, status = writer.labels(), completed_status(table.status, accepted)
        quality = PseudoQuality(store.classes.names)
        groups = self._cases_to_draw(table, accepted)
        wanted = {row for rows in groups.values() for row in rows}
        panels: dict[int, PseudoPanel] = {}
        start = 0
        for batch in loader:
            rows = slice(start, start := start + len(batch.seen.case_id))
            labels[rows] = without_rejected(labels[rows], table.status[rows], accepted[rows])
            done, known = torch.from_numpy(np.array(labels[rows])), torch.from_numpy(status[rows])
            quality.update(done, known, batch.seen.status, batch.truth)
            for row in wanted.intersection(range(rows.start, rows.stop)):
                score = float(table.score("foreground")[row])
                name = store.cases[int(batch.seen.case_id[row - rows.start])].name
                panels[row] = panel_of(batch, row - rows.start, name, score, done, known)
        if panels:
            drawn = {title: [panels[row] for row in rows] for title, rows in groups.items()}
            draw_pseudo_panels(drawn, store.classes, writer.folder / "panels.png")
        return quality

    def _cases_to_draw(self, table: PseudoTable, accepted: Bools) -> dict[str, list[int]]:
        """Return rows of the surest cases and of the least sure, of those in which a class was found and accepted."""
        found = np.flatnonzero((accepted & table.present).any(axis=1))
        order = found[np.argsort(-table.score("foreground")[found], kind="stable")].tolist()
        first, rest = order[: self.panels], order[self.panels :]
        groups = {"surest": first, "least sure of those accepted": rest[::-1][: self.panels]}
        return {title: rows for title, rows in groups.items() if rows}

    def _header(self, trainer: pl.Trainer, pl_module: Any, checkpoint: Path, store: CaseStore) -> RoundHeader:
        network = next(name for name, child in pl_module.named_modules() if child is pl_module.monitored)
        return RoundHeader(
            classes=store.classes.names,
            store=store.header.fingerprint,
            stage=self.output.name,
            network=network,
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


def panel_of(batch: ValidationBatch, row: int, name: str, score: float, label: Tensor, status: Tensor) -> PseudoPanel:
    """Return what to draw of a case of a batch, the truth only where it knows more than was shown."""
    more = not torch.equal(batch.truth.status[row], batch.seen.status[row])
    return PseudoPanel(
        name=name,
        score=score,
        image=batch.seen.image[row, 0].numpy(),
        shown=batch.seen.label[row].numpy(),
        label=label[row].numpy(),
        status=status[row].numpy(),
        truth=batch.truth.label[row].numpy() if more else None,
    )


def write_quality(quality: PseudoQuality, path: Path) -> None:
    """Write one row a class; a figure that could not be counted is an empty cell."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(field.name for field in fields(ClassQuality))
        writer.writerows(["" if value != value else value for value in astuple(row)] for row in quality.table())
