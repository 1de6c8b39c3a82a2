"""Test-time augmentation: one network looks at several views of an image, and its answers are averaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from augment.draws import Draws
from augment.intensity import IntensityOp
from augment.mirror import MirrorRule
from augment.warp import resting_points, sampling_grid
from partial_labels.errors import InputError

Predict = Callable[[Tensor], Tensor]
"""Images (B, I, H, W) to probabilities (B, C, H, W)."""
INSIDE = 0.999
"""Least share of a pixel that a turned or zoomed view must have seen for its answer to count there."""


@final
class TestTimeViews:
    """The image as it is, and one more view for each change that is listed; changes are not combined.

    A turned or zoomed view is turned back before averaging and counts only where it saw the image. A mirrored view
    exchanges left and right in its answer, and needs to know along which axis they lie.

    Args:
        rotations_deg: Angles, degrees; small ones, since a network has seen no others.
        scales: Zooms; above 1 structures grow.
        intensity: Changes of the grey values, each with ``probability`` 1 and one strength (``low`` = ``high``).
        mirror: Whether to look at the mirror image, too.

    Raises:
        ValueError: If a zoom is not positive, or a grey-value change is left to chance.
    """

    __test__ = False  # pytest takes the name for a test's

    def __init__(
        self,
        rotations_deg: Sequence[float] = (),
        scales: Sequence[float] = (),
        intensity: Sequence[IntensityOp] = (),
        mirror: bool = False,
    ) -> None:
        if any(not 0.2 <= scale <= 5 for scale in scales):
            raise ValueError(f"scales={list(scales)}: each must lie in [0.2, 5]")
        for change in intensity:
            if change.probability < 1 or change.low != change.high:
                name = type(change).__name__
                raise ValueError(f"intensity={name}: a view is not drawn; give probability=1 and low equal to high")
        self.moves = [(angle, 1.0) for angle in rotations_deg] + [(0.0, scale) for scale in scales]
        self.intensity, self.mirror = list(intensity), mirror

    def __len__(self) -> int:
        return 1 + len(self.moves) + len(self.intensity) + self.mirror

    def check(self, rule: MirrorRule) -> None:
        """Refuse mirrors where the axis or the pairs of sides are not known.

        Raises:
            InputError: With what to set.
        """
        if self.mirror and rule.forbidden:
            raise InputError(
                "tta.mirror=true: the classes have no left/right pairs, or the run's data do not say along which axis "
                "left and right lie; set tta.mirror=false"
            )

    def average(self, predict: Predict, image: Float[Tensor, "B I H W"], rule: MirrorRule) -> Float[Tensor, "B C H W"]:
        """Return the mean of the answers, pixel by pixel.

        Args:
            predict: The network with its head.
            image: Intensities in [0, 1].
            rule: How a mirror acts on the network's classes; see :meth:`check`.
        """
        total, seen = predict(image), torch.ones_like(image[:, :1])
        draws = Draws(0, 0, 0, torch.arange(len(image)), len(image))
        for change in self.intensity:
            total, seen = total + predict(change(image, draws)), seen + 1
        if self.mirror:
            total, seen = total + mirrored(predict, image, rule), seen + 1
        for angle_deg, scale in self.moves:
            there, back = (turn(a, s, image) for a, s in ((angle_deg, scale), (-angle_deg, 1 / scale)))
            inside = look(look(torch.ones_like(image[:, :1]), there), back) > INSIDE
            total, seen = total + look(predict(look(image, there)), back) * inside, seen + inside
        return total / seen


def mirrored(predict: Predict, image: Float[Tensor, "B I H W"], rule: MirrorRule) -> Float[Tensor, "B C H W"]:
    """Return the answer to the mirror image, turned back, with left and right exchanged."""
    dim = -2 if rule.axis == "rows" else -1
    return predict(image.flip(dim)).flip(dim)[:, list(rule.swap)]


def turn(angle_deg: float, scale: float, image: Float[Tensor, "B I H W"]) -> Float[Tensor, "B H W 2"]:
    """Return where each pixel of the view looks in the image: about the centre, pixels taken as square."""
    height, width = image.shape[-2:]
    x, y = resting_points(height, width, 1)
    angle = torch.tensor(angle_deg).deg2rad()
    cos, sin = angle.cos() / scale, angle.sin() / scale
    control = torch.stack([cos * x + sin * y, cos * y - sin * x])[None]
    return sampling_grid(control, height, width, image.device).movedim(1, -1).expand(len(image), -1, -1, -1)


def look(values: Float[Tensor, "B K H W"], grid: Float[Tensor, "B H W 2"]) -> Float[Tensor, "B K H W"]:
    """Look values up between pixels, 0 beyond the frame."""
    grid = grid.to(torch.promote_types(grid.dtype, values.dtype))  # places in half precision would be off by pixels
    return F.grid_sample(values, grid, mode="bilinear", padding_mode="zeros", align_corners=True)
