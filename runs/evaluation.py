"""Measures a checkpoint on a part of a data set: the end of a run and ``evaluate.py`` share it."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from conf.schema import EvaluateConfig
from partial_labels.classes import ClassTable
from partial_labels.errors import InputError
from runs.checkpoints.loading import Loaded, check_channels, check_size, run_directory_of, write_json
from runs.configuration.instantiate import build, check, check_extra_keys
from runs.ensembles import Inference, load_all, load_for, plain
from runs.evaluation_record import FILE, check_comparable, evaluation_record, finished_evaluation
from runs.found import find_checkpoints
from runs.hardware.device import settings_here
from runs.hardware.interrupts import interruptible
from runs.hardware.trainer import make_trainer
from runs.stages.fitting import GIVEN
from runs.trained_cases import warn_of_trained

log = logging.getLogger(__name__)

EVALUATION = "lightning_modules.evaluation.EvaluationModule"


def evaluate(
    checkpoint: Any,
    data: Any,
    report: DictConfig,
    output: Path,
    part: str = "val",
    native: bool = False,
    nsd_tolerance_mm: float = 2.0,
    network: str | None = None,
    trainer: DictConfig | None = None,
    inference: Inference | None = None,
    baseline: Path | None = None,
) -> dict[str, float]:
    """Measure one checkpoint, or the mean of several, and write its tables and pictures.

    Args:
        checkpoint: The checkpoint file, or a list of several.
        data: A DataModule; classes are matched by name.
        report: Callbacks that turn the predictions into tables and pictures.
        output: Folder for them, and for ``figures.json``.
        part: ``val``, ``test``, ``train`` or ``all``.
        native: Compare on the source grid.
        nsd_tolerance_mm: Tolerance of the normalised surface Dice.
        network: ``student`` or ``teacher``; None for the one that was monitored.
        trainer: The run's trainer node; device, precision and threads are taken from it.
        inference: Threshold, test-time augmentation and post-processing; None for none of them.
        baseline: Folder of an evaluation of the same cases that its page compares it with; None for none.

    Returns:
        The figures under their log keys without a prefix: ``dice``, ``dice_volume``, ``hd95_mm``, ...
    """
    if not 0 <= nsd_tolerance_mm < float("inf"):
        raise InputError(f"nsd_tolerance_mm={nsd_tolerance_mm}: must be finite, 0 or more")
    store = data.opened
    loaded, refine = load_for(checkpoint, network, store.header.size, inference or Inference())
    check_channels(loaded, store)
    matched = loaded.classes.match(store.classes)
    if len(matched) < 2:
        raise InputError(
            f"{checkpoint}: none of its classes has the name of a class of {store.header.name}; "
            f"it knows {', '.join(loaded.classes.foreground[:5])} ..."
        )
    check_size(loaded.network, store.header.size)
    module = build(
        {"_target_": EVALUATION},
        network=loaded.network,
        head=loaded.head,
        classes=loaded.classes,
        target=store.classes,
        spacing_mm=data.spacing_mm(native),
        nsd_tolerance_mm=nsd_tolerance_mm,
        to_native=data.to_native if native else None,
        refine=refine,
    )
    record = evaluation_record(
        find_checkpoints(checkpoint),
        loaded.classes,
        data,
        part,
        native,
        nsd_tolerance_mm=nsd_tolerance_mm,
        network=network or str(loaded.config.ssl.monitored or "student"),
        inference=(inference or Inference()).suffix(0).replace("_", " ").strip(),
    )
    if baseline is not None:
        check_comparable(baseline, record)
    warn_of_trained(find_checkpoints(checkpoint), data, part)
    output.mkdir(parents=True, exist_ok=True)
    callbacks = [build(node, output=str(output)) for node in report.values() if node is not None]
    runner = make_trainer(1, str(output), **settings(trainer), callbacks=callbacks)
    with interruptible(runner):
        runner.test(module, dataloaders=data.evaluation_loader(part), verbose=False)
    figures: dict[str, float] = module.figures
    write_json(output / "figures.json", figures)
    write_json(output / FILE, record | {"baseline": None if baseline is None else str(baseline.resolve())})
    return figures


def settings(trainer: DictConfig | None) -> dict[str, Any]:
    """Return what an evaluation shares with its run, so that the figures agree; without a GPU it takes the CPU."""
    values: dict[str, Any] = {"progress_bar": False}
    if trainer is not None:
        run = plain(trainer)
        values |= settings_here(run) | {"tf32": run.get("tf32", True)}
    return values


def evaluate_command(cfg: DictConfig) -> tuple[dict[str, float], Path]:
    """Evaluate what the command line asks for: the run's own data, or another data set.

    Returns:
        The figures, and the folder of the tables.
    """
    check_extra_keys(cfg, EvaluateConfig)
    check(cfg, given=GIVEN)
    content, *others = load_all(cfg.checkpoint, cfg.network)
    inference = Inference(cfg.tta, cfg.threshold, cfg.peak, cfg.postprocess)
    own = cfg.data is None
    node = content.config.data if own else cfg.data
    data = build(node, where="data")
    run = run_directory_of(content.checkpoint)
    split = run / "split.csv"
    if not own:
        report_classes(content.classes, data.opened.classes)
        report_size(content.config, data.opened.header.size)
    elif split.exists():
        data.setup(split_file=split)
    output = Path(cfg.output) if cfg.output else run / "evaluation" / folder_name(cfg, [content, *others], data)
    common = {
        "part": cfg.part,
        "native": cfg.native,
        "nsd_tolerance_mm": cfg.nsd_tolerance_mm,
        "network": cfg.network,
        "trainer": content.config.trainer,
        "inference": inference,
    }
    baseline = None
    if cfg.baseline is not None:
        baseline = finished_evaluation(cfg.baseline)
        if baseline is not None and baseline.resolve() == output.resolve():
            raise InputError(f"baseline={cfg.baseline}: this evaluation would be written there; give output=FOLDER")
        if baseline is None:
            baseline = output / "baseline"
            evaluate(cfg.baseline, data, without_printing(cfg.report), baseline, **common)
    checkpoints = [str(one.checkpoint) for one in (content, *others)]
    figures = evaluate(checkpoints, data, cfg.report, output, **common, baseline=baseline)
    return figures, output


def folder_name(cfg: DictConfig, loaded: list[Loaded], data: Any) -> str:
    """Name the folder of an evaluation, so that no other one of the same run has it.

    What words say badly, such as which views or which other networks, is told apart by six digits of a hash.
    """
    first, *others = (one.checkpoint for one in loaded)
    inference = Inference(cfg.tta, cfg.threshold, cfg.peak, cfg.postprocess)
    stage = first.parent.name if first.resolve().parent.parent.name == "checkpoints" else ""
    words = [stage, first.stem, data.opened.path.name, cfg.part, cfg.network, "source_grid" if cfg.native else ""]
    name = "_".join(word for word in words if word) + inference.suffix(len(others))
    views, cleaning = inference.views() is not None, inference.cleaning() is not None
    details = [
        [str(one.resolve()) for one in others],
        OmegaConf.to_container(cfg.tta) if views else None,
        OmegaConf.to_container(cfg.postprocess) if cleaning else None,
        cfg.nsd_tolerance_mm,
    ]
    if details == [[], None, None, EvaluateConfig.nsd_tolerance_mm]:
        return name
    return f"{name}_{hashlib.sha256(json.dumps(details).encode()).hexdigest()[:6]}"


def without_printing(report: DictConfig) -> DictConfig:
    """Return the report's callbacks with the table in the terminal switched off."""
    quiet = report.copy()
    if quiet.get("tables"):
        quiet.tables.show = False
    return quiet


def report_classes(known: ClassTable, asked: ClassTable) -> None:
    """Say which classes of the data the checkpoint does not know; they are left out."""
    unknown = [name for i, name in enumerate(asked.names) if i not in {*known.match(asked).values()}]
    if unknown:
        log.warning("the checkpoint does not know, and the figures leave out: %s", ", ".join(unknown))


def report_size(config: DictConfig, asked: tuple[int, int]) -> None:
    """Warn where the data come at another size than the network was trained at: anatomy then has another scale."""
    trained = config.data.image_size
    if asked != ((trained, trained) if isinstance(trained, int) else tuple(trained)):
        log.warning("trained at data.image_size=%s, measured at %s x %s", trained, *asked)
