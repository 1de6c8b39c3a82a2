"""Time and memory of reading the challenge's full table of labels: ``python -m benchmarks csv``."""

from __future__ import annotations

import resource
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from benchmarks.measuring import parser, record
from datamodules.sources.label_csv import read_label_csv, write_label_csv

IMAGES, PIXELS, MAX_ID = 2000, 65536, 54
NAMES = [f"{i}.png" for i in range(IMAGES)]


def make_labels() -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """Return labels as sparse as the challenge's: an eighth of the pixels, in runs, of 800 of the 2000 images."""
    random = np.random.default_rng(0)
    runs = random.integers(1, MAX_ID + 1, (IMAGES, PIXELS // 64)).astype(np.uint8)
    runs[random.random(runs.shape) > 0.125] = 0
    runs[800:] = 0
    return np.repeat(runs, 64, axis=1)


def write(path: Path) -> float:
    """Write the table; return the process CPU seconds."""
    labels = make_labels()
    start = time.process_time()
    write_label_csv(path, NAMES, labels)
    return time.process_time() - start


def read(path: Path) -> tuple[float, float, bool]:
    """Read the table; return the process CPU seconds, the peak memory in GB, and whether it is what was written."""
    start = time.process_time()
    labels = read_label_csv(path, NAMES, PIXELS, MAX_ID)
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return seconds, peak, bool(np.array_equal(labels, make_labels()))


def main() -> None:
    """Run each step in a process of its own, so that memory is its own too, and print the figures."""
    parser(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder, get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        path = Path(folder) / "label_Hnl61pT.csv"
        written = pool.apply(write, (path,))
        print(f"write {PIXELS} x {IMAGES}: {written:.1f} s CPU, {path.stat().st_size / 1e6:.0f} MB")
        seconds, peak, same = pool.apply(read, (path,))
        print(f"read  {PIXELS} x {IMAGES}: {seconds:.1f} s CPU, peak {peak:.2f} GB, same as written: {same}")
    record("csv", {"write_cpu_s": written, "read_cpu_s": seconds, "read_peak_gb": peak, "same": same})


if __name__ == "__main__":
    main()
