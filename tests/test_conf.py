"""Every file of conf/ composes, and names only what exists."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from conf.schema import register
from runs.configuration.instantiate import check
from runs.stages.fitting import GIVEN
from runs.stages.plan import check_stages, epochs_of
from tests.configs import CONF

GROUPS = ("data", "model", "loss", "ssl", "consistency", "pseudo", "augment", "optimizer", "scheduler", "trainer")
CHOICES = [
    f"{path.parent.name}={path.stem}"
    for group in (*GROUPS, "callbacks", "logger", "report", "experiment")
    for path in sorted((Path(CONF) / group).glob("*.yaml"))
    if not f"{group}={path.stem}".startswith("data=base")
]


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_composes_and_names_what_exists(choice, tmp_path):
    register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(CONF, version_base="1.3"):
        cfg = compose("config", overrides=[choice, f"paths.run={tmp_path}", "paths.cache=x"])
    if OmegaConf.is_missing(cfg.data, "root"):
        cfg.data.root = "x"
    check(cfg, given=GIVEN)
    check_stages(cfg)
    assert sum(epochs_of(cfg)) <= cfg.trainer.max_epochs


def test_the_report_s_phases_have_its_lengths(tmp_path):
    register()
    lengths = {"report_teacher_student": [100, 100], "report_pretrain_finetune": [100, 40, 40]}
    for name, expected in lengths.items():
        GlobalHydra.instance().clear()
        with initialize_config_dir(CONF, version_base="1.3"):
            cfg = compose("config", overrides=[f"experiment={name}", "data.root=x", f"paths.run={tmp_path}"])
        assert epochs_of(cfg) == expected
        assert cfg.pseudo.filters.top_k.k == 800
