"""MISSFormer against figures of its authors' code, and its pieces against slow, obvious versions."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.missformer import MISSFormer
from models.missformer_blocks import EfficientAttention, MixPerceptron, PatchExpansion, attend
from models.missformer_bridge import BridgeAttention, ContextBridge, join, part


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_it_has_the_parameters_that_the_authors_code_uses_and_the_published_number_with_those_it_does_not():
    with torch.device("meta"):
        network = MISSFormer(1, 55)
        perceptrons = [module for module in network.modules() if isinstance(module, MixPerceptron)]
        hidden = [perceptron.norm.normalized_shape[0] for perceptron in perceptrons]
        deepest = nn.ModuleList([nn.Linear(1024, 512), *network.encoder[-1].blocks])
    # The authors build three norms a perceptron and use one, blocks for a decoder stage that only enlarges, and three
    # input channels that see the same image.
    never_used = sum(4 * width for width in [*hidden, 2048, 2048]) + parameters(deepest)
    assert parameters(network) == 35_449_463
    assert parameters(network) + 2 * 64 * 49 == 35_455_735
    assert 35_455_735 + never_used == 42_465_527 == pytest.approx(42.46e6, rel=0.002)


def test_it_agrees_with_the_authors_code(figures):
    expected = [0.14029344, 0.67108528, 0.56060905, -1.18421435, -0.17594074]
    assert figures(MISSFormer(1, 3), 224) == pytest.approx(expected, abs=2e-5)


def test_attention_is_softmax_attention_by_heads():
    torch.manual_seed(0)
    queries, keys, values = torch.randn(2, 5, 6), torch.randn(2, 7, 6), torch.randn(2, 7, 6)
    expected = [
        (queries[..., head] @ keys[..., head].transpose(1, 2) / 3**0.5).softmax(dim=2) @ values[..., head]
        for head in (slice(0, 3), slice(3, 6))
    ]
    torch.testing.assert_close(attend(queries, keys, values, 2), torch.cat(expected, dim=2))


def test_reduced_attention_looks_at_squares():
    torch.manual_seed(0)
    attention = EfficientAttention(4, heads=2, reduction=2)
    features = torch.randn(1, 4, 6, 4)
    squares = torch.stack(
        [
            torch.einsum("hwf,ofhw->o", features[0, i : i + 2, j : j + 2], attention.reduce.weight)
            for i in (0, 2)
            for j in (0, 2, 4)
        ]
    )
    keys, values = attention.to_keys_and_values(attention.norm(squares + attention.reduce.bias))[None].chunk(2, dim=2)
    expected = attention.project(attend(attention.to_queries(features).reshape(1, 24, 4), keys, values, 2))
    torch.testing.assert_close(attention(features), expected.reshape(1, 4, 6, 4))


def test_expansion_lays_out_the_finer_pixels_of_a_pixel():
    expansion = PatchExpansion(4, 1, 2)
    expansion.norm = nn.Identity()
    nn.init.eye_(expansion.expand.weight)
    features = torch.arange(8.0).view(1, 1, 2, 4)
    assert expansion(features)[0, :, :, 0].tolist() == [[0, 1, 4, 5], [2, 3, 6, 7]]


def test_a_perceptron_mixes_neighbours_only_through_its_convolution():
    torch.manual_seed(0)
    perceptron = MixPerceptron(2, expansion=3)
    features = torch.randn(1, 5, 5, 2, requires_grad=True)
    perceptron(features)[0, 2, 2].sum().backward()
    seen = features.grad[0].abs().sum(dim=2) > 0
    assert seen[1:4, 1:4].all()
    assert seen.sum() == 9


def test_stages_are_parted_as_they_were_joined():
    stages = [torch.randn(2, 4, 6, 3), torch.randn(2, 2, 3, 15)]
    tokens = join(stages, 3)
    assert tokens.shape == (2, 24 + 6 * 5, 3)
    for was, now in zip(stages, part(tokens, [stage.shape for stage in stages]), strict=True):
        assert torch.equal(was, now)


def test_the_bridge_correlates_every_stage_with_every_other():
    torch.manual_seed(0)
    bridge = ContextBridge(4, (1, 2, 3), layers=1, expansion=2)
    stages = [torch.randn(1, side, side, 4 * m, requires_grad=True) for side, m in ((8, 1), (4, 2), (2, 3))]
    for result, was in zip(bridge(stages), stages, strict=True):
        assert result.shape == was.shape
        gradients = torch.autograd.grad(result.square().sum(), stages, retain_graph=True)
        assert all(gradient.abs().max() > 0 for gradient in gradients)


def test_the_bridge_has_a_few_keys_for_many_queries():
    attention = BridgeAttention(4, (1, 2))
    keys: list[tuple[int, ...]] = []
    attention.to_keys_and_values.register_forward_hook(lambda module, inputs, output: keys.append(output.shape))
    assert attention([torch.randn(1, 8, 8, 4), torch.randn(1, 4, 4, 8)]).shape == (1, 64 + 32, 4)
    assert keys == [(1, 16 + 32, 8)]


@pytest.mark.parametrize(
    "keys",
    [
        {"width": 3},
        {"width": 0},
        {"blocks": 0},
        {"bridge_layers": 0},
        {"expansion": 0},
        {"multiples": (1,)},
        {"multiples": (1, 0)},
    ],
)
def test_arguments_out_of_range_are_refused(keys):
    with pytest.raises(ValueError, match=rf"model\.{next(iter(keys))}="):
        MISSFormer(1, 4, **{"width": 4, **keys})


def test_it_takes_any_sides_that_its_stages_divide():
    network = MISSFormer(2, 4, width=4, blocks=1, bridge_layers=1).eval()
    assert network.divisor == 32
    assert network(torch.rand(1, 2, 64, 96)).shape == (1, 4, 64, 96)
