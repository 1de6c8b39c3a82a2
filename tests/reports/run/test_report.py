from __future__ import annotations

import math
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from metrics.partial_dice import ClassRow
from reports.document import Section, paragraph
from reports.run.report import write_report

VOID = {"meta", "img", "link", "br"}
ROWS = [
    ClassRow("liver <b>", 1 / 3, 0.25, math.nan, 5, 6, 7, 2),
    ClassRow("spleen", 0.5, math.nan, math.nan, 1, 2, 3, 0),
]


class Page(HTMLParser):
    """Collects what a test asks for, and holds that every tag is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.rows: list[list[str]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        self.sources += [value for key, value in attrs if key in ("src", "href", "srcset", "data")]
        if tag == "tr":
            self.rows.append([])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)
        if "tr" in self.open and self.open[-1] in ("td", "th"):
            self.rows[-1].append(data)


@pytest.fixture
def run_dir(tmp_path):
    folder = tmp_path / "a run"
    folder.mkdir()
    for name in ("curves.png", "panels.png"):
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(folder / name)
    (folder / "config.yaml").write_text("seed: 0 # <script>alert(1)</script>\n")
    return folder


def test_the_page_stands_alone_and_shows_the_figures(run_dir):
    path = write_report(
        run_dir,
        "A & B",
        {"val/dice": 0.76543, "val/dice_volume": 0.8, "val/dice_classes": 54.0, "checkpoint": "last", "hours": 1.5},
        ROWS,
        {"train": {"cases": 640, "labeled": 100}, "val": {"cases": 160}},
        "python train.py loss=masked",
        [Section("Notes", paragraph("one < two"))],
    )
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert path == run_dir / "report.html"
    assert len(page.sources) == 2 and all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert "url(" not in text and "@import" not in text and "<script" not in text and "http" not in text
    assert {"0.765", "0.800", "54", "last", "1.500", "A & B", "one < two", "python train.py loss=masked"} <= {
        *page.texts
    }
    assert ["liver <b>", "0.333", "0.250", "5", "6", "7", "2"] in page.rows
    assert ["spleen", "0.500", "-", "1", "2", "3", "0"] in page.rows
    assert ["part", "cases", "labeled"] in page.rows and ["val", "160", "-"] in page.rows
    assert "--part:33.3%" in text and "prefers-color-scheme: dark" in text and "width=device-width" in text


def test_what_a_run_does_not_have_is_left_out(tmp_path):
    text = write_report(tmp_path, "Empty", {"val/dice": math.nan}).read_text(encoding="utf-8")
    page = Page(text)
    assert page.sources == [] and page.rows == []
    assert "-" in page.texts and "Curves" not in page.texts and "Make it again" not in page.texts
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
