"""The one exception that a user is meant to see."""

from __future__ import annotations


class InputError(ValueError):
    """Something that the user gave is wrong: a file, a row, a key.

    The message is one line: what is wrong, where, and what to do. Entry points print it without a traceback and exit
    with code 1 (``debug=true`` shows the traceback).
    """
