"""Lists of class names that fit into a line."""

from __future__ import annotations

from collections.abc import Sequence


def plain(name: str) -> str:
    """Return a class name without underscores."""
    return name.replace("_", " ")


def listed(names: Sequence[str], length: int) -> str:
    """Name as many as fit into ``length`` characters, at least one, and count the rest."""
    shown = [plain(name) for name in names]
    for count in range(len(shown), 0, -1):
        rest = len(shown) - count
        text = ", ".join(shown[:count]) + (f" and {rest} more" if rest else "")
        if len(text) <= length or count == 1:
            return text
    return ""
