import csv
import json
import shutil

import numpy as np
import pytest

from partial_labels.batch import HUMAN, IGNORE, TEACHER, UNKNOWN, UNSURE
from partial_labels.errors import InputError
from partial_labels.pseudo_filters import PseudoTable
from partial_labels.pseudo_store import PseudoRound, RoundHeader, find_rounds
from partial_labels.pseudo_writer import PseudoRoundWriter, completed_status, without_rejected

NAMES = ("background", "liver", "kidney_left", "kidney_right")
CASES = np.array([7, 3, 11])


def header(**changes):
    values = {
        "classes": NAMES,
        "store": "0",
        "stage": "teacher",
        "network": "student",
        "checkpoint": "checkpoints/teacher/best.ckpt",
        "checkpoint_sha256": "ab",
        "seed": 1,
        "threshold": 0.9,
        "filters": {"top": {"filter": "TopKCases", "k": 2}},
        "created": "2026-01-01T00:00:00+00:00",
    }
    return RoundHeader(**values | changes)


def part(case_ids, seed=0):
    rng = np.random.default_rng(seed)
    shape = (len(case_ids), 4)
    status = np.zeros(shape, dtype=np.uint8)
    status[:, 1] = HUMAN
    table = PseudoTable(
        status,
        peak=rng.random(shape, dtype=np.float32),
        confidence=rng.random(shape, dtype=np.float32),
        pixels=rng.integers(0, 9, shape),
        scores={"foreground": rng.random(len(case_ids), dtype=np.float32)},
    )
    return rng.integers(0, 4, (len(case_ids), 32, 32)).astype(np.uint8), table


def write(path, **changes):
    """Write three cases in two parts; the second is rejected in class 3."""
    accepted = np.array([[0, 0, 1, 1], [0, 0, 1, 0], [0, 0, 0, 0]], dtype=bool)
    with PseudoRoundWriter(path, (32, 32), 4) as writer:
        for ids in (CASES[:2], CASES[2:]):
            writer.add(ids, *part(ids))
        table = writer.table()
        labels = writer.labels()
        labels[:] = without_rejected(labels, table.status, accepted)
        writer.finish(header(**changes), [f"case{i}" for i in CASES], accepted, weight=0.5)
    return table


def test_what_is_written_comes_back(tmp_path):
    path = tmp_path / "pseudo" / "teacher"
    table = write(path)
    found = PseudoRound.open(path)
    assert found.header == header() and len(found) == 3
    assert found.case_ids.tolist() == CASES.tolist()
    assert isinstance(found.labels, np.memmap) and found.labels.shape == (3, 32, 32)
    assert np.array_equal(found.labels[0], part(CASES[:2])[0][0])
    assert found.status.tolist() == [[2, 1, 2, 2], [0, 1, 2, 0], [0, 1, 0, 0]]
    assert found.weight.tolist() == [0.5] * 3
    assert np.array_equal(found.cells[..., 0], table.peak)
    assert np.array_equal(found.cells[..., 2], table.pixels)
    assert found.accepted.tolist() == [True, True, False]
    assert found.rows_of(np.array([11, 4, 7, 3, 99])).tolist() == [2, -1, 0, 1, -1]
    assert [path.name for path in path.parent.iterdir()] == ["teacher"]


def test_the_case_list_can_be_read_by_people(tmp_path):
    write(tmp_path / "teacher")
    with (tmp_path / "teacher" / "cases.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["case7", "case3", "case11"]
    assert [row["accepted"] for row in rows] == ["2", "1", "0"]
    assert rows[1]["examined"] == "liver" and set(rows[0]["accepted_present"].split("; ")) <= set(NAMES[2:])
    assert 0 < float(rows[0]["foreground"]) < 1


def test_a_write_that_fails_leaves_nothing_and_an_older_round_as_it_was(tmp_path):
    path = tmp_path / "teacher"
    for older in (False, True):
        if older:
            write(path, seed=5)
        with pytest.raises(KeyboardInterrupt), PseudoRoundWriter(path, (32, 32), 4) as writer:
            writer.add(CASES, *part(CASES))
            raise KeyboardInterrupt
        assert [one.name for one in tmp_path.iterdir()] == (["teacher"] if older else [])
    assert PseudoRound.open(path).header.seed == 5


def test_a_complete_round_replaces_an_older_one_and_what_was_killed_is_cleared(tmp_path):
    path = tmp_path / "pseudo" / "teacher"
    write(path, seed=5)
    opened = PseudoRound.open(path)
    before = np.array(opened.labels)
    killed = PseudoRoundWriter(path, (32, 32), 4).__enter__()
    killed.file.close()
    assert len(list(path.parent.iterdir())) == 2
    assert list(find_rounds(tmp_path)) == ["teacher"]
    write(path, seed=6)
    assert [one.name for one in path.parent.iterdir()] == ["teacher"]
    assert PseudoRound.open(path).header.seed == 6
    assert np.array_equal(opened.labels, before), "a round that is open can still be read"


def test_rounds_of_a_run_are_found_oldest_first(tmp_path):
    assert find_rounds(tmp_path) == {}
    for stage in ("round1", "round0"):
        write(tmp_path / "pseudo" / stage, stage=stage)
    (tmp_path / "pseudo" / "unfinished").mkdir()
    assert list(find_rounds(tmp_path)) == ["round1", "round0"]


def test_a_missing_round_and_another_format_are_named(tmp_path):
    with pytest.raises(InputError, match=r"no round of pseudo-labels .*run the stage that writes it"):
        PseudoRound.open(tmp_path / "none")
    write(tmp_path / "teacher")
    record = json.loads((tmp_path / "teacher" / "header.json").read_text())
    (tmp_path / "teacher" / "header.json").write_text(json.dumps(record | {"format": 9}))
    with pytest.raises(InputError, match="no round of pseudo-labels of format 1"):
        PseudoRound.open(tmp_path / "teacher")


@pytest.mark.parametrize("harm", ["cut", "remove", "shape", "header"])
def test_damage_is_said_in_one_line(tmp_path, harm):
    path = tmp_path / "teacher"
    write(path)
    if harm == "cut":
        (path / "labels.npy").write_bytes((path / "labels.npy").read_bytes()[:500])
    elif harm == "remove":
        (path / "status.npy").unlink()
    elif harm == "shape":
        np.save(path / "weight.npy", np.ones(2, dtype=np.float32))
    else:
        (path / "header.json").write_text('{"format": 1}')
    with pytest.raises(InputError, match="damaged round of pseudo-labels") as caught:
        PseudoRound.open(path)
    assert "\n" not in str(caught.value)


def test_a_round_belongs_to_one_store(tmp_path, small_store):
    write(tmp_path / "same")
    assert len(PseudoRound.open(tmp_path / "same", small_store)) == 3
    write(tmp_path / "classes", classes=("background", "a", "b", "c"))
    with pytest.raises(InputError, match="pseudo-labels of other classes"):
        PseudoRound.open(tmp_path / "classes", small_store)
    write(tmp_path / "cases", store="1")
    with pytest.raises(InputError, match="pseudo-labels of other cases"):
        PseudoRound.open(tmp_path / "cases", small_store)


def test_a_rejected_cell_is_unknown_and_its_pixels_are_no_background():
    status = np.array([[UNKNOWN, HUMAN, UNKNOWN, UNKNOWN]], dtype=np.uint8)
    accepted = np.array([[False, False, True, False]])
    labels = np.array([[[0, 1, 2, 3, UNSURE, IGNORE]]], dtype=np.uint8)
    assert completed_status(status, accepted).tolist() == [[UNKNOWN, HUMAN, TEACHER, UNKNOWN]]
    assert without_rejected(labels, status, accepted).tolist() == [[[0, 1, 2, UNSURE, UNSURE, IGNORE]]]
    everything = np.array([[False, True, True, True]])
    assert completed_status(status, everything).tolist() == [[TEACHER, HUMAN, TEACHER, TEACHER]]
    assert np.array_equal(without_rejected(labels, status, everything), labels)


def test_leaving_without_finishing_leaves_nothing(tmp_path):
    with PseudoRoundWriter(tmp_path / "teacher", (32, 32), 4) as writer:
        writer.add(CASES, *part(CASES))
    assert not list(tmp_path.iterdir())
    shutil.rmtree(tmp_path)
