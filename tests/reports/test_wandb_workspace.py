"""The workspace is built and checked without an account."""

from __future__ import annotations

import json
import sys

import pytest

from partial_labels.errors import InputError
from reports import wandb_workspace as made

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def run(tmp_path):
    (tmp_path / "run").mkdir()
    header = "epoch,step,train/loss,val/dice,val/dice/liver,val/dice/spleen,val_student/dice/liver\n"
    (tmp_path / "run" / "metrics.csv").write_text(header + "0,1,1,0.5,0.5,0.5,0.4\n")
    return tmp_path / "run"


def sections(spec):
    return {one["name"]: one["panels"] for one in spec["section"]["panelBankConfig"]["sections"]}


def test_the_workspace_compares_strategies_with_a_band_over_seeds(run):
    workspace = made.build_workspace("me", "trial", made.organs_of(run), ["ssl.name", "loss._target_"])
    spec = made.specification(workspace)
    found = sections(spec)
    assert list(found) == ["Dice", "Organs", "Phases", "Pseudo-labels", "Panels", "Cost"]
    curve = found["Dice"][0]["config"]
    assert (curve["metrics"], curve["xAxis"]) == (["val/dice"], "epoch")
    assert (curve["groupAgg"], curve["groupArea"]) == ("mean", "stddev")
    bars = [one["config"]["metrics"] for one in found["Organs"] if one["viewType"] == "Bar Chart"]
    assert bars == [["val/dice/liver"], ["val/dice/spleen"]]
    assert found["Panels"][0]["config"]["mediaKeys"] == ["panels"]
    (runs,) = spec["section"]["runSets"]
    assert [one["name"] for one in runs["grouping"]] == ["ssl.value.name", "loss.value._target_"]
    assert "config:ssl.value.name" in json.dumps(spec) and "summary:val/dice.max" in json.dumps(spec)


def test_the_library_reads_it_back(run):
    import wandb_workspaces.workspaces as ws

    workspace = made.build_workspace("me", "trial", made.organs_of(run))
    again = ws.Workspace._from_model(workspace._to_model())
    assert made.specification(again) == made.specification(workspace)


def test_the_command_writes_it_without_an_account(run, tmp_path, capsys):
    assert made.main([str(run), f"--json={tmp_path}/out/space.json"]) == 0
    assert "Organs" in sections(json.loads((tmp_path / "out" / "space.json").read_text()))
    assert made.main([str(run)]) == 1
    assert "error: --entity is not set" in capsys.readouterr().err
    assert made.main([str(tmp_path), "--json=x"]) == 1
    assert "metrics.csv is missing; name a run directory" in capsys.readouterr().err


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    monkeypatch.setitem(sys.modules, "wandb_workspaces.workspaces", None)
    monkeypatch.setitem(sys.modules, "wandb_workspaces.reports.v2", None)
    with pytest.raises(InputError, match=r"pip install 'partialseg\[workspace\]'"):
        made.build_workspace("me", "trial", [])
