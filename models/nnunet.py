"""The network of nnU-Net's 2D plan."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, prod
from typing import NamedTuple, final

import torch
from jaxtyping import Float
from monai.networks.nets import DynUNet
from torch import Tensor, nn

from models.network import SegmentationNetwork

SMALLEST_SIDE = 4
"""An axis is halved as long as this many pixels are left of it."""
ANISOTROPY = 2
"""An axis whose pixels are this many times as long as the shortest is neither halved nor convolved along."""


class Plan(NamedTuple):
    """What nnU-Net's planner decides; one entry a stage, the finest first.

    Args:
        kernels: Kernel sizes, along rows and columns.
        strides: By what each stage shortens rows and columns; the first by nothing.
    """

    kernels: list[list[int]]
    strides: list[list[int]]

    @property
    def divisor(self) -> int:
        """What the sides of an image must be divisible by."""
        return max(prod(stride[axis] for stride in self.strides) for axis in range(2))


def plan(sides: Sequence[int], spacing_mm: Sequence[float]) -> Plan:
    """Return the stages that nnU-Net would give a two-dimensional patch.

    Every axis is halved as long as at least four pixels of it remain afterwards, those of coarser pixels only after the
    finer ones have caught up, and kernels grow from 1 to 3 along with them (Isensee et al., Nature Methods 2021,
    arXiv:1904.08128, online methods). One axis alone is halved only where six remain.

    Args:
        sides: Rows and columns, in pixels.
        spacing_mm: Size of a pixel along rows and columns.
    """
    size, spacing, kernel = list(sides), list(spacing_mm), [1, 1]
    kernels, strides = [], [[1, 1]]
    while axes := _axes_to_halve(size, spacing):
        kernel = [3 if k == 3 or s < ANISOTROPY * min(spacing) else 1 for k, s in zip(kernel, spacing, strict=True)]
        kernels.append(kernel)
        strides.append([2 if axis in axes else 1 for axis in range(2)])
        size = [ceil(side / stride) for side, stride in zip(size, strides[-1], strict=True)]
        spacing = [one * stride for one, stride in zip(spacing, strides[-1], strict=True)]
    return Plan([*kernels, [3, 3]], strides)


def _axes_to_halve(size: Sequence[int], spacing: Sequence[float]) -> list[int]:
    long_enough = [axis for axis in range(2) if size[axis] >= 2 * SMALLEST_SIDE]
    finest = min((spacing[axis] for axis in long_enough), default=0.0)
    axes = [axis for axis in long_enough if spacing[axis] < ANISOTROPY * finest]
    alone = len(axes) == 1 and size[axes[0]] < 3 * SMALLEST_SIDE
    return [] if alone else axes


@final
class NNUNet(SegmentationNetwork):
    """MONAI's DynUNet under nnU-Net's 2D plan (Isensee et al., Nature Methods 2021, arXiv:1904.08128).

    Two convolutions a stage with instance normalisation and leaky ReLU, strided convolutions down, transposed ones up.
    At 256 x 256 the plan has seven stages of 32 to 512 features and 33.5 million parameters. nnU-Net pads a patch until
    the stages divide it; here a size that they do not divide is refused.

    DynUNet in train mode enlarges its coarser levels to the image's size and stacks them. Here its parts are called one
    by one, and every level stays at its own resolution, as the losses of this project and nnU-Net's take them.

    Args:
        in_channels: Channels of the image.
        out_channels: Logits per pixel.
        image_size: Side of the images, in pixels.
        spacing_mm: Size of a pixel along rows and columns; only their ratio matters.
        width: Features of the finest stage; every coarser stage has twice as many.
        max_width: Most features of a stage.
        deep_supervision: Return logits of every decoder level in train mode.

    Raises:
        ValueError: If an argument is out of range, or the images are too small for three stages.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        image_size: int,
        spacing_mm: tuple[float, float] = (1.0, 1.0),
        width: int = 32,
        max_width: int = 512,
        deep_supervision: bool = True,
    ) -> None:
        if width < 1:
            raise ValueError(f"model.width={width}: must be 1 or more")
        if max_width < width:
            raise ValueError(f"model.max_width={max_width}: must be model.width={width} or more")
        if min(spacing_mm) <= 0:
            raise ValueError(f"model.spacing_mm={list(spacing_mm)}: must be above 0")
        stages = plan((image_size, image_size), spacing_mm)
        if len(stages.strides) < 3:
            raise ValueError(f"model.image_size={image_size}: nnU-Net's plan needs {4 * SMALLEST_SIDE} or more")
        super().__init__(stages.divisor, deep_supervision)
        whole = DynUNet(
            spatial_dims=2,
            in_channels=in_channels,
            out_channels=out_channels,
            kernel_size=stages.kernels,
            strides=stages.strides,
            upsample_kernel_size=stages.strides[1:],
            filters=[min(width * 2**stage, max_width) for stage in range(len(stages.strides))],
            deep_supervision=deep_supervision,
            deep_supr_num=len(stages.strides) - 2,
        )
        self.encoder = nn.ModuleList([whole.input_block, *whole.downsamples, whole.bottleneck])
        self.decoder = whole.upsamples
        coarser = whole.deep_supervision_heads if deep_supervision else ()
        self.to_logits = nn.ModuleList([whole.output_block, *coarser])
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, image: Float[Tensor, "B I H W"]) -> Tensor | list[Tensor]:
        """Return logits, as :class:`SegmentationNetwork` says."""
        skips = [image]
        for block in self.encoder:
            skips.append(block(skips[-1]))
        features = [skips.pop()]
        for step in self.decoder:
            features.append(step(features[-1], skips.pop()))
        finest_first = features[:0:-1]
        if self.training and self.deep_supervision:
            return [layer(level) for layer, level in zip(self.to_logits, finest_first, strict=True)]
        logits: Tensor = self.to_logits[0](finest_first[0])
        return logits
