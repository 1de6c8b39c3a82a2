import sys

import pytest

from benchmarks import tracking
from benchmarks.__main__ import main

SMALL = (
    *(
        "data.image_size=32",
        "data.source.structures=[aorta,liver,vertebrae_thoracic]",
        "data.source.num_slices=120",
        "data.batch_size=4",
    ),
    *("model=unet", "model.width=4", "model.depth=3", "trainer=cpu"),
)


@pytest.mark.filterwarnings("ignore:.*num_workers.*")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_cost_of_tracking_is_printed(monkeypatch, capsys):
    monkeypatch.setattr(tracking, "DEMO", SMALL)
    monkeypatch.setattr(sys, "argv", ["x"])
    assert main(["tracking", "--rounds", "1", "--epochs", "1", "--steps", "2"]) == 0
    assert "W&B adds" in capsys.readouterr().out
