"""Encoders from the transformers library, and what a network is that stands on one."""

from __future__ import annotations

import json
from abc import ABC
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.network import SegmentationNetwork
from models.pretrained import configuration, first_line, is_kind, library, load, statistics_of

Stem = Literal["repeat", "sum"]
NOT_ARCHITECTURE = {
    *("architectures", "dtype", "id2label", "label2id", "out_features", "out_indices", "model_type"),
    *("transformers_version", "stage_names", "_name_or_path"),
}
"""Entries of a configuration that are not needed to build the encoder again."""
LEAST_SIDE = 64
"""Side of the image that an encoder is tried on, in pixels."""


@final
class Backbone(nn.Module):
    """An ``AutoBackbone`` of the transformers library, taking grey images, or as many channels as it was made for.

    A checkpoint's own normalisation is the first thing it does: mean and standard deviation are buffers of one value a
    channel, and subtracting them makes three channels of a grey one.

    Its parameters have depths: first what comes before the blocks, then the blocks (of a plain transformer) or stages
    (of a pyramid), last what follows them. ``trainable_blocks`` and ``layer_decay`` go by them.

    Args:
        in_channels: Channels of the image: 1, or those of the stem.
        name: A folder or a name on the hub, with ``config.json``, ``preprocessor_config.json`` and
            ``model.safetensors``; or, without weights, an architecture (``resnet``, ``convnextv2``, ``swin``).
        levels: Chooses among the indices of all stages those whose features are returned.
        pretrained: Load weights; false starts from random ones.
        config: Values of the configuration to replace.
        stem: How a single grey channel meets the filters of the stem: ``repeat`` shows it to each of their channels,
            ``sum`` adds the channels up, and saves their time, under the mean normalisation of the channels.
        trainable_blocks: How many of the last blocks train, 0 for none; null trains everything.
        encoder_lr: Learning rate of the last block relative to the decoder's, above 0.
        layer_decay: Learning rate of every block relative to the next, in (0, 1] (Clark et al., ICLR 2020).

    Raises:
        ValueError: If an argument is out of range, files are missing, or the architecture is no such backbone.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        in_channels: int,
        name: str,
        levels: Callable[[Sequence[int]], Sequence[int]],
        pretrained: bool,
        config: Mapping[str, Any],
        stem: Stem,
        trainable_blocks: int | None,
        encoder_lr: float,
        layer_decay: float,
    ) -> None:
        super().__init__()
        if encoder_lr <= 0:
            raise ValueError(f"model.encoder_lr={encoder_lr}: must be above 0; model.trainable_blocks=0 freezes")
        if not 0 < layer_decay <= 1:
            raise ValueError(f"model.layer_decay={layer_decay}: must lie in (0, 1]")
        if pretrained and is_kind(name):
            raise ValueError(f"model.backbone={name}: has no weights; name some, or set model.pretrained=false")
        self.model = build(name, levels, pretrained, config)
        self.standalone_keys = standalone(self.model.config)
        self.input_statistics = (0.0, 1.0) if pretrained else None
        channels = int(self.model.config.num_channels)
        if in_channels not in (1, channels):
            raise ValueError(
                f"model.backbone={name}: takes images of 1 or {channels} channels, the data have {in_channels}; "
                "choose as many windows (data.source.reader.window)"
            )
        summed = in_channels == 1 and stem == "sum"
        self._normalise_by(*(statistics_of(name) if pretrained else ([0.0], [1.0])), summed)
        self._probe(name, in_channels)
        depths = depths_of(self.model)
        top = max(depths.values())
        self.lr_scale = {f"model.{key}": encoder_lr * layer_decay ** (top - depth) for key, depth in depths.items()}
        if trainable_blocks is not None:
            self._freeze(depths, top, trainable_blocks)
        self.train()

    @property
    def channels(self) -> list[int]:
        """Channels of each level's features, the finest first."""
        return list(self.model.channels)

    def forward(self, image: Float[Tensor, "B I H W"]) -> list[Tensor]:
        """Return features (B, C, h, w) of each level, the finest first."""
        features = self.model((image - self.mean) / self.std).feature_maps
        return list(features)

    def train(self, mode: bool = True) -> Backbone:
        """Switch the mode; what is frozen stays in eval mode, so that no running mean of it moves."""
        super().train(mode)
        for module in self.model.modules():
            own = list(module.parameters())
            if own and not any(parameter.requires_grad for parameter in own):
                module.eval()
        return self

    def _normalise_by(self, mean: Sequence[float], std: Sequence[float], summed: bool) -> None:
        channels = int(self.model.config.num_channels)
        if summed:
            sum_stem(self.model)
            mean, std, channels = [sum(mean) / len(mean)], [sum(std) / len(std)], 1
        self.register_buffer("mean", torch.tensor(mean)[:, None, None].expand(channels, 1, 1).clone())
        self.register_buffer("std", torch.tensor(std)[:, None, None].expand(channels, 1, 1).clone())

    @torch.enable_grad()
    def _probe(self, name: str, in_channels: int) -> None:
        """Run once on a small image: measure strides, and let parameters rest that no feature depends on."""
        patch = patch_of(self.model.config)
        side = -(-LEAST_SIDE // patch) * patch
        try:
            features = self.eval()(torch.zeros(1, in_channels, side, side))
        except (RuntimeError, ValueError) as error:
            raise ValueError(f"model.backbone={name}: fails on {side} x {side}: {first_line(error)}") from error
        self.strides = [side // level.shape[2] for level in features]
        parameters = list(self.model.parameters())
        total = torch.stack([level.sum() for level in features]).sum()
        gradients = torch.autograd.grad(total, parameters, allow_unused=True)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.requires_grad_(gradient is not None)

    def _freeze(self, depths: Mapping[str, int], top: int, trainable_blocks: int) -> None:
        if not 0 <= trainable_blocks <= top:
            raise ValueError(f"model.trainable_blocks={trainable_blocks}: must lie in 0 to {top}, or be null")
        for name, depth in depths.items():
            if depth <= top - trainable_blocks:
                self.model.get_parameter(name).requires_grad_(False)


class PretrainedNetwork(SegmentationNetwork, ABC):
    """A network on top of a :class:`Backbone`, which says how the run must treat the encoder's weights.

    Args:
        divisor: See :class:`models.network.SegmentationNetwork`.
        deep_supervision: The same.
        backbone: The encoder.
        outputs: See :class:`models.network.SegmentationNetwork`.
    """

    def __init__(self, divisor: int, deep_supervision: bool, backbone: Backbone, outputs: str = "to_logits") -> None:
        super().__init__(divisor, deep_supervision, outputs)
        self.encoder = backbone
        self.input_statistics = backbone.input_statistics
        self.standalone_keys = backbone.standalone_keys
        self.lr_scale = {f"encoder.{name}": scale for name, scale in backbone.lr_scale.items()}


def build(
    name: str, levels: Callable[[Sequence[int]], Sequence[int]], pretrained: bool, changes: Mapping[str, Any]
) -> Any:
    """Return the library's backbone with the chosen levels as outputs; arguments and errors as of :class:`Backbone`."""
    settings = configuration(name, changes)
    stages = [index for index, stage in enumerate(getattr(settings, "stage_names", ())) if stage != "stem"]
    auto = library().AutoBackbone
    try:
        if stages:
            settings.out_indices = list(levels(stages))
        with torch.device("meta"):
            kind = type(auto.from_config(settings))
    except (ImportError, ValueError) as error:
        if str(error).startswith("model."):
            raise
        raise ValueError(
            f"model.backbone={name}: transformers has no backbone of kind {settings.model_type!r}"
        ) from error
    return load(kind, name, settings) if pretrained else auto.from_config(settings)


def standalone(config: Any) -> dict[str, Any]:
    """Return the conf keys that build the architecture of a configuration without reading a file."""
    values = {
        key: value
        for key, value in json.loads(config.to_json_string(use_diff=False)).items()
        if key not in NOT_ARCHITECTURE
    }
    return {"backbone": config.model_type, "pretrained": False, "config": values}


def patch_of(config: Any) -> int:
    """Return the side of the squares that an encoder first cuts an image into, 1 where it does not say."""
    patch = getattr(config, "patch_size", None) or 1
    return patch if isinstance(patch, int) else max(patch)


def depths_of(model: nn.Module) -> dict[str, int]:
    """Return each parameter's depth: 0 before the blocks, 1, 2, ... in them, and the last one's behind them.

    The blocks are the entries of the module list with the most parameters.
    """
    lists = {name: module for name, module in model.named_modules() if isinstance(module, nn.ModuleList)}
    blocks = max(lists, key=lambda name: sum(parameter.numel() for parameter in lists[name].parameters()))
    depths, depth = {}, 0
    for name, _ in model.named_parameters():
        if name.startswith(f"{blocks}."):
            depth = 1 + int(name.removeprefix(f"{blocks}.").partition(".")[0])
        depths[name] = depth
    return depths


@torch.no_grad()
def sum_stem(model: Any) -> None:
    """Let the first convolution take one channel, with its filters summed over those that it took before."""
    channels = model.config.num_channels
    stem = next(
        module for module in model.modules() if isinstance(module, nn.Conv2d) and module.in_channels == channels
    )
    stem.weight = nn.Parameter(stem.weight.sum(dim=1, keepdim=True))
    stem.in_channels = 1
    for module in model.modules():
        if getattr(module, "num_channels", None) == channels:
            module.num_channels = 1
