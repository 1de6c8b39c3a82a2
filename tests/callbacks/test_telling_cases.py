import numpy as np
import pytest

from callbacks.telling_cases import TellingCases, chosen
from metrics.partial_dice import CaseDice


def cells(**dice_of_case):
    """Build the cells of cases ``c<id>`` from the Dice of their classes."""
    rows = [(int(name[1:]), i, value) for name, values in dice_of_case.items() for i, value in enumerate(values, 1)]
    case, class_id, dice = (np.array(column) for column in zip(*rows, strict=True))
    return CaseDice(case, case, class_id, dice)


def test_the_worst_come_first_and_of_equals_those_with_more_classes():
    dice = cells(c3=[0.0], c5=[0.9, 0.9], c8=[0.0, 0.0], c9=[0.5, 0.1], c11=[0.6], c12=[0.7])
    assert chosen(dice, 2, 0) == {8: "worst", 3: "worst"}
    assert chosen(dice, 3, 2) == {8: "worst", 3: "worst", 9: "worst", 11: "median", 12: "median"}
    assert chosen(dice, 0, 1) == {11: "median"}


def test_few_cases_are_shown_once():
    assert chosen(cells(c1=[0.2], c2=[0.4]), 4, 2) == {1: "worst", 2: "worst"}
    empty = CaseDice(*(np.zeros(0, dtype=int) for _ in range(3)), np.zeros(0))
    assert chosen(empty, 4, 2) == {}


def test_a_negative_number_is_refused():
    with pytest.raises(ValueError, match="worst=-1, median=2: must be 0 or more"):
        TellingCases("x", worst=-1)
