"""Sweeps as a user runs them, on a few small cases."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

import train
from conf.schema import register
from hydra_plugins.partialseg_sweeper import completing
from partial_labels.errors import InputError
from reports.results_table import markdown_table, read_results
from runs.origin import Origin
from runs.resume import continued
from runs.run_directory import save_config
from runs.sweeps.sweep import isolated, resumed_arguments
from tests.command_line import SMALL, shell
from tests.configs import CONF

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*num_workers.*"),
    pytest.mark.filterwarnings("ignore:.*`LearningRateMonitor`.*"),
]


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Run ``train.py`` with a stand-in for the training, or the real one."""
    with shell(tmp_path, monkeypatch) as run:
        yield lambda *arguments, main=pretended: run(main, "config", *arguments)


def pretended(cfg):
    """Leave what a run leaves that matters here."""
    if cfg.model.width == 0:
        raise InputError("model.width=0: must be 1 or more")
    if cfg.model.width == 1:
        raise RuntimeError("a bug\nof ours")
    if (run := continued(cfg)).resume:
        assert run.model == cfg.model
    Path(cfg.paths.run, "resumed.txt").write_text(str(run.resume))
    figures = {"last": {"dice_volume": cfg.model.width / 10}}
    content = json.dumps({"figures": figures, "steps": 2, "seed": cfg.seed})
    Path(cfg.paths.run, "results.json").write_text(content)
    Path(cfg.paths.record).parent.mkdir(exist_ok=True)
    Path(cfg.paths.record).write_text(content)


pretended.__module__ = "train"


def small(folder, *arguments):
    given = {argument.partition("=")[0] for argument in arguments}
    kept = [one for one in SMALL if one.partition("=")[0] not in given]
    return [*kept, f"data.root={folder}", *arguments]


def weights(run):
    return torch.load(run / "checkpoints" / "supervised" / "last.ckpt", weights_only=True)["state_dict"]


def same(one, two):
    return one.keys() == two.keys() and all(torch.equal(value, two[key]) for key, value in one.items())


def jobs(folder):
    return sorted(path.name for path in folder.glob("[0-9]*"))


def test_a_failing_job_stops_no_other_and_is_named_at_the_end(command, tmp_path, capsys):
    assert command("-m", "model.width=0,1,4", "seed=0,1", "hydra.sweep.dir=sweep") == 1
    assert jobs(tmp_path / "sweep") == [f"{4 + n}_phantom_unet_masked_supervised_seed{n}" for n in (0, 1)]
    end = capsys.readouterr().err.splitlines()[-6:]
    assert end[0] == "4 of 6 jobs failed:"
    assert end[1].endswith("seed0 (model.width=0 seed=0): model.width=0: must be 1 or more")
    assert end[3].endswith("seed0 (model.width=1 seed=0): RuntimeError: a bug")
    assert end[5] == "complete the sweep: python train.py -m resume_sweep=sweep"
    with (tmp_path / "sweep" / "jobs.csv").open() as file:
        listed = list(csv.DictReader(file))
    assert [row["job"] for row in listed[4:]] == jobs(tmp_path / "sweep") and len(listed) == 6
    assert listed[0]["typed"] == "model.width=0 seed=0"
    failures = ["model.width=0: must be 1 or more"] * 2 + ["RuntimeError: a bug"] * 2 + [""] * 2
    assert [row["failure"] for row in listed] == failures
    results = read_results(tmp_path / "sweep" / "results")
    assert list(results) == ["model.width=4"] and "| model.width=4 | 2 | 2 |" in markdown_table(results)


def test_a_job_of_a_sweep_is_the_job_alone(command, slices_folder, tmp_path):
    sweep = ("trainer.threads=null", "hydra.sweep.dir=sweep", "optimizer=sgd,adamw")
    assert command("-m", *small(slices_folder, *sweep), main=train.main) == 0
    alone = ("trainer.threads=null", "hydra.run.dir=alone", "optimizer=adamw")
    assert command(*small(slices_folder, *alone), main=train.main) == 0
    first, second = (weights(tmp_path / "sweep" / name) for name in jobs(tmp_path / "sweep"))
    assert same(second, weights(tmp_path / "alone")) and not same(first, second)


def test_an_interrupted_sweep_is_completed_with_what_is_missing(command, tmp_path, capsys, monkeypatch):
    sweep = tmp_path / "sweep"

    def dying(cfg):
        if cfg.seed == 1:
            save_config(cfg, Path(cfg.paths.run))
            Origin.here(cfg, []).write(Path(cfg.paths.run))
            raise KeyboardInterrupt
        return pretended(cfg)

    dying.__module__ = "train"
    arguments = ("-m", "model.width=4,6", "seed=0,1,2", "hydra.sweep.dir=sweep")
    assert command(*arguments, main=dying) == 130
    assert "resume_sweep=sweep" in capsys.readouterr().err and len(jobs(sweep)) == 2
    first = sweep / jobs(sweep)[0] / "results.json"
    written = first.stat().st_mtime_ns
    assert command(*arguments) == 1  # the directory is taken
    assert "another sweep lies there" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path.parent)
    assert command("-m", f"resume_sweep={sweep}") == 0
    assert Path.cwd() == tmp_path
    assert len(jobs(sweep)) == 6 and len(list((sweep / "results").iterdir())) == 6
    assert first.stat().st_mtime_ns == written
    resumed = [(sweep / name / "resumed.txt").read_text() for name in jobs(sweep)]
    assert resumed == ["None", str(sweep / jobs(sweep)[1]), *["None"] * 4]


def test_a_job_is_not_mixed_with_another_run(command, tmp_path, capsys):
    def begun(cfg):
        save_config(OmegaConf.merge(cfg, {"model": {"width": 5}}), Path(cfg.paths.run))
        return pretended(cfg)

    begun.__module__ = "train"
    assert command("-m", "model.width=4", "hydra.sweep.dir=sweep", main=begun) == 1
    assert "another run lies there, with another model; name a new hydra.sweep.dir=" in capsys.readouterr().err


def test_a_sweep_takes_its_arguments_from_where_it_lies(tmp_path, monkeypatch):
    record = f"""
hydra:
  runtime:
    cwd: {tmp_path}
    config_sources: [{{path: /a/conf, provider: main}}, {{path: /b/conf, provider: command-line}}]
  overrides:
    task: ['seed=1,2', launcher=slurm]
    hydra: [hydra.sweep.dir=a, hydra.mode=MULTIRUN, hydra.launcher.mem_gb=8, hydra.verbose=true]
"""
    (tmp_path / "it's").mkdir()
    (tmp_path / "it's" / "multirun.yaml").write_text(record)
    monkeypatch.chdir(tmp_path)
    end = ["hydra.sweep.dir='" + str(tmp_path) + "/it\\'s'", "hydra.sweeper.resume=true"]
    assert resumed_arguments(["-m", "resume_sweep=it's"]) == [
        *(
            "--multirun",
            "--config-dir=/b/conf",
            "seed=1,2",
            "launcher=slurm",
            "hydra.launcher.mem_gb=8",
            "hydra.verbose=true",
        ),
        *end,
    ]
    other = resumed_arguments(["resume_sweep=it's", "launcher=joblib", "hydra.launcher.n_jobs=3"])
    expected = ["--config-dir=/b/conf", "seed=1,2", "hydra.verbose=true", "launcher=joblib", "hydra.launcher.n_jobs=3"]
    assert other == ["--multirun", *expected, *end]
    with pytest.raises(InputError, match=r"leave out seed=3"):
        resumed_arguments(["-m", "resume_sweep=it's", "seed=3"])
    with pytest.raises(InputError, match="no sweep lies there"):
        resumed_arguments(["-m", "resume_sweep=nowhere"])
    assert resumed_arguments(["seed=1"]) == ["seed=1"]


def test_the_command_that_completes_a_sweep_can_be_typed():
    assert completing(Path("multirun/my sweep")).endswith("python train.py -m 'resume_sweep=multirun/my sweep'")


def test_a_job_leaves_the_process_as_it_was():
    threads = torch.get_num_threads()
    with isolated():
        torch.set_num_threads(threads + 1)
        os.environ["A_SEED"] = "7"
    assert torch.get_num_threads() == threads and "A_SEED" not in os.environ


def composed_with_hydra(*overrides):
    register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(CONF, version_base="1.3"):
        return compose("config", list(overrides), return_hydra_config=True)


@pytest.mark.parametrize("name", ["joblib", "submitit_local", "slurm", "sequential"])
def test_every_launcher_composes(name):
    cfg = composed_with_hydra(f"launcher={name}")
    assert name.partition("_")[0] in cfg.hydra.launcher._target_.lower() or name == "sequential"


def test_the_slurm_preset_makes_a_script_that_requeues():
    submitit = pytest.importorskip("submitit")
    cfg = composed_with_hydra("launcher=slurm", "hydra.launcher.partition=gpu")
    launcher = {key: value for key, value in cfg.hydra.launcher.items() if value is not None}
    keep = ("partition", "gpus_per_node", "cpus_per_task", "additional_parameters", "signal_delay_s")
    settings = {key: launcher[key] for key in keep} | {"time": launcher["timeout_min"]}
    script = submitit.slurm.slurm._make_sbatch_string(command="true", folder="/x", **settings)
    for line in ("--partition=gpu", "--gpus-per-node=1", "--time=720", "--requeue", "--signal=USR2@120"):
        assert f"#SBATCH {line}" in script


def test_a_sweep_of_a_table_runs_its_rows_and_names_their_results(command, tmp_path):
    assert command("-m", "sweep=demo", "seed=0,1", "hydra.sweep.dir=sweep") == 0
    rows = [f"{name}_seed{seed}" for name in ("masked", "dice_ce", "all_examined") for seed in (0, 1)]
    assert jobs(tmp_path / "sweep") == [f"{number}_{row}" for number, row in enumerate(rows)]
    assert sorted(path.stem for path in (tmp_path / "sweep" / "results").iterdir()) == sorted(rows)
