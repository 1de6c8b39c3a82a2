"""The two views of a batch that training sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from jaxtyping import Float
from torch import Tensor

from augment.draws import Draws
from augment.geometry import RandomGeometry
from augment.intensity import IntensityOp
from augment.mirror import MirrorRule
from partial_labels.batch import PartialLabelBatch


@final
class WeakView:
    """Geometry and light changes of intensity: what the DataModule does to a training batch on its device.

    Args:
        geometry: Moves image and label; None leaves them where they are.
        intensity: Changes of the grey values, in this order.
    """

    def __init__(self, geometry: RandomGeometry | None = None, intensity: Sequence[IntensityOp] = ()) -> None:
        self.geometry = geometry
        self.intensity = list(intensity)

    def __call__(self, batch: PartialLabelBatch, draws: Draws, mirror_rule: MirrorRule) -> PartialLabelBatch:
        """Return the weak view; the batch given stays as it is."""
        if self.geometry is not None:
            batch = self.geometry(batch, draws, mirror_rule)
        return batch._replace(image=apply(self.intensity, batch.image, draws))

    def check(self, mirror_rule: MirrorRule) -> None:
        """Refuse, before the first batch, what the data set forbids; see :meth:`RandomGeometry.check`."""
        if self.geometry is not None:
            self.geometry.check(mirror_rule)


@final
class StrongView:
    """Heavy changes of intensity and cut-outs, on top of the weak view.

    It has no geometry, so that teacher and student look at the same frame and one label holds for both.

    Args:
        intensity: Changes of the grey values, in this order.
    """

    def __init__(self, intensity: Sequence[IntensityOp] = ()) -> None:
        self.intensity = list(intensity)

    def __call__(self, image: Float[Tensor, "B I H W"], draws: Draws) -> Float[Tensor, "B I H W"]:
        """Return the strong view of a weak one; the images given stay as they are."""
        return apply(self.intensity, image, draws)


def apply(intensity: Sequence[IntensityOp], image: Float[Tensor, "B I H W"], draws: Draws) -> Float[Tensor, "B I H W"]:
    """Apply one change after the other."""
    for change in intensity:
        image = change(image, draws)
    return image
