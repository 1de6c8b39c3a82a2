"""``compare.py`` as a user meets it: on runs that were really trained, on wrong input, and in a real browser."""

import csv
import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from compare import main
from runs.training import train
from tests.command_line import SMALL, shell
from tests.configs import small_run
from tests.finished_runs import write_run
from train import main as train_main

ROOT = Path(__file__).parents[1]
DATA = re.compile(r'<script type="application/json" id="comparison">(.*?)</script>', re.DOTALL)


@pytest.fixture
def answer(tmp_path, monkeypatch, capsys):
    """Run the command in an empty directory: ``answer(*words)`` gives exit code, stdout and the lines of stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return code, out, err.splitlines()

    return run


def right_to_the_last_digit(page, sweep):
    """Hold what a page knows of finished runs against their files, and return it."""
    data = json.loads(DATA.search(page.read_text(encoding="utf-8"))[1])
    for run in data["runs"]:
        with (sweep / run["name"] / "metrics.csv").open() as file:
            rows = [row for row in csv.DictReader(file) if row["val/dice"]]
        assert run["curves"]["val/dice"]["value"] == [float(row["val/dice"]) for row in rows]
        assert run["curves"]["val/dice"]["epoch"] == [float(row["epoch"]) + 1 for row in rows]
        results = json.loads((sweep / run["name"] / "results.json").read_text())
        assert run["figures"] == results["figures"]
    return data


def killed_at_seed_1(cfg):
    if cfg.seed == 1:
        raise KeyboardInterrupt
    return train_main(cfg)


killed_at_seed_1.__module__ = "train"


@pytest.mark.filterwarnings("ignore:.*num_workers.*")
@pytest.mark.filterwarnings("ignore:.*`LearningRateMonitor`.*")
def test_a_sweep_that_was_stopped_and_has_a_failing_job_is_completed_and_compared(
    slices_folder, tmp_path, monkeypatch, capsys
):
    pytest.importorskip("plotly")
    with shell(tmp_path, monkeypatch) as run:
        small = [word for word in SMALL if not word.startswith("model.width")]
        words = ["model.width=4,0", "seed=0,1", f"data.root={slices_folder}", "hydra.sweep.dir=sweep"]
        assert run(killed_at_seed_1, "config", "-m", *small, *words) == 130
        assert main(["sweep"]) == 0
        out = capsys.readouterr().out
        assert "note: sweep: 3 without a run; complete it: python train.py -m resume_sweep=sweep\n" in out
        assert "seed1 (model.width=4 seed=1): not begun\n" in out
        assert run(train_main, "config", "-m", "resume_sweep=sweep") == 1
    assert "2 of 3 jobs failed:" in capsys.readouterr().err
    assert main(["sweep"]) == 0
    refused = "seed0 (model.width=0 seed=0): refused: model.width=0: must be 1 or more\n"
    assert refused in capsys.readouterr().out
    data = right_to_the_last_digit(tmp_path / "compare.html", tmp_path / "sweep")
    assert [run["seed"] for run in data["runs"]] == [0, 1] and all(run["finished"] for run in data["runs"])


@pytest.mark.filterwarnings("ignore:.*`LearningRateMonitor`.*")
def test_runs_that_were_trained_are_compared_to_the_last_digit(slices_folder, tmp_path, answer):
    pytest.importorskip("plotly")
    for ssl in ("supervised", "teacher_student"):
        where = tmp_path / "sweep" / ssl
        train(small_run(slices_folder, f"ssl={ssl}", f"paths.run={where}", "pseudo.threshold=0.01"))
    code, out, err = answer("sweep", "--group-by", "ssl.name", "--baseline", "supervised")
    assert (code, err) == (0, []) and "page: compare.html" in out
    data = right_to_the_last_digit(tmp_path / "compare.html", tmp_path / "sweep")
    assert [group["label"] for group in data["groups"]] == ["supervised", "teacher_student"]
    supervised, teacher_student = (run["figures"]["last"]["dice"] for run in data["runs"])
    assert data["gains"]["dice"][0]["over_cases"][0] == pytest.approx(teacher_student - supervised, abs=1e-12)


def wrong_inputs(root):
    good = write_run(root / "good")
    (root / "empty").mkdir()
    broken = write_run(root / "broken")
    (broken / "metrics.csv").write_text("step,val/dice\n9,0.5\n19,oops\n")
    return [
        ([root / "empty"], "empty: no run lies there"),
        ([root / "nowhere"], "nowhere: no such directory"),
        ([good / "results.json"], "results.json: no such directory"),
        ([good, "--group-by", "modle.width"], "did you mean model.width"),
        ([good, "--baseline", "nobody"], "--baseline 'nobody': no such group; there is all runs"),
        ([good, broken], "metrics.csv, row 3: val/dice='oops' is no number"),
        ([good, "--output", good / "config.yaml" / "x.html"], "config.yaml"),
    ]


def test_wrong_input_ends_with_one_line(tmp_path, answer):
    for words, says in wrong_inputs(tmp_path):
        code, _, err = answer(*words)
        assert code == 1 and len(err) == 1 and err[0].startswith("error: ") and says in err[0], (words, err)
        assert not (tmp_path / "compare.html").exists()


def test_help_answers_without_heavy_libraries():
    code = (
        "import sys, compare; compare.arguments(['x']); print(sorted({'torch', 'numpy', 'plotly'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


chromium = pytest.importorskip("tests.chromium", reason="aiohttp is missing")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    pytest.importorskip("plotly")
    root = tmp_path_factory.mktemp("compared")
    for number, ssl in enumerate(("supervised", "teacher_student", "mean_teacher")):
        for seed in (0, 1):
            write_run(root / "sweep" / f"{number}_{seed}", ssl, seed, 0.1 * number)
    assert main([str(root / "sweep"), "--output", str(root / "compare.html")]) == 0
    return root / "compare.html"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    if chromium.BINARY is None:
        pytest.skip("no Chromium is installed")
    with chromium.browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


CURVES = ".chart[data-chart=curves]"


def test_in_a_browser_nothing_is_logged_and_legend_hover_and_views_work(page, sweep):
    page.open(sweep)
    page.wait("document.querySelectorAll('.plot .main-svg').length >= 8")
    assert page.run("[...document.querySelectorAll('.chart')].map(c => c.dataset.chart)") == [
        "curves", "gains", "classes", "cost",
    ]  # fmt: skip

    lines = f"document.querySelectorAll('{CURVES} .scatterlayer .trace').length"
    before = page.run(lines)
    page.mouse(*page.middle(f"{CURVES} .legend .legendtoggle", 1), click=True)
    page.wait(f"{lines} < {before}")
    hidden = page.run(
        f"document.querySelector('{CURVES} .plot').data.filter(t => t.visible === 'legendonly').map(t => t.meta.series)"
    )
    assert set(hidden) == {1}, "mean, band and single runs of the second group leave together"

    x, y = page.middle(f"{CURVES} .plot .nsewdrag")
    shaken = itertools.cycle([x, x - 4])
    shown = f"document.querySelector('{CURVES} .hoverlayer').textContent.includes('±')"
    page.wait(shown, meanwhile=lambda: page.mouse(next(shaken), y))

    page.colours(dark=True)
    page.wait(f"document.querySelector('{CURVES} .xtitle').style.fill === 'rgb(227, 233, 238)'")
    assert page.run(f"document.querySelector('{CURVES} .plot').data.some(t => t.visible === 'legendonly')")

    page.mouse(*page.middle(f"{CURVES} .views button", 1), click=True)
    page.wait(f"document.querySelector('{CURVES} .ytitle').textContent === 'Dice by volume'")
    assert page.run("performance.getEntriesByType('resource').length") == 0, "the page asks for no other file"
    assert page.problems == []


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 400])
def test_in_a_browser_the_page_fits_and_takes_the_colours_of_the_screen(page, sweep, tmp_path, width, dark):
    page.open(sweep, width=width, dark=dark)
    page.wait("document.querySelectorAll('.plot .main-svg').length >= 8")
    assert page.run("document.documentElement.scrollWidth") <= width, "the page itself never scrolls sideways"
    ink = page.run(f"document.querySelector('{CURVES} .xtitle').style.fill")
    assert (ink == "rgb(227, 233, 238)") is dark
    page.screenshot(tmp_path / "page.png")
    from PIL import Image

    assert (sum(Image.open(tmp_path / "page.png").convert("RGB").getpixel((5, 5))) < 150) is dark
    assert page.problems == []
