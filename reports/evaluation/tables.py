"""The tables of an evaluation's page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

import numpy as np

from metrics.figures import FIGURES
from metrics.partial_dice import ClassRow
from metrics.reliability import calibration_error
from partial_labels.classes import Color
from reports.document import Markup, table
from reports.evaluation.evaluation import Evaluation
from reports.tables import ALARMS, COUNT_COLUMNS, DICE_COLUMNS, cell_text
from reports.wording import plain

MOST_CONFUSED = 12
"""Rows of the table of confusions."""


def class_table(one: Evaluation) -> str:
    """Return every class, the worst first, with all that was measured of it; a column that says nothing is left out."""
    rows = sorted(one.rows, key=lambda row: (row.name not in one.silent, math.isnan(row.dice), row.dice, row.name))
    kept = [(head, meaning, cells) for head, meaning, cells in class_columns(one, rows) if set(cells) != {"-"}]
    heads, meanings, columns = zip(*kept, strict=True)
    fractions = [*(column.title for column in DICE_COLUMNS), FIGURES["nsd"].heading]
    bars = [i for i, head in enumerate(heads) if head in fractions]
    return table(heads, zip(*columns, strict=True), meanings, bars)


def class_columns(one: Evaluation, rows: Sequence[ClassRow]) -> Iterator[tuple[str, str, list[str]]]:
    """Yield heading, meaning and cells of each column."""
    colors = dict(zip(one.classes.names, one.classes.colors, strict=True))
    yield "class", "", [class_name(row.name, colors[row.name], row.name in one.silent) for row in rows]
    for column in DICE_COLUMNS:
        yield column.title, column.meaning, [cell_text(getattr(row, column.name)) for row in rows]
    distance, nsd = FIGURES[one.distance], FIGURES["nsd"]
    yield distance.heading, distance.of_class, figures_of(one, one.distance, rows, 1)
    yield nsd.heading, f"{nsd.of_class[:-1]}, {tolerance(one)}.", figures_of(one, "nsd", rows, 3)
    for column in COUNT_COLUMNS:
        yield column.title, column.meaning, [cell_text(getattr(row, column.name)) for row in rows]
    yield ALARMS.title, ALARMS.meaning, [alarms(row) for row in rows]
    yield "ECE", "Distance between how sure and how often right.", [class_error(one, row.name) for row in rows]


def class_name(name: str, color: Color, silent: bool = False) -> Markup:
    """Return a class's name with its colour, and with a mark where nothing of it was found."""
    mark = ' <em class="mark">silent</em>' if silent else ""
    return Markup(f'<span class="named" style="--color:rgb{color}">{escape(plain(name))}{mark}</span>')


def figures_of(one: Evaluation, key: str, rows: Sequence[ClassRow], digits: int) -> list[str]:
    """Return a figure of every class; a dash where it could not be counted."""
    values = [one.figure(f"{key}/{row.name}") for row in rows]
    return ["-" if math.isnan(value) else f"{value:.{digits}f}" for value in values]


def tolerance(one: Evaluation) -> str:
    """Return the tolerance of the normalised surface Dice."""
    return f"{one.record['nsd_tolerance_mm']:g} mm" if one.distance == "hd95_mm" else "1 pixel"


def alarms(row: ClassRow) -> str:
    """Return in how many of the slices that certainly lack a class it was predicted."""
    return f"{row.false_positives} ({row.false_positives / row.absent:.0%})" if row.absent else "-"


def class_error(one: Evaluation, name: str) -> str:
    """Return the calibration error of a class; a dash where no pixel of it can be judged."""
    number = one.classes.names.index(name)
    return cell_text(calibration_error([b for b in one.bins if b.class_id == number]))


def sides_table(one: Evaluation) -> str:
    """Return how much of each structure was called by the name of the one on the other side, the most first.

    Pairs that were never exchanged are left out; empty where none was.
    """
    pairs = [pair for pair in one.classes.pairs if set(pair) <= {*one.known}]
    shares = {pair: exchanged(one, *pair) for pair in pairs}
    ranked = sorted(shares.items(), key=lambda item: -np.nanmax([0.0, *item[1]]))
    rows = [
        [*(class_name(one.classes.names[i], one.classes.colors[i]) for i in pair),
         *("-" if math.isnan(share) else f"{100 * share:.1f} %" for share in both)]
        for pair, both in ranked if any(share > 0 for share in both)
    ]  # fmt: skip
    titles = ["left", "right", "left called right", "right called left"]
    notes = ["", "", "Share of the left one's drawn pixels.", "Share of the right one's drawn pixels."]
    return f'<div class="names">{table(titles, rows, notes)}</div>' if rows else ""


def exchanged(one: Evaluation, left: int, right: int) -> tuple[float, float]:
    """Return which share of each structure's drawn pixels was predicted as the other's; NaN where none was drawn."""
    assert one.confusion is not None
    totals = one.confusion.sum(axis=1)
    there, back = one.confusion[left, right], one.confusion[right, left]
    return (
        float(there / totals[left]) if totals[left] else math.nan,
        float(back / totals[right]) if totals[right] else math.nan,
    )


def confusion_table(one: Evaluation) -> str:
    """Return the structures that were most often taken for another; empty where that never happened."""
    assert one.confusion is not None
    counts = one.confusion[:-1].copy()
    totals = counts.sum(axis=1)
    np.fill_diagonal(counts, 0)
    counts[0], counts[:, 0] = 0, 0
    counts[[i for i in range(1, len(counts)) if i not in one.known]] = 0
    order = np.argsort(-counts, axis=None, kind="stable")[:MOST_CONFUSED]
    names, colors = one.classes.names, one.classes.colors
    rows = [
        [class_name(names[i], colors[i]), class_name(names[j], colors[j]),
         f"{100 * counts[i, j] / totals[i]:.1f} %", f"{counts[i, j]:,}"]
        for i, j in zip(*np.unravel_index(order, counts.shape), strict=True) if counts[i, j]
    ]  # fmt: skip
    titles = ["drawn", "taken for", "of its pixels", "pixels"]
    return f'<div class="names">{table(titles, rows)}</div>' if rows else ""
