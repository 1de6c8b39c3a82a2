"""Moving AttUNet's mean teacher: all tensors in a few fused calls, beside a loop over them, and beside a step.

``python -m benchmarks ema`` prints process CPU time on a CPU, device time on a GPU. The step is a forward and backward
pass of the student: on a GPU at 256 x 256, batch 16, in half precision; on a CPU a single image of 64 x 64, where the
update weighs far more than in any real run.
"""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.measuring import in_turn, parser, print_costs, ratios, record
from models.attunet import AttUNet
from models.normalised import NormalisedNetwork
from models.teacher import Teacher

CLASSES = 55
DECAY = 0.99


def main() -> None:
    """Measure."""
    options = parser(__doc__, rounds=7, calls=3).parse_args()
    torch.set_num_threads(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    student = NormalisedNetwork(AttUNet(1, CLASSES)).to(device)
    fused, looped = Teacher(student), Teacher(student)
    image = torch.rand(16, 1, 256, 256, device=device) if device.type == "cuda" else torch.rand(1, 1, 64, 64)

    @torch.no_grad()
    def loop() -> None:
        for mine, its in zip(looped.network.state_dict().values(), student.state_dict().values(), strict=True):
            if mine.is_floating_point():
                mine.mul_(DECAY).add_(its, alpha=1 - DECAY)
            else:
                mine.copy_(its)

    def step() -> None:
        student.zero_grad()
        with torch.autocast(device.type, enabled=device.type == "cuda"):
            outputs: Any = student(image)
        outputs.float().square().mean().backward()

    contenders = {"fused update": lambda: fused.update(student, DECAY), "loop over tensors": loop, "step": step}
    cost = in_turn(contenders, options.rounds, options.calls)
    print(f"AttUNet, {sum(p.numel() for p in student.parameters()) / 1e6:.1f} M parameters, {options.rounds} rounds")
    print_costs(cost, "fused update")
    print(f"the update takes {100 / ratios(cost, 'fused update')['step']:.1f} % of a step of {tuple(image.shape)}")
    record("ema", {name: one._asdict() for name, one in cost.items()})


if __name__ == "__main__":
    main()
