"""Types of the root, the paths and the strategy: a misspelt or ill-typed key stops at composition.

Everything below a ``_target_`` is checked against the constructor's signature instead
(:mod:`runs.configuration.instantiate`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf


@dataclass
class Paths:
    """Where a run reads and writes.

    Args:
        run: The run directory.
        cache: Folder of the case stores that were built.
        record: A JSON file that also receives the run's results, for the tables of the docs; null for none.
    """

    run: str = "${hydra:runtime.output_dir}"
    cache: str = MISSING
    record: str | None = None


@dataclass
class Stage:
    """One fit of a strategy.

    Args:
        name: Names the folder of its checkpoints and its part of the curves.
        module: The LightningModule, without what the run gives it (network, head, loss, optimizer, schedule).
        fraction: Its share of ``trainer.max_epochs``; whole epochs, at least one.
        streams: What its batches are drawn from: ``labeled``, ``pseudo_labeled``, ``unlabeled`` cases, or
            ``open`` ones, of which some class is unknown.
        init: Initial weights: ``scratch`` (random, or those of :class:`Init`), or ``<stage>/last``, ``<stage>/best`` of
            an earlier stage.
        teacher: Weights of the teacher, likewise; null for the student's own.
        pseudo: The earlier stage whose pseudo-labels it learns from; null for none.
        callbacks: The callbacks it brings, by name.
    """

    name: str = MISSING
    module: Any = MISSING
    fraction: float = 1.0
    streams: list[str] = field(default_factory=lambda: ["labeled"])
    init: str = "scratch"
    teacher: str | None = None
    pseudo: str | None = None
    callbacks: dict[str, Any] = field(default_factory=dict)


@dataclass
class SSL:
    """A strategy: a short list of stages, fitted one after the other in one run directory.

    Args:
        name: The strategy.
        stages: Its stages.
        fractions: Their shares of ``trainer.max_epochs``, in order; null, as below, where a strategy has no such thing.
        decay: Largest decay of a mean teacher.
        unsupervised_weight: What the weight of the consistency term grows to.
        rampup_fraction: Share of a stage's steps in which it grows.
        monitored: Which network is ``val/``: ``student`` or ``teacher``.
        stream: Of a mean teacher: which cases the student sees strongly, ``unlabeled`` or ``open``.
    """

    name: str = MISSING
    stages: list[Stage] = field(default_factory=list)
    fractions: list[float] | None = None
    decay: float | None = None
    unsupervised_weight: float | None = None
    rampup_fraction: float | None = None
    monitored: str | None = None
    stream: str | None = None


@dataclass
class Init:
    """Weights of another run, for the stages whose ``init`` is ``scratch``.

    Args:
        checkpoint: Its directory or one of its checkpoint files; null for random weights.
        network: ``student`` or ``teacher``; null for the one that the run monitored.
        strict: Refuse weights of another name or shape; false takes what agrees. Rows of output layers are taken by
            the names of their classes, and need not agree.
    """

    checkpoint: str | None = None
    network: str | None = None
    strict: bool = True


@dataclass
class TrainConfig:
    """The root of ``train.py``; the groups are the folders of ``conf/``.

    Args:
        seed: Seeds initial weights, order and augmentation.
        monitor: The figure that chooses the best checkpoint.
        debug: Whether errors show tracebacks.
        experiment_name: Title of the report.
        resume: The directory of a run to continue, in the configuration that it was begun with.
        resume_overrides: Keys that may differ from it.
        paths: Where the run reads and writes.
        ssl: The strategy.
        init: Weights of another run.
    """

    seed: int = 0
    monitor: str = "val/dice"
    debug: bool = False
    experiment_name: str | None = None
    resume: str | None = None
    resume_overrides: list[str] = field(default_factory=list)
    paths: Paths = field(default_factory=Paths)
    ssl: SSL = field(default_factory=SSL)
    init: Init = field(default_factory=Init)
    data: Any = MISSING
    model: Any = MISSING
    head: Any = MISSING
    loss: Any = MISSING
    augment: Any = MISSING
    consistency: Any = MISSING
    pseudo: Any = MISSING
    optimizer: Any = MISSING
    scheduler: Any = MISSING
    trainer: Any = MISSING
    callbacks: Any = MISSING
    logger: Any = MISSING
    report: Any = MISSING


@dataclass
class EvaluateConfig:
    """The root of ``evaluate.py``.

    Args:
        checkpoint: A checkpoint file or run directory to evaluate, or a list of several, whose probabilities are
            averaged.
        network: ``student`` or ``teacher``; null for the one that the run monitored.
        data: Another data set; null for the run's own, with the split written in its run directory.
        part: The cases to evaluate: ``val``, ``test``, ``train`` or ``all``.
        native: Compare on the source grid instead of the stored one.
        nsd_tolerance_mm: Tolerance of the normalised surface Dice, in mm; where no spacing is known it is 1 pixel.
        threshold: Least probability of a class, in (0, 1); null for the one that the run decoded by.
        peak: Probability, from the threshold to below 1, that one pixel of an image must reach for its class to be
            drawn there; null likewise.
        tta: Test-time augmentation.
        postprocess: What is done to label maps.
        baseline: What the page compares with, on the same cases: the folder of an evaluation, or a checkpoint (or a
            list of several), which is then measured first; null for nothing.
        output: Folder for the tables; null for ``evaluation/`` beside the checkpoint's run.
    """

    checkpoint: Any = MISSING
    network: str | None = None
    data: Any = None
    augment: Any = None
    report: Any = None
    part: str = "val"
    native: bool = False
    nsd_tolerance_mm: float = 2.0
    threshold: float | None = None
    peak: float | None = None
    tta: Any = None
    postprocess: Any = None
    baseline: Any = None
    output: str | None = None
    seed: int = 0
    debug: bool = False
    paths: Paths = field(default_factory=Paths)


@dataclass
class PredictConfig:
    """The root of ``predict.py``.

    Args:
        checkpoint: A checkpoint file or run directory, or a list of several, whose probabilities are averaged.
        input: A file, a folder of files, the folder of a DICOM series, or a case store.
        output: Folder for what is written; a killed prediction goes on where it stopped.
        pattern: Which paths below an input folder to take, such as ``*/ct.nii.gz``.
        format: ``source``: as the input is; or ``challenge``: the table of challenge 165 besides.
        reference: A table whose header the challenge's must have, such as its example; null for none.
        probabilities: Whether to write them, float16.
        overlays: Whether to draw pictures.
        network: ``student`` or ``teacher``; null for the one that the run monitored.
        threshold: Least probability of a class, in (0, 1); null for the one that the run decoded by.
        peak: Probability, from the threshold to below 1, that one pixel of an image must reach for its class to be
            drawn there; null likewise.
        image_size: Size at which the networks see slices; null for the one that they were trained at.
        tta: Test-time augmentation.
        postprocess: What is done to label maps.
        reader: How volumes are turned and windowed; null for how the run's training data were.
        batch_size: Slices a batch.
        workers: Threads that read, and as many that write.
        accelerator: ``auto``, ``cpu`` or ``gpu``; null, as with the two below, for the run's own.
        precision: ``auto`` or one of Lightning's.
        threads: CPU threads of torch.
        progress_bar: Whether to show one.
    """

    checkpoint: Any = MISSING
    input: str = MISSING
    output: str = MISSING
    pattern: str = "*"
    format: str = "source"
    reference: str | None = None
    probabilities: bool = False
    overlays: bool = False
    network: str | None = None
    threshold: float | None = None
    peak: float | None = None
    image_size: Any = None
    tta: Any = None
    postprocess: Any = None
    reader: Any = None
    batch_size: int = 32
    workers: int = 4
    accelerator: str | None = None
    precision: str | None = None
    threads: int | None = None
    progress_bar: bool = True
    debug: bool = False


@dataclass
class PrepareConfig:
    """The root of ``prepare.py``: builds a store and writes its page.

    Args:
        data: The data set.
        augment: The augmentation that the page shows.
        output: The page.
        verify: Read the whole store before and compare it with its checksums.
        seed: Seeds the augmentation.
        debug: Whether errors show tracebacks.
        paths: Where stores are built.
    """

    data: Any = MISSING
    augment: Any = MISSING
    output: str = "data.html"
    verify: bool = False
    seed: int = 0
    debug: bool = False
    paths: Paths = field(default_factory=Paths)


@dataclass
class ExportConfig:
    """The root of ``python -m runs.export``.

    Args:
        checkpoint: The checkpoint file, or a run directory.
        output: A new folder for the programs.
        network: ``student`` or ``teacher``; null for the one that the run monitored.
        formats: ``pt2``, ``onnx``, or both.
        data: The data set whose slices the programs are checked on; null for the run's own.
        slices: How many of them.
    """

    checkpoint: str = MISSING
    output: str = MISSING
    network: str | None = None
    formats: list[str] = field(default_factory=lambda: ["pt2", "onnx"])
    data: Any = None
    augment: Any = None
    slices: int = 32
    seed: int = 0
    debug: bool = False
    paths: Paths = field(default_factory=Paths)


@dataclass
class Tune:
    """How ``tune.py`` searches.

    Args:
        trials: Trials of the study, whichever process ran them; a failed one counts, a killed one is run again.
        sampler: ``tpe``, ``grid`` (every combination of choices and steps) or ``random``.
        pruner: ``median``, ``hyperband`` or ``none``: what ends a trial whose Dice lags behind.
        startup_trials: Trials before sampling learns from others, and before pruning compares with them.
        warmup_validations: Validations of a trial before it may be pruned.
        default_first: Whether the first trial is the configuration as it is.
        seed: Of the sampler.
        heartbeat_seconds: How often a running trial says that it lives; after three times as long it counts as killed.
        keep_checkpoints: Keep those of every trial, not only of the best so far.
        experiment: Folder for the best trial, written as an experiment.
    """

    trials: int = 20
    sampler: str = "tpe"
    pruner: str = "median"
    startup_trials: int = 5
    warmup_validations: int = 1
    default_first: bool = True
    seed: int = 0
    heartbeat_seconds: int = 30
    keep_checkpoints: bool = False
    experiment: str = MISSING


@dataclass
class TuneConfig(TrainConfig):
    """The root of ``tune.py``: a run's configuration, and what is searched in it."""

    tune: Tune = field(default_factory=Tune)
    search: Any = MISSING


def run_dir(resume: str | None, fresh: str) -> str:
    """Return the directory of a run: that of the one to resume, where it is one, or a fresh one."""
    return resume if resume and (Path(resume).expanduser() / "config.yaml").is_file() else fresh


def register(train: type[TrainConfig] = TrainConfig) -> None:
    """Make the schemas known to Hydra, as ``<entry point>_schema``.

    Args:
        train: The root of ``config.yaml``; ``tune.py`` stands on that file and its root has two keys more. (Merged in
            behind it, as a schema of its own, its defaults would undo what the groups have set.)
    """
    OmegaConf.register_new_resolver("run_dir", run_dir, replace=True)
    store = ConfigStore.instance()
    store.store(name="train_schema", node=train)
    store.store(name="evaluate_schema", node=EvaluateConfig)
    store.store(name="predict_schema", node=PredictConfig)
    store.store(name="prepare_schema", node=PrepareConfig)
    store.store(name="export_schema", node=ExportConfig)
