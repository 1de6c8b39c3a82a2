"""The same cases side by side: what is known of them once, then what every group predicts."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path

from PIL import Image

from reports.comparison.keys import Group
from reports.comparison.runs import Run
from reports.pictures.panels import CAPTION, CELL, GAP, HEADER, MARGIN
from reports.pictures.style import DPI

SCALE = 0.75
"""Of the width and height of ``panels.png``."""
TITLE = 0.31
"""Inches of a caption that stay: the case's name and its Dice."""


def panel_sheet(groups: Sequence[Group]) -> str:
    """Return the cases of the groups whose runs evaluated the same ones, as HTML; of each group its first run.

    ``panels.png`` has the prediction in its last column, and the same image, annotation and truth in every run.
    """
    shown = [(group, run) for group in groups if (run := next(filter(has_panels, group.finished), None))]
    sheets = []
    for data in dict.fromkeys(run.data for _, run in shown):
        same = [(group.label, run) for group, run in shown if run.data == data]
        known = _strip(same[0][1], prediction=False)
        strips = [_figure("what is known", known), *(_figure(label, _strip(run, True), run) for label, run in same)]
        columns = round(known.width / _pixels(CELL * SCALE)) + len(same)
        sheets.append(f'<div class="wide strips" style="--columns:{columns}">{"".join(strips)}</div>')
        sheets.append(_legend([run for _, run in same]))
    return "".join(sheets)


def has_panels(run: Run) -> bool:
    """Whether a run drew its cases."""
    return _panels(run).is_file()


def _panels(run: Run) -> Path:
    return run.path / "evaluation" / "last" / "panels.png"


def _strip(run: Run, prediction: bool) -> Image.Image:
    """Cut the column of the prediction out of a run's panels, or what stands before it, without the long captions."""
    sheet = Image.open(_panels(run)).convert("RGB")
    left = sheet.width / DPI - MARGIN - CELL
    x, width = (left, CELL) if prediction else (MARGIN, left - GAP - MARGIN)
    rows = _rows(run, sheet.height / DPI)
    strip = Image.new("RGB", (_pixels(width), _pixels(HEADER + rows * (TITLE + CELL))), "white")
    _paste(sheet, strip, x, width, (0.0, HEADER), 0.0)
    for row in range(rows):
        top, target = HEADER + row * (CAPTION + CELL), HEADER + row * (TITLE + CELL)
        _paste(sheet, strip, x, width, (top, top + TITLE), target)
        _paste(sheet, strip, x, width, (top + CAPTION, top + CAPTION + CELL), target + TITLE)
    return _scaled(strip)


def _rows(run: Run, height: float) -> int:
    """Return how many cases a sheet shows: as many as were asked for and fit."""
    asked = int(run.config.get("report", {}).get("panels", {}).get("count", 1))
    cases = sum(row["part"] == "val" for row in run.split) or asked
    return max(1, min(asked, cases, int((height - HEADER) / (CAPTION + CELL))))


def _paste(sheet: Image.Image, strip: Image.Image, x: float, width: float, span: tuple[float, float], y: float) -> None:
    box = (_pixels(x), _pixels(span[0]), _pixels(x) + _pixels(width), _pixels(span[1]))
    strip.paste(sheet.crop(box), (0, _pixels(y)))


def _pixels(inches: float) -> int:
    return round(inches * DPI)


def _legend(runs: Sequence[Run]) -> str:
    """Return the colours of the classes, from the run that shows most of them."""
    sheet, run = max(((Image.open(_panels(run)).convert("RGB"), run) for run in runs), key=lambda pair: pair[0].height)
    foot = _pixels(HEADER + _rows(run, sheet.height / DPI) * (CAPTION + CELL) + GAP)
    legend = sheet.crop((0, min(foot, sheet.height - 1), sheet.width, sheet.height))
    return f'<div class="wide legend">{_image("colours of the classes", _scaled(legend))}</div>'


def _scaled(picture: Image.Image) -> Image.Image:
    size = max(1, round(picture.width * SCALE)), max(1, round(picture.height * SCALE))
    return picture.resize(size, Image.Resampling.LANCZOS)


def _figure(title: str, strip: Image.Image, run: Run | None = None) -> str:
    note = f" <span>seed {run.seed}</span>" if run else ""
    caption = f"<figcaption>{escape(title)}{note}</figcaption>"
    span = strip.width / _pixels(CELL * SCALE)
    return f'<figure style="--span:{span:.3f}">{caption}{_image(title, strip)}</figure>'


def _image(title: str, picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=82)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    size = f'width="{picture.width}" height="{picture.height}"'
    return f'<img alt="{escape(title)}" {size} src="data:image/webp;base64,{data}">'
