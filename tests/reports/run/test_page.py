from __future__ import annotations

import json
import math
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from metrics.partial_dice import ClassRow
from reports.run.page import write_run_page
from reports.tables import write_class_table

VOID = {"meta", "img", "link", "br"}
ROWS = [
    ClassRow("liver <b>", 1 / 3, 0.25, math.nan, 5, 6, 7, 2),
    ClassRow("spleen", 0.5, math.nan, math.nan, 1, 2, 3, 0),
]
SPLIT = """name,group,volume,part,labels
a,p,v,train,labeled
b,p,w,train,
c,q,x,val,
d,r,y,,
"""


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
    """Write what a run leaves, its curves and its last evaluation included."""
    folder = tmp_path / "a run"
    last = folder / "evaluation" / "last"
    last.mkdir(parents=True)
    figures = {"dice": 0.76543, "dice_volume": 0.8, "dice_classes": 54.0, "nsd": 0.5, "dice/liver": 0.1}
    results = {
        "experiment": "A & B", "figures": {"last": figures, "best": figures}, "stages": [], "steps": 40,
        "wall_seconds": 60.2, "cpu_seconds": 30.0,
    }  # fmt: skip
    (folder / "results.json").write_text(json.dumps(results))
    (folder / "metrics.csv").write_text("step,epoch,val/dice\n9,0,0.5\n")
    (folder / "split.csv").write_text(SPLIT)
    (folder / "command.txt").write_text("python train.py loss=masked\n")
    (folder / "config.yaml").write_text("seed: 0 # <script>alert(1)</script>\n")
    write_class_table(ROWS, last / "classes.csv")
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(last / "panels.png")
    return folder


def test_the_page_stands_alone_and_shows_the_figures(run_dir):
    path = write_run_page(run_dir)
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert path == run_dir / "report.html"
    assert len(page.sources) == 2 and all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert "url(" not in text and "@import" not in text and "<script" not in text and "http" not in text
    shown = {"0.765", "0.800", "54", "val/nsd", "0.500", "40", "60 s (30 s of processor time)", "A & B"}
    assert shown | {"python train.py loss=masked"} <= {*page.texts} and "val/dice/liver" not in page.texts
    assert ["liver <b>", "0.333", "0.250", "5", "6", "7", "2"] in page.rows
    assert ["spleen", "0.500", "-", "1", "2", "3", "0"] in page.rows
    assert ["part", "cases", "groups", "volumes", "labeled cases"] in page.rows
    assert ["train", "2", "1", "2", "1"] in page.rows and ["val", "1", "1", "1", "-"] in page.rows
    assert "--part:33.3%" in text and "prefers-color-scheme: dark" in text and "width=device-width" in text


def test_what_a_run_does_not_have_is_left_out(run_dir):
    shutil.rmtree(run_dir / "evaluation")
    (run_dir / "split.csv").write_text(SPLIT.splitlines()[0] + "\n")
    page = Page(write_run_page(run_dir).read_text(encoding="utf-8"))
    assert len(page.sources) == 1 and page.rows == [], "the curves alone"
    assert not {"Cases", "Attention", "Split", "In detail"} & {*page.texts}
