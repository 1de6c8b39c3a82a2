from unittest.mock import create_autospec

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader

from callbacks.ema_update import EMAUpdate
from models.teacher import Teacher

pytestmark = [pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*logging interval.*")]


class Pair(pl.LightningModule):
    """A student of one weight, and its teacher."""

    def __init__(self):
        super().__init__()
        self.student = nn.Linear(1, 1, bias=False)
        self.teacher = Teacher(self.student)
        self.seen = []

    def training_step(self, batch, batch_idx):
        return (self.student(batch) - 1).square().mean()

    def on_train_batch_end(self, *_):
        self.seen.append((self.student.weight.item(), self.teacher.network.weight.item()))

    def configure_optimizers(self):
        return torch.optim.SGD(self.student.parameters(), lr=0.1)


def fit(module, callback, batches=8, **options):
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[callback],
        **options,
    )
    trainer.fit(module, DataLoader(torch.rand(batches, 1) + 0.5, batch_size=1))
    return trainer


def test_the_average_follows_the_rule_after_every_step():
    module = Pair()
    average = module.student.weight.item()
    fit(module, EMAUpdate(decay=0.6))
    for step, (student, teacher) in enumerate(module.seen):
        alpha = min(1 - 1 / (step + 1), 0.6)
        average = alpha * average + (1 - alpha) * student
        assert teacher == pytest.approx(average, rel=1e-5)
    assert module.seen[0][0] == module.seen[0][1]


def test_accumulated_micro_batches_do_not_move_the_teacher():
    module, callback = Pair(), EMAUpdate()
    fit(module, callback, batches=8, accumulate_grad_batches=4)
    assert callback.steps == 2
    assert len({teacher for _, teacher in module.seen}) == 3  # before the first step, after it, after the second


@pytest.mark.parametrize("fused", [False, True])
def test_a_step_that_the_scaler_skipped_does_not_count(fused):
    module, callback = Pair(), EMAUpdate()
    optimizer = torch.optim.SGD(module.student.parameters(), lr=0.1, fused=fused)
    trainer = create_autospec(pl.Trainer, instance=True, optimizers=[optimizer])
    callback.on_train_start(trainer, module)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    kept = module.teacher.network.weight.item()
    for spoilt in (True, False):
        optimizer.zero_grad()
        scaler.scale(module.training_step(torch.ones(1, 1), 0)).backward()
        if spoilt:
            module.student.weight.grad.fill_(float("inf"))
        scaler.step(optimizer)
        scaler.update()
        assert callback.steps == int(not spoilt)
        assert (module.teacher.network.weight.item() == kept) is spoilt
    callback.teardown(trainer, module, "fit")
    optimizer.step()
    assert callback.steps == 1


def test_the_count_is_saved():
    callback, again = EMAUpdate(), EMAUpdate()
    fit(Pair(), callback, batches=5)
    again.load_state_dict(callback.state_dict())
    assert again.steps == 5


def test_a_decay_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"decay=1\.0: must lie in \[0, 1\)"):
        EMAUpdate(decay=1.0)
