"""The tables of docs/results.md: each is run by one sweep, which types what its results were recorded with."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from conf.schema import register
from tests.configs import CONF

RESULTS = Path(CONF).parent / "docs" / "results"
SWEEPS = sorted(path.stem for path in Path(CONF, "sweep").glob("*.yaml"))
TABLES = {name: name for name in SWEEPS} | {"openkbp_hidden": "openkbp"}
"""Folders of results, and the sweep that fills them; another name where something is typed beside it."""
BESIDE = {"openkbp_hidden": {"data.hide_classes_fraction=0.5"}}
DEFAULTS = {"ssl=supervised", "loss=masked", "logger=csv", "trainer.progress_bar=false"}
PINNED = ("demo_other_phantom", "networks_acdc_7", "networks_openkbp", "acdc_two_sets_fold0")
"""Tables with rows that were recorded under other defaults: what those were is typed in the sweep."""


def recorded(folder: str) -> dict[str, set[str]]:
    """What was typed for each run of a table."""
    found = {path.stem: json.loads(path.read_text()) for path in (RESULTS / folder).glob("*.json")}
    return {name: {*one["overrides"], f"seed={one['seed']}"} - DEFAULTS for name, one in found.items()}


def planned(folder: str) -> dict[str, set[str]]:
    """What its sweep types for each run."""
    sweep = OmegaConf.load(Path(CONF, "sweep", f"{TABLES[folder]}.yaml"))
    runs = {}
    for name, overrides in sweep.variants.items():
        typed = dict(one.split("=", 1) for one in [*(f"{k}={v}" for k, v in sweep.params.items()), *overrides])
        for seed in str(typed["seed"]).split(","):
            run = {f"{k}={v}" for k, v in {**typed, "seed": seed}.items()}
            runs[f"{name}_seed{seed}"] = (run | BESIDE.get(folder, set())) - DEFAULTS
    return runs


@functools.cache
def settings(words: frozenset[str]) -> Any:
    """What a run would be with this typed, whatever it is called."""
    register()
    GlobalHydra.instance().clear()
    typed = sorted(words, key=lambda one: "." in one.partition("=")[0])
    with initialize_config_dir(CONF, version_base="1.3"):
        cfg = compose("config", [*typed, "++data.root=x", "paths.run=r", "experiment_name=null"])
    content: Any = OmegaConf.to_container(cfg, resolve=True)
    content["ssl"].pop("fractions")  # the stages hold them
    return content


def same(one: set[str], other: set[str]) -> bool:
    """Whether two command lines mean the same run; of what both hold only that is composed on which the rest hangs."""
    both = {word for word in one & other if word.startswith(("ssl=", "optimizer"))}
    return bool(settings(frozenset(one - other | both)) == settings(frozenset(other - one | both)))


@pytest.mark.parametrize("folder", [name for name in TABLES if (RESULTS / name).is_dir()])
def test_a_table_s_sweep_types_what_its_results_were_recorded_with(folder: str) -> None:
    theirs, ours = recorded(folder), planned(folder)
    assert {name.rpartition("_seed")[0] for name in theirs.keys() - ours.keys()} == left_out(TABLES[folder])
    for name in ours.keys() & theirs.keys():  # a run that is planned may not have been recorded yet
        pinned = folder in PINNED and theirs[name] <= ours[name]
        assert theirs[name] == ours[name] or pinned or same(theirs[name], ours[name]), name


def left_out(sweep: str) -> set[str]:
    """Name the rows that the comment of a sweep says it leaves out: those behind its last colon."""
    comment = Path(CONF, "sweep", f"{sweep}.yaml").read_text().partition("variants:")[0]
    listed = comment.partition("Left out")[2].rpartition(":")[2]
    return {word.strip(",.") for word in listed.split() if word != "#"}


@pytest.mark.parametrize("name", SWEEPS)
def test_every_sweep_says_how_it_is_run_and_has_a_table(name: str) -> None:
    assert f"python train.py -m sweep={name}" in Path(CONF, "sweep", f"{name}.yaml").read_text()
    if (RESULTS / name).is_dir():
        assert re.search(rf"\bsweep={name}\b", RESULTS.with_suffix(".md").read_text())
