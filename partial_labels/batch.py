"""The one batch type, and what its numbers mean."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from numpy.typing import NDArray
from torch import Tensor

UNKNOWN = 0
"""Status of a cell of which nothing is known: the class is neither present nor absent in the image."""
HUMAN = 1
"""Status of a cell that a human examined: every pixel is certainly this class or certainly not."""
TEACHER = 2
"""Status of a cell that a teacher network filled in."""

UNSURE = 254
"""Label of a pixel where the ``HUMAN`` cells are negative and everything else is masked."""
IGNORE = 255
"""Label of a pixel of which nothing at all is claimed."""
MAX_CLASSES = UNSURE
"""Class ids run from 0 to 253, background included."""


class PartialLabelBatch(NamedTuple):
    """Images with what is known of them; leaves the data set and is read by every module without changing shape.

    A *cell* is one (image, class) pair; channel 0 of the C classes is the background, whose status is derived
    (:func:`derive_background`). An unlabeled image is a row of ``UNKNOWN``, so one batch can mix all kinds.
    """

    image: Float[Tensor, "B I H W"]
    """Intensities in [0, 1] of I channels, mostly one; the network's first layer normalises."""
    label: UInt8[Tensor, "B H W"]
    """Class id, 0 = none of the known classes, or ``UNSURE`` or ``IGNORE``."""
    status: UInt8[Tensor, "B C"]
    """``UNKNOWN``, ``HUMAN`` or ``TEACHER`` per cell."""
    weight: Float[Tensor, " B"]
    """Scales the ``TEACHER`` cells of the image; ``HUMAN`` cells weigh 1."""
    case_id: Int64[Tensor, " B"]
    """Row of the case table."""

    @property
    def known(self) -> Bool[Tensor, "B C"]:
        """Which cells a loss may look at."""
        return self.status > UNKNOWN


class ValidationBatch(NamedTuple):
    """What the validation loader yields: the same images twice, with what may be seen and with the full truth."""

    seen: PartialLabelBatch
    """Labels and statuses as the source shows them."""
    truth: PartialLabelBatch
    """Labels and statuses as far as they are known to the experimenter; equal to ``seen`` where no more is known."""
    volume: Int64[Tensor, " B"]
    """Number of the volume that the slice was cut from."""


def derive_background(status: UInt8[Tensor, "B C"]) -> UInt8[Tensor, "B C"]:
    """Return the status with channel 0 filled in: the background is known only where every other cell is.

    It is ``HUMAN`` where all other cells are, ``TEACHER`` where all are known and a teacher filled at least one.
    """
    others = status[:, 1:]
    background = torch.where((others > UNKNOWN).all(dim=1), others.amax(dim=1), UNKNOWN)
    return torch.cat([background[:, None].to(status.dtype), others], dim=1)


def derive_background_array(status: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Do the same to a (B, C) array, which stays as it is.

    The rule stands once, for what is stored and for what is trained on. Torch wants the array writable.
    """
    derived: NDArray[np.uint8] = derive_background(torch.from_numpy(status)).numpy()
    return derived


def one_hot_label(label: UInt8[Tensor, "B H W"], num_classes: int) -> Bool[Tensor, "B C H W"]:
    """Turn class ids into masks; ``UNSURE`` and ``IGNORE`` pixels belong to no class, not even to the background."""
    classes = torch.arange(num_classes, dtype=torch.uint8, device=label.device)
    return label[:, None] == classes[None, :, None, None]


def known_pixels(label: UInt8[Tensor, "B H W"], status: UInt8[Tensor, "B C"]) -> Bool[Tensor, "B C H W"]:
    """Tell for every (pixel, class) whether the label says yes or no to it.

    Nothing is known at ``IGNORE`` pixels; at ``UNSURE`` pixels only the ``HUMAN`` cells are (and are negative);
    elsewhere every cell that is not ``UNKNOWN``.
    """
    known = (status > UNKNOWN)[:, :, None, None] & (label != IGNORE)[:, None]
    human = (status == HUMAN)[:, :, None, None]
    return known & ((label != UNSURE)[:, None] | human)
