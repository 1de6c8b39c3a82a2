"""Compare runs without an account: ``python compare.py RUN_OR_SWEEP_DIR...``.

Prints a table, and writes ``compare.html``: Dice curves with bands over seeds, which differences are more than noise,
classes, cost, pseudo-labels, cases side by side. The page is complete in itself and opens offline.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from reports.comparison.run_directories import find_runs
from runs.cli import EXPECTED, explain


def arguments(typed: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python compare.py", description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument(
        "directories", nargs="+", metavar="RUN_OR_SWEEP_DIR", help="sweeps are taken apart into their jobs"
    )
    parser.add_argument("--group-by", nargs="+", default=(), metavar="KEY", help="keys of the config, such as ssl.name "
                        "model._target_; default: those in which the runs differ, seed aside")  # fmt: skip
    parser.add_argument(
        "--baseline", metavar="GROUP", help="its label, or a value that it alone has; default: the first"
    )
    parser.add_argument("--figure", choices=("dice", "dice_volume"), help="what counts; default: what was monitored")
    parser.add_argument(
        "--output", type=Path, default=Path("compare.html"), metavar="FILE", help="default: compare.html"
    )
    return parser.parse_args(typed)


def main(typed: Sequence[str]) -> int:
    """Print the table, write the page, and return the exit code."""
    asked = arguments(typed)
    try:
        for directory in asked.directories:
            find_runs(Path(directory))  # before the libraries load: a wrong name is answered at once
        from rich.console import Console

        from reports.comparison.comparison import compare
        from reports.comparison.output import write_page
        from reports.comparison.tables import print_comparison

        comparison = compare(asked.directories, asked.group_by, asked.baseline, asked.figure)
        print_comparison(comparison, Console())
        print(f"page: {write_page(comparison, asked.output)}")
    except EXPECTED as error:
        print(f"error: {explain(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
