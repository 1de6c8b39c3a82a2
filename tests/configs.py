"""Configurations of small runs, composed as the command line composes them."""

from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from conf.schema import register

CONF = str(Path(__file__).parents[1] / "conf")


def composed(root, *overrides, config="config"):
    register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(CONF, version_base="1.3"):
        return compose(config, overrides=[f"paths.cache={root}/cache", f"paths.run={root}/run", *overrides])


def small_run(folder, *overrides, root=None):
    """Compose a run of a few seconds on the slices of a folder."""
    small = ("data.image_size=32", "data.batch_size=4", "data.similarity=1.0", "model.width=4", "model.depth=3")
    fast = ("trainer=cpu", "trainer.max_epochs=2", "trainer.progress_bar=false", "logger=csv")
    return composed(root or folder.parent, "data=slices", f"data.root={folder}", *small, *fast, *overrides)
