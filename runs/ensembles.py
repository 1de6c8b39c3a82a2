"""From checkpoints to one network that predicts: a single one, or several that are averaged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from partial_labels.errors import InputError
from runs.instantiate import build
from runs.loading import Loaded, load
from runs.targets import resolve

ENSEMBLE, MEMBER = "inference.ensemble.Ensemble", "inference.ensemble.Member"
GRID, READER = "datamodules.fit.StoredGrid", "datamodules.sources.volume.VolumeReader"


def load_all(checkpoint: Any, network: str | None) -> list[Loaded]:
    """Load one checkpoint, or each of a list.

    Raises:
        InputError: If the list is empty, or one of them cannot be loaded.
    """
    paths = list(checkpoint) if isinstance(checkpoint, (list, tuple, ListConfig)) else [checkpoint]
    if not paths or not all(isinstance(path, str) and path for path in paths):
        raise InputError(f"checkpoint={checkpoint}: name a checkpoint, or several as [a,b]")
    return [load(path, network) for path in paths]


def join(
    members: Sequence[Loaded],
    tta: DictConfig | None = None,
    threshold: float | None = None,
    image_size: Any = None,
) -> Any:
    """Return the ensemble of loaded networks; one of them is an ensemble, too.

    Args:
        members: The loaded networks.
        tta: Node of the test-time views; None for none.
        threshold: Least probability of a class; None for the networks' own rule.
        image_size: Size at which every network sees slices; None for the one that each was trained at.

    Raises:
        InputError: If a network cannot take the size, the classes have nothing in common, or mirrors are wanted where
            the axis is not known.
    """
    views = None if tta is None else build(tta, where="tta")
    return build(
        {"_target_": ENSEMBLE},
        members=[member_of(one, image_size) for one in members],
        views=views if views is not None and len(views) > 1 else None,
        threshold=threshold,
    )


def member_of(loaded: Loaded, image_size: Any) -> Any:
    """Return a network with what its run says of the slices that it saw.

    Raises:
        InputError: If it cannot take the size.
    """
    data = plain(loaded.config.data)
    size = sides(data["image_size"] if image_size is None else image_size)
    try:
        loaded.network.check_size(*size)  # type: ignore[operator]
    except ValueError as error:
        text = str(error).replace("data.image_size", "image_size")
        raise InputError(f"{loaded.checkpoint}: {text}") from error
    spacing = data.get("spacing_mm")
    grid = build({"_target_": GRID}, size=size, fit=data["fit"], spacing_mm=None if spacing is None else sides(spacing))
    parts = {"network": loaded.network, "head": loaded.head, "classes": loaded.classes, "grid": grid}
    return build({"_target_": MEMBER}, **parts, left_right_axis=axis_of(data["source"]))


def axis_of(source: dict[str, Any]) -> str:
    """Return the array axis along which left and right lie in a source's slices, as its node or its class says."""
    if source.get("reader"):
        return str(build(source["reader"], where="data.source.reader").left_right_axis)
    target = resolve(source["_target_"], "data.source")
    return str(source.get("left_right_axis") or getattr(target, "left_right_axis", "none"))


def reader_of(members: Sequence[Loaded], given: DictConfig | None) -> Any:
    """Return what reads volumes as the training data were read.

    Raises:
        InputError: If nothing says how, or the networks saw volumes in different ways.
    """
    if given is not None:
        return build(given, where="reader")
    nodes = [plain(one.config.data)["source"].get("reader") for one in members]
    if None in nodes:
        raise InputError(
            f"{members[nodes.index(None)].checkpoint}: it was trained on slices, not volumes; say how to read volumes: "
            "reader=volume reader.window=[LOW,HIGH] reader.orientation=..."
        )
    other = next((number for number, node in enumerate(nodes) if node != nodes[0]), None)
    if other is not None:
        raise InputError(
            f"{members[0].checkpoint} and {members[other].checkpoint} were trained on volumes read in different ways; "
            "choose one with reader=volume reader.window=[LOW,HIGH] reader.orientation=..."
        )
    return build(nodes[0], where="reader")


def sides(value: Any) -> tuple[Any, Any]:
    """Return one number twice, or two."""
    pair = list(value) if isinstance(value, (list, tuple, ListConfig)) else [value, value]
    if len(pair) != 2 or not all(isinstance(side, (int, float)) and side > 0 for side in pair):
        raise InputError(f"image_size={value}: give one positive number, or [height,width]")
    return pair[0], pair[1]


def plain(node: DictConfig) -> dict[str, Any]:
    """Return a node as a dict."""
    container: Any = OmegaConf.to_container(node, resolve=True)
    return dict(container)
