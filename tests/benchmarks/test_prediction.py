import sys

from benchmarks.prediction import main


def test_prints_both_and_the_table(monkeypatch, capsys):
    sizes = ("--rounds", "1", "--slices", "3", "--size", "32", "--width", "2", "--batch", "2")
    monkeypatch.setattr(sys, "argv", ["prediction", *sizes])
    main()
    rows = [line.split()[0] for line in capsys.readouterr().out.splitlines()[2:5]]
    assert rows == ["bare", "predict", "table"]
