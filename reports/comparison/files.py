"""Reads the files of a run, and names what is wrong with one that is damaged."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from partial_labels.errors import InputError, one_line

REMEDY = "leave this run out, or run it again"


def read_config(path: Path) -> dict[str, Any]:
    """Read a resolved configuration.

    Raises:
        InputError: If it is damaged.
    """
    try:
        config = OmegaConf.to_container(OmegaConf.load(path))
    except (YAMLError, OmegaConfBaseException, UnicodeDecodeError) as error:
        raise InputError(f"{path}: no YAML ({_line(error)}); {REMEDY}") from error
    if not isinstance(config, dict):
        raise InputError(f"{path}: holds no configuration; {REMEDY}")
    return {str(key): value for key, value in config.items()}


def check_numbers(path: Path) -> None:
    """Look through the ``metrics.csv`` of ``CSVLogger``.

    Raises:
        InputError: If it is damaged: the row, and what is wrong with it.
    """
    for number, row in enumerate(read_table(path, ("step",)), start=2):
        wrong = next((key for key, cell in row.items() if cell and not _is_number(cell)), None)
        if wrong is not None:
            raise InputError(f"{path}, row {number}: {wrong}={row[wrong]!r} is no number; {REMEDY}")


def read_table(path: Path, columns: Iterable[str]) -> list[dict[str, str]]:
    """Read a CSV file with these columns at least; an absent file has no rows.

    Raises:
        InputError: If it has other columns, or a row is cut off.
    """
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            missing = [name for name in columns if name not in header]
            if missing:
                raise InputError(f"{path}: has no column {missing[0]}; {REMEDY}")
            rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: no CSV file ({_line(error)}); {REMEDY}") from error
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise InputError(f"{path}, row {number}: {len(row)} cells for {len(header)} columns; {REMEDY}")
    return [dict(zip(header, row, strict=True)) for row in rows]


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file.

    Raises:
        InputError: If it is damaged.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: no JSON ({_line(error)}); {REMEDY}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds no JSON object; {REMEDY}")
    return content


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _line(error: Exception) -> str:
    return one_line(error)[:120]
