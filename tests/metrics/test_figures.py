import pytest
import torch

from metrics.figures import FIGURES, LOGGED
from metrics.partial_dice import PartialDice
from metrics.surface import SurfaceMetrics
from partial_labels.batch import HUMAN, UNKNOWN, PartialLabelBatch, ValidationBatch

NAMES = ("background", "liver", "spleen")


@pytest.mark.parametrize("spacing_mm", [None, (1.0, 2.0)])
def test_the_table_knows_everything_that_is_measured(spacing_mm):
    status = torch.tensor([[UNKNOWN, HUMAN, UNKNOWN]], dtype=torch.uint8)
    label = torch.ones(1, 4, 4, dtype=torch.uint8)
    seen = PartialLabelBatch(torch.rand(1, 1, 4, 4), label, status, torch.ones(1), torch.arange(1))
    truth = seen._replace(status=torch.full_like(status, HUMAN))
    dice, surface = PartialDice(NAMES), SurfaceMetrics(NAMES, spacing_mm=spacing_mm)
    for metric in (dice, surface):
        metric.update(label, ValidationBatch(seen, truth, torch.zeros(1, dtype=torch.int64)))
    measured = {name for name in dice.compute() | surface.compute() if "/" not in name}
    told_in_words = {"dice_classes", "foreground_fraction"}
    lacking = {"hd95_mm"} if spacing_mm is None else {"hd95_px"}
    assert measured - told_in_words == FIGURES.keys() - lacking
    assert {f"val/{name}" for name in dice.compute() if name in FIGURES} == LOGGED.keys()
    assert [one.heading for one in FIGURES.values()][-3:] == ["HD95 mm", "HD95 px", "NSD"]
