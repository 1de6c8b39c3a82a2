"""Every cell of docs/kaggle.ipynb on a CPU: what it types into the shell is run here, its Python as it stands."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import sys
import types
from pathlib import Path

import pytest

import evaluate
import prepare
import train
from partial_labels.errors import Interrupted
from tests.command_line import SMALL, shell

NOTEBOOK = Path(__file__).parents[1] / "docs" / "kaggle.ipynb"
MAINS = {
    "train.py": (train.main, "config"),
    "evaluate.py": (evaluate.main, "evaluate"),
    "prepare.py": (prepare.main, "prepare"),
}
ON_CPU = {"trainer=t4": "trainer=cpu", "trainer=p100": "trainer=cpu"}
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*num_workers.*"),
    pytest.mark.filterwarnings("ignore:.*`LearningRateMonitor`.*"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of W&B's client
]


def cells(kaggle: Path) -> list[str]:
    """Return the code with the shell's lines as calls of ``typed``, and Kaggle's folders elsewhere."""
    sources = [
        "".join(cell["source"]) for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"
    ]
    calls = [re.sub(r"^(\s*)[!%](.*)$", lambda m: f"{m[1]}typed(f{m[2]!r})", source, flags=re.M) for source in sources]
    return [call.replace("/kaggle/", f"{kaggle}/") for call in calls]


@pytest.fixture
def session(tmp_path, monkeypatch, slices_folder):
    """Run all cells as one session; returns the commands and their exit codes."""
    kaggle = tmp_path / "kaggle"
    (kaggle / "input" / "partialseg").mkdir(parents=True)
    (kaggle / "working").mkdir()
    shutil.copytree(slices_folder, kaggle / "input" / "my-slices")
    display = types.SimpleNamespace(HTML=str, display=lambda page: None)
    ipython = types.SimpleNamespace(version_info=(9, 0))  # matplotlib asks
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)

    def run(gpu="Tesla T4", secret=None):
        answered = types.SimpleNamespace(stdout=f"{gpu}\n")
        monkeypatch.setattr("subprocess.run", lambda *a, **k: answered)
        client = types.SimpleNamespace(get_secret=lambda name: {"WANDB_API_KEY": secret}[name] if secret else {}[name])
        monkeypatch.setitem(sys.modules, "kaggle_secrets", types.SimpleNamespace(UserSecretsClient=lambda: client))
        commands = []

        def typed(line):
            words = shlex.split(line)
            code = 0
            if "python" in words:
                script, *arguments = words[words.index("python") + 1 :]
                code = on_cpu(script, arguments)
            commands.append((line, code))

        namespace = {"typed": typed}
        for cell in cells(kaggle):
            exec(compile(cell, "kaggle.ipynb", "exec"), namespace)
        return commands

    with shell(tmp_path, monkeypatch) as command:

        def on_cpu(script, arguments):
            main, config = MAINS[script]
            given = {one.partition("=")[0] for one in arguments}
            resumed = "resume" in given
            arguments = [ON_CPU.get(one, one) for one in arguments]
            short = () if script == "evaluate.py" or resumed else SMALL
            if script == "prepare.py":
                short = [one for one in SMALL if one.startswith("data.")]
            small = [one for one in short if one.partition("=")[0] not in {*given, "data"}]
            online = [one.replace("mode=online", "mode=offline") for one in arguments]
            return command(main, config, *online, *small)

        yield kaggle, run


def test_all_cells_run(session, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    kaggle, run = session
    commands = run()
    assert {code for _, code in commands} == {0}
    lines = [line for line, _ in commands]
    assert not any("cu126" in line for line in lines)
    assert any("trainer=t4 logger=wandb logger.mode=offline" in line for line in lines)
    assert lines[-2].startswith("timeout --signal=TERM --kill-after=600 30600 python train.py data=slices")
    work = kaggle / "working"
    assert (work / "data.html").exists() and (work / "run" / "report.html").exists()
    assert (work / "evaluation" / "figures.json").exists()


def out_of_time(*arguments):
    """Stand in for a fit that runs into the time limit before its first checkpoint."""
    raise Interrupted(signal.SIGTERM)


def test_a_session_that_ended_is_continued_from_its_output(session, capsys):
    kaggle, run = session
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("runs.training.fit_stages", out_of_time)
        commands = run(gpu="Tesla P100-PCIE-16GB", secret="key")
    lines = [line for line, _ in commands]
    assert any("cu126" in line for line in lines) and "trainer=p100" in lines[-1] and "mode=online" in lines[-1]
    assert commands[-1][1] == 143 and "not finished: save this version" in capsys.readouterr().out
    (kaggle / "input" / "my-notebook").mkdir()
    shutil.move(kaggle / "working" / "run", kaggle / "input" / "my-notebook" / "run")
    commands = run()
    assert commands[-2] == (
        f"timeout --signal=TERM --kill-after=600 30600 python train.py resume={kaggle}/working/run",
        0,
    )
    assert (kaggle / "working" / "run" / "results.json").exists()
