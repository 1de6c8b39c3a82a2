"""Build a case store and look at the data: ``python prepare.py data=slices data.root=FOLDER``."""

from __future__ import annotations

from omegaconf import DictConfig

from conf.schema import register
from runs.cli import run_cli


def main(cfg: DictConfig) -> None:
    """Build the store and write ``data.html``."""
    from reports.data.page import write_data_page
    from runs.preparation import prepare

    prepared = prepare(cfg)
    print(f"store: {prepared.store.path}")
    print(f"page: {write_data_page(**prepared._asdict())}")


if __name__ == "__main__":
    register()
    run_cli(main, config_name="prepare")
