"""A U-Net decoder over a pretrained encoder."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, final

from jaxtyping import Float
from torch import Tensor, nn

from models.backbone import Backbone, PretrainedNetwork, Stem
from models.unet_decoder import PyramidDecoder


@final
class BackboneUNet(PretrainedNetwork):
    """U-Net whose encoder is any backbone of the transformers library that yields a pyramid of features.

    Residual networks (He et al., CVPR 2016), ConvNeXt V2 (Woo et al., CVPR 2023), Swin (Liu et al., ICCV 2021) and
    others; encoders learnt on photographs also help with medical images where few are labeled.

    Args:
        in_channels: Channels of the image: 1, or as many as the encoder's stem takes, which is 3.
        out_channels: Logits per pixel.
        backbone: A folder or a name on the hub (``microsoft/resnet-50``), or without weights an architecture.
        pretrained: See :class:`models.backbone.Backbone`, also for the following.
        config: Values of the encoder's configuration to replace.
        stem: ``repeat`` or ``sum``.
        trainable_blocks: How many of the last stages train; null for all.
        encoder_lr: Learning rate of the last stage relative to the decoder's.
        layer_decay: Learning rate of every stage relative to the next.
        width: Channels of the decoder at full resolution; every coarser level has twice as many.
        norm: The decoder's normalisation, ``batch``, ``instance`` or ``group``.
        deep_supervision: Return logits of every decoder level in train mode.

    Raises:
        ValueError: If an argument is out of range, files are missing, or the backbone yields no pyramid.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        backbone: str,
        pretrained: bool = True,
        config: Mapping[str, Any] | None = None,
        stem: Stem = "repeat",
        trainable_blocks: int | None = None,
        encoder_lr: float = 1.0,
        layer_decay: float = 1.0,
        width: int = 16,
        norm: str = "batch",
        deep_supervision: bool = False,
    ) -> None:
        if width < 1:
            raise ValueError(f"model.width={width}: must be 1 or more")
        encoder = Backbone(
            in_channels, backbone, list, pretrained, config or {}, stem, trainable_blocks, encoder_lr, layer_decay
        )
        strides = encoder.strides
        if len(strides) < 2 or any(coarse != 2 * fine for fine, coarse in pairwise(strides)):
            raise ValueError(
                f"model.backbone={backbone}: its features have strides {strides}, which is no pyramid; "
                "plain vision transformers go with model=dinov2"
            )
        super().__init__(strides[-1], deep_supervision, encoder)
        finer = strides[0].bit_length() - 1
        self.decoder = PyramidDecoder(in_channels, encoder.channels, finer, width, norm)
        supervised = self.decoder.widths if deep_supervision else self.decoder.widths[:1]
        self.to_logits = nn.ModuleList(nn.Conv2d(channels, out_channels, 1) for channels in supervised)

    def forward(self, image: Float[Tensor, "B I H W"]) -> Tensor | list[Tensor]:
        """Return logits, as :class:`SegmentationNetwork` says."""
        finest_first = self.decoder(image, self.encoder(image))
        if self.training and self.deep_supervision:
            return [layer(level) for layer, level in zip(self.to_logits, finest_first, strict=True)]
        logits: Tensor = self.to_logits[0](finest_first[0])
        return logits
