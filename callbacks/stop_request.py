"""A request to stop that can wait until the state of the run is saved."""

from __future__ import annotations

import logging
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import final

from partial_labels.errors import Interrupted

log = logging.getLogger(__name__)


@final
class StopRequest:
    """Remembers SIGTERM or Ctrl-C while it is patient, instead of letting it tear a step apart.

    Args:
        run: The directory of the run that can be continued.
    """

    def __init__(self, run: Path) -> None:
        self.run, self.patient = run, False
        self.signum: int | None = None

    def listen(self) -> None:
        """Take the signals over, in the main thread, which is the only one that may."""
        if threading.current_thread() is threading.main_thread():
            for signum in (signal.SIGTERM, signal.SIGINT):
                signal.signal(signum, self.receive)

    def receive(self, signum: int, frame: FrameType | None) -> None:
        """Remember the signal, or act on it.

        Raises:
            Interrupted: If there is nothing to wait for, or at the second Ctrl-C.
        """
        if not self.patient or (self.signum is not None and signum == signal.SIGINT):
            raise Interrupted(signum, self.run)
        self.signum = self.signum or signum
        log.warning("%s: stopping with a checkpoint as soon as a step is done", signal.Signals(signum).name)
