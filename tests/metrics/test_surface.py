from __future__ import annotations

import ast
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import metrics.surface
from metrics.surface import SurfaceMetrics, outline_distances
from partial_labels.batch import HUMAN, IGNORE, UNKNOWN, UNSURE, PartialLabelBatch, ValidationBatch

NAMES = ("background", "liver", "spleen")


def as_batch(label, status, case_id=None):
    label = torch.as_tensor(np.asarray(label), dtype=torch.uint8)
    count = len(label)
    cases = torch.arange(count) if case_id is None else torch.as_tensor(case_id)
    status = torch.as_tensor(status, dtype=torch.uint8).expand(count, len(NAMES))
    seen = PartialLabelBatch(torch.zeros(count, 1, *label.shape[1:]), label, status, torch.ones(count), cases)
    return ValidationBatch(seen, seen, torch.zeros(count, dtype=torch.int64))


def figures(label, prediction, status=(UNKNOWN, HUMAN, HUMAN), **options):
    metric = SurfaceMetrics(NAMES, **options)
    metric.update(torch.as_tensor(np.asarray(prediction), dtype=torch.uint8), as_batch(label, status))
    return {name: float(value) for name, value in metric.compute().items()}


def square(top, left, side=8, size=32, value=1):
    image = np.zeros((1, size, size), dtype=np.uint8)
    image[0, top : top + side, left : left + side] = value
    return image


def outline(mask):
    """Pixels of the mask with a 4-neighbour that is not (the world outside the image is not)."""
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return np.argwhere(mask & ~inner)


def slow_distances(mask, other, spacing):
    return np.array(
        [min(math.hypot(*((a - b) * spacing)) for b in outline(other)) for a in outline(mask)], dtype=np.float64
    )


def test_perfect():
    assert figures(square(4, 4), square(4, 4)) == {"hd95_px": 0, "nsd": 1, "hd95_px/liver": 0, "nsd/liver": 1}


def test_each_case_is_measured_with_its_own_spacing():
    label, prediction = np.concatenate([square(4, 4)] * 2), np.concatenate([square(7, 4), square(4, 6)])
    sides = np.array([[9.0, 9.0], [1.0, 0.5], [9.0, 9.0], [2.0, 3.0]])
    metric = SurfaceMetrics(NAMES, spacing_mm=sides)
    batch = as_batch(label, (UNKNOWN, HUMAN, HUMAN), case_id=[3, 1])
    metric.update(torch.as_tensor(prediction), batch)
    assert metric.compute()["hd95_mm"] == (3 * 2.0 + 2 * 0.5) / 2


def test_a_square_three_pixels_lower():
    """28 outline pixels each, of which five rows of both sides coincide."""
    result = figures(square(4, 4), square(7, 4), tolerance_px=0)
    assert result["hd95_px"] == 3
    assert result["nsd"] == pytest.approx(2 * (5 + 5) / 56)
    assert figures(square(4, 4), square(7, 4), tolerance_px=3)["nsd"] == 1


def test_spacing_is_row_then_column():
    down, right = square(7, 4), square(4, 7)
    options = {"spacing_mm": (0.1, 2.0), "tolerance_mm": 0.3}
    assert figures(square(4, 4), down, **options)["hd95_mm"] == pytest.approx(0.3)
    assert figures(square(4, 4), down, **options)["nsd"] == 1, "exactly at the tolerance, 3 x 0.1 rounded to float32"
    assert figures(square(4, 4), right, **options)["hd95_mm"] == pytest.approx(6)


def test_one_far_pixel_in_many_does_not_set_hd95():
    prediction = square(4, 4)
    prediction[0, 31, 31] = 1
    assert figures(square(4, 4), prediction)["hd95_px"] == 0


@pytest.mark.parametrize("missing", ["label", "prediction"])
def test_exactly_one_empty(missing):
    full, empty = square(4, 4), np.zeros((1, 32, 32))
    result = figures(*((empty, full) if missing == "label" else (full, empty)), spacing_mm=(3.0, 4.0))
    assert result["hd95_mm"] == pytest.approx(5 * 32)
    assert result["nsd"] == 0
    assert "nsd/spleen" not in result, "empty in both: not counted"


def test_only_examined_cells_count():
    result = figures(square(4, 4), square(9, 9, value=2), status=(UNKNOWN, UNKNOWN, UNKNOWN))
    assert math.isnan(result.pop("hd95_px")) and math.isnan(result.pop("nsd"))
    assert result == {}
    result = figures(square(4, 4), square(4, 4) + square(20, 20, value=2), status=(UNKNOWN, HUMAN, UNKNOWN))
    assert result == {"hd95_px": 0, "nsd": 1, "hd95_px/liver": 0, "nsd/liver": 1}


def test_ignored_pixels_belong_to_no_mask():
    label, prediction = square(4, 4), square(4, 4)
    label[0, 20:], prediction[0, 25:30] = IGNORE, 1
    label[0, 18] = UNSURE
    assert figures(label, prediction)["hd95_px"] == 0


def test_means_run_over_slices_then_classes_and_cases_count_once():
    label = np.concatenate([square(4, 4), square(4, 4), square(4, 4, value=2)])
    prediction = np.concatenate([square(5, 4), square(7, 4), square(10, 4, value=2)])
    metric = SurfaceMetrics(NAMES)
    for rows in ([0, 1], [2, 0]):
        batch = as_batch(label[rows], (UNKNOWN, HUMAN, HUMAN), rows)
        metric.update(torch.from_numpy(prediction[rows]), batch)
    result = {name: float(value) for name, value in metric.compute().items()}
    assert (result["hd95_px/liver"], result["hd95_px/spleen"], result["hd95_px"]) == (2, 6, 4)


masks = st.integers(0, 2**32 - 1).map(
    lambda seed: np.random.default_rng(seed).random((2, 7, 9)) < np.random.default_rng(seed + 1).choice([0.1, 0.5, 0.9])
)


@settings(max_examples=60)
@given(pair=masks, spacing=st.sampled_from([(1.0, 1.0), (0.7, 2.5)]), tolerance=st.sampled_from([0.0, 1.0, 2.3]))
def test_equals_brute_force(pair, spacing, tolerance):
    drawn, found = pair
    if not (drawn.any() and found.any()):
        return
    there, back = slow_distances(drawn, found, np.array(spacing)), slow_distances(found, drawn, np.array(spacing))
    for ours, slow in zip(outline_distances(drawn, found, spacing), (there, back), strict=True):
        assert np.allclose(np.sort(ours), np.sort(slow), rtol=1e-6)
    result = figures(drawn[None], found[None], spacing_mm=spacing, tolerance_mm=tolerance)
    assert result["hd95_mm"] == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)), rel=1e-6)
    near = sum((d <= tolerance + 1e-6).sum() for d in (there, back))
    assert result["nsd"] == pytest.approx(near / (len(there) + len(back)), rel=1e-6)


def test_equals_monai_where_both_are_drawn():
    from monai.metrics import compute_hausdorff_distance, compute_surface_dice

    rng = np.random.default_rng(0)
    drawn, found = rng.random((2, 1, 16, 16)) < 0.7
    tensors = {"y_pred": torch.from_numpy(found)[None], "y": torch.from_numpy(drawn)[None]}
    shared = {"include_background": True, "spacing": [1.5, 0.5]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        hd95 = compute_hausdorff_distance(**tensors, percentile=95, **shared)
        nsd = compute_surface_dice(**tensors, class_thresholds=[0.5], **shared)
    result = figures(drawn, found, spacing_mm=(1.5, 0.5), tolerance_mm=0.5)
    assert (result["hd95_mm"], result["nsd"]) == pytest.approx((float(hd95), float(nsd)), rel=1e-6)


def test_monai_is_imported_only_when_needed():
    tree = ast.parse(Path(metrics.surface.__file__).read_text(encoding="utf-8"))
    assert not [
        node for node in tree.body if "monai" in ast.unparse(node) and isinstance(node, (ast.Import, ast.ImportFrom))
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"spacing_mm": (0.0, 1.0)},
        {"spacing_mm": np.array([[1.0, 1.0], [1.0, 0.0]])},
        {"spacing_mm": (1.0, math.nan)},
        {"tolerance_mm": -1.0},
        {"tolerance_px": math.inf},
    ],
)
def test_refuses_wrong_options(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        SurfaceMetrics(NAMES, **options)


@pytest.mark.usefixtures("unchecked_shapes")
def test_refuses_shapes_that_differ():
    with pytest.raises(ValueError, match="not alike"):
        SurfaceMetrics(NAMES).update(torch.zeros(1, 2, 2, dtype=torch.uint8), as_batch(square(4, 4), (0, 1, 1)))
