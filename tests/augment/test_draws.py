from __future__ import annotations

import pytest
import torch

from augment.draws import Draws


def everything(draws: Draws) -> list[torch.Tensor]:
    """One of each call, in one order; values of chosen rows are put back in their places."""
    uniform = draws.uniform(-1.0, 2.0, 3)
    chance = draws.chance(0.5)
    index, chosen = draws.choose(0.5)
    part = torch.zeros(len(draws.rows)).index_copy(0, index, chosen.log_uniform(0.5, 2.0))
    noise = draws.noise(torch.zeros(len(draws.rows), 1, 5, 7))
    return [uniform, chance, part, noise, draws.uniform(0.0, 1.0)]


@pytest.mark.parametrize("world", [2, 3, 7])
def test_numbers_do_not_depend_on_the_split_into_processes(world: int) -> None:
    whole = everything(Draws(1, 2, 3, torch.arange(7), 7))
    for rank in range(world):
        rows = torch.arange(7)[rank::world]
        for expected, found in zip(whole, everything(Draws(1, 2, 3, rows, 7)), strict=True):
            assert torch.equal(expected[rows], found)


def test_a_process_without_rows_draws_along() -> None:
    assert [len(values) for values in everything(Draws(1, 2, 3, torch.arange(0), 7))] == [0] * 5


@pytest.mark.parametrize("other", [(5, 2, 3, 0), (1, 5, 3, 0), (1, 2, 5, 0), (1, 2, 3, 5)])
def test_numbers_follow_seed_epoch_step_and_stream(other: tuple[int, int, int, int]) -> None:
    def numbers(seed: int, epoch: int, step: int, stream: int) -> list[torch.Tensor]:
        return everything(Draws(seed, epoch, step, torch.arange(4), 4, stream))

    again = zip(numbers(1, 2, 3, 0), numbers(1, 2, 3, 0), strict=True)
    assert all(torch.equal(first, second) for first, second in again)
    assert not torch.equal(numbers(1, 2, 3, 0)[0], numbers(*other)[0])
    assert not torch.equal(numbers(1, 2, 3, 0)[3], numbers(*other)[3])


def test_the_global_random_state_is_left_alone() -> None:
    state = torch.get_rng_state()
    everything(Draws(1, 2, 3, torch.arange(4), 4))
    assert torch.equal(state, torch.get_rng_state())


def test_distributions() -> None:
    draws = Draws(0, 0, 0, torch.arange(4000), 4000)
    uniform, factor = draws.uniform(-1.0, 3.0), draws.log_uniform(0.5, 2.0)
    assert uniform.dtype == torch.float32
    assert -1 <= uniform.min() < -0.98 and 2.98 < uniform.max() <= 3
    assert uniform.mean().item() == pytest.approx(1, abs=0.1)
    assert 0.499 <= factor.min() and factor.max() <= 2.001
    assert factor.log().mean().item() == pytest.approx(0, abs=0.05)
    assert draws.chance(0.3).float().mean().item() == pytest.approx(0.3, abs=0.03)
    assert not draws.chance(0.0).any() and draws.chance(1.0).all()


def test_noise_is_normal_and_differs_between_rows_and_calls() -> None:
    draws = Draws(0, 0, 0, torch.arange(2), 2)
    first, second = draws.noise(torch.zeros(2, 1, 64, 64)), draws.noise(torch.zeros(2, 1, 64, 64))
    fields = torch.stack([*first, *second]).flatten(1)
    assert fields.mean(1).abs().max() < 0.06 and (fields.std(1) - 1).abs().max() < 0.05
    assert (torch.corrcoef(fields) - torch.eye(4)).abs().max() < 0.06


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"rows": torch.tensor([4])}, {"rows": torch.tensor([-1])}])
def test_arguments_are_checked(wrong: dict[str, object]) -> None:
    arguments = {"seed": 0, "epoch": 0, "step": 0, "rows": torch.arange(4), "global_size": 4} | wrong
    with pytest.raises(ValueError, match="draws"):
        Draws(**arguments)
