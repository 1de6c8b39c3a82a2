from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from monai.networks.nets import SwinUNETR as MonaiSwinUNETR
from safetensors.torch import save_file

from models.encoder_weights import load_where_shapes_agree, read_weights, reshaped, table
from models.swin_unetr import SwinUNETR

KEYS = {"width": 12, "depths": (1, 1, 1, 1), "heads": (1, 2, 2, 2), "window": 4}


def small(**keys) -> SwinUNETR:
    return SwinUNETR(1, 3, **{**KEYS, **keys})


def test_parameters_grow_with_the_width():
    counts = [sum(p.numel() for p in SwinUNETR(1, 55, width=width).parameters()) for width in (24, 48)]
    assert counts == [6_303_553, 25_140_577]


def test_it_is_monais_network():
    network = small().eval()
    theirs = MonaiSwinUNETR(
        1, 3, spatial_dims=2, feature_size=12, depths=(1, 1, 1, 1), num_heads=(1, 2, 2, 2), window_size=4
    ).eval()
    theirs.load_state_dict(network.network.state_dict())
    image = torch.rand(2, 1, 64, 64)
    torch.testing.assert_close(network(image), theirs(image))


def encoder_weights(spatial_dims: int, in_channels: int = 1) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    network = MonaiSwinUNETR(
        in_channels,
        3,
        spatial_dims=spatial_dims,
        feature_size=12,
        depths=(1, 1, 1, 1),
        num_heads=(1, 2, 2, 2),
        window_size=4,
    )
    return {f"module.{name}": value for name, value in network.swinViT.named_parameters()}


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_weights_of_the_same_encoder_are_all_taken(tmp_path, caplog, suffix):
    path = tmp_path / f"swin{suffix}"
    weights = {name: value.detach() for name, value in encoder_weights(2).items()}
    save_file(weights, path) if suffix == ".safetensors" else torch.save({"state_dict": weights}, path)
    caplog.set_level(logging.INFO)
    network = small(weights=path)
    for name, value in network.network.swinViT.named_parameters():
        assert torch.equal(value, weights[f"module.{name}"])
    assert f"{len(weights)} loaded" in caplog.text
    assert "skipped" not in caplog.text


def test_a_volumes_weights_are_taken_where_there_is_a_meaning_to_it():
    network = small().network.swinViT
    weights = encoder_weights(3, in_channels=2)
    rows = {row.name: row for row in load_where_shapes_agree(network, weights)}
    stem = weights["module.patch_embed.proj.weight"]
    torch.testing.assert_close(network.patch_embed.proj.weight, stem.sum(dim=2).sum(dim=1, keepdim=True))
    name = "layers1.0.blocks.0.attn.relative_position_bias_table"
    assert rows[name].outcome == rows["patch_embed.proj.weight"].outcome == "reshaped"
    assert torch.equal(network.get_parameter(name), weights[f"module.{name}"].view(7, 49, -1)[3])
    assert rows["layers1.0.blocks.0.attn.qkv.weight"].outcome == "loaded"
    assert rows["layers1.0.downsample.reduction.weight"] == (
        "layers1.0.downsample.reduction.weight",
        "skipped",
        "24 x 96 there, 24 x 48 here",
    )


def test_the_centre_of_a_table_of_relative_positions_is_at_the_same_depth():
    """At depth 0 the index of MONAI's own volume window is the one of the slice."""
    volume = MonaiSwinUNETR(1, 3, spatial_dims=3, feature_size=12, num_heads=(1, 2, 2, 2), window_size=4)
    plane = MonaiSwinUNETR(1, 3, spatial_dims=2, feature_size=12, num_heads=(1, 2, 2, 2), window_size=4)
    there = volume.swinViT.layers1[0].blocks[0].attn
    here = plane.swinViT.layers1[0].blocks[0].attn
    table3 = there.relative_position_bias_table
    table2 = reshaped(table3, here.relative_position_bias_table.shape)
    same_depth = there.relative_position_index[:16, :16]
    torch.testing.assert_close(table2[here.relative_position_index], table3[same_depth])


def test_the_table_tells_all_that_was_not_simply_loaded():
    encoder = torch.nn.ModuleDict({"a": torch.nn.Linear(2, 2), "b": torch.nn.Linear(2, 3)})
    weights = {"encoder.a.weight": torch.ones(2, 2), "b.weight": torch.ones(4, 2), "c": torch.ones(1)}
    text = table(load_where_shapes_agree(encoder, weights))
    assert text.splitlines() == [
        "1 loaded, 2 random, 2 skipped",
        "  random    a.bias: not in the file",
        "  skipped   b.weight: 4 x 2 there, 3 x 2 here",
        "  random    b.bias: not in the file",
        "  skipped   c: not in the network",
    ]
    assert torch.equal(encoder["a"].weight, torch.ones(2, 2))


def test_useless_files_are_refused_in_one_line(tmp_path: Path):
    missing, text, other = tmp_path / "no.pt", tmp_path / "text.pt", tmp_path / "other.pt"
    text.write_text("weights")
    torch.save({"conv.weight": torch.zeros(1)}, other)
    for path, message in ((missing, "no such file"), (text, "not a file of weights"), (other, "holds no weight")):
        with pytest.raises(ValueError, match=message) as error:
            small(weights=path)
        assert "\n" not in str(error.value)


def test_no_code_in_a_file_is_run(tmp_path: Path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    torch.save({"state_dict": {"patch_embed.proj.weight": Trap()}}, tmp_path / "trap.pt")
    with pytest.raises(ValueError, match="not a file of weights"):
        read_weights(tmp_path / "trap.pt")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"width": 16}, r"model\.width=16: must be a multiple of 12"),
        ({"heads": (5, 2, 2, 2)}, r"model\.heads=.*: 5 does not divide"),
        ({"depths": (1, 0, 1, 1)}, r"model\.depths="),
        ({"window": 1}, r"model\.window=1"),
        ({"drop_path": 1.0}, r"model\.drop_path=1\.0"),
    ],
)
def test_arguments_out_of_range_are_refused(keys, message):
    with pytest.raises(ValueError, match=message):
        small(**keys)


def test_without_einops_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr("models.swin_unetr.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install -e '\.\[backbones\]'"):
        small()
