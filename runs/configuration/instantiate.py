"""From a composed config to objects: every ``_target_`` is checked against its signature before anything is built.

Hydra's own ``instantiate`` is not used: it lets a config call any function, puts what the program passes along into
config containers (a dataclass is taken for a config, a network is copied), and names the failing node only in the
middle of several lines.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Collection, Iterator, Mapping
from inspect import Parameter
from typing import Any, get_args, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, OmegaConfBaseException

from partial_labels.errors import InputError, one_line
from runs.configuration.targets import accepts, describe, fit, hints, is_library, parameters, resolve, suggest

MISSING = "???"
SPECIAL = ("_target_", "_partial_", "_recursive_", "_convert_")
Node = DictConfig | Mapping[str, Any]


def check(cfg: Node, where: str = "", given: Collection[str] = ()) -> None:
    """Check every node of a config against the signature of its target; builds nothing.

    Args:
        cfg: A composed config, or a part of one.
        where: Config path of ``cfg``; found out where ``cfg`` is a part of a DictConfig.
        given: Names of arguments that the program itself passes when it builds, and which a node may lack.

    Raises:
        InputError: At the first unknown, missing or ill-typed key, unset value, or target that is not allowed.
    """
    _check(_plain(cfg), where or _path_of(cfg), frozenset(given))


def build(cfg: Node, where: str = "", **kwargs: Any) -> Any:
    """Check a node and call its target; nodes inside it are built first.

    A target's arguments are plain dicts, lists and scalars, or what nested nodes gave; a list becomes a tuple and a
    text a path where the target's annotation says so. ``_partial_: true`` gives a ``functools.partial``;
    ``_recursive_: false`` hands nested nodes over as plain dicts.

    Args:
        cfg: A node with a ``_target_``.
        where: See :func:`check`.
        kwargs: Further arguments of the target, taken as they are; they win over the config's.

    Raises:
        InputError: If the check fails, or a constructor refuses its arguments (ValueError, TypeError).
    """
    node, where = _plain(cfg), where or _path_of(cfg)
    node = {key: value for key, value in node.items() if key not in kwargs}
    if "_target_" not in node:
        raise InputError(f"{where or 'config'}: no _target_ names what to build")
    _check(node, where, frozenset(), frozenset(kwargs))
    return _build(node, where, kwargs)


def check_saved(cfg: Any, where: str) -> None:
    """Refuse a saved configuration that still reads something: it was saved resolved.

    One that a stranger has made could read an environment variable, such as a key, into files that are handed on.

    Args:
        cfg: As it was read, nothing resolved.
        where: The file.

    Raises:
        InputError: Naming the key.
    """
    for path, inner in _items(OmegaConf.to_container(cfg) if OmegaConf.is_config(cfg) else cfg, ""):
        _check_saved(inner, where, path)


def _check_saved(value: Any, where: str, path: str) -> None:
    if isinstance(value, str) and "${" in value:
        raise InputError(f"{where}: {path} reads something from elsewhere, which no saved configuration does")
    for inner_path, inner in _items(value, path):
        _check_saved(inner, where, inner_path)


def check_extra_keys(cfg: Node, schema: Any, where: str = "") -> None:
    """Refuse keys that a dataclass does not have; Hydra lets ``+key=1`` through even where a schema is given.

    Args:
        cfg: A node composed under the schema.
        schema: A dataclass (of ``conf.schema``); fields typed by dataclasses, or lists and dicts of them, are followed.
        where: Config path of ``cfg``.

    Raises:
        InputError: Naming the first such key and the nearest that exist.
    """
    if isinstance(cfg, DictConfig):
        cfg = OmegaConf.to_container(cfg, resolve=False)  # type: ignore[assignment]
    kinds = get_type_hints(schema)
    names = [field.name for field in dataclasses.fields(schema)]
    for key, value in cfg.items():
        path = _join(where, key)
        if key not in names:
            raise InputError(f"{path}: the config has no such key{suggest(str(key), names)}")
        nested = [kind for kind in (kinds[key], *get_args(kinds[key])) if dataclasses.is_dataclass(kind)]
        if nested:
            for inner_path, inner in _items(value, path) if not isinstance(kinds[key], type) else [(path, value)]:
                if isinstance(inner, Mapping):
                    check_extra_keys(inner, nested[0], inner_path)


def _check(value: Any, where: str, given: frozenset[str], passed: frozenset[str] = frozenset()) -> None:
    """Check a value and all inside it; ``passed`` are further arguments of this node, ``given`` of any."""
    if value == MISSING:
        raise InputError(f"{where} is not set: add {where}=...")
    if isinstance(value, Mapping) and "_target_" in value:
        _check_node(value, where, given | passed)
        partial = value.get("_partial_", False)
        value = {k: v for k, v in value.items() if k not in SPECIAL and not (partial and v == MISSING)}
    for path, inner in _items(value, where):
        _check(inner, path, given)


def _check_node(node: Mapping[str, Any], where: str, given: frozenset[str]) -> None:
    """Check one node's own keys against its target's signature."""
    name = node["_target_"]
    target = resolve(name, where)
    _check_special(node, where)
    accepted, kinds = parameters(target), hints(target)
    free = is_library(name) and any(p.kind is Parameter.VAR_KEYWORD for p in accepted.values())
    named = {key: p for key, p in accepted.items() if p.kind is not Parameter.VAR_KEYWORD}
    for key in (key for key in node if key not in SPECIAL):
        path, value = _join(where, key), node[key]
        if key not in named:
            if free:
                continue
            raise InputError(f"{path}: {name} has no argument {key!r}{suggest(str(key), named)}")
        unset = value == MISSING or (value is None and named[key].default is None)
        if not unset and not accepts(value, kinds.get(key, Any)):
            shown = "null" if value is None else repr(value)
            raise InputError(f"{path}={shown}: {name} takes {describe(kinds[key])} here")
    lacking = [key for key, p in named.items() if p.default is Parameter.empty and key not in {*node, *given}]
    if lacking and not node.get("_partial_", False):
        path = _join(where, lacking[0])
        raise InputError(f"{path} is not set: {name} needs it; add it to the config or +{path}=...")


def _check_special(node: Mapping[str, Any], where: str) -> None:
    if "_args_" in node:
        raise InputError(f"{where}._args_: positional arguments are not read from a config; give them by name")
    for key in ("_partial_", "_recursive_"):
        if not isinstance(node.get(key, False), bool):
            raise InputError(f"{where}.{key}={node[key]!r}: must be true or false")
    if node.get("_convert_", "all") != "all":
        raise InputError(f"{where}._convert_={node['_convert_']!r}: targets get plain values, so only 'all' is meant")


def _build(value: Any, where: str, kwargs: Mapping[str, Any]) -> Any:
    if isinstance(value, list):
        return [_build(inner, path, {}) for path, inner in _items(value, where)]
    if not isinstance(value, Mapping):
        return value
    partial = value.get("_partial_", False)
    keys = [k for k in value if "_target_" not in value or (k not in SPECIAL and not (partial and value[k] == MISSING))]
    inside = value.get("_recursive_", True)
    built = {key: _build(value[key], _join(where, key), {}) if inside else value[key] for key in keys}
    if "_target_" not in value:
        return built
    target = resolve(value["_target_"], where)
    kinds = hints(target)
    built = {key: fit(argument, kinds.get(key, Any)) for key, argument in built.items()}
    try:
        return functools.partial(target, **built, **kwargs) if partial else target(**built, **kwargs)
    except InputError:
        raise
    except (ValueError, TypeError) as error:
        raise InputError(_placed(where or value["_target_"], one_line(error), kwargs)) from error


def _placed(where: str, text: str, kwargs: Collection[str]) -> str:
    """Put the node's path before a constructor's ``key=value: must be ...``, as one would type it."""
    key = re.match(r"(\w+)=", text)
    if text.startswith((f"{where}.", f"{where}:")) or (key and key[1] in kwargs):
        return text
    return f"{where}.{text}" if key else f"{where}: {text}"


def _plain(cfg: Node) -> dict[str, Any]:
    """Return plain containers with every interpolation resolved."""
    try:
        node = cfg if OmegaConf.is_config(cfg) else OmegaConf.create(dict(cfg), flags={"allow_objects": True})
        return OmegaConf.to_container(node, resolve=True)  # type: ignore[return-value]
    except InterpolationToMissingValueError as error:
        key = str(error.msg).partition("Missing mandatory value: ")[2].partition("\n")[0]
        raise InputError(f"{key} is not set: add {key}=... ({error.full_key} reads it)") from error
    except OmegaConfBaseException as error:
        raise InputError(f"{error.full_key or 'config'}: {str(error.msg or error).splitlines()[0]}") from error


def _path_of(cfg: Node) -> str:
    return str(cfg._get_full_key(None)) if isinstance(cfg, DictConfig) else ""


def _join(where: str, key: Any) -> str:
    return f"{where}.{key}" if where else str(key)


def _items(value: Any, where: str) -> Iterator[tuple[str, Any]]:
    """Yield the config path and the value of everything directly inside a container."""
    if isinstance(value, Mapping):
        yield from ((_join(where, key), inner) for key, inner in value.items())
    elif isinstance(value, list):
        yield from ((f"{where}[{index}]", inner) for index, inner in enumerate(value))
