"""Trained networks that answer together: their probabilities are averaged, class by class."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from augment.mirror import MirrorRule
from datamodules.placement import Placement
from datamodules.stored_grid import StoredGrid
from inference.views import TestTimeViews
from partial_labels.classes import ClassTable
from partial_labels.errors import InputError
from partial_labels.head import Head, SigmoidHead, SoftmaxHead

TINY = 1e-7
"""Probabilities are kept this far from 0 and 1 where they are written as logits."""


@final
class Member(nn.Module):
    """A trained network with its head.

    Args:
        network: Images in, logits out; with its normalisation.
        head: Logits to probabilities.
        classes: The class table it was trained with.
        grid: The size it was trained at, and the rule that brought slices to it.
        left_right_axis: The array axis along which the patient's left and right lie: ``rows``, ``columns`` or ``none``.
        channels: Channels of the images that it takes.
    """

    def __init__(
        self,
        network: nn.Module,
        head: Head,
        classes: ClassTable,
        grid: StoredGrid,
        left_right_axis: str = "none",
        channels: int = 1,
    ) -> None:
        super().__init__()
        self.network, self.head, self.classes, self.grid, self.channels = network, head, classes, grid, channels
        self.mirror_rule = MirrorRule(left_right_axis, classes.mirror)

    def forward(self, image: Float[Tensor, "B I H W"]) -> Float[Tensor, "B K H W"]:
        """Return probabilities of its own classes."""
        return self.head.probs(self.network(image))


@final
class Ensemble(nn.Module):
    """The mean of the members' probabilities, every member counting the same.

    Weights that were chosen on a validation set would have to be measured on another.

    Members may differ in network, head, size and classes. A class is averaged over the members that know it: to the
    others it is what an unexamined class is to a label, neither present nor absent. So is the background to a member
    that does not know every class; where no member does, it is what the largest of the others leaves.

    What a member's grid crops away is background to it, with its share (:attr:`beyond`, by grid).

    Args:
        members: At least one.
        views: Test-time augmentation of every member; None for none.
        threshold: A pixel is given its most probable class where that reaches this, in (0, 1). By default a single
            member's own rule; of several the most probable class if all have a softmax, else the mean threshold. The
            peaks that classes must reach are averaged too.
        peak: What one pixel of an image must reach for its class to be drawn there, in place of these.

    Raises:
        InputError: If a member has no class in common with the first or takes other channels, or the views need an
            axis that is not known.
        ValueError: If the threshold lies outside (0, 1), or the peak outside [threshold, 1).
    """

    shares: Tensor

    def __init__(
        self,
        members: Sequence[Member],
        views: TestTimeViews | None = None,
        threshold: float | None = None,
        peak: float | None = None,
    ) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.classes = ClassTable.joined([member.classes for member in members])
        self.views = views
        self.head = common_head([member.head for member in members], threshold, peak)
        self.channels = members[0].channels
        for number, member in enumerate(members, start=1):
            if views is not None:
                views.check(member.mirror_rule)
            if member.channels != self.channels:
                raise InputError(
                    f"checkpoint: channels of an image: {self.channels} for the first, {member.channels} for number "
                    f"{number}; only networks that see the same windows can be averaged"
                )
        self.grids = tuple(dict.fromkeys(member.grid for member in members))
        self.places = [self._places(member.classes) for member in members]
        known = torch.zeros(len(members), len(self.classes))
        for row, places in zip(known, self.places, strict=True):
            row[places] = 1
        known[:, 0] = known.amin(dim=1)
        self.complete = bool(known[:, 0].any())
        self.register_buffer("shares", known / known.sum(dim=0).clamp(min=1), persistent=False)
        pairs = list(zip(members, self.shares[:, 0].tolist(), strict=True))
        self.beyond = {grid: sum(share for one, share in pairs if one.grid == grid) for grid in self.grids}

    @property
    def num_views(self) -> int:
        """Views of each image that each member looks at."""
        return 1 if self.views is None else len(self.views)

    def _places(self, classes: ClassTable) -> list[int]:
        """Return for each of a member's classes its id in the common table."""
        found = classes.match(self.classes)
        return [found[i] for i in range(len(classes))]

    def on_grid(self, grid: StoredGrid, image: Float[Tensor, "B I H W"]) -> Float[Tensor, "B C H W"]:
        """Return the sum of the members of one grid, each with its share."""
        total: Tensor | None = None
        for number, member in enumerate(self.members):
            assert isinstance(member, Member)
            if member.grid == grid:
                probs = self._placed(number, self._answer(member, image))
                total = probs if total is None else total + probs
        assert total is not None
        return total

    def _answer(self, member: Member, image: Float[Tensor, "B I H W"]) -> Float[Tensor, "B K H W"]:
        if self.views is None:
            probs: Tensor = member(image)
            return probs
        return self.views.average(member, image, member.mirror_rule)

    def _placed(self, number: int, probs: Float[Tensor, "B K H W"]) -> Float[Tensor, "B C H W"]:
        """Write a member's classes at their places in the common table, each with the member's share of it."""
        if len(self.members) == 1:
            return probs
        placed = probs.new_zeros(len(probs), len(self.classes), *probs.shape[2:])
        placed[:, self.places[number]] = probs
        return placed * self.shares[number].to(probs.dtype)[:, None, None]

    def together(self, parts: Sequence[Float[Tensor, "*B C H W"]]) -> Float[Tensor, "*B C H W"]:
        """Add up what :meth:`on_grid` gave for every grid, brought to one frame."""
        total = torch.stack(list(parts)).sum(dim=0) if len(parts) > 1 else parts[0]
        if self.complete:
            return total
        foreground = total.narrow(-3, 1, len(self.classes) - 1)
        return torch.cat([1 - foreground.amax(dim=-3, keepdim=True), foreground], dim=-3)

    def probs(self, image: Float[Tensor, "B I H W"]) -> Float[Tensor, "B C H W"]:
        """Return the mean probabilities on the image's own grid.

        Each member sees the image at its own size: scaled where its rule is to scale, else cropped or padded.
        """
        size = image.shape[-2], image.shape[-1]
        parts = []
        for grid in self.grids:
            place = StoredGrid(grid.size, "scale" if grid.fit == "scale" else "pad").place(size)
            answer = self.on_grid(grid, fitted(image, place))
            if place.moves:
                answer = torch.stack([place.native(one, self.beyond[grid]) for one in answer])
            parts.append(answer)
        return self.together(parts)

    def forward(self, image: Float[Tensor, "B I H W"]) -> Float[Tensor, "B K H W"]:
        """Return logits of :attr:`head`, so that an ensemble stands wherever a network does."""
        probs = self.probs(image).clamp(TINY, 1 - TINY)
        return probs.log() if isinstance(self.head, SoftmaxHead) else probs[:, 1:].logit()

    def check_size(self, height: int, width: int) -> None:
        """Nothing to refuse: every member is shown the image at the size it was trained at."""


def common_head(heads: Sequence[Head], threshold: float | None, peak: float | None) -> Head:
    """Return the head by which the mean is decoded."""
    own = threshold is None and peak is None
    if own and len(heads) == 1:
        return heads[0]
    sigmoid = [head for head in heads if isinstance(head, SigmoidHead)]
    if not sigmoid:
        return SoftmaxHead() if own else SigmoidHead(0.5 if threshold is None else threshold, peak=peak)
    peaks = [head.threshold if head.peak is None else head.peak for head in sigmoid]
    asked = any(head.peak is not None for head in sigmoid)
    mean = SigmoidHead(fmean(head.threshold for head in sigmoid), peak=fmean(peaks) if asked else None)
    mean = mean if threshold is None else mean.moved_to(threshold)
    return mean if peak is None else SigmoidHead(mean.threshold, peak=peak)


def fitted(image: Float[Tensor, "B I h w"], place: Placement) -> Float[Tensor, "B I H W"]:
    """Bring images to a grid, as :meth:`Placement.image` does when a store is built."""
    if place.scaled != place.source:
        image = F.interpolate(image, place.scaled, mode="bilinear", align_corners=False, antialias=True)
    rows, columns = place.kept
    target_rows, target_columns = place.stored
    stored = image.new_zeros(*image.shape[:2], *place.size)
    stored[..., target_rows, target_columns] = image[..., rows, columns]
    return stored
