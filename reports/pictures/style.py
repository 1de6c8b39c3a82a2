"""Colours and axes that every picture shares: light, calm, and told apart by the colour-blind too."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import LayoutEngine

from partial_labels.classes import Color
from partial_labels.whole_file import whole_file

PAPER = "#ffffff"
INK = "#22303c"
MUTED = "#66757f"
GRID = "#e4e9ed"

PRESENT = "#0b5d8f"
"""A cell that a human examined and where the class is."""
ABSENT = "#9ccbe3"
"""A cell that a human examined and where the class is not."""
UNKNOWN_CELL = "#ece9e4"
"""A cell that nobody examined."""
WRONG = "#cc3311"
"""What is false, and is meant to be noticed."""

SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f")
"""Okabe and Ito's colours (Color Universal Design, 2008), most contrasting first."""

DPI = 144
PAGE_WIDTH = 9.6
"""Inches: width of a picture that fills a page."""
TITLE, TEXT, SMALL = 11.0, 9.0, 7.5


def rgb255(color: str) -> Color:
    """Return a colour of this page as red, green and blue, 0 to 255."""
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def new_figure(width: float, height: float, layout: LayoutEngine | None = None, dpi: int = DPI) -> Figure:
    """Return an empty figure of this many inches; no global state of pyplot is touched."""
    return Figure(figsize=(width, height), dpi=dpi, facecolor=PAPER, layout=layout)


def quiet(axes: Axes, title: str = "", grid: bool = True, pad: float = 8) -> None:
    """Take the frame off a chart and give it a title, ticks and a grid that stay in the background."""
    axes.set_title(title, loc="left", fontsize=TITLE, color=INK, fontweight="bold", pad=pad)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(MUTED)
    axes.tick_params(colors=MUTED, labelsize=SMALL, length=0)
    axes.set_axisbelow(True)
    if grid:
        axes.grid(axis="y", color=GRID, linewidth=0.8)


def bare(axes: Axes) -> None:
    """Leave nothing of the axes but what is drawn in it."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def save(figure: Figure, path: Path) -> Path:
    """Write the figure as a PNG in one rename and return its path; equal figures give equal bytes."""
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
    return path
