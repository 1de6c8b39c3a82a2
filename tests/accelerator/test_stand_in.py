"""Starts ``stand_in_tests.py``: its device is registered for a whole process, which other tests must not see."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch.utils.backend_registration as registration

TESTS = Path(__file__).with_name("stand_in_tests.py")


@pytest.mark.skipif(
    not hasattr(registration, "_setup_privateuseone_for_python_backend"), reason="this torch has no devices in Python"
)
def test_runs_on_a_device_that_stands_in_for_a_gpu():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(TESTS)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, capture_output=True, text=True, cwd=TESTS.parents[2], env=environment)
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]
