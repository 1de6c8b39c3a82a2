"""How a run went, as one picture: losses, validation Dice, every class, learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from reports.pictures.style import GRID, INK, MUTED, SERIES, SMALL, new_figure, quiet, save
from reports.run.curves import Curve, Floats, class_curves, dice_curves, loss_curves, read_curves
from reports.wording import plain

COLUMNS = 5
"""Entries in a line of a legend."""
LEFT, RIGHT, FLAT, ROW = 6.0, 4.2, 6.8, 0.17
"""Inches: width of the charts and of the class picture, their least height, least height of a class."""


def draw_curves(metrics_csv: Path, output: Path, starts: Sequence[tuple[float, str]] = ()) -> Path:
    """Draw the curves of a run from what Lightning's ``CSVLogger`` wrote.

    Columns that were not logged leave an empty chart, so that a run stopped after its first epoch has a picture too.

    Args:
        metrics_csv: The logger's ``metrics.csv``.
        output: The PNG to write.
        starts: How many epochs were over when each stage began, and its name.
    """
    curves = read_curves(metrics_csv)
    per_class = class_curves(curves)
    height = max(FLAT, ROW * len(per_class) + 2.5)
    figure = new_figure(LEFT + RIGHT, height, ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12))
    grid = figure.add_gridspec(1, 2, width_ratios=(LEFT, RIGHT))
    losses, dice = grid[0].subgridspec(2, 1).subplots()
    share = max(0.5, ROW * len(per_class) / height)
    table, rate = grid[1].subgridspec(2, 1, height_ratios=(share, 1 - share)).subplots()
    _draw_lines(losses, "loss", loss_curves(curves))
    _draw_lines(dice, "validation Dice", dice_curves(curves))
    _draw_lines(rate, "learning rate", {key: curve for key, curve in curves.items() if key.startswith("lr-")})
    _draw_classes(table, per_class)
    last = max((float(epochs[-1]) for epochs, _ in curves.values()), default=0.0) or 1.0
    for axes in (losses, dice, rate):
        axes.set_xlim(-0.01 * last, 1.01 * last)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        _mark_stages(axes, starts, named=axes is not rate)
    return save(figure, output)


def _draw_lines(axes: Axes, title: str, curves: Mapping[str, Curve]) -> None:
    quiet(axes, title, pad=8 + 14 * -(-len(curves) // COLUMNS))
    axes.set_xlabel("epoch", fontsize=SMALL, color=MUTED)
    for i, (name, (epochs, values)) in enumerate(curves.items()):
        thin = title == "validation Dice" and i > 1
        axes.plot(
            epochs,
            values,
            label=f"{name} {_last(values):{'.3f' if title == 'validation Dice' else '.3g'}}",
            color=SERIES[i % len(SERIES)],
            linewidth=1.1 if thin else 1.9,
            linestyle="--" if thin else "-",
            marker="o" if len(values) < 3 else None,
            markersize=4,
            clip_on=False,
        )
    if curves:
        place = {"loc": "lower left", "bbox_to_anchor": (-0.01, 1.0), "borderaxespad": 0.2, "ncols": COLUMNS}
        form = {"fontsize": SMALL, "frameon": False, "labelcolor": INK, "handlelength": 1.5, "columnspacing": 1.2}
        axes.legend(**place, **form).set_in_layout(False)
    else:
        _say_nothing(axes)
    if title == "validation Dice":
        axes.set_ylim(0, 1)
    elif title == "loss" and _spans_decades(curves):
        axes.set_yscale("log")


def _spans_decades(curves: Mapping[str, Curve]) -> bool:
    values = np.concatenate([v[np.isfinite(v)] for _, v in curves.values()] or [np.ones(1)])
    return len(values) > 0 and bool(0 < 50 * values.min() < values.max())


def _last(values: Floats) -> float:
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if len(finite) else math.nan


def _mark_stages(axes: Axes, starts: Iterable[tuple[float, str]], named: bool) -> None:
    for epoch, name in starts:
        axes.axvline(epoch, color=MUTED, linewidth=0.9, linestyle=":")
        if named:
            axes.annotate(name, (epoch, 1), xycoords=("data", "axes fraction"), xytext=(4, -2), va="top",
                          textcoords="offset points", fontsize=SMALL, color=MUTED)  # fmt: skip


def _draw_classes(axes: Axes, curves: Mapping[str, Curve]) -> None:
    """Draw one row a class and one column a validation, from light (0) to dark (1)."""
    quiet(axes, "Dice of each class", grid=False)
    axes.set_xlabel("epoch", fontsize=SMALL, color=MUTED)
    if not curves:
        return _say_nothing(axes)
    at = np.unique(np.concatenate([epochs for epochs, _ in curves.values()]))
    table = np.full((len(curves), len(at)), math.nan)
    for row, (epochs, values) in enumerate(curves.values()):
        table[row, np.searchsorted(at, epochs)] = values
    axes.set_facecolor(GRID)
    axes.imshow(table, vmin=0, vmax=1, cmap="YlGnBu", aspect="auto", interpolation="nearest")
    size = SMALL if len(curves) < 40 else 6.5
    axes.set_yticks(range(len(curves)), [plain(name) for name in curves], fontsize=size)
    shown = np.unique(np.linspace(0, len(at) - 1, min(4, len(at))).round().astype(int))
    axes.set_xticks(shown, [f"{at[i]:.3g}" for i in shown])
    for row, value in enumerate(table[:, -1]):
        text = "-" if math.isnan(value) else f"{value:.2f}"
        place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "xytext": (4, 0), "va": "center"}
        axes.annotate(text, (1, row), textcoords="offset points", fontsize=size, color=INK, **place)


def _say_nothing(axes: Axes) -> None:
    axes.text(0.5, 0.5, "not logged", transform=axes.transAxes, ha="center", color=MUTED, fontsize=SMALL)
    axes.set_yticks([])
    axes.set_xticks([])
