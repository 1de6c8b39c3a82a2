import ast
from pathlib import Path

import pytest

import benchmarks
from benchmarks.__main__ import known_names, main


@pytest.mark.parametrize("name", known_names())
def test_every_benchmark_can_be_run_by_its_name(name):
    module = ast.parse((Path(benchmarks.__path__[0]) / f"{name}.py").read_text())
    assert "main" in {node.name for node in module.body if isinstance(node, ast.FunctionDef)}


def test_an_unknown_name_is_answered_with_the_known_ones(capsys):
    assert main(["speed"]) == 1
    assert "no benchmark speed; choose from csv, data" in capsys.readouterr().err
