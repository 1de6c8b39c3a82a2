"""What an experiment's comment promises is what was recorded."""

from __future__ import annotations

import json
import re
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXPERIMENTS = sorted((ROOT / "conf" / "experiment").glob("*.yaml"))
PROMISE = re.compile(r"^#   val/(\w+) ([\d.]+) in (\d+) min: .+ \((\w+)/(\w+)\)$", re.MULTILINE)
"""Figure, its value, processor time, and the row of which table says so."""


def comment(path: Path) -> str:
    return path.read_text(encoding="utf-8").partition("\ndefaults:")[0]


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_an_experiment_says_how_it_is_run_and_what_to_expect(path: Path) -> None:
    text = comment(path)
    assert "train.py" in text and "Expected" in text
    assert text.count("\n#   ") == len(PROMISE.findall(text)), "every line of figures is checked below"


@pytest.mark.parametrize("path", [path for path in EXPERIMENTS if PROMISE.search(comment(path))], ids=lambda p: p.stem)
def test_what_an_experiment_promises_was_measured(path: Path) -> None:
    for name, value, minutes, table, row in PROMISE.findall(comment(path)):
        found = (ROOT / "docs" / "results" / table).glob(f"{row}_seed*.json")
        runs = [json.loads(file.read_text(encoding="utf-8")) for file in found]
        assert f"{statistics.fmean(run['figures']['last'][name] for run in runs):.3f}" == value, row
        spent = [run["cpu_seconds"] / 60 for run in runs]
        assert min(spent) - 0.5 <= float(minutes) <= max(spent) + 0.5, row
