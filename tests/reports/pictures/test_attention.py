"""Pictures of where gates look."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from models.attunet import AttUNet
from models.network import Attentive
from models.normalised import NormalisedNetwork
from models.unet import UNet
from partial_labels.classes import ClassTable
from reports.attunet_figure import SIDES, WIDTHS, draw_attunet
from reports.pictures.attention import Attention, draw_attention, overlay


def test_the_maps_of_a_network_with_gates_are_those_that_its_skips_pass():
    torch.manual_seed(0)
    network = NormalisedNetwork(AttUNet(1, 3, width=4, depth=4)).eval()
    network.set_statistics(0.5, 0.2)
    image = torch.rand(2, 1, 32, 48)
    seen: dict[int, torch.Tensor] = {}
    for step in network.network.decoder:
        step.gate.register_forward_hook(lambda gate, inputs, output: seen.update({output.shape[2]: output[:, 0]}))
    maps = network.attention_maps(image)
    assert {name: tuple(one.shape) for name, one in maps.items()} == {
        "1/1": (2, 32, 48),
        "1/2": (2, 16, 24),
        "1/4": (2, 8, 12),
    }
    expected = dict(seen)
    network(image)
    for one in maps.values():
        assert torch.equal(one, expected[one.shape[1]])
        assert torch.equal(one, seen[one.shape[1]])


def test_a_network_without_gates_has_none_and_no_hook_stays():
    plain, gated = (NormalisedNetwork(kind(1, 3, width=4, depth=3)).eval() for kind in (UNet, AttUNet))
    assert not isinstance(plain.network, Attentive)
    assert plain.attention_maps(torch.rand(1, 1, 16, 16)) == {}
    gated.attention_maps(torch.rand(1, 1, 16, 16))
    assert not any(module._forward_hooks for module in gated.modules())


def test_an_overlay_is_brightest_where_the_gate_lets_most_through():
    attention = np.full((4, 4), 0.4, np.float32)
    attention[1, 2] = 0.45
    picture = overlay(np.full((16, 16), 0.3, np.float32), attention).mean(axis=2)
    row, column = np.unravel_index(picture.argmax(), picture.shape)
    assert (row * 4 // picture.shape[0], column * 4 // picture.shape[1]) == (1, 2)
    assert len(np.unique(picture.round(4))) == 2


def test_a_row_for_each_case_and_a_column_for_each_gate(tmp_path):
    rng = np.random.default_rng(0)
    prediction = np.zeros((16, 16), np.uint8)
    prediction[4:9, 4:9] = 2
    maps = {"1/1": rng.random((16, 16), np.float32), "1/2": rng.random((8, 8), np.float32)}
    classes = ClassTable.from_foreground(["aorta", "brain"])
    cases = [Attention(name, rng.random((16, 16), np.float32), prediction, maps) for name in "abc"]
    sizes = []
    for some in (cases[:1], cases):
        with Image.open(draw_attention(some, classes, tmp_path / "attention.png")) as picture:
            sizes.append(picture.size)
    assert sizes[0][0] == sizes[1][0] and sizes[1][1] > 2 * sizes[0][1]


def test_the_drawn_architecture_is_the_networks(tmp_path):
    with torch.device("meta"):
        network = AttUNet(1, 55)
    assert [block[0].out_channels for block in network.encoder] == list(WIDTHS)
    assert [256 // 2**level for level in range(len(network.encoder))] == list(SIDES)
    with Image.open(draw_attunet(tmp_path / "attunet.png")) as picture:
        assert picture.size[0] > 1000
