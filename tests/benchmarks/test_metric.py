from __future__ import annotations

import sys

import pytest

from benchmarks.metric import draw_maps, main, monai_label_maps, monai_one_hot, ours


def test_prints_a_row_for_each(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["metric", "--rounds", "1", "--images", "2", "--size", "24", "--classes", "4"])
    main()
    rows = [line.split()[0] for line in capsys.readouterr().out.splitlines()[2:6]]
    assert rows == ["ours", "monai_one_hot", "monai_label_maps", "torchmetrics_dice"]


def test_all_agree_where_every_class_is_drawn():
    label, _ = draw_maps(3, 64, 5)
    prediction = label.roll(2, dims=1)
    assert all(set(image.unique().tolist()) == set(range(5)) for image in label)
    figures = [contender(label, prediction, 5) for contender in (ours, monai_one_hot, monai_label_maps)]
    assert figures == pytest.approx([figures[0]] * 3, rel=1e-6)
