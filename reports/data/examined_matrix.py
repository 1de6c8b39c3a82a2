"""The examined matrix: what a human looked for in which case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int64, UInt8
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch

from partial_labels.batch import UNKNOWN
from partial_labels.classes import ClassTable
from reports.pictures.style import ABSENT, INK, PAGE_WIDTH, PRESENT, SMALL, UNKNOWN_CELL, new_figure, quiet, save
from reports.wording import plain

COLUMNS = 1200
"""Most columns of the matrix; more cases than that are averaged."""


def draw_examined(
    status: UInt8[np.ndarray, "N C"],
    present: Bool[np.ndarray, "N C"],
    parts: Mapping[str, Int64[np.ndarray, " _"]],
    classes: ClassTable,
    output: Path,
) -> Path:
    """Draw the examined matrix: a line a class, a column a case, part by part, what is alike side by side.

    Unlabeled cases are all the same and get a narrow band however many they are.
    """
    colors = np.array([to_rgb(color) for color in (UNKNOWN_CELL, ABSENT, PRESENT)])
    cells = np.where(status == UNKNOWN, 0, np.where(present, 2, 1))[:, 1:]
    often = np.argsort(-(cells == 2).sum(axis=0), kind="stable")
    groups = labeled_parts(status, parts)
    blocks = [alike(cells[ids][:, often]) for ids in groups.values()]
    narrow = max(4, sum(len(block) for block in blocks if block.any()) // 8)
    blocks = [block if block.any() else block[:narrow] for block in blocks]
    picture = np.concatenate([colors[block] for block in blocks]).swapaxes(0, 1)
    figure = new_figure(PAGE_WIDTH, 1.5 + 0.145 * len(often), ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12))
    axes = figure.subplots()
    quiet(axes, grid=False)
    axes.imshow(
        squeezed(picture, COLUMNS), aspect="auto", interpolation="nearest", extent=(0, picture.shape[1], len(often), 0)
    )
    _name_classes(axes, [plain(classes.foreground[i]) for i in often])
    _name_groups(axes, {name: len(ids) for name, ids in groups.items()}, np.cumsum([0, *map(len, blocks)]))
    _explain_colours(axes)
    return save(figure, output)


def _name_classes(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(np.arange(len(names)) + 0.5, names, fontsize=SMALL if len(names) < 30 else 6.5)


def _name_groups(axes: Axes, sizes: Mapping[str, int], edges: Int64[np.ndarray, " _"]) -> None:
    """Write under every group how many cases it has, and draw a line between neighbours."""
    for edge in edges[1:-1]:
        axes.axvline(edge, color=INK, linewidth=1)
    labels = [f"{name}\n{size}" for name, size in sizes.items()]
    axes.set_xticks((edges[1:] + edges[:-1]) / 2, labels, fontsize=SMALL)


def _explain_colours(axes: Axes) -> None:
    keys = zip((PRESENT, ABSENT, UNKNOWN_CELL), ("examined, present", "examined, absent", "not examined"), strict=True)
    handles = [Patch(color=color, label=label) for color, label in keys]
    axes.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, fontsize=SMALL, labelcolor=INK
    )


def labeled_parts(
    status: UInt8[np.ndarray, "N C"], parts: Mapping[str, Int64[np.ndarray, " _"]]
) -> dict[str, Int64[np.ndarray, " _"]]:
    """Split every part into its labeled and unlabeled cases; a kind that a part does not have is left out."""
    found: dict[str, Int64[np.ndarray, " _"]] = {}
    for name, ids in parts.items():
        labeled = (status[ids, 1:] > UNKNOWN).any(axis=1)
        both = labeled.any() and not labeled.all()
        for kind, chosen in (("labeled", ids[labeled]), ("unlabeled", ids[~labeled])):
            if len(chosen):
                found[f"{name}, {kind}" if both or kind == "unlabeled" else name] = chosen
    return found


def alike(cells: Int64[np.ndarray, "N C"]) -> Int64[np.ndarray, "N C"]:
    """Sort the rows so that cases with the same structures lie side by side, the first class weighing most."""
    order = np.lexsort(-(cells[:, ::-1] == 2).T.astype(np.int8)) if cells.shape[1] else np.arange(len(cells))
    return cells[order]


def squeezed(picture: Float[np.ndarray, "H W 3"], most: int) -> Float[np.ndarray, "H w 3"]:
    """Average neighbouring columns until at most ``most`` are left, so that no case is passed over."""
    width = picture.shape[1]
    if width <= most:
        return picture
    edges = np.linspace(0, width, most + 1).round().astype(int)
    sums = np.add.reduceat(picture, edges[:-1], axis=1)
    return sums / np.diff(edges)[None, :, None]
