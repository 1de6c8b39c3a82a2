from __future__ import annotations

import numpy as np

from partial_labels.case_table import CaseRow, CaseTable


def test_a_case_table_survives_odd_names(tmp_path):
    table = CaseTable([CaseRow('a,"b"', "café", "line\nbreak")])
    table.write(tmp_path / "cases.csv")
    assert CaseTable.read(tmp_path / "cases.csv")[0] == table[0]


def test_a_case_is_found_by_the_number_that_an_array_holds():
    rows = [CaseRow(name, "group", "volume", row_mm=0.5) for name in "ab"]
    table = CaseTable(rows)
    assert [table[case] for case in np.array([1, 0])] == rows[::-1] and list(table) == rows
    assert table.column("row_mm").dtype == np.float64 and table.column("name").tolist() == ["a", "b"]
