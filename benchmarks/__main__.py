"""``python -m benchmarks NAME [--options]``: run one benchmark, several, or all of them."""

from __future__ import annotations

import importlib
import itertools
import pkgutil
import sys

import benchmarks

HELPERS = ("__main__", "measuring", "nnunet_pipeline", "small_run")


def known_names() -> list[str]:
    """Return the benchmarks of this folder."""
    return sorted(module.name for module in pkgutil.iter_modules(benchmarks.__path__) if module.name not in HELPERS)


def main(arguments: list[str]) -> int:
    """Run the benchmarks one after the other; an unknown name ends with the list of known ones.

    Options follow the names and go to each of them; ``python -m benchmarks NAME --help`` lists those of one.
    """
    known = known_names()
    names = list(itertools.takewhile(lambda argument: not argument.startswith("-"), arguments))
    unknown = [name for name in names if name not in known]
    if unknown or (arguments and not names):
        print(f"error: no benchmark {', '.join(unknown or arguments)}; choose from {', '.join(known)}", file=sys.stderr)
        return 1
    for name in names or known:
        print(f"\n## {name}\n", flush=True)
        sys.argv = [f"python -m benchmarks {name}", *arguments[len(names) :]]
        importlib.import_module(f"benchmarks.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
