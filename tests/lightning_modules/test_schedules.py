import pytest
import torch

from lightning_modules.schedules import ConstantSchedule, CosineSchedule, PlateauSchedule, PolySchedule


def rates(schedule, steps=10, lr=2.0):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler = schedule.build(optimizer, steps, "val/dice")["scheduler"]
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return [*found, optimizer.param_groups[0]["lr"]]


def test_poly_follows_its_formula_to_zero():
    found = rates(PolySchedule(power=0.9))
    assert found == pytest.approx([2 * (1 - step / 10) ** 0.9 for step in range(11)])


def test_cosine_is_half_way_in_the_middle_and_ends_at_its_final_factor():
    found = rates(CosineSchedule(final=0.1))
    assert (found[0], found[5], found[10]) == pytest.approx((2.0, 1.1, 0.2))


def test_warm_up_rises_linearly_to_the_peak():
    assert rates(ConstantSchedule(warmup_steps=3))[:5] == pytest.approx([0.5, 1.0, 1.5, 2.0, 2.0])


def test_plateau_waits_and_then_cuts():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    built = PlateauSchedule(factor=0.1, patience_epochs=2).build(optimizer, 100, "val/dice_volume")
    assert (built["interval"], built["monitor"]) == ("epoch", "val/dice_volume")
    for dice, rate in ((0.5, 1.0), (0.4, 1.0), (0.4, 1.0), (0.4, 0.1)):
        built["scheduler"].step(dice)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(rate)


@pytest.mark.parametrize(
    "make",
    [
        lambda: PolySchedule(power=0),
        lambda: CosineSchedule(final=2),
        lambda: ConstantSchedule(warmup_steps=-1),
        lambda: PlateauSchedule(factor=1),
    ],
)
def test_ranges_are_checked(make):
    with pytest.raises(ValueError, match=r"="):
        make()
