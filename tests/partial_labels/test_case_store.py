from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from partial_labels.batch import HUMAN, UNKNOWN
from partial_labels.case_store import CaseStore
from partial_labels.case_table import CaseRow
from partial_labels.case_writer import CaseStoreWriter
from partial_labels.classes import ClassTable
from partial_labels.errors import InputError
from partial_labels.store_header import StoreHeader

SIZE = (6, 4)
CLASSES = ClassTable.from_foreground(["liver", "kidney_left", "kidney_right"])


def header(**changes):
    return StoreHeader(**({"name": "made", "classes": CLASSES, "size": SIZE} | changes))


def write(path, num_cases=3, with_truth=False, native=(), **changes):
    """Write a store of random cases; case i of ``native`` has a label of (5 + i, 7) on its source grid."""
    random = np.random.default_rng(7)
    kept = {}
    with CaseStoreWriter(path, header(**changes), num_cases, with_truth) as writer:
        for i in range(num_cases):
            image = random.integers(0, 256, SIZE).astype(writer.header.image_dtype)
            label, truth = random.integers(0, 4, (2, *SIZE)).astype(np.uint8)
            examined = np.array([False, True, i > 0, i > 1])
            native_label = random.integers(0, 4, (5 + i, 7)).astype(np.uint8) if i in native else None
            row = CaseRow(f"a, {i}", f"patient{i % 2}", f"scan{i % 2}", i, "train", 5 - i)
            writer.add(row, image, label, examined, truth if with_truth else None, native_label)
            kept[i] = image, label, truth, native_label
    return kept


def test_a_store_comes_back_as_it_was_written(tmp_path):
    kept = write(tmp_path / "s", with_truth=True, spacing_mm=(1.5, 2.0), left_right_axis="rows", fingerprint="x")
    store = CaseStore.open(tmp_path / "s")
    for i, (image, label, truth, _) in kept.items():
        assert np.array_equal(store.images[i], image)
        assert np.array_equal(store.labels[i], label)
        assert np.array_equal(store.truth[i], truth)
        assert np.array_equal(store.native_label(i), label)
    assert store.header == header(spacing_mm=(1.5, 2.0), left_right_axis="rows", fingerprint="x")
    assert store.cases[1] == CaseRow("a, 1", "patient1", "scan1", 1, "train", 4, *SIZE, -1)
    assert store.cases.column("list_rank").tolist() == [5, 4, 3]
    assert store.cases.volume_number.tolist() == [0, 1, 0]


def test_a_store_without_spacings_of_its_slices_still_opens(tmp_path):
    write(tmp_path / "s")
    table = tmp_path / "s" / "cases.csv"
    lines = [line.removesuffix(",0.0,0.0").removesuffix(",row_mm,column_mm") for line in table.read_text().splitlines()]
    table.write_text("\n".join(lines) + "\n")
    assert "mm" not in table.read_text()
    assert {row.spacing_mm for row in CaseStore.open(tmp_path / "s").cases} == {None}


def test_images_of_several_channels_come_back(tmp_path):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (3, 2, *SIZE)).astype(np.uint8)
    with CaseStoreWriter(tmp_path / "s", header(channels=2), 3) as writer:
        for i, image in enumerate(images):
            writer.add(CaseRow(f"{i}", "g", "v"), image, np.zeros(SIZE, np.uint8), np.ones(4, bool))
        with pytest.raises(ValueError, match="for a file of"):
            writer.images.append(images[:1, 0])
    with CaseStoreWriter(tmp_path / "twice", header(channels=2), 6) as writer:
        for _ in range(2):
            writer.extend(CaseStore.open(tmp_path / "s"), block=2)
    store = CaseStore.open(tmp_path / "twice")
    assert np.array_equal(store.image(slice(3, 6)), images) and np.array_equal(store.image(4), images[1])
    assert np.array_equal(store.first_channel[3:], images[:, 0]) and isinstance(store.first_channel, np.memmap)


def test_an_image_of_one_channel_is_stored_without_an_axis_for_it(tmp_path):
    kept = write(tmp_path / "s")
    store = CaseStore.open(tmp_path / "s")
    assert store.images.shape == store.first_channel.shape == (3, *SIZE)
    assert np.array_equal(store.image(1), kept[1][0][None])
    assert np.array_equal(store.image(np.array([2, 0])), np.stack([kept[2][0], kept[0][0]])[:, None])


def test_stores_are_put_one_after_the_other(tmp_path):
    kept = [write(tmp_path / name, with_truth=True, native=native) for name, native in (("a", [1]), ("b", [0, 2]))]
    with CaseStoreWriter(tmp_path / "both", header(), None, with_truth=True) as writer:
        for name in "ab":
            writer.extend(CaseStore.open(tmp_path / name), block=2)
    store = CaseStore.open(tmp_path / "both")
    assert len(store) == 6
    for i, (image, label, truth, native) in enumerate([*kept[0].values(), *kept[1].values()]):
        assert np.array_equal(store.images[i], image)
        assert np.array_equal(store.labels[i], label)
        assert np.array_equal(store.truth[i], truth)
        assert np.array_equal(store.native_label(i), label if native is None else native)
    assert np.array_equal(store.status[3:], CaseStore.open(tmp_path / "b").status)


def test_the_background_is_known_only_where_all_else_is(tmp_path):
    write(tmp_path / "s")
    status = CaseStore.open(tmp_path / "s").status
    expected = [[UNKNOWN, HUMAN, UNKNOWN, UNKNOWN], [UNKNOWN, HUMAN, HUMAN, UNKNOWN], [HUMAN] * 4]
    assert status.tolist() == expected


def test_sixteen_bit_images_keep_their_values(tmp_path):
    kept = write(tmp_path / "s", image_dtype="int16", slope=1 / 4000, intercept=0.25)
    store = CaseStore.open(tmp_path / "s")
    assert store.images.dtype == np.int16
    assert np.array_equal(store.images[2], kept[2][0])
    assert (store.header.slope, store.header.intercept) == (1 / 4000, 0.25)


def test_native_labels_come_back_where_there_are_some(tmp_path):
    kept = write(tmp_path / "s", native=(0, 2))
    store = CaseStore.open(tmp_path / "s")
    for i in (0, 2):
        assert np.array_equal(store.native_label(i), kept[i][3])
    assert np.array_equal(store.native_label(1), kept[1][1])
    assert store.native.size == 5 * 7 + 7 * 7


def test_opening_reads_no_pixel(tmp_path):
    write(tmp_path / "s", with_truth=True, native=(1,))
    store = CaseStore.open(tmp_path / "s")
    for array in (store.images, store.labels, store.status, store.truth, store.native):
        assert isinstance(array, np.memmap)
        with pytest.raises(ValueError, match="read-only"):
            array.flat[0] = 1


def test_an_exception_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError, match="stop"), CaseStoreWriter(tmp_path / "s", header(), 2) as writer:
        writer.add(CaseRow("a", "g", "v"), *np.zeros((2, *SIZE), np.uint8), np.zeros(4, bool))
        raise RuntimeError("stop")
    assert list(tmp_path.iterdir()) == []


def test_too_few_cases_leave_nothing(tmp_path):
    with pytest.raises(ValueError, match="0 cases added, 2 announced"), CaseStoreWriter(tmp_path / "s", header(), 2):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("image", "label", "examined", "truth"),
    [
        (np.zeros((4, 6), np.uint8), np.zeros(SIZE, np.uint8), np.zeros(4, bool), None),
        (np.zeros(SIZE, np.float32), np.zeros(SIZE, np.uint8), np.zeros(4, bool), None),
        (np.zeros(SIZE, np.uint8), np.zeros(SIZE, np.uint8), np.zeros(3, bool), None),
        (np.zeros(SIZE, np.uint8), np.zeros(SIZE, np.uint8), np.zeros(4, bool), np.zeros(SIZE, np.uint8)),
    ],
)
def test_a_case_of_another_shape_or_type_is_refused(tmp_path, image, label, examined, truth):
    with pytest.raises(ValueError), CaseStoreWriter(tmp_path / "s", header(), 1) as writer:
        writer.add(CaseRow("a", "g", "v"), image, label, examined, truth)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_build_shows_no_store(tmp_path):
    script = textwrap.dedent("""
        import os, signal, sys
        import numpy as np
        from partial_labels.case_table import CaseRow
        from partial_labels.case_writer import CaseStoreWriter
        from partial_labels.store_header import StoreHeader
        from partial_labels.classes import ClassTable
        header = StoreHeader("made", ClassTable.from_foreground(["liver"]), (6, 4))
        with CaseStoreWriter(sys.argv[1], header, 2) as writer:
            for i in range(2):
                writer.add(CaseRow(f"{i}", "g", "v"), *np.zeros((2, 6, 4), np.uint8), np.zeros(2, bool))
            os.kill(os.getpid(), signal.SIGKILL)
    """)
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path / "s")], env=os.environ | {"PYTHONPATH": "."})
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "s").exists()
    with pytest.raises(InputError, match="no case store"):
        CaseStore.open(tmp_path / "s")
    write(tmp_path / "s")
    assert len(CaseStore.open(tmp_path / "s")) == 3


def test_the_first_of_two_writers_wins(tmp_path):
    ours, theirs = (CaseStoreWriter(tmp_path / "s", header(fingerprint=name), 1) for name in ("ours", "theirs"))
    with ours, theirs:
        for writer in (ours, theirs):
            writer.add(CaseRow("a", "g", "v"), *np.zeros((2, *SIZE), np.uint8), np.zeros(4, bool))
    assert CaseStore.open(tmp_path / "s").header.fingerprint == "theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def drop_last_line(path):
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def forget_key(path):
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "size"}))


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("header.json", truncate),
        ("header.json", forget_key),
        ("header.json", lambda path: path.write_text("[]")),
        ("header.json", lambda path: path.write_text(path.read_text().replace('"format": 1', '"format": 0'))),
        ("header.json", lambda path: path.unlink()),
        ("cases.csv", drop_last_line),
        ("cases.csv", lambda path: path.write_text("")),
        ("cases.csv", lambda path: path.write_text(path.read_text().replace("patient1", "pat,ient1"))),
        ("cases.csv", lambda path: path.unlink()),
        ("images.npy", truncate),
        ("images.npy", lambda path: path.write_bytes(b"")),
        ("labels.npy", lambda path: path.unlink()),
        ("labels.npy", lambda path: np.save(path, np.zeros((3, 1, 1), np.uint8))),
        ("status.npy", lambda path: np.save(path, np.zeros((3, 2), np.uint8))),
        ("truth.npy", lambda path: np.save(path, np.zeros((1, *SIZE), np.uint8))),
        ("native.npy", lambda path: np.save(path, np.zeros(3, np.uint8))),
        ("native.npy", lambda path: path.unlink()),
    ],
)
def test_a_damaged_store_is_named_in_one_line(tmp_path, name, damage):
    write(tmp_path / "s", with_truth=True, native=(1,))
    damage(tmp_path / "s" / name)
    with pytest.raises(InputError, match="case store") as caught:
        CaseStore.open(tmp_path / "s")
    assert str(tmp_path / "s") in str(caught.value)
    assert "\n" not in str(caught.value)
