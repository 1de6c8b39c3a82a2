"""The part of an evaluation's page that compares it with another evaluation of the same cases."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

from metrics.figures import FIGURES
from metrics.means import mean_over_cases
from metrics.paired import Difference, paired_difference
from reports import document
from reports.document import Markup, Section
from reports.evaluation.evaluation import Evaluation, paired_cells
from reports.evaluation.tables import class_name
from reports.tables import cell_text

BY_VOLUME = FIGURES["dice_volume"].title
KINDS = {"dice": BY_VOLUME, "dice_truth": f"{BY_VOLUME}, {FIGURES['dice_truth'].short}"}
"""The columns of ``volumes.csv``."""
EXPLAINED = (
    "The same volumes, measured with both. The interval holds 95 % of 2000 draws of the volumes with replacement "
    "(paired bootstrap): it tells how far the gain depends on which patients were measured, not how far on the seed. "
    "A gain whose interval holds 0 may be noise."
)


class ClassGain(NamedTuple):
    """A class on both sides."""

    name: str
    ours: float
    baseline: float
    gain: Difference


def gain_section(one: Evaluation, other: Evaluation) -> Section:
    """Return overall gains, and every class with its interval, the largest gain first."""
    title = f"Compared with {name_of(other)}"
    counted = {key: paired_cells(one.volume_dice(key), other.volume_dice(key)) for key in KINDS}
    figures = []
    for key, (names, ours, baseline) in counted.items():
        if names and (key == "dice" or "dice_truth" in one.figures):
            gain = paired_difference(ours, baseline)
            figures.append(
                (f"{gain.mean:+.3f}", KINDS[key], f"{interval(gain)} in {len(ours)} volumes: {gain.outcome}")
            )
    if not figures:
        return Section(title, document.paragraph("Both evaluations have no class in common that could be counted."))
    gains = class_gains(one, other)
    return Section(title, document.paragraph(EXPLAINED) + document.cards(figures) + gain_table(one, gains))


def class_gains(one: Evaluation, other: Evaluation) -> list[ClassGain]:
    """Return the gain of every class that both counted, the largest first."""
    names, ours, baseline = paired_cells(one.volume_dice("dice"), other.volume_dice("dice"))
    means = zip(names, mean_over_cases(ours).tolist(), mean_over_cases(baseline).tolist(), strict=True)
    found = [
        ClassGain(name, left, right, paired_difference(ours[:, [i]], baseline[:, [i]]))
        for i, (name, left, right) in enumerate(means)
    ]
    return sorted(found, key=lambda row: -row.gain.mean)


def gain_table(one: Evaluation, gains: list[ClassGain]) -> str:
    """Return the classes, each with its gain and a picture of the interval around 0."""
    colors = dict(zip(one.classes.names, one.classes.colors, strict=True))
    reach = max((abs(end) for row in gains for end in row.gain if not math.isnan(end)), default=1.0) or 1.0
    rows = [
        [class_name(row.name, colors[row.name]), f"{row.gain.mean:+.3f}", Markup(span(row.gain, reach)),
         interval(row.gain), cell_text(row.ours), cell_text(row.baseline)]
        for row in gains
    ]  # fmt: skip
    titles = ["class", "gain", f"-{reach:.2f} to +{reach:.2f}", "95 % interval", "this", "other"]
    return f'<div class="gains">{document.table(titles, rows)}</div>'


def span(gain: Difference, reach: float) -> str:
    """Return an interval as a line on an axis that ends at ``reach`` on both sides of 0."""
    low, mean, high = (50 + 50 * value / reach for value in (gain.low, gain.mean, gain.high))
    if math.isnan(low):
        return ""
    kind = gain.outcome if gain.outcome in ("better", "worse") else "noise"
    style = f"--low:{low:.1f}%;--mean:{mean:.1f}%;--high:{high:.1f}%"
    return f'<div class="span {kind}" style="{style}"><i></i><b></b></div>'


def interval(gain: Difference) -> str:
    """Write the interval of a gain."""
    return "-" if math.isnan(gain.low) else f"{gain.low:+.3f} to {gain.high:+.3f}"


def name_of(one: Evaluation) -> str:
    """Return what was measured, short: run, stage and checkpoint."""
    names = [Path(path) for path in one.record["checkpoints"]]
    first = names[0]
    inside = first.parent.parent.name == "checkpoints"
    text = f"{first.parents[2].name}, {first.parent.name}/{first.stem}" if inside else first.stem
    return text + (f" and {len(names) - 1} more" if len(names) > 1 else "")
