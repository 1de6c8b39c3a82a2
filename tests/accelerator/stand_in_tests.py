"""Whole runs on the device of ``stand_in.py``; ``test_stand_in.py`` starts them in a process of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop as TrainingLoop

from runs.training import train
from tests.accelerator import stand_in
from tests.accelerator.stand_in import NAME, WATCH
from tests.configs import small_run
from tests.interrupted import EVERY_STEP, assert_same_run, with_kills

LOW = "pseudo.threshold=0.01"


@pytest.fixture(autouse=True)
def _only_training_steps(monkeypatch):
    advance = TrainingLoop.advance

    def watched(*arguments):
        WATCH.counting = True
        try:
            return advance(*arguments)
        finally:
            WATCH.counting = False

    monkeypatch.setattr(TrainingLoop, "advance", watched)


def last_weights(cfg):
    stages = sorted(Path(cfg.paths.run).glob("checkpoints/*/last.ckpt"))
    return {path.parent.name: torch.load(path, weights_only=True)["state_dict"] for path in stages}


def counted(work):
    WATCH.waits.clear()
    WATCH.counting = True
    try:
        work()
    except RuntimeError as error:
        return str(error)
    finally:
        WATCH.counting = False
    return sum(WATCH.waits.values())


def test_what_a_gpu_would_wait_for_is_counted_and_mixed_devices_are_refused():
    with stand_in.in_use():
        values, here = torch.rand(4, 3, device=NAME), torch.rand(4, 3)
        assert counted(lambda: values.sum().item()) == 1
        assert counted(lambda: bool((values > 2).any())) == 1
        assert counted(lambda: values[values > 0.5]) == 1
        assert counted(lambda: values.cpu()) == 1
        assert counted(lambda: here.to(NAME)) == 1
        assert counted(lambda: here.to(NAME, non_blocking=True)) == 0
        assert counted(lambda: values[[0, 2]]) == 1
        assert counted(lambda: (values @ values.T).softmax(0)[:2] * 2.0) == 0
        assert "lie on two devices" in counted(lambda: values + here)
        with pytest.raises(TypeError, match="to numpy"):
            values.numpy()


UNDERFLOW = "losses/softmax_reading.py"
"""A softmax loss asks once a level whether a sum of probabilities has underflown."""


@pytest.mark.parametrize(
    ("options", "allowed"),
    [
        (("ssl=supervised", "loss=masked_exclusion", "model.deep_supervision=true"), None),
        (("ssl=supervised", "loss=masked", "data.device_cache=true", "data.sampling=rare", "model=attunet"), None),
        (("ssl=supervised", "loss=masked", "optimizer=adamw", "trainer.accumulate=2", "trainer.recompute=true"), None),
        (("ssl=mean_teacher", "loss=masked", "consistency=labels"), None),
        (("ssl=mean_teacher", "loss=marginal_exclusion", "consistency=kl"), UNDERFLOW),
        (("ssl=mean_teacher", "loss=dice_ce", "consistency=dice"), UNDERFLOW),
        (("ssl=teacher_student", "loss=masked", "pseudo=top_k", "pseudo.complete_labeled=true", LOW), None),
        (("ssl=teacher_student", "loss=masked", "data.device_cache=true", "pseudo.complete_labeled=true", LOW), None),
        (("ssl=self_training", "loss=masked", "trainer.max_epochs=3", LOW), None),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else "",
)
def test_a_run_on_the_device_is_that_of_the_cpu_and_no_step_waits(slices_folder, options, allowed):
    on_cpu = small_run(slices_folder, *options)
    train(on_cpu)
    on_device = small_run(slices_folder, *options, root=slices_folder.parent / "device")
    with stand_in.in_use() as watch:
        train(on_device)
    assert [wait for wait in watch.waits if allowed is None or allowed not in wait] == []
    expected, weights = last_weights(on_cpu), last_weights(on_device)
    assert expected.keys() == weights.keys() and len(expected) >= 1
    for stage, values in expected.items():
        assert all(torch.equal(value, weights[stage][name]) for name, value in values.items())


def test_a_run_killed_on_the_device_goes_on_there_to_the_same_weights(slices_folder):
    options = ("ssl=mean_teacher", "optimizer=adamw", "model.dropout=0.1", "trainer.max_epochs=3", EVERY_STEP)
    alone = small_run(slices_folder, *options)
    killed = small_run(slices_folder, *options, root=slices_folder.parent / "killed")
    with stand_in.in_use():
        train(alone)
        with_kills(killed, [("on_train_batch_start", 4), ("on_validation_start", 1)])
    assert_same_run(killed.paths.run, alone.paths.run)
