from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from datamodules.build import open_or_build
from datamodules.stored_grid import StoredGrid
from partial_labels.errors import InputError
from tests.volumes import MadeVolumes, made_slice

ROOT = Path(__file__).parents[2]


def readings(folder):
    return sorted(path.name.partition(".")[0] for path in folder.iterdir())


def folders(cache):
    return [path for path in cache.iterdir() if path.is_dir()]


def test_a_store_of_volumes_holds_their_slices_in_order(tmp_path):
    source = MadeVolumes(tmp_path / "readings")
    store = open_or_build(source, tmp_path / "cache", StoredGrid.of(8, "scale"))
    assert [row.name for row in store.cases] == ["v0_0", "v0_1", "v2_0", "v2_1", "v2_2"]
    for case, (number, index) in enumerate([(0, 0), (0, 1), (2, 0), (2, 1), (2, 2)]):
        made = made_slice(number, index)
        assert np.array_equal(store.native_label(case), made.label)
        assert store.cases[case].spacing_mm == made.spacing_mm
        assert store.status[case].tolist() == [0, 1, 0]
        if number == 0:
            assert np.array_equal(store.images[case], made.image)
    assert store.header.spacing_mm is None
    assert readings(tmp_path / "readings") == ["v0", "v1", "v2"]
    assert folders(tmp_path / "cache") == [store.path]
    open_or_build(source, tmp_path / "cache", StoredGrid.of(8, "scale"))
    assert len(readings(tmp_path / "readings")) == 3


def test_a_target_spacing_makes_a_millimetre_the_same_everywhere(tmp_path):
    store = open_or_build(
        MadeVolumes(tmp_path / "readings"), tmp_path / "cache", StoredGrid.of((4, 20), "spacing", (2.0, 2.0))
    )
    assert store.header.spacing_mm == (2.0, 2.0)
    covered = (store.labels != 255).sum(axis=(1, 2))
    assert covered.tolist() == [16, 16, 72, 72, 72]
    assert store.native_label(4).shape == (8, 12)


@pytest.mark.parametrize("workers", [1, 2])
def test_after_a_failure_only_what_is_missing_is_read(tmp_path, workers):
    with pytest.raises(InputError, match="v2: made to fail"):
        open_or_build(
            MadeVolumes(tmp_path / "readings", fails=(2, 1)),
            tmp_path / "cache",
            StoredGrid.of(8, "pad"),
            workers=workers,
        )
    assert readings(tmp_path / "readings") == ["v0", "v1", "v2"]
    store = open_or_build(
        MadeVolumes(tmp_path / "readings", slices=(2, 1, 3)), tmp_path / "cache", StoredGrid.of(8, "pad")
    )
    assert readings(tmp_path / "readings") == ["v0", "v1", "v1", "v2", "v2"]
    assert [row.name for row in store.cases] == ["v0_0", "v0_1", "v1_0", "v2_0", "v2_1", "v2_2"]
    assert folders(tmp_path / "cache") == [store.path]


def test_options_make_other_volumes(tmp_path):
    with pytest.raises(InputError):
        open_or_build(MadeVolumes(tmp_path / "readings", fails=(2, 1)), tmp_path / "cache", StoredGrid.of(8, "pad"))
    open_or_build(MadeVolumes(tmp_path / "readings", version="2"), tmp_path / "cache", StoredGrid.of(8, "pad"))
    assert readings(tmp_path / "readings") == ["v0", "v0", "v1", "v1", "v2", "v2"]


def test_a_source_that_keeps_no_slice_is_refused(tmp_path):
    with pytest.raises(InputError, match="no slice is left of 2 volumes"):
        open_or_build(MadeVolumes(tmp_path / "readings", slices=(0, 0)), tmp_path / "cache", StoredGrid.of(8, "pad"))


def test_a_killed_build_goes_on(tmp_path):
    script = textwrap.dedent("""
        import os, signal, sys
        from pathlib import Path
        from datamodules.build import open_or_build
        from datamodules.stored_grid import StoredGrid
        from tests.volumes import MadeVolumes

        class Killed(MadeVolumes):
            def read(self, number):
                for case in super().read(number):
                    yield case
                    if number == 2:
                        os.kill(os.getpid(), signal.SIGKILL)

        open_or_build(Killed(Path(sys.argv[1]) / "readings"), Path(sys.argv[1]) / "cache", StoredGrid.of(8, "pad"))
    """)
    command = [sys.executable, "-c", script, str(tmp_path)]
    killed = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert killed.returncode == -signal.SIGKILL
    store = open_or_build(MadeVolumes(tmp_path / "readings"), tmp_path / "cache", StoredGrid.of(8, "pad"))
    assert readings(tmp_path / "readings") == ["v0", "v1", "v2", "v2"]
    assert len(store) == 5
    assert folders(tmp_path / "cache") == [store.path]


def test_memory_does_not_grow_with_the_set(tmp_path):
    def peak(volumes):
        source = MadeVolumes(tmp_path / f"{volumes}", slices=(8,) * volumes)
        tracemalloc.start()
        open_or_build(source, tmp_path / "cache", StoredGrid.of(512, "scale"))
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    peak(1)
    assert peak(12) < 1.2 * peak(3)
