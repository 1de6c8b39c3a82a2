"""How much memory the process has used."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import torch

STATUS, PEAK = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def reset_peak_memory() -> None:
    """Forget what was used before, as far as the system can: a run in a sweep is not to be told the peak of another."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    if PEAK.exists():  # Linux
        PEAK.write_text("5")


def peak_memory_gb() -> float:
    """Return the most memory used since then: of the GPU where one was used, else of the process, 1e9 bytes."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated() / 1e9
    lines = STATUS.read_text().splitlines() if STATUS.exists() else []
    peaks = [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")]
    unit = 1 if sys.platform == "darwin" else 1024
    return (peaks[0] if peaks else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit) / 1e9
