"""Initial weights from another run: taken by the names of weights, and in output layers by the names of classes."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from omegaconf import OmegaConf
from torch import Tensor

from conf.schema import Init
from partial_labels.classes import ClassTable
from partial_labels.errors import InputError
from partial_labels.head import Head
from runs.checkpoints.loading import read_checkpoint, weights_of
from runs.configuration.instantiate import build
from runs.found import find_checkpoint

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Logits:
    """Which logit is whose.

    Args:
        classes: The class table.
        background: Whether the background has a logit of its own, as under a softmax: then row i is class i, and else
            row i - 1.
    """

    classes: ClassTable
    background: bool

    @classmethod
    def of(cls, head: Head, classes: ClassTable) -> Logits:
        """Return what a head makes of a class table."""
        return cls(classes, head.channels(len(classes)) == len(classes))

    @property
    def count(self) -> int:
        """Number of logits."""
        return len(self.classes) - (not self.background)

    def same_as(self, other: Logits) -> bool:
        """Whether every logit means the same in both."""
        mine, its = ([name.casefold() for name in one.classes.names] for one in (self, other))
        return mine == its and self.background == other.background

    def odds(self, rows: Tensor) -> Tensor:
        """Return the rows of an output layer that give each class's logit against the background, (C - 1, ...)."""
        return rows[1:] - rows[:1] if self.background else rows


class Outcome(NamedTuple):
    """What became of one weight: ``matched``, ``remapped`` or ``left``."""

    name: str
    kind: str
    reason: str = ""


def begin_from(init: Init, module: Any) -> None:
    """Give a module's student the weights of another run's checkpoint, where one is named, and log what became of each.

    The normalisation of images comes along: the weights were learnt behind it.

    Args:
        init: Which checkpoint, which of its networks, and whether everything must agree.
        module: The module of a stage, with a fresh student.

    Raises:
        InputError: If the checkpoint cannot be read, nothing of it fits, or with ``init.strict`` anything does not.
    """
    if init.checkpoint is None:
        return
    path = find_checkpoint(Path(init.checkpoint))
    content = read_checkpoint(path)
    config = OmegaConf.create(content["config"])
    given = weights_of(content, init.network or str(content["monitored"]), path)
    there = Logits.of(build(config.head, where="head"), ClassTable.from_json(content["classes"]))
    here = Logits.of(module.head, module.classes)
    outcomes = transfer(module.student, given, here, there)
    refuse(outcomes, f"init.checkpoint={init.checkpoint}", f"{config.model._target_}", init.strict)
    log.info("initial weights from %s: %s", path, table(outcomes, here, there))


@torch.no_grad()
def transfer(student: Any, given: Mapping[str, Tensor], here: Logits, there: Logits) -> list[Outcome]:
    """Copy weights of the same name and shape, and rows of output layers by class.

    Args:
        student: A network behind its normalisation.
        given: Weights of another, by name.
        here: What the student's logits mean.
        there: What the other's do.

    Returns:
        One outcome for each weight of the student and each that it has no place for.
    """
    outputs = {f"network.{name}" for name in student.network.output_parameters}
    own: dict[str, Tensor] = student.state_dict()
    outcomes = []
    for name, tensor in own.items():
        value = given.get(name)
        if value is None:
            outcomes.append(Outcome(name, "left", "the checkpoint does not have it"))
        elif name in outputs and not here.same_as(there) and len(value) == there.count:
            remapped = rows_by_class(tensor, value, here, there)
            outcomes.append(_put(name, tensor, remapped, "remapped", _shapes(value, tensor)))
        else:
            outcomes.append(_put(name, tensor, value, "matched"))
    return outcomes + [Outcome(name, "left", "this network does not have it") for name in given if name not in own]


def rows_by_class(fresh: Tensor, given: Tensor, here: Logits, there: Logits) -> Tensor:
    """Return an output layer's weight or bias with the rows of the classes that both know, and the others' fresh.

    What is carried over is a class's logit against the background: that is a sigmoid's logit, and under a softmax the
    difference to the background's. So the heads may differ: where both know the same classes, every pixel is decoded
    as before (a sigmoid's threshold being one half), and a class new to the network begins as rare as in a fresh one.

    Args:
        fresh: Of the network here, (K, ...).
        given: Of the other network, with as many inputs; else it is returned as it is.
        here: What the rows of ``fresh`` mean.
        there: What those of ``given`` do.
    """
    if fresh.shape[1:] != given.shape[1:]:
        return given
    odds, known = here.odds(fresh).clone(), there.odds(given)
    for ours, theirs in here.classes.match(there.classes).items():
        if ours and theirs:
            odds[ours - 1] = known[theirs - 1]
    if not here.background:
        return odds
    background = given[:1] if there.background else fresh[:1]
    return torch.cat([background, background + odds])


def refuse(outcomes: list[Outcome], where: str, model: str, strict: bool) -> None:
    """Refuse a checkpoint of which nothing fits, or with ``strict`` one that does not fit in everything.

    Raises:
        InputError: Naming the first weight that does not.
    """
    left = [one for one in outcomes if one.kind == "left"]
    if len(outcomes) - len(left) <= 2:  # mean and deviation of the normalisation, which every network has
        raise InputError(f"{where}: holds a {model}, of which no weight fits this network")
    if strict and left:
        more = f", and {len(left) - 1} more" if len(left) > 1 else ""
        raise InputError(
            f"{where}: {left[0].name}: {left[0].reason}{more} (it holds a {model}); init.strict=false takes what agrees"
        )


def table(outcomes: list[Outcome], here: Logits, there: Logits) -> str:
    """Return how many weights were matched, remapped and left, each that was not simply matched, and the classes."""
    counts = Counter(one.kind for one in outcomes)
    lines = [", ".join(f"{counts[kind]} {kind}" for kind in ("matched", "remapped", "left"))]
    lines += [f"  {one.kind:<8} {one.name}: {one.reason}" for one in outcomes if one.kind != "matched"]
    if counts["remapped"]:
        both = here.classes.match(there.classes)
        dropped = [name for i, name in enumerate(there.classes.names) if i not in both.values()]
        lines += [
            f"  classes  {what}: {', '.join(names) or 'none'}"
            for what, names in (
                ("taken", [name for i, name in enumerate(here.classes.names) if i and i in both]),
                ("fresh", [name for i, name in enumerate(here.classes.names) if i not in both]),
                ("dropped", dropped),
            )
        ]
    return "\n".join(lines)


def _put(name: str, tensor: Tensor, value: Tensor, kind: str, reason: str = "") -> Outcome:
    """Copy a value of the same shape; another one stays out."""
    if value.shape != tensor.shape:
        return Outcome(name, "left", _shapes(value, tensor))
    tensor.copy_(value)
    return Outcome(name, kind, reason)


def _shapes(there: Tensor, here: Tensor) -> str:
    return " there, ".join(" x ".join(map(str, one.shape)) or "one number" for one in (there, here)) + " here"
