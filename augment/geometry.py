"""Random geometry: image and label of a batch moved together, in one resampling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from augment.draws import Draws, send
from augment.mirror import MirrorRule
from augment.warp import MAX_BEND, resample, resting_points, sampling_grid
from partial_labels.batch import PartialLabelBatch
from partial_labels.errors import InputError


@final
class RandomGeometry:
    """Bends, zooms, turns, shifts and mirrors; an image that drew none of it comes back bit for bit.

    The bend is a cubic B-spline on a coarse grid of control points (Rueckert et al., Nonrigid registration using
    free-form deformations, IEEE TMI 1999). B-splines reproduce affine maps exactly, so zoom, turn and shift are applied
    to the few control points, and one small matrix product per axis gives the sampling grid of the whole. Pixels are
    taken as square, and what comes in over a border is ``IGNORE``.

    Args:
        rotation_deg: Largest angle to either side, degrees.
        rotation_probability: Of turning an image about its centre, in [0, 1].
        scale: Smallest and largest zoom; above 1 structures grow.
        scale_probability: Of zooming.
        shift: Largest shift to either side, per axis, part of the image's side.
        shift_probability: Of shifting.
        elastic: Largest movement of a control point, per axis, part of the image's side.
        elastic_cells: Cells of the control grid per axis; fewer bend more gently.
        elastic_probability: Of bending.
        mirror: Probability of a left/right mirror.

    Raises:
        ValueError: If a value leaves its range, or the bend could fold the image over itself.
    """

    def __init__(
        self,
        rotation_deg: float = 15.0,
        rotation_probability: float = 0.5,
        scale: Sequence[float] = (0.85, 1.15),
        scale_probability: float = 0.5,
        shift: float = 0.05,
        shift_probability: float = 0.5,
        elastic: float = 0.04,
        elastic_cells: int = 4,
        elastic_probability: float = 0.3,
        mirror: float = 0.0,
    ) -> None:
        probabilities = (rotation_probability, scale_probability, shift_probability, elastic_probability, mirror)
        if any(not 0 <= p <= 1 for p in probabilities):
            raise ValueError(f"probabilities {probabilities} must lie in [0, 1]")
        if not 0 <= rotation_deg <= 180:
            raise ValueError(f"rotation_deg={rotation_deg} must lie in [0, 180]")
        if len(scale) != 2 or not 0 < scale[0] <= scale[1]:
            raise ValueError(f"scale={list(scale)} must be two zooms above 0, the smaller first")
        if not 0 <= shift < 1:
            raise ValueError(f"shift={shift} must lie in [0, 1)")
        if elastic_cells < 1 or not 0 <= elastic * elastic_cells <= MAX_BEND:
            raise ValueError(
                f"elastic={elastic} with elastic_cells={elastic_cells} could fold the image over itself; "
                f"elastic * elastic_cells must lie in [0, {MAX_BEND}]"
            )
        self.rotation_deg, self.rotation_probability = rotation_deg, rotation_probability
        self.scale, self.scale_probability = scale, scale_probability
        self.shift, self.shift_probability = shift, shift_probability
        self.elastic, self.elastic_cells, self.elastic_probability = elastic, elastic_cells, elastic_probability
        self.mirror = mirror

    def __call__(self, batch: PartialLabelBatch, draws: Draws, mirror_rule: MirrorRule) -> PartialLabelBatch:
        """Return the moved batch; the one given stays as it is.

        Raises:
            InputError: See :meth:`check`.
        """
        self.check(mirror_rule)
        return self._warp(self._mirror(batch, draws, mirror_rule), draws)

    def check(self, mirror_rule: MirrorRule) -> None:
        """Refuse mirrors where the data set forbids them.

        Raises:
            InputError: With what to set.
        """
        if self.mirror > 0 and mirror_rule.forbidden:
            raise InputError(
                f"augmentation: mirror={self.mirror}, but the data set has no left/right class pairs or does not say "
                "along which axis left and right lie; set mirror=0"
            )

    def _mirror(self, batch: PartialLabelBatch, draws: Draws, rule: MirrorRule) -> PartialLabelBatch:
        chosen = send(draws.chance(self.mirror).nonzero()[:, 0], batch.image.device)
        if not len(chosen):
            return batch
        mirrored = rule.apply(PartialLabelBatch(*(values[chosen] for values in batch)))
        return PartialLabelBatch(*(old.index_copy(0, chosen, new) for old, new in zip(batch, mirrored, strict=True)))

    def _warp(self, batch: PartialLabelBatch, draws: Draws) -> PartialLabelBatch:
        height, width = batch.image.shape[-2:]
        control = self.control_points(height, width, draws)
        rest = resting_points(height, width, self.elastic_cells)
        moved = (control != rest).flatten(1).any(dim=1).nonzero()[:, 0]
        if not len(moved):
            return batch
        grid = sampling_grid(control[moved], height, width, batch.image.device)
        moved = send(moved, batch.image.device)
        image, label = resample(batch.image[moved], batch.label[moved], grid)
        return batch._replace(
            image=batch.image.index_copy(0, moved, image), label=batch.label.index_copy(0, moved, label)
        )

    def control_points(self, height: int, width: int, draws: Draws) -> Float[Tensor, "b 2 K K"]:
        """Draw a map per image: where its control points look, as (x, y) offsets in pixels from the image's centre."""
        side = torch.tensor([width - 1, height - 1])[:, None, None]
        points = self.elastic_cells + 3

        bends = draws.chance(self.elastic_probability)[:, None, None, None]
        bend = torch.where(bends, draws.uniform(-self.elastic, self.elastic, 2, points, points), 0.0)
        zooms = draws.chance(self.scale_probability)[:, None, None]
        zoom = torch.where(zooms, draws.log_uniform(self.scale[0], self.scale[1], 1, 1), 1.0)
        turns = draws.chance(self.rotation_probability)[:, None, None]
        angle = torch.where(turns, draws.uniform(-self.rotation_deg, self.rotation_deg, 1, 1), 0.0).deg2rad()
        shifts = draws.chance(self.shift_probability)[:, None, None, None]
        shift = torch.where(shifts, draws.uniform(-self.shift, self.shift, 2, 1, 1), 0.0)

        x, y = (resting_points(height, width, self.elastic_cells) + bend * side).unbind(dim=1)
        cos, sin = angle.cos() / zoom, angle.sin() / zoom
        return torch.stack([cos * x + sin * y, cos * y - sin * x], dim=1) - shift * side
