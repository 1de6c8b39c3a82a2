"""Gathers what lies in a run directory into its page."""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from partial_labels.pseudo_store import find_rounds
from reports import document
from reports.document import Section
from reports.evaluation.page import write_evaluation_page
from reports.run.curves import draw_curves, stage_starts
from reports.run.report import write_report
from reports.tables import cell_text, read_class_table


def write_run_page(run_dir: str | Path) -> Path:
    """Draw ``curves.png``, take the last checkpoint's table and pictures, and write the pages.

    ``report.html`` is the run's; every evaluation at its end has an ``evaluation.html`` of its own.

    Args:
        run_dir: The directory of a finished run.
    """
    run = Path(run_dir)
    results: dict[str, Any] = json.loads((run / "results.json").read_text(encoding="utf-8"))
    draw_curves(run / "metrics.csv", run / "curves.png", stage_starts(results["stages"]))
    last = run / "evaluation" / "last"
    for name in ("classes.csv", "panels.png", "attention.png"):
        if (last / name).is_file():
            shutil.copyfile(last / name, run / name)
    return write_report(
        run,
        results["experiment"] or "Partial-label training",
        summary(results),
        read_class_table(run / "classes.csv") if (run / "classes.csv").is_file() else [],
        split_sizes(run / "split.csv"),
        (run / "command.txt").read_text(encoding="utf-8").strip(),
        [
            *evaluation_section(run, list(results["figures"])),
            *(pseudo_label_section(name, folder) for name, folder in find_rounds(run).items()),
        ],
    )


def evaluation_section(run: Path, names: Sequence[str]) -> list[Section]:
    """Write the pages of the evaluations that a run ended with, and name them.

    Args:
        run: The run directory.
        names: The evaluations, as ``last`` and ``best``.
    """
    folders = [run / "evaluation" / name for name in names]
    pages = [write_evaluation_page(folder) for folder in folders if (folder / "evaluation.json").is_file()]
    links = (f'<li><a href="{page.relative_to(run).as_posix()}">{page.parent.name}</a></li>' for page in pages)
    text = "Silent classes, false alarms, left and right, worst cases and confidence have pages of their own:"
    return [Section("In detail", f"{document.paragraph(text)}<ul>{''.join(links)}</ul>")] if pages else []


def pseudo_label_section(stage: str, folder: Path) -> Section:
    """Show what a stage's teacher filled in: figures per class, and the surest and least sure cases."""
    with (folder / "quality.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = list(csv.reader(file))
    texts = [[row[0], *(cell_text(float(cell)) if "." in cell else cell or "-" for cell in row[1:])] for row in rows]
    body = document.table([title.replace("_", " ") for title in header], texts)
    if (folder / "panels.png").is_file():
        body += document.picture(folder / "panels.png", f"pseudo-labels of {stage}")
    return Section(f"Pseudo-labels of stage {stage}", body)


def summary(results: dict[str, Any]) -> dict[str, str | float]:
    """Return the figures of the last checkpoint, the best beside them, and what the run cost."""
    figures = results["figures"]
    shown: dict[str, str | float] = {f"val/{key}": value for key, value in figures["last"].items() if "/" not in key}
    best = figures["best"]
    shown["best checkpoint"] = (
        f"dice {best['dice']:.3f}, dice_volume {best['dice_volume']:.3f} (selected on these cases)"
    )
    shown["steps"] = str(results["steps"])
    shown["training time"] = f"{results['wall_seconds']:.0f} s ({results['cpu_seconds']:.0f} s of processor time)"
    return shown


def split_sizes(path: Path) -> dict[str, dict[str, int]]:
    """Count the cases, groups and volumes of each part in ``split.csv``."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    parts = Counter(row["part"] for row in rows if row["part"])
    sizes: dict[str, dict[str, int]] = {}
    for part, cases in parts.items():
        mine = [row for row in rows if row["part"] == part]
        sizes[part] = {"cases": cases} | {f"{what}s": len({row[what] for row in mine}) for what in ("group", "volume")}
        if part == "train":
            sizes[part]["labeled cases"] = sum(row["labels"] == "labeled" for row in mine)
    return sizes
