"""Peak memory of a training step at 256 x 256.

``python -m benchmarks memory`` takes a forward and backward pass with 55 logits through AttUNet, UCTransNet and
MISSFormer, in float32 and half precision, as it is and with ``trainer.recompute=true``. On a CPU each runs in a process
of its own and its growth is the peak resident set above what was there before the step, gradients included; on a GPU it
is the allocator's peak.
"""

from __future__ import annotations

import gc
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.measuring import parser, record
from benchmarks.small_run import composed
from models.network import SegmentationNetwork
from runs.configuration.instantiate import build
from runs.hardware.recomputation import blocks_of, recomputed

LOGITS = 55
NETWORKS = ("attunet", "uctransnet", "missformer")
MIB = 2**20


def step_memory(name: str, precision: str, recompute: bool, batch: int, side: int) -> tuple[float, float]:
    """Return the growth of the peak memory in MiB, and the process CPU seconds, of a step; in a process of its own."""
    torch.set_num_threads(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with tempfile.TemporaryDirectory() as folder:
        cfg = composed(Path(folder), f"model={name}", f"data.image_size={side}")
    network: SegmentationNetwork = build(cfg.model, in_channels=1, out_channels=LOGITS).to(device)
    if recompute:
        for block in blocks_of(network):
            block.forward = recomputed(block, block.forward)
    image = torch.rand(batch, 1, side, side, device=device)
    gc.collect()
    before, start = peak(device), time.process_time()
    half = torch.bfloat16 if device.type == "cpu" else torch.float16
    with torch.autocast(device.type, half, enabled=precision == "mixed"):
        outputs: Any = network(image)
    levels = outputs if isinstance(outputs, list) else [outputs]
    torch.autograd.backward([level.float().square().mean() for level in levels])
    return (peak(device) - before) / MIB, time.process_time() - start


def peak(device: torch.device) -> int:
    """Return the largest number of bytes held so far."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def networks(names: Sequence[str], batch: int, side: int) -> dict[str, Any]:
    """Measure each network in each way."""
    print(f"batch {batch}, {side} x {side}, {LOGITS} logits")
    print(f"{'':14}{'precision':>10}{'recompute':>10}{'MiB':>9}{'CPU s':>8}")
    found: dict[str, Any] = {}
    spawn = multiprocessing.get_context("spawn")
    for name in names:
        for precision in ("32", "mixed"):
            for recompute in (False, True):
                with spawn.Pool(1) as pool:
                    mib, seconds = pool.apply(step_memory, (name, precision, recompute, batch, side))
                found[f"{name} {precision}{' recompute' * recompute}"] = {"mib": mib, "cpu_s": seconds}
                print(f"{name:14}{precision:>10}{recompute!s:>10}{mib:9.0f}{seconds:8.1f}", flush=True)
    return found


def main() -> None:
    """Measure."""
    arguments = parser(__doc__, batch=1, side=256)
    arguments.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS, help="default all")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    found = networks(options.networks, options.batch, options.side)
    record("memory" if options.batch == 1 else f"memory_batch{options.batch}", found)


if __name__ == "__main__":
    main()
