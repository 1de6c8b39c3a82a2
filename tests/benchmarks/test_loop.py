import sys

import pytest

from benchmarks import measuring
from benchmarks.__main__ import main


@pytest.mark.filterwarnings("ignore:.*num_workers.*")
def test_train_py_takes_turns_with_a_bare_loop(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(measuring, "RESULTS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["x"])
    assert main(["loop", "--rounds", "1", "--steps", "2", "--record"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("of the bare loop") == 2 and printed.count("train.py") == 2
    assert '"command": "python -m benchmarks loop --rounds 1' in (tmp_path / "loop.json").read_text()


def test_an_unknown_benchmark_is_named_with_those_there_are(capsys):
    assert main(["lop"]) == 1
    assert "no benchmark lop; choose from" in capsys.readouterr().err


def test_contenders_take_turns():
    order = []
    cost = measuring.in_turn({name: lambda name=name: order.append(name) for name in "ab"}, rounds=2, calls=2)
    assert order == ["a", "b", "a", "a", "b", "b", "a", "a", "b", "b"]
    assert set(cost) == {"a", "b"} and cost["a"].wall_ms >= 0
