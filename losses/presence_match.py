"""How far a teacher's word that a class is absent can be believed."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from losses.ranks import summed

LABEL_IDS = 256


@final
class PresenceMatch(nn.Module):
    """Believes a teacher's absences of a class as far as it finds the class as often as people do.

    A class that the teacher has not learnt yet is found nowhere, so its absences say nothing; one that it finds in as
    many images as show it is known to it. The trust in between is ``min(1, found / labeled)``, the probability with
    which an absent cell is believed. Distribution alignment (Berthelot et al., ReMixMatch, ICLR 2020,
    arXiv:1911.09785) corrects a teacher's probabilities by this ratio; here only silence is doubted, so that no pixel
    is ever given a class that the teacher did not see.

    Where classes are examined because they were seen, ``labeled`` is larger than the share of unlabeled images that
    show them, and absences are believed less often than they could be.

    Args:
        decay: Of the moving average over batches, in [0, 1).

    Raises:
        ValueError: If it lies elsewhere.
    """

    labeled: Float[Tensor, " 256"]
    """Share of the labeled images that show each class, of those in which it was examined."""
    found: Float[Tensor, " 256"]
    """Share of the images in which the teacher was sure of each class lately; kept in checkpoints."""

    def __init__(self, decay: float = 0.99) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"decay={decay}: must lie in [0, 1)")
        self.decay = decay
        self.register_buffer("labeled", torch.zeros(LABEL_IDS))
        self.register_buffer("found", torch.zeros(LABEL_IDS))

    def begin(self, labeled: Float[Tensor, " C"]) -> None:
        """Say how often people find each class."""
        self.labeled[: len(labeled)] = labeled.to(self.labeled)

    def update(self, shown: Bool[Tensor, "B C"], asked: Bool[Tensor, "B C"]) -> None:
        """Count one batch of all processes.

        Args:
            shown: Where the teacher is sure of a class at one pixel at least.
            asked: The cells that it was asked about; a class without any keeps its average.
        """
        shows, cells = summed((shown & asked).sum(dim=0).float(), asked.sum(dim=0).float())
        found = self.found[: len(cells)]
        share = torch.where(cells > 0, shows / cells.clamp(min=1), found)
        found.lerp_(share, 1 - self.decay)

    def trust(self, num_classes: int) -> Float[Tensor, " C"]:
        """Return how probably an absence is believed, in [0, 1]; 1 for a class that people never found."""
        labeled, found = self.labeled[:num_classes], self.found[:num_classes]
        return torch.where(labeled > 0, found / labeled, 1).clamp(max=1)

    def believed(self, images: int, num_classes: int) -> Bool[Tensor, "B C"]:
        """Draw for each image whether the absence of each class is believed."""
        trust = self.trust(num_classes)
        return torch.rand(images, num_classes, device=trust.device) < trust
