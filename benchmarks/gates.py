"""What AttUNet's attention gates cost: its training step beside that of the same U-Net without them, interleaved.

``python -m benchmarks.gates`` prints the median process CPU time of a step of each, one thread, at full size and in a
narrow version, and how many times the one without gates fits into the other (goal: at most 1.25). ``--rounds`` changes
the number of steps that are measured.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from models.attunet import AttentionUpBlock, AttUNet

CLASSES = 55


class Setting(NamedTuple):
    """What is measured."""

    width: int
    side: int
    batch: int


SETTINGS = (Setting(width=64, side=256, batch=1), Setting(width=15, side=96, batch=4))


@final
class PlainUpBlock(nn.Module):
    """A step of AttUNet's decoder without its gate: the skip is taken as it is."""

    def __init__(self, step: AttentionUpBlock) -> None:
        super().__init__()
        self.enlarge, self.convolve = step.enlarge, step.convolve

    def forward(self, below: Float[Tensor, "B I h w"], skip: Float[Tensor, "B O H W"]) -> Float[Tensor, "B O H W"]:
        """Return the decoder's features at the skip's resolution."""
        features: Tensor = self.convolve(torch.cat([skip, self.enlarge(below)], dim=1))
        return features


def without_gates(network: AttUNet) -> AttUNet:
    """Take the gates out of a network; everything else is the same block."""
    steps = [PlainUpBlock(step) for step in network.decoder if isinstance(step, AttentionUpBlock)]
    network.decoder = nn.ModuleList(steps)
    return network


def training_step(network: nn.Module, setting: Setting) -> Callable[[], float]:
    """Return a function that takes one step of SGD on random images and tells its process CPU time."""
    image = torch.rand(setting.batch, 1, setting.side, setting.side)
    label = torch.randint(CLASSES, (setting.batch, setting.side, setting.side))
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)

    def step() -> float:
        start = time.process_time()
        optimizer.zero_grad()
        functional.cross_entropy(network(image), label).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return time.process_time() - start

    return step


def main() -> None:
    """Measure the settings and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="default 7")
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    print("| width | side | batch | with gates, s | without, s | ratio |\n|---|---|---|---|---|---|")
    for setting in SETTINGS:
        networks = AttUNet(1, CLASSES, setting.width), without_gates(AttUNet(1, CLASSES, setting.width))
        steps = [training_step(network, setting) for network in networks]
        times = [[step() for step in steps] for _ in range(rounds + 1)][1:]  # the first fills caches
        gated, plain = (statistics.median(column) for column in zip(*times, strict=True))
        shown = " | ".join(map(str, setting))
        print(f"| {shown} | {gated:.3f} | {plain:.3f} | {gated / plain:.2f} |", flush=True)


if __name__ == "__main__":
    main()
