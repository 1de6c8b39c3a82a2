"""The one page of a run: headline figures, classes, curves, pictures, and how to make it again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from partial_labels.pseudo_store import find_rounds
from reports import document
from reports.evaluation.page import write_evaluation_page
from reports.files import reading
from reports.run import sections
from reports.run.curves import stage_starts
from reports.run.curves_picture import draw_curves

TITLE = "Partial-label training"
"""Of a run that is none of a named experiment."""


def write_run_page(run_dir: str | Path) -> Path:
    """Draw ``curves.png``, take the last checkpoint's table and pictures, and write the pages.

    ``report.html`` is the run's; every evaluation at its end has an ``evaluation.html`` of its own.

    Args:
        run_dir: The directory of a finished run.
    """
    run = Path(run_dir)
    with reading(run / "results.json"):
        results: dict[str, Any] = json.loads((run / "results.json").read_text(encoding="utf-8"))
    draw_curves(run / "metrics.csv", run / "curves.png", stage_starts(results["stages"]))
    last = run / "evaluation" / "last"
    for name in ("classes.csv", "panels.png", "attention.png"):
        if (last / name).is_file():
            shutil.copyfile(last / name, run / name)
    folders = [run / "evaluation" / name for name in results["figures"]]
    evaluations = [write_evaluation_page(folder) for folder in folders if (folder / "evaluation.json").is_file()]
    found = [
        sections.headline(results),
        *sections.class_section(run / "classes.csv"),
        *sections.pictures(run),
        *sections.split_section(run / "split.csv"),
        *sections.evaluation_section(run, evaluations),
        *(sections.pseudo_label_section(stage, folder) for stage, folder in find_rounds(run).items()),
        sections.again(run),
    ]
    return document.write_document(run / "report.html", results["experiment"] or TITLE, run.name, found)
