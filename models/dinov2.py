"""DINOv2, or any plain vision transformer, with a decoder."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any, Literal, final

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from models.backbone import Backbone, PretrainedNetwork, Stem, patch_of
from models.token_decoders import DPTTokenDecoder, UNetTokenDecoder

DECODERS: Mapping[str, type[UNetTokenDecoder] | type[DPTTokenDecoder]] = {
    "unet": UNetTokenDecoder,
    "dpt": DPTTokenDecoder,
}


@final
class DINOv2(PretrainedNetwork):
    """A plain vision transformer whose tokens a convolutional decoder turns into logits.

    DINOv2 (Oquab et al., TMLR 2024, arXiv:2304.07193) and any other backbone of the transformers library whose blocks
    all work at one resolution. Images of any size are resized to whole patches, and logits back to the images, both
    bicubically.

    Args:
        in_channels: Channels of the image: 1, or as many as the encoder's stem takes, which is 3.
        out_channels: Logits per pixel.
        backbone: A folder or a name on the hub (``facebook/dinov2-small``), or without weights an architecture.
        pretrained: See :class:`models.backbone.Backbone`, also for the following.
        config: Values of the encoder's configuration to replace.
        stem: ``repeat`` or ``sum``.
        trainable_blocks: How many of the last blocks train; 0 freezes the encoder, null trains all.
        encoder_lr: Learning rate of the last block relative to the decoder's.
        layer_decay: Learning rate of every block relative to the next.
        decoder: ``unet`` over the last five blocks (Baharoon et al. 2024) or ``dpt`` over four (Ranftl et al. 2021).
        scale: Image sides are multiplied by this before they are cut into patches: more and smaller patches, at a cost
            that grows with its square and more. 1.75 makes 448 of 256, as in Baharoon et al.
        width: Channels of the decoder, of ``unet`` after its first step; null for half of the tokens' and 256.

    Raises:
        ValueError: If an argument is out of range, files are missing, or the backbone is not plain.
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
        decoder: Literal["unet", "dpt"] = "unet",
        scale: float = 1.0,
        width: int | None = None,
    ) -> None:
        if scale <= 0:
            raise ValueError(f"model.scale={scale}: must be above 0")
        if width is not None and width < 4:
            raise ValueError(f"model.width={width}: must be 4 or more, or null")
        chosen = DECODERS[decoder]
        encoder = Backbone(
            in_channels,
            backbone,
            chosen.choose,
            pretrained,
            config or {},
            stem,
            trainable_blocks,
            encoder_lr,
            layer_decay,
        )
        if len(set(encoder.strides)) > 1:
            raise ValueError(
                f"model.backbone={backbone}: its features have strides {encoder.strides}, which is not plain; "
                "a pyramid goes with model=backbone_unet"
            )
        super().__init__(divisor=1, deep_supervision=False, backbone=encoder, outputs=f"decoder.{chosen.outputs}")
        self.patch, self.scale = patch_of(encoder.model.config), scale
        self.decoder = chosen(encoder.channels[0], out_channels, width)

    def patches(self, side: int) -> int:
        """Return into how many patches a side of the image is cut, at least two."""
        return max(2, ceil(round(side * self.scale / self.patch, 6)))

    def forward(self, image: Float[Tensor, "B I H W"]) -> Tensor:
        """Return logits (B, K, H, W)."""
        height, width = image.shape[2:]
        size = [self.patch * self.patches(height), self.patch * self.patches(width)]
        resized = F.interpolate(image, size=size, mode="bicubic", align_corners=False)
        logits = self.decoder(self.encoder(resized))
        return F.interpolate(logits, size=(height, width), mode="bicubic", align_corners=False)
