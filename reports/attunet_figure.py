"""The report's AttUNet as a drawing: ``python -m reports.attunet_figure docs/attunet.png``."""

from __future__ import annotations

import argparse
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyArrowPatch, Rectangle

from reports.pictures.sheet import Sheet
from reports.pictures.style import INK, MUTED, PAPER, SERIES, SMALL, TEXT, bare

WIDTHS, SIDES = (64, 128, 256, 512, 1024), (256, 128, 64, 32, 16)
"""Channels and side of the features of each level, at an image of 256 x 256."""
COLUMN, LEVEL, BOX = 1.0, 1.15, 0.26
"""Inches: from one place on the way down or up to the next, between levels, width of a block."""
BLUE, ORANGE, GREEN = SERIES[0], SERIES[1], SERIES[2]
PLACES = 2 * len(WIDTHS) - 1


def draw_attunet(output: Path) -> Path:
    """Draw encoder, decoder and gates, every level on a line of its own, and what is in a gate below them."""
    sheet = Sheet(PLACES * COLUMN + 1.2, len(WIDTHS) * LEVEL + 2.1, dpi=120)
    axes = sheet.axes(0, 0, sheet.width, sheet.height)
    bare(axes)
    axes.patch.set_alpha(0)
    axes.set(xlim=(0, sheet.width), ylim=(sheet.height, 0))
    for level in range(len(WIDTHS)):
        _draw_level(axes, level)
    _draw_ends(axes)
    _draw_gate(axes, 0.75, len(WIDTHS) * LEVEL + 1.05)
    _draw_legend(axes, 0.75, len(WIDTHS) * LEVEL + 1.75)
    return sheet.save(output)


def _x(place: int) -> float:
    return 1.1 + place * COLUMN


def _y(level: int) -> float:
    return 0.7 + level * LEVEL


def _height(level: int) -> float:
    """A block's height halves with each level, as a drawing can show it."""
    return 0.95 * 0.8**level


def _draw_level(axes: Axes, level: int) -> None:
    """Draw the blocks of a level, what leads to the next one, and on the way up the gate."""
    last = len(WIDTHS) - 1
    down, up, y = _x(level), _x(PLACES - 1 - level), _y(level)
    _block(axes, down, level, BLUE, f"{WIDTHS[level]}")
    axes.text(
        down,
        y + _height(level) / 2 + 0.16,
        f"{SIDES[level]} x {SIDES[level]}",
        ha="center",
        color=MUTED,
        fontsize=SMALL,
    )
    if level == last:
        return
    _block(axes, up, level, BLUE, f"{WIDTHS[level]}")
    gate = up - 0.62
    _arrow(axes, (down + BOX / 2, y), (gate - 0.13, y), MUTED)
    _gate(axes, gate, y)
    _arrow(axes, (gate + 0.13, y), (up - BOX / 2, y), MUTED)
    below = _y(level + 1)
    _arrow(axes, (down + 0.05, y + _height(level) / 2 + 0.3), (_x(level + 1) - BOX / 2 - 0.03, below - 0.1), ORANGE)
    source = (_x(PLACES - 2 - level) + BOX / 2 + 0.02, below - 0.06)
    _arrow(axes, source, (up, y + _height(level) / 2 + 0.05), GREEN)
    _arrow(axes, (source[0] + (up - source[0]) / 2, (below + y) / 2 + 0.1), (gate + 0.03, y + 0.16), GREEN)


def _block(axes: Axes, x: float, level: int, color: str, text: str) -> None:
    """Draw two convolutions."""
    y, height = _y(level), _height(level)
    for i in range(2):
        corner = (x - BOX / 2 + i * BOX / 2, y - height / 2)
        axes.add_patch(Rectangle(corner, BOX / 2, height, facecolor=color, edgecolor=PAPER, linewidth=1))
    axes.text(x, y - height / 2 - 0.06, text, ha="center", va="bottom", color=INK, fontsize=SMALL)


def _gate(axes: Axes, x: float, y: float) -> None:
    axes.add_patch(Circle((x, y), 0.12, facecolor=PAPER, edgecolor=INK, linewidth=1.2, zorder=3))
    axes.text(x, y, "G", ha="center", va="center", color=INK, fontsize=SMALL, zorder=4)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], color: str) -> None:
    arrow = FancyArrowPatch(
        start, end, arrowstyle="-|>", mutation_scale=8, color=color, linewidth=1.1, shrinkA=0, shrinkB=0
    )
    axes.add_patch(arrow)


def _draw_ends(axes: Axes) -> None:
    """Draw the image, and the layer that logits come from."""
    for x, text, towards in ((0.35, "image", 1), (_x(PLACES - 1) + 0.85, "logits", -1)):
        axes.text(x, _y(0), text, ha="center", va="center", color=INK, fontsize=TEXT)
        left, right = sorted(
            (x + towards * 0.27, (_x(0) if towards > 0 else _x(PLACES - 1)) - towards * (BOX / 2 + 0.02))
        )
        _arrow(axes, (left, _y(0)), (right, _y(0)), MUTED)


def _draw_gate(axes: Axes, x: float, y: float) -> None:
    """Write out what a gate does, as a chain of operations."""
    chain = (
        ("skip: 1x1, norm\nfrom below: 1x1, norm", 1.65),
        ("sum, ReLU", 0.85),
        ("1x1 to one channel,\nnorm, sigmoid", 1.45),
        ("a map in (0, 1),\ntimes the skip", 1.25),
    )
    _gate(axes, x, y)
    x += 0.3
    for i, (text, width) in enumerate(chain):
        axes.add_patch(Rectangle((x, y - 0.25), width, 0.5, facecolor=PAPER, edgecolor=MUTED, linewidth=0.9))
        axes.text(x + width / 2, y, text, ha="center", va="center", color=INK, fontsize=SMALL)
        if i < len(chain) - 1:
            _arrow(axes, (x + width, y), (x + width + 0.28, y), MUTED)
        x += width + 0.28


def _draw_legend(axes: Axes, x: float, y: float) -> None:
    for color, text in (
        (BLUE, "3x3 convolution, norm, ReLU: twice"),
        (ORANGE, "2x2 maximum"),
        (GREEN, "nearest upsampling, 3x3 convolution, norm, ReLU"),
        (MUTED, "skip connection"),
    ):
        axes.add_patch(Rectangle((x, y - 0.06), 0.18, 0.12, facecolor=color))
        axes.text(x + 0.26, y, text, va="center", color=INK, fontsize=SMALL)
        x += 0.55 + 0.0625 * len(text)  # inches a letter


def main() -> None:
    """Draw it into the file that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    print(draw_attunet(parser.parse_args().output))


if __name__ == "__main__":
    main()
