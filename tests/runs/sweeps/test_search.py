"""A search as a user runs it, mostly with a stand-in for the training."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from unittest.mock import Mock

import optuna
import pytest
import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

import tune
from conf.schema import TuneConfig, register
from partial_labels.errors import InputError, Interrupted
from runs.sweeps import trial as one_trial
from runs.sweeps.search_space import default_values, grid_of, read_space
from tests.command_line import SMALL, shell
from tests.configs import CONF

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*num_workers.*"),
    pytest.mark.filterwarnings("ignore:.*`LearningRateMonitor`.*"),
]


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Run ``tune.py``; ``figure(cfg)`` stands in for what a training reaches, None for the real one."""
    with shell(tmp_path, monkeypatch) as run:
        register(train=TuneConfig)

        def tuning(figure, *arguments):
            if figure is not None:
                monkeypatch.setattr(one_trial, "train", lambda cfg: {"figures": {"last": {"dice": figure(cfg)}}})
            return run(tune.main, "tune", "hydra.run.dir=study", *arguments)

        yield tuning


def peak(cfg):
    return 1 - abs(math.log10(cfg.optimizer.lr) + 2) / 4


def trials(folder):
    with (folder / "study" / "trials.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_search_finds_better_than_the_default_and_writes_an_experiment(command, tmp_path, capsys):
    arguments = ("optimizer=sgd", "experiment=demo", "loss=marginal", "tune.trials=12")
    assert command(peak, *arguments) == 0
    rows = trials(tmp_path)
    assert len(rows) == 12 and {row["state"] for row in rows} == {"complete"}
    assert float(rows[0]["optimizer.lr"]) == 1e-2  # experiment=demo as it is
    values = [float(row["value"]) for row in rows]
    out = capsys.readouterr().out
    assert f"best: {max(values):.4f} with optimizer.lr=" in out
    assert f"python train.py --config-dir={tmp_path}/study experiment=optimizer_best" in out
    register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(CONF, version_base="1.3"):
        folder = f"hydra.searchpath=[file://{tmp_path}/study]"
        cfg = compose("config", ["experiment=optimizer_best", folder])
    best = rows[values.index(max(values))]
    assert cfg.optimizer.lr == pytest.approx(float(best["optimizer.lr"]))
    assert cfg.optimizer._target_ == "torch.optim.SGD" and cfg.optimizer.momentum == 0.9
    assert cfg.experiment_name == "demo" and "term" in str(cfg.loss) and "marginal" in str(cfg.loss)
    assert cfg.scheduler._target_.lower().count(best["scheduler"]) == 1


def test_what_was_typed_in_other_forms_is_in_the_experiment(command, tmp_path):
    searched = ("search=loss", "++search.loss.choices=[masked,marginal]", "++tune.startup_trials=2", "tune.trials=1")
    typed = ("experiment=[acdc_7,missformer]", "~callbacks.cost", "++data.batch_size=6", "data.root=FOLDER")
    assert command(lambda cfg: 0.5, *searched, *typed) == 0
    register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(CONF, version_base="1.3"):
        cfg = compose("config", ["experiment=loss_best", f"hydra.searchpath=[file://{tmp_path}/study]"])
    assert cfg.data.labeled_first == 136 and "missformer" in cfg.model._target_
    assert cfg.callbacks.cost is None and cfg.callbacks.collapse is not None
    assert cfg.data.batch_size == 6 and "tune" not in cfg and "search" not in cfg


def test_what_no_experiment_can_say_is_refused_before_the_first_trial(command, tmp_path, capsys):
    assert command(peak, "~report.panels", "tune.trials=1") == 1
    line = "~report.panels: the experiment of the best trial could not delete it; only ~callbacks.NAME can go"
    assert capsys.readouterr().err == f"error: {line}\n"
    assert not (tmp_path / "study" / "study.db").exists()


def test_what_fails_is_recorded_and_the_study_goes_on(command, tmp_path):
    def figure(cfg):
        number = int(cfg.paths.run[-4:])
        if number == 1:
            raise InputError("optimizer.lr: too\nlarge")
        return math.nan if number == 2 else peak(cfg)

    assert command(figure, "tune.trials=6") == 0
    rows = trials(tmp_path)
    assert [row["state"] for row in rows] == ["complete", "fail", "fail", "complete", "complete", "complete"]
    assert [row["reason"] for row in rows[1:3]] == ["optimizer.lr: too large", "val/dice is not a number"]


def test_a_search_in_which_all_fails_ends_with_the_reason(command, tmp_path, capsys):
    def figure(cfg):
        raise InputError("data.root=nowhere: no such folder")

    assert command(figure, "tune.trials=50", "tune.startup_trials=2") == 1
    line = "study: no trial gave a figure; the last failed with: data.root=nowhere: no such folder"
    assert capsys.readouterr().err == f"error: {tmp_path}/{line}\n"


def test_a_killed_trial_is_run_again(command, tmp_path):
    def dying(cfg):
        if cfg.paths.run.endswith("0001"):
            raise SystemExit(9)  # Optuna writes nothing down, as if it had been killed
        return peak(cfg)

    fast = ("tune.trials=4", "tune.heartbeat_seconds=1")
    assert command(dying, *fast) == 9
    assert command(peak, *fast) == 0
    rows = trials(tmp_path)
    assert [row["state"] for row in rows].count("complete") == 4
    again = [row for row in rows if row["optimizer.lr"] == rows[1]["optimizer.lr"]]
    assert [row["state"] for row in again] == ["fail", "complete"] and again[0]["reason"] == ""
    assert command(peak, *fast) == 0 and len(trials(tmp_path)) == len(rows)  # nothing is left to do


def test_an_interrupted_trial_is_replaced(command, tmp_path):
    def interrupted(cfg):
        raise KeyboardInterrupt

    assert command(interrupted, "tune.trials=2") == 130
    assert command(peak, "tune.trials=2") == 0
    assert [row["state"] for row in trials(tmp_path)] == ["fail", "complete", "complete"]


def test_a_stopped_search_does_not_send_to_its_trial(command, capsys):
    def stopped(cfg):
        raise Interrupted(15, Path(cfg.paths.run))

    assert command(stopped, "tune.trials=2") == 143
    assert "interrupted by SIGTERM" in (said := capsys.readouterr().err) and "resume=" not in said


def test_a_grid_is_walked_once(command, tmp_path):
    assert command(lambda cfg: cfg.loss.weights.dice, "search=loss", "tune.sampler=grid", "tune.trials=100") == 0
    rows = trials(tmp_path)
    assert len(rows) == 12 == len({(row["loss"], row["loss.weights.dice"]) for row in rows})


def test_a_real_trial_reports_its_curve_and_only_the_best_keeps_its_checkpoints(command, slices_folder, tmp_path):
    given = ("trainer.max_epochs", "logger", "report.tables.show")
    small = [one for one in SMALL if one.partition("=")[0] not in given]
    arguments = ("trainer.max_epochs=2", "tune.trials=2", "tune.keep_checkpoints=false", "optimizer=adamw")
    assert command(None, f"data.root={slices_folder}", *small, *arguments) == 0
    rows = trials(tmp_path)
    assert [(row["state"], row["validations"]) for row in rows] == [("complete", "2")] * 2
    values = [float(row["value"]) for row in rows]
    kept = [(tmp_path / "study" / "trials" / f"{n:04d}" / "checkpoints").exists() for n in range(2)]
    assert kept == [True, values[1] > values[0]]


def validate(report, value):
    report.on_validation_end(
        Mock(pl.Trainer, callback_metrics={"val/dice": torch.tensor(value)}), Mock(pl.LightningModule)
    )


def test_a_trial_that_lags_behind_is_pruned(monkeypatch):
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.MedianPruner(1, n_warmup_steps=1))
    report = one_trial.TrialReport("val/dice")
    validate(report, 0.1)  # no trial: nothing

    def run(curve):
        def objective(trial):
            monkeypatch.setattr(one_trial.TrialReport, "running", trial)
            for value in curve:
                validate(report, value)
            return curve[-1]

        study.optimize(objective, n_trials=1)
        return study.trials[-1]

    assert run((0.5, 0.6, 0.7)).state == optuna.trial.TrialState.COMPLETE
    slow = run((0.1, 0.2, 0.3))
    assert slow.state == optuna.trial.TrialState.PRUNED and len(slow.intermediate_values) == 2


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({}, "search is empty"),
        ({"a": 3}, r"search: a: write \{low"),
        ({"a": {"low": 1}}, r"search: a: write \{low"),
        ({"a": {"choices": [1], "colour": 2}}, "search: a.colour: no such key"),
        ({"a": {"low": 3, "high": 1}}, "search: a: .*low"),
        ({"a": {"low": 0.0, "high": 1.0, "log": True}}, "search: a: .*log"),
    ],
)
def test_a_wrong_range_is_refused(node, message):
    with pytest.raises(InputError, match=message):
        read_space(node)


def test_a_grid_needs_steps_and_a_default_must_lie_inside():
    space = read_space({"model.width": {"low": 8, "high": 24, "step": 8}, "a": {"low": 0.5, "high": 0.6, "step": 0.05}})
    assert grid_of(space) == {"model.width": [8, 16, 24], "a": [0.5, 0.55, 0.6]}
    with pytest.raises(InputError, match="search: lr: a grid needs choices or a step"):
        grid_of(read_space({"lr": {"low": 1e-3, "high": 1e-1, "log": True}}))
    cfg = OmegaConf.create({"model": {"width": 16}, "a": 0.9})
    assert default_values(space, cfg, {}) is None
    assert default_values({"model.width": space["model.width"]}, cfg, {}) == {"model.width": 16}


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("tune.sampler=cma", "tune.sampler=cma: choose tpe, grid or random"),
        ("tune.pruner=x", "tune.pruner=x: choose median, hyperband or none"),
        ("tune.trials=0", "tune.trials=0: must be at least 1"),
    ],
)
def test_wrong_keys_are_refused(command, capsys, argument, message):
    assert command(peak, argument) == 1
    assert capsys.readouterr().err == f"error: {message}\n"


def test_a_study_is_not_mixed_with_another(command, capsys):
    assert command(peak, "tune.trials=1") == 0
    assert command(peak, "tune.trials=1", "search=network") == 1
    assert "this study searches optimizer.lr, optimizer.weight_decay, scheduler" in capsys.readouterr().err


@pytest.mark.parametrize("path", sorted(Path(CONF, "search").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_search_names_keys_that_there_are(path):
    space = read_space(OmegaConf.to_container(OmegaConf.load(path)))
    register()
    GlobalHydra.instance().clear()
    strategy = ["ssl=mean_teacher", "consistency=labels"] if path.stem == "mean_teacher" else []
    values = [f"{key}={one.choices[0] if hasattr(one, 'choices') else one.low}" for key, one in space.items()]
    with initialize_config_dir(CONF, version_base="1.3"):
        compose("config", [*strategy, *values])
