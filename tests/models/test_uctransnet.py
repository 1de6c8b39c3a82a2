"""UCTransNet against figures of its authors' code, and what its channel transformer does."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.channel_transformer import ChannelAttention, ChannelTransformer, PatchTokens, Reconstruction
from models.uctransnet import ChannelGate, UCTransNet

SMALL = {"width": 4, "depth": 3, "layers": 2, "heads": 2, "positions": 4}


def test_it_has_the_published_number_of_parameters():
    with torch.device("meta"):
        count = sum(p.numel() for p in UCTransNet(1, 55).parameters())
        smaller_grid = sum(p.numel() for p in UCTransNet(1, 55, positions=14).parameters())
    assert count == 66_490_615 == pytest.approx(66.4e6, rel=0.002)
    assert smaller_grid == 66_433_015


def test_it_agrees_with_the_authors_code(figures):
    expected = [0.16912790, 0.05326212, 0.19458775, 0.13371859, 0.14877745]
    assert figures(UCTransNet(1, 3, width=8, positions=8), 128) == pytest.approx(expected, abs=2e-6)


def test_the_channel_attention_is_the_papers():
    torch.manual_seed(0)
    attend = ChannelAttention(channels=3, heads=2, dropout=0.0)
    tokens, keys, values = torch.randn(2, 5, 3), torch.randn(2, 2, 7, 5), torch.randn(2, 2, 7, 5)
    expected = torch.zeros(2, 5, 3)
    for image in range(2):
        for head in range(2):
            queries = tokens[image] @ attend.to_queries.weight[3 * head : 3 * head + 3].T
            similarity = queries.T @ keys[image, head].T / 7**0.5
            similarity = (similarity - similarity.mean()) / (similarity.var(correction=0) + 1e-5).sqrt()
            expected[image] += (similarity.softmax(dim=1) @ values[image, head]).T / 2
    torch.testing.assert_close(attend(tokens, keys, values), expected @ attend.project.weight.T)


def test_places_are_learned_on_one_grid_and_interpolated_for_others():
    cut = PatchTokens(channels=2, patch=4, positions=4, dropout=0.0)
    nn.init.zeros_(cut.embed.weight)
    nn.init.zeros_(cut.embed.bias)
    with torch.no_grad():
        cut.positions.copy_(torch.arange(4.0).expand(1, 2, 4, 4))
    columns = [
        cut(torch.zeros(1, 2, 4 * rows, 4 * wide))[0, :wide, 0].tolist() for rows, wide in ((4, 4), (2, 2), (3, 8))
    ]
    assert columns == [[0, 1, 2, 3], [0.5, 2.5], [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]]


def test_reconstructing_before_enlarging_gives_what_it_gives_after():
    torch.manual_seed(0)
    build = Reconstruction(3, patch=4, norm="batch")
    convolution, norm, relu, enlarge = build
    grid = torch.randn(2, 3, 5, 6)
    torch.testing.assert_close(build(grid), relu(norm(convolution(enlarge(grid)))))


def test_every_skip_hears_of_every_other():
    torch.manual_seed(0)
    exchange = ChannelTransformer([4, 8], layers=1, heads=2, positions=4, norm="batch", dropout=0.0).eval()
    skips = [torch.randn(1, 4, 16, 24, requires_grad=True), torch.randn(1, 8, 8, 12, requires_grad=True)]
    fine, coarse = exchange(skips)
    assert (fine.shape, coarse.shape) == (skips[0].shape, skips[1].shape)
    for heard, told in ((fine, skips[1]), (coarse, skips[0])):
        assert torch.autograd.grad(heard.square().sum(), told, retain_graph=True)[0].abs().max() > 0


def test_the_gate_can_be_taken_by_a_hook_and_gates_channels():
    torch.manual_seed(0)
    network = UCTransNet(1, 4, **SMALL).eval()
    taken: list[torch.Tensor] = []
    for module in network.modules():
        if isinstance(module, ChannelGate):
            module.register_forward_hook(lambda module, inputs, output: taken.append(output))
    network(torch.rand(2, 1, 16, 24))
    assert [tuple(gate.shape) for gate in taken] == [(2, 8, 1, 1), (2, 4, 1, 1)]
    assert all(((gate > 0) & (gate < 1)).all() for gate in taken)


def test_dropout_acts_in_train_mode_only():
    torch.manual_seed(0)
    network = UCTransNet(1, 4, **SMALL, norm="instance", dropout=0.5)
    image = torch.rand(1, 1, 16, 16)
    assert not torch.equal(network(image), network(image))
    network.eval()
    assert torch.equal(network(image), network(image))


@pytest.mark.parametrize(
    "keys",
    [{"width": 0}, {"depth": 1}, {"layers": 0}, {"heads": 0}, {"positions": 0}, {"norm": "layer"}, {"dropout": 1.0}],
)
def test_arguments_out_of_range_are_refused(keys):
    with pytest.raises(ValueError, match=rf"model\.{next(iter(keys))}="):
        UCTransNet(1, 4, **{**SMALL, **keys})


def test_two_levels_and_an_image_of_other_sides_than_the_grid_are_enough():
    network = UCTransNet(2, 4, width=4, depth=2, layers=1, heads=1, positions=3).eval()
    assert network.divisor == 2
    assert network(torch.rand(1, 2, 4, 10)).shape == (1, 4, 4, 10)
