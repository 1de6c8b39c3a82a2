"""What training is shown of the labels: which cases keep theirs, and which classes are hidden in which patient."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from partial_labels.batch import HUMAN, IGNORE, UNKNOWN, UNSURE, derive_background_array
from partial_labels.case_store import CaseStore
from partial_labels.case_table import CaseTable
from partial_labels.classes import ClassTable
from partial_labels.errors import InputError

Ids = NDArray[np.int64]
Status = NDArray[np.uint8]
Array = NDArray[Any]


@dataclass(frozen=True)
class ShownLabels:
    """The statuses and labels as training sees them; the store itself stays as it is, for measuring.

    Args:
        status: (N, C) with every hidden cell ``UNKNOWN``.
        lut: (N, 256) uint8, one table a case from stored to shown label ids.
    """

    status: Status
    lut: NDArray[np.uint8]


def show(stored: Status, shown: Status) -> ShownLabels:
    """Pair the status that training sees with the label ids that it allows.

    An id whose cell is unknown becomes 0, "none of the known classes"; ``IGNORE`` stays, and so does ``UNSURE`` where
    anything is known of the case.

    Args:
        stored: (N, C) status in the store.
        shown: (N, C) status as training sees it.

    Raises:
        ValueError: If a cell is shown that the store does not know.
    """
    if ((shown != UNKNOWN) & (stored == UNKNOWN)).any():
        raise ValueError("a cell is shown to training that the store does not know")
    classes = np.arange(shown.shape[1], dtype=np.uint8)
    lut = np.zeros((len(shown), 256), dtype=np.uint8)
    lut[:, : len(classes)] = np.where(shown != UNKNOWN, classes, 0)
    lut[:, UNSURE] = np.where(has_labels(shown), UNSURE, 0)
    lut[:, IGNORE] = IGNORE
    return ShownLabels(shown, lut)


def shown_labels(
    store: CaseStore,
    train: Ids,
    *,
    labeled_groups: int | None = None,
    labeled_fraction: float | None = None,
    labeled_first: int | None = None,
    hide_classes_fraction: float = 0.0,
    simulated_sets: Sequence[Sequence[str]] | None = None,
    seed: int = 0,
) -> ShownLabels:
    """Decide what training may see: labeled cases are chosen first, then classes are hidden in them.

    Args:
        store: The case store.
        train: Ids of the training cases.
        labeled_groups: See :func:`select_labeled`.
        labeled_fraction: Likewise.
        labeled_first: Likewise.
        hide_classes_fraction: See :func:`hide_classes`.
        simulated_sets: See :func:`show_as_sets`; None for the one set that the source is.
        seed: Seeds each of them.
    """
    labeled = select_labeled(
        store.cases,
        store.status,
        train,
        labeled_groups=labeled_groups,
        labeled_fraction=labeled_fraction,
        labeled_first=labeled_first,
        seed=seed,
    )
    status = np.zeros_like(store.status)
    status[labeled] = store.status[labeled]
    if simulated_sets is not None:
        status = show_as_sets(store.cases, status, labeled, simulated_sets, store.classes, seed)
    return show(store.status, hide_classes(store.cases, status, labeled, hide_classes_fraction, seed))


def select_labeled(
    cases: CaseTable,
    status: Status,
    train: Ids,
    *,
    labeled_groups: int | None,
    labeled_fraction: float | None,
    labeled_first: int | None,
    seed: int,
) -> Ids:
    """Choose the training cases that keep their labels; without an option all that have any.

    Groups are drawn by one seeded order, so a smaller choice is part of every larger one.

    Args:
        cases: The case table.
        status: (N, C) status in the store.
        train: Ids of the training cases.
        labeled_groups: Keep this many groups (patients) of those that have labels.
        labeled_fraction: Keep this share of them, in (0, 1], rounded, at least one.
        labeled_first: Keep the first so many training cases in the source's list order (``list_rank``), groups cut
            where the list cuts them: the protocol of published semi-supervised splits.
        seed: Decides the order of the groups.

    Returns:
        Ids in ascending order.

    Raises:
        InputError: If more than one option is given, one is out of range, or the data hold less than it asks for.
    """
    options = {"groups": labeled_groups, "fraction": labeled_fraction, "first": labeled_first}
    given = {f"data.labeled_{key}": value for key, value in options.items() if value is not None}
    if len(given) > 1:
        raise InputError(f"{', '.join(given)}: give at most one of them")
    if any(not value > 0 for value in given.values()) or (labeled_fraction or 0) > 1:
        raise InputError(f"{_say(given)}: a count must be at least 1, a fraction lie in (0, 1]")
    if labeled_first is not None:
        train = _first_in_list(cases, train, labeled_first)
    train = np.sort(train[has_labels(status[train])])
    if not len(train):
        raise InputError(f"{_say(given) or 'data'}: none of the training cases has an examined class; nothing to learn")
    if labeled_groups is None and labeled_fraction is None:
        return train
    group = cases.column("group")[train]
    order = np.random.default_rng(seed).permutation(np.unique(group))
    count = labeled_groups if labeled_groups is not None else max(1, round((labeled_fraction or 0) * len(order)))
    if count > len(order):
        raise InputError(f"data.labeled_groups={count}: only {len(order)} training groups have labels; ask for fewer")
    return train[np.isin(group, order[:count])]


def _say(options: dict[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in options.items())


def _first_in_list(cases: CaseTable, train: Ids, count: int) -> Ids:
    rank = cases.column("list_rank")[train]
    listed = train[rank >= 0][np.argsort(rank[rank >= 0], kind="stable")]
    if count > len(listed):
        raise InputError(
            f"data.labeled_first={count}: {len(listed)} training cases have a place in the source's list; "
            "ask for fewer, or use data.labeled_groups"
        )
    return listed[:count]


def hide_classes(cases: CaseTable, status: Status, ids: Ids, fraction: float, seed: int) -> Status:
    """Hide a share of the examined classes of each group, as if nobody had looked for them in that patient.

    Of the n classes examined somewhere in a group, ``fraction * n`` are hidden, rounded up or down at random so that
    the share is right on average, and at least one stays. What is hidden depends on the seed and the group's name
    alone, so it is the same in every fold and for any number of labeled groups.

    Args:
        cases: The case table.
        status: (N, C) status.
        ids: The cases in which classes are hidden.
        fraction: Share of the classes to hide, in [0, 1).
        seed: See above.

    Returns:
        (N, C) new status; hidden cells are ``UNKNOWN`` and channel 0 is derived anew.

    Raises:
        InputError: If ``fraction`` lies outside [0, 1).
    """
    if not 0 <= fraction < 1:
        raise InputError(f"data.hide_classes_fraction={fraction}: must lie in [0, 1)")
    shown = status.copy()
    if fraction == 0:
        return shown
    group = cases.column("group")[ids]
    for name in np.unique(group):
        members = ids[group == name]
        examined = np.flatnonzero((status[members, 1:] == HUMAN).any(axis=0)) + 1
        rng = np.random.default_rng([seed, zlib.crc32(str(name).encode())])
        count = min(int(fraction * len(examined) + rng.random()), max(len(examined) - 1, 0))
        shown[np.ix_(members, rng.permutation(examined)[:count])] = UNKNOWN
    shown[ids] = derive_background_array(shown[ids])
    return shown


def show_as_sets(
    cases: CaseTable, status: Status, ids: Ids, sets: Sequence[Sequence[str]], classes: ClassTable, seed: int
) -> Status:
    """Show the cases as if they came from several sets of which each examined other classes.

    Groups are dealt out to the sets in a seeded order, so the sets are equally large up to one group.

    Args:
        cases: The case table.
        status: (N, C) status.
        ids: The cases that are dealt out.
        sets: For each set the names of the classes that it examined.
        classes: The class table.
        seed: Decides the order of the groups.

    Returns:
        (N, C) new status; what a set did not examine is ``UNKNOWN``, and channel 0 is derived anew.

    Raises:
        InputError: If a name is no class, or there are fewer groups than sets.
    """
    numbers = {name.casefold(): index for index, name in enumerate(classes.names) if index}
    unknown = [name for names in sets for name in names if name.casefold() not in numbers]
    if unknown:
        raise InputError(f"data.simulated_sets: {unknown[0]!r} is no class; there is {', '.join(classes.foreground)}")
    group = cases.column("group")[ids]
    order = np.random.default_rng(seed).permutation(np.unique(group))
    if len(order) < len(sets):
        raise InputError(f"data.simulated_sets: {len(sets)} sets of {len(order)} labeled groups; ask for fewer")
    shown = status.copy()
    for number, names in enumerate(sets):
        members = ids[np.isin(group, order[number :: len(sets)])]
        hidden = sorted({*range(1, len(classes))} - {numbers[name.casefold()] for name in names})
        shown[np.ix_(members, hidden)] = UNKNOWN
    shown[ids] = derive_background_array(shown[ids])
    return shown


def has_labels(status: Status) -> NDArray[np.bool_]:
    """Tell which rows of an (M, C) status have an examined class other than the background."""
    examined: NDArray[np.bool_] = (status[:, 1:] == HUMAN).any(axis=1)
    return examined
