"""How far the predicted outline lies from the drawn one: HD95 and NSD, at test time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from metrics.means import Bools, Floats, mean_over_cases, mean_over_classes
from partial_labels.batch import HUMAN, IGNORE, ValidationBatch

Spacing = tuple[float, float] | Floats | None
ROUNDING = 1e-5
"""MONAI's distances are float32; an outline exactly at the tolerance must not fall out by rounding."""


class SurfaceMetrics(Metric):
    """95 % Hausdorff distance and normalised surface Dice, per slice and class over the cells that a human examined.

    HD95 is the larger of the two directed 95th percentiles of the distances between the outlines, NSD the part of
    both outlines that lies within a tolerance of the other (Nikolov et al., JMIR 2021, arXiv:1809.04430). Outlines are
    pixels of the mask that touch its outside; distances run between pixel centres (MONAI). ``IGNORE`` pixels belong
    to no mask.

    The rule for absent classes: where label and prediction are both empty, the slice does not count; where exactly one
    is, HD95 is the diagonal of the image and NSD is 0. Means run over slices, then over classes; a case that a sampler
    repeated counts once.

    Args:
        class_names: All names in id order, the background first.
        spacing_mm: Side of a pixel (row, column), or (N, 2) with the sides for each row of the case table. ``None``
            where it is unknown: distances are then in pixels and the key is ``hd95_px`` instead of ``hd95_mm``.
        tolerance_mm: Of NSD where the spacing is known; 3 mm is what whole-body CT sets report.
        tolerance_px: Of NSD where it is not.
    """

    is_differentiable = False
    full_state_update = False

    case_id: list[Tensor]
    hd95: list[Tensor]
    nsd: list[Tensor]

    def __init__(
        self,
        class_names: Sequence[str],
        spacing_mm: Spacing = None,
        tolerance_mm: float = 2.0,
        tolerance_px: float = 1.0,
    ) -> None:
        super().__init__()
        if len(class_names) < 2:
            raise ValueError(f"class_names={list(class_names)}: the background and at least one class are needed")
        sides = np.array([[1.0, 1.0]]) if spacing_mm is None else np.array(spacing_mm, dtype=np.float64).reshape(-1, 2)
        wrong = sides[~((sides > 0) & (sides < math.inf)).all(axis=1)]
        if len(wrong):
            raise ValueError(f"spacing_mm={tuple(wrong[0].tolist())}: both sides must be positive")
        if not (0 <= tolerance_mm < math.inf and 0 <= tolerance_px < math.inf):
            raise ValueError(f"tolerance_mm={tolerance_mm}, tolerance_px={tolerance_px}: must be finite, 0 or more")
        self.class_names = tuple(class_names)
        self.unit = "px" if spacing_mm is None else "mm"
        self.sides = sides
        self.tolerance = tolerance_px if spacing_mm is None else tolerance_mm
        for name in ("case_id", "hd95", "nsd"):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(self, prediction: UInt8[Tensor, "B H W"], batch: ValidationBatch) -> None:
        """Measure one batch.

        Args:
            prediction: Label map of the network.
            batch: The slices; what was shown is what counts.

        Raises:
            ValueError: If label and prediction differ in shape.
        """
        if prediction.shape != batch.seen.label.shape:
            raise ValueError(f"label {tuple(batch.seen.label.shape)}, prediction {tuple(prediction.shape)}: not alike")
        label = batch.seen.label.cpu().numpy()
        predicted = np.where(label == IGNORE, 0, prediction.cpu().numpy())
        hd95 = np.full((len(label), len(self.class_names) - 1), np.nan)
        nsd = hd95.copy()
        for image, number in np.argwhere(batch.seen.status[:, 1:].cpu().numpy() == HUMAN):
            drawn, found = label[image] == number + 1, predicted[image] == number + 1
            if drawn.any() or found.any():
                case = int(batch.seen.case_id[image]) if len(self.sides) > 1 else 0
                hd95[image, number], nsd[image, number] = self._measure(drawn, found, self.sides[case])
        self.case_id.append(batch.seen.case_id)
        self.hd95.append(torch.from_numpy(hd95).to(prediction.device, torch.float32))
        self.nsd.append(torch.from_numpy(nsd).to(prediction.device, torch.float32))

    def _measure(self, drawn: Bools, found: Bools, sides: Floats) -> tuple[float, float]:
        """Return HD95 and NSD of two masks (H, W) of which at least one is not empty."""
        row, column = float(sides[0]), float(sides[1])
        if not (drawn.any() and found.any()):
            height, width = drawn.shape
            return math.hypot(height * row, width * column), 0.0
        there, back = outline_distances(drawn, found, (row, column))
        hd95 = max(float(np.percentile(there, 95)), float(np.percentile(back, 95)))
        within = np.concatenate([there, back]) <= self.tolerance * (1 + ROUNDING)
        return hd95, float(within.mean())

    def compute(self) -> dict[str, Tensor]:
        """Return ``hd95_mm`` (or ``hd95_px``) and ``nsd``, and both per class (``nsd/<class>``), as float64 scalars.

        They lie on the CPU and are NaN where no class has a countable case; such classes have no key.
        """
        _, first = np.unique(dim_zero_cat(self.case_id).cpu().numpy(), return_index=True)
        figures: dict[str, float] = {}
        for key, state in ((f"hd95_{self.unit}", self.hd95), ("nsd", self.nsd)):
            cases: Floats = dim_zero_cat(state).cpu().numpy().astype(np.float64)[first]
            means = mean_over_cases(cases)
            figures[key] = mean_over_classes(means)
            named = zip(self.class_names[1:], means.tolist(), strict=True)
            figures |= {f"{key}/{name}": value for name, value in named if not math.isnan(value)}
        return {name: torch.tensor(value, dtype=torch.float64) for name, value in figures.items()}


def outline_distances(drawn: Bools, found: Bools, spacing: tuple[float, float]) -> tuple[Floats, Floats]:
    """Return for each pixel of one outline how near the other is, from ``drawn`` to ``found`` and back.

    MONAI's ``compute_hausdorff_distance`` and ``compute_surface_dice`` each do this anew and warn of an argument of
    their own; these are the two steps they are made of, done once, in a box that is found four times faster. The
    import takes seconds and is needed at test time only.

    Args:
        drawn: (H, W), not empty.
        found: (H, W), not empty.
        spacing: Side of a pixel (row, column), any unit.
    """
    from monai.metrics.utils import get_mask_edges, get_surface_distance

    either = drawn | found
    rows, columns = np.flatnonzero(either.any(axis=1)), np.flatnonzero(either.any(axis=0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    found_edge, drawn_edge = get_mask_edges(found[box], drawn[box], crop=False)
    there = get_surface_distance(drawn_edge, found_edge, spacing=spacing)
    back = get_surface_distance(found_edge, drawn_edge, spacing=spacing)
    return np.asarray(there, dtype=np.float64), np.asarray(back, dtype=np.float64)
