from __future__ import annotations

import csv
import math

import numpy as np
import pytest
from PIL import Image

from reports.run.curves import class_curves, dice_curves, loss_curves, read_curves
from reports.run.curves_picture import draw_curves


def write_metrics(path, rows: list[dict]) -> None:
    keys = list(dict.fromkeys(key for row in rows for key in row))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, keys)
        writer.writeheader()
        writer.writerows(rows)


def a_run(epochs: int = 4, classes: int = 3, first: int = 0) -> list[dict]:
    """Ten steps an epoch; figures as Lightning writes them, the learning rate without its epoch."""
    rows: list[dict] = []
    for epoch in range(first, first + epochs):
        step = 10 * epoch
        dice = {f"val/dice/c{i}": 0.1 * i for i in range(classes)}
        rows.append({"step": step + 4, "lr-Adam": 0.01})
        rows.append({"step": step + 9, "epoch": epoch, "val/dice": 0.5, "val/dice_classes": classes, **dice})
        rows.append({"step": step + 9, "epoch": epoch, "train/loss": 1 / (epoch + 1), "train/supervised": 1.0})
    return rows


def test_sparse_rows_become_one_curve_a_column(tmp_path):
    path = tmp_path / "metrics.csv"
    write_metrics(path, a_run())
    curves = read_curves(path)
    epochs, values = curves["train/loss"]
    assert epochs.tolist() == [1, 2, 3, 4]
    assert values == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4])
    assert curves["val/dice"][0].tolist() == [1, 2, 3, 4]
    assert curves["lr-Adam"][0] == pytest.approx([0.5, 1.5, 2.5, 3.5])
    first = ["lr-Adam", "val/dice", "val/dice_classes", "val/dice/c0"]
    assert list(curves) == [*first, "val/dice/c1", "val/dice/c2", "train/loss", "train/supervised"]


@pytest.mark.parametrize("counted", ["on", "anew"])
@pytest.mark.parametrize("epochs", [1, 3])
def test_stages_follow_one_another(tmp_path, counted, epochs):
    path = tmp_path / "metrics.csv"
    write_metrics(path, a_run(epochs) + a_run(2, first=epochs if counted == "on" else 0))
    for key in ("train/loss", "val/dice"):
        assert read_curves(path)[key][0].tolist() == [*range(1, epochs + 3)]


def test_curves_go_to_their_charts_under_short_names():
    one = (np.array([0.0]), np.array([0.5]))
    keys = (
        "train/loss_step",
        "train/loss_epoch",
        "train/supervised",
        "val/dice",
        "val/dice_volume",
        "val/dice_classes",
    )
    curves = {key: one for key in (*keys, "val/dice/liver", "val_student/dice", "val_student/dice/liver", "lr-SGD")}
    assert list(loss_curves(curves)) == ["loss"]
    assert list(dice_curves(curves)) == ["Dice", "by volume", "student"]
    assert list(class_curves(curves)) == ["liver"]


def test_losses_that_say_nothing_are_left_out():
    at = np.array([0.0, 1.0])
    values = {"bce": [1.0, 2.0], "loss": [3.0, 3.0], "supervised": [3.0, 3.0], "unsupervised": [0.0, 0.0]}
    curves = {f"train/{name}": (at, np.array(v)) for name, v in values.items()}
    assert list(loss_curves(curves)) == ["loss", "bce"]
    curves["train/supervised"] = (at, np.array([3.0, 2.9]))
    assert list(loss_curves(curves)) == ["loss", "supervised", "bce"]


def test_classes_are_sorted_by_their_last_dice_and_never_counted_ones_come_last():
    at = np.array([0.0, 1.0])
    values = {"low": [0.9, 0.1], "high": [0.1, 0.9], "never": [math.nan, math.nan]}
    curves = {f"val/dice/{name}": (at, np.array(v)) for name, v in values.items()}
    assert list(class_curves(curves)) == ["high", "low", "never"]


@pytest.mark.parametrize(
    "rows",
    [
        a_run(classes=54),
        a_run()[:3],
        a_run()[:1],
        [{"step": 5, "epoch": 0, "val/dice": "nan", "val/dice/a": "nan", "train/loss": "inf"}],
        [{"step": 0, "epoch": 0, "train/loss": "1e3"}, {"step": 1, "epoch": 0, "train/loss": "1e-3"}],
        [{"step": "", "epoch": "", "train/loss": "text"}],
    ],
    ids=["54 classes", "one epoch", "one step", "not finite", "decades", "nothing"],
)
def test_any_run_gives_a_picture(tmp_path, rows):
    path = tmp_path / "metrics.csv"
    write_metrics(path, rows)
    output = draw_curves(path, tmp_path / "curves.png", [(0, "teacher"), (2, "student")])
    with Image.open(output) as picture:
        picture.load()
        assert picture.width > 1000 and picture.height > 700
    assert sorted(p.name for p in tmp_path.iterdir()) == ["curves.png", "metrics.csv"]


def test_more_classes_make_a_higher_picture(tmp_path):
    heights = []
    for classes in (3, 54):
        write_metrics(tmp_path / "metrics.csv", a_run(classes=classes))
        with Image.open(draw_curves(tmp_path / "metrics.csv", tmp_path / "curves.png")) as picture:
            heights.append(picture.height)
    assert heights[0] < heights[1]


def test_a_stage_boundary_changes_the_picture(tmp_path):
    write_metrics(tmp_path / "metrics.csv", a_run())
    plain = draw_curves(tmp_path / "metrics.csv", tmp_path / "a.png").read_bytes()
    assert draw_curves(tmp_path / "metrics.csv", tmp_path / "b.png").read_bytes() == plain
    assert draw_curves(tmp_path / "metrics.csv", tmp_path / "c.png", [(2, "student")]).read_bytes() != plain
