"""What ``predict.py`` does: load, find a device, predict, and say what could not be."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from conf.schema import PredictConfig
from partial_labels.array_file import sha256
from partial_labels.errors import InputError
from runs.checkpoints.loading import Loaded
from runs.configuration.instantiate import build, check, check_extra_keys
from runs.ensembles import Inference, join, load_all, plain, reader_of
from runs.found import find_input
from runs.hardware.device import find_place, settings_here

log = logging.getLogger(__name__)

PREDICTION = "inference.prediction.Prediction"
HANDED_ON = (*("pattern", "format", "reference", "probabilities", "overlays", "batch_size", "workers", "progress_bar"),)
"""Keys that the prediction takes as they are."""
DECISIVE = ("network", "threshold", "peak", "image_size", "tta", "postprocess", "reader", "probabilities", "overlays")
"""Keys that decide what is written; a folder holds predictions of one kind."""


def predict_command(cfg: DictConfig) -> Any:
    """Predict what the command line asks for.

    Returns:
        The outcome (:class:`inference.prediction.Outcome`).

    Raises:
        InputError: If anything that the user gave is wrong; what cannot be read is among the outcome's failures.
    """
    check_extra_keys(cfg, PredictConfig)
    check(cfg)
    members = load_all(cfg.checkpoint, cfg.network)
    inference = Inference(cfg.tta, cfg.threshold, cfg.peak, cfg.postprocess)
    ensemble = join(members, inference, cfg.image_size)
    asked = {key: cfg[key] for key in ("accelerator", "precision", "threads")}
    place = find_place(**settings_here(plain(members[0].config.trainer), **asked))
    log.info("networks: %d, classes: %d, views: %d", len(members), len(ensemble.classes) - 1, ensemble.num_views)
    prediction = build(
        {"_target_": PREDICTION, **{key: cfg[key] for key in HANDED_ON}},
        ensemble=ensemble.to(place.device, place.dtype).eval(),
        reader=lambda: reader_of(members, cfg.reader),
        postprocess=build(cfg.postprocess, where="postprocess"),
        device=place.device,
        autocast=place.autocast,
        dtype=place.dtype,
    )
    return prediction.run(find_input(cfg.input), Path(cfg.output), settings_of(cfg, members))


def settings_of(cfg: DictConfig, members: Sequence[Loaded]) -> dict[str, Any]:
    """Return what decides the outputs, as plain values."""
    chosen: Any = OmegaConf.to_container(cfg, resolve=True)
    checkpoints = [{"path": str(one.checkpoint), "sha256": sha256(one.checkpoint)} for one in members]
    return {"input": str(Path(cfg.input).resolve()), "checkpoint": checkpoints} | {key: chosen[key] for key in DECISIVE}


def refuse_failures(failures: Sequence[Any]) -> None:
    """End the command where something could not be read, after everything else was written.

    Raises:
        InputError: Naming each, with its reason.
    """
    if failures:
        reasons = "; ".join(one.reason for one in failures)
        raise InputError(f"{len(failures)} could not be read, all others are written: {reasons}")
