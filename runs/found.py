"""Finds what the command line names. It imports nothing heavy, so that a wrong path is answered at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import ListConfig

from partial_labels.errors import InputError
from runs.checkpoints.ledger import LAST, newest_first


def run_to_resume(resume: str) -> Path:
    """Return the directory of a run that was begun.

    Raises:
        InputError: If none lies there.
    """
    run = Path(resume).expanduser().absolute()
    if not resume or not (run / "config.yaml").is_file():
        raise InputError(f"resume={resume}: no run lies there; name the directory that holds its config.yaml")
    return run


def find_checkpoints(checkpoint: Any) -> list[Path]:
    """Return the files that one name, or each of a list, stands for.

    Raises:
        InputError: If the list is empty, or one of them does not exist.
    """
    paths = list(checkpoint) if isinstance(checkpoint, (list, tuple, ListConfig)) else [checkpoint]
    if not paths or not all(isinstance(path, (str, Path)) and str(path) for path in paths):
        raise InputError(f"checkpoint={checkpoint}: name a checkpoint, or several as [a,b]")
    return [find_checkpoint(Path(path)) for path in paths]


def find_checkpoint(path: Path) -> Path:
    """Return a checkpoint file itself, or the newest stage's ``last`` of a run directory.

    Raises:
        InputError: If there is none.
    """
    if path.is_file():
        return path
    listed = [path / "checkpoints" / entry.stage / LAST for entry in newest_first(path / "checkpoints")]
    found = [file for file in listed[:1] if file.exists()] or sorted(
        path.glob("checkpoints/*/last.ckpt"), key=lambda file: file.stat().st_mtime
    )
    if not found:
        raise InputError(f"{path}: no checkpoint; give RUN/checkpoints/STAGE/last.ckpt or a run directory")
    return found[-1]


def find_input(path: str) -> Path:
    """Return what is to be predicted.

    Raises:
        InputError: If it does not exist.
    """
    if not path or not Path(path).exists():
        raise InputError(
            f"input={path}: no such file or folder; name an image, a volume, a folder of them or a case store"
        )
    return Path(path)
