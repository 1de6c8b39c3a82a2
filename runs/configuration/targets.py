"""Which classes a config may name, and what a class's signature says about its keys."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from partial_labels.errors import InputError

PACKAGES = (
    "augment",
    "callbacks",
    "datamodules",
    "inference",
    "lightning_modules",
    "losses",
    "metrics",
    "models",
    "partial_labels",
    "runs",
)
"""The packages of ours that have targets."""
PLACES = (
    *("augment", "callbacks", "lightning_modules", "losses", "metrics", "models"),
    *("datamodules.partial_label", "datamodules.sources", "datamodules.stored_grid"),
    *("inference.ensemble", "inference.postprocess", "inference.prediction", "inference.views"),
    *("partial_labels.agreement", "partial_labels.head", "partial_labels.pseudo_filters"),
    *("runs.hardware.trainer", "runs.metrics_csv", "runs.sweeps.trial"),
)
"""Where in them; elsewhere lie classes whose constructors open files to write."""
FUNCTIONS = ("augment.", "losses.", "metrics.", "models.", "runs.hardware.trainer.make_trainer")
"""Where a target may be a function: where they compute."""
LIBRARIES: Mapping[str, tuple[str, ...]] = {
    "torch.optim": ("Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "SGD"),
    "pytorch_lightning.callbacks": (
        *("DeviceStatsMonitor", "EarlyStopping", "LearningRateMonitor", "ThroughputMonitor"),
        *("ModelSummary", "RichModelSummary", "RichProgressBar", "TQDMProgressBar"),
    ),
    "pytorch_lightning.loggers": ("CSVLogger", "TensorBoardLogger", "WandbLogger"),
}
"""Classes of libraries. Others load code or pickles, write where they are told, send keys to servers that a config
names, or forget what they were doing when a run is resumed; a class of one's own in ``models``, ``losses`` or
``callbacks`` may use them."""
SCALARS: Mapping[Any, tuple[type, ...]] = {
    bool: (bool,),
    int: (int,),
    float: (int, float),
    str: (str,),
    Path: (str, Path),
    types.NoneType: (types.NoneType,),
}
Target = Callable[..., Any]


def resolve(path: Any, where: str) -> Target:
    """Import the class or function that a ``_target_`` names, if a config may name it.

    A config can come from a stranger's checkpoint, so only what is *defined* in some of our modules, or one of a few
    classes of libraries, is let through: not ``torch.load``, and not what a module of ours has imported.

    Args:
        path: Dotted path, ``package.module.Name``.
        where: Config path of the node, for messages.

    Raises:
        InputError: If the path is not allowed, does not exist or cannot be called.
    """
    place = f"{where}._target_" if where else "_target_"
    if not isinstance(path, str) or not _allowed(path):
        if str(path).startswith(tuple(f"{package}." for package in PACKAGES)) and _of_names(path):
            _import(path.rpartition(".")[0], path, place)  # a misspelt module is told as such
        raise InputError(f"{place}: {path!r} may not be named in a config; {_instead(path)}")
    module_name, _, name = path.rpartition(".")
    found = getattr(_import(module_name, path, place), name, None)
    if found is None or name.startswith("_"):
        names = [n for n, o in vars(importlib.import_module(module_name)).items() if _defined_in(o, path)]
        raise InputError(f"{place}: {module_name} has no {name!r}{suggest(name, names)}")
    if not _defined_in(found, path):
        raise InputError(f"{place}: {path!r} may not be named in a config; name a class that {_root(path)} defines")
    if inspect.isabstract(found):
        raise InputError(f"{place}: {path} is abstract; name one of its subclasses")
    return found  # type: ignore[no-any-return]


def is_library(path: str) -> bool:
    """Tell whether a target is a library's, whose ``**kwargs`` we cannot look into."""
    return path.partition(".")[0] not in PACKAGES


def parameters(target: Target) -> Mapping[str, inspect.Parameter]:
    """Return the parameters that a config can give by name; a ``**kwargs`` is among them.

    Where one of our classes hands ``**kwargs`` on to the class that it inherits from, that one's count too.
    """
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL)
    found: dict[str, inspect.Parameter] = {}
    for constructor in _constructors(target):
        own = {n: p for n, p in inspect.signature(constructor).parameters.items() if p.kind not in kinds}
        found = own | {n: p for n, p in found.items() if p.kind is not inspect.Parameter.VAR_KEYWORD}
    return found


def hints(target: Target) -> Mapping[str, Any]:
    """Return the annotations of a target's parameters as types; empty where they cannot be evaluated."""
    found: dict[str, Any] = {}
    for constructor in _constructors(target):
        try:
            own = get_type_hints(constructor.__init__ if inspect.isclass(constructor) else constructor)
        except (NameError, TypeError, AttributeError):
            own = {}
        found = own | found
    return found


def _constructors(target: Target) -> list[Target]:
    """Return a target, and as far as ``**kwargs`` are handed on the classes of ours that it inherits from."""
    if not inspect.isclass(target):
        return [target]
    found: list[Target] = []
    for ancestor in target.__mro__:
        if ancestor.__module__.partition(".")[0] not in PACKAGES and found:
            break
        if "__init__" in vars(ancestor) or not found:
            found.append(ancestor)
            kinds = {parameter.kind for parameter in inspect.signature(ancestor).parameters.values()}
            if inspect.Parameter.VAR_KEYWORD not in kinds:
                break
    return found


def accepts(value: Any, hint: Any) -> bool:
    """Tell whether a plain config value fits an annotation.

    Scalars, Literals, classes, unions and sequences and mappings of them are looked at, and for a node, which is still
    to be built, what its target gives. What cannot be told (callables, type variables) passes.
    """
    origin, args = get_origin(hint) or hint, get_args(hint)
    if isinstance(value, dict) and "_target_" in value and origin not in (Union, types.UnionType):
        return _gives(value, hint)
    if origin in (Union, types.UnionType):
        return any(accepts(value, arg) for arg in args)
    if origin is Literal:
        return any(value == arg and type(value) is type(arg) for arg in args)
    if hint in SCALARS:
        return isinstance(value, SCALARS[hint]) and (hint is bool or not isinstance(value, bool))
    if inspect.isclass(origin) and issubclass(origin, Sequence):
        return _accepts_items(value, origin, args)
    if inspect.isclass(origin) and issubclass(origin, Mapping):
        return isinstance(value, dict) and (not args or all(accepts(item, args[-1]) for item in value.values()))
    try:
        return hint is Any or not inspect.isclass(hint) or isinstance(value, hint)
    except TypeError:  # a protocol that cannot be asked
        return True


def fit(value: Any, hint: Any) -> Any:
    """Turn what YAML can write into what the annotation says: lists into tuples and texts into paths."""
    origin, args = get_origin(hint) or hint, get_args(hint)
    if origin in (Union, types.UnionType):
        return fit(value, next((arg for arg in args if accepts(value, arg)), Any))
    if hint is Path and isinstance(value, str):
        return Path(value)
    if not isinstance(value, list) or not (inspect.isclass(origin) and issubclass(origin, Sequence)):
        return value
    kinds = args if origin is tuple and Ellipsis not in args else args[:1] * len(value)
    items = [fit(*pair) for pair in zip(value, kinds, strict=True)] if kinds else value
    return tuple(items) if origin is tuple else items


def describe(hint: Any) -> str:
    """Name an annotation the way it is written in the source."""
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(map(str, get_args(hint)))
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(describe(arg) for arg in get_args(hint))
    if hint is types.NoneType:
        return "null"
    return hint.__name__ if inspect.isclass(hint) and not get_args(hint) else str(hint).replace("collections.abc.", "")


def suggest(name: str, names: Iterable[str]) -> str:
    """Return ``"; did you mean ...?"`` with the nearest names, or the choices where none is near."""
    names = sorted(names)
    near = get_close_matches(name, names, n=3, cutoff=0.6)
    if near:
        return f"; did you mean {' or '.join(near)}?"
    return f"; there is {', '.join(names)}" if names else ""


def _gives(node: Mapping[str, Any], hint: Any) -> bool:
    """Tell whether what a node builds may be of a type."""
    if hint in SCALARS or get_origin(hint) is Literal:
        return False
    target = resolve(node["_target_"], "")
    if not inspect.isclass(target) or not inspect.isclass(hint) or node.get("_partial_", False):
        return True
    try:
        return issubclass(target, hint)
    except TypeError:  # a protocol that cannot be asked
        return True


def _accepts_items(value: Any, origin: type, args: tuple[Any, ...]) -> bool:
    if not isinstance(value, (list, tuple)):
        return False
    if origin is tuple and args and Ellipsis not in args:
        return len(value) == len(args) and all(map(accepts, value, args))
    return not args or all(accepts(item, args[0]) for item in value)


def _root(path: str) -> str:
    """Return the part of an allowed path within which its object must be defined; empty if it is not allowed."""
    library, _, name = path.rpartition(".")
    if name in LIBRARIES.get(library, ()):
        return library
    package = path.partition(".")[0]
    return package if any(path.startswith(f"{place}.") for place in PLACES) else ""


def _instead(path: Any) -> str:
    """Say what may be named."""
    library = str(path).rpartition(".")[0]
    if library in LIBRARIES:
        return f"of {library} there is {', '.join(LIBRARIES[library])}"
    return f"use a class of {', '.join(PLACES[:6])} or another place that docs/architecture.md names"


def _allowed(path: str) -> bool:
    return bool(_root(path)) and _of_names(path)


def _of_names(path: str) -> bool:
    return all(part.isidentifier() for part in path.split("."))


def _defined_in(found: Any, path: str) -> bool:
    kind = inspect.isclass(found) or (inspect.isfunction(found) and path.startswith(FUNCTIONS))
    return kind and f"{found.__module__}.".startswith(f"{_root(path)}.")


def _import(module_name: str, path: str, place: str) -> types.ModuleType:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        name = error.name or ""
        if not f"{module_name}.".startswith(f"{name}."):
            if name.partition(".")[0] in PACKAGES:
                raise
            raise InputError(f"{place}: {path} needs the package {name!r}; install it") from error
        parent, _, last = name.rpartition(".")
        folders = getattr(sys.modules.get(parent), "__path__", [])
        near = suggest(last, [info.name for info in pkgutil.iter_modules(folders)])
        raise InputError(f"{place}: there is no module {name}{near}") from error
