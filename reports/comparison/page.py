"""The page of a comparison: one file that opens offline."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from plotly.offline import get_plotlyjs

from metrics.figures import FIGURES, LOGGED
from reports import document
from reports.comparison import charts, tables
from reports.comparison.charts import Figure
from reports.comparison.classes import class_grids
from reports.comparison.comparison import Comparison
from reports.comparison.keys import ABSENT
from reports.comparison.panels import panel_sheet
from reports.comparison.script import SCRIPT, STYLE
from reports.document import Section

CHECKPOINTS = {
    "last": "Last checkpoint",
    "best": "Best checkpoint, chosen on these very cases, and so a little too good",
    "last_test": "Last checkpoint, test cases",
    "best_test": "Best checkpoint, test cases",
}
NOSCRIPT = "<noscript><p>The charts need JavaScript; the tables do not.</p></noscript>"
GAINS = (
    "The last checkpoints, case by case. Thick: the interval that holds 95 % of 2000 draws of patients, each with all "
    "its cases, the same ones for both sides (paired bootstrap). Thin: the 95 % interval over seeds (Welch). A gain is "
    "more than noise where neither holds 0."
)
CLASSES = (
    "Mean over the runs of a group, last checkpoint. “silent”: slices show the class, and no pixel of it was found. "
    "“-”: no examined slice shows the class and nothing was predicted, so nothing can be counted."
)
PANELS = (
    "The same cases, taken at even steps; the first run of each group. What nobody examined is hatched in the "
    "annotation and only outlined in the prediction."
)
COST = (
    "Means over the runs. Seconds and images a second are those of the fits, validations included, on a machine that "
    "may have been shared."
)


def write_comparison_page(comparison: Comparison, output: Path) -> Path:
    """Write the page and return its path."""
    gains = {name: charts.gain_chart(one) for name, one in comparison.gains.items()}
    parts: dict[str, Mapping[str, Figure]] = {
        "curves": charts.curve_charts(comparison.groups),
        "gains": {FIGURES[name].title: figure for name, figure in gains.items() if figure["data"]},
        "classes": {name: charts.class_chart(grid) for name, grid in class_grids(comparison.groups).items()},
        "cost": {"": charts.cost_chart(comparison.groups, comparison.figure, comparison.part)},
    }
    sections = [*_results(comparison, parts), *_classes(comparison, parts), *_again(comparison)]
    groups, runs = len(comparison.groups), len(comparison.runs)
    keys = ", ".join(comparison.groups[0].keys) or "nothing: they differ in the seed alone"
    cases = "test cases" if comparison.part == "test" else "validation cases"
    subtitle = f"{runs} runs in {groups} groups by {keys}; baseline: {comparison.baseline.label}; {cases}"
    return document.write_document(output, "Comparison of runs", subtitle, sections, _head(comparison, parts))


def embedded(comparison: Comparison, parts: Mapping[str, Mapping[str, Figure]]) -> dict[str, Any]:
    """Return everything that the page knows, in full precision, as plain values; null where nothing was counted."""
    return {
        "figure": comparison.figure,
        "part": comparison.part,
        "baseline": comparison.baseline.label,
        "groups": [{"label": g.label, "keys": g.keys, "runs": [run.name for run in g.runs]} for g in comparison.groups],
        "runs": [
            {
                "name": run.name,
                "seed": run.seed,
                "finished": run.finished,
                "figures": (run.results or {}).get("figures", {}),
                "curves": {
                    key: {"epoch": curve[0].tolist(), "value": curve[1].tolist()}
                    for key, curve in run.curves.items()
                    if key in LOGGED or key.startswith("pseudo/")
                },
            }
            for run in comparison.runs
        ],
        "gains": {
            name: [
                {
                    "group": gain.group,
                    "over_cases": gain.over_cases,
                    "over_seeds": gain.over_seeds,
                    "says": gain.verdict,
                }
                for gain in gains
            ]
            for name, gains in comparison.gains.items()
        },
        "charts": parts,
    }


def _head(comparison: Comparison, parts: Mapping[str, Mapping[str, Figure]]) -> str:
    text = json.dumps(without_nan(embedded(comparison, parts)), allow_nan=False, separators=(",", ":"))
    inert = text.replace("<", "\\u003c")  # nothing in it may end the script
    return (
        f"<style>\n{STYLE}\n</style>\n<script>{get_plotlyjs()}</script>\n"
        f'<script type="application/json" id="comparison">{inert}</script>\n<script>\n{SCRIPT}\n</script>\n'
    )


def _results(comparison: Comparison, parts: Mapping[str, Mapping[str, Figure]]) -> list[Section]:
    notes = "".join(f"<li>{escape(note)}</li>" for note in comparison.notes)
    says = tables.gain_rows(comparison.gains[comparison.figure])
    head = ["group", "runs", FIGURES[comparison.figure].title, "gain", "is it noise?"]
    unvalidated = document.paragraph("No run was validated while it trained.")
    found = [
        Section("In short", f'<div class="short">{_says(document.table(head, tables.short_rows(comparison)))}</div>'),
        Section("Curves", NOSCRIPT + (_chart("curves", parts) or unvalidated)),
        Section("Figures", _figures(comparison)),
    ]
    if notes:
        found.insert(1, Section("To read this right", f'<ul class="notes">{notes}</ul>'))
    if len(comparison.groups) > 1:
        head = [FIGURES[comparison.figure].title, "gain", "95 % over patients", "95 % over seeds", "is it noise?"]
        body = document.paragraph(GAINS) + _chart("gains", parts) + _says(document.table(head, says))
        found.append(Section(f"Gain over {comparison.baseline.label}", body))
    return found


def _figures(comparison: Comparison) -> str:
    ranked, body = tables.ranked(comparison), ""
    for checkpoint in tables.checkpoints_of(comparison.runs):
        names = tables.figure_names(comparison.runs, checkpoint)
        head = ["group", "runs", *(FIGURES[name].heading for name in names)]
        rows = tables.figure_rows(ranked, checkpoint, names)
        body += f"<h3>{escape(CHECKPOINTS.get(checkpoint, checkpoint))}</h3>" + document.table(head, rows)
    return body or document.paragraph("No run has come to its end.")


def _classes(comparison: Comparison, parts: Mapping[str, Mapping[str, Figure]]) -> list[Section]:
    groups, found = comparison.groups, []
    if parts["classes"]:
        found.append(
            Section(
                "Classes", document.paragraph(CLASSES) + _chart("classes", parts, 150 + charts.COLUMN * len(groups))
            )
        )
    titles, rounds = tables.pseudo_rows(groups)
    if rounds:
        found.append(Section("Pseudo-labels", document.table(["group", *titles], rounds)))
    rows = tables.cost_rows(groups)
    shown = [i for i in range(len(tables.COST)) if any(row[1 + i] != ABSENT for row in rows)]
    head = ["group", *(tables.COST[i] for i in shown)]
    costs = document.table(head, [[row[0], *(row[1 + i] for i in shown)] for row in rows])
    body = document.paragraph(COST) + costs + _chart("cost", parts)
    found.append(Section("Cost", body))
    if sheet := panel_sheet(groups):
        found.append(Section("Cases", document.paragraph(PANELS) + sheet))
    return found


def _again(comparison: Comparison) -> list[Section]:
    groups = comparison.groups
    typed, brought = tables.key_rows(groups)
    head = ["key", *(group.label for group in groups)]
    keys = f'<div class="lefts">{document.table(head, typed)}</div>'
    if brought:
        more = f'<div class="lefts">{document.table(head, brought)}</div>'
        keys += f"<details><summary>{len(brought)} more that these bring with them</summary>{more}</details>"
    runs = document.table(["run", "group", "seed", "state", "last", "best"], tables.run_rows(comparison))
    for group in groups:
        lines = "\n".join(f"# {run.name}\n{run.command}" for run in group.runs)
        runs += (
            f'<details><summary>Make {escape(group.label)} again</summary><pre class="commands">{escape(lines)}</pre>'
        )
        runs += "</details>"
    return [Section("In what they differ", keys if typed or brought else document.paragraph("In the seed alone.")),
            Section("Runs", runs)]  # fmt: skip


def _chart(name: str, parts: Mapping[str, Mapping[str, Figure]], width: int = 0) -> str:
    """Return the place of a chart, with a button for each of its views; nothing where there is none."""
    views = list(parts[name])
    if not views:
        return ""
    pressed = ("true", *["false"] * len(views))
    buttons = "".join(
        f'<button type="button" aria-pressed="{state}">{escape(view)}</button>'
        for view, state in zip(views, pressed, strict=False)
    )
    bar = f'<div class="views">{buttons}</div>' if len(views) > 1 else ""
    plot = f'<div class="wide"><div class="plot" style="min-width:{width}px"></div></div>'
    return f'<div class="chart" data-chart="{name}" data-view="{escape(views[0])}">{bar}{plot}</div>'


def _says(table: str) -> str:
    return f'<div class="says">{table}</div>'


def without_nan(value: Any) -> Any:
    """Replace what JSON has no word for by null, at any depth."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    return [without_nan(item) for item in value] if isinstance(value, (list, tuple)) else value
