"""Bad input as a user meets it: one line that names what is wrong and what to do, exit code 1, nothing half-written.

Bad data: ``test_cli_data.py``.
"""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import runs
from losses.masked import MaskedBCE
from partial_labels.errors import InputError
from tests.refusals import Answer, Damage, Run, answering, assert_refused, cut, short_training

ROOT = Path(__file__).parents[1]
IMAGE = "images/case1.png"
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*num_workers.*"),
    pytest.mark.filterwarnings("ignore:.*`LearningRateMonitor`.*"),
]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    with answering(tmp_path, monkeypatch, capsys) as run:
        yield run


@pytest.fixture
def training(command: Run, tmp_path: Path) -> Run:
    return short_training(command, tmp_path)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ("sed=1", ("sed: the config has no such key", "did you mean seed")),
        ("trainer.max_epoch=3", ("trainer.max_epoch: the config has no such key", "did you mean max_epochs?")),
        ("paths.cash=x", ("paths.cash: the config has no such key", "did you mean cache?")),
        ("seed=many", ("seed: Value 'many'", "Integer")),
        ("trainer.max_epochs=1.5", ("trainer.max_epochs=1.5", "takes int")),
        ("optimizer.lr=fast", ("optimizer.lr='fast'", "takes float")),
        ("data.fit=stretch", ("data.fit='stretch'", "one of scale, pad")),
        ("model.width=0", ("model.width=0: must be 1 or more",)),
        ("data.labeled_groups=99", ("data.labeled_groups=99: only 3 training groups", "ask for fewer")),
        ("+colour=red", ("colour: the config has no such key", "there is")),
        ("+model.colour=red", ("model.colour: models.unet.UNet has no argument 'colour'", "there is")),
        ("+loss.weights.colour=1", ("loss: terms are bce, dice, weights are bce, dice, colour: name the same",)),
        ("model=unett", ("model=unett: no such choice", "did you mean unet")),
        ("model=3", ("model=3: no such choice", "there is attunet")),
        ("model=null", ("model=null: no such choice", "there is attunet")),
        ("experiment=openkb", ("experiment=openkb: no such choice", "did you mean openkbp")),
        ("model._target_=os.system", ("model._target_: 'os.system' may not be named",)),
        ("data.image_size=[32", ("cannot read 'data.image_size=[32'",)),
        ("data.image_size=30", ("30 x 30", "set data.image_size=32")),
        ("data.root=nowhere", ("data.root=nowhere: no such folder", "manifest.csv and classes.json")),
        ("data.root=", ("data.root=: no such folder", "manifest.csv and classes.json")),
        ("data.root=slices/manifest.csv", ("slices/manifest.csv: no such folder",)),
        ("paths.cache=slices/manifest.csv", ("slices/manifest.csv", "name another cache")),
        ("hydra.run.dir=slices/manifest.csv/run", ("slices/manifest.csv/run: Not a directory", "check the path")),
    ],
)
def test_wrong_keys_are_refused(
    training: Run, slices_folder: Path, tmp_path: Path, arguments: str, parts: tuple[str, ...]
) -> None:
    root = () if arguments.startswith("data.root") else (f"data.root={slices_folder}",)
    assert_refused(training("data=slices", *root, arguments), *parts, folder=tmp_path)


def test_a_page_that_cannot_be_written_is_refused(command: Run, slices_folder: Path, tmp_path: Path) -> None:
    small = (f"data.root={slices_folder}", "data.image_size=32", "data.batch_size=4")
    assert_refused(
        command("prepare", "data=slices", *small, f"output={slices_folder}/manifest.csv/x.html"),
        "manifest.csv",
        folder=tmp_path,
    )
    cut(slices_folder / IMAGE)
    assert_refused(command("prepare", "data=slices", *small), IMAGE, "restore the file", folder=tmp_path)


def with_weights(change: Callable[[dict[str, Any]], Any]) -> Damage:
    """Change what a checkpoint holds."""

    def damage(path: Path) -> None:
        content = torch.load(path, weights_only=True)
        torch.save(change(content), path)

    return damage


def spoiled(content: dict[str, Any]) -> dict[str, Any]:
    name = next(name for name in content["state_dict"] if name.startswith("student.") and name.endswith("weight"))
    content["state_dict"][name].fill_(float("nan"))
    return content


def wider(content: dict[str, Any]) -> dict[str, Any]:
    content["config"]["model"]["width"] = 8
    return content


def evil(content: dict[str, Any]) -> dict[str, Any]:
    content["config"]["model"]["_target_"] = "os.system"
    return content


class Stranger:
    """Would run a command if it were unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch unpickled",)


CHECKPOINTS: dict[str, tuple[Damage, tuple[str, ...]]] = {
    "missing": (Path.unlink, ("no checkpoint", "last.ckpt")),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:2000]), ("damaged", "train again")),
    "empty": (lambda path: path.write_bytes(b""), ("train again",)),
    "text": (lambda path: path.write_text("hello"), ("checkpoint",)),
    "somebody's pickle": (lambda path: path.write_bytes(pickle.dumps(Stranger())), ("checkpoint",)),
    "no dict": (with_weights(lambda _: [1]), ("no checkpoint of this project", "last.ckpt")),
    "not ours": (with_weights(lambda _: {"state_dict": {}}), ("classes, config is missing", "last.ckpt")),
    "weights that do not fit": (with_weights(wider), ("does not fit its configuration",)),
    "weights that are not finite": (with_weights(spoiled), ("is not finite", "take an earlier checkpoint")),
    "a target that may not be named": (with_weights(evil), ("'os.system' may not be named",)),
}


def test_an_unusable_checkpoint_is_refused(training: Run, command: Run, slices_folder: Path, tmp_path: Path) -> None:
    answer = training("data=slices", f"data.root={slices_folder}", f"hydra.run.dir={tmp_path}/done")
    assert answer.code == 0, answer.err
    good = (tmp_path / "done" / "checkpoints" / "supervised" / "last.ckpt").read_bytes()
    for name, (damage, parts) in CHECKPOINTS.items():
        path = tmp_path / "x.ckpt"
        path.write_bytes(good)
        damage(path)
        answer = command("evaluate", f"checkpoint={path}", f"output={tmp_path}/out")
        assert_refused(answer, str(path), *parts, folder=tmp_path)
        assert not (tmp_path / "out").exists() and not Path("unpickled").exists(), name
    assert_refused(command("evaluate"), "checkpoint is not set: add checkpoint=...", folder=tmp_path)


def test_a_loss_that_turns_non_finite_stops_the_run(
    training: Run, slices_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound, steps = MaskedBCE.of, iter(range(100))
    monkeypatch.setattr(MaskedBCE, "of", lambda *a: sound(*a) * (1 if next(steps) < 5 else float("nan")))
    answer = training("data=slices", f"data.root={slices_folder}", "trainer.max_epochs=9")
    good = tmp_path / "run" / "checkpoints" / "supervised" / "last.ckpt"
    assert answer.code == 1 and "Traceback" not in answer.out + answer.err
    said = (
        rf"error: the loss is not finite at step 6, cases \[\d+(, \d+)*\]; last good checkpoint: {good}; try [^\n]*\n"
    )
    assert re.fullmatch(said, answer.err), answer.err
    assert runs.load(good).classes.foreground == ("liver", "kidney_left", "kidney_right")


def test_a_collapse_to_background_is_reported(training: Run, slices_folder: Path) -> None:
    answer = training("data=slices", f"data.root={slices_folder}", "head.threshold=0.999")
    assert answer.code == 0 and "epoch 0: collapse" in answer.out


def test_a_sweep_reports_the_job_that_fails_and_runs_the_others(
    training: Run, slices_folder: Path, tmp_path: Path
) -> None:
    sweep = ("data.labeled_groups=99,2", f"hydra.sweep.dir={tmp_path}/sweep", "hydra.sweep.subdir=job")
    answer = training("--multirun", "data=slices", f"data.root={slices_folder}", *sweep)
    assert answer.code == 1 and "Traceback" not in answer.err
    assert re.match(r"error in job job \([^\n]*data\.labeled_groups=99: only 3 training groups[^\n]*\n", answer.err)
    assert answer.err.count("error in job") == 1
    assert (tmp_path / "sweep" / "job" / "report.html").exists()


def test_debug_hands_the_error_on(training: Run, slices_folder: Path) -> None:
    with pytest.raises(InputError, match="only 3 training groups"):
        training("data=slices", f"data.root={slices_folder}", "data.labeled_groups=99", "debug=true")


def shell(folder: Path, *arguments: str) -> Answer:
    """Run ``train.py`` in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PARTIALSEG_CACHE": str(folder / "cache")}
    line = [sys.executable, str(ROOT / "train.py"), *arguments, "hydra.run.dir=run"]
    done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return Answer(done.returncode, done.stdout, done.stderr)


def test_the_shell_sees_one_line(slices_folder: Path, tmp_path: Path) -> None:
    cut(slices_folder / IMAGE)
    answer = shell(tmp_path, "data=slices", f"data.root={slices_folder}")
    assert_refused(answer, "manifest.csv line 3", IMAGE, "truncated", "restore the file", folder=tmp_path)


def test_the_shell_sees_a_traceback_with_debug(tmp_path: Path) -> None:
    answer = shell(tmp_path, "trainer.max_epoch=1", "debug=true")
    assert answer.code == 1 and answer.err.startswith("Traceback") and "max_epoch" in answer.err
