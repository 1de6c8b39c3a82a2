"""Distributes units that must not be cut over the parts of a split, so that every class is found in every part."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.near_duplicates import component_numbers, number_in_order

Array = NDArray[Any]


def split_units(group: Array, cluster: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number the smallest sets of cases that cut neither a group nor a near-duplicate cluster.

    Args:
        group: (N,) group of each case, any sortable value.
        cluster: (N,) near-duplicate cluster of each case.

    Returns:
        (N,) unit numbers, counted from 0 in the order of first appearance.
    """
    groups, clusters = number_in_order(group), number_in_order(cluster) + len(group)
    unit = component_numbers(np.stack([groups, clusters], axis=1), 2 * len(group))
    return number_in_order(unit[groups])


def stratify(counts: NDArray[np.int64], shares: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Give every unit a part, keeping each column's total near the parts' shares.

    Iterative stratification (Sechidis et al., ECML PKDD 2011): the column with the fewest unplaced units goes first,
    each of its units to the part that still wants most of it. Beyond the paper, the last units of a column are kept
    for the parts that have none of it, and :func:`fill_gaps` mends what the order left open.

    Args:
        counts: (U, K) how many cases of each unit belong to a column; the last column counts all cases of the unit
            and is never 0.
        shares: (S,) share of each part, summing to 1.
        rng: Decides the order of the units.

    Returns:
        (U,) part of each unit, 0 to S - 1.
    """
    part = np.full(len(counts), -1, dtype=np.int64)
    wanted = shares[:, None] * counts.sum(axis=0)
    held = np.zeros(wanted.shape, dtype=np.int64)
    while (part < 0).any():
        unplaced = ((counts > 0) & (part < 0)[:, None]).sum(axis=0)
        column = int(np.argmin(np.where(unplaced > 0, unplaced, len(counts) + 1)))
        members = rng.permutation(np.flatnonzero((counts[:, column] > 0) & (part < 0)))
        for left, unit in zip(range(len(members), 0, -1), members, strict=True):
            without = np.flatnonzero(held[:, column] == 0)
            choice = without if left <= len(without) else np.arange(len(shares))
            choice = rng.permutation(choice)
            best = choice[np.lexsort((wanted[choice, -1], wanted[choice, column]))[-1]]
            part[unit] = best
            wanted[best] -= counts[unit]
            held[best] += counts[unit] > 0
    return fill_gaps(part, counts, held)


def fill_gaps(part: NDArray[np.int64], counts: NDArray[np.int64], held: NDArray[np.int64]) -> NDArray[np.int64]:
    """Move the smallest possible unit into each part that lacks a column, while no other part loses one by it.

    Args:
        part: (U,) part of each unit; changed in place.
        counts: (U, K) cases of each unit by column, the last column its size.
        held: (S, K) number of units of each part by column; changed in place.

    Returns:
        ``part``.
    """
    has = counts > 0
    moved = True
    while moved:
        moved = False
        for target, column in np.argwhere(held == 0):
            spare = has[:, column] & ((held[part] > 1) | ~has).all(axis=1)
            if held[target, column] == 0 and spare.any():
                unit = np.flatnonzero(spare)[np.argmin(counts[spare, -1])]
                held[part[unit]] -= has[unit]
                held[target] += has[unit]
                part[unit] = target
                moved = True
    return part
