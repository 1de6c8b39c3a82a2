"""Pictures of predictions: slices under coloured structures, with the names of those that are there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from inference.inputs import Scan
from partial_labels.classes import ClassTable
from reports.pictures.canvas import Canvas, ids_in

MOST = 9
"""Slices of a volume that are shown."""
SIDE, TEXT, LINE, COLUMN = 480, 13, 20, 230
"""Pixels: longer side of a slice, size of a name, height of a line and width of a column of names."""
INK = (34, 48, 60)


def draw_overlay(path: Path, scan: Scan, label: UInt8[np.ndarray, "D y x"], classes: ClassTable) -> None:
    """Write one picture: a slice, or up to nine of a volume at even steps through what was predicted in it."""
    numbers = np.flatnonzero(label.any(axis=(1, 2))) if label.any() else np.arange(len(label))
    shown = numbers[np.linspace(0, len(numbers) - 1, min(MOST, len(numbers))).round().astype(int)]
    tiles = [tile(scan, int(number), label[number], classes) for number in shown]
    columns = int(np.ceil(np.sqrt(len(tiles))))
    blank = np.zeros_like(tiles[0])
    rows = [tiles[i : i + columns] for i in range(0, len(tiles), columns)]
    picture = np.vstack([np.hstack(row + [blank] * (columns - len(row))) for row in rows])
    with_names(picture, ids_in(label[shown], num_classes=len(classes)), classes).save(path, compress_level=1)


def tile(scan: Scan, number: int, label: UInt8[np.ndarray, "y x"], classes: ClassTable) -> UInt8[np.ndarray, "H W 3"]:
    """Paint the first channel of a slice as it was read; a label map on another grid is brought to it."""
    if scan.origin is not None:
        label = scan.origin.label(label, fill=0)
    canvas = Canvas(scan.intensities(number)[0], SIDE)
    for index in ids_in(label, num_classes=len(classes)):
        canvas.fill(label == index, classes.colors[index], opacity=0.4)
        canvas.outline(label == index, classes.colors[index])
    return as_bytes(canvas.rgb)


def as_bytes(rgb: Float[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W 3"]:
    """Turn intensities in [0, 1] into bytes."""
    return np.rint(rgb.clip(0, 1) * 255).astype(np.uint8)


def with_names(picture: UInt8[np.ndarray, "H W 3"], ids: list[int], classes: ClassTable) -> Image.Image:
    """Put the names of the structures under a picture, each beside its colour."""
    height, width, _ = picture.shape
    columns = max(1, width // COLUMN)
    lines = -(-len(ids) // columns)
    sheet = Image.new("RGB", (width, height + LINE * lines + (LINE // 2 if lines else 0)), "white")
    sheet.paste(Image.fromarray(picture))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(TEXT)
    for place, index in enumerate(ids):
        x, y = place % columns * (width // columns) + 8, height + LINE // 3 + place // columns * LINE
        draw.rectangle((x, y + 2, x + TEXT, y + 2 + TEXT), fill=classes.colors[index])
        draw.text((x + TEXT + 6, y), classes.names[index].replace("_", " "), fill=INK, font=font)
    return sheet
