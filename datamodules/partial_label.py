"""The one DataModule: a source becomes a store, a split and endless streams of augmented batches."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from augment.draws import Draws
from augment.geometry import MirrorRule
from augment.views import WeakView
from datamodules.build import open_or_build
from datamodules.case_writing import common_spacing
from datamodules.dataset import Drawn, EvaluationDataset, ResidentCases, TrainingCases, TrainingDataset, mean_and_std
from datamodules.labeled_subset import ShownLabels, hide_classes, select_labeled, show, show_as_sets
from datamodules.loaders import make_loader
from datamodules.placement import Pair
from datamodules.pools import TrainingPools
from datamodules.presence import present_cells
from datamodules.sampler import Stream, StreamSampler, rare_class_weights
from datamodules.sources.base import Source
from datamodules.splits import PARTS, Split, given_parts, make_split
from datamodules.stored_grid import Fit, StoredGrid
from partial_labels.batch import PartialLabelBatch, ValidationBatch
from partial_labels.case_store import CaseStore
from partial_labels.errors import InputError
from partial_labels.pseudo_store import PseudoRound

log = logging.getLogger(__name__)
Ids = NDArray[np.int64]


class PartialLabelDataModule(pl.LightningDataModule):
    """Labeled and unlabeled cases of one source, as two streams in one batch.

    Args:
        source: Gives the cases; read once, then the store in ``cache`` is opened.
        cache: Folder of the stores that were built.
        root: The source's own key, lifted here so that it is typed as ``data.root=``; the conf hands it on.
        assume_all_examined: Likewise, where the source knows it.
        image_size: Side of the stored slices in pixels, or (H, W).
        fit: How slices of another size are brought to it: ``scale``, ``pad`` or ``spacing``.
        spacing_mm: Side of a stored pixel, or (row, column), for ``fit=spacing``.
        build_workers: Processes that read volumes when the store is built; each holds one in memory.
        split_seed: Seeds the split, the choice of labeled cases and of hidden classes. The same for every ``seed``,
            so that runs of several seeds are measured on the same cases.
        val_fraction: Share of the cases kept for validation, where the source gives no split.
        similarity: Slices more alike than this stay on one side of a split, in (0, 1].
        folds: Cut the training cases in this many folds and validate on one; the given ``val`` is then left alone.
        fold: Which one, from 0.
        labeled_groups: Keep the labels of this many training groups (patients); the others become unlabeled.
        labeled_fraction: Keep the labels of this share of the training groups.
        labeled_first: Keep the labels of the first cases in the source's list order.
        hide_classes_fraction: Share of each training group's examined classes to turn unknown, for simulation.
        simulated_sets: Names of classes, set by set: the labeled groups are dealt out to that many sets, and in each
            only its classes are shown to training, as if partially labeled sets had been joined.
        batch_size: Labeled cases a step, over all processes.
        pseudo_batch_size: Pseudo-labeled cases a step, in stages that use them; by default ``batch_size``.
        unlabeled_batch_size: Unlabeled or open cases a step, likewise.
        val_batch_size: Cases a validation step.
        steps_per_epoch: Micro-batches an epoch; by default the labeled cases once, rounded up.
        sampling: ``uniform``, or ``rare`` to draw cases with rare classes more often.
        num_workers: Loader processes; none are needed where the cases are kept on the device.
        device_cache: Keep the training cases in the memory of the GPU: ``auto`` where they take at most a quarter of
            what is free, ``true`` or ``false``.
        weak: The augmentation of every training image.
        seed: Seeds the order of the cases and the augmentation.
    """

    def __init__(
        self,
        source: Source,
        cache: str,
        root: str | None = None,
        assume_all_examined: bool = False,
        image_size: int | list[int] = 256,
        fit: Fit = "scale",
        spacing_mm: float | list[float] | None = None,
        build_workers: int = 1,
        split_seed: int = 0,
        val_fraction: float = 0.2,
        similarity: float = 0.98,
        folds: int | None = None,
        fold: int | None = None,
        labeled_groups: int | None = None,
        labeled_fraction: float | None = None,
        labeled_first: int | None = None,
        hide_classes_fraction: float = 0.0,
        simulated_sets: Sequence[Sequence[str]] | None = None,
        batch_size: int = 16,
        pseudo_batch_size: int | None = None,
        unlabeled_batch_size: int | None = None,
        val_batch_size: int = 32,
        steps_per_epoch: int | None = None,
        sampling: Literal["uniform", "rare"] = "uniform",
        num_workers: int = 0,
        device_cache: Literal["auto"] | bool = "auto",
        weak: WeakView | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        _at_least(
            1,
            build_workers=build_workers,
            batch_size=batch_size,
            val_batch_size=val_batch_size,
            steps_per_epoch=steps_per_epoch,
        )
        _at_least(1, pseudo_batch_size=pseudo_batch_size, unlabeled_batch_size=unlabeled_batch_size)
        _at_least(0, num_workers=num_workers, seed=seed, split_seed=split_seed)
        self.source, self.cache = source, Path(cache)
        self.grid = StoredGrid.of(image_size, fit, spacing_mm)
        self.build_workers = build_workers
        self.split_seed, self.val_fraction, self.similarity = split_seed, val_fraction, similarity
        self.folds, self.fold = folds, fold
        self.labeled_groups, self.labeled_fraction, self.labeled_first = labeled_groups, labeled_fraction, labeled_first
        self.hide_classes_fraction, self.simulated_sets = hide_classes_fraction, simulated_sets
        self.batch_size = batch_size
        self.batch_sizes = {
            "labeled": batch_size,
            "pseudo_labeled": pseudo_batch_size or batch_size,
            "unlabeled": unlabeled_batch_size or batch_size,
            "open": unlabeled_batch_size or batch_size,
        }
        self.streams: tuple[str, ...] = ("labeled",)
        self.pseudo_round: PseudoRound | None = None
        self.val_batch_size, self.given_steps_per_epoch = val_batch_size, steps_per_epoch
        self.sampling, self.num_workers, self.device_cache = sampling, num_workers, device_cache
        self.weak, self.seed = weak, seed
        self.store: CaseStore | None = None
        self.split: Split | None = None
        self.resident: ResidentCases | None = None
        self.statistics: tuple[tuple[float, ...], tuple[float, ...]] | None = None
        self.batches_seen = 0

    @property
    def opened(self) -> CaseStore:
        """The store, built at first sight."""
        if self.store is None:
            self.store = open_or_build(self.source, self.cache, self.grid, self.build_workers)
        return self.store

    def setup(self, stage: str | None = None, split_file: Path | None = None) -> None:
        """Split the cases and hide what the simulation hides; once.

        Args:
            stage: Lightning's; all stages are set up the same.
            split_file: The ``split.csv`` of a run, to use its split instead of drawing one.

        Raises:
            InputError: If the source contradicts itself or leaves a part empty.
        """
        if self.split is not None:
            return
        store = self.opened
        self.split = self._draw_split(store) if split_file is None else Split.read(split_file, store.cases)
        train = self.split.train
        self.shown = self._shown_labels(store, train)
        self.pools = TrainingPools(store.header.name, train, self.shown.status)
        self.labeled, self.unlabeled = self.pools.labeled, self.pools.unlabeled
        self.cases = TrainingCases(store, self.shown)
        self.mirror = MirrorRule(store.header.left_right_axis, store.classes.mirror)
        if self.weak is not None:
            self.weak.check(self.mirror)

    def _draw_split(self, store: CaseStore) -> Split:
        return make_split(
            store,
            val_fraction=self.val_fraction,
            folds=self.folds,
            fold=self.fold,
            similarity=self.similarity,
            seed=self.split_seed,
        )

    def _shown_labels(self, store: CaseStore, train: Ids) -> ShownLabels:
        """Decide what training may see: labeled cases are chosen first, then classes are hidden in them."""
        labeled = select_labeled(
            store.cases,
            store.status,
            train,
            labeled_groups=self.labeled_groups,
            labeled_fraction=self.labeled_fraction,
            labeled_first=self.labeled_first,
            seed=self.split_seed,
        )
        status = np.zeros_like(store.status)
        status[labeled] = store.status[labeled]
        if self.simulated_sets is not None:
            status = show_as_sets(store.cases, status, labeled, self.simulated_sets, store.classes, self.split_seed)
        return show(
            store.status, hide_classes(store.cases, status, labeled, self.hide_classes_fraction, self.split_seed)
        )

    def begin_stage(self, streams: Sequence[str], pseudo_round: PseudoRound | None = None) -> None:
        """Say what the next fit draws from; a stream without a case is left out, with a warning.

        Args:
            streams: Of ``labeled``, ``pseudo_labeled``, ``unlabeled`` and ``open``, in the order of their rows.
            pseudo_round: What a teacher filled in. Pseudo-labeled cases are drawn with it, and so are the
                labeled cases that it completed.

        Raises:
            InputError: If no stream has a case.
        """
        self.pseudo_round, self.resident, self.batches_seen = pseudo_round, None, 0
        self.cases = TrainingCases(self.opened, self.shown, pseudo_round)
        self.any_open_labeled = len(self.pools.open_labeled) > 0
        self.streams = tuple(name for name in streams if len(self.pools.of_stream(name, pseudo_round)))
        name = self.opened.header.name
        if not self.streams:
            raise InputError(f"{name}: no training case is {' or '.join(streams)}; loosen pseudo.filters")
        for missing in set(streams) - set(self.streams):
            log.warning("%s: no training case is %s; this stage goes on without", name, missing)

    @property
    def steps_per_epoch(self) -> int:
        """Micro-batches an epoch."""
        return self.given_steps_per_epoch or -(-len(self.labeled) // self.batch_size)

    def intensity_statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return mean and standard deviation of each channel of the training cases, for the network's first layer."""
        if self.statistics is None:
            self.statistics = mean_and_std(self.opened, self.part("train"))
        constant = [channel for channel, std in enumerate(self.statistics[1]) if not std > 0]
        if constant:
            which = f"channel {constant[0]} of " if self.opened.header.channels > 1 else ""
            raise InputError(
                f"{self.opened.header.name}: {which}every training image is constant; check the source's files"
            )
        return self.statistics

    def part(self, name: str) -> Ids:
        """Return the cases of ``train``, ``val``, ``test``, or of ``all``, which needs no split.

        Nor does a part of a source that gives none of its cases to train, as a set to test on: nothing is drawn there.
        """
        if name not in (*PARTS, "all"):
            raise InputError(f"part={name}: choose one of {', '.join(PARTS)}, all")
        if name == "all":
            return np.arange(len(self.opened), dtype=np.int64)
        if self.split is None and "train" not in (given := given_parts(self.opened)):
            ids: Ids = np.flatnonzero(given == name).astype(np.int64)
        else:
            self.setup()
            ids = getattr(self.split, name)
        if not len(ids):
            raise InputError(f"{self.opened.header.name}: the split has no {name} cases; choose another part")
        return ids

    def train_dataloader(self) -> DataLoader[Drawn]:
        """Return the endless streams, cut into epochs."""
        self._make_resident()
        dataset = TrainingDataset(None if self.resident else self.cases)
        workers = 0 if self.resident else self.num_workers
        self.drawing = self.sampler()
        self.drawing.resume_from(*divmod(self.batches_seen, self.steps_per_epoch))
        return make_loader(dataset, workers, sampler=self.drawing)

    def sampler(self) -> StreamSampler:
        """Return the sampler of the training batches of this process."""
        weights = None
        if self.sampling == "rare":
            present = present_cells(self.opened)
            weights = rare_class_weights(present, self.shown.status, self.labeled)
        streams = [
            Stream(
                name,
                self.pools.of_stream(name, self.pseudo_round),
                self.batch_sizes[name],
                weights=weights if name == "labeled" else None,
                completed=self.pseudo_round is not None and name in ("labeled", "pseudo_labeled"),
            )
            for name in self.streams
        ]
        rank, world = self._rank_and_world()
        return StreamSampler(streams, self.steps_per_epoch, self.seed, rank=rank, world=world)

    def state_dict(self) -> dict[str, Any]:
        """Return how many batches of this stage were seen, and what they were drawn from."""
        seen = self.trainer.fit_loop.epoch_loop.batch_progress.total.ready  # type: ignore[union-attr]
        return {"batches_seen": seen, "drawn_from": self.drawing.fingerprint()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the batch that comes next.

        Raises:
            InputError: If it would not be drawn from the same cases.
        """
        if state_dict["drawn_from"] != self.sampler().fingerprint():
            raise InputError(
                f"{self.opened.path}: its training cases are not those that the run was begun with; "
                "restore the source, or start a new run"
            )
        self.batches_seen = state_dict["batches_seen"]

    @property
    def first_open_row(self) -> int:
        """First row of this process's batches that can hold an unknown cell."""
        return 0 if self.any_open_labeled else self.labeled_rows

    @property
    def labeled_rows(self) -> int:
        """Rows of this process's batches that the labeled stream takes; they come first."""
        return self.batch_size // self._rank_and_world()[1] if "labeled" in self.streams else 0

    def strong_draws(self, epoch: int, step: int) -> tuple[int, Draws]:
        """Return the first row to see strongly, and the random numbers of it and the rows below."""
        first = self.labeled_rows
        rows = torch.tensor(self.drawing.rows[first:], dtype=torch.int64)
        return first, Draws(self.seed, epoch, step, rows, self.drawing.global_size, stream=1)

    def val_dataloader(self) -> DataLoader[ValidationBatch]:
        """Return the validation cases of this process, in order and without augmentation."""
        return self.evaluation_loader("val")

    def evaluation_loader(self, part: str) -> DataLoader[ValidationBatch]:
        """Return the cases of a part of the split, each with what is shown and with the truth."""
        rank, world = self._rank_and_world()
        dataset = EvaluationDataset(self.opened, self.part(part)[rank::world], self.val_batch_size)
        return make_loader(dataset, self.num_workers)

    def filling_loader(self, complete_labeled: bool = False) -> DataLoader[ValidationBatch]:
        """Return the training cases that a teacher may fill, as training is shown them, with what is known.

        Args:
            complete_labeled: Whether labeled cases with an unknown class come too.
        """
        ids = self.pools.to_fill(complete_labeled)
        shown = TrainingCases(self.opened, self.shown)
        return make_loader(EvaluationDataset(self.opened, ids, self.val_batch_size, shown), self.num_workers)

    def spacing_mm(self, native: bool = False) -> Pair | NDArray[np.float64] | None:
        """Return the side of a pixel (row, column) of all cases, or (N, 2) where they differ; None where not known.

        Args:
            native: Of the source grid instead of the stored one.
        """
        store = self.opened
        if not native and store.header.spacing_mm is not None:
            return store.header.spacing_mm
        sides = [row.spacing_mm or self.source.spacing_mm for row in store.cases]
        if any(side is None for side in sides):
            return None
        spacing = np.array(sides, dtype=np.float64)
        if not native:
            shapes = [(row.height, row.width) for row in store.cases]
            spacing *= np.array(shapes) / [self.grid.place(one).scaled for one in shapes]
        return common_spacing([(row, column) for row, column in spacing.tolist()]) or spacing

    def to_native(self, probs: Tensor, case: ValidationBatch) -> tuple[Tensor, ValidationBatch]:
        """Bring the prediction (C, H, W) and the label of one case to the source grid.

        The label is the source's own, never resized; where the source's truth holds more, it is not known there.
        """
        store, number = self.opened, int(case.seen.case_id)
        row = store.cases[number]
        label = torch.from_numpy(np.array(store.native_label(number)))[None].to(probs.device)
        seen = case.seen._replace(label=label)
        place = self.grid.place((row.height, row.width), row.spacing_mm or self.source.spacing_mm, row.name)
        return place.native(probs), case._replace(seen=seen, truth=seen)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Move tensors alone: the numbers of a draw decide what is run, and Lightning would look at each of them."""
        if device.type == "cpu":
            return batch
        if not isinstance(batch, Drawn):
            return super().transfer_batch_to_device(batch, device, dataloader_idx)
        return batch._replace(batch=super().transfer_batch_to_device(batch.batch, device, dataloader_idx))

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> PartialLabelBatch | ValidationBatch:
        """Gather cases that live on the device, and give every training image its weak view."""
        if not isinstance(batch, Drawn):
            kept: ValidationBatch = batch
            return kept
        cases = batch.batch
        if isinstance(cases, Tensor):
            assert self.resident is not None
            cases = self.resident.read(cases, batch.draw.completed)
        if self.weak is None:
            return cases
        draw = batch.draw
        draws = Draws(self.seed, draw.epoch, draw.step, torch.tensor(draw.rows), self.drawing.global_size)
        return self.weak(cases, draws, self.mirror)

    def _rank_and_world(self) -> tuple[int, int]:
        trainer = self.trainer
        return (trainer.global_rank, trainer.world_size) if trainer is not None else (0, 1)

    def _make_resident(self) -> None:
        """Copy the training cases to the GPU where that is wanted and possible."""
        device = self.trainer.strategy.root_device if self.trainer is not None else torch.device("cpu")
        if self.resident is not None or self.device_cache is False:
            return
        train = self.part("train")
        if self.device_cache == "auto":
            if device.type != "cuda":
                return
            free, _ = torch.cuda.mem_get_info(device)
            if ResidentCases.bytes_needed(self.opened, len(train)) > free // 4:
                return
        self.resident = ResidentCases(self.cases, train, device)
        log.info("%d training cases are kept on %s", len(train), device)


def _at_least(least: int, **values: int | None) -> None:
    """Refuse values below ``least``; None is "not given"."""
    for key, value in values.items():
        if value is not None and value < least:
            raise ValueError(f"{key}={value}: must be at least {least}")
