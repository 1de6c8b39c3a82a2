"""A second look at a round of pseudo-labels: rejected cells go, what remains is measured and drawn."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, fields

import numpy as np
import torch
from torch import Tensor

from callbacks.known_case import KnownCase
from metrics.pseudo_quality import ClassQuality, PseudoQuality
from partial_labels.batch import ValidationBatch
from partial_labels.case_store import CaseStore
from partial_labels.pseudo_filters import Bools, PseudoTable
from partial_labels.pseudo_writer import PseudoRoundWriter, completed_status, without_rejected
from reports.files import blank, write_rows
from reports.pictures.pseudo_panels import PseudoPanel, draw_pseudo_panels


def review(
    loader: Iterable[ValidationBatch],
    writer: PseudoRoundWriter,
    table: PseudoTable,
    accepted: Bools,
    store: CaseStore,
    panels: int,
) -> PseudoQuality:
    """Take rejected cells out of the labels, measure what remains in ``quality.csv`` and draw some of it.

    Args:
        loader: The cases that were filled, in the order of the round.
        writer: Holds the round's labels.
        table: The round's scores.
        accepted: Which cells the filters let through.
        store: The cases.
        panels: How many of the surest and of the least sure cases to draw.
    """
    labels, status = writer.labels(), completed_status(table.status, accepted)
    quality = PseudoQuality(store.classes.names)
    groups = cases_to_draw(table, accepted, panels)
    wanted = {row for rows in groups.values() for row in rows}
    drawn: dict[int, PseudoPanel] = {}
    start = 0
    for batch in loader:
        rows = slice(start, start := start + len(batch.seen.case_id))
        labels[rows] = without_rejected(labels[rows], table.status[rows], accepted[rows])
        done, known = torch.from_numpy(np.array(labels[rows])), torch.from_numpy(status[rows])
        quality.update(done, known, batch.seen.status, batch.truth)
        for row in wanted.intersection(range(rows.start, rows.stop)):
            score = float(table.score("foreground")[row])
            name = store.cases[int(batch.seen.case_id[row - rows.start])].name
            drawn[row] = panel_of(batch, row - rows.start, name, score, done, known)
    if drawn:
        titled = {title: [drawn[row] for row in rows] for title, rows in groups.items()}
        draw_pseudo_panels(titled, store.classes, writer.folder / "panels.png")
    names = [field.name for field in fields(ClassQuality)]
    write_rows(writer.folder / "quality.csv", names, (map(blank, astuple(row)) for row in quality.table()))
    return quality


def cases_to_draw(table: PseudoTable, accepted: Bools, panels: int) -> dict[str, list[int]]:
    """Return rows of the surest cases and of the least sure, of those in which a class was found and accepted."""
    found = np.flatnonzero((accepted & table.present).any(axis=1))
    order = found[np.argsort(-table.score("foreground")[found], kind="stable")].tolist()
    first, rest = order[:panels], order[panels:]
    groups = {"surest": first, "least sure of those accepted": rest[::-1][:panels]}
    return {title: rows for title, rows in groups.items() if rows}


def panel_of(batch: ValidationBatch, row: int, name: str, score: float, label: Tensor, status: Tensor) -> PseudoPanel:
    """Return a case of a batch as something to draw, with its completed label and status."""
    case = KnownCase.of(batch, row)
    return PseudoPanel(
        name=name,
        score=score,
        image=case.image,
        shown=case.label,
        label=label[row].numpy(),
        status=status[row].numpy(),
        truth=case.truth,
    )
