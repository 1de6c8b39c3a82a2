"""Checkpoints of networks that were never trained: their answers are noise, and differ from weight to weight."""

from pathlib import Path

import torch
from omegaconf import OmegaConf

from models.normalised import NormalisedNetwork
from partial_labels.classes import ClassTable
from runs.configuration.instantiate import build
from tests.configs import composed

CLASSES = ClassTable.from_foreground(["liver", "kidney_left", "kidney_right"])


def untrained(path: Path, *overrides, classes=CLASSES, size=32, seed=0):
    """Write ``path`` and return it; the configuration is that of a small run, with what is given besides."""
    small = ("data=slices", "data.root=x", f"data.image_size={size}", "model.width=4", "model.depth=3", "trainer=cpu")
    cfg = composed(path.parent, *small, *overrides)
    head = build(cfg.head)
    torch.manual_seed(seed)
    network = NormalisedNetwork(build(cfg.model, in_channels=1, out_channels=head.channels(len(classes))))
    network.set_statistics(0.4, 0.2)
    for layer in network.network.to_logits:  # far from undecided, so that rounding decides nothing
        torch.nn.init.normal_(layer.weight, std=20)
    weights = {f"student.{name}": value for name, value in network.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(
        {
            "config": OmegaConf.to_container(cfg, resolve=True),
            "classes": classes.to_json(),
            "monitored": "student",
            "state_dict": weights,
        },
        path,
    )
    return path
