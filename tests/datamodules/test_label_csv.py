from __future__ import annotations

import numpy as np
import pytest

from datamodules.sources import label_csv
from datamodules.sources.label_csv import read_label_csv, write_label_csv
from partial_labels.batch import IGNORE
from partial_labels.errors import InputError

NAMES = ["0.png", "1.png", "2.png"]
TEXT = ",0.png,1.png,2.png\nPixel 0,0,5,12\nPixel 1,54,0,3\nPixel 2,7,10,0\nPixel 3,0,0,0\n"
LABELS = np.array([[0, 54, 7, 0], [5, 0, 10, 0], [12, 3, 0, 0]], np.uint8)


def read(tmp_path, text, names=NAMES, num_pixels=4, max_id=54):
    path = tmp_path / "y.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_label_csv(path, names, num_pixels, max_id)


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        TEXT.removesuffix("\n"),
        TEXT.replace("\n", "\r\n"),
        TEXT.replace("\n", "\r\n").removesuffix("\r\n"),
        TEXT.replace("Pixel ", ""),
        TEXT.replace(".png", ""),
        "\ufeff" + TEXT,
        "Unnamed: 0" + TEXT,
        '"","0.png","1.png","2.png"\n' + TEXT.partition("\n")[2].replace("Pixel 1", '"Pixel 1"'),
    ],
)
def test_the_spellings_seen_are_read(tmp_path, text):
    assert np.array_equal(read(tmp_path, text), LABELS)


def test_columns_are_found_by_name(tmp_path):
    assert np.array_equal(read(tmp_path, TEXT.replace(",0.png,1.png,2.png", ",2.png,0.png,1.png")), LABELS[[1, 2, 0]])


def test_the_envelope_is_the_challenges(tmp_path):
    write_label_csv(tmp_path / "y.csv", NAMES, LABELS)
    assert (tmp_path / "y.csv").read_text() == TEXT


@pytest.mark.parametrize("block", [1, 7, 64, 4096])
@pytest.mark.parametrize(
    ("num_images", "num_pixels", "max_id"), [(1, 1, 1), (1, 300, 9), (13, 1200, 54), (40, 77, 253)]
)
def test_what_is_written_is_read(tmp_path, monkeypatch, block, num_images, num_pixels, max_id):
    monkeypatch.setattr(label_csv, "BLOCK", block)
    monkeypatch.setattr(label_csv, "BLOCK_CELLS", block)
    labels = np.random.default_rng(0).integers(0, max_id + 1, (num_images, num_pixels)).astype(np.uint8)
    names = [f"{i}.png" for i in range(num_images)]
    write_label_csv(tmp_path / "y.csv", names, labels)
    assert np.array_equal(read_label_csv(tmp_path / "y.csv", names, num_pixels, max_id), labels)


def test_ignored_pixels_are_written_as_zero(tmp_path):
    write_label_csv(tmp_path / "y.csv", ["0.png"], np.array([[IGNORE, 3]], np.uint8))
    assert (tmp_path / "y.csv").read_text() == ",0.png\nPixel 0,0\nPixel 1,3\n"


@pytest.mark.parametrize("first_column", [True, False])
@pytest.mark.parametrize(
    "cell",
    ["", "-1", "1.0", "a", " 1", "1 ", "01", "001", "0001", "1a", "a1", "1a1", "55", "100", "256", "999", "1e1", "²"],
)
def test_a_cell_that_is_no_id_is_named(tmp_path, cell, first_column):
    text = TEXT.replace("Pixel 2,7,", f"Pixel 2,{cell},") if first_column else TEXT.replace(",7,10,0", f",7,{cell},0")
    column = "0.png" if first_column else "1.png"
    with pytest.raises(InputError, match="is no class id from 0 to 54") as caught:
        read(tmp_path, text)
    assert f"row 'Pixel 2', column '{column}': {cell!r}" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TEXT.replace(",10,0", ",10"), "row 'Pixel 2' has 2 values for 3 images"),
        (TEXT.replace(",10,0", ",10,0,0"), "row 'Pixel 2' has 4 values for 3 images"),
        (
            TEXT.replace("Pixel 1,54,0,3\nPixel 2,7,10,0", "Pixel 1,54,0\nPixel 2,7,10,0,3"),
            "row 'Pixel 1' has 2 values",
        ),
        (TEXT.replace("Pixel 2", "Pixel 1"), "row 3 is named 'Pixel 1', expected 'Pixel 2'"),
        (TEXT.replace("Pixel 3,0,0,0\n", ""), "3 rows, but the images have 4 pixels"),
        (TEXT + "Pixel 4,0,0,0\n", "more than 4 rows"),
        (TEXT + "\n", "row 5 is named ''"),
        (TEXT.replace("2.png", "3.png"), r"no column '2\.png'"),
        (TEXT.replace("1.png", "0.png"), r"no column '1\.png'"),
        (TEXT.replace(",2.png", ""), r"no column '2\.png'"),
        (TEXT.replace("2.png\n", "2.png,3.png\n"), r"column '3\.png' stands there twice or belongs to no image"),
        (TEXT.replace("2.png\n", "2.png,1.png\n"), r"column '1\.png' stands there twice or belongs to no image"),
        ("", "no header"),
        (b"\x89PNG\r\n\x1a\n\x00\xff", "no header"),
        (TEXT.encode().replace(b"54", b"\xff\xfe"), "is no class id"),
    ],
)
def test_a_wrong_table_is_named_in_one_line(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, text)
    assert "y.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("seed", range(30))
def test_a_damaged_table_never_passes_unseen(tmp_path, seed):
    """One byte changed: refused, or still a table, and then read as Python would."""
    random = np.random.default_rng(seed)
    for _ in range(20):
        text = bytearray(TEXT.encode())
        place = random.integers(TEXT.index("\n") + 1, len(text))
        text[place] = random.choice(list(b"0123456789,\n\r -.aP\x00\xff"))
        try:
            found = read(tmp_path, bytes(text))
        except InputError:
            continue
        lines = text.decode().replace("\r\n", "\n").splitlines()[1:]
        assert np.array_equal(found.T, [[int(cell) for cell in line.split(",")[1:]] for line in lines])
