"""Build a source's case store once into the cache, and open it from then on."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

from filelock import FileLock

from datamodules.case_writing import add_case, check_name, header_of, stored_spacing
from datamodules.sources.base import Source, VolumeSource
from datamodules.stored_grid import StoredGrid
from datamodules.volume_build import build_volumes, with_progress
from partial_labels.case_store import CaseStore
from partial_labels.case_writer import CaseStoreWriter
from partial_labels.errors import InputError
from partial_labels.store_header import FORMAT

logger = logging.getLogger(__name__)


def open_or_build(source: Source, cache: str | Path, grid: StoredGrid, workers: int = 1) -> CaseStore:
    """Open the store of a source, building it first if the cache does not hold it.

    The store's folder is named after the source and a hash of all that decides its content, so a source that changed
    is built anew beside the old store. One process builds, others that want the same store wait for it; the lock is
    the kernel's and ends with its process, so what a killed build left behind is known as such and removed.

    Args:
        source: The source.
        cache: Folder of all stores; made where it is missing.
        grid: What its slices are brought to.
        workers: Processes that read the volumes of a :class:`~datamodules.sources.base.VolumeSource`.

    Raises:
        InputError: If a case contradicts itself or the class table, or the cache cannot be written.
    """
    path = store_path(source, Path(cache), grid)
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_name(f".{path.name}.lock")):
                remove_leftovers(path)
                if not path.exists():
                    build(source, path, grid, workers)
        except OSError as error:
            raise InputError(f"{path}: cannot be built ({error}); make room there or name another cache") from error
    return CaseStore.open(path)


def store_path(source: Source, cache: Path, grid: StoredGrid) -> Path:
    """Return the folder of the store that this source gives on this grid."""
    spacing = [] if grid.spacing_mm is None else [grid.spacing_mm]
    key = json.dumps([source.fingerprint(), grid.size, grid.fit, *spacing, FORMAT])
    return cache / f"{source.name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def remove_leftovers(path: Path) -> None:
    """Remove the hidden folders that killed builds of this store left; only the holder of its lock may."""
    for leftover in path.parent.iterdir():
        if leftover.name.startswith(f".{path.name}.") and leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)


def build(source: Source, path: Path, grid: StoredGrid, workers: int = 1) -> None:
    """Write the store of a source; it appears at ``path`` whole or not at all."""
    if len(source) == 0:
        raise InputError(f"{source.name}: the source has no case")
    by_volume = isinstance(source, VolumeSource)
    logger.info("building %s from %s: %d %s", path, source.name, len(source), "volumes" if by_volume else "cases")
    logger.info("left_right_axis=%s; %s", source.left_right_axis, source.classes.describe_pairs())
    if isinstance(source, VolumeSource):
        build_volumes(source, path, grid, workers)
    else:
        build_cases(source, path, grid)


def build_cases(source: Source, path: Path, grid: StoredGrid) -> None:
    """Write the store case by case, in this process."""
    header = header_of(source, grid)
    names: set[str] = set()
    with CaseStoreWriter(path, header, len(source), source.has_truth) as writer:
        for case in with_progress(source.cases(), f"building {source.name}", len(source)):
            check_name(case.row, names, source)
            add_case(writer, case, source, grid)
        writer.header = replace(header, spacing_mm=stored_spacing(writer.rows, grid))
