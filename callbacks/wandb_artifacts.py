"""Checkpoints and pseudo-labels as versioned W&B artifacts."""

from __future__ import annotations

from typing import final

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from callbacks.checkpoints import checkpoints_of
from callbacks.pseudo_label_writer import PseudoLabelWriter
from callbacks.wandb_run import wandb_run


@final
class WandbArtifacts(Callback):
    """Hands over what a stage has left when it is finished: its checkpoints, and its round of pseudo-labels.

    Args:
        enabled: ``logger.artifacts``.
    """

    def __init__(self, enabled: bool = True) -> None:
        self.enabled = enabled

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Log them; this comes after the last ``on_fit_end``, in which pseudo-labels are written."""
        run = wandb_run(trainer) if self.enabled and stage == "fit" and not trainer.interrupted else None
        if run is None:
            return
        import wandb  # a second that runs without it need not wait

        checkpoints = checkpoints_of(trainer)
        written = {checkpoints.last, checkpoints.best} if checkpoints else set()
        for file in sorted(path for path in written if path is not None):
            artifact = wandb.Artifact(f"{run.id}-{file.parent.name}", "model", metadata={"file": file.name})
            artifact.add_file(str(file))
            run.log_artifact(artifact, aliases=[file.stem])
        for one in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(one, PseudoLabelWriter) and one.output.is_dir():
                artifact = wandb.Artifact(f"{run.id}-pseudo-labels-{one.output.name}", "pseudo-labels")
                artifact.add_dir(str(one.output))
                run.log_artifact(artifact)
