"""Where a network runs and in which precision. Imports no Lightning, which takes four seconds of a prediction."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, NamedTuple

import torch

from partial_labels.errors import InputError

log = logging.getLogger(__name__)

PRECISIONS = ("32-true", "16-mixed", "bf16-mixed", "64-true")


def resolve_precision(precision: str, on_gpu: bool) -> str:
    """Return the precision to use.

    Raises:
        InputError: If there is no such precision, or it needs a GPU.
    """
    if precision == "16-mixed" and not on_gpu:
        raise InputError("trainer.precision=16-mixed: half precision needs a GPU; choose 32-true or bf16-mixed")
    if precision == "bf16-mixed" and on_gpu and torch.cuda.get_device_capability() < (8, 0):
        log.warning("trainer.precision=bf16-mixed: this card has to imitate bfloat16; 16-mixed is faster")
    if precision in PRECISIONS:
        return precision
    if precision != "auto":
        raise InputError(f"trainer.precision={precision}: choose auto or one of {', '.join(PRECISIONS)}")
    if not on_gpu:
        return "32-true"
    return "bf16-mixed" if torch.cuda.get_device_capability() >= (8, 0) else "16-mixed"


def check_gpu() -> None:
    """Refuse a card that this build of torch cannot compute on, although it says it is available.

    Raises:
        InputError: With what to install.
    """
    if not torch.cuda.is_available():
        raise InputError("trainer.accelerator=gpu: torch sees no GPU; use trainer=cpu or install a CUDA build of torch")
    card, compiled = torch.cuda.get_device_capability(), torch.cuda.get_arch_list()
    if not compiled or any(runs_on(card, name) for name in compiled):
        return
    older = card < min(found[1:] for name in compiled if (found := read_architecture(name)) is not None)
    build = "its cu126 build, which knows older cards" if older else "a newer build of it"
    raise InputError(
        f"{torch.cuda.get_device_name()} is sm_{card[0]}{card[1]}, and this torch has code for {', '.join(compiled)}: "
        f"install {build}, or use trainer=cpu"
    )


def read_architecture(name: str) -> tuple[str, int, int] | None:
    """Take ``sm_90`` or ``compute_90`` apart, in kind, major and minor number; None for what only one card runs."""
    found = re.fullmatch(r"(sm|compute)_(\d+)(\d)", name)
    return (found[1], int(found[2]), int(found[3])) if found else None


def runs_on(card: tuple[int, int], name: str) -> bool:
    """Tell whether a card runs code of an architecture: machine code of its own major number, or PTX of any before."""
    found = read_architecture(name)
    if found is None:  # sm_90a: of that very card
        return name.rstrip("af") == f"sm_{card[0]}{card[1]}"
    kind, major, minor = found
    return (major, minor) <= card and (kind == "compute" or major == card[0])


def device_name(on_gpu: bool) -> str:
    """Return the device in words."""
    return str(torch.cuda.get_device_name()) if on_gpu else f"CPU ({torch.get_num_threads()} threads)"


class Place(NamedTuple):
    """Where a network computes, without a Trainer.

    Args:
        device: The device.
        autocast: Makes the context that gives the precision.
        dtype: Type of the network's weights.
    """

    device: torch.device
    autocast: Callable[[], AbstractContextManager[object]]
    dtype: torch.dtype


def settings_here(trainer: Mapping[str, Any], **asked: Any) -> dict[str, Any]:
    """Return a run's accelerator, precision and threads as far as this machine has them: without a GPU the CPU's own.

    Args:
        trainer: The run's ``trainer`` settings.
        asked: What is asked for instead; None for the run's.
    """
    settings = {"accelerator": trainer.get("accelerator", "auto"), "precision": trainer.get("precision", "auto")}
    if not torch.cuda.is_available() and settings["accelerator"] != "cpu":
        settings = {"accelerator": "cpu", "precision": "auto"}
    settings["threads"] = trainer.get("threads")
    return settings | {key: value for key, value in asked.items() if value is not None}


def find_place(accelerator: str, precision: str, threads: int | None) -> Place:
    """Return where and in which precision to compute, as a Trainer of these settings would, and log it.

    A run's GPU that this machine does not have is replaced by the CPU in its own precision.

    Raises:
        InputError: See :func:`resolve_precision` and :func:`check_gpu`.
    """
    on_gpu = accelerator in ("auto", "gpu") and torch.cuda.is_available()
    if on_gpu:
        check_gpu()
    if threads is not None:
        torch.set_num_threads(threads)
    resolved = resolve_precision(precision, on_gpu)
    log.info("device %s, precision %s", device_name(on_gpu), resolved)
    device = torch.device("cuda" if on_gpu else "cpu")
    dtype = torch.float64 if resolved == "64-true" else torch.float32
    half = {"16-mixed": torch.float16, "bf16-mixed": torch.bfloat16}.get(resolved)
    autocast = partial(torch.autocast, device.type, half) if half else nullcontext
    return Place(device, autocast, dtype)
