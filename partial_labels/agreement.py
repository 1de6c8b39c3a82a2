"""Whether a network says the same of an image when the image is changed a little."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

Predict = Callable[[Tensor], Tensor]
"""From images (B, I, H, W) to label maps (B, H, W)."""


@final
class Agreement:
    """Mean Dice between the prediction of an image and those of changed ones, each change undone in its prediction.

    Every change costs one more pass of the network. There are as many as gammas, and four (down, up, right, left) for
    each shift; a shifted image repeats its border pixels, and what left the image is not compared.

    Args:
        gammas: Powers to raise the intensities in [0, 1] to.
        shifts: Distances to move by, parts of the image's side, below 1/2.

    Raises:
        ValueError: If a value leaves its range, or there is nothing to change.
    """

    def __init__(self, gammas: Sequence[float] = (0.8, 1.25), shifts: Sequence[float] = (0.03,)) -> None:
        if not gammas and not shifts:
            raise ValueError(f"gammas={list(gammas)}: give at least one gamma or shift")
        if any(gamma <= 0 for gamma in gammas):
            raise ValueError(f"gammas={list(gammas)}: must be above 0")
        if any(not 0 < shift < 0.5 for shift in shifts):
            raise ValueError(f"shifts={list(shifts)}: must lie in (0, 0.5)")
        self.gammas, self.shifts = tuple(gammas), tuple(shifts)

    def __call__(
        self,
        predict: Predict,
        image: Float[Tensor, "B I H W"],
        prediction: UInt8[Tensor, "B H W"],
        valid: Bool[Tensor, "B H W"],
        num_classes: int,
    ) -> Float[Tensor, " B"]:
        """Return the agreement of each image, in [0, 1].

        Args:
            predict: The network, decoded.
            image: The images.
            prediction: What it says of them unchanged.
            valid: False at pixels that are not to be compared.
            num_classes: C, background included.
        """
        scores = [
            mean_dice(prediction, changed, valid & inside, num_classes)
            for changed, inside in self._changed(predict, image)
        ]
        return torch.stack(scores).mean(dim=0)

    def _changed(self, predict: Predict, image: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield predictions on the unchanged frame, and where they can be compared."""
        everywhere = torch.ones(image.shape[-2:], dtype=torch.bool, device=image.device)
        for gamma in self.gammas:
            yield predict(image.pow(gamma)), everywhere
        for shift in self.shifts:
            for axis, sign in ((-2, 1), (-2, -1), (-1, 1), (-1, -1)):
                step = sign * max(1, round(shift * image.shape[axis]))
                prediction = predict(moved(image, step, axis))
                yield prediction.roll(-step, axis), ~edge(everywhere, step, axis)


def moved(image: Float[Tensor, "B I H W"], step: int, axis: int) -> Float[Tensor, "B I H W"]:
    """Move the image by ``step`` pixels along -2 (rows) or -1 (columns), repeating the border pixels."""
    before, after = max(step, 0), max(-step, 0)
    padding = (0, 0, before, after) if axis == -2 else (before, after, 0, 0)
    size = image.shape[axis]
    return F.pad(image, padding, mode="replicate").narrow(axis, after, size)


def edge(like: Bool[Tensor, "H W"], step: int, axis: int) -> Bool[Tensor, "H W"]:
    """Return the pixels that leave the image when it moves by ``step``."""
    outside = torch.zeros_like(like)
    size = like.shape[axis]
    outside.narrow(axis, size - step if step > 0 else 0, abs(step)).fill_(True)
    return outside


def mean_dice(
    first: UInt8[Tensor, "B H W"], second: UInt8[Tensor, "B H W"], valid: Bool[Tensor, "B H W"], num_classes: int
) -> Float[Tensor, " B"]:
    """Return the Dice of two label maps, mean over the classes that either has; 0 where neither has one.

    The background is no class. An image in which nothing is predicted says nothing sure, and so comes last.
    """
    one, other, where = first.flatten(1).long(), second.flatten(1).long(), valid.flatten(1).float()
    empty = torch.zeros(len(one), num_classes, device=one.device)
    size = empty.scatter_add(1, one, where).scatter_add_(1, other, where)[:, 1:]
    shared = empty.scatter_add(1, one, where * (one == other))[:, 1:]
    dice = 2 * shared / size.clamp(min=1)
    return dice.sum(dim=1) / (size > 0).sum(dim=1).clamp(min=1)
