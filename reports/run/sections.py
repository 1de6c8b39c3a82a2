"""What the page of a run consists of; a part of which the run has left nothing is left out."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metrics.figures import LOGGED
from reports import document
from reports.document import Section
from reports.files import reading
from reports.tables import cell_text, class_columns, read_class_table

PICTURES = (
    ("Curves", "curves.png", ""),
    (
        "Cases",
        "panels.png",
        "What nobody examined is neither right nor wrong: it is hatched in the annotation where the truth is known, "
        "and only outlined in the prediction.",
    ),
    (
        "Attention",
        "attention.png",
        "What the network's gates let through, from dark (least) to light (most); the numbers give the ends.",
    ),
)
"""Title, file in the run directory, and what to say of it."""


def headline(results: Mapping[str, Any]) -> Section:
    """Return the Dice of the last checkpoint with what they mean, and other facts of the run.

    Args:
        results: What ``results.json`` holds.
    """
    last = {f"val/{name}": value for name, value in results["figures"]["last"].items() if "/" not in name}
    figures = [(cell_text(last[key]), key, figure.meaning) for key, figure in LOGGED.items() if key in last]
    return Section("Result", document.cards(figures) + document.facts(facts(results, last)))


def facts(results: Mapping[str, Any], last: Mapping[str, float]) -> dict[str, str]:
    """Return the other figures of the last checkpoint, the best beside them, and what the run cost."""
    counted = {"classes counted": f"{last['val/dice_classes']:.0f}"} if "val/dice_classes" in last else {}
    others = {key: cell_text(value) for key, value in last.items() if key not in (*LOGGED, "val/dice_classes")}
    best = results["figures"]["best"]
    return {
        **counted,
        **others,
        "best checkpoint": f"dice {best['dice']:.3f}, dice_volume {best['dice_volume']:.3f} (selected on these cases)",
        "steps": str(results["steps"]),
        "training time": f"{results['wall_seconds']:.0f} s ({results['cpu_seconds']:.0f} s of processor time)",
    }


def class_section(classes_csv: Path) -> list[Section]:
    """Show the table of classes."""
    rows = read_class_table(classes_csv) if classes_csv.is_file() else []
    columns = class_columns(rows)
    texts = [[cell_text(getattr(row, column.name)) for column in columns] for row in rows]
    bars = [i for i, column in enumerate(columns) if column.name.startswith("dice")]
    table = document.table([c.title for c in columns], texts, [c.meaning for c in columns], bars)
    return [Section(f"{len(rows)} classes", table)] if rows else []


def pictures(run: Path) -> list[Section]:
    """Show the pictures that lie in a run directory."""
    return [
        Section(title, (document.paragraph(note) if note else "") + document.picture(run / file, title))
        for title, file, note in PICTURES
        if (run / file).is_file()
    ]


def split_section(split_csv: Path) -> list[Section]:
    """Show how many cases, groups and volumes each part of the split has."""
    sizes = split_sizes(split_csv)
    return [Section("Split", document.count_table("part", sizes))] if sizes else []


def split_sizes(path: Path) -> dict[str, dict[str, int]]:
    """Count the cases, groups and volumes of each part in ``split.csv``."""
    with reading(path), path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
        parts = Counter(row["part"] for row in rows if row["part"])
    sizes: dict[str, dict[str, int]] = {}
    for part, cases in parts.items():
        mine = [row for row in rows if row["part"] == part]
        sizes[part] = {"cases": cases} | {f"{what}s": len({row[what] for row in mine}) for what in ("group", "volume")}
        if part == "train":
            sizes[part]["labeled cases"] = sum(row["labels"] == "labeled" for row in mine)
    return sizes


def evaluation_section(run: Path, pages: Sequence[Path]) -> list[Section]:
    """Name the pages of the evaluations that a run ended with."""
    links = (f'<li><a href="{page.relative_to(run).as_posix()}">{page.parent.name}</a></li>' for page in pages)
    text = "Silent classes, false alarms, left and right, worst cases and confidence have pages of their own:"
    return [Section("In detail", f"{document.paragraph(text)}<ul>{''.join(links)}</ul>")] if pages else []


def pseudo_label_section(stage: str, folder: Path) -> Section:
    """Show what a stage's teacher filled in: figures per class, and the surest and least sure cases."""
    with reading(folder / "quality.csv"), (folder / "quality.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = list(csv.reader(file))
        texts = [[row[0], *(cell_text(float(one)) if "." in one else one or "-" for one in row[1:])] for row in rows]
    body = document.table([title.replace("_", " ") for title in header], texts)
    if (folder / "panels.png").is_file():
        body += document.picture(folder / "panels.png", f"pseudo-labels of {stage}")
    return Section(f"Pseudo-labels of stage {stage}", body)


def again(run: Path) -> Section:
    """Show what was typed, and the configuration that it became."""
    body = document.command_line((run / "command.txt").read_text(encoding="utf-8").strip())
    body += document.folded("config.yaml", (run / "config.yaml").read_text(encoding="utf-8"))
    return Section("Make it again", body)
