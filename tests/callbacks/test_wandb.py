"""What the real client writes offline, read back from its file."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wandb
from omegaconf import OmegaConf
from PIL import Image

from callbacks.wandb_panels import WandbPanels, case_image, class_names
from callbacks.wandb_run import WandbRun
from losses.masked import MaskedBCE
from partial_labels.classes import ClassTable
from partial_labels.errors import InputError
from runs.loggers import name_runs
from runs.training import train
from tests.configs import small_run
from tests.wandb_file import records

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*num_workers.*"),
    pytest.mark.filterwarnings("ignore:.*`LearningRateMonitor`.*"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the client
]
TWO_STAGES = ("ssl=teacher_student", "trainer.max_epochs=4", "pseudo.threshold=0.1", "pseudo.filters=null")


DONE: dict[str, Any] = {}


@pytest.fixture
def two_stages(slices_folder, monkeypatch):
    """Train a teacher and a student with W&B, once; return the run directory and what the client has written."""
    if not DONE:
        monkeypatch.setattr(sys, "argv", ["train.py", "secret_argument=1"])
        monkeypatch.setenv("SECRET_VARIABLE", "secret_value")
        own = ("logger.artifacts=true", "callbacks.wandb_panels.count=3", "callbacks.wandb_panels.every_n_epochs=2")
        cfg = small_run(slices_folder, "logger=wandb", "experiment_name=trial", *TWO_STAGES, *own)
        train(cfg)
        assert wandb.run is None
        DONE.update(run_dir=Path(cfg.paths.run), found=records(Path(cfg.paths.run)))
    return DONE["run_dir"], DONE["found"]


def history(found):
    """Return the rows of the run's history."""
    rows = []
    for record in found:
        if record.WhichOneof("record_type") == "history":
            row: dict[str, Any] = {}
            for item in record.history.item:
                place = row
                for key in item.nested_key[:-1]:
                    place = place.setdefault(key, {})
                place[item.nested_key[-1] if item.nested_key else item.key] = json.loads(item.value_json)
            rows.append(row)
    return rows


def only(found, kind):
    return [getattr(record, kind) for record in found if record.WhichOneof("record_type") == kind]


def test_a_run_says_what_it_is_and_ends_with_its_exit_code(two_stages):
    run_dir, found = two_stages
    (run,) = only(found, "run")
    config = {one.key: json.loads(one.value_json) for one in run.config.update}
    assert (run.run_group, run.job_type, run.display_name) == ("trial", "teacher_student", "run")
    assert (
        config["data"]["image_size"] == 32 and config["loss"]["terms"]["bce"]["_target_"] == "losses.masked.MaskedBCE"
    )
    assert run.run_id == config["logger"]["wandb"]["id"]
    assert [one.exit_code for one in only(found, "exit")] == [0]
    assert OmegaConf.load(run_dir / "config.yaml").logger.wandb.id == run.run_id


def test_nothing_of_the_machine_is_sent(two_stages):
    run_dir, _ = two_stages
    content = b"".join(
        path.read_bytes() for path in (run_dir / "wandb").rglob("*") if path.suffix in (".wandb", ".json")
    )
    for word in (b"secret_argument", b"SECRET_VARIABLE", b"secret_value", b"def train"):
        assert word not in content
    (files,) = (run_dir / "wandb").glob("offline-run-*/files")
    assert {path.name for path in files.iterdir()} == {"media"}


def test_every_figure_is_drawn_over_epochs_that_go_on_from_stage_to_stage(two_stages):
    _, found = two_stages
    rows = history(found)
    curve = [(row["epoch"], row["val/dice"]) for row in rows if "val/dice" in row]
    assert [epoch for epoch, _ in curve] == [0, 1, 2, 3]
    assert all("epoch" in row for row in rows if any(key.startswith("train/") for key in row))
    metrics = {one.name or one.glob_name: one for one in only(found, "metric")}
    assert metrics["val/dice*"].summary.max and metrics["val/dice*"].step_metric == "epoch"
    assert metrics["*"].step_metric == "epoch"
    (pseudo,) = [row for row in rows if "pseudo/coverage" in row]
    assert 0 < pseudo["pseudo/coverage"] <= 1 and "pseudo/cells" in pseudo
    costs = [row for row in rows if "cost/images_per_second" in row]
    assert len(costs) == 4 and all(row["cost/images_per_second"] > 0 and row["cost/memory_gb"] > 0 for row in costs)
    assert any(key.startswith("lr-") for row in rows for key in row)


def test_the_organs_are_a_table_for_every_stage(two_stages):
    run_dir, found = two_stages
    tables = sorted((run_dir / "wandb").glob("offline-run-*/files/media/table/organs*.json"), key=os.path.getmtime)
    assert len(tables) == 2
    content = json.loads(tables[-1].read_text())
    assert content["columns"] == ["organ", "last Dice", "best Dice"]
    assert {row[0] for row in content["data"]} <= {"liver", "kidney_left", "kidney_right"}
    last = [row for row in history(found) if "val/dice" in row][-1]
    for organ, value, best in content["data"]:
        assert value == pytest.approx(last[f"val/dice/{organ}"]) and best >= value


def test_the_panels_are_images_with_named_masks(two_stages):
    run_dir, found = two_stages
    rows = [row for row in history(found) if "panels" in row]
    assert [row["epoch"] for row in rows] == [1, 3] and all("val/dice" in row for row in rows)
    panels = rows[-1]["panels"]
    assert panels["count"] == 3 and len(set(panels["captions"])) == 3
    masks = panels["all_masks"]
    assert all({"annotation", "prediction"} <= set(one) for one in masks)
    for one in masks:
        assert (run_dir / "wandb" / "latest-run" / "files" / one["prediction"]["path"]).exists()


def test_a_class_that_nobody_examined_has_a_name_of_its_own():
    classes = ClassTable.from_foreground(["liver", "spleen"])
    names = class_names(classes)
    assert names[1] == "liver" and names[129] == "liver, not examined" and names[254] == "unsure"
    label = np.array([[0, 1], [2, 254]], dtype=np.uint8)
    masks = {"annotation": label, "prediction": label}
    image = case_image("a", np.ones((2, 2), np.float32), masks, np.array([True, False, True]), classes)
    shown = {key: np.asarray(Image.open(mask._path)) for key, mask in image._masks.items()}
    assert shown["annotation"].tolist() == label.tolist()
    assert shown["prediction"].tolist() == [[0, 1], [130, 254]]


def test_checkpoints_and_pseudo_labels_are_artifacts_where_asked_for(two_stages):
    _, found = two_stages
    artifacts = [(one.type, one.name.partition("-")[2], tuple(one.aliases)) for one in only(found, "artifact")]
    models = [one for one in artifacts if one[0] == "model"]
    assert {name for _, name, _ in models} == {"teacher", "student"}
    assert {name for _, _, aliases in models for name in aliases} == {"latest", "last", "best"}
    assert [name for kind, name, _ in artifacts if kind == "pseudo-labels"] == ["pseudo-labels-teacher"]


def test_divergence_sends_an_alert_and_the_run_ends_with_1(slices_folder, monkeypatch):
    sound, steps = MaskedBCE.of, iter(range(100))
    monkeypatch.setattr(MaskedBCE, "of", lambda *a: sound(*a) * (1 if next(steps) < 2 else float("nan")))
    cfg = small_run(slices_folder, "logger=wandb")
    with pytest.raises(InputError, match="not finite"):
        train(cfg)
    found = records(Path(cfg.paths.run))
    assert wandb.run is None and [one.exit_code for one in only(found, "exit")] == [1]
    (alert,) = only(found, "alert")
    assert alert.title == "Divergence" and "the loss is not finite" in alert.text


def test_two_runs_in_one_process_stay_apart_and_a_silent_one_sends_an_alert(slices_folder, tmp_path):
    ids = []
    for name, prior in (("silent", "0.0001"), ("other", "0.5")):
        own = (
            "trainer.max_epochs=1",
            "optimizer.lr=1e-9",
            "callbacks.wandb_run.collapse_epochs=1",
            f"head.prior={prior}",
        )
        cfg = small_run(slices_folder, "logger=wandb", *own, root=tmp_path / name)
        train(cfg)
        found = records(Path(cfg.paths.run))
        ids += [run.run_id for run in only(found, "run")]
        assert len([row for row in history(found) if "val/dice" in row]) == 1
        assert [one.title for one in only(found, "alert")] == (["Collapse"] if name == "silent" else [])
        assert [one for one in only(found, "artifact") if one.type == "model"] == []  # nobody asked for them
    assert len(set(ids)) == 2 and os.environ.get("WANDB_MODE") is None


@pytest.mark.parametrize("drawn", ["0e954006", "12345678", "0x00beef", "1e3"])
def test_an_agents_id_is_kept_as_text_whatever_number_it_resembles(slices_folder, tmp_path, monkeypatch, drawn):
    monkeypatch.setenv("WANDB_RUN_ID", drawn)
    cfg = small_run(slices_folder, "logger=wandb", root=tmp_path)
    name_runs(cfg)
    OmegaConf.save(cfg, tmp_path / "config.yaml")
    assert OmegaConf.load(tmp_path / "config.yaml").logger.wandb.id == drawn


@pytest.mark.parametrize("build", [lambda: WandbRun(collapse_epochs=0), lambda: WandbPanels(count=0)])
def test_numbers_out_of_range_are_refused(build):
    with pytest.raises(ValueError, match="=0: must be"):
        build()


@pytest.mark.parametrize("setting", ["base_url=http://localhost:8765", "api_key=sekret", "x_extra_http_headers={a:b}"])
def test_a_configuration_names_no_server_and_holds_no_key(slices_folder, setting):
    cfg = small_run(slices_folder, "logger=wandb", f"+logger.wandb.settings.{setting}")
    with pytest.raises(InputError, match=r"logger\.wandb\.settings\.\w+: a configuration may set .*WANDB_"):
        train(cfg)
    run = Path(cfg.paths.run)
    assert not any(b"sekret" in path.read_bytes() for path in run.rglob("*") if path.is_file())
