"""Swin UNETR."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import final

from jaxtyping import Float
from monai.networks.nets import SwinUNETR as MonaiSwinUNETR
from torch import Tensor

from models.encoder_weights import load_where_shapes_agree, read_weights, table
from models.network import SegmentationNetwork

log = logging.getLogger(__name__)


@final
class SwinUNETR(SegmentationNetwork):
    """MONAI's Swin UNETR in two dimensions (Hatamizadeh et al., BrainLes 2021, arXiv:2201.01266).

    A Swin transformer, past whose levels a convolutional decoder goes back up. It needs the package ``einops``.

    Args:
        in_channels: Channels of the image.
        out_channels: Logits per pixel.
        width: Channels of the finest level; every coarser level has twice as many. 48 in the paper.
        depths: Transformer blocks of each of the four levels.
        heads: Attention heads of each of the four levels.
        window: Side of the square, in tokens, within which attention is paid.
        drop_path: Largest probability that a transformer block is skipped in train mode, in [0, 1).
        weights: A file of pretrained encoder weights in MONAI's names, ``.safetensors`` or PyTorch; null for none.
            They are taken where shapes agree, a volume's among them, and a table says what became of each.

    Raises:
        ValueError: If an argument is out of range, or the file holds no weight of this encoder.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int = 24,
        depths: tuple[int, int, int, int] = (2, 2, 2, 2),
        heads: tuple[int, int, int, int] = (3, 6, 12, 24),
        window: int = 7,
        drop_path: float = 0.0,
        weights: Path | None = None,
    ) -> None:
        if find_spec("einops") is None:
            raise ValueError("model swin_unetr needs the package einops: pip install -e '.[backbones]'")
        if width < 12 or width % 12:
            raise ValueError(f"model.width={width}: must be a multiple of 12")
        unsplit = [count for level, count in enumerate(heads) if count < 1 or width * 2**level % count]
        if unsplit:
            raise ValueError(f"model.heads={list(heads)}: {unsplit[0]} does not divide the channels of its level")
        if min(depths) < 1:
            raise ValueError(f"model.depths={list(depths)}: must be 1 or more")
        if window < 2:
            raise ValueError(f"model.window={window}: must be 2 or more")
        if not 0 <= drop_path < 1:
            raise ValueError(f"model.drop_path={drop_path}: must lie in [0, 1)")
        super().__init__(divisor=32, outputs="network.out")
        self.standalone_keys = {"weights": None}
        self.network = MonaiSwinUNETR(
            in_channels,
            out_channels,
            spatial_dims=2,
            feature_size=width,
            depths=depths,
            num_heads=heads,
            window_size=window,
            dropout_path_rate=drop_path,
        )
        if weights is not None:
            self._load(weights)

    def _load(self, path: Path) -> None:
        rows = load_where_shapes_agree(self.network.swinViT, read_weights(path))
        if not any(row.outcome in ("loaded", "reshaped") for row in rows):
            raise ValueError(f"model.weights={path}: holds no weight of a Swin encoder of model.width={self.width}")
        log.info("%s: %s", path, table(rows))

    @property
    def width(self) -> int:
        """Channels of the finest level."""
        return int(self.network.swinViT.embed_dim)

    def forward(self, image: Float[Tensor, "B I H W"]) -> Tensor:
        """Return logits (B, K, H, W)."""
        logits: Tensor = self.network(image)
        return logits
