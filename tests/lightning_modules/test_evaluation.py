import torch

from lightning_modules.evaluation import EvaluationModule
from partial_labels.batch import HUMAN, PartialLabelBatch, ValidationBatch
from partial_labels.classes import ClassTable
from partial_labels.head import SigmoidHead, SoftmaxHead


class Oracle(torch.nn.Module):
    """Gives logits whose argmax is the rounded grey value times ten."""

    def forward(self, image):
        classes = torch.arange(4)[None, :, None, None]
        return -(image * 10 - classes).abs()


def case(label):
    label = torch.tensor(label, dtype=torch.uint8)[None]
    seen = PartialLabelBatch(
        torch.zeros(1, 1, *label.shape[1:]),
        label,
        torch.full((1, 3), HUMAN, dtype=torch.uint8),
        torch.ones(1),
        torch.tensor([0]),
    )
    return ValidationBatch(seen, seen, torch.tensor([0]))


def figures_of(module, image, label):
    batch = case(label)
    image = torch.tensor(image)[None, None] / 10
    batch = ValidationBatch(batch.seen._replace(image=image), batch.truth, batch.volume)
    prediction = module.test_step(batch, 0)["prediction"]
    module.on_test_epoch_end()
    return prediction[0].tolist(), module.figures


KNOWN = ClassTable.from_foreground(["liver", "spleen", "aorta"])


def test_predictions_are_renumbered_by_name_and_classes_only_the_network_knows_become_background():
    module = EvaluationModule(Oracle(), SoftmaxHead(), KNOWN, ClassTable.from_foreground(["aorta", "liver"]))
    prediction, figures = figures_of(module, [[1.0, 2.0], [3.0, 0.0]], [[2, 0], [1, 0]])
    assert prediction == [[2, 0], [1, 0]]
    assert (figures["dice/liver"], figures["dice/aorta"]) == (1.0, 1.0)


def test_classes_that_the_network_does_not_know_are_counted_nowhere():
    module = EvaluationModule(Oracle(), SoftmaxHead(), KNOWN, ClassTable.from_foreground(["liver", "pancreas"]))
    _, figures = figures_of(module, [[1.0, 0.0], [0.0, 0.0]], [[1, 2], [2, 2]])
    assert figures["dice/liver"] == 1.0 and figures["dice_classes"] == 1
    assert "dice/pancreas" not in figures
    assert figures["dice_pessimistic"] == 1.0


def test_the_confidence_is_that_of_the_class_that_was_drawn():
    class Fixed(torch.nn.Module):
        """Two pixels: liver .6 and spleen .4, spleen .9 and liver .2; only the spleen reaches its peak."""

        def forward(self, image):
            return torch.tensor([[[[0.6, 0.2]], [[0.4, 0.9]], [[0.1, 0.1]]]]).logit()

    target = ClassTable.from_foreground(["aorta", "spleen", "liver"])
    for peak, drawn, confidence in ((None, [3, 2], [0.6, 0.9]), (0.8, [2, 2], [0.4, 0.9]), (0.95, [0, 0], [0.4, 0.1])):
        module = EvaluationModule(Fixed(), SigmoidHead(0.3, peak=peak), KNOWN, target)
        step = module.test_step(case([[0, 0]]), 0)
        assert step["prediction"].tolist() == [[drawn]]
        torch.testing.assert_close(step["confidence"], torch.tensor([[confidence]]))
