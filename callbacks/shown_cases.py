"""Which cases pictures show."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np


def shown_cases(loader: Any, count: int, places: Literal["ends", "middles"] = "ends") -> dict[int, str]:
    """Choose cases at even steps through an evaluated part, the same at every call.

    Args:
        loader: Of an :class:`datamodules.dataset.EvaluationDataset`.
        count: How many, at most.
        places: ``ends`` from the first case to the last, ``middles`` of ``count`` equal shares: a volume's outermost
            slices often show nothing.

    Returns:
        Their names by their row in the case table.
    """
    names = loader.dataset.store.cases.column("name")
    case_ids = np.concatenate(loader.dataset.batches)
    if places == "ends":
        chosen = np.linspace(0, len(case_ids) - 1, min(count, len(case_ids))).round()
    else:
        chosen = (np.arange(count) + 0.5) / count * len(case_ids)
    return {int(case): str(names[case]) for case in case_ids[chosen.astype(int)]}
