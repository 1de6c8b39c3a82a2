"""What one should look at first in an evaluation, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from metrics.reliability import Bin
from reports.evaluation.evaluation import Evaluation
from reports.evaluation.tables import exchanged
from reports.wording import listed, plain

MUCH_EXCHANGED = 0.02
"""Share of a structure called by its partner's name, from which on it is said."""
MANY_ALARMS = 0.2
"""Share of the slices that lack a class, likewise."""
FAR_OFF = 0.05
"""Distance between how sure and how often right, likewise."""


def findings(one: Evaluation) -> list[str]:
    """Return a sentence for everything that stands out."""
    found = [*silence(one), *sides(one), *alarms(one), *confidence(one)]
    return found or ["No silent class, no sides exchanged, few false alarms, and about as often right as sure."]


def silence(one: Evaluation) -> Iterator[str]:
    """Name the classes of which nothing was found."""
    if one.silent:
        yield f"Silent, though slices show them: {listed(sorted(one.silent), 300)}."


def sides(one: Evaluation) -> Iterator[str]:
    """Name the structures that were taken for those on the other side."""
    for left, right in one.classes.pairs if one.confusion is not None else ():
        for (drawn, called), share in zip(((left, right), (right, left)), exchanged(one, left, right), strict=True):
            if share >= MUCH_EXCHANGED:
                names = plain(one.classes.names[drawn]), plain(one.classes.names[called])
                yield f"Left and right: {share:.1%} of {names[0]} was called {names[1]}."


def alarms(one: Evaluation) -> Iterator[str]:
    """Name the class that was most often predicted where it certainly is not."""
    rates = {row.name: row.false_positives / row.absent for row in one.rows if row.absent}
    worst = max(one.rows, default=None, key=lambda row: rates.get(row.name, 0.0))
    if worst is not None and rates.get(worst.name, 0.0) >= MANY_ALARMS:
        slices = f"{worst.false_positives} of {worst.absent} slices that certainly lack it"
        yield f"Most false alarms: {plain(worst.name)}, predicted in {slices}."


def confidence(one: Evaluation) -> Iterator[str]:
    """Say whether the network is too sure, or not sure enough."""
    if one.bins:
        sure, right = sureness(one.bins)
        if abs(sure - right) >= FAR_OFF:
            word = "Too sure" if sure > right else "Not sure enough"
            yield f"{word}: it gives the structures it predicts {sure:.2f} on average, and is right in {right:.0%}."


def sureness(bins: Sequence[Bin]) -> tuple[float, float]:
    """Return the mean confidence of the pixels, and the share of them that is right."""
    pixels = sum(one.pixels for one in bins)
    return sum(one.confidence * one.pixels for one in bins) / pixels, sum(one.correct for one in bins) / pixels
