"""The class table: ids, names, colours and left/right pairs."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from partial_labels.batch import MAX_CLASSES
from partial_labels.errors import InputError

Color = tuple[int, int, int]

BACKGROUND = "background"
SIDES = (("left", "right"), ("_l", "_r"))


@dataclass(frozen=True)
class ClassTable:
    """Names of the classes in id order, the background first.

    Args:
        names: Unique names; ``names[0]`` is the background.
        pairs: Ids of structures that exchange under a mirror, (left, right).
        colors: RGB, 0 to 255, one a class; derived from the id where not given.
    """

    names: tuple[str, ...]
    pairs: tuple[tuple[int, int], ...] = ()
    colors: tuple[Color, ...] = field(default=())

    def __post_init__(self) -> None:
        if not 2 <= len(self.names) <= MAX_CLASSES:
            raise InputError(f"class table: {len(self.names)} classes; 2 to {MAX_CLASSES} fit, background included")
        twice = {name for name in self.names if self.names.count(name) > 1}
        if twice:
            raise InputError(f"class table: names used twice: {', '.join(sorted(twice))}; make them unique")
        ids = [i for pair in self.pairs for i in pair]
        if len(set(ids)) != len(ids) or any(not 0 < i < len(self.names) for i in ids):
            raise InputError(f"class table: left/right pairs {self.pairs} repeat an id or leave the table")
        if not self.colors:
            object.__setattr__(self, "colors", tuple(default_color(i) for i in range(len(self.names))))
        if len(self.colors) != len(self.names):
            raise InputError(f"class table: {len(self.colors)} colours for {len(self.names)} classes")

    @classmethod
    def from_foreground(cls, names: Sequence[str], pairs: Iterable[tuple[int, int]] | None = None) -> ClassTable:
        """Build a table from the names of classes 1, 2, ...; pairs are found by name unless they are given."""
        every = (BACKGROUND, *names)
        return cls(every, pairs_by_name(every) if pairs is None else tuple(pairs))

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> ClassTable:
        """Read what :meth:`to_json` wrote."""
        return cls(
            tuple(record["names"]),
            tuple((int(a), int(b)) for a, b in record["pairs"]),
            tuple((int(r), int(g), int(b)) for r, g, b in record["colors"]),
        )

    @classmethod
    def joined(cls, tables: Sequence[ClassTable]) -> ClassTable:
        """Return one table of all their classes, matched by name: the first table's, then what the others add.

        Raises:
            InputError: If a table has no class in common with the first, or the tables disagree about a pair.
        """
        first, *others = tables
        names, colors, pairs = [*first.names], [*first.colors], dict.fromkeys(first.pairs)
        for other in others:
            if len(other.match(first)) < 2:
                raise InputError(
                    f"class tables without a common class: {', '.join(first.foreground[:3])} ... and "
                    f"{', '.join(other.foreground[:3])} ...; name checkpoints that know the same structures"
                )
            lower = [name.casefold() for name in names]
            new = [i for i, name in enumerate(other.names) if name.casefold() not in lower]
            names += [other.names[i] for i in new]
            colors += [other.colors[i] for i in new]
            place = other.match(cls(tuple(names), (), tuple(colors)))
            pairs |= dict.fromkeys((place[left], place[right]) for left, right in other.pairs)
        return first if len(names) == len(first) else cls(tuple(names), tuple(pairs), tuple(colors))

    def to_json(self) -> dict[str, Any]:
        """Return plain lists and strings."""
        return {
            "names": list(self.names),
            "pairs": [list(pair) for pair in self.pairs],
            "colors": [list(color) for color in self.colors],
        }

    def __len__(self) -> int:
        return len(self.names)

    @property
    def foreground(self) -> tuple[str, ...]:
        """Names of classes 1, 2, ..."""
        return self.names[1:]

    @property
    def mirror(self) -> tuple[int, ...]:
        """For each id the id it becomes under a left/right mirror."""
        swap = list(range(len(self)))
        for left, right in self.pairs:
            swap[left], swap[right] = right, left
        return tuple(swap)

    def match(self, other: ClassTable) -> dict[int, int]:
        """Return {our id: the other table's id} for the classes that have the same name in both (case is ignored)."""
        theirs = {name.casefold(): i for i, name in enumerate(other.names)}
        return {i: theirs[name.casefold()] for i, name in enumerate(self.names) if name.casefold() in theirs}

    def describe_pairs(self) -> str:
        """Say which classes a mirror would exchange, in one line."""
        if not self.pairs:
            return "no left/right pairs: mirrors stay off"
        return "left/right pairs: " + ", ".join(f"{self.names[a]} <-> {self.names[b]}" for a, b in self.pairs)


def pairs_by_name(names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Find the ids of names that differ only in left/right (``kidney_left``, ``left kidney``, ``kidney_l``)."""
    found: dict[tuple[int, int], None] = {}
    lower = [name.casefold() for name in names]
    for i, name in enumerate(lower):
        for left, right in SIDES:
            if left.startswith("_"):
                partner = name.removesuffix(left) + right if name.endswith(left) else None
            else:
                partner = name.replace(left, right) if left in name else None
            if partner is not None and partner != name and partner in lower:
                found.setdefault((i, lower.index(partner)))
                break
    return tuple(found)


def default_color(index: int) -> Color:
    """Return a colour that is far from its neighbours' (golden-ratio steps around the hue circle); 0 is black."""
    if index == 0:
        return (0, 0, 0)
    hue = index * 0.618033988749895 % 1
    red, green, blue = colorsys.hsv_to_rgb(hue, (0.65, 0.9, 0.5)[index % 3], (1.0, 0.8, 0.95)[index % 3])
    return round(255 * red), round(255 * green), round(255 * blue)
