import csv
import json
import re
import statistics
import sys

import pytest
from PIL import Image

from partial_labels.errors import InputError
from reports.comparison.charts import wrapped
from reports.comparison.comparison import compare
from reports.comparison.output import write_page
from reports.comparison.page import without_nan
from reports.pictures.panels import CAPTION, CELL, GAP, HEADER, MARGIN
from reports.pictures.style import DPI
from tests.finished_runs import write_run

DATA = re.compile(r'<script type="application/json" id="comparison">(.*?)</script>', re.DOTALL)


@pytest.fixture
def sweep(tmp_path):
    for number, ssl in enumerate(("supervised", "teacher_student")):
        for seed in (0, 1):
            write_run(tmp_path / "sweep" / f"{2 * number + seed}_{ssl}", ssl, seed, 0.2 * number)
    write_run(tmp_path / "sweep" / "4_teacher_student", "teacher_student", 2, finished=False)
    return tmp_path / "sweep"


def page_of(*directories, **options):
    text = write_page(compare(directories, **options), directories[0] / "compare.html").read_text(encoding="utf-8")
    return text, json.loads(DATA.search(text)[1])


def logged(run, key):
    with (run / "metrics.csv").open() as file:
        return [float(row[key]) for row in csv.DictReader(file) if row[key]]


def test_the_numbers_in_the_page_are_those_of_metrics_csv_to_the_last_digit(sweep):
    _, data = page_of(sweep)
    assert len(data["runs"]) == 5
    for run in data["runs"]:
        for key in ("val/dice", "val/dice_volume"):
            assert run["curves"][key]["value"] == logged(sweep / run["name"], key)
        if run["finished"]:
            assert run["figures"] == json.loads((sweep / run["name"] / "results.json").read_text())["figures"]


def test_the_lines_that_are_drawn_are_the_means_over_the_seeds_to_the_last_digit(sweep):
    _, data = page_of(sweep)
    for series, group in enumerate(data["groups"]):
        done = [sweep / name for name in group["runs"] if (sweep / name / "results.json").exists()]
        values = list(zip(*(logged(run, "val/dice") for run in done), strict=True))
        traces = [t for t in data["charts"]["curves"]["Dice"]["data"] if t["meta"]["series"] == series]
        (line,) = [trace for trace in traces if trace["mode"] == "lines+markers"]
        assert line["y"] == [statistics.fmean(one) for one in values] and line["x"] == [1, 2, 3, 4, 5, 6]
        assert line["customdata"] == pytest.approx([statistics.stdev(one) for one in values], abs=1e-15)
        singles = {trace["meta"]["run"]: trace["y"] for trace in traces if "run" in trace["meta"]}
        assert singles == {name: logged(sweep / name, "val/dice") for name in group["runs"]}


def test_an_unfinished_run_is_drawn_by_its_name_and_counts_in_no_mean(sweep):
    text, data = page_of(sweep)
    (trace,) = [t for t in data["charts"]["curves"]["Dice"]["data"] if t["meta"].get("run") == "4_teacher_student"]
    assert trace["showlegend"] and trace["name"].endswith("(unfinished)") and len(trace["y"]) == 3
    assert "4_teacher_student: stopped after 3 of 6 epochs" in text


def test_the_stages_of_a_strategy_are_marked(sweep):
    _, data = page_of(sweep)
    layout = data["charts"]["curves"]["Dice"]["layout"]
    assert [shape["x0"] for shape in layout["shapes"]] == [3] and layout["annotations"][0]["text"] == "student"
    assert layout["xaxis"]["dtick"] == 1, "six epochs, and none of them half"


def test_the_page_is_complete_in_itself(sweep):
    text, _ = page_of(sweep)
    assert "<script src" not in text and "<link" not in text and text.count("* plotly.js v") == 1
    for section in (
        "In short",
        "Curves",
        "Figures",
        "Gain over supervised",
        "Classes",
        "Pseudo-labels",
        "Cost",
        "Runs",
    ):
        assert f"<h2>{section}</h2>" in text
    assert "python train.py ssl=supervised seed=0" in text


def test_text_from_a_configuration_is_no_html(tmp_path):
    evil = "</script><script>alert(1)</script><b>"
    runs = [write_run(tmp_path / str(i), changes={"model.note": note}) for i, note in enumerate((evil, "plain"))]
    text, data = page_of(*runs)
    assert "<script>alert" not in text and "<b>" not in DATA.sub("", text).split("</head>")[1].replace("<b>1", "")
    assert data["groups"][0]["keys"] == {"model.note": evil}
    names = [trace["name"] for trace in data["charts"]["curves"]["Dice"]["data"] if "name" in trace]
    assert all("<script" not in name for name in names)


def test_a_label_reads_in_a_chart_as_it_is_written():
    assert wrapped('a "b" <c>', 40) == 'a "b" &lt;c&gt;'
    assert wrapped("mean_teacher, unsupervised_weight 1.0", 14) == "mean_teacher,<br>unsupervised_<br>weight 1.0"


def test_one_run_and_runs_without_curves_make_a_page_too(tmp_path):
    run = write_run(tmp_path / "a")
    (run / "metrics.csv").unlink()
    text, data = page_of(run)
    assert (
        data["charts"]["curves"] == {} and "No run was validated while it trained" in text and "Gain over" not in text
    )
    text, _ = page_of(write_run(tmp_path / "b", finished=False))
    assert "No run has come to its end" in text


def test_the_cases_show_the_prediction_of_each_group_beside_what_is_known_once(sweep):
    width, height = 2 * MARGIN + 3 * CELL + 2 * GAP, HEADER + 2 * (CAPTION + CELL) + 1
    for number, path in enumerate(sorted(sweep.glob("*/results.json"))):
        sheet = Image.new("RGB", (round(width * DPI), round(height * DPI)), (number, 100, 50))
        sheet.save(path.parent / "evaluation" / "last" / "panels.png")
    text, _ = page_of(sweep)
    figures = re.findall(r'<figure style="--span:([\d.]+)"><figcaption>(.*?)</figcaption>', text)
    assert [title for _, title in figures] == [
        "what is known", "supervised <span>seed 0</span>", "teacher_student <span>seed 0</span>",
    ]  # fmt: skip
    assert [round(float(span)) for span, _ in figures] == [2, 1, 1]


def test_without_plotly_one_line_says_what_to_install(sweep, monkeypatch):
    for name in [
        name
        for name in sys.modules
        if name.startswith(("plotly", "reports.comparison.page", "reports.comparison.charts"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(InputError, match=r"its charts need plotly; pip install 'partialseg\[compare\]'"):
        write_page(compare([sweep]), sweep / "compare.html")


def test_what_json_has_no_word_for_becomes_null():
    assert without_nan({"a": [1.0, float("nan")], "b": (float("inf"), "x")}) == {"a": [1.0, None], "b": [None, "x"]}
