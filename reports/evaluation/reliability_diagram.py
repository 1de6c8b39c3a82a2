"""The reliability diagram, drawn in the page's own colours so that it reads in light and in dark."""

from __future__ import annotations

from collections.abc import Sequence

from metrics.reliability import Bin

SIDE, LEFT, TOP, SHARE, GAP = 250, 44, 14, 46, 16
"""Of the diagram, of what stands left of it and above; height of the strip below that shows the pixels; between."""
WIDTH, HEIGHT = LEFT + SIDE + 16, TOP + SIDE + GAP + SHARE + 40


def reliability_diagram(bins: Sequence[Bin]) -> str:
    """Return an SVG: how often right, by how sure, and below it how many pixels are how sure.

    Args:
        bins: Pooled over the classes.
    """
    most = max(one.pixels for one in bins)
    parts = [_grid()]
    for one in bins:
        share = one.correct / one.pixels
        parts.append(_bar(one, 0, share, "right"))
        parts.append(_bar(one, min(share, one.confidence), max(share, one.confidence), _side(one, share)))
        height = SHARE * one.pixels / most
        x, width = _span(one)
        y = TOP + SIDE + GAP + SHARE - height
        parts.append(f'<rect class="pixels" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>')
    parts.append(f'<path class="ideal" d="M{LEFT} {TOP + SIDE}L{LEFT + SIDE} {TOP}"/>')
    parts.append(_labels())
    label = "Reliability diagram: share of right pixels by confidence"
    body = "".join(parts)
    return f'<svg class="reliability" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{body}</svg>'


def _bar(one: Bin, low: float, high: float, kind: str) -> str:
    x, width = _span(one)
    says = f"confidence {one.confidence:.3f}, right {one.correct / one.pixels:.3f}, {one.pixels} pixels"
    y, height = TOP + SIDE * (1 - high), SIDE * (high - low)
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}">'
        f"<title>{says}</title></rect>"
    )


def _side(one: Bin, share: float) -> str:
    return "over" if one.confidence > share else "under"


def _span(one: Bin) -> tuple[float, float]:
    return LEFT + SIDE * one.low + 0.5, SIDE * (one.high - one.low) - 1


def _grid() -> str:
    lines = []
    for tick in (0, 0.25, 0.5, 0.75, 1):
        y, x = TOP + SIDE * (1 - tick), LEFT + SIDE * tick
        lines.append(f'<path class="grid" d="M{LEFT} {y}H{LEFT + SIDE}M{x} {TOP}V{TOP + SIDE}"/>')
        lines.append(f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{tick:g}</text>')
        below = TOP + SIDE + GAP + SHARE + 15
        lines.append(f'<text x="{x}" y="{below}" text-anchor="middle">{tick:g}</text>')
    return "".join(lines)


def _labels() -> str:
    middle, foot = LEFT + SIDE / 2, TOP + SIDE + GAP + SHARE
    return (
        f'<path class="axis" d="M{LEFT} {foot}H{LEFT + SIDE}"/>'
        f'<text x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">confidence</text>'
        f'<text transform="translate(11 {TOP + SIDE / 2}) rotate(-90)" text-anchor="middle">share that is right</text>'
        f'<text transform="translate(11 {foot - SHARE / 2}) rotate(-90)" text-anchor="middle">pixels</text>'
    )
