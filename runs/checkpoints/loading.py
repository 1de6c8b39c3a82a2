"""From a run directory or a checkpoint back to a network that predicts."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import nn

from partial_labels.case_store import CaseStore
from partial_labels.classes import ClassTable
from partial_labels.errors import InputError
from partial_labels.head import Head
from partial_labels.whole_file import whole_file
from runs.checkpoints.ledger import refuse_damaged
from runs.configuration.instantiate import build, check_saved
from runs.found import find_checkpoint

NORMALISED = "models.normalised.NormalisedNetwork"
PREFIXES = {"teacher": "teacher.network."}
"""Where a network's weights lie in a checkpoint, if not under its own name."""


class Loaded(NamedTuple):
    """What a notebook needs: ``head.predict(network(image))`` with image (B, I, H, W) in [0, 1], I channels."""

    network: nn.Module
    head: Head
    classes: ClassTable
    config: DictConfig
    checkpoint: Path


def load(path: str | Path, network: str | None = None) -> Loaded:
    """Load the network of a run, in eval mode on the CPU.

    Args:
        path: A run directory (its newest stage's ``last`` checkpoint is taken) or a checkpoint file.
        network: ``student``, or ``teacher`` where the strategy has one; by default the one that was monitored.

    Raises:
        InputError: If there is no checkpoint, it is damaged, or it does not fit its configuration.
    """
    checkpoint = find_checkpoint(Path(path))
    content = read_checkpoint(checkpoint)
    config = OmegaConf.create(content["config"])
    classes = ClassTable.from_json(content["classes"])
    weights = weights_of(content, network or str(content.get("monitored", "student")), checkpoint)
    channels = weights["mean"].numel() if "mean" in weights else 1
    try:
        head: Head = build(config.head, where="head")
        bare = build(config.model, where="model", in_channels=channels, out_channels=head.channels(len(classes)))
    except (InputError, OmegaConfBaseException) as error:
        raise InputError(f"{checkpoint}: its configuration cannot be built: {first_line(error)}") from error
    wrapped: nn.Module = build({"_target_": NORMALISED}, network=bare, channels=channels)
    broken = next((key for key, value in weights.items() if not bool(torch.isfinite(value).all())), None)
    if broken is not None:
        raise InputError(f"{checkpoint}: weight {broken} is not finite; take an earlier checkpoint, or train again")
    try:
        wrapped.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(f"{checkpoint}: does not fit its configuration: {str(error).splitlines()[-1]}") from error
    return Loaded(wrapped.eval(), head, classes, config, checkpoint)


def check_channels(loaded: Loaded, store: CaseStore) -> None:
    """Refuse data whose images have other channels than the network takes.

    Raises:
        InputError: Naming both.
    """
    wanted, found = loaded.network.channels, store.header.channels
    if wanted != found:
        raise InputError(
            f"{loaded.checkpoint}: channels of an image: {wanted} in training, {found} in {store.header.name}; "
            "read the volumes through the run's own windows (data.source.reader.window)"
        )


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint without running any code that it may hold, and refuse one that is not what was written."""
    refuse_damaged(path)
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"{path}: unreadable ({error.strerror or error}); check path and permissions") from error
    except (RuntimeError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: damaged, or no checkpoint; take another, or train again") from error
    except Exception as error:  # torch raises pickle.UnpicklingError with pages of advice
        raise InputError(f"{path}: no checkpoint of this project; give RUN/checkpoints/STAGE/last.ckpt") from error
    parts = content if isinstance(content, dict) else {}
    check_saved(parts.get("config"), str(path))
    missing = [name for name in ("classes", "config", "state_dict") if not isinstance(parts.get(name), dict)]
    if missing:
        raise InputError(
            f"{path}: no checkpoint of this project: {', '.join(missing)} is missing; "
            "give RUN/checkpoints/STAGE/last.ckpt"
        )
    return content


def weights_of(content: dict[str, Any], network: str, checkpoint: Path) -> dict[str, torch.Tensor]:
    """Return the weights of one network of a checkpoint.

    Raises:
        InputError: If it has no such network.
    """
    prefix = PREFIXES.get(network, f"{network}.")
    weights = {key[len(prefix) :]: value for key, value in content["state_dict"].items() if key.startswith(prefix)}
    if not weights:
        raise InputError(f"{checkpoint}: it has no {network}; its parts are {', '.join(parts_of(content))}")
    return weights


def parts_of(content: dict[str, Any]) -> list[str]:
    """Return the names of the module's children that have weights."""
    return sorted({key.partition(".")[0] for key in content["state_dict"]})


def first_line(error: Exception) -> str:
    """Return the first line of an error's text."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def run_directory_of(checkpoint: Path) -> Path:
    """Return the run directory of ``RUN/checkpoints/STAGE/NAME.ckpt``, or the file's folder where it lies elsewhere."""
    folder = checkpoint.resolve().parent
    return folder.parents[1] if folder.parent.name == "checkpoints" else folder


def check_size(network: Any, size: Sequence[int]) -> None:
    """Refuse slices of a size (H, W) that a network cannot take.

    Raises:
        InputError: With the sizes that it can.
    """
    try:
        network.check_size(*size)
    except ValueError as error:
        raise InputError(str(error)) from error


def write_json(path: Path, record: Any) -> None:
    """Write a JSON file in one rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
