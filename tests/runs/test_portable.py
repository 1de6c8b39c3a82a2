"""Programs that leave the project: what they compute, and what is refused."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import runs
from partial_labels.case_store import CaseStore
from partial_labels.errors import InputError
from runs import portable
from runs.portable import export_command
from runs.training import train
from tests.configs import composed

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*num_workers.*"),
    pytest.mark.filterwarnings("ignore:.*`LearningRateMonitor`.*"),
]
EXAMPLE = Path(__file__).parents[2] / "examples" / "run_onnx.py"


SMALL = ("data=phantom_small", "data.image_size=32", "data.source.num_slices=24", "data.similarity=1.0")
FAST = ("trainer=cpu", "trainer.max_epochs=20", "trainer.validate_every_n_epochs=20", "trainer.progress_bar=false")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Train a small network until it draws something."""
    network = ("model.width=4", "model.depth=3", "optimizer=adamw", "optimizer.lr=1e-2", "augment=none", "logger=csv")
    cfg = composed(tmp_path_factory.mktemp("finished"), *SMALL, *FAST, *network, "data.batch_size=4")
    train(cfg)
    return Path(cfg.paths.run)


def exported(run, output, *overrides):
    asked = (f"checkpoint={run}", f"output={output / 'exported'}", *overrides)
    return export_command(composed(run.parent, *asked, config="export"))


def test_the_example_computes_without_our_code_what_the_run_predicts(finished, tmp_path):
    folder = exported(finished, tmp_path)
    source, target = tmp_path / "slice.png", tmp_path / "label.png"
    store = CaseStore.open(next((finished.parent / "cache").glob("phantom*")))
    Image.fromarray(np.asarray(store.images[5])).save(source)
    arguments = [sys.executable, "-I", str(EXAMPLE), str(folder), str(source), str(target)]
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=tmp_path, check=True)
    loaded = runs.load(finished)
    image = torch.from_numpy(np.asarray(Image.open(source)) / np.float32(255))[None, None]
    with torch.no_grad():
        expected = loaded.head.predict(loaded.network(image))[0].numpy()
    assert (expected > 0).any()
    assert (np.asarray(Image.open(target)) == expected).mean() >= 0.999
    assert "pixels of background" in done.stdout


def test_the_program_takes_any_number_of_slices_and_says_what_it_is(finished, tmp_path):
    folder = exported(finished, tmp_path, "formats=[pt2]", "slices=5")
    program = torch.export.load(folder / "network.pt2").module()
    image = torch.rand(3, 1, 32, 32)
    loaded = runs.load(finished)
    for count in (1, 3):
        found = program(image[:count])
        assert found.dtype == torch.uint8
        assert torch.equal(found, loaded.head.predict(loaded.network(image[:count])))
    about = json.loads((folder / "network.json").read_text())
    assert about["classes"] == list(loaded.classes.names)
    assert about["check"]["slices"] == 5 and about["check"]["equal_pixels"] == {"pt2": 1.0}
    assert {path.name for path in folder.iterdir()} == {"network.pt2", "network.json"}


def test_a_program_that_computes_something_else_is_refused_and_leaves_nothing(finished, tmp_path, monkeypatch):
    right = portable.write_pt2

    def wrong(program, path):
        runner = right(program, path)
        return lambda image: runner(image.flip(3))

    monkeypatch.setattr(portable, "write_pt2", wrong)
    with pytest.raises(InputError, match=r"formats=pt2: only \d+\.\d+% of the pixels agree"):
        exported(finished, tmp_path, "formats=[pt2]")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["formats=[tflite]"], "formats=tflite: choose from pt2, onnx"),
        (["formats=[]"], "formats is empty"),
        (["slices=1"], "slices=1: must be 2 or more"),
        ([*SMALL, "data.image_size=38"], "takes sides that 4 divides"),
    ],
)
def test_wrong_requests_are_refused_in_one_line(finished, tmp_path, overrides, message):
    with pytest.raises(InputError, match=message) as caught:
        exported(finished, tmp_path, *overrides)
    assert "\n" not in str(caught.value) and not any(tmp_path.iterdir())


def test_a_folder_that_holds_something_is_left_alone(finished, tmp_path):
    (tmp_path / "exported").mkdir()
    (tmp_path / "exported" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="something lies there"):
        exported(finished, tmp_path)


def test_a_missing_library_is_named_with_its_remedy(finished, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"onnxruntime is not installed; pip install 'partialseg\[export\]'"):
        exported(finished, tmp_path)


class Bessel(torch.nn.Module):
    """Has an operator that ONNX lacks."""

    def forward(self, image):
        return torch.special.bessel_j0(image)[:, 0].to(torch.uint8)


def test_an_operator_that_onnx_lacks_is_named_in_one_line(tmp_path):
    program = torch.export.export(Bessel(), (torch.rand(2, 1, 4, 4),))
    with pytest.raises(InputError, match=r"ONNX cannot hold this network: .*bessel_j0.*; formats=\[pt2\]") as caught:
        portable.write_onnx(program, tmp_path / "network.onnx")
    assert "\n" not in str(caught.value) and "\x1b" not in str(caught.value)


class Cases:
    """Twelve images of one pixel, each with its number, in three batches."""

    def __init__(self):
        self.batches = [np.arange(0, 5), np.arange(5, 10), np.arange(10, 12)]

    def __getitem__(self, index):
        image = torch.from_numpy(self.batches[index]).float()[:, None, None, None]
        return SimpleNamespace(seen=SimpleNamespace(image=image))


def test_slices_are_taken_at_even_steps_through_all_cases():
    loader = SimpleNamespace(dataset=Cases())
    data = SimpleNamespace(opened=range(12), evaluation_loader=lambda part: loader)
    assert portable.real_slices(data, 4).flatten().tolist() == [0, 4, 7, 11]
    assert len(portable.real_slices(data, 100)) == 12
