"""Bad input as a user meets it: one line that names what is wrong and what to do, exit code 1, nothing half-written."""

from __future__ import annotations

import csv
import json
import logging
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hydra.core.singleton import Singleton
from PIL import Image

import evaluate
import prepare
import runs
import train
from conf.schema import register
from datamodules.sources.challenge_format import export_store
from losses.masked import MaskedBCE
from partial_labels.case_store import CaseStore
from partial_labels.errors import InputError
from runs.cli import run_cli

ROOT = Path(__file__).parents[1]
MAINS = {"train": (train.main, "config"), "evaluate": (evaluate.main, "evaluate"), "prepare": (prepare.main, "prepare")}
FAST = (
    *("data.image_size=32", "data.batch_size=4", "data.similarity=1.0", "model.width=4", "model.depth=3"),
    *("trainer=cpu", "trainer.max_epochs=1", "trainer.progress_bar=false", "logger=csv"),
)
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*num_workers.*"),
    pytest.mark.filterwarnings("ignore:.*`LearningRateMonitor`.*"),
]


class Answer(NamedTuple):
    """What a command gave back."""

    code: int
    out: str
    err: str


Run = Callable[..., Answer]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run an entry point in this process as the shell would: ``command("train", "seed=1")``."""
    state, root = Singleton.get_state(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PARTIALSEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    register()

    def run(script: str, *arguments: str) -> Answer:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", [f"{script}.py", *arguments])
        try:
            run_cli(*MAINS[script])
            code = 0
        except SystemExit as error:
            code = int(error.code or 0)
        return Answer(code, *capsys.readouterr())

    yield run
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    Singleton.set_state(state)


@pytest.fixture
def training(command: Run, tmp_path: Path) -> Run:
    """Run a short ``train.py`` with a run directory of its own; what is given wins over what makes it short."""

    def run(*arguments: str) -> Answer:
        given = {argument.partition("=")[0].lstrip("+~") for argument in arguments}
        kept = [one for one in (*FAST, f"hydra.run.dir={tmp_path}/run") if one.partition("=")[0] not in given]
        return command("train", *sorted([*kept, *arguments], key=lambda one: not one.startswith("--")))

    return run


@pytest.fixture
def challenge_folder(small_store: CaseStore, tmp_path: Path) -> Path:
    """The small store as the challenge would give it."""
    export_store(small_store, tmp_path / "challenge")
    return tmp_path / "challenge"


def assert_refused(answer: Answer, *parts: str, folder: Path) -> None:
    """One line with all parts, exit code 1, no run directory, no page, and no store that is not whole."""
    assert answer.code == 1, answer
    assert re.fullmatch("error[^\n]*\n", answer.err), answer.err
    assert [part for part in parts if part not in answer.err] == [], answer.err
    assert "Traceback" not in answer.out
    assert not (folder / "run").exists() and not (folder / "data.html").exists()
    for path in (folder / "cache").glob("*"):
        if path.is_dir():
            CaseStore.open(path)
            assert not path.name.startswith(".")


def rows(root: Path) -> list[dict[str, str]]:
    with (root / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_rows(root: Path, records: list[dict[str, str]]) -> None:
    with (root / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(records[0]))
        writer.writeheader()
        writer.writerows(records)


def each(root: Path, **cells: str) -> None:
    """Change cells of every row."""
    write_rows(root, [row | cells for row in rows(root)])


def row(root: Path, number: int, **cells: str) -> None:
    """Change cells of one row; 0 is line 2 of the file."""
    records = rows(root)
    records[number].update(cells)
    write_rows(root, records)


def draw(path: Path, value: Any, size: int = 32) -> None:
    Image.fromarray(np.broadcast_to(np.uint8(value), (size, size)).copy()).save(path)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-90])


def linked_out(root: Path) -> None:
    (root / "images" / "case1.png").rename(root.parent / "outside.png")
    (root / "images" / "case1.png").symlink_to(root.parent / "outside.png")


Damage = Callable[[Path], Any]
IMAGE, LABEL = "images/case1.png", "labels/case1.png"
SLICES: dict[str, tuple[Damage, tuple[str, ...]]] = {
    "truncated image": (lambda r: cut(r / IMAGE), ("manifest.csv line 3", IMAGE, "truncated", "restore the file")),
    "truncated label": (lambda r: cut(r / LABEL), ("manifest.csv line 3", LABEL, "truncated", "restore the file")),
    "missing image": (lambda r: (r / IMAGE).unlink(), ("manifest.csv line 3", IMAGE, "restore it or take its row out")),
    "size mismatch": (lambda r: draw(r / LABEL, 1, size=16), (IMAGE, "(32, 32)", "(16, 16)", "mend one of them")),
    "label id outside the class table": (lambda r: draw(r / LABEL, 9), (IMAGE, "label id 9", "ends at 3", "mend")),
    "mask id outside the examined list": (
        lambda r: row(r, 1, annotated="2 3"),
        (IMAGE, "mask id 1 (liver) outside the examined list", "add it to the list or erase it"),
    ),
    "examined id outside the class table": (
        lambda r: row(r, 1, annotated="1 7"),
        ("manifest.csv line 3", "'7'", "write ids from 1 to 3"),
    ),
    "constant image": (lambda r: draw(r / IMAGE, 7), (IMAGE, "constant image", "mend it or leave it out")),
    "duplicate names": (lambda r: row(r, 2, image=IMAGE), (IMAGE, "two cases have this name", "make the names unique")),
    "missing column": (
        lambda r: write_rows(r, [{k: v for k, v in one.items() if k != "annotated"} for one in rows(r)]),
        ("manifest.csv", "no column 'annotated'", "mend it"),
    ),
    "no table": (lambda r: (r / "manifest.csv").unlink(), ("manifest.csv is missing", "data.root")),
    "no class table": (lambda r: (r / "classes.json").unlink(), ("classes.json is missing", "write")),
    "empty train split": (lambda r: each(r, split="val"), ("no train case", "split column", "leave it empty")),
    "no class has a case": (
        lambda r: each(r, annotated="", label=""),
        ("no train case shows any class", "check the labels and the examined lists"),
    ),
    "one patient": (
        lambda r: each(r, split="", group="one", volume="one"),
        ("2 are needed", "add patients", "split column"),
    ),
    "path that leaves its root": (
        lambda r: row(r, 1, image="../outside.png"),
        ("manifest.csv line 3", "'../outside.png' leaves the folder", "put the file inside"),
    ),
    "absolute path": (
        lambda r: row(r, 1, label="/etc/hostname"),
        ("manifest.csv line 3", "'/etc/hostname' leaves the folder", "put the file inside"),
    ),
    "link that leaves its root": (
        linked_out,
        ("manifest.csv line 3", IMAGE, "leaves the folder", "put the file inside"),
    ),
}


@pytest.mark.parametrize(("damage", "parts"), SLICES.values(), ids=SLICES)
def test_wrong_slices_are_refused(
    training: Run, slices_folder: Path, tmp_path: Path, damage: Damage, parts: tuple[str, ...]
) -> None:
    damage(slices_folder)
    assert_refused(training("data=slices", f"data.root={slices_folder}"), *parts, folder=tmp_path)


def change_list(root: Path, change: Callable[[list[list[int]]], list[list[int]]]) -> None:
    path = root / "annotated_labels.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def change_table(root: Path, change: Callable[[str], str]) -> None:
    path = root / "label_Hnl61pT.csv"
    path.write_text("".join(change(line) + "\n" for line in path.read_text().splitlines()))


CHALLENGE: dict[str, tuple[Damage, tuple[str, ...]]] = {
    "list shorter than the images": (
        lambda r: change_list(r, lambda lists: lists[:-1]),
        ("annotated_labels.json", "11 lists for 12 images", "of one download"),
    ),
    "more images than lists": (
        lambda r: draw(r / "train-images" / "12.png", np.arange(32)),
        ("annotated_labels.json", "12 lists for 13 images", "of one download"),
    ),
    "no list": (
        lambda r: (r / "annotated_labels.json").unlink(),
        ("annotated_labels.json is missing", "taken as absent", "data.assume_all_examined=true"),
    ),
    "listed id outside the class table": (
        lambda r: change_list(r, lambda lists: [[4], *lists[1:]]),
        ("annotated_labels.json", "entry 0 holds 4", "expected ids from 1 to 3"),
    ),
    "mask id outside the examined list": (
        lambda r: change_list(r, lambda lists: [[2, 3], *lists[1:]]),
        ("0.png: mask id 1 (liver) outside the examined list", "add it to the list or erase it"),
    ),
    "missing column": (
        lambda r: change_table(r, lambda line: line.rpartition(",")[0]),
        ("label_Hnl61pT.csv", "no column '11.png'"),
    ),
    "missing rows": (
        lambda r: cut(r / "label_Hnl61pT.csv"),
        ("label_Hnl61pT.csv", "download it again"),
    ),
    "cell that is no id": (
        lambda r: change_table(r, lambda line: line.replace("Pixel 5,0", "Pixel 5,x")),
        ("label_Hnl61pT.csv: row 'Pixel 5', column '0.png'", "'x' is no class id from 0 to 3"),
    ),
    "truncated image": (
        lambda r: cut(r / "train-images" / "4.png"),
        ("train-images/4.png", "truncated", "restore the file"),
    ),
    "missing image": (lambda r: (r / "train-images" / "4.png").unlink(), ("train-images/4.png is missing", "unpack")),
    "image of another size": (
        lambda r: draw(r / "train-images" / "4.png", np.arange(16), size=16),
        ("train-images/4.png: (16, 16) pixels", "one size only"),
    ),
}


@pytest.mark.parametrize(("damage", "parts"), CHALLENGE.values(), ids=CHALLENGE)
def test_a_wrong_download_is_refused(
    training: Run, challenge_folder: Path, tmp_path: Path, damage: Damage, parts: tuple[str, ...]
) -> None:
    damage(challenge_folder)
    assert_refused(training("data=challenge", f"data.root={challenge_folder}"), *parts, folder=tmp_path)


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


def test_a_data_set_without_a_root_is_refused(training: Run, tmp_path: Path) -> None:
    assert_refused(training("data=slices"), "data.root is not set: add data.root=...", folder=tmp_path)
    assert_refused(training("data=challenge", "data.root=no"), "no/train-images", "data.root must", folder=tmp_path)


def test_a_page_that_cannot_be_written_is_refused(command: Run, slices_folder: Path, tmp_path: Path) -> None:
    small = (f"data.root={slices_folder}", "data.image_size=32", "data.batch_size=4")
    assert_refused(
        command("prepare", "data=slices", *small, f"output={slices_folder}/manifest.csv/x.html"),
        "manifest.csv",
        folder=tmp_path,
    )
    cut(slices_folder / IMAGE)
    assert_refused(command("prepare", "data=slices", *small), IMAGE, "restore the file", folder=tmp_path)


def test_a_class_without_a_case_is_refused(command: Run, slices_folder: Path, tmp_path: Path) -> None:
    names = {"1": "liver", "2": "kidney_left", "3": "kidney_right", "4": "spleen"}
    (slices_folder / "classes.json").write_text(json.dumps(names))
    small = ("data.image_size=32", "data.batch_size=4", "data.similarity=1.0")
    answer = command("prepare", "data=slices", f"data.root={slices_folder}", *small)
    assert_refused(answer, "no case is examined for spleen", "take the class out", "classes.json", folder=tmp_path)


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
    sound, steps = MaskedBCE.forward, iter(range(100))
    monkeypatch.setattr(MaskedBCE, "forward", lambda *a: sound(*a) * (1 if next(steps) < 5 else float("nan")))
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
    assert re.match(r"error in job 0 \([^\n]*data\.labeled_groups=99: only 3 training groups[^\n]*\n", answer.err)
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
