"""The run directory: stages, checkpoints, configuration checks, loading.

``runs.load(RUN_DIR)`` returns network, head and class table for a notebook.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runs.checkpoints.loading import Loaded


def load(path: str | Path, network: str | None = None) -> Loaded:
    """Load the network of a run; see :func:`runs.checkpoints.loading.load`."""
    from runs.checkpoints.loading import load as load_run  # torch is heavy, and the command line's help is not

    return load_run(path, network)
