"""What constructors ask of numbers."""

from __future__ import annotations


def at_least(least: int, **values: int | None) -> None:
    """Refuse values below ``least``, by their names; None is "not given".

    Raises:
        ValueError: Naming the first.
    """
    for key, value in values.items():
        if value is not None and value < least:
            raise ValueError(f"{key}={value}: must be at least {least}")
