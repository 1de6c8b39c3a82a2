from __future__ import annotations

import sys

import pytest

from benchmarks import losses
from benchmarks.__main__ import main

SMALL = (
    *("data.image_size=32", "data.source.structures=[aorta,liver]", "data.source.num_slices=120", "data.batch_size=4"),
    *("model=unet", "model.width=4", "model.depth=3", "model.deep_supervision=true", "trainer=cpu"),
)


@pytest.mark.filterwarnings("ignore:.*num_workers.*")
def test_every_loss_of_the_conf_is_measured_beside_the_network(monkeypatch, capsys):
    monkeypatch.setattr(losses, "SETTING", SMALL)
    monkeypatch.setattr(sys, "argv", ["x"])
    assert main(["losses", "--rounds", "1", "--calls", "1"]) == 0
    rows = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.endswith(tuple("0123456789"))]
    assert rows[-7:] == ["network", "dice", "dice_ce", "marginal", "marginal_exclusion", "masked", "masked_exclusion"]
