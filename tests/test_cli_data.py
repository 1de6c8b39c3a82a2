"""Bad data as a user meets it: one line that names the file and what is wrong, exit code 1, nothing half-written."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datamodules.sources.challenge_format import export_store
from partial_labels.case_store import CaseStore
from tests.refusals import Damage, Run, answering, assert_refused, cut, short_training


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    with answering(tmp_path, monkeypatch, capsys) as run:
        yield run


@pytest.fixture
def training(command: Run, tmp_path: Path) -> Run:
    return short_training(command, tmp_path)


@pytest.fixture
def challenge_folder(small_store: CaseStore, tmp_path: Path) -> Path:
    """The small store as the challenge would give it."""
    export_store(small_store, tmp_path / "challenge")
    return tmp_path / "challenge"


def rows(root: Path) -> list[dict[str, str]]:
    with (root / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_rows(root: Path, records: list[dict[str, str]]) -> None:
    with (root / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(records[0]))
        writer.writeheader()
        writer.writerows(records)


def each(root: Path, **cells: str) -> None:
    """Change cells of every row."""
    write_rows(root, [row | cells for row in rows(root)])


def row(root: Path, number: int, **cells: str) -> None:
    """Change cells of one row; 0 is line 2 of the file."""
    records = rows(root)
    records[number].update(cells)
    write_rows(root, records)


def draw(path: Path, value: Any, size: int = 32) -> None:
    Image.fromarray(np.broadcast_to(np.uint8(value), (size, size)).copy()).save(path)


def linked_out(root: Path) -> None:
    (root / "images" / "case1.png").rename(root.parent / "outside.png")
    (root / "images" / "case1.png").symlink_to(root.parent / "outside.png")


IMAGE, LABEL = "images/case1.png", "labels/case1.png"
SLICES: dict[str, tuple[Damage, tuple[str, ...]]] = {
    "truncated image": (lambda r: cut(r / IMAGE), ("manifest.csv line 3", IMAGE, "truncated", "restore the file")),
    "truncated label": (lambda r: cut(r / LABEL), ("manifest.csv line 3", LABEL, "truncated", "restore the file")),
    "missing image": (lambda r: (r / IMAGE).unlink(), ("manifest.csv line 3", IMAGE, "restore it or take its row out")),
    "size mismatch": (lambda r: draw(r / LABEL, 1, size=16), (IMAGE, "(32, 32)", "(16, 16)", "mend one of them")),
    "label id outside the class table": (lambda r: draw(r / LABEL, 9), (IMAGE, "label id 9", "ends at 3", "mend")),
    "mask id outside the examined list": (
        lambda r: row(r, 1, annotated="2 3"),
        (IMAGE, "mask id 1 (liver) outside the examined list", "add it to the list or erase it"),
    ),
    "examined id outside the class table": (
        lambda r: row(r, 1, annotated="1 7"),
        ("manifest.csv line 3", "'7'", "write ids from 1 to 3"),
    ),
    "constant image": (lambda r: draw(r / IMAGE, 7), (IMAGE, "constant image", "mend it or leave it out")),
    "duplicate names": (lambda r: row(r, 2, image=IMAGE), (IMAGE, "two cases have this name", "make the names unique")),
    "missing column": (
        lambda r: write_rows(r, [{k: v for k, v in one.items() if k != "annotated"} for one in rows(r)]),
        ("manifest.csv", "no column 'annotated'", "mend it"),
    ),
    "no table": (lambda r: (r / "manifest.csv").unlink(), ("manifest.csv is missing", "data.root")),
    "no class table": (lambda r: (r / "classes.json").unlink(), ("classes.json is missing", "write")),
    "empty train split": (lambda r: each(r, split="val"), ("no train case", "split column", "leave it empty")),
    "no class has a case": (
        lambda r: each(r, annotated="", label=""),
        ("no train case shows any class", "check the labels and the examined lists"),
    ),
    "one patient": (
        lambda r: each(r, split="", group="one", volume="one"),
        ("2 are needed", "add patients", "split column"),
    ),
    "path that leaves its root": (
        lambda r: row(r, 1, image="../outside.png"),
        ("manifest.csv line 3", "'../outside.png' leaves the folder", "put the file inside"),
    ),
    "absolute path": (
        lambda r: row(r, 1, label="/etc/hostname"),
        ("manifest.csv line 3", "'/etc/hostname' leaves the folder", "put the file inside"),
    ),
    "link that leaves its root": (
        linked_out,
        ("manifest.csv line 3", IMAGE, "leaves the folder", "put the file inside"),
    ),
}


@pytest.mark.parametrize(("damage", "parts"), SLICES.values(), ids=SLICES)
def test_wrong_slices_are_refused(
    training: Run, slices_folder: Path, tmp_path: Path, damage: Damage, parts: tuple[str, ...]
) -> None:
    damage(slices_folder)
    assert_refused(training("data=slices", f"data.root={slices_folder}"), *parts, folder=tmp_path)


def change_list(root: Path, change: Callable[[list[list[int]]], list[list[int]]]) -> None:
    path = root / "annotated_labels.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def change_table(root: Path, change: Callable[[str], str]) -> None:
    path = root / "label_Hnl61pT.csv"
    path.write_text("".join(change(line) + "\n" for line in path.read_text().splitlines()))


CHALLENGE: dict[str, tuple[Damage, tuple[str, ...]]] = {
    "list shorter than the images": (
        lambda r: change_list(r, lambda lists: lists[:-1]),
        ("annotated_labels.json", "11 lists for 12 images", "of one download"),
    ),
    "more images than lists": (
        lambda r: draw(r / "train-images" / "12.png", np.arange(32)),
        ("annotated_labels.json", "12 lists for 13 images", "of one download"),
    ),
    "no list": (
        lambda r: (r / "annotated_labels.json").unlink(),
        ("annotated_labels.json is missing", "taken as absent", "data.assume_all_examined=true"),
    ),
    "listed id outside the class table": (
        lambda r: change_list(r, lambda lists: [[4], *lists[1:]]),
        ("annotated_labels.json", "entry 0 holds 4", "expected ids from 1 to 3"),
    ),
    "mask id outside the examined list": (
        lambda r: change_list(r, lambda lists: [[2, 3], *lists[1:]]),
        ("0.png: mask id 1 (liver) outside the examined list", "add it to the list or erase it"),
    ),
    "missing column": (
        lambda r: change_table(r, lambda line: line.rpartition(",")[0]),
        ("label_Hnl61pT.csv", "no column '11.png'"),
    ),
    "missing rows": (
        lambda r: cut(r / "label_Hnl61pT.csv"),
        ("label_Hnl61pT.csv", "download it again"),
    ),
    "cell that is no id": (
        lambda r: change_table(r, lambda line: line.replace("Pixel 5,0", "Pixel 5,x")),
        ("label_Hnl61pT.csv: row 'Pixel 5', column '0.png'", "'x' is no class id from 0 to 3"),
    ),
    "truncated image": (
        lambda r: cut(r / "train-images" / "4.png"),
        ("train-images/4.png", "truncated", "restore the file"),
    ),
    "missing image": (lambda r: (r / "train-images" / "4.png").unlink(), ("train-images/4.png is missing", "unpack")),
    "image of another size": (
        lambda r: draw(r / "train-images" / "4.png", np.arange(16), size=16),
        ("train-images/4.png: (16, 16) pixels", "one size only"),
    ),
}


@pytest.mark.parametrize(("damage", "parts"), CHALLENGE.values(), ids=CHALLENGE)
def test_a_wrong_download_is_refused(
    training: Run, challenge_folder: Path, tmp_path: Path, damage: Damage, parts: tuple[str, ...]
) -> None:
    damage(challenge_folder)
    assert_refused(training("data=challenge", f"data.root={challenge_folder}"), *parts, folder=tmp_path)


def test_a_data_set_without_a_root_is_refused(training: Run, tmp_path: Path) -> None:
    assert_refused(training("data=slices"), "data.root is not set: add data.root=...", folder=tmp_path)
    assert_refused(training("data=challenge", "data.root=no"), "no/train-images", "data.root must", folder=tmp_path)


def test_a_class_without_a_case_is_refused(command: Run, slices_folder: Path, tmp_path: Path) -> None:
    names = {"1": "liver", "2": "kidney_left", "3": "kidney_right", "4": "spleen"}
    (slices_folder / "classes.json").write_text(json.dumps(names))
    small = ("data.image_size=32", "data.batch_size=4", "data.similarity=1.0")
    answer = command("prepare", "data=slices", f"data.root={slices_folder}", *small)
    assert_refused(answer, "no case is examined for spleen", "take the class out", "classes.json", folder=tmp_path)
