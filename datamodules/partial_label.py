"""The one DataModule: a source becomes a store, a split and endless streams of augmented batches."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from augment.draws import Draws
from augment.mirror import MirrorRule
from augment.views import WeakView
from datamodules.build import open_or_build
from datamodules.dataset import Drawn, EvaluationDataset, TrainingCases, TrainingDataset, mean_and_std
from datamodules.labeled_subset import shown_labels
from datamodules.loaders import make_loader
from datamodules.placement import Pair
from datamodules.pools import TrainingPools
from datamodules.presence import present_cells
from datamodules.resident_cases import ResidentCases, keep_resident
from datamodules.sampler import StreamSampler, rare_class_weights
from datamodules.source_grid import SourceGrid
from datamodules.sources.base import Source
from datamodules.splits import PARTS, Split, given_parts, make_split
from datamodules.stored_grid import Fit, StoredGrid
from partial_labels.batch import PartialLabelBatch, ValidationBatch
from partial_labels.case_store import CaseStore
from partial_labels.errors import InputError
from partial_labels.pseudo_store import PseudoRound
from partial_labels.ranges import at_least

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
        at_least(1, build_workers=build_workers, batch_size=batch_size, val_batch_size=val_batch_size)
        at_least(1, steps_per_epoch=steps_per_epoch, pseudo_batch_size=pseudo_batch_size)
        at_least(1, unlabeled_batch_size=unlabeled_batch_size)
        at_least(0, num_workers=num_workers, seed=seed, split_seed=split_seed)
        self.source, self.cache = source, Path(cache)
        self.grid = StoredGrid.of(image_size, fit, spacing_mm)
        self.build_workers = build_workers
        self.draw_split = partial(
            make_split, val_fraction=val_fraction, folds=folds, fold=fold, similarity=similarity, seed=split_seed
        )
        self.show = partial(
            shown_labels,
            labeled_groups=labeled_groups,
            labeled_fraction=labeled_fraction,
            labeled_first=labeled_first,
            hide_classes_fraction=hide_classes_fraction,
            simulated_sets=simulated_sets,
            seed=split_seed,
        )
        self.batch_size = batch_size
        self.batch_sizes = {"labeled": batch_size, "pseudo_labeled": pseudo_batch_size or batch_size}
        self.batch_sizes |= dict.fromkeys(("unlabeled", "open"), unlabeled_batch_size or batch_size)
        self.streams: tuple[str, ...] = ("labeled",)
        self.pseudo_round: PseudoRound | None = None
        self.val_batch_size, self.given_steps_per_epoch = val_batch_size, steps_per_epoch
        self.sampling, self.num_workers, self.device_cache = sampling, num_workers, device_cache
        self.weak, self.seed = weak, seed
        self.split: Split | None = None
        self.resident: ResidentCases | None = None
        self.statistics: tuple[tuple[float, ...], tuple[float, ...]] | None = None
        self.batches_seen = 0

    @cached_property
    def opened(self) -> CaseStore:
        """The store, built at first sight."""
        return open_or_build(self.source, self.cache, self.grid, self.build_workers)

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
        self.split = self.draw_split(store) if split_file is None else Split.read(split_file, store.cases)
        train = self.split.train
        self.shown = self.show(store, train)
        self.pools = TrainingPools(store.header.name, train, self.shown.status)
        self.labeled, self.unlabeled = self.pools.labeled, self.pools.unlabeled
        self.cases = TrainingCases(store, self.shown)
        self.mirror = MirrorRule(store.header.left_right_axis, store.classes.mirror)
        if self.weak is not None:
            self.weak.check(self.mirror)

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
        self.streams = self.pools.not_empty(streams, pseudo_round)

    @property
    def steps_per_epoch(self) -> int:
        """Micro-batches an epoch."""
        return self.given_steps_per_epoch or -(-len(self.labeled) // self.batch_size)

    def intensity_statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return mean and standard deviation of each channel of the training cases, for the network's first layer."""
        if self.statistics is None:
            self.statistics = mean_and_std(self.opened, self.part("train"))
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
        if self.resident is None:
            device = self.trainer.strategy.root_device if self.trainer is not None else torch.device("cpu")
            self.resident = keep_resident(self.cases, self.part("train"), device, self.device_cache)
        dataset = TrainingDataset(None if self.resident else self.cases)
        workers = 0 if self.resident else self.num_workers
        self.drawing = self.sampler()
        self.drawing.resume_from(*divmod(self.batches_seen, self.steps_per_epoch))
        return make_loader(dataset, workers, sampler=self.drawing)

    def sampler(self) -> StreamSampler:
        """Return the sampler of the training batches of this process."""
        weights = None
        if self.sampling == "rare":
            weights = rare_class_weights(present_cells(self.opened), self.shown.status, self.labeled)
        streams = self.pools.streams(self.streams, self.batch_sizes, self.pseudo_round, weights)
        return StreamSampler(streams, self.steps_per_epoch, self.seed, *self._rank_and_world())

    def state_dict(self) -> dict[str, Any]:
        """Return how many batches of this stage were seen, and what they were drawn from."""
        seen = self.trainer.fit_loop.epoch_loop.batch_progress.total.ready  # type: ignore[union-attr]
        return {"batches_seen": seen, "drawn_from": self.drawing.fingerprint()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the batch that comes next.

        Raises:
            InputError: If it would not be drawn from the same cases.
        """
        self.sampler().check(state_dict["drawn_from"], str(self.opened.path))
        self.batches_seen = state_dict["batches_seen"]

    @property
    def any_open_labeled(self) -> bool:
        """Whether a labeled training case has an unknown cell."""
        return len(self.pools.open_labeled) > 0

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

    @cached_property
    def source_grid(self) -> SourceGrid:
        """The grids that the slices had in the source."""
        return SourceGrid(self.opened, self.grid, self.source.spacing_mm)

    def spacing_mm(self, native: bool = False) -> Pair | NDArray[np.float64] | None:
        """Return the side of a pixel of the stored or the source grid; see :meth:`SourceGrid.spacings`."""
        return self.source_grid.spacings(native)

    def to_native(self, probs: Tensor, case: ValidationBatch) -> tuple[Tensor, ValidationBatch]:
        """Bring the prediction (C, H, W) and the label of one case to the source grid."""
        return self.source_grid.bring(probs, case)

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
