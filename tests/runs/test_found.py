"""A wrong name on the command line is answered before the heavy libraries load."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from partial_labels.errors import InputError
from runs.found import find_checkpoints, find_input, run_to_resume

ROOT = Path(__file__).parents[2]
RUN = """
import runpy, sys
sys.path.insert(0, ".")
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as end:
    print(end.code, sorted({"torch", "matplotlib", "pytorch_lightning", "scipy"} & set(sys.modules)))
"""


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["train.py", "resume=nowhere"], "resume=nowhere: no run lies there"),
        (["evaluate.py", "checkpoint=nowhere"], "nowhere: no checkpoint"),
        (["predict.py", "checkpoint=train.py", "input=nowhere"], "input=nowhere: no such file or folder"),
        (["compare.py", "nowhere"], "nowhere: no such directory"),
    ],
)
def test_the_libraries_are_not_waited_for(words: list[str], says: str) -> None:
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    line = [sys.executable, "-c", RUN, *words]
    done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "1 []" and done.stderr.startswith(f"error: {says}")


def test_what_is_there_is_found(tmp_path: Path) -> None:
    last = tmp_path / "run" / "checkpoints" / "supervised" / "last.ckpt"
    last.parent.mkdir(parents=True)
    last.touch()
    (tmp_path / "run" / "config.yaml").touch()
    assert run_to_resume(str(tmp_path / "run")) == tmp_path / "run"
    assert find_checkpoints([str(tmp_path / "run"), last]) == [last, last] == find_checkpoints(last) * 2
    assert find_input(str(tmp_path)) == tmp_path


@pytest.mark.parametrize("empty", [[], [""], "", None, 3])
def test_no_name_is_refused(empty: object) -> None:
    with pytest.raises(InputError, match="name a checkpoint, or several as"):
        find_checkpoints(empty)
    with pytest.raises(InputError, match="no run lies there"):
        run_to_resume("")
    with pytest.raises(InputError, match="no such file or folder"):
        find_input("")
