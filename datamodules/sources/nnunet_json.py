"""Read and check the ``dataset.json`` of an nnU-Net raw data set."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from partial_labels.batch import IGNORE
from partial_labels.errors import InputError

WANTED = '{"background": 0, "liver": 1, ...}'


@dataclass(frozen=True)
class NnunetJson:
    """What a ``dataset.json`` says.

    Args:
        names: Names of classes 1, 2, ... here, in the order of their ids there.
        ids: What each id in the label maps is called here: a class, or ``IGNORE``.
        channels: How many channels an image has.
        num_training: How many training cases it announces; None where it says nothing.
    """

    names: tuple[str, ...]
    ids: Mapping[int, int]
    channels: int
    num_training: int | None


def read_nnunet_json(path: Path) -> NnunetJson:
    """Read a ``dataset.json`` of either version.

    A region, a class of several ids, becomes one class: its ids are merged. That is a label map only where no id is
    in two regions.

    Raises:
        InputError: If it is missing or ill-formed, names another file format, or its regions overlap.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8-sig"))
        labels = _by_name(record["labels"])
        channels = record.get("channel_names") or record["modality"]
        ending, announced = record.get("file_ending", ".nii.gz"), record.get("numTraining")
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing; data.root must be a folder of nnUNet_raw, as Dataset001_Name") from error
    except KeyError as error:
        raise InputError(
            f"{path}: no {error.args[0]!r}; an nnU-Net dataset.json has labels and channel_names"
        ) from error
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: not readable ({error}); labels are written as {WANTED}") from error
    if ending not in (".nii.gz", ".nii"):
        raise InputError(f"{path}: file_ending {ending!r}; convert the images to .nii.gz")
    if labels.pop("background", (0,)) != (0,):
        raise InputError(f"{path}: the background is not 0; labels are written as {WANTED}")
    ignored = labels.pop("ignore", ())
    _refuse_overlaps(path, labels | {"ignore": ignored})
    ordered = sorted(labels.items(), key=lambda item: min(item[1]))
    ids = {index: number for number, (_, members) in enumerate(ordered, start=1) for index in members}
    ids |= dict.fromkeys(ignored, IGNORE)
    if not ordered or not 0 < min(ids) <= max(ids) < 256:
        raise InputError(f"{path}: its labels leave no class, or have an id outside 1 to 255; write {WANTED}")
    return NnunetJson(tuple(name for name, _ in ordered), ids, len(channels), announced)


def _by_name(labels: Any) -> dict[str, tuple[int, ...]]:
    """Return ids by name, from ``{"liver": 1, "kidney": [2, 3]}`` or the older ``{"1": "liver"}``."""
    older = all(str(key).isdecimal() for key in labels)
    pairs = [(str(name), int(key)) for key, name in labels.items()] if older else [*labels.items()]
    found = {str(name): tuple(map(int, ids)) if isinstance(ids, list) else (int(ids),) for name, ids in pairs}
    if len(found) < len(pairs) or not all(found.values()):
        raise ValueError("a name that stands there twice, or a region without ids")
    return found


def _refuse_overlaps(path: Path, labels: Mapping[str, tuple[int, ...]]) -> None:
    for (one, ours), (other, theirs) in combinations(labels.items(), 2):
        shared = sorted(set(ours) & set(theirs))
        if shared:
            raise InputError(
                f"{path}: {one!r} and {other!r} share the id {shared[0]}, so a pixel could be of two classes, which "
                "one label map cannot say; list each id in one class only"
            )
