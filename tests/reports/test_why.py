from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image

from partial_labels.case_store import CaseStore
from partial_labels.case_table import CaseRow
from partial_labels.case_writer import CaseStoreWriter
from partial_labels.classes import ClassTable
from partial_labels.errors import InputError
from partial_labels.store_header import StoreHeader
from reports.pictures.canvas import Canvas
from reports.pictures.known_slice import Slice, centre, choose_case, read_slice
from reports.why import _as_background, _masked, draw_why, main

CLASSES = ClassTable.from_foreground(["liver", "kidney_left", "kidney_right"])


def write_store(path, examined: list[tuple[int, ...]], with_truth: bool = True, axis: str = "rows") -> CaseStore:
    with CaseStoreWriter(
        path, StoreHeader("small", CLASSES, (32, 24), left_right_axis=axis), len(examined), with_truth
    ) as writer:
        for number, ids in enumerate(examined):
            truth = np.zeros((32, 24), np.uint8)
            truth[2:8, 2:8], truth[12:18, 2:8] = 1, 2
            seen = np.isin(np.arange(4), ids)
            label = np.where(seen[truth], truth, 0).astype(np.uint8)
            image = np.arange(32 * 24, dtype=np.uint8).reshape(32, 24)
            writer.add(CaseRow(f"case{number}", "g", "v"), image, label, seen, truth if with_truth else None)
    return CaseStore.open(path)


def a_slice(examined: tuple[int, ...] = (1, 3)) -> Slice:
    truth = np.zeros((32, 24), np.uint8)
    truth[2:8, 2:8], truth[12:18, 2:8] = 1, 2
    return Slice(np.full((32, 24), 0.2, np.float32), truth, np.isin(np.arange(4), examined), CLASSES)


def test_structures_are_told_apart_by_what_was_looked_for():
    one = a_slice()
    assert (one.there, one.found, one.missed, one.absent) == ([1, 2], [1], [2], [3])


def test_only_the_wrong_target_is_red_and_only_where_nobody_looked():
    one = a_slice()
    factor = Canvas(one.image).factor
    red = [picture[..., 0] - picture[..., 1] > 0.3 for picture in (_as_background(one), _masked(one))]
    expected = (one.truth == 2).repeat(factor, 0).repeat(factor, 1)
    assert np.array_equal(red[0], expected)
    assert not red[1].any()


def test_the_case_with_both_kinds_is_chosen(tmp_path):
    store = write_store(tmp_path / "store", [(), (1, 2, 3), (3,), (2, 3)])
    assert choose_case(store) == 3


def test_rows_from_left_to_right_are_turned_front_up(tmp_path):
    turned = read_slice(write_store(tmp_path / "a", [(1,)]), 0)
    plain = read_slice(write_store(tmp_path / "b", [(1,)], axis="columns"), 0)
    assert turned.truth.shape == (24, 32) and plain.truth.shape == (32, 24)
    assert turned.truth[-1 - 5, -1 - 15] == plain.truth[15, 5] == 2
    assert plain.image[1, 0] == pytest.approx(24 / 255)


def test_the_middle_of_a_ring_lies_on_the_ring():
    ring = np.zeros((21, 21), dtype=bool)
    ring[3:18, 3:18] = True
    ring[5:16, 5:16] = False
    row, column = centre(ring)
    assert ring[int(row), int(column)]


def test_the_command_draws_a_picture_and_leaves_nothing_else(tmp_path, monkeypatch):
    write_store(tmp_path / "store", [(1, 3)])
    output = tmp_path / "docs" / "why.png"
    monkeypatch.setattr(sys, "argv", ["why", str(tmp_path / "store"), str(output), "--case", "case0"])
    main()
    with Image.open(output) as picture:
        picture.load()
        assert picture.width > 1500 and picture.height > 500
    assert [p.name for p in output.parent.iterdir()] == ["why.png"]


def test_what_cannot_be_drawn_is_said_in_one_line(tmp_path, monkeypatch, capsys):
    known = write_store(tmp_path / "known", [(1, 2, 3)])
    with pytest.raises(InputError, match="hide some classes"):
        draw_why(known, tmp_path / "why.png")
    with pytest.raises(InputError, match="no case 'other'"):
        draw_why(known, tmp_path / "why.png", "other")
    with pytest.raises(InputError, match="no full truth"):
        draw_why(write_store(tmp_path / "shown", [(1,)], with_truth=False), tmp_path / "why.png")
    monkeypatch.setattr(sys, "argv", ["why", str(tmp_path / "nothing"), str(tmp_path / "why.png")])
    with pytest.raises(SystemExit, match="1"):
        main()
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "why.png").exists()
