from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import datamodules.build
from datamodules.build import open_or_build
from datamodules.sources.base import Source, SourceCase
from datamodules.stored_grid import StoredGrid
from partial_labels.batch import HUMAN, IGNORE, UNKNOWN
from partial_labels.case_store import CaseStore
from partial_labels.case_table import CaseRow
from partial_labels.classes import ClassTable
from partial_labels.errors import InputError

GRID = StoredGrid((8, 8), "scale")


def made_case(index=0, shape=(8, 8), **changes):
    random = np.random.default_rng(index)
    image = random.integers(0, 256, shape).astype(np.uint8)
    label = np.zeros(shape, np.uint8)
    label[2:4, 2:4] = 1
    case = SourceCase(CaseRow(f"{index}.png", "g", "v"), image, label, np.array([False, True, False, False]))
    return replace(case, **changes)


class MadeSource(Source):
    name = "made"

    def __init__(self, *cases, version="1"):
        self.made = cases
        self.version = version
        self.has_truth = bool(cases) and cases[0].truth is not None
        self.readings = 0

    @property
    def classes(self):
        return ClassTable.from_foreground(["liver", "kidney_left", "kidney_right"])

    def fingerprint(self):
        return self.version

    def __len__(self):
        return len(self.made)

    def cases(self):
        self.readings += 1
        yield from self.made


def test_a_store_is_built_once_and_then_opened(tmp_path):
    source = MadeSource(made_case(0), made_case(1))
    first = open_or_build(source, tmp_path / "cache", GRID)
    again = open_or_build(source, tmp_path / "cache", StoredGrid.of((8, 8), "scale"))
    assert first.path == again.path
    assert first.path.name.startswith("made-")
    assert source.readings == 1
    assert np.array_equal(again.images[1], source.made[1].image)
    assert np.array_equal(again.labels[1], source.made[1].label)
    assert again.status.tolist() == [[UNKNOWN, HUMAN, UNKNOWN, UNKNOWN]] * 2
    assert again.native is None


@pytest.mark.parametrize(
    ("version", "size", "fit"), [("2", 8, "scale"), ("1", 9, "scale"), ("1", (8, 9), "scale"), ("1", 8, "pad")]
)
def test_whatever_changes_the_content_changes_the_store(tmp_path, version, size, fit):
    before = open_or_build(MadeSource(made_case()), tmp_path, GRID)
    after = open_or_build(MadeSource(made_case(), version=version), tmp_path, StoredGrid.of(size, fit))
    assert before.path != after.path


def test_another_format_is_another_store(tmp_path, monkeypatch):
    before = datamodules.build.store_path(MadeSource(), tmp_path, GRID)
    monkeypatch.setattr(datamodules.build, "FORMAT", datamodules.build.FORMAT + 1)
    assert datamodules.build.store_path(MadeSource(), tmp_path, GRID) != before


def test_slices_of_another_size_keep_their_native_label(tmp_path):
    cases = made_case(0), made_case(1, (8, 16)), made_case(2, (4, 4))
    store = open_or_build(MadeSource(*cases), tmp_path, GRID)
    assert store.cases.column("native_offset").tolist() == [-1, 0, 128]
    for index, case in enumerate(cases):
        assert np.array_equal(store.native_label(index), case.label)
    assert (store.labels[1, :2] == IGNORE).all()
    assert (store.images[1, :2] == 0).all()
    assert (store.labels[1, 2:6] < 3).all()


def test_the_truth_is_fitted_like_the_label_and_kept_apart(tmp_path):
    truth = np.full((8, 16), 2, np.uint8)
    store = open_or_build(MadeSource(made_case(0, (8, 16), truth=truth)), tmp_path, GRID)
    assert np.array_equal(store.truth[0] == IGNORE, store.labels[0] == IGNORE)
    assert set(np.unique(store.truth)) == {2, IGNORE}
    assert set(np.unique(store.labels)) == {0, 1, IGNORE}


def test_padding_has_intensity_zero_whatever_is_stored(tmp_path):
    source = MadeSource(made_case(0, (8, 16), image=np.arange(128, dtype=np.int16).reshape(8, 16)))
    source.image_dtype, source.slope, source.intercept = "int16", 1 / 2000, 0.5
    store = open_or_build(source, tmp_path, GRID)
    assert (store.images[0, 0] * store.header.slope + store.header.intercept == 0).all()


@pytest.mark.parametrize(
    ("shapes", "size", "fit", "expected"),
    [
        ([(8, 8)], 8, "scale", (1.5, 2.0)),
        ([(8, 8)], 4, "scale", (3.0, 4.0)),
        ([(8, 16), (8, 16)], 8, "scale", (3.0, 4.0)),
        ([(8, 8), (16, 16)], 8, "scale", None),
        ([(8, 8), (16, 16)], 8, "pad", (1.5, 2.0)),
        ([(8, 8), (8, 4)], 8, "scale", (1.5, 2.0)),
    ],
)
def test_the_spacing_follows_the_scaling(tmp_path, shapes, size, fit, expected):
    source = MadeSource(*(made_case(i, shape) for i, shape in enumerate(shapes)))
    source.spacing_mm = (1.5, 2.0)
    assert open_or_build(source, tmp_path, StoredGrid.of(size, fit)).header.spacing_mm == expected


def drawn(index):
    label = np.zeros((8, 8), np.uint8)
    label[0, 0] = index
    return label


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (made_case(label=np.zeros((8, 9), np.uint8)), r"1.png: image of \(8, 8\) pixels, label of \(8, 9\)"),
        (made_case(truth=np.zeros((9, 8), np.uint8)), r"1.png: image of \(8, 8\) pixels, truth of \(9, 8\)"),
        (made_case(label=drawn(4)), "1.png: label id 4, but the class table ends at 3"),
        (made_case(label=drawn(254)), "1.png: label id 254, but"),
        (made_case(label=drawn(2)), r"1.png: mask id 2 \(kidney_left\) outside the examined list"),
        (made_case(image=np.full((8, 8), 7, np.uint8)), r"1.png: constant image \(every pixel is 7\)"),
    ],
)
def test_a_wrong_case_is_named_in_one_line_and_nothing_is_left(tmp_path, case, message):
    case = replace(case, row=CaseRow("1.png", "g", "v"))
    with pytest.raises(InputError, match=message) as caught:
        open_or_build(MadeSource(made_case(0), case), tmp_path, GRID)
    assert "\n" not in str(caught.value)
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []


def test_two_cases_of_one_name_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"0\.png: two cases have this name"):
        open_or_build(MadeSource(made_case(0), made_case(0)), tmp_path, GRID)


def test_ignored_pixels_are_no_class(tmp_path):
    store = open_or_build(MadeSource(made_case(label=drawn(IGNORE))), tmp_path, GRID)
    assert store.labels[0, 0, 0] == IGNORE


def test_an_empty_source_is_refused(tmp_path):
    with pytest.raises(InputError, match="no case"):
        open_or_build(MadeSource(), tmp_path, GRID)


def test_a_cache_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="name another cache"):
        open_or_build(MadeSource(made_case()), tmp_path / "file", GRID)


def test_the_pairs_are_logged_at_the_build(tmp_path, caplog):
    source = MadeSource(made_case())
    with caplog.at_level(logging.INFO):
        open_or_build(source, tmp_path, GRID)
    assert "left_right_axis=none; left/right pairs: kidney_left <-> kidney_right" in caplog.messages
    caplog.clear()
    with caplog.at_level(logging.INFO):
        open_or_build(source, tmp_path, GRID)
    assert caplog.messages == []


def test_of_two_at_once_one_builds_and_the_other_waits(tmp_path):
    class SlowSource(MadeSource):
        def cases(self):
            for case in super().cases():
                time.sleep(0.1)
                yield case

    source = SlowSource(made_case(0), made_case(1))
    found: list[CaseStore] = []
    threads = [
        threading.Thread(target=lambda: found.append(open_or_build(source, tmp_path, StoredGrid.of(8, "pad"))))
        for _ in "abc"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert source.readings == 1
    assert len({store.path for store in found}) == 1
    assert len(found) == 3


def test_what_a_killed_build_left_is_removed_by_the_next(tmp_path):
    script = textwrap.dedent("""
        import os, signal, sys
        sys.path.insert(0, sys.argv[2])
        from test_build import GRID, MadeSource, made_case, open_or_build

        class KilledSource(MadeSource):
            def cases(self):
                yield self.made[0]
                os.kill(os.getpid(), signal.SIGKILL)

        open_or_build(KilledSource(made_case(0), made_case(1)), sys.argv[1], GRID)
    """)
    here = Path(__file__)
    command = [sys.executable, "-c", script, str(tmp_path), str(here.parent)]
    killed = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(here.parents[2])})
    assert killed.returncode == -signal.SIGKILL
    left = [path for path in tmp_path.iterdir() if path.is_dir()]
    assert len(left) == 1
    assert left[0].name.startswith(".made-")
    other = tmp_path / ".other-0123.abc"
    other.mkdir()

    store = open_or_build(MadeSource(made_case(0), made_case(1)), tmp_path, GRID)
    assert len(store) == 2
    assert {path for path in tmp_path.iterdir() if path.is_dir()} == {store.path, other}
