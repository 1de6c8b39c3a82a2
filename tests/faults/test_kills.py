"""Processes that are killed by SIGKILL, as the kernel does when memory runs out."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from datamodules.build import open_or_build
from datamodules.stored_grid import StoredGrid
from partial_labels.case_writer import CaseStoreWriter
from partial_labels.errors import InputError
from partial_labels.pseudo_store import PseudoRound
from partial_labels.pseudo_writer import PseudoRoundWriter
from runs.checkpoints.checkpoint_io import commit
from runs.checkpoints.ledger import newest_first, take_up
from runs.configuration.instantiate import build
from runs.training import train
from tests.configs import small_run
from tests.faults.kill_many import kill_at_random
from tests.interrupted import EVERY_STEP, At, Killed, assert_same_run, doing, resumed

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*num_workers.*"),
    pytest.mark.filterwarnings("ignore:.*`LearningRateMonitor`.*"),
]
SHORT = (
    *("data.steps_per_epoch=3", "pseudo.threshold=0.01", "model.depth=2", "data.batch_size=2", EVERY_STEP),
    *(f"report.{name}=null" for name in ("tables", "panels", "errors", "cases", "attention")),
)


def die() -> None:
    """End at once, with no chance to clean up."""
    os.kill(os.getpid(), signal.SIGKILL)


def forked(work: Callable[[], Any]) -> int:
    """Do something in a process of its own and return the signal that ended it, or 0."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) * -1


def dying_at(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, count: int = 1) -> None:
    """Let a process die in the n-th call of a method."""
    plain, calls = getattr(owner, name), iter(range(1, 1000))

    def counted(*arguments: Any, **named: Any) -> Any:
        if next(calls) == count:
            die()
        return plain(*arguments, **named)

    monkeypatch.setattr(owner, name, counted)


def test_a_run_survives_kills_at_random_moments(slices_folder: Path) -> None:
    whole, parts = (
        small_run(
            slices_folder, *SHORT, "ssl=teacher_student", "trainer.max_epochs=4", root=slices_folder.parent / name
        )
        for name in ("whole", "parts")
    )
    parts.paths.cache = whole.paths.cache
    train(whole)
    kills = kill_at_random(parts, kills=3, longest=1.5, seed=int(time.time()) % 1000)
    assert kills <= 3
    assert_same_run(parts.paths.run, whole.paths.run)


@pytest.mark.parametrize("method", ["add", "labels", "finish", "_put_in_place"])
def test_a_killed_round_of_pseudo_labels_is_written_again(
    slices_folder: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = (*SHORT, "ssl=teacher_student", "trainer.max_epochs=2", "data.steps_per_epoch=1")
    cfg = small_run(slices_folder, *overrides)
    with monkeypatch.context() as patch:
        dying_at(patch, PseudoRoundWriter, method)
        assert forked(lambda: train(cfg)) == signal.SIGKILL
    with pytest.raises(InputError, match="no round of pseudo-labels"):
        PseudoRound.open(Path(cfg.paths.run) / "pseudo" / "teacher")
    seen: list[str] = []
    resumed(cfg, At("on_train_batch_start", 1, action=lambda: seen.append("step")))
    pseudo = Path(cfg.paths.run) / "pseudo"
    assert [path.name for path in pseudo.iterdir()] == ["teacher"] and len(PseudoRound.open(pseudo / "teacher")) == 2


@pytest.mark.parametrize("count", [1, 7])
def test_a_killed_store_build_leaves_nothing_that_is_taken_for_a_store(
    slices_folder: Path, tmp_path: Path, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = build(small_run(slices_folder).data.source)
    with monkeypatch.context() as patch:
        dying_at(patch, CaseStoreWriter, "add", count)
        assert (
            forked(lambda: open_or_build(source, tmp_path / "cache", StoredGrid.of((32, 32), "scale")))
            == signal.SIGKILL
        )
    store = open_or_build(source, tmp_path / "cache", StoredGrid.of((32, 32), "scale"))
    assert len(store) == 12
    assert len([path for path in (tmp_path / "cache").iterdir() if path.is_dir()]) == 1


def raise_in_operation(patch: pytest.MonkeyPatch, number: int) -> None:
    """Let the n-th of the operations that reach the disk, counted from 0, end everything."""
    calls = iter(range(100))

    def dying(plain: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if next(calls) == number:
                raise Killed
            return plain(*arguments, **named)

        return call

    for name in ("replace", "fsync", "link"):
        patch.setattr(os, name, dying(getattr(os, name)))


def test_a_save_that_dies_between_any_two_steps_leaves_the_old_checkpoint_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "checkpoints" / "stage"
    folder.mkdir(parents=True)
    content = {"epoch": 0, "global_step": 1, "weights": torch.zeros(10)}
    commit(content, folder, best=True)
    for step in range(2, 30):
        before = newest_first(folder.parent)[0].step
        with monkeypatch.context() as patch, suppress(Killed):
            raise_in_operation(patch, (step - 2) % 8)
            commit(content | {"global_step": step}, folder, best=bool(step % 3))
        intact = [entry for entry in newest_first(folder.parent) if entry.find(folder.parent)]
        assert intact[0].step in (before, step)
        path = take_up(folder.parent, intact[0])
        assert torch.load(path, weights_only=True)["global_step"] == intact[0].step
        assert {entry.name for entry in newest_first(folder.parent)} >= {"last.ckpt"}


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_anew_either_way(slices_folder: Path) -> None:
    cfg = small_run(slices_folder, *SHORT)
    for again in (resumed, train):
        with doing(At("on_train_batch_start", 1, action=die)):
            assert forked(lambda: train(cfg)) == signal.SIGKILL
        assert again(cfg)["steps"] == 6
        shutil.rmtree(cfg.paths.run)
