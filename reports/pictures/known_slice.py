"""A slice of which more is known than was shown, and which of a store tells most."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8

from partial_labels.batch import HUMAN
from partial_labels.case_store import CaseStore
from partial_labels.classes import ClassTable
from partial_labels.errors import InputError
from reports.pictures.canvas import ids_in

VISIBLE = 0.003
"""Share of the slice from which on a structure is large enough to be named."""


@dataclass(frozen=True)
class Slice:
    """A slice of which more is known than was shown.

    Args:
        image: Intensities in [0, 1], of the first channel where there are several.
        truth: Every structure.
        examined: Which classes the annotator looked for; entry 0 is not read.
        classes: The class table.
    """

    image: Float[np.ndarray, "H W"]
    truth: UInt8[np.ndarray, "H W"]
    examined: Bool[np.ndarray, " C"]
    classes: ClassTable

    @property
    def found(self) -> list[int]:
        """Ids that were looked for and are there."""
        return [i for i in self.there if self.examined[i]]

    @property
    def missed(self) -> list[int]:
        """Ids that are there although nobody looked for them."""
        return [i for i in self.there if not self.examined[i]]

    @property
    def absent(self) -> list[int]:
        """Ids that were looked for and are not there."""
        return [i for i in range(1, len(self.classes)) if self.examined[i] and i not in self.there]

    @property
    def there(self) -> list[int]:
        """Ids of the structures in the slice."""
        return ids_in(self.truth, num_classes=len(self.classes))

    def area(self, class_id: int) -> float:
        """Share of the slice that the structure covers."""
        return float((self.truth == class_id).mean())


def choose_case(store: CaseStore) -> int:
    """Return the labeled case with most visible structures on both sides, examined and not."""
    labeled = np.flatnonzero((store.status[:, 1:] == HUMAN).any(axis=1))
    scores = [_balance(read_slice(store, int(index))) for index in labeled]
    if not scores or max(scores) <= 0:
        raise InputError(f"{store.path}: no case shows both an examined and an unexamined structure; hide some classes")
    return int(labeled[int(np.argmax(scores))])


def read_slice(store: CaseStore, index: int) -> Slice:
    """Read a case; where the rows run from left to right, turn it as radiologists look at it, front up."""
    assert store.truth is not None
    header = store.header
    image = header.intensities(np.asarray(store.first_channel[index]))
    truth = np.asarray(store.truth[index])
    if header.left_right_axis == "rows":
        image, truth = image.T[::-1, ::-1], truth.T[::-1, ::-1]
    return Slice(image, truth, np.asarray(store.status[index] == HUMAN), store.classes)


def case_named(store: CaseStore, name: str) -> int:
    """Return the row of the case with this name."""
    names = store.cases.column("name")
    if name not in names:
        raise InputError(f"{store.path}: no case {name!r}; names look like {names[0]!r}")
    return int(np.flatnonzero(names == name)[0])


def _balance(one: Slice) -> float:
    def weight(ids: list[int]) -> float:
        return sum(one.area(i) > VISIBLE for i in ids) + sum(one.area(i) for i in ids)

    return min(weight(one.found), weight(one.missed))


def centre(mask: Bool[np.ndarray, "H W"]) -> tuple[float, float]:
    """Return the point of the structure that lies nearest to its middle, for a ring's middle is not in the ring."""
    points = np.argwhere(mask)
    nearest = points[np.abs(points - points.mean(axis=0)).sum(axis=1).argmin()]
    return float(nearest[0]) + 0.5, float(nearest[1]) + 0.5
