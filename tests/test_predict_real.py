"""On a real volume: what ``predict.py`` writes has the Dice that ``evaluate.py`` gives."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.sources.volume import VolumeReader
from inference.prediction import Outcome
from runs.evaluation import evaluate_command
from runs.prediction import predict_command
from runs.training import train
from tests.configs import composed, small_run
from tests.volumes import write

DATA = Path(__file__).parents[2] / "shared" / "data" / "totalsegmentator_example"
pytestmark = [
    pytest.mark.skipif(not DATA.exists(), reason="the example volume is not there"),
    pytest.mark.filterwarnings("ignore:.*num_workers.*"),
    pytest.mark.filterwarnings("ignore:.*`LearningRateMonitor`.*"),
]


def every_other(folder, first, split):
    """Copy every other slice of the volume from ``first`` on, each a group of its own; return their manifest rows."""
    with (DATA / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))[first::2]
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for number, row in enumerate(rows):
        for part in ("image", "label"):
            shutil.copy(DATA / row[part], folder / row[part])
        row |= {"group": f"g{number}", "split": split(number)}
    shutil.copy(DATA / "classes.json", folder)
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return rows


def mean_dice(labels, predictions):
    """The challenge's mean, written out: over the slices of a class that show or predict it, then over classes."""
    means = []
    for index in range(1, 118):
        pairs = [(label == index, prediction == index) for label, prediction in zip(labels, predictions, strict=True)]
        found = [2 * (a & b).sum() / (a.sum() + b.sum()) for a, b in pairs if (a | b).any()]
        means += [np.mean(found)] if found else []
    return np.mean(means)


def test_the_dice_of_predicted_nifti_is_that_of_evaluate(tmp_path):
    every_other(tmp_path / "even", 0, lambda number: "val" if number % 8 == 0 else "train")
    rows = every_other(tmp_path / "odd", 1, lambda number: "test")
    small = ("data.image_size=64", "data.steps_per_epoch=80", "trainer.max_epochs=1", "model.width=8", "augment=none")
    cfg = small_run(tmp_path / "even", *small, "optimizer=adamw", "optimizer.lr=1e-2", "report.tables.show=false")
    train(cfg)
    checkpoint = f"checkpoint={cfg.paths.run}/checkpoints/supervised/last.ckpt"

    odd = ("data=slices", f"data.root={tmp_path}/odd", "data.image_size=64", "part=all", "native=true")
    keys = ("threshold=0.1", checkpoint)
    figures, _ = evaluate_command(composed(tmp_path, *odd, *keys, "report.tables.show=false", config="evaluate"))

    images, labels = (
        np.stack([np.array(Image.open(tmp_path / "odd" / row[part])) for row in rows]) for part in ("image", "label")
    )
    voxels = images.transpose(2, 1, 0)[::-1, ::-1]  # slices as PLS shows them, in an (R, A, S) array
    write(tmp_path / "ct.nii.gz", voxels.copy(), orientation="LIP", spacing=(3.0, 3.0, 6.0))
    reader = ("reader=volume", "reader.window=[0,255]")
    files = (f"input={tmp_path}/ct.nii.gz", f"output={tmp_path}/out")
    outcome = predict_command(predicting(*files, *reader, *keys))
    assert isinstance(outcome, Outcome) and outcome.slices == len(rows)
    predictions = VolumeReader().read(tmp_path / "out/labels/ct.nii.gz").image
    assert len(np.unique(predictions)) > 5
    assert mean_dice(labels, predictions) == pytest.approx(figures["dice"], abs=1e-6)


def predicting(*overrides):
    """Compose ``predict.py``'s configuration, which has no paths."""
    from hydra import compose, initialize_config_dir

    from tests.configs import CONF

    with initialize_config_dir(CONF, version_base="1.3"):
        return compose("predict", overrides=list(overrides))
