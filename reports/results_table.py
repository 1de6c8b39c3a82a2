"""The measured tables of the docs, from the results that finished runs left.

``python -m reports.results_table docs/results/openkbp`` reads every ``<variant>_seed<k>.json`` of a folder and prints a
Markdown table: mean and standard deviation over seeds of the ``last`` checkpoint.
"""

from __future__ import annotations

import json
import math
import re
import statistics
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from partial_labels.errors import InputError

FILE = re.compile(r"(?P<variant>.+)_seed(?P<seed>\d+)\.json")
FIGURES = ("dice", "dice_volume", "dice_truth", "hd95_mm", "hd95_px", "nsd")
Results = Mapping[str, Sequence[Mapping[str, Any]]]


def read_results(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the results of each variant, in the order of their seeds.

    Raises:
        InputError: If the folder holds no results, or one that cannot be read.
    """
    found: dict[str, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
    for path in sorted(folder.glob("*.json")):
        if match := FILE.fullmatch(path.name):
            try:
                found[match["variant"]].append((int(match["seed"]), json.loads(path.read_text(encoding="utf-8"))))
            except ValueError as error:
                raise InputError(f"{path}: no JSON ({error}); remove it or run again") from error
    if not found:
        raise InputError(f"{folder}: no file named <variant>_seed<number>.json; record runs there with paths.record=")
    return {variant: [result for _, result in sorted(runs, key=lambda run: run[0])] for variant, runs in found.items()}


def markdown_table(results: Results, checkpoint: str = "last", classes: bool = False) -> str:
    """Return a table with one row a variant, the highest volume Dice first.

    Args:
        results: Runs of each variant.
        checkpoint: ``last`` or ``best``.
        classes: Whether to add a column for the slice-wise Dice of every class.
    """
    every = [run["figures"][checkpoint] for runs in results.values() for run in runs]
    columns = [key for key in FIGURES if any(key in figures for figures in every)]
    if classes:
        columns += sorted({key for figures in every for key in figures if key.startswith("dice/")})
    lines = ["| variant | seeds | steps | " + " | ".join(column.removeprefix("dice/") for column in columns) + " |"]
    lines.append("|---" * (3 + len(columns)) + "|")
    for variant, runs in sorted(results.items(), key=lambda item: -rank(item[1], checkpoint)):
        cells = [spread([run["figures"][checkpoint].get(column, math.nan) for run in runs]) for column in columns]
        lines.append(f"| {variant} | {len(runs)} | {runs[0]['steps']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def rank(runs: Sequence[Mapping[str, Any]], checkpoint: str) -> float:
    """Return the mean volume Dice of a variant."""
    return statistics.fmean(run["figures"][checkpoint]["dice_volume"] for run in runs)


def spread(values: Sequence[float]) -> str:
    """Write mean and standard deviation over seeds; a dash where a run has no such figure."""
    if any(math.isnan(value) for value in values):
        return "-"
    mean = statistics.fmean(values)
    digits = 1 if mean > 2 else 3
    return f"{mean:.{digits}f}" + (f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else "")


def main(arguments: Sequence[str]) -> int:
    """Print the tables of the folders that are named."""
    classes = "--classes" in arguments
    folders = [argument for argument in arguments if argument != "--classes"]
    if not folders:
        print("usage: python -m reports.results_table FOLDER... [--classes]", file=sys.stderr)
        return 1
    try:
        for folder in folders:
            print(f"{folder}\n\n{markdown_table(read_results(Path(folder)), classes=classes)}\n")
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
