"""How much a round of pseudo-labels covers, and how right it is where the truth is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from metrics.joint_histogram import count_pairs
from metrics.means import mean_over_classes, ratio
from partial_labels.batch import IGNORE, TEACHER, UNKNOWN, UNSURE, PartialLabelBatch

COUNTS = ("to_fill", "accepted", "present", "known", "false_present", "false_absent", "right", "given", "drawn")


@dataclass(frozen=True)
class ClassQuality:
    """One class of a round; a figure is NaN where nothing can be counted.

    Args:
        name: The class.
        to_fill: Cells that were shown as ``UNKNOWN``.
        accepted: ``TEACHER`` cells among them.
        present: ``TEACHER`` cells that hold a pixel of the class, and so assert it present.
        known: ``TEACHER`` cells whose truth is known; what follows is theirs.
        false_present: Cells that assert the class present where it is not.
        false_absent: Cells that assert the class absent where it is not.
        precision: Pixels rightly given to the class, of all that were given to it.
        dice: Dice of the pixels of all cells pooled.
    """

    name: str
    to_fill: int
    accepted: int
    present: int
    known: int
    false_present: int
    false_absent: int
    precision: float
    dice: float


@final
class PseudoQuality:
    """Counts the ``TEACHER`` cells of a round, batch by batch; nothing is kept of a case.

    ``UNSURE`` and ``IGNORE`` pixels of the pseudo-labels, and ``IGNORE`` pixels of the truth, are left out. At
    ``UNSURE`` pixels of the truth every class whose truth is known is absent.

    Args:
        class_names: All names in id order, the background first.
    """

    def __init__(self, class_names: Sequence[str]) -> None:
        self.class_names = tuple(class_names)
        self.counts = {name: np.zeros(len(class_names), dtype=np.int64) for name in COUNTS}
        self.cases = self.sure_pixels = self.pixels = 0

    def update(
        self,
        label: UInt8[Tensor, "B H W"],
        status: UInt8[Tensor, "B C"],
        shown: UInt8[Tensor, "B C"],
        truth: PartialLabelBatch,
    ) -> None:
        """Count completed cases.

        Args:
            label: As the next stage will see them.
            status: Likewise.
            shown: The status before completing.
            truth: The same cases as far as the experimenter knows them.
        """
        teacher = status == TEACHER
        known = teacher & truth.known
        right, drawn, given = self._areas(label, truth.label)
        self._add(to_fill=shown == UNKNOWN, accepted=teacher, present=teacher & (given > 0), known=known)
        self._add(false_present=known & (given > 0) & (drawn == 0), false_absent=known & (given == 0) & (drawn > 0))
        self._add(right=right * known, given=given * known, drawn=drawn * known)
        filled = label[teacher[:, 1:].any(dim=1)]
        self.cases += len(filled)
        self.sure_pixels += int((filled < UNSURE).sum())
        self.pixels += int((filled != IGNORE).sum())

    def _areas(self, label: UInt8[Tensor, "B H W"], truth: UInt8[Tensor, "B H W"]) -> tuple[Tensor, Tensor, Tensor]:
        """Return (B, C) each: pixels of the intersection, of the truth and of the pseudo-label."""
        sure = label < UNSURE
        pairs: Int64[Tensor, "B R C"] = count_pairs(
            torch.where(sure, truth, IGNORE).to(torch.uint8),
            torch.where(sure, label, 0).to(torch.uint8),
            len(self.class_names),
        )
        return pairs.diagonal(dim1=1, dim2=2), pairs[:, :-1].sum(dim=2), pairs.sum(dim=1)

    def _add(self, **cells: Tensor) -> None:
        for name, values in cells.items():
            self.counts[name] += values.sum(dim=0).cpu().numpy()

    def compute(self) -> dict[str, float]:
        """Return what can be counted.

        ``cells`` accepted, ``coverage`` (accepted / to fill), ``cases`` with an accepted cell, ``pixels`` (part of
        their pixels that is not ``UNSURE``); and where the truth is known ``precision`` (pixels rightly given to a
        class, of all given to any), ``dice`` (mean over classes) and, of each class, ``precision/<class>`` and
        ``dice/<class>``. The background is no class here.
        """
        total = {name: int(count[1:].sum()) for name, count in self.counts.items()}
        figures = {
            "cells": float(total["accepted"]),
            "coverage": quotient(total["accepted"], total["to_fill"]),
            "cases": float(self.cases),
            "pixels": quotient(self.sure_pixels, self.pixels),
            "precision": quotient(total["right"], total["given"]),
            "dice": mean_over_classes(np.array([row.dice for row in self.table()])),
        }
        for row in self.table():
            figures |= {f"precision/{row.name}": row.precision, f"dice/{row.name}": row.dice}
        return {name: value for name, value in figures.items() if not math.isnan(value)}

    def table(self) -> list[ClassQuality]:
        """Return one row for each class but the background."""
        right, given, drawn = (self.counts[name] for name in ("right", "given", "drawn"))
        columns = (
            *(self.counts[name] for name in COUNTS[:6]),
            ratio(right, given, given > 0),
            ratio(2 * right, given + drawn, given + drawn > 0),
        )
        rows = zip(*(column[1:].tolist() for column in columns), strict=True)
        return [ClassQuality(name, *row) for name, row in zip(self.class_names[1:], rows, strict=True)]


def quotient(part: int, whole: int) -> float:
    """Divide; NaN where there is nothing to divide by."""
    return part / whole if whole else math.nan
