"""The page of an evaluation, of hand-made folders and of what ``evaluate.py`` leaves."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from metrics.partial_dice import ClassRow
from metrics.reliability import Bin
from partial_labels.classes import ClassTable
from partial_labels.errors import InputError
from reports.evaluation.evaluation import Evaluation
from reports.evaluation.findings import findings
from reports.evaluation.gain import class_gains
from reports.evaluation.page import write_evaluation_page
from reports.evaluation.tables import confusion_table, sides_table
from reports.pictures.case_gallery import write_gallery
from reports.pictures.panels import Panel
from reports.tables import write_class_table
from runs.evaluation import evaluate_command
from runs.training import train
from tests.configs import composed

CLASSES = ClassTable.from_foreground(["kidney_left", "kidney_right", "liver <b>"])
VOID = {"meta", "img", "link", "br", "rect", "path"}


class Page(HTMLParser):
    """Collects texts, table rows and what is fetched, and holds that every tag is closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.rows, self.texts, self.sources = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        self.sources += [value for key, value in attrs if key in ("src", "href", "srcset", "data")]

    def handle_endtag(self, tag):
        assert tag in VOID or self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.texts.append(data)
            if {"td", "th"} & set(self.open):
                self.rows[-1].append(data.strip())


def folder_of(path, dice, confusion=(), bins=(), baseline=None, silent_present=4):
    """Write what an evaluation leaves: the Dice of two volumes by class, pixels by (drawn, predicted), and bins."""
    path.mkdir()
    record = {
        "checkpoints": [f"/runs/{path.name}/checkpoints/supervised/last.ckpt"],
        "data": "set", "part": "val", "grid": "stored", "cases": 6, "volumes": {"0": "a", "1": "b"},
        "spacing_mm": [1.5, 1.5], "classes": CLASSES.to_json(), "known": [1, 2, 3], "nsd_tolerance_mm": 2.0,
        "network": "student", "inference": "", "baseline": baseline,
    }  # fmt: skip
    (path / "evaluation.json").write_text(json.dumps(record))
    figures = {"dice": 0.5, "dice_volume": 0.5, "dice_pessimistic": 0.4, "hd95_mm": 12.0, "nsd": 0.7, "dice_classes": 3}
    (path / "figures.json").write_text(json.dumps(figures | {"hd95_mm/kidney_left": 3.25, "nsd/kidney_left": 0.75}))
    rows = [ClassRow(name, 0.5, 0.5, float("nan"), silent_present, 5, 1, 2, 0.25) for name in CLASSES.foreground]
    write_class_table(rows, path / "classes.csv")
    lines = [f"{v},{c},{value},nan" for (v, c), value in dice.items()]
    (path / "volumes.csv").write_text("\n".join(["volume,class_id,dice,dice_truth", *lines]) + "\n")
    lines = [f"{a},{b},{pixels}" for (a, b), pixels in dict(confusion).items()]
    (path / "confusion.csv").write_text("\n".join(["drawn,predicted,pixels", *lines]) + "\n")
    lines = [",".join(map(str, one)) for one in bins]
    (path / "reliability.csv").write_text("\n".join([",".join(Bin._fields), *lines]) + "\n")
    return path


DICE = {(0, 1): 0.6, (1, 1): 0.7, (0, 2): 0.5, (1, 2): 0.4}
CONFUSED = {(0, 0): 900, (1, 1): 60, (1, 2): 40, (2, 2): 95, (2, 1): 5, (3, 0): 80, (3, 1): 20}
BINS = [Bin(1, 0.9, 1.0, 100, 60, 0.95), Bin(2, 0.5, 0.6, 10, 6, 0.55)]


def test_what_stands_out_is_said(tmp_path):
    said = " ".join(findings(Evaluation.read(folder_of(tmp_path / "one", DICE, CONFUSED, BINS))))
    assert "Silent, though slices show them: liver <b>." in said
    assert "40.0% of kidney left was called kidney right" in said and "5.0% of kidney right" in said
    assert "predicted in 2 of 5 slices that certainly lack it" in said
    assert "Too sure: it gives the structures it predicts 0.91 on average, and is right in 60%" in said


def test_nothing_is_made_up_where_nothing_stands_out(tmp_path):
    clean = {(0, 0): 900, (1, 1): 60, (2, 2): 95, (3, 3): 4}
    folder = folder_of(tmp_path / "one", DICE, clean, [Bin(1, 0.9, 1.0, 100, 95, 0.95)])
    rows = [ClassRow(name, 0.5, 0.5, float("nan"), 4, 5, 1, 0, 0.25) for name in CLASSES.foreground]
    write_class_table(rows, folder / "classes.csv")
    assert findings(Evaluation.read(folder))[0].startswith("No silent class")
    assert sides_table(Evaluation.read(folder)) == confusion_table(Evaluation.read(folder)) == ""


def test_confusions_are_ranked_by_pixels_and_leave_the_background_out(tmp_path):
    page = Page(confusion_table(Evaluation.read(folder_of(tmp_path / "one", DICE, CONFUSED))))
    assert page.rows[1:] == [
        ["kidney left", "kidney right", "40.0 %", "40"],
        ["liver <b>", "kidney left", "20.0 %", "20"],
        ["kidney right", "kidney left", "5.0 %", "5"],
    ]


def test_the_page_stands_alone_with_all_its_parts(tmp_path):
    other = folder_of(tmp_path / "other", {key: value - 0.1 for key, value in DICE.items()})
    one = folder_of(tmp_path / "one", DICE, CONFUSED, BINS, baseline=str(other))
    label = np.zeros((8, 8), np.uint8)
    label[2:5, 2:5] = 1
    status = np.array([0, 1, 1, 0], np.uint8)
    panel = Panel(
        "case & one", np.zeros((8, 8), np.float32), label, label, status, truth=np.where(label, label, np.uint8(3))
    )
    write_gallery([("worst", panel, {1: 0.25, 2: 0.75})], CLASSES, one / "cases")
    text = write_evaluation_page(one).read_text()
    page = Page(text)
    joined = " ".join(page.texts)
    assert len(page.sources) == 4 and all(source.startswith("data:image/webp;base64,") for source in page.sources)
    assert not re.search(r"(src|href)=.?https?:|@import|url\(", text)
    for title in ("What stands out", "Compared with other, supervised/last", "3 classes", "What was taken for what",
                  "Worst cases", "Confidence", "What was measured"):  # fmt: skip
        assert title in page.texts
    assert ["liver <b>", "silent"] in [row[:2] for row in page.rows]
    left = next(row for row in page.rows if row[:2] == ["kidney left", "0.500"])
    assert {"3.2", "0.750", "2 (40%)", "0.350"} <= set(left)
    assert "case & one" in joined and "kidney left 0.25, kidney right 0.75" in joined
    assert "not examined: liver" in joined
    assert "prefers-color-scheme: dark" in text and 'name="viewport"' in text


def test_gains_are_paired_by_volume_and_class(tmp_path):
    other = {(0, 1): 0.5, (1, 1): 0.6, (0, 2): 0.6, (1, 2): 0.4, (0, 3): 0.9}
    gains = class_gains(*(Evaluation.read(folder_of(tmp_path / name, dice)) for name, dice in
                          (("one", DICE), ("other", other))))  # fmt: skip
    assert [gain.name for gain in gains] == ["kidney_left", "kidney_right"]
    assert gains[0].gain == pytest.approx((0.1, 0.1, 0.1))
    assert gains[1].gain.mean == pytest.approx(-0.05) and gains[1].gain.low == pytest.approx(-0.1)


def test_what_is_no_evaluation_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"evaluation\.json: missing or damaged; evaluate again"):
        write_evaluation_page(tmp_path)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Train a small network on a small phantom."""
    small = (
        "data=phantom_small",
        "data.image_size=32",
        "data.source.num_slices=60",
        "data.source.labeled_fraction=0.9",
    )
    few = (
        "data.source.structures=[liver,lung_left,lung_right]",
        "report.panels=null",
        "trainer.threads=1",
        "data.similarity=1.0",
    )
    network = ("model.width=4", "model.depth=3", "optimizer=adamw", "optimizer.lr=1e-2", "data.batch_size=8")
    fast = ("trainer=cpu", "trainer.max_epochs=4", "trainer.validate_every_n_epochs=4", "trainer.progress_bar=false")
    cfg = composed(tmp_path_factory.mktemp("evaluated"), *small, *few, *network, *fast, "augment=none", "logger=csv")
    train(cfg)
    return Path(cfg.paths.run)


def evaluated(run, output, *overrides):
    cfg = composed(
        run.parent, f"checkpoint={run}", f"output={output}", "report.panels=null", *overrides, config="evaluate"
    )
    return evaluate_command(cfg)[1]


@pytest.mark.filterwarnings("ignore:.*num_workers.*", "ignore:.*`LearningRateMonitor`.*")
def test_a_checkpoint_is_compared_with_another_that_is_measured_first_or_was(run, tmp_path):
    first = evaluated(run, tmp_path / "first", f"baseline={run}/checkpoints/supervised/best.ckpt")
    page = Page(write_evaluation_page(first).read_text())
    assert "Compared with run, supervised/best" in page.texts
    assert (first / "baseline" / "volumes.csv").is_file()
    second = evaluated(run, tmp_path / "second", f"baseline={first}")
    assert all(gain.gain == (0, 0, 0) for gain in class_gains(Evaluation.read(second), Evaluation.read(first)))
    shown = [case["kind"] for case in json.loads((first / "cases" / "cases.json").read_text())]
    assert shown == ["worst"] * 4 + ["median"] * 2
    one = Evaluation.read(first)
    assert one.confusion.sum() == one.record["cases"] * 32 * 32
    assert [row.name for row in one.rows] == ["liver", "lung_left", "lung_right"]
    assert all(row.dice_pessimistic <= row.dice for row in one.rows if np.isfinite(row.dice))


@pytest.mark.filterwarnings("ignore:.*num_workers.*", "ignore:.*`LearningRateMonitor`.*")
def test_evaluations_of_other_cases_are_not_compared(run, tmp_path):
    other = evaluated(run, tmp_path / "other", "part=train")
    with pytest.raises(InputError, match=r"baseline=.*other: another part \(train, not val\); name its checkpoint"):
        evaluated(run, tmp_path / "one", f"baseline={other}")
    assert not (tmp_path / "one").exists()
    (other / "evaluation.json").unlink()
    with pytest.raises(InputError, match=r"it has no evaluation\.json"):
        evaluated(run, tmp_path / "one", f"baseline={other}")
