"""Changes of the grey values; labels are never touched.

The I channels of an image, several windows of one scan, are changed alike: a strength, or the place of a rectangle, is
drawn once an image. Means are each channel's own, and so is the noise.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar, Literal, final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from augment.draws import Draws, send


class IntensityOp(ABC):
    """One change of a random strength, applied to each image with some probability; what leaves [0, 1] is clamped.

    Args:
        probability: Of changing an image, in [0, 1].
        low: Least strength; what it measures is said by the subclass.
        high: Greatest strength.

    Raises:
        ValueError: If the probability leaves [0, 1], or the strengths their range or order.
    """

    least: ClassVar[float]
    """Below this no strength makes sense."""

    def __init__(self, probability: float, low: float, high: float) -> None:
        name = type(self).__name__
        if not 0 <= probability <= 1:
            raise ValueError(f"{name}: probability={probability} must lie in [0, 1]")
        if not self.least <= low <= high < math.inf:
            raise ValueError(f"{name}: low={low}, high={high} must be in order and at least {self.least:g}")
        self.probability, self.low, self.high = probability, low, high

    def __call__(self, image: Float[Tensor, "B I H W"], draws: Draws) -> Float[Tensor, "B I H W"]:
        """Return the images, the chosen ones changed; those given stay as they are."""
        chosen, draws = draws.choose(self.probability)
        chosen = send(chosen, image.device)
        # The strong view is made inside the training step, where autocast would turn a blur into half precision.
        with torch.autocast(image.device.type, enabled=False):
            changed = self.change(image[chosen], draws).clamp_(0, 1)
        return image.index_copy(0, chosen, changed) if len(chosen) else image

    @abstractmethod
    def change(self, image: Float[Tensor, "n I H W"], draws: Draws) -> Float[Tensor, "n I H W"]:
        """Change every image given, all copies; what is drawn must be drawn for n = 0 too (see :class:`Draws`)."""


@final
class Gamma(IntensityOp):
    """Raise to a power drawn log-uniformly from [low, high]: windows and scanners differ in more than a scale."""

    least = 0.001

    def change(self, image: Float[Tensor, "n I H W"], draws: Draws) -> Float[Tensor, "n I H W"]:
        """Apply it; 0 and 1 stay where they are."""
        return image.pow(per_image(draws.log_uniform(self.low, self.high), image))


@final
class Contrast(IntensityOp):
    """Scale the distance to the image's mean by a factor drawn log-uniformly from [low, high]."""

    least = 0.001

    def change(self, image: Float[Tensor, "n I H W"], draws: Draws) -> Float[Tensor, "n I H W"]:
        """Apply it."""
        mean = image.mean(dim=(-2, -1), keepdim=True)
        return torch.lerp(mean, image, per_image(draws.log_uniform(self.low, self.high), image))


@final
class Brightness(IntensityOp):
    """Add a value drawn from [low, high]."""

    least = -1.0

    def change(self, image: Float[Tensor, "n I H W"], draws: Draws) -> Float[Tensor, "n I H W"]:
        """Apply it."""
        return image + per_image(draws.uniform(self.low, self.high), image)


@final
class Noise(IntensityOp):
    """Add white Gaussian noise of a standard deviation drawn from [low, high]."""

    least = 0.0

    def change(self, image: Float[Tensor, "n I H W"], draws: Draws) -> Float[Tensor, "n I H W"]:
        """Apply it."""
        deviation = per_image(draws.uniform(self.low, self.high), image)
        return torch.addcmul(image, deviation, draws.noise(image))


@final
class Blur(IntensityOp):
    """Smooth with a Gaussian whose sigma, in pixels, is drawn from [low, high]; the border pixel is repeated."""

    least = 0.001

    def change(self, image: Float[Tensor, "n I H W"], draws: Draws) -> Float[Tensor, "n I H W"]:
        """Apply it, one axis after the other, each image with its own kernel; kernels end at three of the largest."""
        sigma = send(draws.uniform(self.low, self.high), image.device)
        if not len(image):
            return image
        radius = max(1, round(3 * self.high))
        offset = torch.arange(-radius, radius + 1, device=image.device)
        kernel = torch.softmax(-(offset**2) / (2 * sigma[:, None] ** 2), dim=1)[:, None]
        padded = F.pad(image, (radius,) * 4, mode="replicate").transpose(0, 1)
        blurred = F.conv2d(padded, kernel[..., None, :], groups=len(image))
        return F.conv2d(blurred, kernel[..., None], groups=len(image)).transpose(0, 1)


@final
class Cutout(IntensityOp):
    """Fill rectangles with one grey value (DeVries and Taylor, 2017, arXiv:1708.04552).

    The label under a rectangle stays: what was hidden is to be told from its surroundings, and for a consistency
    strategy the teacher, who saw the whole image, says what it was.

    Args:
        probability: Of changing an image, in [0, 1].
        low: Shortest side, part of the image's side.
        high: Longest side, part of the image's side. Near the border a rectangle is cut off.
        holes: Rectangles per image; they may overlap.
        fill: ``mean`` of the image, or ``zero``.

    Raises:
        ValueError: If a value leaves its range.
    """

    least = 0.001

    def __init__(
        self, probability: float, low: float, high: float, holes: int = 1, fill: Literal["mean", "zero"] = "mean"
    ) -> None:
        super().__init__(probability, low, high)
        if high > 1 or holes < 1 or fill not in ("mean", "zero"):
            raise ValueError(
                f"Cutout: high={high} must be at most 1, holes={holes} at least 1, fill={fill!r} mean or zero"
            )
        self.holes, self.fill = holes, fill

    def change(self, image: Float[Tensor, "n I H W"], draws: Draws) -> Float[Tensor, "n I H W"]:
        """Apply it."""
        centre = send(draws.uniform(0.0, 1.0, 2, self.holes, 1), image.device)
        half = send(draws.uniform(self.low / 2, self.high / 2, 2, self.holes, 1), image.device)
        rows, columns = (
            ((torch.arange(size, device=image.device) + 0.5) / size - centre[:, axis]).abs() <= half[:, axis]
            for axis, size in enumerate(image.shape[-2:])
        )
        hidden = (rows[..., None] & columns[:, :, None]).any(dim=1, keepdim=True)
        value = image.mean(dim=(-2, -1), keepdim=True) if self.fill == "mean" else image.new_zeros(())
        return torch.where(hidden, value, image)


def per_image(values: Float[Tensor, " n"], image: Float[Tensor, "n I H W"]) -> Float[Tensor, "n 1 1 1"]:
    """Bring one number per image to the images' device and shape."""
    return send(values, image.device)[:, None, None, None]
