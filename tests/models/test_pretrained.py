"""Weights are saved by the library itself, tiny and random, and loaded from their folder as a checkpoint's would be."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from transformers import AutoConfig, AutoModel, AutoModelForImageClassification, ResNetBackbone

from models.backbone import Backbone, depths_of
from models.backbone_unet import BackboneUNet
from models.dinov2 import DINOv2
from models.network import SegmentationNetwork
from models.pretrained import folder_of, quiet, statistics_of

RESNET = {"embedding_size": 4, "hidden_sizes": [4, 8, 16, 32], "depths": [1, 2, 1, 1]}
SWIN = {"embed_dim": 4, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2], "window_size": 4, "image_size": 64}
VIT = {"hidden_size": 16, "num_hidden_layers": 6, "num_attention_heads": 2, "image_size": 56}
MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.25, 0.5]
PROCESSOR = {"do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": MEAN, "image_std": STD}


def save(kind: str, settings: dict, folder: Path, auto: type = AutoModel) -> Path:
    torch.manual_seed(0)
    with quiet():
        auto.from_config(AutoConfig.for_model(kind, **settings)).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    return folder


@pytest.fixture
def resnet(tmp_path: Path) -> Path:
    return save("resnet", RESNET, tmp_path / "resnet", AutoModelForImageClassification)


def made(name: str | Path, pretrained: bool = True, **keys) -> Backbone:
    config = {} if pretrained else RESNET
    defaults = {"stem": "repeat", "trainable_blocks": None, "encoder_lr": 1.0, "layer_decay": 1.0}
    return Backbone(1, str(name), list, pretrained, config, **{**defaults, **keys})


def unet(name: str | Path, **keys) -> BackboneUNet:
    return BackboneUNet(1, 3, str(name), **{"width": 2, **keys})


def test_features_are_those_of_the_library_on_an_image_processed_as_the_checkpoint_says(resnet):
    with quiet():
        theirs = ResNetBackbone.from_pretrained(resnet, out_indices=[1, 2, 3, 4]).eval()
    image = torch.rand(2, 1, 64, 96)
    processed = (image.expand(-1, 3, -1, -1) - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    ours = made(resnet).eval()
    assert ours.input_statistics == (0.0, 1.0)
    assert (ours.channels, ours.strides) == ([4, 8, 16, 32], [4, 8, 16, 32])
    for level, expected in zip(ours(image), theirs(processed).feature_maps, strict=True):
        torch.testing.assert_close(level, expected)


def test_a_summed_stem_is_a_repeated_image_under_one_normalisation(resnet):
    processor = {**PROCESSOR, "image_mean": [0.4] * 3, "image_std": [0.25] * 3}
    (resnet / "preprocessor_config.json").write_text(json.dumps(processor))
    image = torch.rand(2, 1, 64, 64)
    repeated, summed = made(resnet).eval(), made(resnet, stem="sum").eval()
    assert (repeated.mean.shape, summed.mean.shape) == ((3, 1, 1), (1, 1, 1))
    for level, expected in zip(summed(image), repeated(image), strict=True):
        torch.testing.assert_close(level, expected)


@pytest.mark.parametrize("stem", ["repeat", "sum"])
def test_three_channels_meet_the_stem_as_a_photograph_does(resnet, stem):
    image = torch.rand(2, 1, 64, 64)
    colour = BackboneUNet(3, 3, str(resnet), stem=stem, width=2).encoder.eval()
    for level, expected in zip(colour(image.expand(-1, 3, -1, -1)), made(resnet).eval()(image), strict=True):
        torch.testing.assert_close(level, expected)
    assert BackboneUNet(3, 3, str(resnet), width=2).eval()(torch.rand(1, 3, 64, 64)).shape == (1, 3, 64, 64)


def test_random_weights_take_the_datas_statistics():
    network = unet("resnet", pretrained=False, config=RESNET)
    assert network.input_statistics is None
    assert torch.equal(network.encoder.mean, torch.zeros(3, 1, 1))
    assert unet("resnet", pretrained=False, config=RESNET).encoder.lr_scale


@pytest.mark.parametrize(
    ("changes", "mean", "std"),
    [
        ({}, MEAN, STD),
        ({"rescale_factor": 2 / 255}, [0.25, 0.2, 0.15], [0.1, 0.125, 0.25]),
        ({"do_rescale": False, "image_mean": [51.0], "image_std": [102.0]}, [0.2], [0.4]),
        ({"do_normalize": False}, [0.0], [1.0]),
    ],
)
def test_statistics_are_the_processors_in_our_units(tmp_path, changes, mean, std):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**PROCESSOR, **changes}))
    assert statistics_of(str(tmp_path)) == (pytest.approx(mean), pytest.approx(std))


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("preprocessor_config.json", None, "preprocessor_config.json: does not say how images are normalised"),
        ("preprocessor_config.json", "{}", "preprocessor_config.json: does not say how images are normalised"),
        ("config.json", None, "no usable config.json"),
        ("config.json", "{", "no usable config.json"),
        ("model.safetensors", None, "no weights that fit in .*needs config.json"),
        ("model.safetensors", "{}", "no weights that fit in .*needs config.json"),
    ],
)
def test_a_folder_that_lacks_something_is_refused_in_one_line(resnet, file, content, message):
    (resnet / file).unlink() if content is None else (resnet / file).write_text(content)
    with pytest.raises(ValueError, match=message) as error:
        made(resnet)
    assert "\n" not in str(error.value)


def test_pickled_weights_are_not_read(resnet):
    torch.save({"embedder.embedder.convolution.weight": torch.zeros(4, 3, 7, 7)}, resnet / "pytorch_model.bin")
    (resnet / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="no weights that fit"):
        made(resnet)


def test_weights_of_another_depth_or_width_are_refused(resnet):
    for changes in ({"depths": [1, 2, 2, 1]}, {"hidden_sizes": [4, 8, 16, 64]}):
        config = json.loads((resnet / "config.json").read_text())
        (resnet / "config.json").write_text(json.dumps({**config, **changes}))
        with pytest.raises(ValueError, match=r"its weights lack \d+ of ResNetBackbone|no weights that fit") as error:
            made(resnet)
        assert "\n" not in str(error.value)


def test_a_name_that_cannot_be_had_says_which_folder_to_fill(monkeypatch):
    def offline(*_, **__):
        raise LocalEntryNotFoundError("no connection")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(ValueError, match=r"model\.backbone=some/weights: no folder.*model\.safetensors into a folder"):
        made("some/weights")


def test_what_was_downloaded_is_taken_without_asking_again(monkeypatch, resnet):
    asked = []

    def snapshot(name, local_files_only=False, **_):
        asked.append(local_files_only)
        return str(resnet)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert folder_of("some/weights") == resnet
    assert asked == [True]
    (resnet / "model.safetensors").unlink()
    folder_of("some/weights")
    assert asked == [True, True, False]


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ValueError, match=r"pip install -e '\.\[backbones\]'"):
        unet("resnet", pretrained=False)


def checkpointed(kind: str, folder: Path, **keys) -> tuple[SegmentationNetwork, SegmentationNetwork]:
    """Return a network from a folder's weights, and one built after the folder is gone and loaded from its state."""
    network_kind = DINOv2 if kind == "dinov2" else BackboneUNet
    network = network_kind(1, 3, str(folder), **keys).eval()
    shutil.rmtree(folder)
    assert json.loads(json.dumps(network.standalone_keys)) == network.standalone_keys
    other = network_kind(1, 3, **{**keys, **network.standalone_keys}).eval()
    other.load_state_dict(network.state_dict())
    return network, other


@pytest.mark.parametrize(("kind", "settings"), [("resnet", RESNET), ("swin", SWIN), ("dinov2", VIT)])
@pytest.mark.parametrize("stem", ["repeat", "sum"])
def test_a_checkpoint_needs_the_folder_no_more(tmp_path, kind, settings, stem):
    network, other = checkpointed(kind, save(kind, settings, tmp_path / kind), stem=stem)
    image = torch.rand(2, 1, 64, 64)
    torch.testing.assert_close(other(image), network(image))


def test_a_frozen_encoder_stands_still(resnet):
    network = unet(resnet, trainable_blocks=0).train()
    before = {name: value.clone() for name, value in network.encoder.state_dict().items()}
    network(torch.rand(2, 1, 64, 64)).square().mean().backward()
    assert all(torch.equal(value, before[name]) for name, value in network.encoder.state_dict().items())
    assert {name.partition(".")[0] for name, p in network.named_parameters() if p.grad is not None} == {
        "decoder",
        "to_logits",
    }


def test_the_last_blocks_can_train_alone(resnet):
    network = unet(resnet, trainable_blocks=1).train()
    training = {name for name, p in network.encoder.named_parameters() if p.requires_grad}
    assert training
    assert all(name.startswith("model.encoder.stages.3.") for name in training)
    running = {n: m.training for n, m in network.encoder.named_modules() if isinstance(m, torch.nn.BatchNorm2d)}
    assert {name.startswith("model.encoder.stages.3.") for name, training in running.items() if training} == {True}
    assert not all(running.values())


def test_learning_rates_fall_with_the_depth():
    network = DINOv2(1, 3, "dinov2", pretrained=False, config=VIT, encoder_lr=0.5, layer_decay=0.1)
    depths = depths_of(network.encoder.model)
    assert {depths[f"encoder.layer.{block}.norm1.weight"] for block in range(6)} == {1, 2, 3, 4, 5, 6}
    assert depths["embeddings.cls_token"] == 0
    assert depths["layernorm.weight"] == 6
    scale = {id(p): group["lr_scale"] for group in network.parameter_groups() for p in group["params"]}
    model = network.encoder.model
    assert scale[id(model.get_parameter("encoder.layer.5.norm1.weight"))] == 0.5
    assert scale[id(model.get_parameter("encoder.layer.4.norm1.weight"))] == pytest.approx(0.05)
    assert scale[id(model.embeddings.cls_token)] == pytest.approx(0.5e-6)
    assert {scale[id(p)] for p in network.decoder.parameters()} == {1.0}


def test_parameters_that_no_feature_depends_on_rest():
    with torch.no_grad():  # as whoever loads a network to predict may have it
        network = DINOv2(1, 3, "dinov2", pretrained=False, config=VIT)
    assert [name for name, p in network.named_parameters() if not p.requires_grad] == [
        "encoder.model.embeddings.mask_token"
    ]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"encoder_lr": 0.0}, r"model\.encoder_lr=0\.0"),
        ({"layer_decay": 1.1}, r"model\.layer_decay=1\.1"),
        ({"trainable_blocks": 5}, r"model\.trainable_blocks=5: must lie in 0 to 4"),
        ({"trainable_blocks": -1}, r"model\.trainable_blocks=-1"),
        ({"backbone": "bert"}, r"model\.backbone=bert: transformers has no backbone of kind 'bert'"),
        ({"backbone": "hiera"}, r"model\.backbone=hiera: fails on"),
        ({"backbone": "dinov2", "config": VIT}, r"strides \[14, .*plain vision transformers go with model=dinov2"),
        ({"pretrained": True}, r"model\.backbone=resnet: has no weights"),
        ({"width": 0}, r"model\.width=0"),
        ({"in_channels": 2}, r"model\.backbone=resnet: takes images of 1 or 3 channels, the data have 2"),
    ],
)
def test_arguments_out_of_range_are_refused(keys, message):
    defaults = {"in_channels": 1, "out_channels": 3, "backbone": "resnet", "pretrained": False, "config": RESNET}
    if keys.get("backbone") in ("bert", "hiera"):
        defaults["config"] = {}
    with pytest.raises(ValueError, match=message) as error:
        BackboneUNet(**{**defaults, **keys})
    assert "\n" not in str(error.value)
