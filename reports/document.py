"""One HTML file that opens offline: style, pictures and tables all inside."""

from __future__ import annotations

import base64
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from reports.files import write_text


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Args:
        title: Its heading.
        body: HTML; what comes from outside is escaped already.
    """

    title: str
    body: str


class Markup(str):
    """HTML in a cell of a table; what comes from outside is escaped already."""


def write_document(path: Path, title: str, subtitle: str, sections: Iterable[Section], head: str = "") -> Path:
    """Write a page of sections in one rename and return its path.

    Args:
        path: The HTML file.
        title: Heading.
        subtitle: Stands below it.
        sections: Parts of the page.
        head: More for the page's head, such as scripts: HTML.
    """
    body = "\n".join(f"<section>\n<h2>{escape(s.title)}</h2>\n{s.body}\n</section>" for s in sections)
    page = PAGE.substitute(title=escape(title), subtitle=escape(subtitle), style=STYLE, body=body, head=head)
    return write_text(path, page)


def paragraph(text: str) -> str:
    """Return a text as a paragraph."""
    return f"<p>{escape(text)}</p>"


def picture(png: Path, alt: str) -> str:
    """Return a PNG as an image that is part of the page; where the screen is narrow it scrolls sideways."""
    return f'<div class="wide">{image(png, alt)}</div>'


def image(file: Path, alt: str) -> str:
    """Return a picture that is part of the page and fills its place; the file's name tells its format."""
    data = base64.b64encode(file.read_bytes()).decode("ascii")
    return f'<img alt="{escape(alt)}" src="data:image/{file.suffix[1:]};base64,{data}">'


def cards(figures: Iterable[tuple[str, str, str]]) -> str:
    """Return headline figures: value, name, and what it means."""
    boxes = (
        f'<div class="card"><b>{escape(value)}</b><code>{escape(name)}</code><p>{escape(meaning)}</p></div>'
        for value, name, meaning in figures
    )
    return f'<div class="cards">{"".join(boxes)}</div>'


def facts(values: Mapping[str, str]) -> str:
    """Return names and values as a list of definitions."""
    pairs = (f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in values.items())
    return f"<dl>{''.join(pairs)}</dl>"


def bullets(texts: Iterable[str]) -> str:
    """Return texts as a list."""
    return f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in texts)}</ul>"


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], meanings: Sequence[str] = (), bars: Sequence[int] = ()
) -> str:
    """Return a table that scrolls sideways where the screen is narrow; the first column names the row.

    Args:
        head: Column titles.
        rows: Texts, one a column.
        meanings: Shown when a title is pointed at.
        bars: Columns of fractions in [0, 1], shown as a bar behind the figure.
    """
    notes = [f' title="{escape(meaning)}"' for meaning in meanings] or [""] * len(head)
    titles = "".join(f"<th{note}>{escape(title)}</th>" for title, note in zip(head, notes, strict=True))
    lines = (f"<tr>{''.join(_cell(text, i, i in bars) for i, text in enumerate(row))}</tr>" for row in rows)
    body = "\n".join(lines)
    return f'<div class="wide"><table><thead><tr>{titles}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'


def count_table(head: str, counts: Mapping[str, Mapping[str, int]]) -> str:
    """Return counts as a table, a row for each name under ``head``; a count that a row does not have is left open."""
    columns = list(dict.fromkeys(column for row in counts.values() for column in row))
    rows = [[name, *(str(row.get(column, "-")) for column in columns)] for name, row in counts.items()]
    return table([head, *columns], rows)


def command_line(text: str) -> str:
    """Return something to type."""
    return f"<pre>{escape(text)}</pre>"


def folded(title: str, text: str) -> str:
    """Return a long text behind a title to click on."""
    return f"<details><summary>{escape(title)}</summary><pre>{escape(text)}</pre></details>"


def _cell(text: str, column: int, bar: bool) -> str:
    shown = text if isinstance(text, Markup) else escape(text)
    if column == 0:
        return f"<th>{shown}</th>"
    try:
        style = f' class="bar" style="--part:{100 * float(text):.1f}%"' if bar else ""
    except ValueError:
        style = ""
    return f"<td{style}>{shown}</td>"


PAGE = string.Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>
$style
</style>
$head</head>
<body>
<header>
<h1>$title</h1>
<p>$subtitle</p>
</header>
<main>
$body
</main>
</body>
</html>
""")

STYLE = """
:root { --paper: #f6f8f9; --sheet: #ffffff; --ink: #22303c; --muted: #5d6b76; --line: #e1e7eb; --accent: #0b5d8f;
  --bar: #cfe4f1; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #12171c; --sheet: #1b2229; --ink: #e3e9ee; --muted: #9aa8b3; --line: #2c363f; --accent: #7cc0ea;
    --bar: #1f4560; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
header, main { max-width: 68rem; margin: 0 auto; padding: 0 1rem; }
header { padding-top: 2rem; }
header p, .card p, .card code, dt { color: var(--muted); }
h1 { margin: 0; font-size: 1.7rem; line-height: 1.25; overflow-wrap: anywhere; }
header p { margin: .3rem 0 1.2rem; overflow-wrap: anywhere; }
h2 { margin: 0 0 .8rem; font-size: 1.15rem; }
section { background: var(--sheet); border: 1px solid var(--line); border-radius: 10px; padding: 1.1rem 1.2rem;
  margin-bottom: 1rem; }
section > p { margin: 0 0 .8rem; max-width: 46rem; }
section > :last-child { margin-bottom: 0; }
img { display: block; max-width: 100%; height: auto; margin: 0 auto; background: #fff; border-radius: 6px; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: .8rem 1.6rem; }
.card b { display: block; font-size: 2rem; line-height: 1.2; color: var(--accent); font-variant-numeric: tabular-nums; }
.card p { margin: .2rem 0 0; font-size: .87rem; line-height: 1.4; }
a { color: var(--accent); }
code, pre { font: .85rem/1.5 ui-monospace, monospace; }
pre { overflow-x: auto; margin: .6rem 0 0; padding: .8rem; background: var(--paper); border-radius: 6px; }
summary { cursor: pointer; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.6rem; margin: 1.2rem 0 .8rem; }
dd { margin: 0; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .6rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child { text-align: left; padding-left: 0; font-weight: 500; }
thead th { color: var(--muted); font-weight: 500; vertical-align: bottom; }
.bar { min-width: 6rem; background: linear-gradient(to right, var(--bar) var(--part), transparent var(--part)) no-repeat
  0 50% / 100% 76%; }
@media (max-width: 40rem) {
  section { padding: .9rem .8rem; border-radius: 0; margin-left: -1rem; margin-right: -1rem; border-width: 1px 0; }
  .wide img { max-width: none; width: 44rem; }
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: .5rem; }
}
""".strip()
