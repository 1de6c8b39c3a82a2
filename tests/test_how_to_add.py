"""The examples of docs/how-to-add.md, put in place beside the project and trained together."""

from __future__ import annotations

import importlib
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir

from conf.schema import register

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "how-to-add.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"```(?:python|yaml)\n# (?P<path>\S+\.(?:py|yaml))\n(?P<text>.*?)```", re.DOTALL)


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write the page's files into a folder that Python and Hydra search after the project's own."""
    for block in BLOCK.finditer(PAGE):
        path = tmp_path / block["path"]
        assert not (ROOT / block["path"]).exists(), "an example must be a new file"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block["text"], encoding="utf-8")
        if path.suffix == ".py":
            package = importlib.import_module(".".join(Path(block["path"]).parent.parts))
            monkeypatch.setattr(package, "__path__", [*package.__path__, str(path.parent)])
    return tmp_path


def write_slices(folder: Path) -> None:
    """Write 8 patients of 2 slices: two in three examined for one class or both, the others not at all."""
    folder.mkdir()
    for number in range(16):
        rng = np.random.default_rng(number)
        label = np.zeros((16, 16), dtype=np.uint8)
        label[2:7, rng.integers(2, 6) :][:, :6] = 1
        label[9:14, rng.integers(2, 6) :][:, :6] = 2
        image = (60 * label + rng.integers(0, 50, label.shape)).astype(np.uint8)
        examined = [[], [1], [1, 2]][number % 3]
        shown = np.where(np.isin(label, examined), label, 0).astype(np.uint8)
        np.savez(folder / f"p{number // 2}_{number % 2}.npz", image=image, label=shown, examined=examined)


def test_the_examples_train_together_and_no_old_file_changes(added: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from runs.training import train

    monkeypatch.chdir(added)
    write_slices(added / "slices")
    command = (
        PAGE.split("## Use them")[1].split("```bash\n")[1].split("```")[0].replace("FOLDER", str(added / "slices"))
    )
    python, script, *overrides = shlex.split(command.replace("\\\n", " "))
    assert (python, script) == ("python", "train.py")
    register()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        own = f"hydra.searchpath=[file://{added / 'conf'}]"
        few = ["data.image_size=16", "data.batch_size=4", "trainer=cpu", "trainer.max_epochs=1", "logger=csv"]
        where = [f"paths.run={added / 'run'}", f"paths.cache={added / 'cache'}", "trainer.progress_bar=false"]
        cfg = compose("config", [own, *overrides, *few, *where])
    results = train(cfg)
    assert np.isfinite(results["figures"]["last"]["dice"])
    assert json.loads((added / "run" / "results.json").read_text())["steps"] == results["steps"] > 0
    header = (added / "run" / "metrics.csv").read_text().splitlines()[0]
    assert "train/unsupervised" in header
