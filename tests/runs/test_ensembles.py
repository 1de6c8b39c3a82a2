from pathlib import Path
from unittest.mock import Mock

import pytest
from omegaconf import OmegaConf

from partial_labels.errors import InputError
from partial_labels.head import SigmoidHead
from runs.checkpoints.loading import Loaded
from runs.ensembles import axis_of, reader_of

READER = {"_target_": "datamodules.sources.volume.VolumeReader", "orientation": "PLS"}
VOLUMES = {"_target_": "datamodules.sources.nifti.NiftiSource", "root": "a", "reader": READER}
BARE = {"_target_": "datamodules.sources.nifti.NiftiSource", "root": "a"}


def slices(axis):
    return {"_target_": "datamodules.sources.slices.SlicesSource", "root": "b", "left_right_axis": axis}


def joined(*sets):
    sources = {f"set{number}": one for number, one in enumerate(sets)}
    return {"_target_": "datamodules.sources.joined.JoinedSource", "sources": sources, "reader": READER}


@pytest.mark.parametrize(
    ("sets", "axis"),
    [
        ([slices("rows")], "rows"),
        ([slices("rows"), slices("rows")], "rows"),
        ([slices("rows"), slices("none")], "none"),
        ([slices("none")], "none"),
        ([VOLUMES], "columns"),
        ([BARE, slices("columns")], "columns"),
        ([VOLUMES, slices("none")], "none"),
    ],
)
def test_joined_sets_lie_as_their_store_says(sets, axis):
    assert axis_of(joined(*sets)) == axis


def test_joined_slices_do_not_say_how_to_read_volumes():
    def read(*sets):
        config = OmegaConf.create({"data": {"source": joined(*sets)}})
        return reader_of([Loaded(Mock(), SigmoidHead(), Mock(), config, Path("a.ckpt"))], None)

    assert read(BARE, slices("none")).orientation == "PLS"
    with pytest.raises(InputError, match=r"a\.ckpt: it was trained on slices, not volumes"):
        read(slices("rows"))
