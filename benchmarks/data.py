"""Augmented images per second: ours, a batch at a time, beside MONAI and batchgenerators, interleaved, one thread.

``python -m benchmarks data`` does the same operations in the same ranges to every image on both sides: turn,
zoom, shift and elastic bend of image and label, gamma, contrast, brightness, blur and noise. It prints medians of
process CPU time at two sizes, and what one batch costs with the probabilities of ``conf/augment/default.yaml``.
The whole stream, from cases in memory to the batch, is measured beside batchgenerators too, where that is installed.
``--rounds``, ``--batch`` and ``--sizes`` change the measurement.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai import transforms
from monai.data import DataLoader, Dataset
from omegaconf import OmegaConf

from augment.draws import Draws
from augment.geometry import RandomGeometry
from augment.intensity import Blur, Brightness, Contrast, Gamma, IntensityOp, Noise
from augment.mirror import MirrorRule
from augment.views import StrongView, WeakView
from benchmarks import nnunet_pipeline
from benchmarks.measuring import in_turn, record
from benchmarks.small_run import composed
from partial_labels.batch import HUMAN, PartialLabelBatch
from runs.configuration.instantiate import build

CONF = Path(__file__).parents[1] / "conf" / "augment" / "default.yaml"
STILL = MirrorRule("none", (0, 1))
DEGREES, ZOOM, SHIFT, BEND, CELLS = 15.0, 0.15, 0.05, 0.04, 4
Run = Callable[[PartialLabelBatch, int], Any]


def draw_batch(images: int, size: int) -> PartialLabelBatch:
    """Return noise with a disc of class 1 in the middle of every image."""
    rows, columns = np.mgrid[:size, :size] - size / 2
    label = torch.from_numpy((rows**2 + columns**2 < (size / 4) ** 2).astype(np.uint8)).expand(images, -1, -1)
    image = torch.rand(images, 1, size, size, generator=torch.Generator().manual_seed(0))
    status = torch.full((images, 2), HUMAN, dtype=torch.uint8)
    return PartialLabelBatch(image, label.contiguous(), status, torch.ones(images), torch.arange(images))


def ours(geometry: bool, intensity: bool) -> Run:
    """One view of a batch at a time."""
    view = our_view(geometry, intensity)
    return lambda batch, step: view(batch, draws_of(batch, step), STILL)


def our_view(geometry: bool, intensity: bool) -> WeakView:
    """Every operation on every image, in one view."""
    grey: list[IntensityOp] = [
        Gamma(1.0, 0.7, 1.43),
        Contrast(1.0, 0.8, 1.25),
        Brightness(1.0, -0.1, 0.1),
        Blur(1.0, 0.4, 0.8),
        Noise(1.0, 0.04, 0.04),
    ]
    move = RandomGeometry(DEGREES, 1.0, (1 - ZOOM, 1 + ZOOM), 1.0, SHIFT, 1.0, BEND, CELLS, 1.0)
    return WeakView(move if geometry else None, grey if intensity else [])


def monai(geometry: bool, intensity: bool, size: int) -> Run:
    """The same with MONAI, image by image, and stacked."""
    steps = monai_transforms(geometry, intensity, size)

    def run(batch: PartialLabelBatch, step: int) -> Any:
        pairs = zip(batch.image, batch.label[:, None], strict=True)
        done = [steps({"image": image, "label": label}) for image, label in pairs]
        return [torch.stack([case[key] for case in done]) for key in ("image", "label")]

    return run


def monai_transforms(geometry: bool, intensity: bool, size: int) -> Any:
    """One deformation for turn, zoom, shift and bend, then the grey values, of one image."""
    move = transforms.Rand2DElasticd(
        ["image", "label"],
        spacing=(size / CELLS, size / CELLS),
        magnitude_range=(0.0, BEND * size),
        prob=1.0,
        rotate_range=float(np.deg2rad(DEGREES)),
        scale_range=(ZOOM, ZOOM),
        translate_range=(SHIFT * size, SHIFT * size),
        mode=("bilinear", "nearest"),
        padding_mode="zeros",
    )
    grey = [
        transforms.RandAdjustContrastd("image", prob=1.0, gamma=(0.7, 1.43)),
        transforms.RandScaleIntensityFixedMeand("image", prob=1.0, factors=(-0.2, 0.25), preserve_range=False),
        transforms.RandShiftIntensityd("image", prob=1.0, offsets=(-0.1, 0.1)),
        transforms.RandGaussianSmoothd("image", prob=1.0, sigma_x=(0.4, 0.8), sigma_y=(0.4, 0.8)),
        transforms.RandGaussianNoised("image", prob=1.0, std=0.04, sample_std=False),
        transforms.ThresholdIntensityd("image", threshold=0.0, above=True, cval=0.0),
        transforms.ThresholdIntensityd("image", threshold=1.0, above=False, cval=1.0),
    ]
    return transforms.Compose([move] * geometry + grey * intensity)


def streams(folder: Path, images: int, size: int, steps: int) -> dict[str, Callable[[], Any]]:
    """Return the next training batch of our DataModule, and of the others' loaders over the same cases in memory."""
    length = f"data.steps_per_epoch={steps}"
    sized = (f"data.image_size={size}", f"data.batch_size={images}", "data.source.num_slices=200")
    data: Any = build(composed(folder, *sized, length).data)
    data.setup()
    data.begin_stage(["labeled"])
    data.weak = our_view(True, True)
    batches = iter(data.train_dataloader())
    whole = data.cases.read(torch.from_numpy(data.labeled))
    cases = [{"image": image, "label": label[None]} for image, label in zip(whole.image, whole.label, strict=True)]
    dataset = Dataset(cases, monai_transforms(True, True, size))
    sampler = torch.utils.data.RandomSampler(dataset, replacement=True, num_samples=images * steps)
    loader = iter(DataLoader(dataset, batch_size=images, sampler=sampler, num_workers=0))
    found = {"ours": lambda: data.on_after_batch_transfer(next(batches), 0), "MONAI": lambda: next(loader)}
    if nnunet_pipeline.installed():
        arrays, ranges = (whole.image.numpy(), whole.label.numpy()), (DEGREES, ZOOM, SHIFT, BEND)
        found["batchgenerators"] = nnunet_pipeline.stream(*arrays, images, *ranges)
    return found


def draws_of(batch: PartialLabelBatch, step: int, stream: int = 0) -> Draws:
    """Return the random numbers of one step of one process."""
    return Draws(0, 0, step, torch.arange(len(batch.label)), len(batch.label), stream)


def milliseconds(runs: dict[str, Run], batch: PartialLabelBatch, rounds: int) -> dict[str, float]:
    """Run all in turn, ``rounds`` times after a warm-up, and return each one's median."""
    spent: dict[str, list[float]] = {name: [] for name in runs}
    for step in range(rounds + 1):
        for name, run in runs.items():
            start = time.process_time()
            run(batch, step)
            spent[name].append(1e3 * (time.process_time() - start))
    return {name: statistics.median(values[1:]) for name, values in spent.items()}


def main() -> None:
    """Read the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=21, help="default 21")
    parser.add_argument("--batch", type=int, default=16, help="images a batch, default 16")
    parser.add_argument("--record", action="store_true", help="write the figures to docs/results/performance")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 256], help="default 64 256")
    options = parser.parse_args()
    torch.set_num_threads(1)
    node = OmegaConf.load(CONF)
    weak, strong = build(node.weak), build(node.strong)
    assert isinstance(weak, WeakView) and isinstance(strong, StrongView)

    print(f"batches of {options.batch}, {options.rounds} rounds, {torch.get_num_threads()} thread")
    print(f"{'size':>5} {'on every image':22}{'ours img/s':>12}{'MONAI img/s':>12}{'ratio':>8}")
    for size in options.sizes:
        batch = draw_batch(options.batch, size)
        for name, parts in {"geometry": (True, False), "grey values": (False, True), "both": (True, True)}.items():
            spent = milliseconds({"ours": ours(*parts), "monai": monai(*parts, size)}, batch, options.rounds)
            speed = [1e3 * options.batch / spent[side] for side in ("ours", "monai")]
            print(f"{size:5} {name:22}{speed[0]:12.0f}{speed[1]:12.0f}{spent['monai'] / spent['ours']:8.1f}")
    print(f"\n{'size':>5} {'whole stream':22}{'img/s':>8}{'ours is':>12}")
    figures: dict[str, Any] = {}
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            cost = in_turn(streams(Path(folder), options.batch, size, options.rounds + 1), options.rounds)
        rates = {name: 1e3 * options.batch / one.cpu_ms for name, one in cost.items()}
        times = {name: rates["ours"] / rate for name, rate in rates.items()}
        figures[str(size)] = {"images_per_s": rates, "ratio": times["MONAI"], "ratios": times}
        for name, rate in rates.items():
            print(f"{size:5} {name:22}{rate:8.0f}{times[name]:6.1f} times")
    if not nnunet_pipeline.installed():
        print(nnunet_pipeline.INSTALL)
    record("data", figures)
    print(f"\n{'size':>5} {'conf/augment/default':22}{'ms a batch':>12}")
    for size in options.sizes:
        views: dict[str, Run] = {
            "weak": lambda batch, step: weak(batch, draws_of(batch, step), STILL),
            "strong": lambda batch, step: strong(batch.image, draws_of(batch, step, stream=1)),
        }
        for name, cost_ms in milliseconds(views, draw_batch(options.batch, size), 5 * options.rounds).items():
            print(f"{size:5} {name:22}{cost_ms:12.2f}")


if __name__ == "__main__":
    main()
