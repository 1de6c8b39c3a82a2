"""Checkpoint files that are there whole or not at all.

A save writes ``next.ckpt`` whole, then renames the list of :mod:`runs.checkpoints.ledger`, which is the moment from
which the new checkpoint counts, and only then lets the files change places: ``last.ckpt`` becomes ``previous.ckpt``,
``next.ckpt`` becomes ``last.ckpt``.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, final

import torch
from lightning_fabric.plugins import CheckpointIO

from partial_labels.errors import InputError
from runs.checkpoints.ledger import BEST, LAST, NEXT, PREVIOUS, Entry, link, read_ledger, refuse_damaged, write_ledger
from runs.quoting import typed_argument


@final
class ListedCheckpoints(CheckpointIO):
    """Lets Lightning write checkpoints that survive being killed, and read nothing that could run code.

    With ``storage_options={"best": bool}`` the checkpoint becomes the stage's ``last``, and its ``best`` where that is
    true, and is listed. Without, it is a single file that nothing is known about.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write a checkpoint.

        Raises:
            InputError: If the disk is full or cannot be written; what was listed before is untouched.
        """
        path = Path(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if storage_options is None:
                write_whole(checkpoint, path)
            else:
                commit(checkpoint, path.parent, storage_options["best"])
        except OSError as error:
            kept = path if path.exists() else "none was written before"
            raise InputError(
                f"{path}: cannot be written ({error.strerror or error}); the last intact checkpoint is untouched "
                f"({kept}); make room and continue with {typed_argument('resume', path.parents[2])}"
            ) from error

    def load_checkpoint(
        self, path: Any, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint as plain tensors and values, on the CPU.

        Raises:
            InputError: If it is listed and damaged.
        """
        refuse_damaged(Path(path))
        content: dict[str, Any] = torch.load(path, map_location=map_location or "cpu", weights_only=True)
        return content

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a file."""
        Path(path).unlink(missing_ok=True)


def commit(content: dict[str, Any], folder: Path, best: bool) -> None:
    """Make a checkpoint the ``last`` of a stage, and its ``best``, and keep the one before as ``previous``."""
    root, stage = folder.parent, folder.name
    listed = read_ledger(root)
    fresh = folder / NEXT
    try:
        size, digest = write_synced(content, fresh)
        last = Entry(LAST, stage, content["epoch"], content["global_step"], size, digest)
        mine = {entry.name: entry for entry in listed if entry.stage == stage}
        kept = [replace(last, name=BEST)] if best else [mine[BEST]] if BEST in mine else []
        kept += [replace(mine[LAST], name=PREVIOUS)] if LAST in mine else []
        write_ledger(root, [*(entry for entry in listed if entry.stage != stage), *kept, last])
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    if (folder / LAST).exists():
        os.replace(folder / LAST, folder / PREVIOUS)
    os.replace(fresh, folder / LAST)
    if best:
        link(folder / LAST, folder / BEST)


def write_whole(content: Any, path: Path) -> None:
    """Write a file of ``torch.save`` in one rename."""
    unfinished = path.with_name(f".{path.name}.part")
    try:
        write_synced(content, unfinished)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_synced(content: Any, path: Path) -> tuple[int, str]:
    """Write a file of ``torch.save``, wait until the disk has it, and return its size and SHA-256."""
    with path.open("wb") as file:
        stream = HashedStream(file)
        torch.save(content, stream)  # type: ignore[arg-type]
        if stream.error is not None:
            raise stream.error
        file.flush()
        os.fsync(file.fileno())
    return stream.size, stream.digest.hexdigest()


class HashedStream:
    """Hashes what passes through it to a file, so that a checkpoint need not be read again.

    An error of the file is kept instead of raised: it would have to travel through torch's C++ writer, whose
    destructor then tries to write the rest.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.digest, self.size = file, hashlib.sha256(), 0
        self.error: OSError | None = None

    def write(self, data: bytes | memoryview) -> int:
        """Write, until something fails."""
        if self.error is None:
            try:
                self.file.write(data)
            except OSError as error:
                self.error = error
        written = memoryview(data).nbytes
        self.digest.update(data)
        self.size += written
        return written

    def flush(self) -> None:
        """Do nothing: the file is flushed once, at its end."""
