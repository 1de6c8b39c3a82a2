"""A run's directory: held by one process, and described by a configuration that tells when it was changed."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from partial_labels.errors import CLAIMED, InputError
from partial_labels.whole_file import whole_file

SEAL = "# sha256 of what follows: "


@contextmanager
def claimed(run_dir: Path, resumed: bool = False) -> Iterator[None]:
    """Hold a directory for one run: its ``checkpoints`` folder must be empty, and is locked while the process lives.

    A run that fails before its first checkpoint gives the directory back: there is nothing in it to lose. One that it
    made itself is gone with it, unless something else was written there.

    Raises:
        InputError: If another run lies there or goes on there, or nothing can be written.
    """
    folder = run_dir / "checkpoints"
    made = [folder] if run_dir.exists() else [folder, run_dir]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT)
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # flock would be inherited by loader processes
    except BlockingIOError as error:
        raise InputError(f"{run_dir}: another process is at work there; stop it, or wait for it") from error
    except OSError as error:
        raise InputError(f"{run_dir}: cannot write there ({error}); name another with hydra.run.dir=") from error
    if not resumed and any(path.name != ".lock" for path in folder.iterdir()):
        os.close(lock)
        raise InputError(
            f"{run_dir}: another run lies there; continue it with resume=, or name a new directory with hydra.run.dir="
        )
    try:
        yield
    except Exception as error:
        setattr(error, CLAIMED, run_dir)
        raise
    finally:
        (folder / ".lock").unlink(missing_ok=True)
        os.close(lock)
        for path in [*folder.glob("*/"), *made]:
            with suppress(OSError):
                path.rmdir()  # only where it is empty


def save_config(cfg: DictConfig, run_dir: Path) -> None:
    """Write the resolved configuration in one rename."""
    with whole_file(run_dir / "config.yaml") as temporary:
        temporary.write_text(sealed(OmegaConf.to_yaml(cfg, resolve=True)), encoding="utf-8")


def sealed(text: str) -> str:
    """Return the text of a configuration with the sum of what follows as its first line."""
    return f"{SEAL}{hashlib.sha256(text.encode()).hexdigest()}\n{text}"


def check_seal(path: Path) -> None:
    """Refuse a configuration that is not what the run was begun with; one without a seal is let through.

    Raises:
        InputError: Naming the file.
    """
    first, _, text = path.read_text(encoding="utf-8").partition("\n")
    if first.startswith(SEAL) and first != sealed(text).partition("\n")[0]:
        raise InputError(
            f"{path}: not what the run was begun with; restore it, and change keys by resume_overrides=[KEY] KEY=VALUE"
        )
