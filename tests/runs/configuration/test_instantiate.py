"""The checker stops every wrong config before anything is built."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from jaxtyping import Float
from omegaconf import OmegaConf
from torch import Tensor

from partial_labels.case_table import CaseRow
from partial_labels.classes import ClassTable
from partial_labels.errors import InputError
from partial_labels.head import Head, SigmoidHead, SoftmaxHead
from runs.configuration import targets
from runs.configuration.instantiate import build, check, check_extra_keys
from runs.configuration.targets import accepts, fit

SIGMOID = "partial_labels.head.SigmoidHead"
TABLE = "partial_labels.classes.ClassTable"
ROW = "partial_labels.case_table.CaseRow"
SGD = "torch.optim.SGD"


@pytest.fixture
def _plain_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let configs name the plain classes that stand here for any."""
    monkeypatch.setattr(targets, "PLACES", (*targets.PLACES, "partial_labels"))


def error(cfg: Any, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        check(OmegaConf.create(cfg), **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_right_config_passes_and_is_built() -> None:
    cfg = OmegaConf.create({"value": 0.25, "head": {"_target_": SIGMOID, "threshold": "${value}"}})
    check(cfg)
    head = build(cfg.head)
    assert isinstance(head, SigmoidHead) and head.threshold == 0.25


def test_an_unknown_key_names_its_path_the_nearest_and_the_target() -> None:
    message = error({"model": {"heads": [{"_target_": SIGMOID, "treshold": 0.5}]}})
    assert message == f"model.heads[0].treshold: {SIGMOID} has no argument 'treshold'; did you mean threshold?"


def test_the_path_of_a_part_is_found() -> None:
    cfg = OmegaConf.create({"a": {"head": {"_target_": SIGMOID, "x": 1}}})
    with pytest.raises(InputError, match=r"^a\.head\.x: "):
        check(cfg.a.head)
    with pytest.raises(InputError, match=r"^a\.head\.x: "):
        build(cfg.a.head)
    with pytest.raises(InputError, match=r"^b\.x: "):
        check({"_target_": SIGMOID, "x": 1}, where="b")


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.open",
        "torch.load",
        "torch.hub.load",
        "torch.optim.adam.torch.load",
        "torch.optim.adam.cast",
        "runs.configuration.instantiate.os.system",
        "runs.configuration.instantiate.OmegaConf",
        "runs.cli.traceback",
        "runs.cli.run_cli",
        "datamodules.sources.challenge.json",
        "partial_labels.case_store.np.load",
        "partial_labels.case_writer.shutil.rmtree",
        "partial_labels.classes.ClassTable.__init__",
        "partial_labels.head.SigmoidHead.__init__.__globals__",
        "runs.configuration.instantiate._build",
        "runs.__builtins__",
        "SigmoidHead",
        "runs..instantiate",
        "monai.networks.nets.HoVerNet",
        "monai.losses.PerceptualLoss",
        "partial_labels.array_file.ArrayFile",
        "partial_labels.case_writer.CaseStoreWriter",
        "pytorch_lightning.callbacks.ModelCheckpoint",
        "pytorch_lightning.loggers.csv_logs.ExperimentWriter",
        "pytorch_lightning.loggers.MLFlowLogger",
        "",
        None,
        ["partial_labels.head.SigmoidHead"],
    ],
)
def test_a_config_reaches_only_what_our_packages_define(target: Any) -> None:
    error({"x": {"_target_": target}})
    with pytest.raises(InputError):
        build({"x": {"_target_": target}, "_target_": SIGMOID})


def test_of_a_library_some_classes_are_known() -> None:
    assert "of torch.optim there is Adadelta, " in error({"x": {"_target_": "torch.optim.LBFGS"}})
    check({"x": {"_target_": "pytorch_lightning.callbacks.EarlyStopping", "monitor": "val/dice"}})


def test_an_abstract_class_and_a_misspelt_name_are_told() -> None:
    assert "abstract" in error({"x": {"_target_": "partial_labels.head.Head"}})
    assert "did you mean SigmoidHead?" in error({"x": {"_target_": "partial_labels.head.SigmoidHaed"}})
    assert "did you mean head?" in error({"x": {"_target_": "partial_labels.haed.SigmoidHead"}})


@pytest.mark.usefixtures("_plain_classes")
def test_a_missing_argument_is_told_unless_it_comes_later() -> None:
    node = {"_target_": TABLE}
    assert error({"table": node}).startswith("table.names is not set: ")
    check({"table": node | {"_partial_": True}})
    check({"table": node}, given=("names",))
    assert "x.y" in error({"x": {"_target_": TABLE, "names": ["a", "b"], "y": 1}}, given=("y",))


@pytest.mark.usefixtures("_plain_classes")
def test_an_unset_value_says_what_to_add() -> None:
    assert error({"data": {"root": "???"}}) == "data.root is not set: add data.root=..."
    assert error({"t": {"_target_": TABLE, "names": "???"}}) == "t.names is not set: add t.names=..."
    check({"t": {"_target_": TABLE, "names": "???", "_partial_": True}})
    read = error({"data": {"root": "???", "cache": "${data.root}/x"}})
    assert read == "data.root is not set: add data.root=... (data.cache reads it)"
    assert "nope" in error({"a": "${nope}"})


@pytest.mark.parametrize("value", [True, "0.5", "half", [0.5], {"a": 1}, None])
def test_an_ill_typed_scalar_is_told(value: Any) -> None:
    message = error({"head": {"_target_": SIGMOID, "threshold": value}})
    shown = "null" if value is None else repr(value)
    assert message == f"head.threshold={shown}: {SIGMOID} takes float here"


def test_annotations_decide_what_fits() -> None:
    fits: list[tuple[Any, Any]] = [
        (3, int),
        (3, float),
        ("a", Path),
        (None, int | None),
        ("a", Literal["a", "b"]),
        ([1, 2], Sequence[float]),
        ([1, 2], tuple[int, int]),
        ([[1, 2], [3, 4]], tuple[tuple[int, int], ...]),
        ({"a": 1}, Mapping[str, int]),
        ([1, "a"], list[int | str]),
        (3, Any),
        (3, object),
        ("anything", Callable[[], int]),
        ({"_target_": SIGMOID}, SigmoidHead),
        ({"_target_": SIGMOID}, Head | None),
        ({"_target_": SGD, "_partial_": True}, Callable[[], int]),
        ([1], list),
    ]
    misfits: list[tuple[Any, Any]] = [
        (True, int),
        (3.0, int),
        ("3", int),
        (1, bool),
        (3, str),
        (3, str | None),
        ("c", Literal["a", "b"]),
        (True, Literal[1]),
        ("ab", Sequence[str]),
        ([1, 2, 3], tuple[int, int]),
        ([1, "a"], list[int]),
        (1, Sequence[int]),
        ({"a": "b"}, Mapping[str, int]),
        ([1], Mapping[str, int]),
        (3, list),
        (3, SigmoidHead),
        ({"_target_": SIGMOID}, int),
        ({"_target_": SIGMOID}, str | None),
        ({"_target_": SIGMOID}, Literal["a"]),
        ({"_target_": SIGMOID}, SoftmaxHead),
        ([{"_target_": SIGMOID}], list[float]),
        ("fast", float | Tensor),
        ("anything", Float[Tensor, "B C"]),
        ({"a": 3}, Mapping[str, SigmoidHead]),
    ]
    assert [pair for pair in fits if not accepts(*pair)] == []
    assert [pair for pair in misfits if accepts(*pair)] == []


def test_library_targets_are_checked_by_their_signature() -> None:
    check({"o": {"_target_": SGD, "_partial_": True, "lr": 0.1, "nesterov": True, "momentum": 0.9}})
    assert "did you mean momentum?" in error({"o": {"_target_": SGD, "_partial_": True, "momentun": 0.9}})
    assert error({"o": {"_target_": SGD, "_partial_": True, "momentum": "much"}}).startswith("o.momentum='much'")


@pytest.mark.usefixtures("_plain_classes")
def test_build_passes_objects_untouched_and_gives_partials() -> None:
    table = ClassTable.from_foreground(["liver"])
    made = build({"_target_": "partial_labels.store_header.StoreHeader", "name": "x", "size": [8, 8]}, classes=table)
    assert made.classes is table
    partial = build({"_target_": SIGMOID, "_partial_": True, "threshold": 0.3})
    assert isinstance(partial, functools.partial) and partial().threshold == 0.3
    assert build({"_target_": SIGMOID, "threshold": 0.2}, threshold=0.7).threshold == 0.7


@pytest.mark.usefixtures("_plain_classes")
def test_build_gives_the_types_that_the_annotations_name() -> None:
    table = build({"_target_": TABLE, "names": ["a", "b", "c"], "pairs": [[1, 2]]})
    assert table == ClassTable(("a", "b", "c"), ((1, 2),))
    assert fit("x", Path) == Path("x") and fit("x", Path | None) == Path("x") and fit("x", str | Path) == "x"
    assert fit([1, [2]], list[Any]) == [1, [2]] and fit([1], tuple) == (1,) and fit([1], tuple[int] | None) == (1,)


@pytest.mark.usefixtures("_plain_classes")
def test_recursive_false_hands_over_plain_nodes(unchecked_shapes: None) -> None:
    inner = {"_target_": ROW, "name": "a", "group": "b", "volume": "c"}
    node = {"_target_": "partial_labels.case_table.CaseTable", "rows": [inner, inner]}
    assert list(build(node)) == [CaseRow("a", "b", "c")] * 2
    assert list(build(node | {"_recursive_": False})) == [inner, inner]


@pytest.mark.usefixtures("_plain_classes")
def test_a_constructors_refusal_names_the_node() -> None:
    cfg = OmegaConf.create({"head": {"_target_": SIGMOID, "threshold": 2.0}})
    with pytest.raises(InputError, match=r"^head\.threshold=2\.0: must lie in \(0, 1\)$") as caught:
        build(cfg.head)
    assert isinstance(caught.value.__cause__, ValueError)
    with pytest.raises(InputError, match=r"^class table: 1 classes"):
        build({"_target_": TABLE, "names": ["background"]})


@pytest.mark.parametrize(
    "extra", [{"_args_": [1]}, {"_partial_": "yes"}, {"_recursive_": 1}, {"_convert_": "none"}], ids=str
)
def test_hydras_special_keys_are_looked_at(extra: dict[str, Any]) -> None:
    assert next(iter(extra)) in error({"x": {"_target_": SIGMOID, **extra}})
    check({"x": {"_target_": SIGMOID, "_convert_": "all"}})


@dataclass
class Stage:
    name: str = "s"
    options: Any = None


@dataclass
class Root:
    seed: int = 0
    data: Any = None
    stage: Stage = field(default_factory=Stage)
    stages: list[Stage] = field(default_factory=list)
    named: dict[str, Stage] = field(default_factory=dict)


def test_extra_keys_under_a_schema_are_refused() -> None:
    good = {"seed": 1, "data": {"anything": 1}, "stage": {"name": "a", "options": {"b": 1}}, "stages": [{"name": "c"}]}
    check_extra_keys(OmegaConf.create(good | {"seed": "${nope}"}), Root)
    cases = {
        "sed": {"sed": 1},
        "stage.nmae": {"stage": {"nmae": 1}},
        "stages[0].nmae": {"stages": [{"nmae": 1}]},
        "named.x.nmae": {"named": {"x": {"nmae": 1}}},
    }
    for path, cfg in cases.items():
        with pytest.raises(InputError) as caught:
            check_extra_keys(OmegaConf.create(cfg), Root)
        assert str(caught.value).startswith(f"{path}: the config has no such key; did you mean ")
