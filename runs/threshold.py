"""Choose one threshold for all classes on folds: ``python -m runs.threshold RUN0 RUN1 RUN2 ...``.

Each checkpoint predicts the validation cases of its run once. For every threshold the Dice is measured on each fold;
the threshold that is best on the other folds is then measured on the one left out. The mean of these is what choosing
gains, and the threshold that is best on all of them is the one to use (``threshold=`` of predict.py and evaluate.py).
One threshold, never one a class: a class's own is fitted to the few slices that show it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from partial_labels.batch import HUMAN
from partial_labels.case_store import CaseStore
from partial_labels.errors import InputError, one_line
from partial_labels.head import SigmoidHead
from runs.checkpoints.loading import Loaded, run_directory_of
from runs.configuration.instantiate import build
from runs.ensembles import load_all, plain
from runs.hardware.device import find_place, settings_here

DICE = "metrics.partial_dice.PartialDice"
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 16))
Floats = NDArray[np.float64]


class Choice(NamedTuple):
    """What the folds say.

    Args:
        threshold: Best mean over all folds.
        left_out: (F,) the threshold that is best on the other folds, for each fold.
        gained: Mean over the folds of what that one gains on the fold left out, against the networks' own rule.
    """

    threshold: float
    left_out: list[float]
    gained: float


def check_folds(count: int) -> None:
    """Refuse to choose on the cases that it is then measured on.

    Raises:
        InputError: If there are fewer than two folds.
    """
    if count < 2:
        raise InputError(
            "one checkpoint is no cross-validation: give the runs of at least two folds (data.folds=5 data.fold=0)"
        )


def choose(dice: Floats, own: Floats, thresholds: Sequence[float]) -> Choice:
    """Choose by cross-validation.

    Args:
        dice: (F, T) Dice of each fold at each threshold.
        own: (F,) Dice of each fold by the networks' own rule.
        thresholds: The T thresholds.

    Raises:
        InputError: If there are fewer than two folds.
    """
    check_folds(len(dice))
    others = [np.delete(dice, fold, axis=0).mean(axis=0).argmax() for fold in range(len(dice))]
    gained = np.mean([dice[fold, best] - own[fold] for fold, best in enumerate(others)])
    return Choice(
        thresholds[int(dice.mean(axis=0).argmax())], [thresholds[int(best)] for best in others], float(gained)
    )


def measure(loaded: Loaded, thresholds: Sequence[float], monitor: str) -> tuple[Floats, float]:
    """Return the Dice of a checkpoint on its own validation cases at each threshold, and by its own rule.

    Args:
        loaded: The checkpoint.
        thresholds: In (0, 1).
        monitor: Which figure: ``dice``, ``dice_volume``, ...

    Raises:
        InputError: If the figure needs a truth that the data do not keep.
    """
    data = build(loaded.config.data, where="data")
    split = run_directory_of(loaded.checkpoint) / "split.csv"
    data.setup(**({"split_file": split} if split.exists() else {}))
    if monitor == "dice_truth" and not keeps_truth(data.opened, data.split.val):
        raise InputError(
            f"--monitor dice_truth: of the validation cases of {data.opened.header.name} no truth is kept beyond what "
            "is shown; take --monitor dice"
        )
    place = find_place(**settings_here(plain(loaded.config.trainer)))
    network = loaded.network.to(place.device, place.dtype)
    own = loaded.head if isinstance(loaded.head, SigmoidHead) else SigmoidHead()
    heads = [*(own.moved_to(one) for one in thresholds), loaded.head]
    metrics = [build({"_target_": DICE}, class_names=loaded.classes.names) for _ in heads]
    for batch in data.evaluation_loader("val"):
        with torch.inference_mode(), place.autocast():
            probs = loaded.head.probs(network(batch.seen.image.to(place.device, place.dtype))).cpu()
        for head, metric in zip(heads, metrics, strict=True):
            metric.update(head.decode(probs), batch)
    figures = np.array([float(metric.compute()[monitor]) for metric in metrics])
    return figures[:-1], float(figures[-1])


def keeps_truth(store: CaseStore, cases: NDArray[np.int64]) -> bool:
    """Whether a store knows more of these cases than it shows."""
    return store.truth is not None and bool((store.status[cases] != HUMAN).any())


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m runs.threshold", description=__doc__.split("\n\n")[0])
    parser.add_argument("checkpoint", nargs="+", help="a checkpoint file or run directory for each fold")
    parser.add_argument("--thresholds", type=float, nargs="+", default=THRESHOLDS, help="default 0.05, 0.1, ... 0.75")
    parser.add_argument("--monitor", default="dice", choices=("dice", "dice_volume", "dice_truth"), help="default dice")
    return parser.parse_args(arguments)


def report(dice: Floats, own: Floats, thresholds: Sequence[float]) -> None:
    """Print the table, and what to take from it."""
    choice = choose(dice, own, thresholds)
    print("threshold" + "".join(f"  fold {fold}" for fold in range(len(dice))) + "    mean")
    for name, values in [*zip((f"{one:g}" for one in thresholds), dice.T, strict=True), ("own rule", own)]:
        print(f"{name:>9}" + "".join(f"  {value:6.4f}" for value in values) + f"  {values.mean():6.4f}")
    print(f"best on the others, for each fold: {', '.join(f'{one:g}' for one in choice.left_out)}")
    print(f"gained on the fold left out, mean: {choice.gained:+.4f}")
    print(f"threshold={choice.threshold:g}" if choice.gained > 0 else "keep the networks' own rule")


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    options = parse(arguments)
    try:
        members = load_all(options.checkpoint, None)
        check_folds(len(members))
        measured: list[Any] = [measure(one, options.thresholds, options.monitor) for one in members]
        dice, own = (np.array(part) for part in zip(*measured, strict=True))
        report(dice, own, options.thresholds)
    except (InputError, ValueError, OSError) as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
