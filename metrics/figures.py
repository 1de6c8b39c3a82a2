"""What the figures of an evaluation are called and what they mean, for every page, chart, table and dashboard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """How a figure is called and read.

    Args:
        title: Its name.
        meaning: What its mean over the classes tells.
        of_class: What it tells of a single class.
        short: Its name among the other kinds of Dice.
        unit: Of its values; empty for a fraction, of which more is better.
    """

    title: str
    meaning: str
    of_class: str
    short: str = ""
    unit: str = ""

    @property
    def heading(self) -> str:
        """Its name with its unit."""
        return f"{self.title} {self.unit}".rstrip()


def _hd95(unit: str) -> Figure:
    nearer = "95 % of the outlines lie nearer than this"
    return Figure("HD95", f"{nearer} ({unit}), mean over slices, then classes.", f"{nearer}.", unit=unit)


FIGURES: Mapping[str, Figure] = {
    "dice": Figure(
        title="Dice",
        meaning="Per slice and class, only where a human examined the class: mean over slices, then over classes. "
        "Predicting a class that is certainly absent counts 0.",
        of_class="Mean over the slices in which a human examined the class, and it was drawn or predicted.",
        short="Dice",
    ),
    "dice_volume": Figure(
        title="Dice by volume",
        meaning="The same, with the pixels of a volume pooled first; also called the patient-level Dice.",
        of_class="Pixels pooled over the examined slices of a volume; mean over volumes.",
        short="by volume",
    ),
    "dice_truth": Figure(
        title="Dice against the truth",
        meaning="Every class of every slice against the full truth, examined or not.",
        of_class="Against the full truth, examined or not.",
        short="truth",
    ),
    "dice_pessimistic": Figure(
        title="Dice, pessimistic",
        meaning="Every class nobody examined taken as absent: a lower bound, for comparison with figures that were "
        "counted so.",
        of_class="Where nobody examined it, it is taken as absent.",
        short="pessimistic",
    ),
    "hd95_mm": _hd95("mm"),
    "hd95_px": _hd95("px"),
    "nsd": Figure(
        title="NSD",
        meaning="Share of the outlines that lie within the tolerance of each other.",
        of_class="Share of the outlines within the tolerance.",
    ),
}
"""The names under which an evaluation keeps its figures, in the order in which they are shown."""

LOGGED: Mapping[str, Figure] = {f"val/{name}": one for name, one in FIGURES.items() if name.startswith("dice")}
"""What validations log of the monitored network while it trains; of all, larger is better."""
