"""The stream of :mod:`benchmarks.data` with batchgenerators, the augmentation of nnU-Net's first version.

It is no part of the project: the benchmark leaves it out where it is not installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

INSTALL = "batchgenerators is left out: pip install --target FOLDER batchgenerators, and PYTHONPATH=FOLDER"


def installed() -> bool:
    """Tell whether batchgenerators can be imported."""
    return find_spec("batchgenerators") is not None


def stream(
    images: NDArray[np.float32],
    labels: NDArray[np.uint8],
    batch: int,
    degrees: float,
    zoom: float,
    shift: float,
    bend: float,
) -> Callable[[], Any]:
    """Return the next batch of batchgenerators' loader over cases in memory, as tensors.

    Args:
        images: (N, 1, H, W) in [0, 1].
        labels: (N, H, W) class ids.
        batch: Images a batch.
        degrees: Largest turn.
        zoom: Largest zoom, as a share.
        shift: Largest shift, as a share of the side.
        bend: Scale of the elastic bend, likewise.
    """
    augmenter = import_module("batchgenerators.dataloading.single_threaded_augmenter")
    loader = loader_of(images, labels[:, None], batch)
    steps = pipeline(images.shape[2:], degrees, zoom, shift, bend)
    batches: Iterator[dict[str, Any]] = iter(augmenter.SingleThreadedAugmenter(loader, steps))
    return lambda: {key: torch.from_numpy(array) for key, array in next(batches).items()}


def loader_of(images: NDArray[np.float32], labels: NDArray[np.uint8], batch: int) -> Iterator[dict[str, Any]]:
    """Draw batches of random cases, without end."""
    random = np.random.default_rng(0)
    while True:
        chosen = random.integers(len(images), size=batch)
        yield {"data": images[chosen], "seg": labels[chosen]}


def pipeline(size: tuple[int, ...], degrees: float, zoom: float, shift: float, bend: float) -> Any:
    """One deformation of image and label, then the grey values, of every image.

    Of its two spatial transforms the faster is taken; a crop of the whole size from a drawn centre is a shift.
    """
    spatial, color, noise = (
        import_module(f"batchgenerators.transforms.{name}_transforms") for name in ("spatial", "color", "noise")
    )
    move = spatial.SpatialTransform_2(
        size,
        patch_center_dist_from_border=[side * (0.5 - shift) for side in size],
        do_elastic_deform=True,
        deformation_scale=(bend, bend),
        do_rotation=True,
        angle_x=(-np.deg2rad(degrees), np.deg2rad(degrees)),
        do_scale=True,
        scale=(1 - zoom, 1 + zoom),
        border_mode_data="constant",
        border_mode_seg="constant",
        border_cval_seg=255,
        order_data=1,
        order_seg=0,
        p_el_per_sample=1,
        p_rot_per_sample=1,
        p_scale_per_sample=1,
    )
    grey = [
        color.GammaTransform((0.7, 1.43), per_channel=False, retain_stats=False, p_per_sample=1),
        color.ContrastAugmentationTransform((0.8, 1.25), preserve_range=False, per_channel=False, p_per_sample=1),
        color.BrightnessTransform(0, 0.05, per_channel=False, p_per_sample=1),
        noise.GaussianBlurTransform((0.4, 0.8), p_per_channel=1, p_per_sample=1),
        noise.GaussianNoiseTransform((0.04**2, 0.04**2), p_per_sample=1),
        color.ClipValueRange(0, 1),
    ]
    return import_module("batchgenerators.transforms.abstract_transforms").Compose([move, *grey])
