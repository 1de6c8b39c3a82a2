"""Measure a checkpoint: ``python evaluate.py checkpoint=RUN/checkpoints/supervised/last.ckpt``.

On the run's own data it gives the run's own figures; with ``data=slices data.root=...`` another data set is taken and
classes are matched by name.
"""

from __future__ import annotations

from omegaconf import DictConfig

from conf.schema import register
from runs.cli import run_cli


def main(cfg: DictConfig) -> None:
    """Evaluate and print the figures."""
    from runs.found import find_checkpoints

    find_checkpoints(cfg.checkpoint)  # before the libraries load: a wrong name is answered at once
    from reports.evaluation.page import write_evaluation_page
    from runs.evaluation import evaluate_command

    figures, output = evaluate_command(cfg)
    for name, value in figures.items():
        if "/" not in name:
            print(f"{name:20} {value:.6f}")
    print(f"report: {write_evaluation_page(output)}")


if __name__ == "__main__":
    register()
    run_cli(main, config_name="evaluate")
