from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from losses.base import PartialLoss, SharedLoss
from losses.masked import MaskedBCE, MaskedDice
from losses.weighted_sum import WeightedSum
from partial_labels.batch import HUMAN, UNKNOWN

CONF = Path(__file__).parents[2] / "conf" / "loss"


class Probe(PartialLoss):
    """Returns a number, and keeps what it was given."""

    def __init__(self, value: float = 1.0) -> None:
        super().__init__()
        self.value, self.seen = value, []

    def forward(self, logits, batch):
        self.seen.append((logits, batch, torch.is_autocast_enabled("cpu")))
        return self.value + 0 * logits.sum()


class Mean(SharedLoss[torch.Tensor]):
    """The mean logit, and how often it was taken."""

    times = 0

    @staticmethod
    def read(logits, batch):
        Mean.times += 1
        return logits.mean()

    def of(self, reading):
        return reading


def test_what_terms_share_is_read_once_a_level(make_batch, make_logits):
    batch = make_batch(size=(8, 8))
    logits = make_logits(batch, 4)
    loss = WeightedSum({"a": Mean(), "probe": Probe(), "b": Mean()}, {"a": 1.0, "probe": 1.0, "b": 2.0})
    terms = loss([logits, logits[:, :, ::2, ::2]], batch)
    assert Mean.times == 2
    torch.testing.assert_close(terms["b"], 2 * terms["a"])
    torch.testing.assert_close(Mean()(logits, batch), logits.mean())


def test_terms_come_back_weighted_under_their_names(make_batch, make_logits):
    batch = make_batch()
    logits = make_logits(batch, 4)
    terms = WeightedSum({"bce": MaskedBCE(), "dice": MaskedDice()}, {"bce": 0.5, "dice": 2.0})(logits, batch)
    assert list(terms) == ["bce", "dice"]
    torch.testing.assert_close(terms["bce"], 0.5 * MaskedBCE()(logits, batch))
    torch.testing.assert_close(terms["dice"], 2 * MaskedDice()(logits, batch))


def test_levels_weigh_less_and_less_and_sum_to_one(make_batch, make_logits):
    batch = make_batch(size=(8, 8))
    logits = make_logits(batch, 4)
    levels = [logits, logits[:, :, ::2, ::2], logits[:, :, ::4, ::4]]
    one = WeightedSum({"probe": Probe(3.0)}, {"probe": 1.0})(levels, batch)["probe"]
    assert one.item() == pytest.approx(3.0)
    loss = MaskedBCE()
    values = WeightedSum({"bce": loss}, {"bce": 1.0}, deep_supervision_decay=0.25)(levels, batch)["bce"]
    parts = [
        loss(level, batch._replace(label=batch.label[:, step // 2 :: step, step // 2 :: step]))
        for level, step in zip(levels, (1, 2, 4), strict=True)
    ]
    torch.testing.assert_close(values, (16 * parts[0] + 4 * parts[1] + parts[2]) / 21)


def test_the_coarsest_level_can_be_left_out(make_batch, make_logits):
    batch = make_batch(size=(8, 8))
    logits = make_logits(batch, 4)
    probe = Probe()
    loss = WeightedSum({"probe": probe}, {"probe": 1.0}, skip_coarsest=True)
    assert loss([logits, logits[:, :, ::2, ::2]], batch)["probe"].item() == 1
    assert [tuple(seen.shape[2:]) for seen, *_ in probe.seen] == [(8, 8)]
    assert loss(logits, batch)["probe"].item() == 1


def test_labels_of_a_level_are_class_ids_of_its_size(make_batch, make_logits):
    batch = make_batch(size=(8, 8))
    probe = Probe()
    WeightedSum({"probe": probe}, {"probe": 1.0})([make_logits(batch, 4), torch.zeros(4, 4, 2, 2)], batch)
    label = probe.seen[1][1].label
    assert label.shape == (4, 2, 2)
    assert label.dtype == torch.uint8
    assert torch.equal(label, batch.label[:, 2::4, 2::4])


def test_terms_see_fp32_outside_autocast(make_batch, make_logits):
    batch = make_batch()
    probe = Probe()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = WeightedSum({"probe": probe}, {"probe": 1.0})(make_logits(batch, 4).bfloat16(), batch)
    logits, _, autocast = probe.seen[0]
    assert logits.dtype == torch.float32
    assert terms["probe"].dtype == torch.float32
    assert not autocast


def test_unknown_cells_feel_nothing_on_any_level(make_batch, make_logits):
    batch = make_batch(size=(8, 8))
    levels = [make_logits(batch, 4), torch.randn(4, 4, 4, 4, requires_grad=True)]
    terms = WeightedSum({"bce": MaskedBCE(), "dice": MaskedDice()}, {"bce": 1, "dice": 1})(levels, batch)
    sum(terms.values()).backward()
    for level in levels:
        assert level.grad[batch.status[:, 1:] == UNKNOWN].count_nonzero() == 0
        assert level.grad[batch.status[:, 1:] == HUMAN].count_nonzero() > 0


@pytest.mark.parametrize(
    ("terms", "weights", "keys", "message"),
    [
        ({}, {}, {}, "name the same"),
        ({"a": Probe()}, {"b": 1.0}, {}, "name the same"),
        ({"a": Probe()}, {"a": -1.0}, {}, r"loss\.weights\.a=-1"),
        ({"a": Probe()}, {"a": 1.0}, {"deep_supervision_decay": 0.0}, "deep_supervision_decay=0"),
        ({"a": Probe()}, {"a": 1.0}, {"deep_supervision_decay": 1.5}, "deep_supervision_decay=1"),
    ],
)
def test_bad_arguments_are_refused(terms, weights, keys, message):
    with pytest.raises(ValueError, match=message):
        WeightedSum(terms, weights, **keys)


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem)
def test_conf_brings_a_loss_and_the_head_it_is_written_for(path, make_batch, make_logits):
    assert path.read_text().startswith("# @package _global_\n")
    conf = OmegaConf.load(path)
    head, loss = instantiate(conf.head), instantiate(conf.loss)
    batch = make_batch()
    logits = make_logits(batch, head.channels(5))
    terms = loss(logits, batch)
    sum(terms.values()).backward()
    assert set(terms) == set(conf.loss.weights)
    assert all(term > 0 for term in terms.values())
    assert logits.grad.isfinite().all()
    assert head.probs(logits).shape[1] == 5
