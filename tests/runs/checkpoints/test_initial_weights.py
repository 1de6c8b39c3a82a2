"""Weights of another run: which are taken, which rows of the output layers, and what is refused."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from conf.schema import Init
from models.attunet import AttUNet
from models.normalised import NormalisedNetwork
from models.unet import UNet
from partial_labels.classes import ClassTable
from partial_labels.errors import InputError
from partial_labels.head import SigmoidHead, SoftmaxHead
from runs.checkpoints.initial_weights import begin_from
from runs.training import train
from tests.configs import small_run

ABC = ClassTable.from_foreground(["aorta", "brain", "colon"])
SHUFFLED = ClassTable.from_foreground(["Colon", "liver", "aorta"])
REVERSED = ClassTable.from_foreground(["colon", "brain", "aorta"])
HEADS = {"softmax": SoftmaxHead(), "sigmoid": SigmoidHead()}
TARGETS = {"softmax": "partial_labels.head.SoftmaxHead", "sigmoid": "partial_labels.head.SigmoidHead"}
IMAGE = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))


def module(head: str, classes: ClassTable, kind: type = UNet, **keys) -> SimpleNamespace:
    """Stand for a stage's module: a network of random weights, started as a run starts it."""
    network = kind(1, HEADS[head].channels(len(classes)), **{"width": 2, "depth": 3, "norm": "group", **keys})
    network.set_bias(HEADS[head].initial_logits(len(classes)))
    return SimpleNamespace(student=NormalisedNetwork(network).eval(), head=HEADS[head], classes=classes)


def saved(path: Path, made: SimpleNamespace, head: str) -> str:
    made.student.set_statistics(0.3, 0.2)
    weights = {f"student.{name}": value for name, value in made.student.state_dict().items()}
    config = {"head": {"_target_": TARGETS[head]}, "model": {"_target_": "models.unet.UNet"}}
    record = {"classes": made.classes.to_json(), "config": config, "state_dict": weights, "monitored": "student"}
    torch.save(record, path)
    return str(path)


def odds(made: SimpleNamespace) -> torch.Tensor:
    """Logits of each class against the background, as the head understands them."""
    logits = made.student(IMAGE)
    return logits[:, 1:] - logits[:, :1] if isinstance(made.head, SoftmaxHead) else logits


def test_the_same_network_comes_back_bit_for_bit(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    there, here = module("sigmoid", ABC), module("sigmoid", ABC)
    begin_from(Init(saved(tmp_path / "a.ckpt", there, "sigmoid")), here)
    assert torch.equal(here.student(IMAGE), there.student(IMAGE))
    assert f"{len(there.student.state_dict())} matched, 0 remapped, 0 left" in caplog.text


@pytest.mark.parametrize("before", HEADS)
@pytest.mark.parametrize("after", HEADS)
def test_a_class_keeps_its_logit_against_the_background_and_the_label_map_stays(tmp_path, before, after):
    torch.manual_seed(0)
    there, here = module(before, ABC), module(after, REVERSED)
    torch.nn.init.normal_(there.student.network.to_logits[0].weight, std=3)
    torch.nn.init.normal_(there.student.network.to_logits[0].bias, std=0.1)
    begin_from(Init(saved(tmp_path / "a.ckpt", there, before)), here)
    torch.testing.assert_close(odds(here), odds(there).flip(1), atol=1e-5, rtol=1e-5)
    was, now = (one.head.predict(one.student(IMAGE)) for one in (there, here))
    renamed = torch.tensor([0, 3, 2, 1], dtype=torch.uint8)[was.long()]
    assert torch.equal(now, renamed)
    assert len(renamed.unique()) > 1


@pytest.mark.parametrize("head", HEADS)
def test_a_class_that_only_one_knows_begins_fresh_and_rare(tmp_path, caplog, head):
    caplog.set_level(logging.INFO)
    there, here = module(head, ABC), module(head, SHUFFLED)
    for layer in there.student.network.to_logits:
        torch.nn.init.normal_(layer.bias)
    fresh = here.student.network.to_logits[0].weight.detach().clone()
    begin_from(Init(saved(tmp_path / "a.ckpt", there, head)), here)
    now, given = here.student.network.to_logits[0], there.student.network.to_logits[0]
    first = int(head == "softmax")
    for ours, theirs in ((0, 2), (2, 0)):
        torch.testing.assert_close(now.weight[ours + first], given.weight[theirs + first])
    if head == "softmax":
        torch.testing.assert_close(now.weight[2] - now.weight[0], fresh[2] - fresh[0])
        torch.testing.assert_close(now.bias[2] - now.bias[0], -HEADS[head].initial_logits(4)[0])
    else:
        assert torch.equal(now.weight[1], fresh[1])
    assert "classes  taken: Colon, aorta\n  classes  fresh: liver\n  classes  dropped: brain" in caplog.text
    assert "2 remapped" in caplog.text


def test_levels_of_deep_supervision_are_remapped_each(tmp_path):
    there, here = (module("sigmoid", classes, deep_supervision=True) for classes in (ABC, REVERSED))
    begin_from(Init(saved(tmp_path / "a.ckpt", there, "sigmoid")), here)
    for now, was in zip(here.student.network.to_logits, there.student.network.to_logits, strict=True):
        assert torch.equal(now.weight, was.weight.flip(0))


def test_the_normalisation_comes_along(tmp_path):
    there, here = module("sigmoid", ABC), module("sigmoid", ABC)
    begin_from(Init(saved(tmp_path / "a.ckpt", there, "sigmoid")), here)
    assert (here.student.mean.item(), here.student.std.item()) == pytest.approx((0.3, 0.2))


@pytest.mark.parametrize(
    ("there", "here", "message"),
    [
        ({"width": 4}, {}, r"encoder\.0.*4 x 1 x 3 x 3 there, 2 x 1 x 3 x 3 here, and \d+ more"),
        ({}, {"deep_supervision": True}, r"to_logits\.1\.weight: the checkpoint does not have it, and 1 more"),
        ({"deep_supervision": True}, {}, r"to_logits\.1\.weight: this network does not have it"),
    ],
)
def test_what_does_not_agree_is_refused_by_name_in_one_line(tmp_path, there, here, message):
    path = saved(tmp_path / "a.ckpt", module("sigmoid", ABC, **there), "sigmoid")
    with pytest.raises(InputError, match=message) as error:
        begin_from(Init(path), module("sigmoid", ABC, **here))
    assert str(error.value).startswith(f"init.checkpoint={path}: network.")
    assert "init.strict=false" in str(error.value) and "\n" not in str(error.value)


def test_what_agrees_is_taken_where_that_is_asked_for(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    there, here = module("sigmoid", ABC), module("softmax", SHUFFLED, AttUNet)
    begin_from(Init(saved(tmp_path / "a.ckpt", there, "sigmoid"), strict=False), here)
    own, other = here.student.network, there.student.network
    assert torch.equal(own.encoder[0][0].weight, other.encoder[0][0].weight)
    assert "  left     network.decoder.0.gate.from_skip.0.weight: the checkpoint does not have it" in caplog.text
    assert "  remapped network.to_logits.0.weight: 3 x 2 x 1 x 1 there, 4 x 2 x 1 x 1 here" in caplog.text


def test_a_checkpoint_of_which_nothing_fits_is_refused_even_then(tmp_path):
    there = module("sigmoid", ABC, width=4)
    for name in list(there.student.network._modules):
        if name != "encoder":
            delattr(there.student.network, name)
    path = saved(tmp_path / "a.ckpt", there, "sigmoid")
    with pytest.raises(InputError, match=r"holds a models\.unet\.UNet, of which no weight fits this network"):
        begin_from(Init(path, strict=False), module("sigmoid", ABC, width=3))


def test_a_network_that_the_checkpoint_lacks_is_refused(tmp_path):
    path = saved(tmp_path / "a.ckpt", module("sigmoid", ABC), "sigmoid")
    with pytest.raises(InputError, match="it has no teacher"):
        begin_from(Init(path, network="teacher"), module("sigmoid", ABC))
    with pytest.raises(InputError, match="no checkpoint"):
        begin_from(Init(str(tmp_path / "nowhere")), module("sigmoid", ABC))


@pytest.mark.filterwarnings("ignore:.*num_workers.*")
@pytest.mark.filterwarnings("ignore:.*`LearningRateMonitor`.*")
def test_a_run_begins_from_another_and_says_so_once_for_each_stage_from_scratch(slices_folder, caplog):
    caplog.set_level(logging.INFO)
    first = small_run(slices_folder, "trainer.max_epochs=1", f"paths.run={slices_folder.parent}/first")
    train(first)
    again = small_run(
        slices_folder,
        *("ssl=pretrain_finetune", "ssl.fractions=[0.4,0.3,0.3]", "trainer.max_epochs=3"),
        *("pseudo.threshold=0.01", f"init.checkpoint={first.paths.run}", "optimizer.lr=0.0"),
    )
    again.optimizer.weight_decay = 0.0
    train(again)
    scratch = sum(stage.init == "scratch" for stage in again.ssl.stages)
    assert scratch >= 1
    assert caplog.text.count("initial weights from") == scratch
