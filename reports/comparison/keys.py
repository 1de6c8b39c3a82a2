"""In what the runs differ, and the groups that follow from it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from partial_labels.errors import InputError
from reports.comparison.runs import Run

ASIDE = (
    *("seed", "data.seed", "paths", "resume", "resume_overrides", "logger", "report", "debug", "data.cache"),
    *("data.num_workers", "data.device_cache", "trainer.accelerator", "trainer.devices", "trainer.threads"),
    *("trainer.progress_bar", "trainer._target_", "callbacks.wandb_run", "callbacks.wandb_panels"),
    *("callbacks.wandb_artifacts", "callbacks.cost"),
)
"""Keys that say where and how a run is executed and watched, or repeat the seed."""
ABSENT = "-"


@dataclass(frozen=True)
class Group:
    """Runs with the same values of the keys that they are grouped by.

    Args:
        label: What tells this group from the others.
        keys: Those keys, with the group's values as text.
        runs: Its runs, in the order of their seeds.
        mixed: Other keys in which its runs differ among themselves, besides the seed.
    """

    label: str
    keys: dict[str, str]
    runs: list[Run]
    mixed: list[str]

    @property
    def finished(self) -> list[Run]:
        """The runs that count."""
        return [run for run in self.runs if run.finished]


def group_runs(runs: Sequence[Run], keys: Sequence[str] = ()) -> list[Group]:
    """Put together the runs that share the values of these keys.

    Args:
        runs: The runs.
        keys: Keys of the configuration, or nodes of it (``loss``); by default the fewest that tell apart all
            configurations, seed aside.

    Raises:
        InputError: If no run has such a key.
    """
    asked = list(keys) or telling_keys(runs)
    texts = {key: texts_of(runs, checked_key(runs, key)) for key in asked}
    members: dict[tuple[str, ...], list[int]] = {}
    for number in range(len(runs)):
        members.setdefault(tuple(texts[key][number] for key in asked), []).append(number)
    groups = []
    every = [dict(zip(asked, values, strict=True)) for values in members]
    labels = labels_of([needed(named, every) for named in every])
    for label, named, numbers in zip(labels, every, members.values(), strict=True):
        inside = sorted((runs[number] for number in numbers), key=lambda run: run.seed)
        groups.append(Group(label, named, inside, telling_keys(inside)))
    return groups


def telling_keys(runs: Sequence[Run]) -> list[str]:
    """Return the fewest keys whose values tell apart all configurations that differ, the shortest ones first."""
    differing = differing_keys(runs)
    whole = len(set(zip(*differing.values(), strict=True)))
    chosen: dict[str, list[str]] = {}
    for key, values in differing.items():
        if _classes(chosen | {key: values}) > _classes(chosen):
            chosen[key] = values
        if _classes(chosen) == whole:
            break
    for key in [key for key in reversed(list(chosen)) if not _names(key)]:
        rest = {other: values for other, values in chosen.items() if other != key}
        if rest and _classes(rest) == whole:
            chosen = rest  # what came after it tells as much
    return list(chosen)


def differing_keys(runs: Sequence[Run]) -> dict[str, list[str]]:
    """Return the keys in which the configurations differ, seed aside, each with its value in every run.

    A choice that was typed (``loss=dice_ce``) stands before the values that it brings, where it tells them apart; a key
    that only repeats another one's values by interpolation is left out.
    """
    flat = [dict(flatten(run.config)) for run in runs]
    names = dict.fromkeys(key for values in flat for key in values)
    columns = {key: [values.get(key, ABSENT) for values in flat] for key in names}
    leaves = {key: column for key, column in columns.items() if len(set(column)) > 1}
    nodes = {key: choices_of(runs, key) for key in dict.fromkeys(leaf.partition(".")[0] for leaf in leaves)}
    typed = {key: texts for key, texts in nodes.items() if texts and len(set(texts)) > 1}
    found = typed | dict(sorted(leaves.items(), key=lambda item: (item[0].count("."), _is_aside(item[0]))))
    kept: dict[str, list[str]] = {}
    for key, column in found.items():
        if column not in kept.values():
            kept[key] = column
    return kept


def choices_of(runs: Sequence[Run], node: str) -> list[str]:
    """Return the choice that was typed for a group in each run, where the choices tell its contents apart."""
    contents = [canonical(run.config.get(node)) for run in runs]
    typed = [_typed(run, node) for run in runs]
    named = {content: choice for content, choice in zip(contents, typed, strict=True) if choice}
    texts = [named.get(content, "") for content in contents]
    told = len(set(zip(contents, texts, strict=True))) == len(set(texts)) == len(set(contents))
    return texts if told and all(texts) else []


def texts_of(runs: Sequence[Run], key: str) -> list[str]:
    """Return the value of a key in every run as text; of a node the choice that was typed, or else a number."""
    values = [select(run.config, key) for run in runs]
    if not any(isinstance(value, Mapping) for value in values):
        return [text_of(value) for value in values]
    if choices := choices_of(runs, key):
        return choices
    contents = [canonical(value) for value in values]
    order = list(dict.fromkeys(contents))
    return [f"{_target(value)} {order.index(c) + 1}".strip() for value, c in zip(values, contents, strict=True)]


def checked_key(runs: Sequence[Run], key: str) -> str:
    """Return a key that at least one run has.

    Raises:
        InputError: If none has it, naming the nearest.
    """
    if any(select(run.config, key) is not ABSENT for run in runs):
        return key
    names = sorted({name for run in runs for leaf, _ in flatten(run.config) for name in _parents(leaf)})
    near = [name for name in names if name.endswith(f".{key}")] or get_close_matches(key, names, n=3)
    mended = f"did you mean {' or '.join(near[:3])}?" if near else f"its keys stand in {runs[0].path / 'config.yaml'}"
    raise InputError(f"--group-by {key}: no run has such a key in its configuration; {mended}")


def needed(named: Mapping[str, str], every: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Leave out of a group's values, from the last one on, what is not needed to tell it from every other group.

    What names a choice stays, for it reads better than the values that the choice brings.
    """
    kept = dict(named)
    for key in [key for key in reversed(list(named)) if not _names(key)]:
        rest = {other: value for other, value in kept.items() if other != key}
        if sum(rest.items() <= group.items() for group in every) == 1:
            kept = rest
    return kept


def labels_of(every: Sequence[Mapping[str, str]]) -> list[str]:
    """Write the values of each group in a line; where two lines are the same, with the names of all their keys."""
    names = short_names({key for named in every for key in named})
    labels = [label_of(named, names) for named in every]
    return [
        label if labels.count(label) == 1 else ", ".join(f"{names[key]} {value}" for key, value in named.items())
        for label, named in zip(labels, every, strict=True)
    ]


def label_of(named: Mapping[str, str], names: Mapping[str, str]) -> str:
    """Write the values of a group in a line, with the names of those keys that a value does not speak for."""
    said = {key: value for key, value in named.items() if value != ABSENT} or dict(named)
    parts = [
        value if _names(key) or key.endswith("_target_") else f"{names[key]} {value}" for key, value in said.items()
    ]
    return ", ".join(parts) or "all runs"


def short_names(keys: Collection[str]) -> dict[str, str]:
    """Return the fewest last words of each key in which no other key ends; the whole key where there are none."""
    ends = {key: [key.split(".", start)[-1] for start in range(key.count("."), -1, -1)] for key in keys}
    return {
        key: next((end for end in own if sum(end in others for others in ends.values()) == 1), key)
        for key, own in ends.items()
    }


def select(config: Mapping[str, Any], key: str) -> Any:
    """Return what stands at a dotted key, ``ABSENT`` where nothing does."""
    value: Any = config
    for part in key.split("."):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return ABSENT
    return value


def flatten(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield every leaf as ``(dotted key, text)``, without the keys put aside; a list of plain values is one leaf."""
    if key in ASIDE:
        return
    if isinstance(value, Mapping):
        for name, below in value.items():
            yield from flatten(below, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list) and any(isinstance(item, (Mapping, list)) for item in value):
        for number, item in enumerate(value):
            yield from flatten(item, f"{key}.{number}")
    elif key.endswith("root"):
        yield key, str(value).rstrip("/").rpartition("/")[2]  # the same data may be named from elsewhere
    else:
        yield key, text_of(value)


def text_of(value: Any) -> str:
    """Write a value the way it is typed, of a class its name alone; null says as little as an absent key."""
    if value is None:
        return ABSENT
    if isinstance(value, str):
        first, _, last = value.rpartition(".")
        return last if first and all(part.isidentifier() for part in value.split(".")) else value
    return json.dumps(value, separators=(",", ":"))


def canonical(node: Any) -> str:
    """Return a text that is equal for nodes with equal contents."""
    return json.dumps(sorted(flatten(node))) if isinstance(node, Mapping) else json.dumps(node)


def _typed(run: Run, node: str) -> str:
    return str(dict(word.lstrip("+").partition("=")[::2] for word in run.overrides).get(node, ""))


def _classes(columns: Mapping[str, Sequence[str]]) -> int:
    return len(set(zip(*columns.values(), strict=True))) if columns else 1


def _names(key: str) -> bool:
    """Whether a value of this key names a choice, such as a strategy or an experiment."""
    return "." not in key or key.endswith(".name")


def _is_aside(key: str) -> bool:
    return key.startswith(("ssl.stages", "callbacks"))


def _target(value: Any) -> str:
    return text_of(value.get("_target_", "") if isinstance(value, Mapping) else value)


def _parents(leaf: str) -> list[str]:
    parts = leaf.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]
