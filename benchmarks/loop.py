"""A training step of ``train.py`` beside a bare PyTorch loop with the same network and loss on one resident batch.

The one reads, augments, trains, logs, guards and, with a mean teacher, averages; the other only trains. They take turns
of ``--steps`` steps inside one fit. On a CPU the network is deliberately small (U-Net of width 8, 64 x 64, 7 classes,
batch 8), so that all that stands around it shows; on a GPU it is AttUNet at 256 x 256, batch 16, mixed precision.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from augment.draws import Draws
from benchmarks.measuring import Cost, Stopwatch, now, parser, print_costs, record
from benchmarks.small_run import Parts, built, composed, setting
from models.teacher import Teacher
from partial_labels.batch import PartialLabelBatch
from runs.stages import fitting

Step = Callable[[], None]
DECAY = 0.99


class Turns(Callback):
    """Stops a fit every few steps, and lets the other contenders do as many.

    Args:
        steps: Steps of a turn.
        others: Makes the other contenders from the parts of the run and a batch.
    """

    def __init__(self, steps: int, others: Callable[[pl.Trainer, Any, PartialLabelBatch], dict[str, Step]]) -> None:
        self.steps, self.make = steps, others
        self.others: dict[str, Step] = {}
        self.watches: dict[str, Stopwatch] = {}
        self.start = (0.0, 0.0)

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Stop the clock, let the others run, and start it again; the first turn warms up."""
        if batch_idx % self.steps:
            return
        if batch_idx == 0:
            self.others = self.make(trainer, pl_module, batch)
            self.watches = {name: Stopwatch() for name in ("train.py", *self.others)}
        if batch_idx > self.steps:
            self.watches["train.py"].note(self.start, self.steps)
        for name, step in self.others.items():
            watch = self.watches[name] if batch_idx > self.steps else Stopwatch()
            watch.time(step, self.steps)
        self.start = now()


def bare_loop(trainer: pl.Trainer, module: Any, batch: PartialLabelBatch) -> Step:
    """Return a step as one would write it by hand: the same network, loss, optimizer and clipping."""
    student = copy.deepcopy(module.student)
    teacher = Teacher(student) if hasattr(module, "teacher") else None
    optimizer = module.make_optimizer(student.network.parameter_groups())
    first = module.data.first_open_row
    unlabeled = PartialLabelBatch(*(field[first:] for field in batch))
    half = {"16-mixed": torch.float16, "bf16-mixed": torch.bfloat16}.get(str(trainer.precision))
    scaler = torch.amp.GradScaler(batch.image.device.type, enabled=half == torch.float16)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(batch.image.device.type, half, enabled=half is not None):
            logits = student(batch.image)
            loss = sum(module.loss(logits, batch).values())
            if teacher is not None:
                probs = module.head.probs(teacher(unlabeled.image))
                loss = loss + module.consistency(logits[first:], probs, unlabeled, module.head)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(student.parameters(), trainer.gradient_clip_val or float("inf"))
        scaler.step(optimizer)
        scaler.update()
        if teacher is not None:
            teacher.update(student, DECAY)

    return step


def augmentation(module: Any, batch: PartialLabelBatch) -> Step:
    """Return the augmentation of one step alone: the weak view, and the strong one where the strategy has it."""
    data = module.data
    count = 0

    def step() -> None:
        nonlocal count
        count += 1
        rows = torch.tensor(data.drawing.rows)
        weak = data.weak(batch, Draws(0, 0, count, rows, data.drawing.global_size), data.mirror)
        if module.strong is not None:
            first, draws = data.strong_draws(0, count)
            module.strong(weak.image[first:], draws)

    return step


def measure(parts: Parts, steps: int) -> dict[str, Cost]:
    """Fit, with the others taking their turns."""
    turns = Turns(
        steps,
        lambda trainer, module, batch: {
            "bare loop": bare_loop(trainer, module, batch),
            "augmentation alone": augmentation(module, batch),
        },
    )
    parts.trainer.callbacks.append(turns)  # type: ignore[attr-defined]
    fitting.fit(parts.trainer, parts.module, parts.data)
    return {name: watch.cost for name, watch in turns.watches.items()}


def main() -> None:
    """Measure supervised training and a mean teacher."""
    options = parser(__doc__, rounds=9, steps=40).parse_args()
    torch.set_num_threads(1)
    figures: dict[str, Any] = {}
    for ssl in ("supervised", "mean_teacher"):
        length = f"data.steps_per_epoch={(options.rounds + 2) * options.steps}"
        with tempfile.TemporaryDirectory() as folder:
            parts = built(composed(Path(folder), *setting(), f"ssl={ssl}", length, "trainer.max_epochs=1"))
            cost = measure(parts, options.steps)
        column = 1 if torch.cuda.is_available() else 0
        ours, bare, views = (one[column] for one in cost.values())
        print(f"\nssl={ssl}, {options.rounds} turns of {options.steps} steps")
        print_costs(cost, "bare loop")
        print(f"speed {bare / ours:.3f} of the bare loop; {ours - bare - views:.2f} ms a step beside the augmentation")
        named = {name: one._asdict() for name, one in cost.items()}
        figures[ssl] = {**named, "speed": bare / ours, "overhead_ms": ours - bare - views}
    record("loop", figures)


if __name__ == "__main__":
    main()
