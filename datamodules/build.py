"""Build a source's case store once into the cache, and open it from then on."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from filelock import FileLock
from rich.console import Console
from rich.progress import track

from datamodules.fit import Fit, Placement, Size, fit_image, fit_label
from datamodules.sources.base import Source, SourceCase
from partial_labels.batch import IGNORE
from partial_labels.case_store import FORMAT, CaseStore, CaseStoreWriter, StoreHeader
from partial_labels.errors import InputError

logger = logging.getLogger(__name__)


def open_or_build(source: Source, cache: str | Path, image_size: int | tuple[int, int], fit: Fit) -> CaseStore:
    """Open the store of a source, building it first if the cache does not hold it.

    The store's folder is named after the source and a hash of all that decides its content, so a source that changed
    is built anew beside the old store. One process builds, others that want the same store wait for it; the lock is
    the kernel's and ends with its process, so what a killed build left behind is known as such and removed.

    Args:
        source: The source.
        cache: Folder of all stores; made where it is missing.
        image_size: Side of the stored slices in pixels, or (H, W).
        fit: How slices of another size are brought to it, see :mod:`datamodules.fit`.

    Raises:
        InputError: If a case contradicts itself or the class table, or the cache cannot be written.
    """
    sides = [image_size] * 2 if isinstance(image_size, int) else list(image_size)
    if len(sides) != 2 or min(sides) < 1 or fit not in ("scale", "pad"):
        raise InputError(f"image_size={image_size}, fit={fit!r}: give one or two positive sides, and scale or pad")
    size = (sides[0], sides[1])
    path = store_path(source, Path(cache), size, fit)
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_name(f".{path.name}.lock")):
                remove_leftovers(path)
                if not path.exists():
                    build(source, path, size, fit)
        except OSError as error:
            raise InputError(f"{path}: cannot be built ({error}); make room there or name another cache") from error
    return CaseStore.open(path)


def store_path(source: Source, cache: Path, size: Size, fit: Fit) -> Path:
    """Return the folder of the store that this source gives at this size."""
    key = json.dumps([source.fingerprint(), size, fit, FORMAT])
    return cache / f"{source.name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def remove_leftovers(path: Path) -> None:
    """Remove the hidden folders that killed builds of this store left; only the holder of its lock may."""
    for leftover in path.parent.iterdir():
        if leftover.name.startswith(f".{path.name}.") and leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)


def build(source: Source, path: Path, size: Size, fit: Fit) -> None:
    """Write the store of a source; it appears at ``path`` whole or not at all."""
    if len(source) == 0:
        raise InputError(f"{source.name}: the source has no case")
    header = StoreHeader(
        name=source.name,
        classes=source.classes,
        size=size,
        image_dtype=source.image_dtype,
        slope=source.slope,
        intercept=source.intercept,
        left_right_axis=source.left_right_axis,
        fit=fit,
        fingerprint=source.fingerprint(),
    )
    logger.info("building %s from %s: %d cases", path, source.name, len(source))
    logger.info("left_right_axis=%s; %s", source.left_right_axis, source.classes.describe_pairs())
    black = round(-source.intercept / source.slope)
    shapes: set[Size] = set()
    with CaseStoreWriter(path, header, len(source), source.has_truth) as writer:
        for case in with_progress(checked_cases(source), source):
            shape = (case.label.shape[0], case.label.shape[1])
            shapes.add(shape)
            writer.add(
                case.row,
                fit_image(case.image, size, fit, fill=black),
                fit_label(case.label, size, fit, fill=IGNORE),
                case.examined,
                truth=None if case.truth is None else fit_label(case.truth, size, fit, fill=IGNORE),
                native_label=None if shape == size else case.label,
            )
        writer.header = replace(header, spacing_mm=stored_spacing(source.spacing_mm, shapes, size, fit))


def stored_spacing(
    spacing_mm: tuple[float, float] | None, shapes: set[Size], size: Size, fit: Fit
) -> tuple[float, float] | None:
    """Return the side of a stored pixel, or None where it is unknown or scaling made it differ between slices."""
    if spacing_mm is None:
        return None
    scaled = {(shape, Placement.of(shape, size, fit).scaled) for shape in shapes}
    factors = {(before[0] / after[0], before[1] / after[1]) for before, after in scaled}
    if len(factors) > 1:
        return None
    rows, columns = factors.pop()
    return spacing_mm[0] * rows, spacing_mm[1] * columns


def checked_cases(source: Source) -> Iterator[SourceCase]:
    """Yield the source's cases, each checked.

    Raises:
        InputError: At the first case that is wrong, naming it.
    """
    names: set[str] = set()
    for case in source.cases():
        where = f"{source.name}: {case.row.name}"
        if case.row.name in names:
            raise InputError(f"{where}: two cases have this name; make the names unique")
        names.add(case.row.name)
        check_image(case, where)
        check_label(case, source, where)
        yield case


def check_image(case: SourceCase, where: str) -> None:
    """Refuse an image that does not fit its label or shows nothing."""
    for name, array in (("label", case.label), ("truth", case.truth)):
        if array is not None and array.shape != case.image.shape:
            raise InputError(f"{where}: image of {case.image.shape} pixels, {name} of {array.shape}; mend one of them")
    if case.image.min() == case.image.max():
        raise InputError(f"{where}: constant image (every pixel is {case.image.flat[0]}); mend it or leave it out")


def check_label(case: SourceCase, source: Source, where: str) -> None:
    """Refuse ids that the class table does not have, or that were drawn without having been examined."""
    present = np.flatnonzero(np.bincount(case.label.ravel(), minlength=256))
    for index in present[(present > 0) & (present != IGNORE)]:
        if index >= len(source.classes):
            raise InputError(
                f"{where}: label id {index}, but the class table ends at {len(source.classes) - 1}; mend either"
            )
        if not case.examined[index]:
            raise InputError(
                f"{where}: mask id {index} ({source.classes.names[index]}) outside the examined list; "
                "add it to the list or erase it from the mask"
            )


def with_progress(cases: Iterator[SourceCase], source: Source) -> Iterator[SourceCase]:
    """Show a bar on stderr while the cases pass, where somebody can see it."""
    console = Console(stderr=True)
    hidden = not sys.stderr.isatty()
    yield from track(cases, f"building {source.name}", len(source), console=console, transient=True, disable=hidden)
