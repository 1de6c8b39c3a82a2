"""How the classes of one set are called in another: by name, renamed, or merged from parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from partial_labels.batch import IGNORE, UNSURE
from partial_labels.classes import ClassTable, pairs_by_name
from partial_labels.errors import InputError

Merge = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Translation:
    """Takes labels and examined cells of one class table to another.

    Args:
        parts: For each class of the other table the sets of ours that make it up: one of the sets is enough.
        size: Number of our classes.
    """

    parts: tuple[tuple[tuple[int, ...], ...], ...]
    size: int

    @classmethod
    def between(cls, ours: ClassTable, theirs: ClassTable, rename: Mapping[str, str], merge: Merge) -> Translation:
        """Match by name, case ignored.

        Args:
            ours: The table to read.
            theirs: The table to write.
            rename: Their name of a class of ours.
            merge: A class of theirs, and the names (renamed) of all the parts that it is made of.

        Raises:
            InputError: If two classes of ours get one name.
        """
        renamed = {old.casefold(): new.casefold() for old, new in rename.items()}
        ids = {renamed.get(name.casefold(), name.casefold()): index for index, name in enumerate(ours.names) if index}
        if len(ids) < len(ours.foreground):
            raise InputError(f"data.source.rename={dict(rename)}: gives two classes of one set one name; use merge")
        wholes = {whole.casefold(): [part.casefold() for part in parts] for whole, parts in merge.items()}
        found: list[tuple[tuple[int, ...], ...]] = [()]
        for name in map(str.casefold, theirs.foreground):
            sets: list[tuple[int, ...]] = [(ids[name],)] if name in ids else []
            if name in wholes and any(part in ids for part in wholes[name]):
                sets.append(tuple(ids.get(part, 0) for part in wholes[name]))  # 0: a part that we do not have
            found.append(tuple(sets))
        return cls(tuple(found), len(ours))

    def examined(self, examined: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which of their classes were examined: where all parts of one set were.

        A whole of which one part was not looked for is unknown, even where another part is drawn.
        """
        looked = examined.copy()
        looked[0] = False
        return np.array([any(looked[list(parts)].all() for parts in sets) for sets in self.parts])

    def label(self, label: NDArray[np.uint8], examined: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Return the label in their ids; what belongs to none of their examined classes becomes 0.

        Args:
            label: (h, w) our ids.
            examined: (C,) of theirs, as :meth:`examined` gives it.
        """
        lut = np.zeros(256, dtype=np.uint8)
        lut[[UNSURE, IGNORE]] = UNSURE, IGNORE
        for index, sets in enumerate(self.parts):
            if examined[index]:
                lut[[part for parts in sets for part in parts if part]] = index
        return lut[label]


def joined_table(
    tables: Sequence[ClassTable], rename: Mapping[str, str], merge: Merge, wanted: Sequence[str] | None
) -> ClassTable:
    """Return the classes of several tables, each name once, in the order in which they come.

    Structures are a left/right pair where their names or a table say so, unless a table has both and does not pair
    them.

    Args:
        tables: The tables.
        rename: New names of classes.
        merge: Wholes and their parts; the parts are no classes any more.
        wanted: The classes to keep, in this order; None for all.

    Raises:
        InputError: If ``rename``, ``merge`` or ``wanted`` names a class that no table has.
    """
    known = {name.casefold() for table in tables for name in table.foreground}
    _refuse_unknown(rename, known, "rename")
    renamed = {old.casefold(): new for old, new in rename.items()}
    named = {renamed.get(name, name).casefold() for name in known}
    whole_of = {part.casefold(): whole for whole, parts in merge.items() for part in parts}
    _refuse_unknown(whole_of, named, "merge")
    names: dict[str, str] = {}
    for table in tables:
        for name in table.foreground:
            name = renamed.get(name.casefold(), name)
            name = whole_of.get(name.casefold(), name)
            names.setdefault(name.casefold(), name)
    if wanted is not None:
        _refuse_unknown(wanted, set(names), "classes")
        names = {name.casefold(): name for name in wanted}
    plain = ClassTable.from_foreground(tuple(names.values()), ())
    return ClassTable(plain.names, _pairs(plain, tables, rename, merge))


def _pairs(
    joined: ClassTable, tables: Sequence[ClassTable], rename: Mapping[str, str], merge: Merge
) -> tuple[tuple[int, int], ...]:
    candidates = dict.fromkeys(pairs_by_name(joined.names))
    views: list[tuple[set[int], set[tuple[int, int]]]] = []
    for table in tables:
        sets = Translation.between(table, joined, rename, merge).parts
        ids = {parts[0]: index for index, one in enumerate(sets) for parts in one if len(parts) == 1}
        theirs = [(ids[a], ids[b]) for a, b in table.pairs if a in ids and b in ids]
        candidates |= {pair: None for pair in theirs if pair[::-1] not in candidates}
        views.append((set(ids.values()), {*theirs, *((b, a) for a, b in theirs)}))
    return tuple(pair for pair in candidates if all(pair in pairs or not {*pair} <= ids for ids, pairs in views))


def _refuse_unknown(names: Mapping[str, str] | Sequence[str], known: set[str], key: str) -> None:
    for name in names:
        if name.casefold() not in known:
            raise InputError(f"data.source.{key}: no set has a class {name!r}; there is {', '.join(sorted(known))}")
