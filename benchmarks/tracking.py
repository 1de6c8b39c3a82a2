"""What W&B adds to an epoch: offline, panels at every validation, beside the same run with ``metrics.csv`` alone.

The two take turns, a fit of ``--epochs`` epochs each; the first epoch of a fit warms up. An epoch is counted from its
beginning to that of the next, so its validation, checkpoint and logs are in it. The client writes through a process of
its own: what that computes is counted too. On a CPU the run is the demo's, on a GPU AttUNet at 256 x 256.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from benchmarks.measuring import Cost, Stopwatch, now, parser, print_costs, ratios, record
from benchmarks.small_run import LARGE, built, composed
from runs.stages import fitting

DEMO = (
    *("data=phantom_small", "data.source.num_slices=600", "data.batch_size=8", "model=unet", "model.width=16"),
    *("model.deep_supervision=true", "loss=masked_exclusion", "optimizer=adamw", "optimizer.lr=1e-2", "trainer=cpu"),
)
LOGGERS = {"metrics.csv": "logger=csv", "with W&B": "logger=wandb"}


class Epochs(Callback):
    """Notes what every epoch but the first has cost."""

    def __init__(self, watch: Stopwatch) -> None:
        self.watch = watch
        self.start: tuple[float, float] | None = None

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note the epoch before, unless it was the first."""
        if self.start is not None:
            cpu, wall = self.start
            self.watch.note((cpu - children_seconds(), wall))
        self.start = None
        if trainer.current_epoch > 0:
            cpu, wall = now()
            self.start = (cpu + children_seconds(), wall)


def children_seconds() -> float:
    """Return the CPU seconds of the processes that this one has started and that still run; 0 where that is unknown."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        if int(fields[1]) == os.getpid():
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def fit(folder: Path, logger: str, epochs: int, steps: int, watch: Stopwatch) -> None:
    """Fit, and note the epochs' cost."""
    setting = LARGE if torch.cuda.is_available() else DEMO
    length = (f"trainer.max_epochs={epochs + 2}", f"data.steps_per_epoch={steps}")
    parts = built(composed(folder, *setting, logger, *length, f"paths.cache={folder.parent}/cache"))
    parts.trainer.callbacks.append(Epochs(watch))  # type: ignore[attr-defined]
    fitting.fit(parts.trainer, parts.module, parts.data)
    if logger == "logger=wandb":
        import wandb  # the other fits need none

        wandb.finish()


def main() -> None:
    """Measure both in turn."""
    options = parser(__doc__, rounds=3, epochs=3, steps=80).parse_args()
    torch.set_num_threads(1)
    watches = {name: Stopwatch() for name in LOGGERS}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(options.rounds):
            for name, logger in LOGGERS.items():
                fit(Path(folder) / f"{turn}_{logger[7:]}", logger, options.epochs, options.steps, watches[name])
    cost: dict[str, Cost] = {name: watch.cost for name, watch in watches.items()}
    print(f"an epoch of {options.steps} steps, {options.rounds} turns of {options.epochs} epochs")
    print_costs(cost, "metrics.csv")
    share = ratios(cost, "metrics.csv")["with W&B"] - 1
    print(f"W&B adds {share:.2%}")
    figures: dict[str, Any] = {**cost, "added": share}
    record("tracking", figures)


if __name__ == "__main__":
    main()
