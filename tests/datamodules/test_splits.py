from __future__ import annotations

import csv
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from datamodules.near_duplicates import cluster_vectors, thumbnail_vectors
from datamodules.splits import PARTS, Split, make_split
from datamodules.stratify import split_units
from partial_labels.batch import HUMAN
from partial_labels.case_store import CaseStore
from partial_labels.case_table import CaseRow, CaseTable
from partial_labels.classes import ClassTable
from partial_labels.errors import InputError
from partial_labels.store_header import StoreHeader

ACDC = Path(__file__).parents[3] / "shared" / "data" / "acdc"
SIDE = 8


def make_store(groups, seed=0, parts=None, copies=()):
    """A store in memory: noise images of their own, two classes at random, every cell examined."""
    rng = np.random.default_rng(seed)
    count = len(groups)
    images = rng.integers(0, 256, (count, SIDE, SIDE)).astype(np.uint8)
    for source, target in copies:
        images[target] = images[source]
    labels = np.zeros((count, SIDE, SIDE), dtype=np.uint8)
    labels[:, 0, 0] = rng.random(count) < 0.5
    labels[:, 1, 1] = 2 * (rng.random(count) < 0.3)
    labels[0, :2, :2] = [[1, 0], [0, 2]]
    rows = [
        CaseRow(f"case {i}", f"patient {g}", f"scan {g}", i, parts[i] if parts else "") for i, g in enumerate(groups)
    ]
    header = StoreHeader("tiny", ClassTable.from_foreground(["liver", "spleen"]), (SIDE, SIDE))
    status = np.full((count, 3), HUMAN, dtype=np.uint8)
    return CaseStore(Path("nowhere"), header, CaseTable(rows), images, labels, status, None, None)


def ids(split):
    return [getattr(split, name).tolist() for name in PARTS]


@settings(max_examples=40)
@given(
    st.integers(0, 2**31),
    st.lists(st.integers(0, 15), min_size=8, max_size=40),
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=3),
    st.sampled_from([(None, None), (2, 0), (2, 1), (3, 2)]),
)
def test_no_group_and_no_cluster_is_cut(seed, groups, copies, folds):
    store = make_store(groups, seed, copies=copies)
    try:
        split = make_split(store, folds=folds[0], fold=folds[1], seed=seed)
    except InputError:
        units = split_units(store.cases.column("group"), cluster_vectors(thumbnail_vectors(store.images), 0.98))
        assert units.max() < 4 or folds[0], "few units, or so few labels that no class is left"
        return
    part = split.part
    for key in (store.cases.column("group"), split.cluster):
        for value in np.unique(key):
            assert len(set(part[key == value])) == 1
    assert split.crossing == ()
    assert len(split.train) and len(split.val)
    assert ids(split) == ids(make_split(store, folds=folds[0], fold=folds[1], seed=seed))


def test_the_folds_cut_train_alone_and_cover_it():
    store = make_store(np.arange(60) // 2)
    whole = make_split(store)
    assert 6 <= len(whole.val) <= 18
    folds = [make_split(store, folds=4, fold=k) for k in range(4)]
    assert sorted(np.concatenate([fold.val for fold in folds])) == whole.train.tolist()
    for fold in folds:
        assert sorted([*fold.train, *fold.val]) == whole.train.tolist()
        assert set(fold.part[whole.val]) == {""}
        assert 8 <= len(fold.val) <= 16


def test_seeds_give_other_splits():
    store = make_store(np.arange(60) // 2)
    assert make_split(store, seed=0).val.tolist() != make_split(store, seed=1).val.tolist()


def test_the_source_wins_and_what_it_cuts_is_reported(caplog):
    parts = ["train"] * 6 + ["val"] * 3 + ["test"] * 2 + [""]
    store = make_store([0, 0, 1, 1, 2, 2, 2, 3, 4, 5, 6, 7], parts=parts, copies=[(1, 8), (0, 9), (2, 3), (4, 11)])
    with caplog.at_level(logging.WARNING):
        split = make_split(store)
    assert ids(split) == [[0, 1, 2, 3, 4, 5, 11], [6, 7, 8], [9, 10]]
    assert set(split.crossing) == {(1, 8), (0, 9)}
    assert "cuts 2 near-duplicate pairs" in caplog.text and "case 1 ~ case 8" in caplog.text
    assert "cuts 1 groups: patient 2" in caplog.text
    assert make_split(store, similarity=1).crossing == ()


def test_folds_leave_given_val_and_test_out():
    parts = ["train"] * 20 + ["val"] * 4 + ["test"] * 4
    split = make_split(make_store(range(28), parts=parts, copies=[(0, 20), (5, 24)]), folds=5, fold=3)
    assert sorted([*split.train, *split.val]) == list(range(20))
    assert len(split.val) == 4 and not len(split.test) and split.crossing == ()


def test_a_given_test_part_stays_while_val_is_drawn():
    split = make_split(make_store(range(30), parts=[""] * 25 + ["test"] * 5), val_fraction=0.4)
    assert split.test.tolist() == [25, 26, 27, 28, 29]
    assert len(split.val) == 10


def test_unlabeled_cases_are_shared_out_too():
    store = make_store(range(100))
    store.status[40:] = 0
    split = make_split(store)
    assert 6 <= (split.val < 40).sum() <= 10
    assert len(split.val) == 20


def test_what_is_shown_of_a_truth_does_not_move_the_split():
    whole = make_store(np.arange(60) // 2)
    half = np.where(np.arange(60)[:, None, None] % 4 < 2, whole.labels, 0).astype(np.uint8)
    kept = [replace(whole, labels=shown, truth=whole.labels) for shown in (whole.labels, half)]
    assert ids(make_split(kept[0])) == ids(make_split(kept[1])) == ids(make_split(whole))
    assert ids(make_split(replace(whole, labels=half))) != ids(make_split(whole)), "no truth: what is shown decides"


def test_a_class_without_a_case_is_named_and_only_examined_cells_count(caplog):
    store = make_store(range(10))
    store.labels[store.labels == 2] = 0
    with caplog.at_level(logging.WARNING):
        make_split(store)
    assert "no train case shows 1 of the classes: spleen" in caplog.text
    assert "no val case shows 1 of the classes: spleen" in caplog.text
    store.status[:, 2] = 0
    with pytest.raises(InputError, match=r"no case is examined for spleen; take the class out of the class table"):
        make_split(store)
    store.labels[:] = 0
    with pytest.raises(InputError, match="no train case shows any class"):
        make_split(store)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fold": 0}, "give both"),
        ({"folds": 3}, "give both"),
        ({"folds": 3, "fold": 3}, r"fold=3: must lie in 0 to 2"),
        ({"folds": 1, "fold": 0}, "at least 2"),
        ({"folds": 9, "fold": 0}, r"8 training cases form 4 units .* 9 are needed"),
        ({"val_fraction": 0.0}, "val_fraction"),
        ({"val_fraction": 1.0}, "val_fraction"),
        ({"similarity": 0.0}, "similarity"),
    ],
)
def test_bad_arguments_are_one_line(options, message):
    store = make_store([0, 0, 1, 1, 2, 2, 3, 3, 4, 4], parts=["train"] * 8 + ["val"] * 2)
    with pytest.raises(InputError, match=message) as caught:
        make_split(store, **options)
    assert "\n" not in str(caught.value)


def test_empty_parts_and_unknown_words_are_refused():
    with pytest.raises(InputError, match="no train case"):
        make_split(make_store(range(4), parts=["val"] * 4))
    with pytest.raises(InputError, match=r"case 1: split 'training'"):
        make_split(make_store(range(4), parts=["train", "training", "val", "val"]))
    with pytest.raises(InputError, match="form 1 units"):
        make_split(make_store([0] * 5))


def test_a_split_survives_writing(tmp_path):
    parts = ["train"] * 6 + ["val"] * 3 + ["test"] * 2 + [""]
    store = make_store(range(12), parts=parts, copies=[(1, 8), (1, 9), (2, 3)])
    split = make_split(store)
    split = replace(split, train=split.train[:-1])  # one case is left out
    path = tmp_path / "split.csv"
    split.write(path, store.cases, np.array([0, 1, 4]))
    again = Split.read(path, store.cases)
    for name in (*PARTS, "cluster"):
        np.testing.assert_array_equal(getattr(again, name), getattr(split, name))
    assert again.crossing == split.crossing != ()
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows[1] == {
        "name": "case 1",
        "group": "patient 1",
        "volume": "scan 1",
        "cluster": "1",
        "part": "train",
        "labels": "labeled",
        "crossing": "8 9",
    }
    assert [row["labels"] for row in rows[2:8]] == ["unlabeled", "unlabeled", "labeled", "unlabeled", "", ""]
    assert [file.name for file in tmp_path.iterdir()] == ["split.csv"]


def test_a_split_of_other_data_is_refused(tmp_path):
    store = make_store(range(6))
    path = tmp_path / "split.csv"
    make_split(store).write(path, store.cases, np.array([0]))
    with pytest.raises(InputError, match="not those of the data"):
        Split.read(path, make_store(range(7)).cases)
    text = path.read_text()
    path.write_text(text.replace(",val,", ",wal,"))
    with pytest.raises(InputError, match="no part is called wal; restore the file"):
        Split.read(path, store.cases)
    path.write_text(text.replace("cluster", "clutter"))
    with pytest.raises(InputError, match="no readable split"):
        Split.read(path, store.cases)
    with pytest.raises(InputError, match="no readable split"):
        Split.read(tmp_path / "nothing.csv", store.cases)


@pytest.mark.skipif(not ACDC.is_dir(), reason="the real slices are not here")
def test_one_scan_under_two_patient_numbers_is_found_in_real_slices():
    """ACDC's patients 074 and 076 are the same scan; a split by patient number alone could cut it."""
    with (ACDC / "manifest.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["group"] in ("patient073", "patient074", "patient076")]
    images = np.stack([np.asarray(Image.open(ACDC / row["image"]).convert("L").resize((96, 96))) for row in rows])
    group = np.array([row["group"] for row in rows])
    unit = dict(zip(group, split_units(group, cluster_vectors(thumbnail_vectors(images), 0.98)), strict=True))
    assert unit["patient074"] == unit["patient076"] != unit["patient073"]
