"""Completing labels with a teacher, and how sure the teacher is: by cell, and by case."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from partial_labels.batch import TEACHER, UNKNOWN, UNSURE, derive_background


def confident_labels(
    probs: Float[Tensor, "B C H W"], label: UInt8[Tensor, "B H W"], status: UInt8[Tensor, "B C"], threshold: float
) -> tuple[UInt8[Tensor, "B H W"], UInt8[Tensor, "B C"]]:
    """Fill the cells that nobody examined with what the teacher is sure of.

    A pixel with a human's class keeps it, and a fully examined image comes back unchanged. Any other pixel takes the
    teacher's most probable class, or ``UNSURE`` if a human examined that class and did not draw it there, or if its
    probability is below the threshold (Sohn et al., FixMatch, NeurIPS 2020, arXiv:2001.07685). What was ``UNSURE`` or
    ``IGNORE`` stays so, and cells that were known before, by whoever, are never changed.

    Args:
        probs: Teacher probabilities of the weak view, channel 0 the background.
        label: Human labels; 0 where none of the examined classes was drawn.
        status: What is known of each cell. All ``UNKNOWN`` for an unlabeled image.
        threshold: Least probability to accept, in (0, 1], no unit.

    Returns:
        The completed labels, and the status with every ``UNKNOWN`` cell turned ``TEACHER``.

    Raises:
        ValueError: If ``threshold`` lies outside (0, 1].
    """
    checked_threshold(threshold)
    confidence, prediction = probs.max(dim=1)
    to_fill = status[:, 1:] == UNKNOWN
    allowed = torch.cat([torch.ones_like(to_fill[:, :1]), to_fill], dim=1)  # anything may turn out to be background
    sure = (confidence >= threshold) & allowed.gather(1, prediction.flatten(1)).view_as(prediction)
    filled = torch.where(sure, prediction, UNSURE).to(torch.uint8)
    open_pixels = (label == 0) & to_fill.any(dim=1)[:, None, None]
    completed = torch.where(status == UNKNOWN, TEACHER, status).to(torch.uint8)
    return torch.where(open_pixels, filled, label), derive_background(completed)


def checked_threshold(threshold: float) -> float:
    """Return the threshold if a probability can reach it and 0 does not.

    Raises:
        ValueError: If it lies outside (0, 1].
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold={threshold}: must lie in (0, 1]")
    return threshold


class CellScores(NamedTuple):
    """How sure a network is of each cell, over the pixels of which something may be claimed; background included."""

    peak: Float[Tensor, "B C"]
    """Largest probability of the class in the image; 0 in an image without a pixel."""
    confidence: Float[Tensor, "B C"]
    """Mean probability of the class over the pixels predicted as it; 0 where there are none."""
    pixels: Int64[Tensor, "B C"]
    """How many pixels are predicted as the class, that is, have it as their most probable one."""


class CaseScores(NamedTuple):
    """How sure a network is of each image; higher is surer."""

    foreground: Float[Tensor, " B"]
    """Mean largest probability over the pixels predicted as any class but the background; 0 where there are none, so
    that an image that shows nothing to learn from comes last."""
    entropy: Float[Tensor, " B"]
    """Minus the mean entropy over all pixels, of the probabilities divided by their sum (1 for a softmax), in units of
    ln C: -1 where every class is as probable as any other, 0 where every pixel is decided."""
    classes: Float[Tensor, " B"]
    """Mean over the predicted classes, without the background, of :attr:`CellScores.confidence`: a small organ counts
    as much as a large one; 0 where none is predicted."""


def cell_scores(probs: Float[Tensor, "B C H W"], valid: Bool[Tensor, "B H W"]) -> CellScores:
    """Return the scores of every cell.

    Args:
        probs: Probabilities of either head, channel 0 the background.
        valid: False at ``IGNORE`` pixels, which are left out.
    """
    confidence, prediction = probs.max(dim=1)
    where, chosen = valid.flatten(1).to(probs.dtype), prediction.flatten(1)
    pixels = torch.zeros_like(probs[:, :, 0, 0]).scatter_add_(1, chosen, where)
    total = torch.zeros_like(pixels).scatter_add_(1, chosen, confidence.flatten(1) * where)
    peak = torch.where(valid[:, None], probs, 0).amax(dim=(2, 3))
    return CellScores(peak, total / pixels.clamp(min=1), pixels.long())


def case_scores(probs: Float[Tensor, "B C H W"], valid: Bool[Tensor, "B H W"], cells: CellScores) -> CaseScores:
    """Return the scores of every image; arguments as :func:`cell_scores`, and what that returned."""
    pixels, confidence = cells.pixels[:, 1:], cells.confidence[:, 1:]
    return CaseScores(
        foreground=(confidence * pixels).sum(dim=1) / pixels.sum(dim=1).clamp(min=1),
        entropy=-(normalised_entropy(probs) * valid).sum(dim=(1, 2)) / valid.sum(dim=(1, 2)).clamp(min=1),
        classes=confidence.sum(dim=1) / (pixels > 0).sum(dim=1).clamp(min=1),
    )


def normalised_entropy(probs: Float[Tensor, "B C H W"]) -> Float[Tensor, "B H W"]:
    """Return the entropy of the probabilities divided by their sum, in units of ln C.

    With S the sum, -sum(p/S ln(p/S)) = ln S - sum(p ln p) / S, which needs no array of the quotients.
    """
    total = probs.sum(dim=1)
    return (total.log() + torch.special.entr(probs).sum(dim=1) / total) / math.log(probs.shape[1])
