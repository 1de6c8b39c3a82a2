import copy

import pytorch_lightning as pl
import torch

from models.attunet import AttUNet
from models.unet import UNet
from runs.hardware.recomputation import RecomputedBlocks, blocks_of
from runs.training import train
from tests.configs import small_run

TRAINER = pl.Trainer.__new__(pl.Trainer)
"""Nothing is asked of it."""


class Module:
    def __init__(self, network):
        self.student = torch.nn.Module()
        self.student.network = network


def test_gradients_and_running_statistics_are_those_of_one_computation():
    plain = AttUNet(1, 3, width=4, depth=3)
    network = copy.deepcopy(plain)
    callback = RecomputedBlocks()
    callback.on_fit_start(TRAINER, Module(network))
    image = torch.rand(2, 1, 16, 16)
    for one in (plain, network):
        one(image).square().mean().backward()
    for mine, its in zip(plain.parameters(), network.parameters(), strict=True):
        assert torch.equal(mine.grad, its.grad)
    assert all(map(torch.equal, plain.buffers(), network.buffers()))
    assert list(plain.state_dict()) == list(network.state_dict())


def test_less_is_kept():
    network = UNet(1, 3, width=4, depth=3)
    assert kept_bytes(network) > 2 * kept_bytes(network, RecomputedBlocks())


def test_afterwards_each_block_computes_once_again():
    network, callback = UNet(1, 3, width=4, depth=3), RecomputedBlocks()
    callback.on_fit_start(TRAINER, Module(network))
    assert all("forward" in vars(block) for block in blocks_of(network))
    callback.teardown(TRAINER, Module(network), "fit")
    assert not any("forward" in vars(module) for module in network.modules())


def test_a_run_that_computes_twice_ends_with_the_same_weights(slices_folder, tmp_path):
    weights = []
    for key in ("false", "true"):
        cfg = small_run(slices_folder, f"trainer.recompute={key}", "trainer.max_epochs=1", root=tmp_path / key)
        train(cfg)
        weights.append(torch.load(f"{cfg.paths.run}/checkpoints/supervised/last.ckpt", weights_only=True)["state_dict"])
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())


def kept_bytes(network, callback=None):
    """Return the bytes that a forward pass keeps for the backward one."""
    if callback is not None:
        callback.on_fit_start(TRAINER, Module(network))
    kept = {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = network(torch.rand(2, 1, 64, 64))
    del output
    return sum(kept.values())
