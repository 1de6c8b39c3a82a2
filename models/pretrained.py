"""Folders of pretrained weights, as the Hugging Face hub lays them out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

INSTALL = "needs the package transformers: pip install -e '.[backbones]'"
FILES = ("config.json", "preprocessor_config.json", "*.safetensors", "*.safetensors.index.json")
NEEDED = "config.json, preprocessor_config.json and model.safetensors"


def library() -> Any:
    """Return the package ``transformers``, which takes seconds to import and is not installed by default.

    Raises:
        ValueError: If it is missing.
    """
    try:
        import transformers
    except ModuleNotFoundError as error:
        raise ValueError(f"model.backbone: {INSTALL}") from error
    return transformers


def is_kind(name: str) -> bool:
    """Tell whether a name is that of an architecture (``resnet``, ``swin``) and not of weights."""
    return not Path(name).is_dir() and name in library().CONFIG_MAPPING


def folder_of(name: str) -> Path:
    """Return the folder that holds the files of a name.

    What was downloaded before is taken without asking the hub again, so that a run does not depend on the network.

    Args:
        name: A folder, or a name on the hub (``microsoft/resnet-50``).

    Raises:
        ValueError: If the files are neither here nor within reach.
    """
    if Path(name).is_dir():
        return Path(name)
    library()
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    with suppress(LocalEntryNotFoundError, ValueError):
        folder = Path(snapshot_download(name, allow_patterns=FILES, local_files_only=True))
        if any(folder.glob("*.safetensors")):
            return folder
    try:
        return Path(snapshot_download(name, allow_patterns=FILES))
    except (OSError, ValueError, HfHubHTTPError) as error:
        raise ValueError(
            f"model.backbone={name}: no folder, and not to be had from the hub ({type(error).__name__}); put its "
            f"{NEEDED} into a folder and name that, or copy a filled hub cache to {constants.HF_HUB_CACHE}"
        ) from error


def configuration(name: str, changes: Mapping[str, Any]) -> Any:
    """Return the configuration of a backbone, with changes to it.

    Args:
        name: A folder, a name on the hub, or the name of an architecture.
        changes: Values to replace.

    Raises:
        ValueError: If there is none, or it is refused.
    """
    transformers = library()
    try:
        if is_kind(name):
            config = transformers.AutoConfig.for_model(name, **changes)
            # some architectures take lists only, and have tuples for defaults: go the way that a file would
            return type(config).from_dict(json.loads(config.to_json_string(use_diff=False)))
        return transformers.AutoConfig.from_pretrained(folder_of(name), **changes)
    except (OSError, TypeError, ValueError) as error:
        if str(error).startswith("model.backbone"):
            raise
        raise ValueError(f"model.backbone={name}: no usable config.json: {first_line(error)}") from error


def statistics_of(name: str) -> tuple[list[float], list[float]]:
    """Return by what mean and standard deviation a checkpoint's images were normalised, in [0, 1], one each channel.

    Raises:
        ValueError: If the checkpoint does not say it.
    """
    path = folder_of(name) / "preprocessor_config.json"
    try:
        processor = json.loads(path.read_text(encoding="utf-8"))
        if not processor.get("do_normalize", True):
            return [0.0], [1.0]
        # the processor normalises pixel x factor, with pixels from 0 to 255; ours go from 0 to 1
        scale = 255 * processor.get("rescale_factor", 1 / 255) if processor.get("do_rescale", True) else 255
        mean, std = ([float(value) / scale for value in processor[key]] for key in ("image_mean", "image_std"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: does not say how images are normalised; put the checkpoint's own there") from error
    return mean, std


def load(kind: Any, name: str, config: Any) -> Any:
    """Return a model of class ``kind`` with the weights of a name.

    Layers that only the use as a backbone adds, the normalisation of its outputs, are new.

    Raises:
        ValueError: If the weights are missing, not safetensors, or do not fit.
    """
    from safetensors import SafetensorError

    try:
        with quiet():
            model, info = kind.from_pretrained(
                folder_of(name), config=config, use_safetensors=True, output_loading_info=True
            )
    except (OSError, RuntimeError, SafetensorError) as error:
        place = f"{folder_of(name)}, which needs {NEEDED}"
        raise ValueError(f"model.backbone={name}: no weights that fit in {place}: {first_line(error)}") from error
    lacking = sorted(key for key in info["missing_keys"] if "norm" not in key.lower())
    if lacking:
        raise ValueError(
            f"model.backbone={name}: its weights lack {len(lacking)} of {kind.__name__}: {lacking[0]}, ..."
        )
    return model


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the library's progress bars and reports off the terminal."""
    messages = library().utils.logging
    level, bars = messages.get_verbosity(), messages.is_progress_bar_enabled()
    messages.set_verbosity_error()
    messages.disable_progress_bar()
    try:
        yield
    finally:
        messages.set_verbosity(level)
        if bars:
            messages.enable_progress_bar()


def first_line(error: Exception) -> str:
    """Return the first line of a message, or the error's kind where it has none."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
