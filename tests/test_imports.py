"""Who may import whom. The table of docs/architecture.md, held against every import statement."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "partial_labels": (),
    "models": (),
    "augment": ("partial_labels",),
    "losses": ("partial_labels",),
    "metrics": ("partial_labels",),
    "datamodules": ("partial_labels", "augment"),
    "inference": ("partial_labels", "augment", "datamodules", "reports"),
    "lightning_modules": ("partial_labels", "augment", "models", "losses", "metrics"),
    "callbacks": ("partial_labels", "models", "metrics", "reports"),
    "reports": ("partial_labels", "metrics"),
    "runs": ("conf.schema", "partial_labels"),
    "conf": (),
}
ENTRY_POINTS = tuple(path.name for path in sorted(ROOT.glob("*.py")))
ENTRY_POINTS_MAY_IMPORT = ("conf.schema", "runs", "reports")
LIGHT = ("conf", "runs/cli.py", "runs/configuration/targets.py", *ENTRY_POINTS)
"""What ``--help`` loads: no library that takes a second to import, at the top of the module."""
HEAVY = ("torch", "pytorch_lightning", "monai", "torchmetrics", "matplotlib", "numpy", "scipy", "wandb")
OURS = {*MAY_IMPORT, "benchmarks", "tests", *(Path(name).stem for name in ENTRY_POINTS)}


def imports(tree: ast.AST) -> set[str]:
    """Return the dotted names of the modules that a piece of code imports, at any depth."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import hides which package it comes from"
            names.add(node.module or "")
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def within(name: str, allowed: tuple[str, ...]) -> bool:
    return any(name == root or name.startswith(f"{root}.") for root in allowed)


def strangers(path: Path, allowed: tuple[str, ...]) -> set[str]:
    """Return the imports of ours that a file must not have; ``from conf import schema`` counts as ``conf.schema``."""
    found = {name for name in imports(ast.parse(path.read_text(encoding="utf-8"))) if name.partition(".")[0] in OURS}
    parents = {name for name in found for root in allowed if root.startswith(f"{name}.")}
    return {name for name in found - parents if not within(name, allowed)}


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_imports_only_what_the_table_says(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    wrong = {str(path.relative_to(ROOT)): strangers(path, (package, *MAY_IMPORT[package])) for path in files}
    assert {path: names for path, names in wrong.items() if names} == {}


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_an_entry_point_reaches_the_rest_through_targets(name: str) -> None:
    assert strangers(ROOT / name, ENTRY_POINTS_MAY_IMPORT) == set()


def test_what_help_loads_imports_nothing_heavy_at_the_top() -> None:
    paths = [
        path for name in LIGHT for path in ([ROOT / name] if name.endswith(".py") else (ROOT / name).rglob("*.py"))
    ]
    for path in paths:
        body = ast.parse(path.read_text(encoding="utf-8")).body
        top = ast.Module([node for node in body if isinstance(node, (ast.Import, ast.ImportFrom))], type_ignores=[])
        assert {name for name in imports(top) if within(name, HEAVY)} == set(), path


def test_the_table_knows_every_package() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages - {"benchmarks"} == set(MAY_IMPORT)
    assert "lightning_modules" not in MAY_IMPORT["callbacks"]


def test_the_page_shows_the_same_table() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = page.split("| folder | may import |")[1].split("\n\n")[0].splitlines()[2:]
    table = {row.split("|")[1].strip(" `"): tuple(re.findall(r"`([\w.]+)`", row.split("|")[2])) for row in rows}
    assert table == {**MAY_IMPORT, "entry points": ENTRY_POINTS_MAY_IMPORT}


def test_the_check_sees_a_stranger(tmp_path: Path) -> None:
    path = tmp_path / "x.py"
    path.write_text(
        "import torch\nfrom losses.masked import A\n\ndef f():\n    import models.unet\n    from conf import schema\n"
    )
    assert strangers(path, ("conf.schema",)) == {"losses.masked", "losses.masked.A", "models.unet"}
