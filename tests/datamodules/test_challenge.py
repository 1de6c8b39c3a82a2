from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.build import open_or_build
from datamodules.sources import challenge_format
from datamodules.sources.anatomy import ANATOMY_NAMES
from datamodules.sources.challenge import ChallengeSource
from datamodules.sources.challenge_format import export_store, write_challenge
from datamodules.sources.phantom import PhantomSource
from datamodules.stored_grid import StoredGrid
from partial_labels.batch import HUMAN, IGNORE
from partial_labels.case_table import CaseRow
from partial_labels.case_writer import CaseStoreWriter
from partial_labels.classes import ClassTable
from partial_labels.errors import InputError
from partial_labels.store_header import StoreHeader

SIZE = (6, 9)
N = 12
CLASSES = ClassTable.from_foreground(ANATOMY_NAMES)


def made():
    """Images, labels and what was examined: every third image is unlabeled, the second examined and empty."""
    random = np.random.default_rng(3)
    images = random.integers(0, 256, (N, *SIZE)).astype(np.uint8)
    examined = random.random((N, len(CLASSES))) < 0.5
    examined[::3] = False
    examined[:, 0] = False
    labels = random.integers(0, len(CLASSES), (N, *SIZE)).astype(np.uint8)
    labels[~examined[np.arange(N)[:, None, None], labels]] = 0
    labels[1] = 0
    return images, labels, examined


@pytest.fixture
def folder(tmp_path):
    write_challenge(tmp_path / "set", *made(), CLASSES)
    return tmp_path / "set"


def build(root, cache, **options):
    return open_or_build(ChallengeSource(root, **options), cache, StoredGrid.of(SIZE, "scale"))


def test_what_is_written_is_read_in_numeric_order(folder, tmp_path):
    images, labels, examined = made()
    store = build(folder, tmp_path / "cache")
    assert store.cases.column("name").tolist() == [f"{i}.png" for i in range(N)]
    assert store.cases.column("list_rank").tolist() == list(range(N))
    assert np.array_equal(store.images, images)
    assert np.array_equal(store.labels, labels)
    assert np.array_equal(store.status[:, 1:] == HUMAN, examined[:, 1:])
    assert store.status[1, 1:].any()
    assert not store.labels[1].any()
    assert not store.status[0].any()
    assert store.header.left_right_axis == "rows"
    assert store.classes == CLASSES
    assert len(store.classes.pairs) == 16


def test_the_files_are_the_challenges(folder):
    images, labels, examined = made()
    lines = (folder / "label_Hnl61pT.csv").read_text().splitlines()
    assert lines[0] == "," + ",".join(f"{i}.png" for i in range(N))
    assert lines[11] == "Pixel 10," + ",".join(str(i) for i in labels[:, 1, 1])
    assert json.loads((folder / "annotated_labels.json").read_text())[2] == np.flatnonzero(examined[2]).tolist()
    assert np.array_equal(np.array(Image.open(folder / "train-images" / "11.png")), images[11])


def test_the_other_name_of_the_table_and_the_54_names_by_default(folder, tmp_path):
    (folder / "label_Hnl61pT.csv").rename(folder / "y_train.csv")
    (folder / "classes.json").unlink()
    store = build(folder, tmp_path / "cache")
    assert np.array_equal(store.labels, made()[1])
    assert store.classes.names[1:] == ANATOMY_NAMES


def test_without_the_list_the_consequence_is_said(folder):
    (folder / "annotated_labels.json").unlink()
    with pytest.raises(
        InputError, match=r"annotated_labels\.json is missing.*taken as absent.*assume_all_examined=true"
    ):
        ChallengeSource(folder)


def test_without_the_list_all_drawn_images_count_as_examined_if_told_so(folder, tmp_path):
    (folder / "annotated_labels.json").unlink()
    store = build(folder, tmp_path / "cache", assume_all_examined=True)
    drawn = made()[1].any((1, 2))
    assert drawn.any()
    assert not drawn.all()
    assert np.array_equal(store.status == HUMAN, np.repeat(drawn[:, None], len(CLASSES), axis=1))


def change_list(folder, change):
    path = folder / "annotated_labels.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(change(record)))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: change_list(f, lambda r: r[:-1]), "11 lists for 12 images"),
        (lambda f: change_list(f, lambda r: [*r, []]), "13 lists for 12 images"),
        (lambda f: change_list(f, lambda r: {"0": r}), "no lists for 12 images"),
        (lambda f: change_list(f, lambda r: [*r[:-1], 3]), "entry 11 is 3; expected a list"),
        (lambda f: change_list(f, lambda r: [*r[:-1], [55]]), "entry 11 holds 55; expected ids from 1 to 54"),
        (lambda f: change_list(f, lambda r: [*r[:-1], ["1"]]), "entry 11 holds '1'"),
        (lambda f: change_list(f, lambda r: [*r[:-1], [True]]), "entry 11 holds True"),
        (lambda f: (f / "annotated_labels.json").write_text("[["), r"annotated_labels\.json: not readable"),
        (lambda f: (f / "label_Hnl61pT.csv").unlink(), r"neither label_Hnl61pT\.csv nor y_train\.csv"),
        (lambda f: (f / "train-images" / "3.png").unlink(), r"train-images/3\.png is missing, but 11\.png is there"),
        (lambda f: (f / "train-images" / "3.png").rename(f / "train-images" / "03.png"), "name is no number"),
        (lambda f: (f / "train-images").rename(f / "images"), "no such folder"),
        (lambda f: (f / "classes.json").write_text('{"2": "liver"}'), "leave a gap"),
    ],
)
def test_what_is_missing_or_contradicts_is_named(folder, damage, message):
    damage(folder)
    with pytest.raises(InputError, match=message) as caught:
        ChallengeSource(folder)
    assert "\n" not in str(caught.value)


def shrink(path):
    path.write_bytes(path.read_bytes()[:40])


def drop_last_column(folder):
    path = folder / "label_Hnl61pT.csv"
    path.write_text("".join(line.rpartition(",")[0] + "\n" for line in path.read_text().splitlines()))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: shrink(f / "train-images" / "4.png"), r"4\.png: unreadable or truncated"),
        (
            lambda f: Image.fromarray(np.arange(54, dtype=np.uint8).reshape(9, 6)).save(f / "train-images" / "4.png"),
            r"4\.png: \(9, 6\) pixels, but 0\.png has \(6, 9\)",
        ),
        (lambda f: change_list(f, lambda r: [[] for _ in r]), r"outside the examined list"),
        (drop_last_column, r"no column '11\.png'"),
    ],
)
def test_what_is_wrong_inside_is_named_at_the_build(folder, tmp_path, damage, message):
    damage(folder)
    with pytest.raises(InputError, match=message) as caught:
        build(folder, tmp_path / "cache")
    assert "\n" not in str(caught.value)
    assert [path for path in (tmp_path / "cache").iterdir() if path.is_dir()] == []


@pytest.mark.parametrize("name", ["label_Hnl61pT.csv", "annotated_labels.json", "train-images/3.png"])
def test_the_store_is_built_anew_when_a_file_changed(folder, tmp_path, name):
    before = build(folder, tmp_path / "cache").path
    assert build(folder, tmp_path / "cache").path == before
    if name.endswith(".json"):
        change_list(folder, lambda r: [list(range(1, 55)), *r[1:]])
    elif name.endswith(".csv"):
        path = folder / name
        path.write_text(path.read_text().removesuffix("\n"))
    else:
        Image.fromarray(np.arange(54, dtype=np.uint8).reshape(SIZE)).save(folder / name)
    assert build(folder, tmp_path / "cache").path != before


def write_store(path, classes=CLASSES, dtype="uint8"):
    images, labels, examined = made()
    labels[0, 0, 0] = IGNORE
    with CaseStoreWriter(path, StoreHeader("made", classes, SIZE, image_dtype=dtype), N) as writer:
        for i in range(N):
            row = CaseRow(f"case{i}", f"p{i // 3}", f"p{i // 3}", list_rank=N - i)
            writer.add(row, images[i].astype(dtype), labels[i], examined[i])


def test_a_store_written_out_comes_back_the_same(tmp_path):
    write_store(tmp_path / "store")
    module = "datamodules.sources.challenge_format"
    command = [sys.executable, "-m", module, str(tmp_path / "store"), str(tmp_path / "set")]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 0
    assert "written as 0: 1" in done.stderr
    images, labels, examined = made()
    store = build(tmp_path / "set", tmp_path / "cache")
    assert np.array_equal(store.images, images)
    assert np.array_equal(store.labels, labels)
    assert np.array_equal(store.status[:, 1:] == HUMAN, examined[:, 1:])


@pytest.mark.parametrize("structures", [None, ["liver", "kidney_left", "kidney_right", "spleen"]])
def test_a_phantom_written_out_and_read_back_gives_the_same_store(tmp_path, structures):
    phantom = open_or_build(
        PhantomSource(num_slices=20, image_size=48, structures=structures),
        tmp_path / "cache",
        StoredGrid.of(48, "scale"),
    )
    export_store(phantom, tmp_path / "set")
    store = open_or_build(ChallengeSource(tmp_path / "set"), tmp_path / "cache", StoredGrid.of(48, "scale"))
    assert np.array_equal(store.images, phantom.images)
    assert np.array_equal(store.labels, phantom.labels)
    assert np.array_equal(store.status, phantom.status)
    assert store.cases.column("list_rank").tolist() == phantom.cases.column("list_rank").tolist()
    assert store.classes == phantom.classes
    assert store.header.left_right_axis == phantom.header.left_right_axis
    assert store.truth is None


def test_what_cannot_be_written_out_is_said_and_nothing_is_left(tmp_path, capsys):
    write_store(tmp_path / "store", dtype="int16")
    assert challenge_format.main([str(tmp_path / "store"), str(tmp_path / "set")]) == 1
    assert "holds 8 bits" in capsys.readouterr().err
    assert challenge_format.main([str(tmp_path / "nowhere"), str(tmp_path / "set")]) == 1
    assert "no case store" in capsys.readouterr().err
    (tmp_path / "set").mkdir()
    write_store(tmp_path / "eight")
    assert challenge_format.main([str(tmp_path / "eight"), str(tmp_path / "set")]) == 1
    assert "is there already" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"store", "eight", "set"}


def test_a_killed_export_is_no_folder(tmp_path, monkeypatch):
    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(challenge_format, "write_label_csv", stop)
    with pytest.raises(KeyboardInterrupt):
        write_challenge(tmp_path / "set", *made(), CLASSES)
    assert list(tmp_path.iterdir()) == []
