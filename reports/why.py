"""Why unknown is not background, in one picture: ``python -m reports.why STORE_DIR OUTPUT.png [--case NAME]``."""

from __future__ import annotations

import argparse
import itertools
import textwrap
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from partial_labels.case_store import CaseStore
from partial_labels.errors import InputError
from reports.pictures.canvas import Canvas
from reports.pictures.known_slice import VISIBLE, Slice, case_named, centre, choose_case, read_slice
from reports.pictures.sheet import Sheet
from reports.pictures.style import INK, PAPER, PRESENT, SMALL, TEXT, WRONG, rgb255
from reports.wording import listed, plain

WIDTH, GAP, MARGIN, TOP, BOTTOM, DPI = 2.05, 0.14, 0.1, 0.34, 1.2, 216
"""Inches: a picture, between pictures, around the sheet, above the pictures for the titles, below them for the text;
and pixels an inch. Small, so that the text can be read where a page shows the picture 900 pixels wide."""
TAUGHT = ("#56b4e9", "#00a37a", "#8b8fe8", "#b7d36b", "#2f7fc1", "#6fd3c3", "#b79be0", "#3f9a4d", "#9ad0f5", "#5567c9")
"""Cool colours for what was found, so that red is left for what is wrong."""


def draw_why(store: CaseStore, output: Path, case: str | None = None) -> Path:
    """Draw a slice, what was examined in it, and what two ways of training make of the rest.

    Args:
        store: A store that knows more than it shows.
        output: The PNG to write.
        case: The case's name; by default one with about as much examined as not.

    Raises:
        InputError: If the store has no truth, no such case, or no case in which something is hidden and something not.
    """
    if store.truth is None:
        raise InputError(f"{store.path}: the store has no full truth to compare with; use one of the phantom")
    index = case_named(store, case) if case else choose_case(store)
    one = read_slice(store, index)
    columns = (
        ("One slice", _image(one), _count(one)),
        ("What was examined", _examined(one), _looked_for(one)),
        ("Unexamined = background", _as_background(one), _taught_wrong(one)),
        ("Unknown is masked", _masked(one), _taught_right(one)),
    )
    height = WIDTH * one.image.shape[0] / one.image.shape[1]
    sheet = Sheet(2 * MARGIN + 4 * WIDTH + 3 * GAP, TOP + height + BOTTOM, DPI)
    for i, (title, picture, text) in enumerate(columns):
        x = MARGIN + i * (WIDTH + GAP)
        sheet.text(x, 0.1, title, size=TEXT, weight="bold", color=(INK, INK, WRONG, PRESENT)[i])
        axes = sheet.picture(x, TOP, WIDTH, picture)
        if i == 1:
            _name_structures(axes, one, picture.shape[0] / one.image.shape[0])
        sheet.text(x, TOP + height + 0.09, text, color=INK, size=SMALL, linespacing=1.35)
    return sheet.save(output)


def _image(one: Slice) -> Float[np.ndarray, "h w 3"]:
    return Canvas(one.image).rgb


def _examined(one: Slice) -> Float[np.ndarray, "h w 3"]:
    canvas = _with_found(one)
    for i in one.missed:
        canvas.hatch(one.truth == i, opacity=0.55)
        canvas.outline(one.truth == i, (200, 200, 200))
    return canvas.rgb


def _as_background(one: Slice) -> Float[np.ndarray, "h w 3"]:
    canvas = _with_found(one)
    for i in one.missed:
        canvas.fill(one.truth == i, rgb255(WRONG), opacity=0.62)
        canvas.outline(one.truth == i, rgb255(WRONG), width=2)
    return canvas.rgb


def _masked(one: Slice) -> Float[np.ndarray, "h w 3"]:
    canvas = _with_found(one)
    for i in one.missed:
        canvas.fill(one.truth == i, (150, 156, 162), opacity=0.55)
    return canvas.rgb


def _with_found(one: Slice) -> Canvas:
    canvas = Canvas(one.image)
    for i, color in zip(one.found, itertools.cycle(TAUGHT)):
        canvas.fill(one.truth == i, rgb255(color), opacity=0.7)
    return canvas


def _name_structures(axes: Axes, one: Slice, factor: float) -> None:
    """Put a question mark on what nobody looked for, and names on what was found, largest first, while they fit."""
    placed: list[tuple[float, float, float]] = []
    for i in (*one.missed, *sorted(one.found, key=one.area, reverse=True)):
        name = plain(one.classes.names[i]) if one.examined[i] else "?"
        row, column = centre(one.truth == i)
        half = 0.013 * len(name) * one.image.shape[1]
        column = min(max(column, half), one.image.shape[1] - half)
        free = all(abs(row - r) > 0.06 * len(one.image) or abs(column - c) > half + h for r, c, h in placed)
        if one.area(i) < VISIBLE or not free:
            continue
        placed.append((row, column, half))
        style = {"fontsize": 6} if one.examined[i] else {"fontsize": TEXT, "fontweight": "bold"}
        stroke = [withStroke(linewidth=1.6, foreground=INK)]
        axes.text(
            column * factor, row * factor, name, ha="center", va="center", color=PAPER, path_effects=stroke, **style
        )


def _count(one: Slice) -> str:
    return _wrap(
        f"{len(one.there)} of {len(one.classes) - 1} structures are in it. Nobody has the time to draw them all."
    )


def _looked_for(one: Slice) -> str:
    absent = listed([one.classes.names[i] for i in one.absent], 52)
    lines = (
        f"{len(one.found) + len(one.absent)} of {len(one.classes) - 1} were looked for:",
        f"{len(one.found)} found (coloured),",
        f"{len(one.absent)} certainly absent" + (f" ({absent})." if absent else "."),
        "?  nobody looked.",
    )
    return "\n".join(map(_wrap, lines))


def _taught_wrong(one: Slice) -> str:
    share = sum(map(one.area, one.missed)) / max(sum(map(one.area, one.there)), 1e-9)
    return _wrap(
        f"A plain loss teaches that the {len(one.missed)} red structures are not there. {share:.0%} of the structure "
        "pixels are taught wrong, and the network learns to leave them out."
    )


def _taught_right(one: Slice) -> str:
    return _wrap(
        f"The {len(one.found)} found structures and the {len(one.absent)} certain absences are taught. "
        "Of the grey ones nothing is claimed: predicting them costs nothing."
    )


def _wrap(text: str) -> str:
    return textwrap.fill(text, 36)


def main() -> None:
    """Read the command line and draw."""
    parser = argparse.ArgumentParser(description="Draw why unknown is not background.")
    parser.add_argument("store", type=Path, help="folder of a case store with its full truth")
    parser.add_argument("output", type=Path, help="the PNG to write")
    parser.add_argument("--case", help="name of the case; chosen where not given")
    arguments = parser.parse_args()
    try:
        draw_why(CaseStore.open(arguments.store), arguments.output, arguments.case)
    except InputError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
