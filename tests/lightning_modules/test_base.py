import inspect

import pytest
import torch

from lightning_modules.base import SegmentationModule
from lightning_modules.mean_teacher import MeanTeacherModule
from lightning_modules.schedules import ConstantSchedule
from lightning_modules.supervised import SupervisedModule
from lightning_modules.teacher_student import TeacherStudentModule
from losses.masked import MaskedBCE, MaskedDice
from losses.weighted_sum import WeightedSum
from models.unet import UNet
from partial_labels.batch import HUMAN, UNKNOWN, PartialLabelBatch
from partial_labels.classes import ClassTable
from partial_labels.head import SigmoidHead

CLASSES = ClassTable.from_foreground(["liver", "spleen", "aorta"])


def made(**options):
    loss = WeightedSum({"bce": MaskedBCE(), "dice": MaskedDice()}, {"bce": 1.0, "dice": 2.0})
    network = UNet(1, len(CLASSES) - 1, width=4, depth=3, **options)
    sgd = lambda parameters: torch.optim.SGD(parameters, lr=0.1)  # noqa: E731
    return SupervisedModule(network, SigmoidHead(), loss, sgd, ConstantSchedule(), CLASSES, mean=0.3, std=0.2)


def batch():
    label = torch.zeros(2, 16, 16, dtype=torch.uint8)
    label[0, 4:9, 4:9] = 1
    status = torch.full((2, 4), HUMAN, dtype=torch.uint8)
    status[1] = UNKNOWN
    return PartialLabelBatch(torch.rand(2, 1, 16, 16), label, status, torch.ones(2), torch.arange(2))


def test_the_loss_is_the_sum_of_its_weighted_terms_and_each_is_logged():
    module, data = made(), batch()
    loss = module.training_step(data, 0)
    terms = module.loss(module.student(data.image), data)
    assert loss.item() == pytest.approx((terms["bce"] + terms["dice"]).item(), rel=1e-5)
    logged = module.means.pop()
    assert set(logged) == {"bce", "dice", "loss", "supervised", "unsupervised"}
    assert logged["loss"] == pytest.approx(loss.item()) and logged["unsupervised"] == 0


def test_deep_supervision_is_part_of_the_supervised_loss():
    loss = made(deep_supervision=True).training_step(batch(), 0)
    loss.backward()
    assert torch.isfinite(loss)


def test_the_normalisation_is_in_the_checkpoint_and_no_parameter():
    state = made().state_dict()
    assert (float(state["student.mean"]), float(state["student.std"])) == pytest.approx((0.3, 0.2))
    assert "student.mean" not in dict(made().named_parameters())


def test_the_class_table_is_in_the_checkpoint_as_plain_values():
    checkpoint = {}
    made().on_save_checkpoint(checkpoint)
    assert ClassTable.from_json(checkpoint["classes"]) == CLASSES


@pytest.mark.parametrize("strategy", [SupervisedModule, TeacherStudentModule, MeanTeacherModule])
def test_strategies_do_not_override_the_training_step(strategy):
    assert inspect.isabstract(SegmentationModule) and issubclass(strategy, SegmentationModule)
    assert strategy.training_step is SegmentationModule.training_step
