"""What a step gains by the order of memory and by a fused optimizer, in turns: ``python -m benchmarks options``.

U-Net and AttUNet keep their weights in channels-last order; here each is trained, with the masked loss, beside a copy
of itself in the usual order. Optimizers step as they are and with ``optimizer.fused=true``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.measuring import in_turn, parser, print_costs, ratios, record
from losses.masked import MaskedBCE, MaskedDice
from losses.weighted_sum import WeightedSum
from models.attunet import AttUNet
from models.unet import UNet
from partial_labels.batch import HUMAN, PartialLabelBatch

LOGITS = 54
CASES: dict[str, tuple[Callable[[], nn.Module], int, int]] = {
    "unet, width 8, 64 x 64, batch 8": (lambda: UNet(1, LOGITS, width=8), 64, 8),
    "unet, width 32, 128 x 128, batch 2": (lambda: UNet(1, LOGITS, width=32), 128, 2),
    "attunet, width 32, 128 x 128, batch 2": (lambda: AttUNet(1, LOGITS, width=32), 128, 2),
}
OPTIMIZERS = {"sgd": (torch.optim.SGD, {"lr": 0.05, "momentum": 0.9}), "adamw": (torch.optim.AdamW, {"lr": 1e-3})}


def step_of(network: nn.Module, image: Tensor) -> Callable[[], None]:
    """Return a forward and backward pass, the loss included: it likes one order of memory better, too."""
    size = (len(image), *image.shape[2:])
    label = torch.zeros(size, dtype=torch.uint8, device=image.device)
    label[:, 8:24, 8:24] = 1
    status = torch.full((len(image), LOGITS + 1), HUMAN, dtype=torch.uint8, device=image.device)
    weight = torch.ones(len(image), device=image.device)
    batch = PartialLabelBatch(image, label, status, weight, torch.arange(len(image), device=image.device))
    loss = WeightedSum({"bce": MaskedBCE(), "dice": MaskedDice()}, {"bce": 1.0, "dice": 1.0})

    def step() -> None:
        network.zero_grad()
        with torch.autocast(image.device.type, enabled=image.device.type == "cuda"):
            losses = list(loss(network(image), batch).values())
        torch.autograd.backward(losses)

    return step


def main() -> None:
    """Measure."""
    options = parser(__doc__, rounds=5, calls=2).parse_args()
    torch.set_num_threads(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    figures: dict[str, Any] = {}
    for name, (make, side, batch) in CASES.items():
        last = make().to(device)
        usual = copy.deepcopy(last).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        image = torch.rand(batch, 1, side, side, device=device)
        cost = in_turn(
            {"channels last": step_of(last, image), "channels first": step_of(usual, image)},
            options.rounds,
            options.calls,
        )
        with torch.no_grad():
            difference = float((last.eval()(image) - usual.eval()(image)).abs().max())
        print(f"\n{name}; largest difference of the logits {difference:.1e}")
        print_costs(cost, "channels last")
        steps = {}
        for key, (kind, arguments) in OPTIMIZERS.items():
            for fused in (None, True):
                optimizer: Any = kind(copy.deepcopy(last).parameters(), fused=fused, **arguments)
                for parameter in (one for group in optimizer.param_groups for one in group["params"]):
                    parameter.grad = torch.randn_like(parameter)
                steps[f"{key}{' fused' * bool(fused)}"] = optimizer.step
        optimizers = in_turn(steps, options.rounds, options.calls)
        print_costs(optimizers, "sgd")
        figures[name] = {
            **{key: one._asdict() for key, one in (cost | optimizers).items()},
            "channels_first": ratios(cost, "channels last")["channels first"],
        }
    record("options", figures)


if __name__ == "__main__":
    main()
