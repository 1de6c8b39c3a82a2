"""One case of a source, checked and written to a store: what every way of building shares."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from datamodules.placement import Pair
from datamodules.sources.base import Source, SourceCase, is_constant
from datamodules.stored_grid import StoredGrid
from partial_labels.batch import IGNORE
from partial_labels.case_table import CaseRow
from partial_labels.case_writer import CaseStoreWriter
from partial_labels.errors import InputError
from partial_labels.store_header import StoreHeader

SAME = 1e-3
"""Share by which two spacings may differ and still count as one: files round them."""


def header_of(source: Source, grid: StoredGrid) -> StoreHeader:
    """Return the header of a source's store; its spacing is entered when all cases are known."""
    return StoreHeader(
        name=source.name,
        classes=source.classes,
        size=grid.size,
        image_dtype=source.image_dtype,
        slope=source.slope,
        intercept=source.intercept,
        left_right_axis=source.left_right_axis,
        fit=grid.fit,
        fingerprint=source.fingerprint(),
        channels=source.channels,
    )


def add_case(writer: CaseStoreWriter, case: SourceCase, source: Source, grid: StoredGrid) -> None:
    """Check a case, bring it to the stored grid and append it.

    Raises:
        InputError: If the case contradicts itself or the class table, naming it.
    """
    where = f"{source.name}: {case.row.name}"
    check_image(case, where)
    check_label(case, source, where)
    spacing = case.spacing_mm or source.spacing_mm
    place = grid.place((case.label.shape[0], case.label.shape[1]), spacing, where)
    black = round(-source.intercept / source.slope)
    row_mm, column_mm = spacing or (0.0, 0.0)
    writer.add(
        replace(case.row, row_mm=row_mm, column_mm=column_mm),
        place.image(case.image, black),
        place.label(case.label),
        case.examined,
        truth=None if case.truth is None else place.label(case.truth),
        native_label=case.label if place.moves else None,
    )


def stored_spacing(rows: Iterable[CaseRow], grid: StoredGrid) -> Pair | None:
    """Return the side of a stored pixel, or None where it is unknown or differs between slices."""
    if grid.spacing_mm is not None:
        return grid.spacing_mm
    found: set[Pair] = set()
    for shape, spacing in {((row.height, row.width), row.spacing_mm) for row in rows}:
        if spacing is None:
            return None
        scaled = grid.place(shape).scaled
        found.add((spacing[0] * shape[0] / scaled[0], spacing[1] * shape[1] / scaled[1]))
    return common_spacing(sorted(found))


def common_spacing(spacings: Sequence[Pair]) -> Pair | None:
    """Return the first of some spacings if all are the same but for rounding."""
    if not spacings or not np.allclose(spacings, spacings[0], rtol=SAME, atol=0):
        return None
    return spacings[0]


def check_name(row: CaseRow, names: set[str], source: Source) -> None:
    """Refuse a name that came before, else remember it."""
    if row.name in names:
        raise InputError(f"{source.name}: {row.name}: two cases have this name; make the names unique")
    names.add(row.name)


def check_image(case: SourceCase, where: str) -> None:
    """Refuse an image that does not fit its label or shows nothing."""
    shape = case.image.shape[-2:]
    for name, array in (("label", case.label), ("truth", case.truth)):
        if array is not None and array.shape != shape:
            raise InputError(f"{where}: image of {shape} pixels, {name} of {array.shape}; mend one of them")
    if is_constant(case.image):
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
