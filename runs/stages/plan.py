"""What a strategy's list of stages says, checked before anything is built: references, options, epochs."""

from __future__ import annotations

import itertools

from omegaconf import DictConfig, OmegaConf

from partial_labels.errors import InputError
from runs.checkpoints.ledger import STAGE_NAME


def check_stages(cfg: DictConfig) -> None:
    """Refuse stages that refer to what does not come before them, and options that the strategy does not have.

    Raises:
        InputError: Naming the stage and the key.
    """
    if not cfg.ssl.stages:
        raise InputError("ssl.stages is empty: name at least one stage")
    text = OmegaConf.to_yaml(cfg.ssl.stages)
    for key, value in () if cfg.resume else cfg.ssl.items():  # the configuration of a run has no references left
        if key not in ("name", "stages") and value is not None and f"${{ssl.{key}" not in text:
            raise InputError(f"ssl.{key}={value}: ssl={cfg.ssl.name} has no {key}")
    earlier: list[str] = []
    for stage in cfg.ssl.stages:
        where = f"ssl stage {stage.name}"
        if not STAGE_NAME.fullmatch(stage.name):
            raise InputError(f"{where}: a stage gives a folder its name; use letters, digits, _, - and .")
        if stage.name in earlier:
            raise InputError(f"{where}: two stages have this name")
        for key in ("init", "teacher"):
            name, _, which = (stage[key] or "scratch").partition("/")
            if (name, which) != ("scratch", "") and (name not in earlier or which not in ("last", "best")):
                known = ", ".join(f"{one}/last" for one in earlier) or "there is none"
                raise InputError(f"{where}: {key}={stage[key]} is not last or best of an earlier stage ({known})")
        if stage.pseudo is not None and stage.pseudo not in earlier:
            raise InputError(f"{where}: pseudo={stage.pseudo} is no earlier stage ({', '.join(earlier) or 'none'})")
        earlier.append(stage.name)


def epochs_of(cfg: DictConfig) -> list[int]:
    """Return the epochs of each stage, at least one; together they are the run's where the fractions sum to 1."""
    total = cfg.trainer.max_epochs
    if total < len(cfg.ssl.stages):
        raise InputError(f"trainer.max_epochs={total}: must be at least {len(cfg.ssl.stages)}, one for each stage")
    ends = [0]
    begun = 0.0
    for left, stage in zip(reversed(range(len(cfg.ssl.stages))), cfg.ssl.stages, strict=True):
        begun += stage.fraction
        if not 0 < stage.fraction <= 1 or begun > 1 + 1e-6:
            raise InputError(
                f"ssl stage {stage.name}: fraction={stage.fraction}: must lie in (0, 1], all together in 1"
            )
        ends.append(min(max(ends[-1] + 1, round(begun * total)), total - left))  # one is left for each that follows
    return [end - start for start, end in itertools.pairwise(ends)]
