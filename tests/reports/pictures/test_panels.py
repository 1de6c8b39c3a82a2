from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from partial_labels.classes import ClassTable
from reports.pictures.panels import Panel, draw_panels, predicted_picture, shown_picture, unknown_names


def make_panel(num_classes: int = 4, truth: bool = True, size: tuple[int, int] = (24, 20), **changes) -> Panel:
    full = np.zeros(size, np.uint8)
    full[2:10, 2:10] = 1
    full[12:20, 2:10] = num_classes - 1
    status = np.zeros(num_classes, np.uint8)
    status[1] = 1
    shown = np.where(full == 1, full, 0).astype(np.uint8)
    values = dict(
        name="case",
        image=np.full(size, 0.3, np.float32),
        label=shown,
        prediction=full,
        status=status,
        truth=full if truth else None,
        dice=0.5,
    )
    return Panel(**(values | changes))


def classes(num: int) -> ClassTable:
    return ClassTable.from_foreground([f"a_structure_{i}" for i in range(1, num)])


def colored(rgb: np.ndarray) -> np.ndarray:
    return np.ptp(rgb, axis=2) > 0.05


def part(picture: np.ndarray, panel: Panel, rows: slice) -> np.ndarray:
    factor = picture.shape[0] // panel.image.shape[0]
    return picture[rows.start * factor : rows.stop * factor, 2 * factor : 10 * factor]


def test_an_unexamined_structure_is_hatched_grey_in_the_annotation_and_never_coloured():
    panel = make_panel()
    picture = shown_picture(panel, classes(4))
    assert colored(part(picture, panel, slice(2, 10))).all()
    unseen = part(picture, panel, slice(12, 20))
    assert not colored(unseen).any()
    assert 0.1 < (unseen.mean(axis=2) > 0.5).mean() < 0.6
    hidden = shown_picture(make_panel(truth=False), classes(4))
    assert np.allclose(part(hidden, panel, slice(12, 20)), 0.3)


def test_a_prediction_is_filled_where_examined_and_outlined_where_not():
    panel = make_panel()
    picture = predicted_picture(panel, classes(4))
    assert colored(part(picture, panel, slice(2, 10))).all()
    assert 0 < colored(part(picture, panel, slice(12, 20))).mean() < 0.5


def test_unknown_classes_are_named_as_far_as_they_fit():
    table = classes(55)
    status = np.zeros(55, np.uint8)
    assert unknown_names(status, table) == "no class examined"
    status[1:4] = 1
    text = unknown_names(status, table, 80)
    assert text.startswith("not examined: a structure 4, ") and len(text) <= 80
    assert text.count("structure") + int(text.split("and ")[1].split()[0]) == 51
    status[5:] = 1
    assert unknown_names(status, table, 10) == "not examined: a structure 4"
    status[1:] = 1
    assert unknown_names(status, table) == "every class examined"


@pytest.mark.parametrize(("num", "size"), [(4, (24, 20)), (55, (64, 64)), (55, (20, 40))])
def test_the_sheet_grows_with_the_cases_and_is_a_valid_picture(tmp_path, num, size):
    one = draw_panels([make_panel(num, size=size)], classes(num), tmp_path / "one.png")
    two = draw_panels(
        [make_panel(num, size=size), make_panel(num, truth=False, size=size, dice=math.nan)],
        classes(num),
        tmp_path / "two.png",
    )
    with Image.open(one) as first, Image.open(two) as second:
        first.load()
        assert first.width == second.width > 1000
        assert second.height > first.height + 100
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one.png", "two.png"]


def test_a_truth_that_is_not_there_or_shows_no_more_has_no_column(tmp_path):
    def width(panel: Panel) -> int:
        with Image.open(draw_panels([panel], classes(4), tmp_path / "panels.png")) as picture:
            return picture.width

    panel = make_panel()
    assert width(make_panel(truth=False)) == width(make_panel(label=panel.truth)) < width(panel)


def test_no_case_and_reserved_labels_still_give_a_picture(tmp_path):
    odd = make_panel(label=np.full((24, 20), 255, np.uint8), prediction=np.full((24, 20), 0, np.uint8))
    for name, panels in (("none.png", []), ("odd.png", [odd])):
        with Image.open(draw_panels(panels, classes(4), tmp_path / name)) as picture:
            assert picture.width > 500
