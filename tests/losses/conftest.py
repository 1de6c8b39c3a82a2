from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from partial_labels.batch import HUMAN, IGNORE, TEACHER, UNKNOWN, UNSURE, PartialLabelBatch, derive_background

MakeBatch = Callable[..., PartialLabelBatch]


@pytest.fixture(scope="session")
def make_batch() -> MakeBatch:
    """Random partial labels: mixed statuses, UNSURE and IGNORE pixels, no label whose cell is unknown."""

    def make(
        seed: int = 0,
        images: int = 4,
        classes: int = 5,
        size: tuple[int, int] = (6, 8),
        statuses: tuple[int, ...] = (UNKNOWN, HUMAN, TEACHER),
        odd: bool = True,
    ) -> PartialLabelBatch:
        g = torch.Generator().manual_seed(seed)
        choice = torch.randint(len(statuses), (images, classes), generator=g)
        status = derive_background(torch.tensor(statuses, dtype=torch.uint8)[choice])
        label = torch.randint(classes, (images, *size), generator=g).to(torch.uint8)
        known = status.gather(1, label.flatten(1).long()).view_as(label) > UNKNOWN
        label = label * known
        if odd:
            dice = torch.rand(label.shape, generator=g)
            label[dice < 0.1] = UNSURE
            label[dice > 0.9] = IGNORE
        return PartialLabelBatch(
            image=torch.zeros(images, 1, *size),
            label=label,
            status=status,
            weight=torch.rand(images, generator=g),
            case_id=torch.arange(images),
        )

    return make


@pytest.fixture(scope="session")
def make_logits() -> Callable[..., torch.Tensor]:
    """Random logits in channels-last order, as a network gives them, with gradient."""

    def make(batch: PartialLabelBatch, channels: int, seed: int = 1, scale: float = 2.0) -> torch.Tensor:
        g = torch.Generator().manual_seed(seed)
        size = (batch.label.shape[0], channels, *batch.label.shape[1:])
        logits = scale * torch.randn(size, generator=g)
        return logits.contiguous(memory_format=torch.channels_last).requires_grad_()

    return make
