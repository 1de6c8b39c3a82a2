"""The training cases, by what is known of them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from datamodules.labeled_subset import has_labels
from datamodules.sampler import Stream
from partial_labels.batch import UNKNOWN
from partial_labels.errors import InputError
from partial_labels.pseudo_store import PseudoRound

log = logging.getLogger(__name__)
Ids = NDArray[np.int64]
STREAMS = ("labeled", "pseudo_labeled", "unlabeled", "open")
"""What a stage's batches can be drawn from; of what a teacher filled in, the first two are shown."""


@dataclass(frozen=True)
class TrainingPools:
    """The training cases of one split.

    Args:
        name: The data set, for messages.
        train: Ids of the training cases.
        status: (N, C) status of every case of the store, as training is shown it.
    """

    name: str
    train: Ids
    status: NDArray[np.uint8]

    @cached_property
    def labeled(self) -> Ids:
        """Cases of which a human examined at least one class."""
        return self.train[has_labels(self.status[self.train])]

    @cached_property
    def unlabeled(self) -> Ids:
        """Cases of which nothing is known."""
        return self.train[~has_labels(self.status[self.train])]

    @cached_property
    def open(self) -> Ids:
        """Cases with a class that nobody examined: the unlabeled ones, and labeled ones that are so in part."""
        cases: Ids = np.union1d(self.unlabeled, self.open_labeled)
        return cases

    @cached_property
    def open_labeled(self) -> Ids:
        """Labeled cases with a class that nobody examined."""
        labeled = self.labeled
        cases: Ids = labeled[(self.status[labeled] == UNKNOWN).any(axis=1)]
        return cases

    def to_fill(self, complete_labeled: bool) -> Ids:
        """Return the cases that a teacher may fill: the unlabeled ones and, if asked, the open labeled ones."""
        return self.open if complete_labeled else self.unlabeled

    def of_stream(self, stream: str, pseudo_round: PseudoRound | None) -> Ids:
        """Return the cases that a stream draws from.

        Pseudo-labeled cases are the unlabeled ones of which the round accepted anything; they stay unlabeled ones too.
        """
        if stream == "labeled":
            return self.labeled
        if stream in ("unlabeled", "open"):
            return self.unlabeled if stream == "unlabeled" else self.open
        if pseudo_round is None:
            return self.train[:0]
        return np.intersect1d(self.unlabeled, pseudo_round.case_ids[pseudo_round.accepted])

    def not_empty(self, streams: Sequence[str], pseudo_round: PseudoRound | None) -> tuple[str, ...]:
        """Return the streams that have a case, with a warning of the others.

        Raises:
            InputError: If none has.
        """
        found = tuple(name for name in streams if len(self.of_stream(name, pseudo_round)))
        if not found:
            raise InputError(f"{self.name}: no training case is {' or '.join(streams)}; loosen pseudo.filters")
        for missing in set(streams) - set(found):
            log.warning("%s: no training case is %s; this stage goes on without", self.name, missing)
        return found

    def streams(
        self,
        names: Sequence[str],
        batch_sizes: Mapping[str, int],
        pseudo_round: PseudoRound | None,
        weights: NDArray[np.float64] | None = None,
    ) -> list[Stream]:
        """Return the streams that a stage draws from.

        Args:
            names: Which, in the order of their rows.
            batch_sizes: The rows that each takes in the global batch.
            pseudo_round: What a teacher filled in; labeled and pseudo-labeled cases are drawn with it.
            weights: Of the draws of the labeled cases.
        """
        return [
            Stream(
                name,
                self.of_stream(name, pseudo_round),
                batch_sizes[name],
                weights=weights if name == "labeled" else None,
                completed=pseudo_round is not None and name in ("labeled", "pseudo_labeled"),
            )
            for name in names
        ]

    def check(self, streams: Sequence[str], pseudo: bool, complete_labeled: bool) -> None:
        """Refuse streams that can only be empty, before anything is trained.

        Args:
            streams: Of ``STREAMS``.
            pseudo: Whether a teacher will have labeled cases.
            complete_labeled: Whether it also fills open labeled cases.

        Raises:
            InputError: If a name is unknown, or there is nothing but known cells to learn from.
        """
        if not streams or not set(streams) <= set(STREAMS):
            raise InputError(f"streams={list(streams)}: choose from {', '.join(STREAMS)}")
        if "pseudo_labeled" in streams and not pseudo:
            raise InputError("streams: pseudo_labeled needs a stage of its own before it; name it as pseudo=")
        if set(streams) == {"labeled"} or len(self.unlabeled):
            return
        anything_open = len(self.open_labeled) > 0
        if not anything_open or (pseudo and not complete_labeled):
            advice = ", or pseudo.complete_labeled=true" if anything_open else ""
            raise InputError(
                f"{self.name}: no training case is unlabeled; set data.labeled_groups= or data.labeled_first={advice}, "
                "or ssl=supervised"
            )
