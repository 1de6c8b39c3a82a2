"""A trained network as one program that runs without this project: intensities in, label map out."""

from __future__ import annotations

import hashlib
import importlib
import logging
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float, UInt8
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from conf.schema import ExportConfig
from partial_labels.errors import InputError
from partial_labels.head import Head
from runs.checkpoints.loading import Loaded, check_channels, check_size, load, write_json
from runs.configuration.instantiate import build, check, check_extra_keys
from runs.ensembles import plain
from runs.stages.fitting import GIVEN

log = logging.getLogger(__name__)

FORMATS = {"pt2": (), "onnx": ("onnx", "onnxscript", "onnxruntime")}
"""What can be written, and the libraries that each needs besides torch."""
AGREEMENT = 0.999
"""Least share of pixels in which a program must give the run's own prediction."""
BATCH = 4
"""Slices a call while checking."""
TALKATIVE = ("torch.onnx._internal.exporter._registration", "onnxscript", "onnx_ir")
COLOURED = re.compile(r"\x1b\[[0-9;]*m")
Runner = Callable[[Tensor], Tensor]


@final
class SlicesToLabels(nn.Module):
    """Normalisation, network and decoding as one module: what is exported.

    Args:
        network: A network with its normalisation.
        head: Its head.
    """

    def __init__(self, network: nn.Module, head: Head) -> None:
        super().__init__()
        self.network, self.head = network, head

    def forward(self, image: Float[Tensor, "B I H W"]) -> UInt8[Tensor, "B H W"]:
        """Return the label map of intensities in [0, 1]."""
        return self.head.predict(self.network(image))


def export_command(cfg: DictConfig) -> Path:
    """Write ``network.pt2``, ``network.onnx`` and ``network.json``, each program checked on real slices.

    The folder is renamed into place once every program agrees with the run's own prediction, so a program that is
    there is right.

    Returns:
        The folder.

    Raises:
        InputError: If the network cannot be exported, a library is missing, or a program disagrees.
    """
    check_extra_keys(cfg, ExportConfig)
    check(cfg, given=GIVEN)
    check_request(cfg)
    content = load(cfg.checkpoint, cfg.network)
    data = build(content.config.data if cfg.data is None else cfg.data, where="data")
    check_channels(content, data.opened)
    images = real_slices(data, cfg.slices)
    module = SlicesToLabels(content.network, content.head).eval()
    check_size(content.network, images.shape[2:])
    expected = labels_of(module, images)
    program = traced(module, images[:2])
    with whole_folder(Path(cfg.output)) as folder:
        agreement = {}
        for name in cfg.formats:
            path = folder / f"network.{name}"
            written = write_pt2(program, path) if name == "pt2" else write_onnx(program, path)
            agreement[name] = agreed(name, labels_of(written, images), expected)
        write_json(folder / "network.json", description(content, data, images, expected, agreement))
    return Path(cfg.output)


def check_request(cfg: DictConfig) -> None:
    """Refuse unknown formats, missing libraries and folders that hold something, before anything is computed."""
    if cfg.slices < 2:
        raise InputError(f"slices={cfg.slices}: must be 2 or more")
    if not cfg.formats:
        raise InputError(f"formats is empty: choose from {', '.join(FORMATS)}")
    for name in cfg.formats:
        if name not in FORMATS:
            raise InputError(f"formats={name}: choose from {', '.join(FORMATS)}")
        for library in FORMATS[name]:
            try:
                importlib.import_module(library)
            except ImportError as error:
                raise InputError(
                    f"formats={name}: {library} is not installed; pip install 'partialseg[export]', or formats=[pt2]"
                ) from error
    output = Path(cfg.output)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise InputError(f"output={output}: something lies there; name a new folder")


def real_slices(data: Any, count: int) -> Float[Tensor, "N I H W"]:
    """Return images at even steps through all cases of a data set; of a smaller set, all."""
    batches = data.evaluation_loader("all").dataset
    chosen = np.unique(np.linspace(0, len(data.opened) - 1, min(count, len(data.opened))).round().astype(int))
    sizes = np.array([len(ids) for ids in batches.batches])
    which = np.searchsorted(sizes.cumsum(), chosen, side="right")
    places = chosen - (sizes.cumsum() - sizes)[which]
    return torch.cat([batches[int(b)].seen.image[places[which == b]] for b in np.unique(which)])


def traced(module: SlicesToLabels, image: Float[Tensor, "B I H W"]) -> ExportedProgram:
    """Return the module as a program for any number of images of this size.

    Raises:
        InputError: If torch cannot follow the network's code.
    """
    try:
        with torch.no_grad(), quiet_torch():
            return torch.export.export(module, (image,), dynamic_shapes={"image": {0: Dim("batch")}})
    except Exception as error:  # torch raises many kinds here, most of them not public
        name = type(module.network.network).__name__.lower()
        raise InputError(f"model {name}: torch.export cannot follow it: {reason(error)}") from error


def write_pt2(program: ExportedProgram, path: Path) -> Runner:
    """Write the program as torch's own file, and return what that file computes."""
    with quiet_torch():
        torch.export.save(program, path)
        module: Runner = torch.export.load(path).module()
    return module


def write_onnx(program: ExportedProgram, path: Path) -> Runner:
    """Write the program as ONNX, and return what ONNX Runtime computes from that file on the CPU.

    Raises:
        InputError: If an operator of the network does not exist in ONNX.
    """
    import onnxruntime

    try:
        with quiet_torch():
            converted = torch.onnx.export(
                program, dynamo=True, verbose=False, input_names=["image"], output_names=["label"]
            )
            assert converted is not None
            for value in (*converted.model.graph.inputs, *converted.model.graph.outputs):
                value.shape[0] = "batch"  # type: ignore[index]
            converted.save(path)
    except Exception as error:  # as above
        raise InputError(f"formats=onnx: ONNX cannot hold this network: {reason(error)}; formats=[pt2]") from error
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda image: torch.from_numpy(session.run(["label"], {"image": image.numpy()})[0])


def reason(error: BaseException) -> str:
    """Return the first line of what an exporter's error was caused by, which says more than its own page of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = COLOURED.sub("", str(error)).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")


def labels_of(runner: Runner, images: Float[Tensor, "N I H W"]) -> UInt8[Tensor, "N H W"]:
    """Return the label maps of all images, a few at a time."""
    with torch.no_grad():
        return torch.cat([runner(part) for part in images.split(BATCH)])


def agreed(name: str, found: UInt8[Tensor, "N H W"], expected: UInt8[Tensor, "N H W"]) -> float:
    """Return the share of equal pixels.

    Raises:
        InputError: If it is too low.
    """
    share = float((found == expected).double().mean())
    log.info("%s: %.4f %% of the pixels of %d slices as the run predicts them", name, 100 * share, len(expected))
    if share < AGREEMENT:
        raise InputError(
            f"formats={name}: only {share:.2%} of the pixels agree with the run's own prediction, "
            f"{AGREEMENT:.1%} are asked for; nothing was written"
        )
    return share


def description(
    content: Loaded, data: Any, images: Tensor, expected: UInt8[Tensor, "N H W"], agreement: dict[str, float]
) -> dict[str, Any]:
    """Return what one has to know to use the programs: input, output, class names, and how they were checked."""
    channels, height, width = images.shape[1:]
    return {
        "classes": list(content.classes.names),
        "left_right_pairs": [list(pair) for pair in content.classes.pairs],
        "input": {"name": "image", "shape": ["batch", channels, height, width], "dtype": "float32", "range": [0, 1]},
        "windows": windows_of(content),
        "output": {"name": "label", "shape": ["batch", height, width], "dtype": "uint8", "meaning": "class id"},
        "spacing_mm": data.opened.header.spacing_mm,
        "fit": data.opened.header.fit,
        "check": {
            "data": data.opened.header.name,
            "slices": len(images),
            "foreground_pixels": int((expected > 0).sum()),
            "equal_pixels": agreement,
        },
        "checkpoint": {
            "name": content.checkpoint.name,
            "sha256": hashlib.sha256(content.checkpoint.read_bytes()).hexdigest(),
        },
        "torch": torch.__version__,
    }


def windows_of(content: Loaded) -> list[list[float]] | None:
    """Return the grey values that become 0 and 1 in each channel; None where the run's data do not say them."""
    reader = plain(content.config.data)["source"].get("reader")
    windows = build(reader, where="data.source.reader").windows if reader else ()
    return [list(window) for window in windows] or None


@contextmanager
def whole_folder(place: Path) -> Iterator[Path]:
    """Yield a folder that takes its place when the block ends, and vanishes if the block fails."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{place.name}.", dir=place.parent) as scratch:
        folder = Path(scratch) / "export"
        folder.mkdir()
        yield folder
        if place.exists():
            place.rmdir()  # empty, as was asked before
        shutil.move(folder, place)


@contextmanager
def quiet_torch() -> Iterator[None]:
    """Leave out what the exporters say of their own code, and of libraries that are not used."""
    loggers = {logging.getLogger(name) for name in TALKATIVE}
    levels = {logger: logger.level for logger in loggers}
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
        warnings.filterwarnings("ignore", message="No complete tensor found", category=UserWarning)
        try:
            yield
        finally:
            for logger, level in levels.items():
                logger.setLevel(level)
