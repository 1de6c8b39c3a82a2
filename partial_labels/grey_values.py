"""What a stored integer means."""

from __future__ import annotations

from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@overload
def intensities(stored: Tensor, slope: float | Tensor, intercept: float | Tensor) -> Tensor: ...
@overload
def intensities(stored: NDArray[Any], slope: float, intercept: float) -> NDArray[Any]: ...
def intensities(
    stored: Tensor | NDArray[Any], slope: float | Tensor, intercept: float | Tensor
) -> Tensor | NDArray[Any]:
    """Turn stored integers into intensities in [0, 1], ``stored * slope + intercept``.

    Args:
        stored: A tensor or an array of any shape. Integers become single precision; floats keep their own.
        slope: Of all, or a tensor that gives each image its own.
        intercept: See ``slope``.
    """
    if isinstance(stored, np.ndarray):
        kept = stored.dtype if stored.dtype.kind == "f" else np.float32
        scaled: NDArray[Any] = intensities(torch.from_numpy(stored.astype(kept)), slope, intercept).numpy()
        return scaled
    values = stored if stored.is_floating_point() else stored.float()
    return (values * slope + intercept).clamp_(0, 1)
