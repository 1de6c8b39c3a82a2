"""The one page of a run: headline figures, classes, curves, pictures, and how to make it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from metrics.figures import LOGGED
from metrics.partial_dice import ClassRow
from reports import document
from reports.document import Section
from reports.tables import cell_text, class_columns

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


def write_report(
    run_dir: Path,
    title: str,
    summary: Mapping[str, str | float],
    rows: Sequence[ClassRow] = (),
    parts: Mapping[str, Mapping[str, int]] | None = None,
    command: str = "",
    sections: Sequence[Section] = (),
) -> Path:
    """Write ``report.html``, complete in itself, from what lies in a run directory.

    The pictures of ``PICTURES`` and ``config.yaml`` are taken in where they are there.

    Args:
        run_dir: The run directory.
        title: Heading.
        summary: Figures by log key, which become the headline with what they mean, and other facts of the run.
        rows: The class table.
        parts: Sizes of each part of the split, such as ``{"train": {"cases": 640, "patients": 80}}``.
        command: What to type to make the run again.
        sections: More to say, put before the configuration.
    """
    found = [_headline(summary)]
    if rows:
        found.append(Section(f"{len(rows)} classes", _class_table(rows)))
    for name, file, note in PICTURES:
        if (run_dir / file).is_file():
            found.append(
                Section(name, (document.paragraph(note) if note else "") + document.picture(run_dir / file, name))
            )
    if parts:
        found.append(Section("Split", part_table(parts)))
    found += [*sections, *_again(run_dir, command)]
    return document.write_document(run_dir / "report.html", title, str(run_dir.name), found)


def part_table(parts: Mapping[str, Mapping[str, int]]) -> str:
    """Return the sizes of the parts of a split as a table; a size that a part does not have is left open."""
    sizes = list(dict.fromkeys(size for counts in parts.values() for size in counts))
    rows = [[name, *(str(counts.get(size, "-")) for size in sizes)] for name, counts in parts.items()]
    return document.table(["part", *sizes], rows)


def _headline(summary: Mapping[str, str | float]) -> Section:
    facts = {key: cell_text(value) for key, value in summary.items() if key not in (*LOGGED, "val/dice_classes")}
    if "val/dice_classes" in summary:
        facts = {"classes counted": f"{float(summary['val/dice_classes']):.0f}"} | facts
    figures = [(cell_text(summary[key]), key, figure.meaning) for key, figure in LOGGED.items() if key in summary]
    return Section("Result", document.cards(figures) + (document.facts(facts) if facts else ""))


def _class_table(rows: Sequence[ClassRow]) -> str:
    columns = class_columns(rows)
    texts = [[cell_text(getattr(row, column.name)) for column in columns] for row in rows]
    bars = [i for i, column in enumerate(columns) if column.name.startswith("dice")]
    return document.table([c.title for c in columns], texts, [c.meaning for c in columns], bars)


def _again(run_dir: Path, command: str) -> list[Section]:
    body = document.command_line(command) if command else ""
    config = run_dir / "config.yaml"
    if config.is_file():
        body += document.folded("config.yaml", config.read_text(encoding="utf-8"))
    return [Section("Make it again", body)] if body else []
