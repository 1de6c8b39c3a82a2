"""Entry points run in the test's own process, as the shell would run them."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hydra.core.singleton import Singleton

from conf.schema import register
from runs.cli import run_cli

SMALL = (
    *(
        "data=slices",
        "data.image_size=32",
        "data.batch_size=4",
        "data.similarity=1.0",
        "model.width=4",
        "model.depth=3",
    ),
    *("trainer=cpu", "trainer.max_epochs=1", "trainer.progress_bar=false", "logger=csv", "report.tables.show=false"),
)
"""A job of a second on the slices of a folder."""


@contextmanager
def shell(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    """Give ``run(main, config_name, *arguments) -> exit code`` in a folder, and undo what Hydra changes."""
    state, root = Singleton.get_state(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PARTIALSEG_CACHE", str(folder / "cache"))
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    register()

    def run(main: Callable[[Any], Any], config_name: str, *arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", [f"{main.__module__}.py", *arguments])
        try:
            run_cli(main, config_name)
        except SystemExit as error:
            return int(error.code or 0)
        return 0

    yield run
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    Singleton.set_state(state)
