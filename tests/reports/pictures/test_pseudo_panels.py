import numpy as np
import pytest
from PIL import Image

from partial_labels.batch import HUMAN, TEACHER, UNKNOWN, UNSURE
from partial_labels.classes import ClassTable
from reports.pictures.panels import unknown_names
from reports.pictures.pseudo_panels import REMAINING, PseudoPanel, completed_picture, draw_pseudo_panels

CLASSES = ClassTable.from_foreground(["liver", "kidney_left", "spleen"])


def panel(status=(UNKNOWN, HUMAN, TEACHER, UNKNOWN), truth=None, image=0.5):
    label = np.zeros((12, 12), dtype=np.uint8)
    label[1:5, 1:5], label[1:5, 7:11], label[7:11, 1:5] = 1, 2, UNSURE
    shown = np.where(label == 1, label, 0).astype(np.uint8)
    grey = np.full((12, 12), image, dtype=np.float32)
    return PseudoPanel("case", 0.9, grey, shown, label, np.array(status, dtype=np.uint8), truth)


def region(canvas, rows, columns):
    unit = canvas.factor
    return canvas.rgb[rows.start * unit : rows.stop * unit, columns.start * unit : columns.stop * unit]


def test_a_teachers_class_has_an_edge_and_a_humans_has_none():
    canvas = completed_picture(panel(), CLASSES)
    human, teacher = region(canvas, slice(1, 5), slice(1, 5)), region(canvas, slice(1, 5), slice(7, 11))
    assert np.ptp(human, axis=(0, 1)).max() < 1e-6
    assert (teacher[0] == 1).all() and not (teacher[len(teacher) // 2, len(teacher) // 2] == 1).all()


@pytest.mark.parametrize("image", [0.05, 1.0])
def test_unsure_pixels_look_like_no_class_and_not_like_background(image):
    canvas = completed_picture(panel(image=image), CLASSES)
    unsure, background = region(canvas, slice(7, 11), slice(1, 5)), region(canvas, slice(7, 11), slice(7, 11))
    assert np.ptp(background) < 1e-6
    assert np.ptp(unsure) > 0.3, "stripes"
    assert np.ptp(unsure, axis=2).max() < 1e-6, "grey"


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ((UNKNOWN, HUMAN, TEACHER, UNKNOWN), "still unknown: spleen"),
        ((TEACHER, HUMAN, TEACHER, TEACHER), "every class known"),
        ((UNKNOWN,) * 4, "rejected: every class stays unknown"),
    ],
)
def test_what_stays_unknown_is_named(status, said):
    assert unknown_names(np.array(status, dtype=np.uint8), CLASSES, words=REMAINING) == said


def test_the_truth_has_a_column_only_where_it_is_known(tmp_path):
    without = draw_pseudo_panels({"surest": [panel()]}, CLASSES, tmp_path / "a.png")
    known = panel(truth=np.ones((12, 12), dtype=np.uint8))
    both = draw_pseudo_panels({"surest": [known], "least sure": [panel()]}, CLASSES, tmp_path / "b.png")
    with Image.open(without) as narrow, Image.open(both) as wide:
        assert wide.width > 1.25 * narrow.width and wide.height > 1.5 * narrow.height
