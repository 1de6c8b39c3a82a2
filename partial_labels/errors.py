"""The exceptions that a user is meant to see."""

from __future__ import annotations

import signal
from pathlib import Path

CLAIMED = "claimed_run"
"""Attribute of an exception that ended a run: the run's directory. What is refused before harms no run."""


class InputError(ValueError):
    """Something that the user gave is wrong: a file, a row, a key.

    The message is one line: what is wrong, where, and what to do. Entry points print it without a traceback and exit
    with code 1 (``debug=true`` shows the traceback).
    """


def one_line(error: BaseException) -> str:
    """Return what an exception says, without its line breaks."""
    return " ".join(str(error).split())


class Interrupted(BaseException):
    """Somebody asked the process to stop, by Ctrl-C or SIGTERM; no handler of errors may take it for one.

    Args:
        signum: The signal.
        run: The directory of the run that can be continued; None where there is none.
    """

    def __init__(self, signum: int, run: Path | None = None) -> None:
        super().__init__(f"interrupted by {signal.Signals(signum).name}")
        self.signum, self.run = signum, run
