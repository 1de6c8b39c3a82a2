"""What a loss costs beside the network that it trains: ``python -m benchmarks losses``.

At the demo's setting (``experiment=demo``: U-Net of width 12 with deep supervision, 96 x 96, batch 8, 46 classes): a
forward and backward pass of the network on one batch of its data, and of every loss in ``conf/loss`` on random logits
in the network's sizes, down to the gradient of the logits.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.measuring import in_turn, parser, print_costs, ratios, record
from benchmarks.small_run import CONF, built, composed
from partial_labels.batch import PartialLabelBatch
from runs.configuration.instantiate import build

SETTING = ("experiment=demo", "data=phantom_small", "data.source.num_slices=100", "trainer=auto")


def network_pass(student: Any, image: Tensor) -> Callable[[], None]:
    """Return a pass forward and, with random gradients of the logits, backward; on a GPU in mixed precision."""

    def levels() -> Sequence[Tensor]:
        with torch.autocast(image.device.type, enabled=image.device.type == "cuda"):
            logits: Sequence[Tensor] = student(image)
        return logits

    gradients = [torch.randn_like(level) for level in levels()]

    def step() -> None:
        student.zero_grad()
        torch.autograd.backward(levels(), gradients)

    return step


def loss_pass(cfg: Any, batch: PartialLabelBatch, like: Sequence[Tensor]) -> Callable[[], None]:
    """Return a pass of the loss forward and backward, from logits in the sizes and the order of the network's."""
    loss, channels = build(cfg.loss), build(cfg.head).channels(batch.status.shape[1])
    sizes = [(len(level), channels, *level.shape[2:]) for level in like]
    order = torch.channels_last if like[0].stride(1) == 1 else torch.contiguous_format
    levels = [torch.randn(size, device=like[0].device).to(memory_format=order).requires_grad_() for size in sizes]

    def step() -> None:
        torch.autograd.grad(torch.stack(list(loss(levels, batch).values())).sum(), levels)

    return step


def main() -> None:
    """Measure."""
    options = parser(__doc__, rounds=9, calls=3).parse_args()
    torch.set_num_threads(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    names = sorted(path.stem for path in (CONF / "loss").glob("*.yaml"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts = built(composed(folder, *SETTING))
        batch = parts.data.on_after_batch_transfer(next(iter(parts.data.train_dataloader())), 0)
        losses = {name: composed(folder, *SETTING, f"loss={name}") for name in names}
    batch = PartialLabelBatch(*(field.to(device) for field in batch))
    student = parts.module.student.to(device)
    levels = student(batch.image)
    passes = {name: loss_pass(cfg, batch, levels) for name, cfg in losses.items()}
    cost = in_turn({"network": network_pass(student, batch.image), **passes}, options.rounds, options.calls)
    print_costs(cost, "network")
    record("losses", {**cost, "of_the_network": ratios(cost, "network")})


if __name__ == "__main__":
    main()
