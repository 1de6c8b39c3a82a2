"""What holds for every case of a store: ``header.json``."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, overload

from numpy.typing import NDArray
from torch import Tensor

from partial_labels.classes import ClassTable
from partial_labels.errors import InputError
from partial_labels.grey_values import intensities

FORMAT = 1
"""Number of the store's format; a store of another is not read."""
AXES = ("rows", "columns", "none")
"""Where the patient's left and right may lie in an array."""


@dataclass(frozen=True)
class StoreHeader:
    """What holds for every case of a store.

    Args:
        name: The source's name.
        classes: The class table; C = ``len(classes)``.
        size: (H, W) of every stored slice.
        image_dtype: ``uint8`` or ``int16``.
        slope: ``intensity = stored * slope + intercept`` lies in [0, 1]; see :meth:`intensities`.
        intercept: See ``slope``.
        spacing_mm: Side of a stored pixel (row, column), where it is known and the same for all.
        left_right_axis: The array axis along which the patient's left and right lie; ``none`` forbids mirrors.
        fit: The rule by which slices were brought to ``size``: ``scale`` or ``pad``.
        fingerprint: Changes whenever the source would give another store.
        channels: I, the channels of an image.
    """

    name: str
    classes: ClassTable
    size: tuple[int, int]
    image_dtype: str = "uint8"
    slope: float = 1 / 255
    intercept: float = 0.0
    spacing_mm: tuple[float, float] | None = None
    left_right_axis: str = "none"
    fit: str = "scale"
    fingerprint: str = ""
    channels: int = 1

    def __post_init__(self) -> None:
        if self.left_right_axis not in AXES:
            raise InputError(f"left_right_axis={self.left_right_axis!r}: choose one of {', '.join(AXES)}")
        if self.image_dtype not in ("uint8", "int16"):
            raise InputError(f"image dtype {self.image_dtype!r}: a store holds uint8 or int16")

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of a stored image: (H, W), or (I, H, W) of more channels than one."""
        return self.size if self.channels == 1 else (self.channels, *self.size)

    @overload
    def intensities(self, stored: Tensor) -> Tensor: ...
    @overload
    def intensities(self, stored: NDArray[Any]) -> NDArray[Any]: ...
    def intensities(self, stored: Tensor | NDArray[Any]) -> Tensor | NDArray[Any]:
        """Turn stored values into intensities in [0, 1]; see :func:`partial_labels.grey_values.intensities`."""
        return intensities(stored, self.slope, self.intercept)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self) | {"classes": self.classes.to_json(), "format": FORMAT}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> StoreHeader:
        """Read what :meth:`to_json` wrote; an older header says nothing of channels, and means one."""
        values = {f.name: ({"channels": 1} | record)[f.name] for f in fields(cls)}
        values["classes"] = ClassTable.from_json(record["classes"])
        values["size"] = tuple(record["size"])
        values["spacing_mm"] = tuple(record["spacing_mm"]) if record["spacing_mm"] else None
        return cls(**values)
