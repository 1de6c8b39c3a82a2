"""Cases that tell something, as pictures in a folder and as a part of a page."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image

from partial_labels.classes import ClassTable
from reports.files import reading, write_text
from reports.pictures.canvas import Canvas, ids_in
from reports.pictures.panels import Panel, predicted_picture, shown_picture, truth_picture, unknown_names

SIDE = 384
"""Pixels of a picture's longer side, as it is kept."""


@dataclass(frozen=True)
class ShownCase:
    """A case of a gallery.

    Args:
        kind: Why it is shown: ``worst`` or ``median``.
        name: The case's name.
        dice: Mean over its countable classes.
        classes: Dice of each countable class by its id.
        unknown: Which classes nobody examined, in words.
        drawn: Ids of the classes that have a colour in its pictures.
        pictures: File names by what they show.
    """

    kind: str
    name: str
    dice: float
    classes: Mapping[str, float]
    unknown: str
    drawn: Sequence[int]
    pictures: Mapping[str, str] = field(default_factory=dict)


def write_gallery(cases: Sequence[tuple[str, Panel, Mapping[int, float]]], classes: ClassTable, folder: Path) -> Path:
    """Draw cases into a folder of their own, with ``cases.json`` that says what each is.

    Args:
        cases: Why a case is shown, what to draw, and the Dice of each of its countable classes.
        classes: The class table.
        folder: Is made anew.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shown = []
    for number, (kind, panel, dice) in enumerate(cases, start=1):
        pictures = {"image": Canvas(panel.image).rgb, "annotation": shown_picture(panel, classes)}
        if panel.truth is not None and not np.array_equal(panel.truth, panel.label):
            pictures["full truth"] = truth_picture(panel, classes)
        pictures["prediction"] = predicted_picture(panel, classes)
        files = {title: f"{number:02}_{kind}_{title.replace(' ', '_')}.webp" for title in pictures}
        for title, rgb in pictures.items():
            save_picture(rgb, folder / files[title])
        drawn = ids_in(panel.label, panel.prediction, panel.truth, num_classes=len(classes))
        mean = sum(dice.values()) / len(dice) if dice else math.nan
        named = {str(class_id): value for class_id, value in dice.items()}
        unknown = unknown_names(panel.status, classes)
        shown.append(ShownCase(kind, panel.name, mean, named, unknown, drawn, files))
    return write_text(folder / "cases.json", json.dumps([asdict(case) for case in shown], indent=1) + "\n")


def read_gallery(folder: Path) -> list[ShownCase]:
    """Read what :func:`write_gallery` wrote; nothing where it drew no case."""
    path = folder / "cases.json"
    with reading(path):
        return [ShownCase(**one) for one in json.loads(path.read_text(encoding="utf-8"))] if path.is_file() else []


def save_picture(rgb: Float[np.ndarray, "h w 3"], path: Path) -> None:
    """Write a picture as WebP, a tenth of a PNG's size."""
    picture = Image.fromarray((rgb.clip(0, 1) * 255).round().astype(np.uint8))
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    picture.save(path, "WEBP", quality=84)
