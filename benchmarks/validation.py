"""A validation epoch, and a round of pseudo-labels, beside the bare inference that they are made of.

``python -m benchmarks validation`` runs AttUNet (``--width``, default 16) over the phantom at 128 x 128 with its 54
structures: the trainer's own validation with every figure of ``val/``, beside a loop that only predicts; and what
``PseudoLabelWriter`` does at the end of a stage, files included, beside a loop over the same cases.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from benchmarks.measuring import in_turn, parser, print_costs, ratios, record
from benchmarks.small_run import Parts, built, composed
from callbacks.pseudo_label_writer import PseudoLabelWriter
from partial_labels.batch import ValidationBatch
from runs.stages import fitting

STAGE = "teacher"


def parts_of(folder: Path, width: int, cases: int) -> Parts:
    """Fit a teacher for one step, so that there is a checkpoint to make pseudo-labels with."""
    short = ("data.steps_per_epoch=1", "trainer.max_epochs=2", "trainer.threads=1", f"data.source.num_slices={cases}")
    size = ("data.image_size=128", "data.batch_size=2", "model=attunet", f"model.width={width}")
    none = ("pseudo.threshold=0.01", "ssl=teacher_student", "trainer=auto")
    parts = built(composed(folder, *none, *short, *size))
    fitting.fit(parts.trainer, parts.module, parts.data)
    return parts


def inference(trainer: pl.Trainer, module: Any, loader: Callable[[], Iterable[ValidationBatch]]) -> Callable[[], None]:
    """Return a loop that reads, predicts and keeps nothing, on the Trainer's device and in its precision.

    It has a network of its own: Lightning takes a module back to the CPU after every validation.
    """
    device = trainer.strategy.root_device
    network = copy.deepcopy(module.monitored).to(device).eval()

    @torch.inference_mode()
    def run() -> None:
        for batch in loader():
            with trainer.precision_plugin.forward_context():
                module.head.predict(network(batch.seen.image.to(device, non_blocking=True))).cpu()

    return run


def main() -> None:
    """Measure."""
    options = parser(__doc__, rounds=3, width=16, cases=160).parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        parts = parts_of(Path(folder), options.width, options.cases)
        trainer, data, module = parts.trainer, parts.data, parts.module
        writer = next(one for one in trainer.callbacks if isinstance(one, PseudoLabelWriter))  # type: ignore[attr-defined]
        validation = in_turn(
            {
                "bare inference": inference(trainer, module, data.val_dataloader),
                "validation": lambda: trainer.validate(module, datamodule=data, verbose=False),
            },
            options.rounds,
        )
        pseudo = in_turn(
            {
                "bare inference": inference(trainer, module, data.filling_loader),
                "pseudo-labels": lambda: writer.on_fit_end(trainer, module),
            },
            options.rounds,
        )
    figures = {}
    for name, cost in {"validation": validation, "pseudo": pseudo}.items():
        print()
        print_costs(cost, "bare inference")
        figures[name] = {**{key: one._asdict() for key, one in cost.items()}, "ratio": ratios(cost, "bare inference")}
    record("validation", figures)


if __name__ == "__main__":
    main()
