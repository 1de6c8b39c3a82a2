"""What a user is told: entry points in the test's own process, with their answers, and what a refusal looks like."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import evaluate
import prepare
import train
from partial_labels.case_store import CaseStore
from tests.command_line import shell

MAINS = {"train": (train.main, "config"), "evaluate": (evaluate.main, "evaluate"), "prepare": (prepare.main, "prepare")}
FAST = (
    *("data.image_size=32", "data.batch_size=4", "data.similarity=1.0", "model.width=4", "model.depth=3"),
    *("trainer=cpu", "trainer.max_epochs=1", "trainer.progress_bar=false", "logger=csv"),
)


class Answer(NamedTuple):
    """What a command gave back."""

    code: int
    out: str
    err: str


Run = Callable[..., Answer]
Damage = Callable[[Path], Any]


@contextmanager
def answering(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Answer]]:
    """Run an entry point in a folder as the shell would: ``command("train", "seed=1")``."""
    with shell(folder, monkeypatch) as run:

        def command(script: str, *arguments: str) -> Answer:
            capsys.readouterr()
            return Answer(run(*MAINS[script], *arguments), *capsys.readouterr())

        yield command


def short_training(command: Run, folder: Path) -> Run:
    """Run a short ``train.py`` with a run directory of its own; what is given wins over what makes it short."""

    def run(*arguments: str) -> Answer:
        given = {argument.partition("=")[0].lstrip("+~") for argument in arguments}
        kept = [one for one in (*FAST, f"hydra.run.dir={folder}/run") if one.partition("=")[0] not in given]
        return command("train", *sorted([*kept, *arguments], key=lambda one: not one.startswith("--")))

    return run


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


def cut(path: Path) -> None:
    """Take the end of a file away."""
    path.write_bytes(path.read_bytes()[:-90])
