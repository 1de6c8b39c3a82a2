"""Signals while Lightning is at work."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytorch_lightning as pl


@contextmanager
def interruptible(trainer: pl.Trainer) -> Iterator[None]:
    """Let Ctrl-C be one, where Lightning would end the process with code 1."""
    try:
        with same_signals():
            yield
    except SystemExit:
        if not trainer.interrupted:
            raise
    if trainer.interrupted:
        raise KeyboardInterrupt


@contextmanager
def same_signals() -> Iterator[None]:
    """Put the handlers of signals back that a fit has changed; Lightning does so at the wrong moments."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {signum: signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for signum, handler in handlers.items():
            signal.signal(signum, handler)
