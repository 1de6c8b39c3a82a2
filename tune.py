"""Search a configuration's keys for the best Dice: ``python tune.py search=optimizer experiment=demo tune.trials=20``.

What is searched stands in ``conf/search/``; everything else that is typed holds for every trial, as for ``train.py``.
"""

from __future__ import annotations

from omegaconf import DictConfig

from conf.schema import TuneConfig, register
from runs.cli import run_cli


def main(cfg: DictConfig) -> float:
    """Search, and return the best value."""
    from runs.sweeps.search import search

    best = search(cfg)
    print(f"best: {best.value:.4f} with {' '.join(best.overrides)}")
    print(f"use it: python train.py --config-dir={best.experiment.parents[1]} experiment={best.experiment.stem}")
    return best.value


if __name__ == "__main__":
    register(train=TuneConfig)
    run_cli(main, config_name="tune")
