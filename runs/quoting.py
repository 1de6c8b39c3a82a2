"""How an argument is typed, so that the shell and Hydra's grammar read what is meant."""

from __future__ import annotations

import re
import shlex

PLAIN = re.compile(r"[A-Za-z0-9_/.@%+-]+")
"""A value that neither a shell nor Hydra's grammar wants in quotes."""


def quoted(value: object) -> str:
    """Return a value as Hydra's grammar reads it back, whatever characters it holds."""
    text = re.sub(r"\\+(?='|\Z)", lambda found: 2 * found[0], str(value))  # elsewhere a backslash escapes nothing
    return "'" + text.replace("'", "\\'") + "'"


def typed_argument(key: str, value: object) -> str:
    """Return ``key=value`` as it is typed in a shell, in the quotes that the shell and Hydra's grammar want."""
    if PLAIN.fullmatch(str(value)):
        return f"{key}={value}"
    argument = f"{key}={quoted(value)}"
    return shlex.quote(argument) if set(argument) & set('"$`!\\') else f'"{argument}"'
