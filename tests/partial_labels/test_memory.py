"""The peak is the run's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from partial_labels.memory import PEAK, peak_memory_gb, reset_peak_memory


@pytest.mark.skipif(torch.cuda.is_available() or not PEAK.exists(), reason="the memory of a process, on Linux")
def test_the_peak_counts_what_is_used_until_it_is_reset() -> None:
    reset_peak_memory()
    before = peak_memory_gb()
    big = np.ones(25_000_000)  # 0.2 GB
    assert peak_memory_gb() > before + 0.15
    del big
    assert peak_memory_gb() > before + 0.15, "it is the peak, not what is used now"
    reset_peak_memory()
    assert peak_memory_gb() < before + 0.1
