from __future__ import annotations

import pytest
import torch

from models.nnunet import NNUNet, plan
from tests.configs import composed


def parameters(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_at_256_it_has_the_stages_and_parameters_of_the_published_plan():
    with torch.device("meta"):
        network = NNUNet(1, 55, 256)
    assert [block.conv1.conv.out_channels for block in network.encoder] == [32, 64, 128, 256, 512, 512, 512]
    assert parameters(network) == 33_543_306
    assert network.divisor == 64


@pytest.mark.parametrize(("side", "stages"), [(512, 8), (256, 7), (100, 5), (96, 5), (64, 5), (16, 3)])
def test_a_square_is_halved_while_eight_pixels_are_left(side, stages):
    made = plan((side, side), (0.8, 0.8))
    assert made.strides == [[1, 1]] + [[2, 2]] * (stages - 1)
    assert made.kernels == [[3, 3]] * stages
    assert made.divisor == 2 ** (stages - 1)


def test_an_axis_of_coarse_pixels_waits_for_the_other():
    made = plan((256, 64), (1.0, 4.0))
    assert made.strides == [[1, 1], [2, 1], [2, 1], [2, 2], [2, 2], [2, 2], [2, 2]]
    assert made.kernels == [[3, 1], [3, 1], *[[3, 3]] * 5]


def test_one_axis_alone_is_halved_while_twelve_pixels_are_left():
    assert plan((64, 8), (1.0, 1.0)).strides == [[1, 1], [2, 2], [2, 1], [2, 1]]
    assert plan((32, 4), (1.0, 1.0)).strides == [[1, 1], [2, 1], [2, 1]]


def test_every_level_keeps_its_own_resolution_and_has_its_own_bias():
    network = NNUNet(1, 3, 64, width=4, max_width=8)
    network.set_bias(torch.tensor([1.0, 2.0, 3.0]))
    assert [bias.tolist() for bias in network.logit_biases] == [[1.0, 2.0, 3.0]] * 4
    levels = network(torch.rand(2, 1, 64, 64))
    assert [tuple(level.shape) for level in levels] == [(2, 3, side, side) for side in (64, 32, 16, 8)]
    assert len(NNUNet(1, 3, 64, width=4, deep_supervision=False).logit_biases) == 1


def test_an_anisotropic_plan_gives_logits_of_the_images_size():
    network = NNUNet(1, 3, 32, spacing_mm=(1.0, 3.0), width=4)
    assert network.divisor == 8
    levels = network(torch.rand(2, 1, 32, 32))
    assert [tuple(level.shape[2:]) for level in levels] == [(32, 32), (16, 32), (8, 16)]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"width": 0}, r"model\.width=0"),
        ({"width": 8, "max_width": 4}, r"model\.max_width=4"),
        ({"spacing_mm": (1.0, 0.0)}, r"model\.spacing_mm=\[1\.0, 0\.0\]"),
        ({"image_size": 12}, r"model\.image_size=12: .* 16 or more"),
    ],
)
def test_arguments_out_of_range_are_refused(keys, message):
    with pytest.raises(ValueError, match=message):
        NNUNet(1, 3, **{"image_size": 64, **keys})


def test_a_size_that_the_stages_do_not_divide_is_refused():
    with pytest.raises(ValueError, match=r"nnunet takes sides that 16 divides, 32 or more.*set data\.image_size=96"):
        NNUNet(1, 3, 100, width=2).check_size(100, 100)


def test_the_experiment_is_the_published_recipe(tmp_path):
    run = composed(tmp_path, "experiment=nnunet", "data.image_size=128")
    assert (run.optimizer.lr, run.optimizer.momentum, run.optimizer.weight_decay) == (1e-2, 0.99, 3e-5)
    assert run.optimizer.nesterov
    assert (run.trainer.max_epochs, run.data.steps_per_epoch, run.trainer.gradient_clip) == (1000, 250, 12.0)
    assert (run.loss.deep_supervision_decay, run.loss.skip_coarsest) == (0.5, True)
    assert (run.model._target_, run.model.image_size, run.model.deep_supervision) == ("models.nnunet.NNUNet", 128, True)
