"""Build the store of a source of volumes: several at a time, one a process in memory, and go on after a kill.

Each volume becomes a small case store of its own in ``.<source>.volumes`` beside the store. Its name carries a hash of
all that decides its content, so a build that comes again takes what is finished, also where another volume was mended
or added meanwhile. At the end the volumes are copied into one store, in the source's order, and the folder is removed,
with whatever other unfinished builds of the same source left there; until then the disk holds the volumes twice.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from filelock import FileLock
from rich.console import Console
from rich.progress import track

from datamodules.case_writing import add_case, check_name, header_of, stored_spacing
from datamodules.sources.base import VolumeSource
from datamodules.stored_grid import StoredGrid
from partial_labels.case_store import CaseStore
from partial_labels.case_writer import CaseStoreWriter
from partial_labels.errors import InputError
from partial_labels.store_header import FORMAT

T = TypeVar("T")


class VolumeWriter:
    """Writes single volumes; it is sent to every process of the build.

    Args:
        source: The source.
        grid: The stored grid.
        folder: Where the volumes lie until all are there.
    """

    def __init__(self, source: VolumeSource, grid: StoredGrid, folder: Path) -> None:
        self.source, self.grid, self.folder = source, grid, folder
        self.header = replace(header_of(source, grid), fingerprint="")

    def place(self, number: int) -> Path:
        """Return the folder of one volume's store."""
        decides = [self.source.options(), self.source.volume_fingerprint(number), repr(self.header), repr(self.grid)]
        return self.folder / hashlib.sha256(json.dumps([*decides, FORMAT]).encode()).hexdigest()[:24]

    def write(self, number: int) -> Path:
        """Write one volume if it is not there, and return its place."""
        place = self.place(number)
        if not place.exists():
            with CaseStoreWriter(place, self.header, None, self.source.has_truth) as writer:
                for case in self.source.read(number):
                    add_case(writer, case, self.source, self.grid)
        return place


def build_volumes(source: VolumeSource, path: Path, grid: StoredGrid, workers: int) -> None:
    """Write the store of a source of volumes; it appears at ``path`` whole or not at all.

    Args:
        source: The source.
        path: The store's folder.
        grid: The stored grid.
        workers: Processes that read volumes; with 1 this one does.

    Raises:
        InputError: If a volume is wrong, naming its file; what is finished is kept for the next start.
    """
    folder = path.parent / f".{source.name}.volumes"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(path.parent / f".{source.name}.volumes.lock"):
        for half in folder.glob(".*"):
            shutil.rmtree(half, ignore_errors=True)
        writer = VolumeWriter(source, grid, folder)
        places = [*with_progress(written(writer, min(workers, len(source))), f"reading {source.name}", len(source))]
        merge(places, path, writer)
        shutil.rmtree(folder, ignore_errors=True)


def written(writer: VolumeWriter, workers: int) -> Iterator[Path]:
    """Write the volumes and yield their places in order."""
    numbers = range(len(writer.source))
    if workers <= 1:
        yield from map(writer.write, numbers)
        return
    # Not forked from this process, whose libraries run threads, but from one that only imported what they need.
    server = "forkserver" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if server else "spawn")
    if server:
        context.set_forkserver_preload([__name__])
    pool = ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(writer,))
    try:
        yield from pool.map(_write, numbers)
    finally:
        pool.shutdown(cancel_futures=True)


def merge(places: list[Path], path: Path, writer: VolumeWriter) -> None:
    """Copy the volumes into one store."""
    names: set[str] = set()
    header = header_of(writer.source, writer.grid)
    with CaseStoreWriter(path, header, None, writer.source.has_truth) as whole:
        for place in places:
            part = CaseStore.open(place)
            for row in part.cases:
                check_name(row, names, writer.source)
            whole.extend(part)
        if not whole.rows:
            raise InputError(f"{writer.source.name}: no slice is left of {len(places)} volumes; loosen its selection")
        whole.header = replace(header, spacing_mm=stored_spacing(whole.rows, writer.grid))


def with_progress(items: Iterable[T], description: str, total: int) -> Iterator[T]:
    """Show a bar on stderr while the items pass, where somebody can see it."""
    console = Console(stderr=True)
    hidden = not sys.stderr.isatty()
    yield from track(items, description, total, console=console, transient=True, disable=hidden)


_writer: VolumeWriter | None = None
"""The writer of a process of the build, sent once instead of with every volume."""


def _begin(writer: VolumeWriter) -> None:
    """Prepare a process: it leaves Ctrl-C to the one that started it, and ends with it even where that was killed."""
    global _writer
    _writer = writer
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _write(number: int) -> Path:
    assert _writer is not None
    return _writer.write(number)
