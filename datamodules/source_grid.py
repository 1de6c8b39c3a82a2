"""The way back of an evaluation: from the stored grid to the grid that each slice had in its source."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules.case_writing import common_spacing
from datamodules.placement import Pair
from datamodules.stored_grid import StoredGrid
from partial_labels.batch import ValidationBatch
from partial_labels.case_store import CaseStore


@dataclass(frozen=True)
class SourceGrid:
    """The grids that the slices of a store came from.

    Args:
        store: The case store.
        grid: What its slices were brought to.
        spacing_mm: Side of a pixel (row, column) of the source's slices that say none of their own.
    """

    store: CaseStore
    grid: StoredGrid
    spacing_mm: Pair | None

    def spacings(self, native: bool) -> Pair | NDArray[np.float64] | None:
        """Return the side of a pixel (row, column) of all cases, or (N, 2) where they differ; None where not known.

        Args:
            native: Of the source grid instead of the stored one.
        """
        cases = self.store.cases
        if not native and self.store.header.spacing_mm is not None:
            return self.store.header.spacing_mm
        sides = [row.spacing_mm or self.spacing_mm for row in cases]
        if any(side is None for side in sides):
            return None
        spacing = np.array(sides, dtype=np.float64)
        if not native:
            places = [self.grid.place((row.height, row.width)) for row in cases]
            spacing *= np.array([place.source for place in places]) / [place.scaled for place in places]
        return common_spacing([(row, column) for row, column in spacing.tolist()]) or spacing

    def bring(self, probs: Tensor, case: ValidationBatch) -> tuple[Tensor, ValidationBatch]:
        """Bring the prediction (C, H, W) and the label of one case there.

        The label is the source's own, never resized; where the source's truth holds more, it is not known there.
        """
        number = int(case.seen.case_id)
        row = self.store.cases[number]
        label = torch.from_numpy(np.array(self.store.native_label(number)))[None].to(probs.device)
        seen = case.seen._replace(label=label)
        place = self.grid.place((row.height, row.width), row.spacing_mm or self.spacing_mm, row.name)
        return place.native(probs), case._replace(seen=seen, truth=seen)
