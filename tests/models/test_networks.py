"""What holds for every network; a new one is added to SMALL, and its own file says what only it does."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
import yaml
from omegaconf import OmegaConf

from models.attunet import AttentionGate, AttUNet
from models.missformer import MISSFormer
from models.network import SegmentationNetwork
from models.uctransnet import UCTransNet
from models.unet import UNet
from runs.configuration.instantiate import build

SMALL = {
    UNet: {"width": 4, "depth": 3},
    AttUNet: {"width": 4, "depth": 3},
    UCTransNet: {"width": 4, "depth": 3, "layers": 2, "heads": 2, "positions": 4, "dropout": 0.0},
    MISSFormer: {"width": 4, "multiples": (1, 2), "blocks": 1, "bridge_layers": 2},
}
NETWORKS = list(SMALL)
SUPERVISED = [UNet, AttUNet]
"""Those that offer logits at coarser levels too."""
CONF = Path(__file__).parents[2] / "conf" / "model"


def parameters(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def small(kind: type, **keys) -> SegmentationNetwork:
    torch.manual_seed(0)
    return kind(1, 4, **{**SMALL[kind], **keys})


def supervised(kind: type, **keys) -> SegmentationNetwork:
    """Deeply, where the network can."""
    return small(kind, **({"deep_supervision": True} if kind in SUPERVISED else {}), **keys)


def levels(network: torch.nn.Module, image: torch.Tensor) -> list[torch.Tensor]:
    logits = network(image)
    return logits if isinstance(logits, list) else [logits]


def test_attunet_has_the_published_number_of_parameters():
    with torch.device("meta"):
        assert parameters(AttUNet(1, 55)) == 34_880_931


def test_unet_has_the_number_of_parameters_that_its_layers_add_up_to():
    widths = [16, 32, 64, 128, 256]

    def double(i, o):
        return 9 * i * o + 9 * o * o + 4 * o

    expected = sum(double(i, o) for i, o in zip([1, *widths], widths, strict=False))
    expected += sum(2 * w * w + w + double(2 * w, w) for w in widths[:-1])
    assert parameters(UNet(1, 7, width=16)) == expected + 16 * 7 + 7 == 1_811_831


@pytest.mark.parametrize("kind", SUPERVISED)
def test_width_scales_every_layer(kind):
    ratio = parameters(kind(1, 4, width=16)) / parameters(kind(1, 4, width=8))
    assert 3.9 < ratio < 4.0


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("batch", [1, 3])
def test_logits_have_the_size_of_the_image(kind, batch):
    network = small(kind)
    for mode in (True, False):
        logits = network.train(mode)(torch.rand(batch, 1, 16, 24))
        assert logits.shape == (batch, 4, 16, 24)
        assert logits.isfinite().all()


@pytest.mark.parametrize("kind", [UNet, AttUNet, UCTransNet])
@pytest.mark.parametrize("norm", ["instance", "group"])
def test_other_normalisations_than_batch_see_one_image_at_a_time(kind, norm):
    network = small(kind, norm=norm)
    images = torch.rand(3, 1, 16, 24)
    torch.testing.assert_close(network(images)[1:2], network(images[1:2]))


@pytest.mark.parametrize("kind", SUPERVISED)
def test_deep_supervision_speaks_in_train_mode_only(kind):
    network = small(kind, depth=4, deep_supervision=True)
    image = torch.rand(2, 1, 32, 48)
    levels = network.train()(image)
    assert isinstance(levels, list)
    assert [tuple(level.shape) for level in levels] == [(2, 4, 32, 48), (2, 4, 16, 24), (2, 4, 8, 12)]
    assert network.eval()(image).shape == (2, 4, 32, 48)
    assert isinstance(small(kind).train()(image), torch.Tensor)


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("batch", [1, 3])
def test_every_parameter_learns(kind, batch):
    network = supervised(kind)
    sum(level.square().mean() for level in levels(network, torch.rand(batch, 1, 16, 16))).backward()
    assert not [name for name, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()]


@pytest.mark.parametrize("kind", NETWORKS)
def test_logits_of_every_level_start_from_the_bias(kind):
    network = supervised(kind)
    image = torch.rand(2, 1, 16, 16)
    before = levels(network, image)
    bias = torch.tensor([0.0, -1.0, -2.0, -3.0])
    old = [parameter.detach().clone() for parameter in network.logit_biases]
    network.set_bias(bias)
    for level, was, own in zip(levels(network, image), before, old, strict=True):
        torch.testing.assert_close(level - was, (bias - own)[:, None, None].expand_as(level))


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_pixel_sees_across_the_image(kind):
    network = small(kind).eval()
    image = torch.rand(1, 1, 32, 32, requires_grad=True)
    network(image)[0, :, 16, 16].sum().backward()
    assert (image.grad[0, 0, 4:28, 4:28] != 0).float().mean() > 0.9


@pytest.mark.parametrize("kind", NETWORKS)
def test_sizes_are_refused_in_one_line_that_says_what_to_do(kind):
    stages = {"multiples": (1, 1, 1)} if kind is MISSFormer else {"depth": 5}
    network = small(kind, width=2, **stages)
    assert network.divisor == 16
    network.check_size(96, 64)
    with pytest.raises(
        ValueError, match=r"sides that 16 divides.*100 x 96 was given: set data\.image_size=96"
    ) as error:
        network.check_size(100, 96)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=r"set data\.image_size=32"):
        network.check_size(16, 16)
    with pytest.raises(ValueError, match=r"set data\.image_size=32"):
        network.check_size(7, 7)


@pytest.mark.parametrize("kind", SUPERVISED)
@pytest.mark.parametrize("keys", [{"width": 0}, {"depth": 1}, {"norm": "layer"}])
def test_arguments_out_of_range_are_refused(kind, keys):
    with pytest.raises(ValueError, match=rf"model\.{next(iter(keys))}="):
        small(kind, **keys)


@pytest.mark.parametrize("dropout", [-0.1, 1.0])
def test_dropout_out_of_range_is_refused(dropout):
    with pytest.raises(ValueError, match=r"model\.dropout="):
        small(UNet, dropout=dropout)


def test_dropout_acts_in_train_mode_only():
    network = small(UNet, dropout=0.5, norm="instance")
    image = torch.rand(1, 1, 16, 16)
    assert not torch.equal(network(image), network(image))
    network.eval()
    assert torch.equal(network(image), network(image))


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_stays_finite(kind, dtype):
    network = supervised(kind)
    with torch.autocast("cpu", dtype=dtype):
        logits = levels(network, 255 * torch.rand(2, 1, 16, 16))
    assert logits[0].dtype == dtype
    sum(level.float().square().mean() for level in logits).backward()
    assert all(level.isfinite().all() for level in logits)
    assert all(p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("kind", NETWORKS)
def test_eval_network_exports(kind):
    network = supervised(kind).eval()
    image = torch.rand(2, 1, 16, 16)
    exported = torch.export.export(network, (image,)).module()
    torch.testing.assert_close(exported(image), network(image))


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize("kind", NETWORKS)
def test_one_graph_holds_the_network(kind):
    """What the compiler then makes of the graph takes it long, and is not tried here."""
    network = small(kind).eval()
    image = torch.rand(3, 1, 16, 24)
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(image), network(image))


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_copy_and_a_reload_give_the_same_logits(kind):
    network = small(kind)
    network(torch.rand(4, 1, 16, 16))
    image = torch.rand(2, 1, 16, 16)
    expected = network.eval()(image)
    torch.testing.assert_close(copy.deepcopy(network)(image), expected)
    other = small(kind).eval()
    other.load_state_dict(network.state_dict())
    torch.testing.assert_close(other(image), expected)


def test_attention_can_be_taken_by_a_hook_and_gates_the_skip():
    network = small(AttUNet).eval()
    gates = [module for module in network.modules() if isinstance(module, AttentionGate)]
    maps: list[torch.Tensor] = []
    for gate in gates:
        gate.register_forward_hook(lambda module, inputs, output: maps.append(output))
    image = torch.rand(2, 1, 16, 24)
    before = network(image)
    assert [tuple(m.shape) for m in maps] == [(2, 1, 8, 12), (2, 1, 16, 24)]
    assert all(((m > 0) & (m < 1)).all() for m in maps)
    gates[-1].register_forward_hook(lambda module, inputs, output: torch.zeros_like(output))
    assert not torch.allclose(network(image), before)


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem)
def test_conf_builds_the_network_of_its_name(path):
    root = OmegaConf.create({"data": {"image_size": 64}, "model": yaml.safe_load(path.read_text())})
    assert root.model._target_.split(".")[:2] == ["models", path.stem]
    if "pretrained" in root.model:  # nothing is downloaded here: the architecture of those weights
        root.model.pretrained, root.model.backbone = False, root.model.backbone.partition("/")[2].partition("-")[0]
    with torch.device("cpu" if path.stem == "swin_unetr" else "meta"):  # MONAI reads numbers back while it builds
        network = build(root.model, in_channels=1, out_channels=5)
    assert isinstance(network, SegmentationNetwork)
