"""Write a trained network as a program of its own: ``python -m runs.export checkpoint=RUN output=FOLDER``.

The folder then holds ``network.pt2`` (torch.export), ``network.onnx`` and ``network.json`` with the class names; both
programs take intensities in [0, 1] and give class ids (``docs/export.md``).
"""

from __future__ import annotations

from omegaconf import DictConfig

from conf.schema import register
from runs.cli import run_cli


def main(cfg: DictConfig) -> None:
    """Export, and say where to."""
    from runs.portable import export_command

    print(f"programs and class names: {export_command(cfg)}")


if __name__ == "__main__":
    register()
    run_cli(main, config_name="export", config_path="../conf")
