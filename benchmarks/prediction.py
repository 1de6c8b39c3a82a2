"""Files to label maps beside bare batched inference of the same network, taking turns.

``predict.py`` reads PNG files, writes label maps and the table of structures; the bare loop runs the same network and
head over the same slices in memory, batch by batch. On a CPU process CPU time counts, on a GPU time on the clock (goal:
at most 1 / 0.9 of the bare loop's). Below stands what the challenge's table of 500 slices costs on top (goal: below
10 s of CPU time).
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.measuring import Cost, Stopwatch, in_turn, parser, print_costs, record
from datamodules.sources.anatomy import ANATOMY_NAMES
from datamodules.sources.phantom import PhantomSource
from datamodules.sources.volume import VolumeReader
from datamodules.stored_grid import StoredGrid
from inference.challenge import write_submission
from inference.ensemble import Ensemble, Member
from inference.postprocess import Postprocess
from inference.prediction import Prediction
from models.normalised import NormalisedNetwork
from models.unet import UNet
from partial_labels.classes import ClassTable
from partial_labels.head import SigmoidHead
from runs.hardware.device import find_place

CLASSES = ClassTable.from_foreground(ANATOMY_NAMES)
SUBMITTED = 500


def make_member(width: int, size: int) -> Member:
    """Return a U-Net with sigmoids for the 54 structures; its weights are of no matter to the time."""
    network = NormalisedNetwork(UNet(1, len(CLASSES) - 1, width=width))
    network.set_statistics(0.25, 0.2)
    return Member(network, SigmoidHead(), CLASSES, StoredGrid((size, size), "scale"))


def write_images(folder: Path, number: int, size: int) -> Tensor:
    """Write phantom slices as PNG, and return them, (N, 1, H, W)."""
    folder.mkdir()
    drawn = [case.image for case in PhantomSource(num_slices=min(number, 64), image_size=size).cases()]
    images = np.stack(list(itertools.islice(itertools.cycle(drawn), number)))
    for index, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{index}.png")
    return torch.from_numpy(images)[:, None]


def compare(root: Path, options: Any) -> dict[str, Cost]:
    """Predict and run the bare loop in turn."""
    device, autocast, dtype = find_place("auto", "auto", 1)
    member = make_member(options.width, options.size)
    ensemble = Ensemble([member]).to(device).eval()
    images = write_images(root / "images", options.slices, options.size)

    def bare() -> None:
        with torch.inference_mode(), autocast():
            for start in range(0, len(images), options.batch):
                image = images[start : start + options.batch].to(device).float() / 255
                member.head.predict(member.network(image)).cpu()

    prediction = Prediction(ensemble, VolumeReader, Postprocess(), device, autocast, dtype, batch_size=options.batch)
    outputs = (root / f"out{number}" for number in itertools.count())
    return in_turn(
        {"bare": bare, "predict": lambda: prediction.run(root / "images", next(outputs), {})}, options.rounds
    )


def main() -> None:
    """Measure and print."""
    options = parser(__doc__, rounds=5, slices=96, size=256, width=16, batch=32).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        cost = compare(root, options)
        labels = [root / f"{number}.png" for number in range(SUBMITTED)]
        for number, path in enumerate(labels):
            shutil.copy(root / "out0" / "labels" / f"{number % options.slices}.png", path)
        watch = Stopwatch()
        watch.time(lambda: write_submission(root / "submission.csv", labels, CLASSES))
    print(f"{options.slices} slices of {options.size} x {options.size}, U-Net of width {options.width}")
    print_costs(cost, "bare")
    print(f"{'table of 500 slices':34}{watch.cost.cpu_ms:10.2f}{watch.cost.wall_ms:10.2f}")
    record("prediction", {**cost, "table": watch.cost})


if __name__ == "__main__":
    main()
