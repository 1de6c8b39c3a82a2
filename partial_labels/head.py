"""Heads: from a network's logits to class probabilities, and from probabilities to a label map."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn


class Head(nn.Module, ABC):
    """The only place that knows how many logits a network gives and how a prediction is decoded."""

    @staticmethod
    @abstractmethod
    def channels(num_classes: int) -> int:
        """Return how many logits the network needs for ``num_classes`` classes, background included."""

    @abstractmethod
    def initial_logits(self, num_classes: int) -> Float[Tensor, " K"]:
        """Return the logits that a network should start from: every class but the background rare."""

    @abstractmethod
    def probs(self, logits: Float[Tensor, "B K H W"]) -> Float[Tensor, "B C H W"]:
        """Return class probabilities in fp32, channel 0 the background."""

    @abstractmethod
    def decode(self, probs: Float[Tensor, "B C H W"]) -> UInt8[Tensor, "B H W"]:
        """Return the label map."""

    def predict(self, logits: Float[Tensor, "B K H W"]) -> UInt8[Tensor, "B H W"]:
        """Return the label map of logits."""
        return self.decode(self.probs(logits))


class SoftmaxHead(Head):
    """One softmax over all C classes: they exclude each other.

    Args:
        prior: Probability that an untrained network gives to each class but the background, in (0, 1).
    """

    def __init__(self, prior: float = 0.01) -> None:
        super().__init__()
        self.prior = checked_prior(prior)

    @staticmethod
    def channels(num_classes: int) -> int:
        """C logits, the background has its own."""
        return num_classes

    def initial_logits(self, num_classes: int) -> Float[Tensor, " K"]:
        """0 for the classes, and for the background what leaves them the prior."""
        share = min(self.prior, 1 / num_classes)
        logits = torch.zeros(num_classes)
        logits[0] = math.log((1 - (num_classes - 1) * share) / share)
        return logits

    def probs(self, logits: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Softmax over the classes."""
        return logits.float().softmax(dim=1)

    def decode(self, probs: Float[Tensor, "B C H W"]) -> UInt8[Tensor, "B H W"]:
        """The most probable class."""
        return probs.argmax(dim=1).to(torch.uint8)


class SigmoidHead(Head):
    """One sigmoid per class, each learnt from its own examined cells; the background is what remains.

    Args:
        threshold: A pixel is given its most probable class where that probability reaches this, else 0. In (0, 1).
        prior: Probability that an untrained network gives to each class, in (0, 1).
        peak: A class is drawn in an image only if one of its pixels reaches this, from ``threshold`` to below 1; None
            asks for no more than the threshold. These are the two thresholds of hysteresis (Canny, IEEE TPAMI 1986),
            with an image's whole class as what hangs together: a structure is there for sure or not at all, and where
            it is, its border may be unsure.
    """

    def __init__(self, threshold: float = 0.5, prior: float = 0.01, peak: float | None = None) -> None:
        super().__init__()
        if not 0 < threshold < 1:
            raise ValueError(f"head.threshold={threshold}: must lie in (0, 1)")
        if peak is not None and not threshold <= peak < 1:
            raise ValueError(f"head.peak={peak}: must lie in [head.threshold, 1), from {threshold:g}")
        self.threshold, self.peak = threshold, peak
        self.prior = checked_prior(prior)

    @staticmethod
    def channels(num_classes: int) -> int:
        """C - 1 logits, none for the background."""
        return num_classes - 1

    def initial_logits(self, num_classes: int) -> Float[Tensor, " K"]:
        """The logit of the prior, for every class."""
        return torch.full((num_classes - 1,), math.log(self.prior / (1 - self.prior)))

    def probs(self, logits: Float[Tensor, "B K H W"]) -> Float[Tensor, "B C H W"]:
        """Sigmoids; the background's probability is 1 minus the largest of them."""
        foreground = logits.float().sigmoid()
        return torch.cat([1 - foreground.amax(dim=1, keepdim=True), foreground], dim=1)

    def decode(self, probs: Float[Tensor, "B C H W"]) -> UInt8[Tensor, "B H W"]:
        """The most probable class where it reaches the threshold, of those that reach the peak somewhere; else 0."""
        foreground = probs[:, 1:]
        if self.peak is not None:
            foreground = foreground * (foreground.amax(dim=(2, 3), keepdim=True) >= self.peak)
        best, index = foreground.max(dim=1)
        return torch.where(best >= self.threshold, index + 1, 0).to(torch.uint8)

    def moved_to(self, threshold: float) -> SigmoidHead:
        """Return a head of another threshold, with the same peak where that still lies above it."""
        return SigmoidHead(threshold, self.prior, None if self.peak is None else max(self.peak, threshold))


def checked_prior(prior: float) -> float:
    """Return the prior if it is a probability.

    Raises:
        ValueError: If it lies outside (0, 1).
    """
    if not 0 < prior < 1:
        raise ValueError(f"head.prior={prior}: must lie in (0, 1)")
    return prior
