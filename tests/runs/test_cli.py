"""The command line, tried on a small entry point in its own process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
APP = """
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig

from partial_labels.errors import CLAIMED, InputError, Interrupted
from runs.cli import run_cli


@dataclass
class Root:
    defaults: list[Any] = field(default_factory=lambda: ["_self_", {"head": "sigmoid"}])
    head: Any = None
    seed: int = 0
    debug: bool = False


def main(cfg):
    if cfg.seed == 1:
        raise InputError("seed=1: try another")
    if cfg.seed == 2:
        raise RuntimeError("a bug")
    if cfg.seed == 4:
        raise KeyboardInterrupt
    if cfg.seed == -1:
        raise Interrupted(2, Path("my runs/1"))
    if cfg.seed >= 5:
        Path(HydraConfig.get().runtime.output_dir, "config.yaml").write_text("a: 1")
        if cfg.seed > 5:
            error = {6: InputError, 7: RuntimeError, 8: InputError}[cfg.seed]("it broke")
            if cfg.seed != 8:
                setattr(error, CLAIMED, "begun")
            raise error
    print("ran", cfg.seed)


ConfigStore.instance().store("app", Root)
run_cli(main, "app")
"""
HEAD = "_target_: partial_labels.head.SigmoidHead\n"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    (folder / "conf" / "head").mkdir(parents=True)
    (folder / "conf" / "head" / "sigmoid.yaml").write_text(HEAD + "other: 1\n")
    (folder / "conf" / "head" / "softmax.yaml").write_text("_target_: partial_labels.head.SoftmaxHead\n")
    (folder / "app.py").write_text(APP)
    return folder / "app.py"


def run(app: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(app), *overrides],
        cwd=app.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("sed=1", "error: sed: the config has no such key; did you mean seed?"),
        ("seed=x", "error: seed: Value 'x' of type 'str' could not be converted to Integer"),
        ("head=sigmiod", "error: head=sigmiod: no such choice; did you mean sigmoid?"),
        ("head.treshold=1", "error: head.treshold: the config has no such key; did you mean threshold?"),
        (
            "head.threshold=1",
            "error: head.threshold: the config does not list it, but partial_labels.head.SigmoidHead takes it; "
            "write +head.threshold=...",
        ),
        ("head=3", "error: head=3: no such choice; there is sigmoid, softmax"),
        ("head=null", "error: head=null: no such choice; there is sigmoid, softmax"),
        ("~head=3", "error: head=3: no such choice; there is sigmoid, softmax"),
        ("+head=softmax", "error: head is chosen already; write head=... without a plus"),
        (
            "head=softmax,sigmoid",
            "error: head=softmax,sigmoid: for a sweep add -m, a list is written [a,b], and a text with a comma stands "
            "in quotes",
        ),
        ("a=[1", "error: cannot read 'a=[1': no viable alternative at input '[1'"),
        (
            "seed=/tmp/ä",
            "error: cannot read 'seed=/tmp/ä': LexerNoViableAltException: seed=/tmp/ä; "
            "write the value in quotes inside quotes, as \"seed='/tmp/ä'\"",
        ),
        (
            "seed=a=b",
            "error: cannot read 'seed=a=b': mismatched input '=' expecting <EOF>; "
            "write the value in quotes inside quotes, as \"seed='a=b'\"",
        ),
        ("seed", "error: cannot read 'seed': write key=value"),
        ("=3", "error: cannot read '=3': write key=value"),
        ("seed=1", "error: seed=1: try another"),
        (
            "hydra.run.dir=app.py/run",
            "error: app.py/run: Not a directory; check the path, its permissions and the space left",
        ),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_1(app: Path, override: str, line: str) -> None:
    result = run(app, override)
    assert (result.returncode, result.stderr, result.stdout) == (1, line + "\n", "")
    assert not list(app.parent.glob("outputs/*/*"))


def test_a_failed_run_takes_nothing_away(app: Path) -> None:
    kept = app.parent / "kept"
    kept.mkdir()
    (kept / "mine.txt").write_text("a")
    run(app, "seed=1", "hydra.run.dir=kept")
    assert (kept / "mine.txt").exists()
    run(app, "seed=1", "hydra.run.dir=.")
    assert app.exists()
    run(app, "seed=0", "hydra.run.dir=done")
    assert (app.parent / "done" / "app.log").exists()


def test_a_run_that_had_begun_keeps_why_it_failed_until_it_comes_to_its_end(app: Path) -> None:
    note = app.parent / "begun" / "failure.txt"
    run(app, "seed=6", "hydra.run.dir=begun")
    assert note.read_text() == "it broke\n"
    run(app, "seed=7", "hydra.run.dir=begun")
    assert note.read_text() == "RuntimeError: it broke\n"
    note.unlink()
    run(app, "seed=8", "hydra.run.dir=begun")
    assert not note.exists(), "what is refused before the run is the run's own does not concern it"
    run(app, "seed=7", "hydra.run.dir=begun")
    run(app, "seed=5", "hydra.run.dir=begun")
    assert not note.exists()


def test_an_interrupt_is_no_error(app: Path) -> None:
    result = run(app, "seed=4")
    assert (result.returncode, result.stderr) == (130, "interrupted by SIGINT\n")
    begun = "interrupted by SIGINT; continue with: python train.py \"resume='my runs/1'\"\n"
    assert run(app, "seed=-1").stderr == begun


def test_debug_and_bugs_show_a_traceback(app: Path) -> None:
    result = run(app, "seed=1", "debug=true")
    assert result.returncode == 1 and "Traceback" in result.stderr and "in main" in result.stderr
    assert "RuntimeError: a bug" in run(app, "seed=2").stderr


def test_a_sweep_reports_every_failing_job_and_runs_the_others(app: Path) -> None:
    result = run(app, "--multirun", "seed=0,1,2,3")
    assert result.returncode == 1
    assert "error in job 1 (seed=1): seed=1: try another\n" in result.stderr
    assert "RuntimeError: a bug" in result.stderr and "JobFailedError" not in result.stderr
    assert "ran 0" in result.stdout and "ran 3" in result.stdout


def test_help_imports_neither_torch_nor_lightning(app: Path) -> None:
    code = "import runs.cli, sys; print(sorted({'torch', 'pytorch_lightning', 'numpy'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
    assert run(app, "--help").returncode == 0
