"""What a search may choose: ranges of keys as Optuna sees them, as overrides, and as an experiment file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import yaml
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import Trial

from partial_labels.errors import InputError
from runs.configuration.targets import suggest

KEYS = ("choices", "low", "high", "log", "step")
Range: TypeAlias = "CategoricalDistribution | FloatDistribution | IntDistribution"
Space = Mapping[str, Range]


def read_space(node: Mapping[str, Any]) -> dict[str, Range]:
    """Return the distribution of each key.

    ``{choices: [...]}`` is categorical; ``{low:, high:}`` an integer where both are, else a float; with ``log: true``
    or ``step:`` if wanted.

    Raises:
        InputError: If a range cannot be read.
    """
    space: dict[str, Range] = {}
    for key, given in node.items():
        where = f"search: {key}"
        if not isinstance(given, Mapping) or not ("choices" in given or {"low", "high"} <= set(given)):
            raise InputError(f"{where}: write {{low: ..., high: ...}} or {{choices: [...]}}")
        if wrong := [name for name in given if name not in KEYS]:
            raise InputError(f"{where}.{wrong[0]}: no such key{suggest(str(wrong[0]), KEYS)}")
        try:
            space[key] = distribution(**given)
        except (TypeError, ValueError) as error:
            raise InputError(f"{where}: {str(error).strip().splitlines()[0]}") from error
    if not space:
        raise InputError("search is empty: name keys and their ranges, as the files in conf/search/ do")
    return space


def distribution(
    choices: Sequence[Any] | None = None,
    low: float = 0,
    high: float = 0,
    log: bool = False,
    step: float | None = None,
) -> Range:
    """Return a categorical, integer or float distribution."""
    if choices is not None:
        return CategoricalDistribution(tuple(choices))
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=log, step=int(step or 1))
    return FloatDistribution(float(low), float(high), log=log, step=step)


def suggest_value(trial: Trial, key: str, one: Range) -> Any:
    """Let a trial choose a value."""
    if isinstance(one, CategoricalDistribution):
        return trial.suggest_categorical(key, one.choices)
    suggest_number = trial.suggest_int if isinstance(one, IntDistribution) else trial.suggest_float
    return suggest_number(key, one.low, one.high, step=one.step, log=one.log)


def grid_of(space: Space) -> dict[str, list[Any]]:
    """Return every value of each key.

    Raises:
        InputError: If a range has no steps.
    """
    values: dict[str, list[Any]] = {}
    for key, one in space.items():
        if isinstance(one, CategoricalDistribution):
            values[key] = list(one.choices)
        elif isinstance(one, IntDistribution) and not one.log:
            values[key] = list(range(one.low, one.high + 1, one.step))
        elif isinstance(one, FloatDistribution) and one.step is not None:
            count = round((one.high - one.low) / one.step) + 1
            values[key] = [round(one.low + place * one.step, 10) for place in range(count)]
        else:
            raise InputError(f"search: {key}: a grid needs choices or a step; or use tune.sampler=tpe")
    return values


def default_values(space: Space, cfg: DictConfig, choices: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the values that a configuration has already, or None where one lies outside its range.

    Args:
        space: What is searched.
        cfg: The configuration as typed.
        choices: Its choice of each group.
    """
    values = {key: choices[key] if key in choices else OmegaConf.select(cfg, key) for key in space}
    for key, value in values.items():
        one = space[key]
        if isinstance(one, CategoricalDistribution):
            inside = value in one.choices
        else:
            inside = isinstance(value, (int, float)) and one.low <= value <= one.high
        if not inside:
            return None
    return values


def override(key: str, value: Any) -> str:
    """Return what one would type."""
    return f"{key}={'null' if value is None else value}"


def without(overrides: Sequence[str], dropped: tuple[str, ...]) -> list[str]:
    """Return the overrides whose keys, without ``+``, ``++`` or ``~``, begin with none of ``dropped``."""
    return [one for one in overrides if not one.lstrip("+~").startswith(dropped)]


def check_deletions(overrides: Sequence[str]) -> None:
    """Refuse what no experiment file can say.

    Raises:
        InputError: If an override deletes anything but a callback.
    """
    for one in overrides:
        if one.startswith("~") and not re.fullmatch(r"~callbacks\.\w+(=.*)?", one):
            raise InputError(
                f"{one}: the experiment of the best trial could not delete it; only ~callbacks.NAME can go"
            )


def listed(value: str) -> list[str]:
    """Return the choices that a group was given: ``a``, or ``[a,b]``."""
    return [str(one) for one in yaml.safe_load(value)] if value.startswith("[") else [value]


def write_experiment(path: Path, comment: str, overrides: Sequence[str], is_group: Callable[[str], bool]) -> None:
    """Write overrides as a file that ``experiment=<its name>`` takes.

    Experiments among them become what the new one stands on, and a callback that is deleted becomes null.

    Args:
        path: The file.
        comment: What it is, one line.
        overrides: ``key=value`` or ``~callbacks.NAME``, later ones winning.
        is_group: Tells whether a key is a group of the configuration.
    """
    split = [one.lstrip("+").partition("=") for one in overrides]
    typed = {key.lstrip("~"): "null" if key.startswith("~") else value for key, _, value in split}
    base = listed(typed.pop("experiment")) if "experiment" in typed else []
    groups = [{f"override /{key}": value} for key, value in typed.items() if is_group(key)]
    content = OmegaConf.create({})
    for key, value in typed.items():
        if not is_group(key):
            OmegaConf.update(content, key, yaml.safe_load(value), force_add=True)
    body = {"defaults": [*base, "_self_", *groups], **OmegaConf.to_container(content)}  # type: ignore[dict-item]
    path.parent.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(body, sort_keys=False, allow_unicode=True)
    path.write_text(f"# @package _global_\n# {comment}\n{text}", encoding="utf-8")
