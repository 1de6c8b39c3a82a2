"""The small table that says of each case which classes were examined, whose it is and in which part it belongs.

::

    case,examined,group,split
    s0001,liver;spleen,patient1,train
    s0002,all,patient1,train
    s0003,,patient2,val

Only ``case`` must be there. ``examined``: names of classes separated by ``;``, or ``all``; empty = unlabeled.
"""

from __future__ import annotations

import csv
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datamodules.sources.manifest import SPLITS
from partial_labels.classes import ClassTable
from partial_labels.errors import InputError

COLUMNS = ("case", "examined", "group", "split")


@dataclass(frozen=True)
class CaseNote:
    """A row of the table.

    Args:
        examined: (C,) bool, entry 0 False; None where the table has no such column.
        group: Patient; the case itself where nothing is said.
        split: ``train``, ``val``, ``test`` or empty.
    """

    examined: NDArray[np.bool_] | None
    group: str
    split: str


def read_case_notes(path: Path | None, names: Collection[str], classes: ClassTable) -> dict[str, CaseNote]:
    """Read the table, which must have one row for each case.

    Args:
        path: The table, or None for none: nothing is said of any case then.
        names: The cases of the source.
        classes: Its class table.

    Raises:
        InputError: If it is missing or ill-formed, leaves a case out, or names an unknown case or class.
    """
    if path is None:
        return {name: CaseNote(None, name, "") for name in names}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True, strict=True, restkey="", restval="")
            rows = [(reader.line_num, row) for row in reader]
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing; write one row a case, or leave data.source.table out") from error
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path}: not readable as a table ({error}); save it as CSV in UTF-8") from error
    columns = list(reader.fieldnames or [])
    if "case" not in columns or set(columns) - set(COLUMNS):
        raise InputError(
            f"{path}: columns {','.join(columns)!r}; write case, and of {', '.join(COLUMNS[1:])} what is known"
        )
    notes: dict[str, CaseNote] = {}
    for line, row in rows:
        name, where = row["case"].strip(), f"{path} line {line}"
        if "" in row:
            raise InputError(f"{where}: {name!r} has more cells than the header; mend the row")
        if name in notes:
            raise InputError(f"{where}: {name!r} comes twice; mend the row")
        if name not in names:
            raise InputError(f"{where}: {name!r} is no case of the set; mend the row")
        notes[name] = _note(row, name, where, classes)
    missing = sorted(set(names) - set(notes))
    if missing:
        raise InputError(f"{path}: no row for {missing[0]} ({len(missing)} missing); write one row a case")
    return notes


def examined_of(names: str | Collection[str], classes: ClassTable, where: str) -> NDArray[np.bool_]:
    """Turn ``all`` or names of classes into one bool a class; entry 0 stays False.

    Raises:
        InputError: If a name is not in the class table.
    """
    examined = np.zeros(len(classes), dtype=bool)
    if names == "all":
        examined[1:] = True
        return examined
    known = {name.casefold(): index for index, name in enumerate(classes.names) if index}
    for name in [names] if isinstance(names, str) else names:
        if name.casefold() not in known:
            raise InputError(f"{where}: examined {name!r} is no class; there is {', '.join(classes.foreground)}")
        examined[known[name.casefold()]] = True
    return examined


def _note(row: dict[str, str], name: str, where: str, classes: ClassTable) -> CaseNote:
    split = row.get("split", "").strip()
    if split not in SPLITS:
        raise InputError(f"{where}: split {split!r}; write train, val or test, or leave it empty")
    examined = None
    if "examined" in row:
        words = [word.strip() for word in row["examined"].split(";") if word.strip()]
        examined = examined_of("all" if words == ["all"] else words, classes, where)
    return CaseNote(examined, row.get("group", "").strip() or name, split)
