"""Train a network on partially labeled slices: ``python train.py model=attunet loss=masked seed=1``.

Composes the configuration in ``conf/``, checks it, fits the stages of the strategy and writes the run directory.
"""

from __future__ import annotations

from omegaconf import DictConfig

from conf.schema import register
from runs.cli import run_cli


def main(cfg: DictConfig) -> float:
    """Run one job and return the monitored figure of its last checkpoint."""
    from runs.found import run_to_resume

    if cfg.resume is not None:
        run_to_resume(cfg.resume)  # before the libraries load: a wrong name is answered at once
    from reports.run.page import write_run_page
    from runs.resume import continued, original
    from runs.training import train

    cfg = continued(original(cfg))
    results = train(cfg)
    print(f"report: {write_run_page(cfg.paths.run)}")
    return float(results["figures"]["last"].get(cfg.monitor.removeprefix("val/"), "nan"))


if __name__ == "__main__":
    register()
    run_cli(main, config_name="config")
