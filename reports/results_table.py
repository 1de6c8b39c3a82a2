"""The measured tables of the docs, from the results that finished runs left.

``python -m reports.results_table docs/results/openkbp`` reads every ``<variant>_seed<k>.json`` of a folder and prints a
Markdown table: mean and standard deviation over seeds of the ``last`` checkpoint. ``--baseline=supervised`` adds the
difference of each variant's volume Dice to that one's, with a paired 95 % interval over volumes; ``--truth`` compares
against the truth there.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import statistics
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metrics.figures import FIGURES
from metrics.paired import CellSums, paired_gain
from partial_labels.errors import InputError

FILE = re.compile(r"(?P<variant>.+)_seed(?P<seed>\d+)\.json")
TABULATED = tuple(name for name in FIGURES if name != "dice_pessimistic")
"""The pessimistic Dice is for those who have figures of others to compare with."""
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
    columns = [key for key in TABULATED if any(key in figures for figures in every)]
    if classes:
        columns += sorted({key for figures in every for key in figures if key.startswith("dice/")})
    lines = ["| variant | seeds | steps | " + " | ".join(column.removeprefix("dice/") for column in columns) + " |"]
    lines.append("|---" * (3 + len(columns)) + "|")
    for variant, runs in sorted(results.items(), key=lambda item: -rank(item[1], checkpoint)):
        cells = [spread([run["figures"][checkpoint].get(column, math.nan) for run in runs]) for column in columns]
        lines.append(f"| {variant} | {len(runs)} | {runs[0]['steps']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def differences(results: Results, baseline: str, truth: bool = False) -> str:
    """Return a table of paired differences to a baseline, of the means over volumes, classes and then seeds.

    Args:
        results: Runs of each variant.
        baseline: The variant to compare with.
        truth: Compare against the full truth instead of what was examined.

    Raises:
        InputError: If there is no such variant, or a run does not hold the Dice of each volume.
    """
    if baseline not in results:
        raise InputError(f"--baseline={baseline}: there is {', '.join(results)}")
    keys = sorted({key for runs in results.values() for run in runs for key in cells_of(run)})
    sums = {variant: [volume_sums(run, keys, truth) for run in runs] for variant, runs in results.items()}
    lines = [f"| variant | gain over {baseline} | 95 % interval over volumes |", "|---|---|---|"]
    for variant, runs in sorted(results.items(), key=lambda item: -rank(item[1], "last")):
        if variant != baseline:
            gain = paired_gain(sums[variant], sums[baseline])
            lines.append(f"| {variant} ({len(runs)}) | {gain.mean:+.3f} | {gain.low:+.3f} to {gain.high:+.3f} |")
    return "\n".join(lines)


def volume_sums(run: Mapping[str, Any], keys: Sequence[tuple[str, str]], truth: bool) -> CellSums:
    """Return the Dice of a run by volume and class, both in the order of ``keys``."""
    volumes, classes = (sorted({key[axis] for key in keys}) for axis in (0, 1))
    values = np.full((len(volumes), len(classes)), np.nan)
    for (volume, class_id), pair in cells_of(run).items():
        if (value := pair[int(truth)]) is not None:
            values[volumes.index(volume), classes.index(class_id)] = value
    return CellSums.of_values(values)


def cells_of(run: Mapping[str, Any]) -> dict[tuple[str, str], list[float | None]]:
    """Return ``{(volume, class): [dice, dice_truth]}`` of a run."""
    if not run.get("volumes"):
        raise InputError(f"a run of seed {run.get('seed')} holds no Dice of single volumes; run it again")
    return {(volume, class_id): pair for volume, row in run["volumes"].items() for class_id, pair in row.items()}


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
    parser = argparse.ArgumentParser(prog="python -m reports.results_table", description="Tables of finished runs.")
    parser.add_argument("folders", nargs="+", metavar="FOLDER", help="holds <variant>_seed<k>.json")
    parser.add_argument("--classes", action="store_true", help="add the slice-wise Dice of every class")
    parser.add_argument("--baseline", help="add the paired difference to this variant")
    parser.add_argument("--truth", action="store_true", help="take that difference against the truth")
    asked = parser.parse_args(arguments)
    try:
        for folder in asked.folders:
            results = read_results(Path(folder))
            print(f"{folder}\n\n{markdown_table(results, classes=asked.classes)}\n")
            if asked.baseline:
                print(f"{differences(results, asked.baseline, asked.truth)}\n")
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
