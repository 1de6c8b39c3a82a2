"""The list of a run's checkpoints, which says which files count.

``RUN/checkpoints/checkpoints.json`` names every checkpoint with its stage, step, size and SHA-256. A file that it does
not list is no checkpoint, and one that is listed is known by its content: a process that was killed while files changed
places leaves some under a wrong name, never a wrong file.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from partial_labels.array_file import sha256
from partial_labels.errors import InputError

log = logging.getLogger(__name__)

LEDGER = "checkpoints.json"
STAGE_NAME = re.compile(r"\w[\w.-]*")
"""A stage is called as a folder can be, and that folder lies where it is looked for."""
LAST, PREVIOUS, BEST = "last.ckpt", "previous.ckpt", "best.ckpt"
NEXT = "next.ckpt"
"""The name of a checkpoint until it is listed."""


@dataclass(frozen=True)
class Entry:
    """A checkpoint as it is listed.

    Args:
        name: Its file, ``last.ckpt``, ``previous.ckpt`` or ``best.ckpt``.
        stage: The stage, which is the folder of the file.
        epoch: Epochs of the stage that were over, a begun one not counted.
        step: Optimizer steps of the stage.
        size: Bytes.
        sha256: Of the file.
    """

    name: str
    stage: str
    epoch: int
    step: int
    size: int
    sha256: str

    def __post_init__(self) -> None:
        """Refuse names that lead out of the folder: files of those names are deleted."""
        texts, numbers = (self.name, self.stage, self.sha256), (self.epoch, self.step, self.size)
        if not all(isinstance(one, str) for one in texts) or not all(type(one) is int for one in numbers):
            raise TypeError("a value of another kind")
        if self.name not in (LAST, PREVIOUS, BEST) or not STAGE_NAME.fullmatch(self.stage):
            raise ValueError(f"no checkpoint is called {self.stage}/{self.name}")

    def find(self, root: Path) -> Path | None:
        """Return the file of a ``checkpoints`` folder that has this content; None if it is damaged or gone."""
        folder = root / self.stage
        for path in (folder / self.name, *sorted(folder.glob("*.ckpt"))):
            if path.is_file() and path.stat().st_size == self.size and sha256(path) == self.sha256:
                return path
        return None


def newest_first(root: Path) -> list[Entry]:
    """Return what a ``checkpoints`` folder lists: the stage begun last comes first, in a stage the latest step."""
    listed = read_ledger(root)
    order = list(dict.fromkeys(entry.stage for entry in listed))
    return sorted(reversed(listed), key=lambda entry: (order.index(entry.stage), entry.step), reverse=True)


def read_ledger(root: Path) -> list[Entry]:
    """Return what is listed; nothing where there is no list.

    Raises:
        InputError: If the list is damaged.
    """
    path = root / LEDGER
    if not path.exists():
        return []
    try:
        return [Entry(**record) for record in json.loads(path.read_text(encoding="utf-8"))["checkpoints"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: damaged ({error}); restore it, or train again in a new directory") from error


def write_ledger(root: Path, entries: Iterable[Entry]) -> None:
    """Replace the list in one rename, and let it reach the disk before anything that it no longer names is deleted."""
    unfinished = root / f"{LEDGER}.part"
    with unfinished.open("w", encoding="utf-8") as file:
        json.dump({"checkpoints": [asdict(entry) for entry in entries]}, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, root / LEDGER)
    folder = os.open(root, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def refuse_damaged(path: Path) -> None:
    """Refuse a listed checkpoint whose content is not what was written; one that no list knows is let through.

    Raises:
        InputError: Naming the file, and the newest checkpoint that is intact.
    """
    root = path.resolve().parent.parent
    mine = [entry for entry in read_ledger(root) if entry.stage == path.resolve().parent.name]
    if path.name not in {entry.name for entry in mine} or not path.is_file():
        return
    if (path.stat().st_size, sha256(path)) not in {(entry.size, entry.sha256) for entry in mine}:
        intact = next((found for entry in newest_first(root) if (found := entry.find(root))), None)
        raise InputError(f"{path}: damaged, it is not what was written; the newest intact one is {intact or 'none'}")


def take_up(root: Path, chosen: Entry) -> Path:
    """Make a checkpoint its stage's ``last`` again, and forget what came after it.

    Args:
        root: The ``checkpoints`` folder.
        chosen: One that is intact.

    Returns:
        The file ``last.ckpt``.
    """
    listed, folder = read_ledger(root), root / chosen.stage
    order = list(dict.fromkeys(entry.stage for entry in listed))
    earlier = [entry for entry in listed if order.index(entry.stage) < order.index(chosen.stage)]
    best = next((e for e in listed if (e.name, e.stage) == (BEST, chosen.stage) and e.step <= chosen.step), None)
    file, best_file = chosen.find(root), best.find(root) if best is not None else None
    assert file is not None, f"{chosen} is not intact"
    link(file, folder / NEXT)
    if best_file is not None:
        link(best_file, folder / BEST)
    if best is not None and best_file is None:
        log.warning("%s: damaged or gone; the best of the epochs to come takes its place", folder / BEST)
    kept = [best] if best is not None and best_file is not None else []
    write_ledger(root, [*earlier, *kept, replace(chosen, name=LAST)])
    link(folder / NEXT, folder / LAST)
    for name in (NEXT, PREVIOUS, *(() if kept else (BEST,))):
        (folder / name).unlink(missing_ok=True)
    return folder / LAST


def forget_after(root: Path, stage: str) -> None:
    """Drop the checkpoints of the stages that come after one, which are then fitted anew."""
    listed = read_ledger(root)
    order = list(dict.fromkeys(entry.stage for entry in listed))
    for later in order[order.index(stage) + 1 :]:
        for path in (root / later).glob("*.ckpt"):
            path.unlink()
    write_ledger(root, [entry for entry in listed if order.index(entry.stage) <= order.index(stage)])


def close(folder: Path) -> None:
    """Keep only ``last`` and ``best`` of a stage that is over."""
    listed = read_ledger(folder.parent)
    write_ledger(folder.parent, [entry for entry in listed if (entry.stage, entry.name) != (folder.name, PREVIOUS)])
    (folder / PREVIOUS).unlink(missing_ok=True)


def link(source: Path, path: Path) -> None:
    """Give a file a second name, in one rename; where the file system has no links, copy it."""
    if path.exists() and path.samefile(source):
        return
    unfinished = path.with_name(f".{path.name}.part")
    unfinished.unlink(missing_ok=True)
    try:
        os.link(source, unfinished)
    except OSError:
        shutil.copyfile(source, unfinished)
    os.replace(unfinished, path)
