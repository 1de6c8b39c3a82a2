"""Encoder weights from elsewhere: taken where they fit, and a table of what became of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

PREFIXES = ("module.", "model.", "net.", "student.", "swinViT.", "encoder.", "backbone.")
"""What wrappers put before the names of an encoder's weights."""


class Row(NamedTuple):
    """What became of one weight."""

    name: str
    outcome: str
    reason: str = ""


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a ``.safetensors`` file, or a PyTorch one without running any code that it may hold.

    Returns:
        The tensors by name; the content of ``state_dict`` where the file has one.

    Raises:
        ValueError: If the file is missing or cannot be read.
    """
    if not path.is_file():
        raise ValueError(f"model.weights={path}: there is no such file")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        content = torch.load(path, map_location="cpu", weights_only=True)
        content = content.get("state_dict", content)
        return {name: value for name, value in content.items() if isinstance(value, Tensor)}
    except ModuleNotFoundError as error:
        raise ValueError(f"model.weights={path}: needs the package safetensors; pip install safetensors") from error
    except Exception as error:
        raise ValueError(f"model.weights={path}: not a file of weights: {str(error).splitlines()[0]}") from error


@torch.no_grad()
def load_where_shapes_agree(encoder: nn.Module, weights: Mapping[str, Tensor]) -> list[Row]:
    """Copy weights of the same name into an encoder, see :func:`reshaped` for those of another shape.

    Returns:
        One row for each weight of the encoder and each one that it has no place for.
    """
    rows = []
    given = {_bare(name, encoder): value for name, value in weights.items()}
    for name, own in encoder.named_parameters():
        if name not in given:
            rows.append(Row(name, "random", "not in the file"))
            continue
        value = reshaped(given[name], own.shape)
        if value is None:
            rows.append(Row(name, "skipped", f"{_shape(given[name])} there, {_shape(own)} here"))
            continue
        own.copy_(value)
        same = given[name].shape == own.shape
        rows.append(Row(name, "loaded") if same else Row(name, "reshaped", f"{_shape(given[name])} to {_shape(own)}"))
    own_names = {name for name, _ in (*encoder.named_parameters(), *encoder.named_buffers())}
    rows += [Row(name, "skipped", "not in the network") for name in given if name not in own_names]
    return rows


def reshaped(value: Tensor, shape: torch.Size) -> Tensor | None:
    """Return a weight in another shape, where there is one meaning to it.

    A volume's filter is summed over its depth: on a volume that repeats one slice it gives what its sum gives on the
    slice. Input channels are summed likewise: one grey channel stands for all. Of a table of relative positions in
    depth, rows and columns the part at the same depth is taken.

    Returns:
        The weight, or None if the shapes do not agree in one of these ways.
    """
    if value.shape == shape:
        return value
    if value.ndim == len(shape) + 1 == 5:
        return reshaped(value.sum(dim=2), shape)
    if value.ndim == len(shape) == 4 and shape[1] == 1 and value.shape[0] == shape[0] and value.shape[2:] == shape[2:]:
        return value.sum(dim=1, keepdim=True)
    side = round(shape[0] ** 0.5)
    if value.ndim == len(shape) == 2 and value.shape == (side**3, shape[1]) and side**2 == shape[0]:
        return value.view(side, side**2, shape[1])[side // 2]
    return None


def table(rows: list[Row]) -> str:
    """Return the counts of each outcome and, line by line, every weight that was not simply loaded."""
    counts = Counter(row.outcome for row in rows)
    lines = [", ".join(f"{counts[outcome]} {outcome}" for outcome in sorted(counts))]
    lines += [f"  {row.outcome:<9} {row.name}: {row.reason}" for row in rows if row.outcome != "loaded"]
    return "\n".join(lines)


def _bare(name: str, encoder: nn.Module) -> str:
    """Return a name without the wrappers' prefixes, as far as the encoder itself does not begin with them."""
    children = {f"{child}." for child, _ in encoder.named_children()}
    while prefix := next((one for one in PREFIXES if name.startswith(one) and one not in children), ""):
        name = name.removeprefix(prefix)
    return name


def _shape(value: Tensor) -> str:
    return " x ".join(map(str, value.shape))
