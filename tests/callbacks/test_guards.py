import logging
from unittest.mock import create_autospec

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins import MixedPrecision
from torch.utils.data import DataLoader

from callbacks.guards import CollapseReport, NonFiniteGuard, SkippedSteps
from partial_labels.batch import PartialLabelBatch
from partial_labels.errors import InputError

pytestmark = [pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*logging interval.*")]


class Slope(pl.LightningModule):
    """Multiplies images by one weight; spoils the loss or the weight at a step."""

    def __init__(self, spoil_loss_at=None, spoil_weight_at=None):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.spoil_loss_at, self.spoil_weight_at = spoil_loss_at, spoil_weight_at

    def training_step(self, batch, batch_idx):
        loss = (self.weight * batch.image).mean()
        return loss * float("nan") if batch_idx == self.spoil_loss_at else loss

    def on_before_zero_grad(self, optimizer):
        if self.trainer.global_step == self.spoil_weight_at:
            self.weight.data.fill_(float("inf"))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1e-3)


def batches(count=8):
    return [
        PartialLabelBatch(
            torch.rand(2, 1, 4, 4),
            torch.zeros(2, 4, 4, dtype=torch.uint8),
            torch.ones(2, 3, dtype=torch.uint8),
            torch.ones(2),
            torch.tensor([2 * i, 2 * i + 1]),
        )
        for i in range(count)
    ]


def quiet_trainer(tmp_path, callbacks, **more):
    return pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=callbacks,
        default_root_dir=tmp_path,
        **more,
    )


def fit(module, tmp_path, every=25):
    trainer = quiet_trainer(tmp_path, [NonFiniteGuard(every_n_steps=every)], max_epochs=1)
    trainer.fit(module, DataLoader(batches(), batch_size=None))


@pytest.mark.parametrize("every", [1, 3, 25])
def test_the_first_bad_step_and_its_cases_are_named(tmp_path, every):
    with pytest.raises(InputError, match=r"loss is not finite at step 5, cases \[8, 9\]; last good checkpoint: none"):
        fit(Slope(spoil_loss_at=4), tmp_path, every)


def test_a_weight_that_is_not_finite_is_found(tmp_path):
    with pytest.raises(InputError, match="a weight is not finite after step"):
        fit(Slope(spoil_weight_at=7), tmp_path)


def test_a_sound_run_passes(tmp_path):
    fit(Slope(), tmp_path, every=3)


@pytest.mark.parametrize(("fraction", "said"), [(0.0, "epoch 3: collapse"), (0.1, "")])
def test_a_collapse_is_reported_and_a_prediction_is_not(caplog, fraction, said):
    trainer = create_autospec(pl.Trainer, instance=True)
    trainer.callback_metrics = {"val/foreground_fraction": torch.tensor(fraction)}
    trainer.current_epoch = 3
    with caplog.at_level(logging.WARNING):
        CollapseReport().on_validation_end(trainer, Slope())
    assert said in caplog.text and bool(caplog.text) == bool(said)


class Silent(Slope):
    """Logs from its second epoch on that it predicts nothing, as the modules do: when the epoch ends."""

    def validation_step(self, batch, batch_idx):
        pass

    def on_validation_epoch_end(self):
        self.log("val/foreground_fraction", float(self.current_epoch < 1))


def test_the_epoch_of_a_collapse_is_the_right_one(tmp_path, caplog):
    trainer = quiet_trainer(tmp_path, [CollapseReport()], max_epochs=2, num_sanity_val_steps=0)
    data = DataLoader(batches(2), batch_size=None)
    with caplog.at_level(logging.WARNING):
        trainer.fit(Silent(), data, data)
    assert [line[:17] for line in caplog.messages if "collapse" in line] == ["epoch 1: collapse"]


def test_ranges_are_checked():
    with pytest.raises(ValueError, match="every_n_steps=0"):
        NonFiniteGuard(every_n_steps=0)


@pytest.mark.parametrize("scaled", [True, False])
def test_steps_that_the_scaler_skips_are_counted(tmp_path, scaled, monkeypatch):
    def spoil(self):
        if self.trainer.global_step in (2, 5):
            self.weight.grad.fill_(float("inf"))

    monkeypatch.setattr(Slope, "on_after_backward", spoil)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    plugins = [MixedPrecision("16-mixed", "cpu", scaler)] if scaled else []
    trainer = quiet_trainer(tmp_path, [SkippedSteps()], max_epochs=1, plugins=plugins)
    trainer.fit(Slope(), DataLoader(batches(), batch_size=None))
    assert trainer.callback_metrics.get("train/skipped_steps") == (2.0 if scaled else None)


@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before the epoch ended")
@pytest.mark.parametrize(("hook", "left"), [("on_train_batch_end", [2.0, 1.0]), ("on_train_epoch_end", [1.0])])
def test_skipped_steps_are_counted_across_a_resume(tmp_path, hook, left, monkeypatch):
    def spoil(self):
        if self.trainer.global_step in (1, 5, 9):
            self.weight.grad.fill_(float("inf"))

    def save(trainer, *_):
        if trainer.global_step in (3, 8):
            trainer.save_checkpoint(tmp_path / f"{trainer.global_step}.ckpt")

    monkeypatch.setattr(Slope, "on_after_backward", spoil)
    counts = []
    stop = pl.Callback()
    setattr(stop, hook, save)
    for further, checkpoint in (([stop], None), ([], tmp_path / f"{3 if left[1:] else 8}.ckpt")):
        scaled = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=4.0))
        trainer = quiet_trainer(tmp_path, [SkippedSteps(), Epochs(), *further], max_epochs=2, plugins=[scaled])
        trainer.fit(Slope(), DataLoader(batches(), batch_size=None), ckpt_path=checkpoint, weights_only=True)
        counts.append(trainer.callbacks[1].skipped)
    assert counts == [[2.0, 1.0], left]


class Epochs(pl.Callback):
    """Keeps what was logged in each epoch."""

    def __init__(self):
        self.skipped = []

    def on_train_end(self, trainer, pl_module):
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer, pl_module):
        if "train/skipped_steps" in trainer.callback_metrics:
            self.skipped.append(float(trainer.callback_metrics["train/skipped_steps"]))
