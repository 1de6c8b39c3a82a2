from __future__ import annotations

import pytest
import torch

from models.dinov2 import DINOv2
from models.token_decoders import DPTTokenDecoder, UNetTokenDecoder

VIT = {"hidden_size": 16, "num_hidden_layers": 6, "num_attention_heads": 2, "image_size": 56}
RESNET = {"embedding_size": 4, "hidden_sizes": [4, 8, 16, 32], "depths": [1, 1, 1, 1]}


def small(**keys) -> DINOv2:
    torch.manual_seed(0)
    return DINOv2(1, 3, **{"backbone": "dinov2", "pretrained": False, "config": VIT, **keys})


@pytest.mark.parametrize(("embedding", "millions"), [(384, 2.67), (768, 10.13), (1024, 17.79)])
def test_the_unet_decoder_has_the_published_number_of_parameters(embedding, millions):
    with torch.device("meta"):
        decoder = UNetTokenDecoder(embedding, 54)
    assert round(sum(p.numel() for p in decoder.parameters()) / 1e6, 2) == millions


def test_the_encoder_has_the_published_number_of_parameters():
    with torch.device("meta"):
        network = DINOv2(1, 54, "dinov2", False, {"hidden_size": 384, "num_attention_heads": 6, "image_size": 518})
    assert round(sum(p.numel() for p in network.encoder.parameters()) / 1e6, 2) == 22.06


@pytest.mark.parametrize("decoder", [UNetTokenDecoder, DPTTokenDecoder])
def test_a_decoder_uses_every_block_that_it_asks_for(decoder):
    chosen = decoder.choose(list(range(1, 13)))
    assert list(chosen) == {UNetTokenDecoder: [8, 9, 10, 11, 12], DPTTokenDecoder: [3, 6, 9, 12]}[decoder]
    tokens = [torch.rand(2, 16, 3, 5, requires_grad=True) for _ in chosen]
    logits = decoder(16, 4, width=8)(tokens)
    factor = {UNetTokenDecoder: 16, DPTTokenDecoder: 8}[decoder]
    assert logits.shape == (2, 4, 3 * factor, 5 * factor)
    logits.square().sum().backward()
    assert all(bool(one.grad.abs().sum() > 0) for one in tokens)


@pytest.mark.parametrize(("decoder", "blocks"), [("unet", 4), ("dpt", 3)])
def test_too_few_blocks_are_refused(decoder, blocks):
    with pytest.raises(ValueError, match=rf"model\.decoder={decoder}: needs .* blocks; the backbone has {blocks}"):
        small(decoder=decoder, config={**VIT, "num_hidden_layers": blocks})


@pytest.mark.parametrize(("scale", "side", "patches"), [(1.0, 256, 19), (1.75, 256, 32), (1.0, 14, 2), (0.5, 64, 3)])
def test_a_side_is_cut_into_whole_patches(scale, side, patches):
    assert small(scale=scale).patches(side) == patches


@pytest.mark.parametrize("size", [(33, 47), (28, 70)])
def test_any_size_goes_and_comes_back(size):
    network = small().eval()
    network.check_size(*size)
    assert network(torch.rand(1, 1, *size)).shape == (1, 3, *size)


def test_other_plain_transformers_go_too():
    config = {**VIT, "image_size": 64, "patch_size": 16}
    for kind in ("vitdet", "dinov3_vit", "dinov2_with_registers", "beit"):
        assert small(backbone=kind, config=config).eval()(torch.rand(1, 1, 64, 96)).shape == (1, 3, 64, 96)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"scale": 0.0}, r"model\.scale=0\.0"),
        ({"width": 3}, r"model\.width=3"),
        ({"in_channels": 2}, "takes images of 1 or 3 channels, the data have 2"),
        ({"backbone": "resnet", "config": RESNET, "decoder": "dpt"}, "a pyramid goes with model=backbone_unet"),
    ],
)
def test_arguments_out_of_range_are_refused(keys, message):
    with pytest.raises(ValueError, match=message):
        DINOv2(
            **{"in_channels": 1, "out_channels": 3, "backbone": "dinov2", "pretrained": False, "config": VIT, **keys}
        )
