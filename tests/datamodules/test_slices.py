from __future__ import annotations

import csv
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.build import open_or_build
from datamodules.sources.slices import SlicesSource
from datamodules.stored_grid import StoredGrid
from partial_labels.batch import HUMAN
from partial_labels.case_store import CaseStore
from partial_labels.errors import InputError

REAL = Path(__file__).parents[3] / "shared" / "data"
NAMES = {"1": "liver", "2": "kidney_left", "3": "kidney_right"}


def picture(index, shape=(12, 10)):
    return np.random.default_rng(index).integers(0, 256, shape).astype(np.uint8)


def mask(index, shape=(12, 10)):
    return np.random.default_rng(100 + index).integers(0, 4, shape).astype(np.uint8)


def write_manifest(root, rows):
    with (root / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def read_rows(root):
    with (root / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def change(root, line, **cells):
    """Change cells of one line; line 1 is the header."""
    rows = read_rows(root)
    rows[line - 2].update(cells)
    write_manifest(root, rows)


@pytest.fixture
def folder(tmp_path):
    """Three slices: fully examined, partly examined, unlabeled without a label file."""
    root = tmp_path / "set"
    (root / "images").mkdir(parents=True)
    (root / "labels").mkdir()
    partial = np.where(mask(1) == 3, 0, mask(1)).astype(np.uint8)
    for index, label in enumerate((mask(0), partial)):
        Image.fromarray(label).save(root / "labels" / f"{index}.png")
    for index in range(3):
        Image.fromarray(picture(index)).save(root / "images" / f"{index}.png")
    common = {"group": "p1", "volume": "p1_a", "split": "train", "spacing_mm": "1.5 2", "list_rank": "4"}
    rows = [
        {"image": f"images/{i}.png", "label": label, "annotated": annotated, "slice_index": 5 - i} | common
        for i, (label, annotated) in enumerate([("labels/0.png", "all"), ("labels/1.png", "1 2"), ("", "")])
    ]
    write_manifest(root, rows)
    (root / "classes.json").write_text(json.dumps(NAMES))
    return root


def build(root, cache, size=(12, 10), **options):
    return open_or_build(SlicesSource(root, **options), cache, StoredGrid.of(size, "scale"))


def test_a_folder_comes_through_unchanged(folder, tmp_path):
    store = build(folder, tmp_path / "cache", left_right_axis="columns")
    assert store.header.name == "set"
    assert store.header.spacing_mm == (1.5, 2.0)
    assert store.header.left_right_axis == "columns"
    assert store.classes.pairs == ((2, 3),)
    for index in range(3):
        assert np.array_equal(store.images[index], picture(index))
    assert np.array_equal(store.labels[0], mask(0))
    assert np.array_equal(store.labels[1], np.where(mask(1) == 3, 0, mask(1)))
    assert (store.labels[2] == 0).all()
    assert (store.status == HUMAN).tolist() == [[True] * 4, [False, True, True, False], [False] * 4]
    row = store.cases[1]
    assert (row.name, row.group, row.volume) == ("images/1.png", "p1", "p1_a")
    assert (row.slice_index, row.split, row.list_rank, row.height, row.width) == (4, "train", 4, 12, 10)


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        (("group", "volume"), [("p1", "p1_a", 0), ("p1", "p1_a", 1), ("p1", "p1_a", 2)]),
        (("group",), [("p1", "p1", 0), ("p1", "p1", 1), ("p1", "p1", 2)]),
        (("volume",), [("p1_a", "p1_a", 0), ("p1_a", "p1_a", 1), ("p1_a", "p1_a", 2)]),
        ((), [(f"images/{i}.png",) * 2 + (0,) for i in range(3)]),
    ],
)
def test_columns_that_may_be_left_out(folder, kept, expected):
    wanted = {"image", "label", "annotated", *kept}
    write_manifest(folder, [{k: v for k, v in row.items() if k in wanted} for row in read_rows(folder)])
    source = SlicesSource(folder)
    rows = [item.row for item in source.slices]
    assert [(row.group, row.volume, row.slice_index) for row in rows] == expected
    assert {(row.split, row.list_rank) for row in rows} == {("", -1)}
    assert source.spacing_mm is None


def test_each_slice_keeps_its_spacing_where_they_differ(folder, tmp_path):
    change(folder, 3, spacing_mm="3")
    change(folder, 4, spacing_mm="")
    store = build(folder, tmp_path / "cache")
    assert [row.spacing_mm for row in store.cases] == [(1.5, 2.0), (3.0, 3.0), None]
    assert store.header.spacing_mm is None
    change(folder, 4, spacing_mm="3")
    spaced = open_or_build(SlicesSource(folder), tmp_path / "cache", StoredGrid.of((12, 10), "spacing", (1.5, 2.0)))
    assert spaced.header.spacing_mm == (1.5, 2.0)
    assert np.array_equal(spaced.images[0], picture(0)) and not np.array_equal(spaced.images[1], picture(1))


def test_only_stores_of_differing_spacings_get_another_fingerprint(folder):
    def of_files():
        source = SlicesSource(folder)
        digest = hashlib.sha256(json.dumps(["set", "none", source.classes.to_json()]).encode())
        digest.update((folder / "manifest.csv").read_bytes())
        for stat in (path.stat() for item in source.slices for path in (item.image, item.label) if path):
            digest.update(f" {stat.st_size} {stat.st_mtime_ns}".encode())
        return digest.hexdigest(), source.fingerprint()

    before, now = of_files()
    assert now == before
    change(folder, 3, spacing_mm="3")
    before, now = of_files()
    assert now != before


def test_a_name_that_two_volumes_have_is_refused(folder, tmp_path):
    first = read_rows(folder)[0]["slice_index"]
    change(folder, 3, group="p2", volume="p1_a", slice_index=first)
    for _ in ("built", "found"):
        with pytest.raises(
            InputError, match=rf"volume 'p1_a' has a slice {first} in two groups, 'p1' and 'p2'; give each .*"
        ):
            build(folder, tmp_path / "cache")
    change(folder, 3, volume="p2_a")
    assert build(folder, tmp_path / "cache").cases.volume_number.tolist() == [0, 1, 0]


def test_slices_of_a_volume_may_be_groups_of_their_own(folder, tmp_path):
    change(folder, 3, group="p2", volume="p1_a", slice_index="7")
    assert build(folder, tmp_path / "cache").cases.volume_number.tolist() == [0, 0, 0]


@pytest.mark.parametrize("column", ["image", "label", "annotated"])
def test_a_missing_column_is_named(folder, column):
    write_manifest(folder, [{k: v for k, v in row.items() if k != column} for row in read_rows(folder)])
    with pytest.raises(InputError, match=f"no column '{column}'"):
        SlicesSource(folder)


@pytest.mark.parametrize(
    ("line", "cells", "message"),
    [
        (3, {"image": "../secret.png"}, r"line 3: '../secret.png' leaves the folder"),
        (3, {"label": "/etc/passwd"}, "line 3: '/etc/passwd' leaves the folder"),
        (3, {"image": ""}, "line 3: the image path is empty"),
        (3, {"label": "labels/9.png"}, "line 3: label 'labels/9.png' is missing"),
        (2, {"label": ""}, "line 2: label '' is missing"),
        (3, {"annotated": "1 4"}, "line 3: annotated id '4'; write ids from 1 to 3"),
        (3, {"annotated": "1,2"}, "line 3: annotated id '1,2'"),
        (4, {"annotated": "0"}, "line 4: annotated id '0'"),
        (4, {"split": "training"}, "line 4: split 'training'"),
        (4, {"slice_index": "x"}, "line 4: slice_index 'x' is no whole number"),
        (4, {"list_rank": "1.5"}, r"line 4: list_rank '1\.5' is no whole number"),
        (4, {"slice_index": "9" * 30}, "line 4: slice_index '9+' is too large"),
        (4, {"list_rank": "9" * 9999}, "line 4: list_rank '9+' is no whole number"),
        (3, {"image": "images/\0.png"}, r"line 3: 'images/\\x00\.png' is no file name"),
        (4, {"spacing_mm": "0"}, "line 4: spacing_mm '0'"),
        (4, {"spacing_mm": "1 2 3"}, "line 4: spacing_mm '1 2 3'"),
        (4, {"spacing_mm": "nan"}, "line 4: spacing_mm 'nan'"),
    ],
)
def test_a_wrong_row_is_named(folder, line, cells, message):
    change(folder, line, **cells)
    with pytest.raises(InputError, match=message) as caught:
        SlicesSource(folder)
    assert "manifest.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_link_out_of_the_folder_is_refused(folder, tmp_path):
    (folder / "images" / "1.png").rename(tmp_path / "1.png")
    (folder / "images" / "1.png").symlink_to(tmp_path / "1.png")
    with pytest.raises(InputError, match="leaves the folder"):
        SlicesSource(folder)


def test_a_linked_folder_is_fine(folder, tmp_path):
    (tmp_path / "linked").symlink_to(folder)
    assert len(build(tmp_path / "linked", tmp_path / "cache")) == 3


def test_too_many_cells_are_named(folder):
    text = (folder / "manifest.csv").read_text().splitlines()
    (folder / "manifest.csv").write_text("\n".join([*text[:3], text[3] + ",7"]))
    with pytest.raises(InputError, match="line 4: more cells"):
        SlicesSource(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not readable"),
        ("[1]", "not readable"),
        ('{"a": "liver"}', "not readable"),
        ('{"1": "liver", "3": "spleen"}', r"ids \[1, 3\] leave a gap"),
        ('{"1": "liver", "2": "liver"}', "names used twice: liver"),
        ('{"1": "liver", "1": "spleen"}', "class 1 stands there twice"),
        ('{"1": "liver", "01": "spleen"}', "class 1 stands there twice"),
        ('{"1": "liver", "2": null}', "the name of class 2 is no text"),
        ('{"1": {"name": "liver"}}', "the name of class 1 is no text"),
        ('{"1": " "}', "the name of class 1 is no text"),
        ("[" * 100_000, "not readable"),
        ("{}", "1 classes; 2 to 254 fit"),
        (json.dumps({str(i): f"c{i}" for i in range(1, 300)}), "300 classes"),
    ],
)
def test_a_wrong_class_table_is_named(folder, text, message):
    (folder / "classes.json").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        SlicesSource(folder)
    assert str(caught.value).startswith(f"{folder}/classes.json: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize("change", [lambda cell: f" {cell} ", lambda cell: f'"{cell}"'], ids=["spaces", "quotes"])
def test_spaces_and_quotes_around_cells_do_not_matter(folder, change):
    before = [(item.row, item.image, item.label, item.examined.tolist()) for item in SlicesSource(folder).slices]
    path = folder / "manifest.csv"
    lines = [",".join(map(change, line.split(","))) for line in path.read_text().splitlines()]
    path.write_text("\n".join([*lines, "", "," * 7]) + "\n")
    assert [
        (item.row, item.image, item.label, item.examined.tolist()) for item in SlicesSource(folder).slices
    ] == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column 'image' in the header ''"),
        ("image;label;annotated\n", "no column 'image' in the header 'image;label;annotated'; mend it, with commas"),
        ("image,label,annotated,group,group\n", "two columns 'group'"),
        ("image,label,annotated\n", "no row below the header"),
        ('image,label,annotated\n"images/0.png,,\n', "not readable as a table"),
    ],
)
def test_a_wrong_manifest_is_named(folder, text, message):
    (folder / "manifest.csv").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        SlicesSource(folder)
    assert str(caught.value).startswith(f"{folder}/manifest.csv: ") and "\n" not in str(caught.value)


def test_zero_may_be_named_too(folder):
    (folder / "classes.json").write_text(json.dumps({"0": "background"} | NAMES))
    assert SlicesSource(folder).classes.foreground == tuple(NAMES.values())


def test_pairs_can_be_given(folder):
    assert SlicesSource(folder, pairs=[]).classes.pairs == ()
    assert SlicesSource(folder, pairs=[[1, 2]]).classes.pairs == ((1, 2),)
    with pytest.raises(InputError, match="two by two"):
        SlicesSource(folder, pairs=[[1, 2, 3]])


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        SlicesSource(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"data\.root=: no such folder"):
        SlicesSource("")


def truncate(path):
    path.write_bytes(path.read_bytes()[:-60])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, "unreadable or truncated"),
        (lambda path: path.write_bytes(b""), "unreadable or truncated"),
        (lambda path: path.write_text("no image"), "unreadable or truncated"),
        (
            lambda path: Image.fromarray(picture(1).astype(np.uint16)).save(path),
            "Pillow mode I;16, expected 8-bit grey",
        ),
        (lambda path: Image.fromarray(picture(1, (12, 10, 3))).save(path), "a colour image"),
        (lambda path: Image.fromarray(picture(1, (9, 9))).save(path), r"image of \(9, 9\) pixels, label of \(12, 10\)"),
    ],
)
def test_a_wrong_image_is_named(folder, tmp_path, damage, message):
    damage(folder / "images" / "1.png")
    with pytest.raises(InputError, match=message) as caught:
        build(folder, tmp_path / "cache")
    assert "images/1.png" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_image_is_named(folder, tmp_path):
    (folder / "images" / "2.png").unlink()
    with pytest.raises(InputError, match=r"line 4: .*images/2\.png is missing"):
        build(folder, tmp_path / "cache")


def test_webp_and_palette_labels_are_read(folder, tmp_path):
    Image.fromarray(picture(0)).save(folder / "images" / "0.webp", lossless=True)
    coloured = Image.fromarray(mask(0))
    coloured.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    coloured.save(folder / "labels" / "0.png")
    change(folder, 2, image="images/0.webp")
    store = build(folder, tmp_path / "cache")
    assert np.array_equal(store.images[0], picture(0))
    assert np.array_equal(store.labels[0], mask(0))


@pytest.mark.parametrize("touched", ["manifest.csv", "classes.json", "images/1.png", "labels/0.png", "name"])
def test_the_store_is_built_anew_when_something_changed(folder, tmp_path, touched):
    before = build(folder, tmp_path / "cache").path
    assert build(folder, tmp_path / "cache").path == before
    if touched == "manifest.csv":
        change(folder, 3, split="val")
    elif touched == "classes.json":
        (folder / touched).write_text(json.dumps(NAMES | {"1": "spleen"}))
    elif touched == "name":
        assert build(folder, tmp_path / "cache", name="other").path != before
        return
    else:
        os.utime(folder / touched, ns=(0, 1))
    assert build(folder, tmp_path / "cache").path != before


@pytest.mark.parametrize(
    ("name", "cases", "patients", "classes", "examined"),
    [("openkbp", 2072, 259, 8, 0.253861), ("acdc", 1522, 80, 4, None), ("totalsegmentator_example", 112, 1, 118, 1)],
)
def test_the_real_sets_build(tmp_path, name, cases, patients, classes, examined):
    if not (REAL / name).exists():
        pytest.skip(f"{REAL / name} is not there")
    store: CaseStore = build(REAL / name, tmp_path, 32)
    assert len(store) == cases
    assert len(set(store.cases.column("group"))) == patients
    assert len(store.classes) == classes
    if examined:
        assert (store.status[:, 5] == HUMAN).mean() == pytest.approx(examined, abs=1e-4)
