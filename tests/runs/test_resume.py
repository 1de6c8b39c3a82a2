"""A run that was interrupted, at whatever moment, ends where it would have ended."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from lightning_modules.base import SegmentationModule
from partial_labels.errors import InputError, Interrupted
from runs.resume import original
from runs.run_directory import sealed
from runs.training import train
from tests.configs import small_run
from tests.interrupted import EVERY_STEP, At, Killed, assert_same_run, copied, doing, resumed, with_kills

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*num_workers.*"),
    pytest.mark.filterwarnings("ignore:.*`LearningRateMonitor`.*"),
]
SHORT = (
    *("data.steps_per_epoch=3", "pseudo.threshold=0.01", "model.depth=2", "data.batch_size=2"),
    *(f"report.{name}=null" for name in ("tables", "panels", "errors", "cases", "attention")),
)
EPOCHS = "trainer.max_epochs=4"
Pair = Callable[..., tuple[Any, Any]]
ONE_STAGE = [
    ("on_train_batch_start", 1),  # before anything was done
    ("on_train_batch_end", 1),  # after a step whose checkpoint is not written yet
    ("on_train_batch_start", 3),  # in the middle of an epoch
    ("on_validation_batch_start", 1),  # the resumed epoch is over
    ("on_validation_end", 1),
    ("on_train_epoch_start", 2),  # between epochs
    ("on_train_batch_end", 5),
    ("on_train_end", 1),  # all is done but the last checkpoint
]
STAGES = [
    ("on_train_batch_start", 2),
    ("on_fit_end", 1),  # the first stage is fitted, its labels are not written
    ("on_train_batch_start", 1),  # the second has no checkpoint yet
    ("on_train_batch_end", 3),
    ("on_validation_end", 1),
]


@pytest.fixture(autouse=True)
def noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every step draw from generators, as dropout does."""
    plain = SegmentationModule.student_view

    def noisy(self: Any, batch: Any, batch_idx: int) -> torch.Tensor:
        view: torch.Tensor = plain(self, batch, batch_idx)
        return view + 0.1 * float(np.random.rand()) * torch.rand_like(view)

    monkeypatch.setattr(SegmentationModule, "student_view", noisy)


@pytest.fixture(scope="module")
def whole_runs() -> dict[tuple[str, ...], Any]:
    """Runs that were left alone, by what was typed for them."""
    return {}


@pytest.fixture
def pair(shared_slices: Path, tmp_path: Path, whole_runs: dict[tuple[str, ...], Any]) -> Pair:
    """Two configurations of the same run, the second to be interrupted; the first is run, once for all tests."""

    def make(*overrides: str) -> tuple[Any, Any]:
        if overrides not in whole_runs:
            root = shared_slices.parent / f"whole{len(whole_runs)}"
            cfg = small_run(shared_slices, *SHORT, EPOCHS, *overrides, root=root)
            train(cfg)
            whole_runs[overrides] = cfg
        one, other = whole_runs[overrides], small_run(shared_slices, *SHORT, EPOCHS, *overrides, root=tmp_path)
        other.paths.cache = one.paths.cache
        return one, other

    return make


@pytest.mark.parametrize(
    ("overrides", "moments"),
    [
        (["ssl=supervised", EVERY_STEP, "scheduler=plateau", "scheduler.patience_epochs=0"], ONE_STAGE),
        (["ssl=supervised", "optimizer=adamw", "data.sampling=rare", "data.num_workers=2", EVERY_STEP], ONE_STAGE[2:5]),
        (["ssl=mean_teacher", EVERY_STEP, "trainer.accumulate=2", "trainer.validate_every_n_epochs=2"], ONE_STAGE[2:5]),
        (["ssl=mean_teacher", "callbacks.checkpoints.every_minutes=null"], ONE_STAGE[2:7]),
        (["ssl=teacher_student", EVERY_STEP], STAGES),
        (["ssl=teacher_student", "data.num_workers=2"], STAGES[1:4]),
        (["ssl=pretrain_finetune", EVERY_STEP], STAGES),
        (["ssl=self_training", EVERY_STEP], [*STAGES, ("on_fit_end", 1)]),
    ],
    ids=lambda value: value[0].removeprefix("ssl=") if isinstance(value[0], str) else "",
)
def test_a_run_that_is_killed_again_and_again_ends_where_it_would_have(
    pair: Pair, overrides: list[str], moments: list[tuple[str, int]]
) -> None:
    whole, parts = pair(*overrides)
    results = with_kills(parts, moments)
    assert_same_run(parts.paths.run, whole.paths.run)
    expected = json.loads((Path(whole.paths.run) / "results.json").read_text())
    for name, figures in results["figures"].items():
        assert figures == pytest.approx(expected["figures"][name], nan_ok=True)
    assert (results["steps"], results["cases"]) == (expected["steps"], expected["cases"])
    assert not list(Path(parts.paths.run).glob("checkpoints/*/previous.ckpt"))


MOMENTS = {
    "in an epoch": ("on_train_batch_start", 2),
    "in an epoch's last step": ("on_train_batch_start", 6),
    "in a validation": ("on_validation_batch_start", 3),
    "between two epochs": ("on_train_epoch_start", 3),
    "at the end": ("on_train_end", 1),
}


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
def test_a_signal_ends_with_a_checkpoint_of_that_moment(pair: Pair, moment: tuple[str, int]) -> None:
    overrides = ("scheduler=plateau", "scheduler.patience_epochs=0", "data.val_batch_size=2", "trainer.max_epochs=3")
    whole, parts = pair(*overrides)
    signum = signal.SIGINT if moment[0] == "on_train_epoch_start" else signal.SIGTERM
    before = signal.getsignal(signal.SIGINT)
    stop = At(*moment, action=lambda: os.kill(os.getpid(), signum))
    with pytest.raises(Interrupted) as caught, doing(stop):
        train(parts)
    assert caught.value.signum == signum and caught.value.run == Path(parts.paths.run)
    assert signal.getsignal(signal.SIGINT) == before
    listed = json.loads((Path(parts.paths.run) / "checkpoints" / "checkpoints.json").read_text())["checkpoints"]
    steps = {"on_train_batch_start": moment[1], "on_validation_batch_start": 6, "on_train_epoch_start": 6}
    assert listed[-1]["step"] == steps.get(moment[0], 9)
    resumed(parts)
    assert_same_run(parts.paths.run, whole.paths.run)


def test_a_finished_run_says_so(slices_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    cfg = small_run(slices_folder, *SHORT, "trainer.max_epochs=1")
    results = train(cfg)
    assert resumed(cfg)["cpu_seconds"] == results["cpu_seconds"]
    assert "the run is finished, there is nothing to resume" in caplog.text


@pytest.fixture(scope="module")
def killed_once(shared_slices: Path) -> Path:
    """A run that died in its third epoch, with its store."""
    root = shared_slices.parent / "killed"
    with pytest.raises(Killed), doing(At("on_train_epoch_start", 3)):
        train(small_run(shared_slices, *SHORT, "trainer.max_epochs=3", root=root))
    return root


@pytest.fixture
def killed(killed_once: Path, shared_slices: Path, tmp_path: Path) -> Any:
    """A copy of it, to go on with."""
    return small_run(shared_slices, *SHORT, "trainer.max_epochs=3", root=copied(killed_once, tmp_path / "killed"))


def test_a_changed_key_is_refused_unless_it_is_named(
    killed: Any, shared_slices: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for typed, message in [
        ("optimizer.lr=0.5", r"optimizer\.lr=0\.5: a resumed run keeps .*resume_overrides=\[optimizer\.lr\]"),
        ("model=attunet", r"model=attunet: a resumed run keeps .*resume_overrides=\[model\]"),
        ("experiment=demo", r"experiment=demo: a resumed run keeps .*"),
    ]:
        asked = small_run(shared_slices, *SHORT, typed, f"resume={killed.paths.run}")
        monkeypatch.setattr("runs.resume.typed", lambda typed=typed: [typed])
        with pytest.raises(InputError, match=message):
            original(asked)
    asked = small_run(
        shared_slices, "optimizer.lr=0.5", f"resume={killed.paths.run}", "resume_overrides=[optimizer.lr]"
    )
    same = ["seed=0", "init.checkpoint=null", "data.folds=null"]
    monkeypatch.setattr("runs.resume.typed", lambda: ["optimizer.lr=0.5", *same])
    merged = original(asked)
    assert merged.optimizer.lr == 0.5 and merged.model == killed.model and merged.data == killed.data
    assert train(merged)["steps"] == 9
    assert OmegaConf.load(Path(killed.paths.run) / "config.yaml").optimizer.lr == 0.5


def test_a_run_can_be_resumed_where_it_was_moved_to(killed: Any) -> None:
    before = Path(killed.paths.run)
    run = before.rename(before.parent / "elsewhere")
    killed.paths.run = str(run)
    assert resumed(killed)["steps"] == 9
    assert (run / "evaluation" / "last" / "figures.json").exists() and not before.exists()


def test_there_must_be_something_to_resume(slices_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("", "nothing", str(tmp_path / "empty")):
        with pytest.raises(InputError, match=f"resume={name}: no run lies there"):
            original(small_run(slices_folder, f"resume={name}"))


def test_a_run_is_not_resumed_beside_itself(killed: Any) -> None:
    lock = Path(killed.paths.run) / "checkpoints" / ".lock"
    hold = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.lockf(f, fcntl.LOCK_EX); print(1, flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", hold, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline()
        with pytest.raises(InputError, match="another process is at work"):
            resumed(killed)
        other.communicate(b"\n")
    assert resumed(killed)["steps"] == 9


def rewrite(cfg: Any, old: str, new: str) -> Path:
    """Change the saved configuration of a run as one who made it would have written it."""
    saved = Path(cfg.paths.run) / "config.yaml"
    text = saved.read_text().partition("\n")[2]
    assert old in text
    saved.write_text(sealed(text.replace(old, new)))
    return saved


def test_the_source_must_be_the_same(killed: Any) -> None:
    rewrite(killed, "labeled_groups: null", "labeled_groups: 2")
    with pytest.raises(InputError, match="its training cases are not those that the run was begun with"):
        resumed(killed)


def test_a_changed_digit_of_the_configuration_is_told(killed: Any) -> None:
    saved = Path(killed.paths.run) / "config.yaml"
    saved.write_text(saved.read_text().replace("power: 0.9", "power: 0.7"))
    with pytest.raises(InputError, match=r"config\.yaml: not what the run was begun with; restore it"):
        resumed(killed)


def test_a_saved_configuration_reads_nothing(killed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "sekret")
    rewrite(killed, "experiment_name: ", "experiment_name: ${oc.env:WANDB_API_KEY} # ")
    with pytest.raises(InputError, match=r"config\.yaml: experiment_name reads something from elsewhere"):
        resumed(killed)
    run = Path(killed.paths.run)
    assert not any(b"sekret" in path.read_bytes() for path in run.rglob("*") if path.is_file())


@pytest.mark.parametrize("stage", ["/etc", "..", "../other"])
def test_a_list_of_checkpoints_names_files_of_its_own_folder(killed: Any, tmp_path: Path, stage: str) -> None:
    path = Path(killed.paths.run) / "checkpoints" / "checkpoints.json"
    listed = json.loads(path.read_text())
    listed["checkpoints"].append(listed["checkpoints"][-1] | {"stage": stage})
    path.write_text(json.dumps(listed))
    with pytest.raises(InputError, match=r"checkpoints\.json: damaged \(no checkpoint is called"):
        resumed(killed)


def test_a_stage_is_called_as_its_folder(shared_slices: Path, tmp_path: Path) -> None:
    cfg = small_run(shared_slices, *SHORT, root=tmp_path)
    cfg.ssl.stages[0].name = f"{tmp_path}/elsewhere"
    with pytest.raises(InputError, match="a stage gives a folder its name"):
        train(cfg)
    assert not (tmp_path / "elsewhere").exists()


def test_a_best_checkpoint_that_is_damaged_is_told(killed: Any, caplog: pytest.LogCaptureFixture) -> None:
    path = Path(killed.paths.run) / "checkpoints" / "checkpoints.json"
    listed = json.loads(path.read_text())
    for entry in listed["checkpoints"]:
        if entry["name"] == "best.ckpt":
            entry["sha256"] = 64 * "0"  # as if no file had this content any more
    path.write_text(json.dumps(listed))
    resumed(killed)
    assert "best.ckpt: damaged or gone; the best of the epochs to come takes its place" in caplog.text


def test_initial_weights_are_those_that_the_run_was_begun_with(shared_slices: Path, tmp_path: Path) -> None:
    short = (*SHORT, "trainer.max_epochs=3")
    first = small_run(shared_slices, *short, root=tmp_path / "first")
    train(first)
    given = tmp_path / "given.ckpt"
    shutil.copy(Path(first.paths.run) / "checkpoints" / "supervised" / "last.ckpt", given)
    options = (*short, "ssl=pretrain_finetune", f"init.checkpoint={given}")
    alone, other = (small_run(shared_slices, *options, root=tmp_path / name) for name in ("alone", "other"))
    train(alone)
    with pytest.raises(Killed), doing(At("on_train_epoch_start", 2)):
        train(other)
    before = given.read_bytes()
    shutil.copy(Path(first.paths.run) / "checkpoints" / "supervised" / "best.ckpt", given)
    given.write_bytes(given.read_bytes() + b" ")
    with pytest.raises(InputError, match=r"init\.checkpoint=.*given\.ckpt: not what the run was begun with"):
        resumed(other)
    given.write_bytes(before)
    with pytest.raises(Killed), doing(At("on_train_epoch_start", 2)):
        resumed(other)
    resumed(other)
    assert_same_run(other.paths.run, alone.paths.run)


def test_the_cache_may_move(killed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.move(killed.paths.cache, tmp_path / "moved")
    key = f"paths.cache={tmp_path / 'moved'}"
    monkeypatch.setattr("runs.resume.typed", lambda: [key])
    asked = OmegaConf.merge(killed, {"resume": killed.paths.run, "resume_overrides": ["paths.cache"]})
    asked.paths.cache = str(tmp_path / "moved")
    assert original(asked).data.cache == str(tmp_path / "moved")  # type: ignore[arg-type]


def test_a_finished_run_gives_its_record_and_a_damaged_one_a_line(shared_slices: Path, tmp_path: Path) -> None:
    cfg = small_run(shared_slices, *SHORT, f"paths.record={tmp_path}/record.json", root=tmp_path)
    train(cfg)
    (tmp_path / "record.json").unlink()  # as if killed between the two
    resumed(cfg)
    assert (tmp_path / "record.json").read_text() == (Path(cfg.paths.run) / "results.json").read_text()
    (tmp_path / "record.json").write_text("a diary")
    with pytest.raises(InputError, match=r"paths\.record=.*: a file that is no record lies there"):
        resumed(cfg)
    (tmp_path / "record.json").unlink()
    (Path(cfg.paths.run) / "results.json").write_text("{")
    with pytest.raises(InputError, match=r"results\.json: damaged"):
        resumed(cfg)


def test_other_surroundings_are_told(killed: Any, caplog: pytest.LogCaptureFixture) -> None:
    record = Path(killed.paths.run) / "origin.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"torch": "1.0"}))
    resumed(killed)
    assert f"not the same bits: torch 1.0 -> {torch.__version__}" in caplog.text


def test_a_configuration_of_a_stranger_is_not_trusted(killed: Any) -> None:
    saved = rewrite(killed, "_target_: torch.optim.SGD", "_target_: os.system")
    text = saved.read_text().partition("\n")[2]
    with pytest.raises(InputError, match=r"'os\.system' may not be named"):
        resumed(killed)
    saved.write_text(text + "evil: !!python/object/apply:os.system [touch unpickled]\n")
    with pytest.raises(InputError, match="damaged"):
        resumed(killed)
    assert not Path("unpickled").exists()
    shutil.rmtree(killed.paths.run)
