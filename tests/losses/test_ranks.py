"""Two real processes that share a batch compute the loss, and the gradient, of the whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from losses.consistency import ConfidentLabels, DiceConsistency, KLConsistency, MSEConsistency
from losses.dice import NaiveCE, ReportDice
from losses.exclusion import SigmoidExclusion, SoftmaxExclusion
from losses.marginal import MarginalCE, MarginalDice
from losses.masked import MaskedBCE, MaskedDice
from losses.ranks import largest, summed
from losses.weighted_sum import WeightedSum
from partial_labels.batch import PartialLabelBatch
from partial_labels.head import SigmoidHead, SoftmaxHead

ROOT = Path(__file__).parents[2]
CLASSES = 5
SIGMOID = {"bce": MaskedBCE(), "dice": MaskedDice(), "each": MaskedDice(pool_batch=False), "not": SigmoidExclusion()}
SOFTMAX = {"ce": MarginalCE(), "dice": MarginalDice(), "not": SoftmaxExclusion()}
SOFTMAX |= {"naive_ce": NaiveCE(), "report": ReportDice()}


def terms(head, losses):
    supervised = WeightedSum(losses, dict.fromkeys(losses, 1.0))
    consistencies = {"mse": MSEConsistency(), "kl": KLConsistency(), "dice": DiceConsistency(smooth=1e-3)}
    consistencies["labels"] = ConfidentLabels(supervised, threshold=0.3)
    return head, {**losses, **{f"consistency_{name}": one for name, one in consistencies.items()}}


def losses_and_gradients(batch, teacher_logits):
    """Return each loss with the gradient of its logits."""
    found = {}
    for head, losses in (terms(SigmoidHead(), SIGMOID), terms(SoftmaxHead(), SOFTMAX)):
        channels = head.channels(CLASSES)
        for name, loss in losses.items():
            logits = teacher_logits[0][:, :channels].clone().requires_grad_()
            teacher = head.probs(teacher_logits[1][:, :channels])
            value = loss(logits, teacher, batch, head) if "consistency" in name else loss(logits, batch)
            value.backward()
            found[f"{type(head).__name__} {name}"] = (value.detach(), logits.grad)
    return found


@pytest.mark.parametrize("uneven", [False, True])
def test_two_processes_give_the_loss_and_the_gradient_of_one(make_batch, tmp_path, uneven):
    batch = make_batch(images=6)
    if uneven:  # the second process knows nothing
        batch.status[1::2] = 0
    logits = torch.randn(2, 6, CLASSES, 6, 8, generator=torch.Generator().manual_seed(3))
    expected = losses_and_gradients(batch, logits)
    torch.save((tuple(batch), logits), tmp_path / "batch")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, str(tmp_path)]
    processes = [subprocess.Popen([*command, rank], env=environment) for rank in "01"]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    assert all(value.isfinite() for value, _ in expected.values())
    for rank in (0, 1):
        for name, (value, gradient) in torch.load(tmp_path / f"found{rank}").items():
            torch.testing.assert_close(value, expected[name][0], rtol=1e-5, atol=1e-6, msg=name)
            # A parallel run averages the parameters' gradients over its two processes.
            torch.testing.assert_close(gradient / 2, expected[name][1][rank::2], rtol=1e-4, atol=1e-7, msg=name)


def test_one_process_exchanges_nothing():
    values = torch.rand(3)
    assert summed(values)[0] is values and largest(values) is values


def one_of_two(folder: Path, rank: int) -> None:
    """Do what one process does: its rows, and the others' sums."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    fields, logits = torch.load(folder / "batch")
    mine = PartialLabelBatch(*(field[rank::2] for field in fields))
    torch.save(losses_and_gradients(mine, logits[:, rank::2]), folder / f"found{rank}")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    one_of_two(Path(sys.argv[1]), int(sys.argv[2]))
