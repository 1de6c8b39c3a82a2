"""From checkpoints to one network that predicts: a single one, or several that are averaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from omegaconf import DictConfig, ListConfig, OmegaConf

from partial_labels.errors import InputError
from runs.checkpoints.loading import Loaded, check_size, load
from runs.configuration.instantiate import build
from runs.configuration.targets import resolve
from runs.found import find_checkpoints

ENSEMBLE, MEMBER = "inference.ensemble.Ensemble", "inference.ensemble.Member"
GRID = "datamodules.stored_grid.StoredGrid"
VOLUMES = "datamodules.sources.labeled_volumes.LabeledVolumes"


class Inference(NamedTuple):
    """How networks are made to answer, besides their own rule.

    Args:
        tta: Node of the test-time views; None for none.
        threshold: Least probability of a class; None for the networks' own rule.
        peak: Probability that one pixel of an image must reach for its class to be drawn there; None likewise.
        postprocess: Node of what is done to label maps; None for nothing.
    """

    tta: DictConfig | None = None
    threshold: float | None = None
    peak: float | None = None
    postprocess: DictConfig | None = None

    def suffix(self, others: int) -> str:
        """Name what differs from one network's own answer, for a folder of its own; empty where nothing does."""
        words = [f"and_{others}_more"] if others else []
        words += [] if self.threshold is None else [f"threshold_{self.threshold:g}"]
        words += [] if self.peak is None else [f"peak_{self.peak:g}"]
        words += [] if self.views() is None else ["tta"]
        words += [] if self.cleaning() is None else ["postprocessed"]
        return "".join(f"_{word}" for word in words)

    def views(self) -> Any:
        """Build the views; None where there is but one."""
        built = None if self.tta is None else build(self.tta, where="tta")
        return built if built is not None and len(built) > 1 else None

    def cleaning(self) -> Any:
        """Build the post-processing; None where it would do nothing."""
        built = None if self.postprocess is None else build(self.postprocess, where="postprocess")
        return None if built is None or built.idle else built


def load_all(checkpoint: Any, network: str | None) -> list[Loaded]:
    """Load one checkpoint, or each of a list.

    Raises:
        InputError: If the list is empty, or one of them cannot be loaded.
    """
    return [load(path, network) for path in find_checkpoints(checkpoint)]


def load_for(
    checkpoint: Any, network: str | None, size: tuple[int, int], inference: Inference
) -> tuple[Loaded, Callable[..., Any] | None]:
    """Load what an evaluation measures: one network as it is, or an ensemble that stands for one.

    Args:
        checkpoint: One, or a list.
        network: ``student``, ``teacher`` or None.
        size: That of the slices to measure on; a single network sees them as they are.
        inference: Threshold, peak, views and post-processing.

    Returns:
        The network, and the post-processing.
    """
    members = load_all(checkpoint, network)
    cleaning = inference.cleaning()
    if cleaning is not None and cleaning.per == "volume":
        raise InputError("postprocess.per=volume: an evaluation looks at slices; set postprocess.per=slice")
    loaded = members[0]
    as_it_is = inference.threshold is None and inference.peak is None and inference.views() is None
    if len(members) > 1 or not as_it_is:
        ensemble = join(members, inference, image_size=size if len(members) == 1 else None)
        loaded = loaded._replace(network=ensemble.eval(), head=ensemble.head, classes=ensemble.classes)
    if cleaning is not None:
        cleaning.check(loaded.classes)
    return loaded, cleaning


def join(members: Sequence[Loaded], inference: Inference, image_size: Any = None) -> Any:
    """Return the ensemble of loaded networks; one of them is an ensemble, too.

    Args:
        members: The loaded networks.
        inference: Threshold, peak and views.
        image_size: Size at which every network sees slices; None for the one that each was trained at.

    Raises:
        InputError: If a network cannot take the size, the classes have nothing in common, or mirrors are wanted where
            the axis is not known.
    """
    return build(
        {"_target_": ENSEMBLE},
        members=[member_of(one, image_size) for one in members],
        views=inference.views(),
        threshold=inference.threshold,
        peak=inference.peak,
    )


def member_of(loaded: Loaded, image_size: Any) -> Any:
    """Return a network with what its run says of the slices that it saw.

    Raises:
        InputError: If it cannot take the size.
    """
    data = plain(loaded.config.data)
    size = sides(data["image_size"] if image_size is None else image_size)
    try:
        check_size(loaded.network, size)
    except InputError as error:
        text = str(error).replace("data.image_size", "image_size")
        raise InputError(f"{loaded.checkpoint}: {text}") from error
    spacing = data.get("spacing_mm")
    grid = build({"_target_": GRID}, size=size, fit=data["fit"], spacing_mm=None if spacing is None else sides(spacing))
    parts = {"network": loaded.network, "head": loaded.head, "classes": loaded.classes, "grid": grid}
    channels = loaded.network.channels
    return build({"_target_": MEMBER}, **parts, left_right_axis=axis_of(data["source"]), channels=channels)


def axis_of(source: dict[str, Any]) -> str:
    """Return the array axis along which left and right lie in a source's slices, as its node or its class says.

    Of joined sets it is the one that all have, else ``none``, as in their store.
    """
    if sets := source.get("sources"):
        reader = {"reader": source.get("reader")}
        axes = {axis_of(reader | one if reads_volumes(one) else one) for one in sets.values()}
        return axes.pop() if len(axes) == 1 else "none"
    if source.get("reader"):
        return str(build(source["reader"], where="data.source.reader").left_right_axis)
    target = resolve(source["_target_"], "data.source")
    return str(source.get("left_right_axis") or getattr(target, "left_right_axis", "none"))


def reads_volumes(source: dict[str, Any]) -> bool:
    """Tell whether a source reads volumes, or a set that it joins does; joined slices have a reader, too."""
    if sets := source.get("sources"):
        return any(reads_volumes(one) for one in sets.values())
    target = resolve(source["_target_"], "data.source")
    volumes: Any = resolve(VOLUMES, "data.source")
    return bool(source.get("reader")) or (isinstance(target, type) and issubclass(target, volumes))


def reader_of(members: Sequence[Loaded], given: DictConfig | None) -> Any:
    """Return what reads volumes as the training data were read.

    Raises:
        InputError: If nothing says how, or the networks saw volumes in different ways.
    """
    if given is not None:
        return build(given, where="reader")
    sources = [plain(one.config.data)["source"] for one in members]
    nodes: list[Any] = [source.get("reader") if reads_volumes(source) else None for source in sources]
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
