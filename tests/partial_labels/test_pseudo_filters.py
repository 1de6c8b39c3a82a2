import numpy as np
import pytest

from partial_labels.batch import HUMAN, UNKNOWN
from partial_labels.pseudo_filters import (
    CellThreshold,
    ClassBalancedTopK,
    PseudoTable,
    TopKCases,
    accepted_cells,
)


def table(status, peak=None, confidence=None, pixels=None, **scores):
    shape = np.shape(status)
    fields = [np.zeros(shape) if values is None else values for values in (peak, confidence)]
    return PseudoTable(
        status=np.array(status, dtype=np.uint8),
        peak=np.array(fields[0], dtype=np.float32),
        confidence=np.array(fields[1], dtype=np.float32),
        pixels=np.array(np.zeros(shape) if pixels is None else pixels, dtype=np.int64),
        scores={name: np.array(values, dtype=np.float32) for name, values in scores.items()},
    )


FOUR = [[UNKNOWN, UNKNOWN, UNKNOWN]] * 3 + [[UNKNOWN, HUMAN, UNKNOWN]]


def test_without_filters_every_filled_cell_is_accepted_and_no_human_one():
    accepted = accepted_cells(table(FOUR), {})
    assert accepted.astype(int).tolist() == [[0, 1, 1]] * 3 + [[0, 0, 1]]


@pytest.mark.parametrize(
    ("amount", "kept"), [({"k": 2}, [1, 3]), ({"fraction": 0.5}, [1, 3]), ({"k": 9}, [0, 1, 2, 3])]
)
def test_the_surest_cases_are_kept_whole(amount, kept):
    scored = table(FOUR, foreground=[0.1, 0.9, 0.2, 0.8])
    accepted = accepted_cells(scored, {"top": TopKCases(**amount)})
    assert np.flatnonzero(accepted.any(axis=1)).tolist() == kept
    assert np.array_equal(accepted[kept], scored.to_fill[kept])


def test_of_equals_the_earlier_is_kept_and_nan_never_first():
    scored = table(FOUR, entropy=[-0.5, np.nan, -0.5, -0.5])
    accepted = accepted_cells(scored, {"top": TopKCases(k=2, score="entropy")})
    assert np.flatnonzero(accepted.any(axis=1)).tolist() == [0, 2]


def test_a_case_without_a_cell_left_is_not_counted():
    done = [[HUMAN, HUMAN, HUMAN], *FOUR]
    accepted = accepted_cells(table(done, classes=[9, 1, 2, 3, 4]), {"top": TopKCases(k=1, score="classes")})
    assert np.flatnonzero(accepted.any(axis=1)).tolist() == [4]


def test_a_score_that_was_not_measured_is_named():
    with pytest.raises(ValueError, match="score=agreement: it was not measured; choose one of foreground"):
        accepted_cells(table(FOUR, foreground=[0, 0, 0, 0]), {"top": TopKCases(k=1, score="agreement")})


def test_each_class_keeps_its_own_surest_presences_and_absences():
    pixels = [[9, 50, 0], [9, 50, 5], [9, 50, 5], [9, 0, 0]]
    confidence = [[1, 0.9, 0], [1, 0.8, 0.4], [1, 0.7, 0.6], [1, 0, 0]]
    peak = [[1, 1, 0.3], [1, 1, 1], [1, 1, 1], [1, 0.2, 0.1]]
    scored = table([[UNKNOWN] * 3] * 4, peak, confidence, pixels)
    accepted = accepted_cells(scored, {"balanced": ClassBalancedTopK(k=1)})
    # class 1: surest presence in case 0, only absence in case 3; class 2: presence in case 2, absence in case 3
    assert accepted.astype(int).tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 1], [0, 1, 1]]


def test_a_rare_class_keeps_its_share_where_a_case_score_drops_it():
    pixels = np.full((10, 3), 100)
    pixels[:, 2] = 0
    pixels[9, 2] = 3
    confidence = np.full((10, 3), 0.9)
    confidence[9] = [0.9, 0.5, 0.5]
    scored = table(np.zeros((10, 3)), np.full((10, 3), 0.5), confidence, pixels, foreground=[0.9] * 9 + [0.5])
    assert not accepted_cells(scored, {"cases": TopKCases(fraction=0.5)})[9].any()
    assert accepted_cells(scored, {"balanced": ClassBalancedTopK(fraction=0.5)})[9].tolist() == [False, False, True]


def test_a_cell_is_kept_where_presence_or_absence_is_sure():
    peak = [[1, 0.95, 0.05], [1, 0.85, 0.4], [1, 0.95, 0.29]]
    pixels = [[9, 20, 0], [9, 20, 0], [9, 3, 0]]
    one = CellThreshold(present_peak=0.9, min_pixels=10, absent_peak=0.3)
    accepted = accepted_cells(table([[UNKNOWN] * 3] * 3, peak, pixels=pixels), {"cells": one})
    assert accepted.astype(int).tolist() == [[0, 1, 1], [0, 0, 0], [0, 0, 1]]


def test_filters_follow_each_other_and_only_reject():
    peak = [[1, 0.95, 0.95], [1, 0.2, 0.95], [1, 0.95, 0.95], [1, 0.95, 0.95]]
    scored = table(FOUR, peak, pixels=np.full((4, 3), 50), foreground=[0.1, 0.9, 0.2, 0.8])
    cells, top = CellThreshold(), TopKCases(k=1)
    accepted = accepted_cells(scored, {"cells": cells, "top": top})
    assert accepted.astype(int).tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]]
    assert not cells(scored, np.zeros_like(accepted)).any()


@pytest.mark.parametrize("kind", [TopKCases, ClassBalancedTopK])
@pytest.mark.parametrize(
    ("amount", "message"),
    [
        ({}, "give exactly one of the two"),
        ({"k": 1, "fraction": 0.5}, "give exactly one of the two"),
        ({"k": 0}, "k=0: must be at least 1"),
        ({"fraction": 0.0}, "fraction=0.0: must lie in"),
        ({"fraction": 1.5}, "fraction=1.5: must lie in"),
    ],
)
def test_amounts_are_checked(kind, amount, message):
    with pytest.raises(ValueError, match=message):
        kind(**amount)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"present_peak": 1.2}, "present_peak=1.2"),
        ({"absent_peak": 0.0}, "absent_peak=0"),
        ({"min_pixels": 0}, "min_pixels=0"),
    ],
)
def test_thresholds_are_checked(wrong, message):
    with pytest.raises(ValueError, match=message):
        CellThreshold(**wrong)


def test_settings_are_plain_values():
    assert TopKCases(k=3).to_json() == {"filter": "TopKCases", "k": 3, "fraction": None, "score": "foreground"}
