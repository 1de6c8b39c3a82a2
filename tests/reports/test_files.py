from __future__ import annotations

import pytest

from partial_labels.errors import InputError
from reports.files import blank, write_rows, write_text
from reports.tables import read_class_table


def test_a_file_takes_the_place_of_the_old_one_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "new" / "page.html"
    write_text(path, "old")
    write_text(path, "nü")
    assert path.read_text(encoding="utf-8") == "nü"
    assert path.stat().st_mode & 0o777 == 0o644
    assert [p.name for p in path.parent.iterdir()] == ["page.html"]


def test_a_table_has_its_head_and_an_empty_cell_where_nothing_was_counted(tmp_path):
    path = write_rows(tmp_path / "t.csv", ("name", "dice"), [["a, b", blank(float("nan"))], ["c", blank(0.1)]])
    assert path.read_bytes() == b'name,dice\n"a, b",\nc,0.1\n'


@pytest.mark.parametrize("content", ["", "class,dice\nliver,0.5\n", "name,dice\nliver,half\n"])
def test_a_damaged_table_is_told_by_name(tmp_path, content):
    path = tmp_path / "classes.csv"
    path.write_text(content)
    if content:
        with pytest.raises(InputError, match=r"classes\.csv: damaged \(.*\); restore it, or evaluate again"):
            read_class_table(path)
    else:
        assert read_class_table(path) == []
