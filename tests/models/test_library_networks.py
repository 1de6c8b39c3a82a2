"""What holds for the networks that stand on a library's; as in test_networks.py, at the sizes that they take."""

from __future__ import annotations

import copy

import pytest
import torch

from models.backbone_unet import BackboneUNet
from models.dinov2 import DINOv2
from models.network import SegmentationNetwork
from models.nnunet import NNUNet
from models.swin_unetr import SwinUNETR

RESNET = {"embedding_size": 4, "hidden_sizes": [4, 8, 16, 32], "depths": [1, 1, 1, 1]}
SWIN = {"embed_dim": 4, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2], "window_size": 4, "image_size": 64}
VIT = {"hidden_size": 16, "num_hidden_layers": 5, "num_attention_heads": 2, "image_size": 56}
SMALL = {
    "nnunet": (NNUNet, {"image_size": 64, "width": 4, "max_width": 8}),
    "swin_unetr": (SwinUNETR, {"width": 12, "depths": (1, 1, 1, 1), "heads": (1, 2, 2, 2), "window": 4}),
    "resnet": (BackboneUNet, {"backbone": "resnet", "config": RESNET, "width": 2, "deep_supervision": True}),
    "swin": (BackboneUNet, {"backbone": "swin", "config": SWIN, "width": 2, "norm": "group", "stem": "sum"}),
    "dinov2": (DINOv2, {"backbone": "dinov2", "config": VIT}),
    "dpt": (DINOv2, {"backbone": "dinov2", "config": VIT, "decoder": "dpt", "stem": "sum", "width": 8}),
}
LEVELS = {"nnunet": 4, "resnet": 5}
networks = pytest.mark.parametrize("name", SMALL)


def small(name: str, **keys) -> SegmentationNetwork:
    torch.manual_seed(0)
    kind, own = SMALL[name]
    pretrained = {"pretrained": False} if "backbone" in own else {}
    return kind(1, 4, **{**own, **pretrained, **keys})


def levels(network: torch.nn.Module, image: torch.Tensor) -> list[torch.Tensor]:
    logits = network(image)
    return logits if isinstance(logits, list) else [logits]


@networks
def test_logits_have_the_size_of_the_image_and_coarser_ones_come_in_train_mode_only(name):
    network = small(name)
    image = torch.rand(3, 1, 64, 96)
    assert network.eval()(image).shape == (3, 4, 64, 96)
    sides = [(64 >> level, 96 >> level) for level in range(LEVELS.get(name, 1))]
    assert [tuple(level.shape) for level in levels(network.train(), image)] == [(3, 4, *side) for side in sides]
    assert levels(network, image[:1])[0].isfinite().all()


@networks
def test_every_parameter_that_may_learn_does(name):
    network = small(name)
    sum(level.square().mean() for level in levels(network, torch.rand(3, 1, 64, 64))).backward()
    learning = {name: p for name, p in network.named_parameters() if p.requires_grad}
    assert len(learning) > 20
    assert not [name for name, p in learning.items() if p.grad is None or not p.grad.isfinite().all()]


@networks
def test_logits_of_every_level_start_from_the_bias(name):
    network = small(name)
    image = torch.rand(2, 1, 64, 64)
    before = levels(network, image)
    bias = torch.tensor([0.0, -1.0, -2.0, -3.0])
    old = [parameter.detach().clone() for parameter in network.logit_biases]
    network.set_bias(bias)
    assert len(old) == len(before)
    for level, was, own in zip(levels(network, image), before, old, strict=True):
        torch.testing.assert_close(level - was, (bias - own)[:, None, None].expand_as(level), atol=1e-4, rtol=1e-4)


@networks
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_stays_finite(name, dtype):
    network = small(name)
    with torch.autocast("cpu", dtype=dtype):
        logits = levels(network, 255 * torch.rand(2, 1, 64, 64))
    sum(level.float().square().mean() for level in logits).backward()
    assert all(level.isfinite().all() for level in logits)
    assert all(p.grad.isfinite().all() for p in network.parameters() if p.requires_grad)


@networks
def test_eval_network_exports(name):
    network = small(name).eval()
    image = torch.rand(2, 1, 64, 64)
    exported = torch.export.export(network, (image,)).module()
    torch.testing.assert_close(exported(image), network(image))


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.filterwarnings("ignore")  # of the compiler, about the libraries' code
@pytest.mark.parametrize("name", ["nnunet", "swin_unetr", "resnet", "dinov2"])
def test_a_compiled_network_gives_the_same(name):
    network = small(name).eval()
    image = torch.rand(2, 1, 64, 64)
    compiled = torch.compile(network, backend="eager")
    torch.testing.assert_close(compiled(image), network(image))


@networks
def test_a_copy_and_a_reload_give_the_same_logits(name):
    network = small(name)
    network(torch.rand(3, 1, 64, 64))
    image = torch.rand(2, 1, 64, 64)
    expected = network.eval()(image)
    torch.testing.assert_close(copy.deepcopy(network)(image), expected)
    other = small(name).eval()
    other.load_state_dict(network.state_dict())
    torch.testing.assert_close(other(image), expected)


@networks
def test_the_optimizer_takes_the_groups_and_each_parameter_is_in_one(name):
    network = small(name, **({"layer_decay": 0.5} if "backbone" in SMALL[name][1] else {}))
    optimizer = torch.optim.SGD(network.parameter_groups(), lr=0.1)
    grouped = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
    assert sorted(grouped) == sorted(id(parameter) for parameter in network.parameters() if parameter.requires_grad)
    scales = {group["lr_scale"] for group in optimizer.param_groups}
    assert (len(scales) > 1) == ("backbone" in SMALL[name][1])


@pytest.mark.parametrize("name", ["nnunet", "swin_unetr", "resnet", "swin"])
def test_sizes_are_refused_in_one_line_that_says_what_to_do(name):
    network = small(name)
    network.check_size(96, 64)
    with pytest.raises(ValueError, match=r"takes sides that (16|32) divides.*set data\.image_size=96") as error:
        network.check_size(100, 96)
    assert "\n" not in str(error.value)
