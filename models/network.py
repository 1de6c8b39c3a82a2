"""What every network is: its constructor's first arguments, the sizes it takes and what it returns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn


@runtime_checkable
class Attentive(Protocol):
    """A network that can show where it looks."""

    def attention_maps(self, image: Float[Tensor, "B I H W"]) -> dict[str, Tensor]:
        """Return maps (B, h, w) in [0, 1] by the name of what they belong to, each at its own resolution."""


class SegmentationNetwork(nn.Module, ABC):
    """Maps images to logits of the same size.

    A subclass is a conf node (``conf/model/<name>.yaml``) whose constructor takes ``in_channels`` and
    ``out_channels``, given by the run, and then its own keys.

    Args:
        divisor: What the sides of an image must be divisible by: 2 to the number of times that they are halved.
        deep_supervision: Whether :meth:`forward` returns a list of logits in train mode.
        outputs: Where the layer lies that logits come from, or the layers, one for each level and nothing else.

    Attributes:
        input_statistics: Mean and standard deviation that the image is normalised by, where the network's weights ask
            for them; None for those of the training cases.
        lr_scale: Factors of the learning rate by the names of parameters; 1 for those that are not named.
        standalone_keys: Conf keys by which a checkpoint's network is built without files that lie elsewhere.
    """

    def __init__(self, divisor: int, deep_supervision: bool = False, outputs: str = "to_logits") -> None:
        super().__init__()
        self.divisor = divisor
        self.deep_supervision = deep_supervision
        self.outputs = outputs
        self.input_statistics: tuple[float, float] | None = None
        self.lr_scale: dict[str, float] = {}
        self.standalone_keys: dict[str, Any] = {}

    @abstractmethod
    def forward(self, image: Float[Tensor, "B I H W"]) -> Tensor | list[Tensor]:
        """Return logits (B, K, H, W).

        In train mode a network with ``deep_supervision`` returns a list instead, the logits above first and then those
        of its coarser levels at their own, lower resolutions. In eval mode it is always one tensor.
        """

    @property
    def output_parameters(self) -> dict[str, nn.Parameter]:
        """Weights (K, ...) and biases (K,) of the layers that logits come from, by the names they have here."""
        layers = self.get_submodule(self.outputs)
        return {f"{self.outputs}.{name}": parameter for name, parameter in layers.named_parameters()}

    @property
    def logit_biases(self) -> list[nn.Parameter]:
        """Biases (K,) of the layers that logits come from, one for each level, the finest first."""
        return [parameter for name, parameter in self.output_parameters.items() if name.endswith("bias")]

    @torch.no_grad()
    def set_bias(self, bias: Float[Tensor, " K"]) -> None:
        """Set the values that the logits of every level start from.

        Nearly every pixel is none of a class. A network that starts by giving each class one half learns this first,
        for hundreds of steps; one that starts from a rare class learns shapes at once (Lin et al., Focal Loss, ICCV
        2017, arXiv:1708.02002, section 3.3).
        """
        for parameter in self.logit_biases:
            parameter.copy_(bias)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the parameters that train as an optimizer takes them, one group for each ``lr_scale``.

        An optimizer keeps keys that it does not know, so that its groups' learning rates can be scaled once it is made.
        """
        groups: dict[float, list[nn.Parameter]] = {}
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                groups.setdefault(self.lr_scale.get(name, 1.0), []).append(parameter)
        return [{"params": parameters, "lr_scale": scale} for scale, parameters in groups.items()]

    def check_size(self, height: int, width: int) -> None:
        """Refuse a size that the network cannot take.

        The coarsest level needs two pixels a side: a single one has no variance to normalise by.

        Raises:
            ValueError: If a side is not divisible by ``divisor`` or shorter than two of them.
        """
        step, least = self.divisor, 2 * self.divisor
        if height % step or width % step or min(height, width) < least:
            nearest = max(least, round(max(height, width) / step) * step)
            raise ValueError(
                f"model {type(self).__name__.lower()} takes sides that {step} divides, {least} or more; "
                f"{height} x {width} was given: set data.image_size={nearest}"
            )
