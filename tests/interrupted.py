"""Runs that are interrupted at chosen moments, and what they leave compared with a run that was not."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback

import runs.stages.fitting
from runs.resume import original
from runs.run_directory import sealed
from runs.training import train

EVERY_STEP = "callbacks.checkpoints.every_minutes=1e-9"
"""Checkpoints as often as there can be any."""


class Killed(BaseException):
    """Ends a run as nothing in it expects."""


def kill() -> None:
    """Die."""
    raise Killed


class At(Callback):
    """Does something when a hook is called for the n-th time in this process, counted from 1."""

    def __init__(self, hook: str, count: int, action: Callable[[], None] = kill) -> None:
        self.left, self.action = count, action
        setattr(self, hook, self.hook)

    def hook(self, *arguments: Any, **named: Any) -> None:
        self.left -= 1
        if self.left == 0:
            self.action()


@contextmanager
def doing(*moments: At) -> Iterator[None]:
    """Let the trainers built here have these callbacks first."""
    build = runs.stages.fitting.build_trainer

    def built(*arguments: Any) -> Any:
        trainer, progress = build(*arguments)
        trainer.callbacks[:0] = moments
        return trainer, progress

    runs.stages.fitting.build_trainer = built
    try:
        yield
    finally:
        runs.stages.fitting.build_trainer = build


def resumed(cfg: DictConfig, *moments: At) -> dict[str, Any]:
    """Resume the run of a configuration."""
    asked = OmegaConf.merge(cfg, {"resume": cfg.paths.run})
    assert isinstance(asked, DictConfig)
    with doing(*moments):
        return train(original(asked))


def with_kills(cfg: DictConfig, moments: Sequence[tuple[str, int]]) -> dict[str, Any]:
    """Run, die at the first moment, resume, die at the second, and so on; the last part ends.

    A moment that a part does not reach is an error of the test.
    """
    for number, (hook, count) in enumerate(moments):
        try:
            moment = At(hook, count)
            if number == 0:
                with doing(moment):
                    train(cfg)
            else:
                resumed(cfg, moment)
        except Killed:
            continue
        raise AssertionError(f"{hook} number {count} was not reached in part {number}")
    return resumed(cfg)


def copied(root: Path, place: Path) -> Path:
    """Copy the folder of a run and its cache, so that the run is one that began in the other place."""
    shutil.copytree(root, place)
    saved = place / "run" / "config.yaml"
    saved.write_text(sealed(saved.read_text().partition("\n")[2].replace(str(root), str(place))))
    return place


def assert_equal(one: Any, other: Any, place: str = "") -> None:
    """Compare two checkpoints, or parts of them, to the bit."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), place
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), place
        for key, value in one.items():
            assert_equal(value, other[key], f"{place}/{key}")
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), place
        for number, (mine, its) in enumerate(zip(one, other, strict=True)):
            assert_equal(mine, its, f"{place}/{number}")
    else:
        assert one == other or one != one, f"{place}: {one} is not {other}"


def assert_same_run(run: str | Path, reference: str | Path) -> None:
    """Compare weights, optimizers, schedules, generators, counts and curves of two finished runs."""
    ours, theirs = Path(run), Path(reference)
    files = sorted(path.relative_to(theirs) for path in theirs.glob("checkpoints/*/*.ckpt"))
    assert files == sorted(path.relative_to(ours) for path in ours.glob("checkpoints/*/*.ckpt"))
    for file in files:
        one, other = (torch.load(root / file, weights_only=True) for root in (ours, theirs))
        for content in (one, other):
            for key in ("config", "loops"):
                content.pop(key)
            for state in content["random_states"]:
                del state["python"]  # beartype, which checks shapes in tests, draws from it
            content["progress"] = {key: content["progress"][key] for key in ("steps", "rows")}
        assert_equal(one, other, str(file))
    assert (ours / "metrics.csv").read_bytes() == (theirs / "metrics.csv").read_bytes()
