"""Predict with a trained network: ``python predict.py checkpoint=RUN input=FOLDER_OR_FILE output=FOLDER``.

Images, volumes and case stores become label maps on their own grid; several checkpoints are averaged.
"""

from __future__ import annotations

from omegaconf import DictConfig

from conf.schema import register
from runs.cli import run_cli


def main(cfg: DictConfig) -> None:
    """Predict, and say what was written and how fast; what could not be read ends the command with code 1."""
    from runs.found import find_checkpoints, find_input

    find_checkpoints(cfg.checkpoint)  # before the libraries load: a wrong name is answered at once
    find_input(cfg.input)
    from runs.prediction import predict_command, refuse_failures

    outcome = predict_command(cfg)
    speed = f", {outcome.slices / outcome.seconds:.1f} slices/s" if outcome.slices else ""
    print(f"predicted: {outcome.done}, done before: {outcome.skipped}, slices: {outcome.slices}{speed}")
    print(f"label maps: {cfg.output}/labels, pixels and volumes: {cfg.output}/structures.csv")
    if outcome.submission is not None:
        print(f"submission: {outcome.submission}")
    refuse_failures(outcome.failures)


if __name__ == "__main__":
    register()
    run_cli(main, config_name="predict")
