from __future__ import annotations

import csv
import io
import math

from rich.console import Console

from metrics.partial_dice import ClassRow
from reports.tables import print_class_table, read_class_table, write_class_table

ROWS = [
    ClassRow("liver", 1 / 3, 0.25, 0.125, 5, 6, 7, 2, 0.0625),
    ClassRow("portal_vein_and_splenic_vein", math.nan, math.nan, 0.5, 0, 11, 20, 3),
]


def printed(rows, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_class_table(rows, console)
    return console.file.getvalue()


def test_the_csv_holds_every_field_in_full_precision(tmp_path):
    path = write_class_table(ROWS, tmp_path / "classes.csv")
    with path.open(newline="") as file:
        liver, vein = csv.DictReader(file)
    assert float(liver["dice"]) == 1 / 3
    expected = ["liver", str(1 / 3), "0.25", "0.125", "5", "6", "7", "2", "0.0625"]
    assert list(liver.values()) == expected
    assert vein["dice"] == vein["dice_volume"] == ""
    assert [p.name for p in tmp_path.iterdir()] == ["classes.csv"]
    read = read_class_table(path)
    assert read[0] == ROWS[0]
    assert math.isnan(read[1].dice) and read[1].name == ROWS[1].name and read[1].false_positives == 3


def test_the_terminal_shows_each_figure_in_eighty_columns():
    text = printed(ROWS)
    assert "…" not in text and "..." not in text
    liver = next(line for line in text.splitlines() if line.startswith("liver"))
    assert liver.split() == ["liver", "0.333", "0.250", "0.125", "5", "6", "7", "2"]
    vein = next(line for line in text.splitlines() if line.startswith("portal"))
    assert vein.split()[1:] == ["-", "-", "0.500", "0", "11", "20", "3"]


def test_without_a_truth_its_column_is_left_out():
    text = printed([ClassRow("liver", 0.5, 0.5, math.nan, 5, 6, 7, 2)])
    assert "truth" not in text
    assert "truth" in printed(ROWS)


def test_a_class_name_is_not_taken_for_markup():
    assert "[red]liver" in printed([ClassRow("[red]liver", 0.5, 0.5, 0.5, 1, 1, 1, 0)])
