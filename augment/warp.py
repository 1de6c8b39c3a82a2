"""Smooth maps of the image plane, given by a few control points, and sampling through them."""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from augment.draws import send
from partial_labels.batch import IGNORE

MAX_BEND = 0.48
"""A cubic B-spline map cannot fold while no control point moves by more than this part of their spacing
(Choi and Lee, Injectivity conditions of 2D and 3D uniform cubic B-spline functions, Graphical Models 2000)."""


@lru_cache(maxsize=16)
def resting_points(height: int, width: int, cells: int) -> Float[Tensor, "2 K K"]:
    """Return the control points of the map that moves nothing, as (x, y) offsets in pixels from the image's centre.

    A cubic B-spline over ``cells`` cells has one control point at each of their corners and a ring around them:
    K = ``cells`` + 3.
    """
    place = torch.arange(-1, cells + 2) / cells - 0.5
    return torch.stack(torch.meshgrid(place * (width - 1), place * (height - 1), indexing="xy"))


@lru_cache(maxsize=16)
def spline_basis(size: int, cells: int) -> Float[Tensor, "size K"]:
    """Return the weight of each control point along one axis at every pixel: uniform cubic B-splines."""
    place = torch.linspace(0, cells, size, dtype=torch.float64)
    distance = (place[:, None] - torch.arange(-1, cells + 2)).abs()
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = (2 - distance).clamp(min=0) ** 3 / 6
    return torch.where(distance < 1, near, far).float()


def sampling_grid(
    control: Float[Tensor, "b 2 K K"], height: int, width: int, device: torch.device | str = "cpu"
) -> Float[Tensor, "b 2 {height} {width}"]:
    """Spread control points (offsets in pixels from the centre) over all pixels.

    Returns:
        For each pixel where to look, (x, y) with -1 and 1 at the centres of the first and the last pixel.
    """
    # Fewer bits would move the pixels about: no autocast, and on GPUs, which may use TF32 for float32, float64.
    kind = torch.device(device).type
    dtype = torch.float64 if kind == "cuda" else torch.float32
    half = torch.tensor([max(width - 1, 1), max(height - 1, 1)])[:, None, None] / 2
    points = send((control / half).to(dtype), device)
    cells = control.shape[-1] - 3
    rows, columns = (send(spline_basis(size, cells).to(dtype), device) for size in (height, width))
    with torch.autocast(kind, enabled=False):
        return (rows @ (points @ columns.T)).float()


def resample(
    image: Float[Tensor, "b I H W"], label: UInt8[Tensor, "b H W"], grid: Float[Tensor, "b 2 H W"]
) -> tuple[Float[Tensor, "b I H W"], UInt8[Tensor, "b H W"]]:
    """Look up image and label where the grid says.

    All channels are moved alike. The image is interpolated linearly, with 0 beyond the frame; the label takes the
    nearest pixel, with ``IGNORE`` beyond the frame, because nobody knows what lies there. Ids pass through float32,
    which holds them exactly; shifted by ``IGNORE``, the zeros of the padding mean just that.
    """
    places = grid.movedim(1, -1)
    image = F.grid_sample(image, places, mode="bilinear", padding_mode="zeros", align_corners=True)
    shifted = label[:, None].float() - IGNORE
    shifted = F.grid_sample(shifted, places, mode="nearest", padding_mode="zeros", align_corners=True)
    return image, (shifted[:, 0] + IGNORE).to(torch.uint8)
