from __future__ import annotations

import numpy as np
from PIL import Image

from reports.data.figures import draw_cases, draw_sides, shortened
from reports.data.sections import class_pixels


def test_sides_need_an_axis(small_store, tmp_path):
    present = class_pixels(small_store) > 0
    assert draw_sides(small_store, present, tmp_path / "sides.png") == tmp_path / "sides.png"
    assert draw_sides(small_store, np.zeros_like(present), tmp_path / "none.png") is None
    object.__setattr__(small_store.header, "left_right_axis", "none")
    assert draw_sides(small_store, present, tmp_path / "none.png") is None
    assert [p.name for p in tmp_path.glob("*.png")] == ["sides.png"]


def test_each_line_of_cases_makes_the_picture_higher_and_no_line_makes_it_wider(small_store, tmp_path):
    sizes = []
    for lines in ({"one": [0]}, {"one": [0], "two": range(12)}):
        with Image.open(draw_cases(small_store, lines, tmp_path / "cases.png")) as picture:
            sizes.append(picture.size)
    assert sizes[0][0] == sizes[1][0] and sizes[0][1] < sizes[1][1]


def test_a_long_name_keeps_its_end():
    assert shortened("short.png", 1.5) == "short.png"
    assert shortened("images/patient099_frame01_slice_16.webp", 1.0) == "...ice_16.webp"
