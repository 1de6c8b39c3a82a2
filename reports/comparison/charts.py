"""The charts of a comparison, as Plotly figures without colours: the page paints them for a light or a dark screen."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from html import escape
from typing import Any, TypeAlias

import plotly.graph_objects as go

from metrics.figures import FIGURES, LOGGED
from reports.comparison.classes import ClassGrid
from reports.comparison.keys import Group
from reports.comparison.runs import Run, evaluated
from reports.comparison.statistics import Gain, common_curves, mean_curve
from reports.run.curves import stage_starts
from reports.wording import plain

Figure: TypeAlias = dict[str, Any]
"""What Plotly.newPlot takes; a trace's ``meta.series`` is the number of its group."""

DASHES = ("solid", "dash", "dot", "dashdot")
COLUMN = 110
"""Pixels of a column of the picture of classes, at least."""
FEW = 10
"""Epochs up to which each has a tick of its own."""
COLOURS = 7
"""Colours of the page; groups beyond are told apart by dashes."""
COLOUR_OF, MUTED = {"better": 0, "worse": 1}, 6
"""The colours of gains that are more than noise, and of all others."""


def curve_charts(groups: Sequence[Group]) -> dict[str, Figure]:
    """Draw each Dice over the epochs: a line and a band of one deviation a group, and where stages begin.

    Runs that have not come to their end are thin dashed lines of their own: they count in no mean.
    """
    logged = {key for group in groups for run in group.runs for key in run.curves}
    return {figure.title: _curve_chart(groups, key) for key, figure in LOGGED.items() if key in logged}


def gain_chart(gains: Sequence[Gain]) -> Figure:
    """Draw the difference of each group to the baseline, with its intervals over patients and over seeds."""
    shown = [gain for gain in gains if gain.over_cases is not None and not math.isnan(gain.over_cases.mean)][::-1]
    figure = go.Figure()
    for place, gain in enumerate(shown):
        assert gain.over_cases is not None
        mean, low, high = gain.over_cases
        series = COLOUR_OF.get(gain.over_cases.outcome, MUTED)
        spans = {"seeds": gain.over_seeds, "patients": (low, high)}
        for name, span in spans.items():
            if span is not None:
                figure.add_scatter(
                    x=list(span), y=[place, place], mode="lines", hoverinfo="skip", showlegend=False,
                    line={"width": 2 if name == "seeds" else 7}, opacity=0.55 if name == "seeds" else 0.85,
                    meta={"series": series},
                )  # fmt: skip
        figure.add_scatter(
            x=[mean], y=[place], mode="markers", showlegend=False, meta={"ink": True},
            marker={"size": 11, "symbol": "diamond"},
            hovertemplate=f"{shown_text(gain.group)}<br>%{{x:+.4f}} ({low:+.4f} to {high:+.4f})<extra></extra>",
        )  # fmt: skip
    figure.add_vline(x=0, line_width=1.5)
    ticks = [wrapped(gain.group) for gain in shown]
    figure.update_yaxes(tickvals=list(range(len(shown))), ticktext=ticks, range=[-0.6, len(shown) - 0.4])
    ends = [0.0, *(end for gain in shown for end in (*(gain.over_seeds or ()), *(gain.over_cases or ())))]
    room = 0.04 * (max(ends) - min(ends))
    figure.update_xaxes(title="gain", zeroline=False, range=[min(ends) - room, max(ends) + room])
    return _plain(figure, height=110 + 46 * max(len(shown), 1))


def class_chart(grid: ClassGrid) -> Figure:
    """Draw the Dice of every class and group, light (0) to dark (1); silent classes and uncounted ones are marked."""
    figure = go.Figure(
        go.Heatmap(
            z=[[None if math.isnan(value) else value for value in row] for row in grid.dice],
            x=[wrapped(label, COLUMN // 7) for label in grid.groups],
            y=[plain(name) for name in grid.classes],
            text=grid.marks,
            texttemplate="%{text}", customdata=grid.notes, zmin=0, zmax=1, xgap=2, ygap=2, hoverongaps=True,
            hovertemplate="<b>%{y}</b>, %{x}<br>%{customdata}<extra></extra>", meta={"scale": True},
            showscale=False,
        )
    )  # fmt: skip
    figure.update_yaxes(autorange="reversed", showgrid=False, dtick=1)
    figure.update_xaxes(side="top", showgrid=False, tickangle=0)
    return _plain(figure, height=120 + 22 * len(grid.classes))


def cost_chart(groups: Sequence[Group], figure_name: str, part: str) -> Figure:
    """Draw what every finished run reached against how long it took."""
    figure = go.Figure()
    for series, group in enumerate(groups):
        runs = group.finished
        figure.add_scatter(
            x=[(run.results or {})["wall_seconds"] / 60 for run in runs],
            y=[run.figure(evaluated("last", part), figure_name) for run in runs],
            text=[f"seed {run.seed}" for run in runs], hovertemplate="%{text}: %{y:.4f} after %{x:.1f} min",
            mode="markers", marker={"size": 11, "symbol": series // COLOURS}, name=wrapped(group.label),
            meta={"series": series},
        )  # fmt: skip
    figure.update_xaxes(title="minutes on the clock", rangemode="tozero")
    figure.update_yaxes(title=FIGURES[figure_name].title)
    return _plain(figure, height=320)


def wrapped(label: str, width: int = 26) -> str:
    """Break a label into lines behind blanks and underscores, as HTML."""
    lines = [""]
    for piece in re.split(r"(?<=[ _])", label):
        if lines[-1] and len(lines[-1] + piece.rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    return "<br>".join(shown_text(line.rstrip()) for line in lines)


def shown_text(text: str) -> str:
    """Return a text as Plotly shows it letter by letter: it reads some HTML, but no quoted quotes."""
    return escape(text, quote=False)


def _curve_chart(groups: Sequence[Group], key: str) -> Figure:
    figure = go.Figure()
    for series, group in enumerate(groups):
        if curves := common_curves(group).get(key):
            epochs, mean, deviation = (values.tolist() for values in mean_curve(curves))
            _add_band(figure, series, epochs, mean, deviation)
            figure.add_scatter(
                x=epochs, y=mean, mode="lines+markers", name=wrapped(group.label), legendgroup=str(series),
                line={"width": 2.4, "dash": DASHES[series // COLOURS % 4]}, marker={"size": 5}, meta={"series": series},
                customdata=deviation, hovertemplate=f"%{{y:.4f}} ± %{{customdata:.4f}} (n={len(curves)})",
            )  # fmt: skip
        for run in group.runs:
            if key in run.curves and (not run.finished or len(group.finished) > 1):
                _add_run(figure, series, run, key)
    _mark_stages(figure, groups)
    last = max(float(run.curves[key][0][-1]) for group in groups for run in group.runs if key in run.curves)
    whole = {"dtick": 1} if last <= FEW else {}  # there is no half epoch
    figure.update_xaxes(title="epoch", rangemode="tozero", **whole)
    figure.update_yaxes(title=LOGGED[key].title, rangemode="tozero")
    figure.update_layout(hovermode="x unified")
    return _plain(figure, height=380)


def _add_band(figure: go.Figure, series: int, epochs: list[float], mean: list[float], deviation: list[float]) -> None:
    upper = [min(m + d, 1.0) for m, d in zip(mean, deviation, strict=True)]
    lower = [max(m - d, 0.0) for m, d in zip(mean, deviation, strict=True)]
    if any(deviation):
        figure.add_scatter(
            x=[*epochs, *epochs[::-1]], y=[*upper, *lower[::-1]], fill="toself", line={"width": 0}, mode="lines",
            legendgroup=str(series), showlegend=False, hoverinfo="skip", meta={"series": series, "band": True},
        )  # fmt: skip


def _add_run(figure: go.Figure, series: int, run: Run, key: str) -> None:
    """Draw a single run: faint behind its group's mean, or by its name where it is unfinished."""
    epochs, values = (column.tolist() for column in run.curves[key])
    figure.add_scatter(
        x=epochs, y=values, mode="lines", legendgroup=str(series), meta={"series": series, "run": run.name},
        name=f"{wrapped(run.name)} (unfinished)", showlegend=not run.finished, opacity=0.4 if run.finished else 0.8,
        line={"width": 1, "dash": "solid" if run.finished else "dash"},
        **({"hoverinfo": "skip"} if run.finished else {"hovertemplate": "%{y:.4f}"}),
    )  # fmt: skip


def _mark_stages(figure: go.Figure, groups: Sequence[Group]) -> None:
    """Draw a dotted line where a stage begins in any group, and name it; neighbours stand at different heights."""
    starts: dict[float, list[str]] = {}
    for group in groups:
        for epoch, name in stage_starts(group.runs[0].stages):
            if name not in starts.setdefault(epoch, []):
                starts[epoch].append(name)
    for number, (epoch, names) in enumerate(sorted(starts.items())):
        figure.add_vline(x=epoch, line_width=1, line_dash="dot")
        figure.add_annotation(
            x=epoch, y=1.0 - 0.06 * (number % 3), yref="paper", text=shown_text(", ".join(names)), showarrow=False,
            xanchor="left", yanchor="top", xshift=3, font={"size": 11},
        )  # fmt: skip


def _plain(figure: go.Figure, height: int) -> Figure:
    """Return a figure as plain values, with the layout that all share; NaN becomes null."""
    figure.update_layout(
        template="none", height=height, margin={"l": 8, "r": 12, "t": 16, "b": 8}, dragmode=False,
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0}, hoverlabel={"namelength": -1},
    )  # fmt: skip
    figure.update_xaxes(automargin=True)
    figure.update_yaxes(automargin=True)
    content: Figure = json.loads(figure.to_json())
    return content
