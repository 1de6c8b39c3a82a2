"""What losses of a softmax read of a level's logits: a few sums and pixel values, in one pass for all of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from losses.evidence import Evidence, evidence_of, portions
from losses.softmax import ordered, softmax, surprise, surprise_among
from partial_labels.batch import HUMAN, UNKNOWN, PartialLabelBatch

RARE = 1e-30
"""Probability below which a sum of softmaxes has underflown, or may have."""


class SoftmaxReading(NamedTuple):
    """Surprises of the pixels and sums over them.

    The marginal loss (Shi et al., MedIA 2021, arXiv:2007.03868) is the mean of ``surprise`` where a human drew a class
    and of ``unexamined``, ``-log(p(background) + the sum of p over the UNKNOWN classes)``, elsewhere.
    """

    batch: PartialLabelBatch
    evidence: Evidence
    """What is known, background included."""
    surprise: Float[Tensor, "B P"]
    """``-log p(the pixel's class)``, of the background where it has none."""
    unexamined: Float[Tensor, "B P"]
    """``-log p(background or an UNKNOWN class)``."""
    undrawn: Float[Tensor, "B P"]
    """The same with the ``TEACHER`` classes: what the humans leave open."""
    known: Float[Tensor, "B P"]
    """``-log p(background or a class that is not UNKNOWN)``."""
    overlap: Float[Tensor, "B C"]
    """Probability of each class over its own pixels, weighted."""
    everywhere: Float[Tensor, "B 2 C"]
    """Probability over certain and over ``UNSURE`` pixels."""
    unnamed: Float[Tensor, "B 2 C"]
    """The same over the pixels, or shares of pixels, that are of no known class."""


def read_softmax(logits: Float[Tensor, "B C H W"], batch: PartialLabelBatch) -> SoftmaxReading:
    """Return all values, of which a loss may use some."""
    evidence = evidence_of(batch)
    masks = torch.cat([evidence.pixels, evidence.pixels * evidence.unnamed[:, None]], dim=1)
    status = batch.status
    sets = torch.stack([status == UNKNOWN, status != HUMAN, status > UNKNOWN], dim=1)
    sets[:, :, 0] = True
    pixels = ordered(logits)
    own, among, overlap, sums = _Softmax.apply(  # type: ignore[no-untyped-call]
        pixels, masks, sets.to(pixels.dtype), evidence.channel, evidence.positive
    )
    if bool(torch.minimum(own.amin(), among.amin()) < RARE):
        background = torch.zeros_like(evidence.channel)
        of_background = surprise(logits, background)
        own = surprise(logits, evidence.channel)
        among = torch.stack([of_background - surprise_among(one, logits, background) for one in sets.unbind(1)], dim=1)
    else:
        own, among = -own.log(), -among.log()
    unexamined, undrawn, known = among.unbind(1)
    everywhere, unnamed = sums.chunk(2, dim=1)
    return SoftmaxReading(batch, evidence, own, unexamined, undrawn, known, overlap, everywhere, unnamed)


class _Softmax(torch.autograd.Function):
    """The softmax, summed over sets of classes and over masks of pixels: matrix products, as their gradients are.

    That of the probabilities is gathered in one tensor, and turned into that of the logits in place, where autograd
    would keep an image for every operation, fill as many gradients and add them up.
    """

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, masks: Tensor, sets: Tensor, channel: Tensor, positive: Tensor
    ) -> tuple[Tensor, ...]:
        """Return the probability of each pixel's class (B, P), of the sets (B, S, P), overlap (B, C), sums (B, N, C).

        Args:
            ctx: Keeps the arguments: nothing of the logits' size is kept beside them.
            logits: (B, P, C).
            masks: (B, N, P), of the pixels.
            sets: (B, S, C), of the classes.
            channel: (B, P), the pixel's own class.
            positive: (B, P), its weight.
        """
        ctx.save_for_backward(logits, masks, sets, channel, positive)
        parts = []
        for part in portions(logits):
            probs = softmax(logits[part])
            own = probs.gather(2, channel[part, :, None])[:, :, 0]
            overlap = probs.new_zeros(sets[part, 0].shape).scatter_add_(1, channel[part], own * positive[part])
            parts.append((own, sets[part] @ probs.mT, overlap, masks[part] @ probs))
        return tuple(torch.cat(pieces) for pieces in zip(*parts, strict=True))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, own: Tensor, among: Tensor, overlap: Tensor, sums: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient of the logits, in their order of memory."""
        logits, masks, sets, channel, positive = ctx.saved_tensors
        own = own + overlap.gather(1, channel) * positive
        pixels, classes = torch.cat([masks, among], dim=1).mT, torch.cat([sums, sets], dim=1)
        gradient = torch.empty_like(logits)
        for part in portions(logits):
            probs, here = softmax(logits[part]), gradient[part]
            torch.bmm(pixels[part], classes[part], out=here)
            here.scatter_add_(2, channel[part, :, None], own[part, :, None])
            here.mul_(probs)
            here.addcmul_(probs, here.sum(dim=2, keepdim=True), value=-1)
        return gradient, None, None, None, None
