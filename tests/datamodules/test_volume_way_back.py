"""The whole way of a volume: file, frame, stored grid, prediction, and back to the file's grid."""

from __future__ import annotations

import sys

import nibabel
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from datamodules.partial_label import PartialLabelDataModule
from datamodules.sources.nifti import NiftiSource
from datamodules.sources.volume import VolumeReader
from datamodules.stored_grid import StoredGrid
from partial_labels.batch import IGNORE, ValidationBatch
from partial_labels.errors import InputError
from tests.volumes import ORIENTATIONS, MadeVolumes, write, write_series

SHAPE = (24, 20, 3)


def ball(at, radius, shape=SHAPE):
    """Return a ball of foreground, (R, A, S), around a point given in voxels."""
    voxels = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    return (sum((v - a) ** 2 for v, a in zip(voxels, at, strict=True)) <= radius**2).astype(np.uint8)


def centre(mask):
    return np.argwhere(mask).mean(axis=0)


@settings(max_examples=60, suppress_health_check=[HealthCheck.filter_too_much])
@given(
    st.sampled_from(ORIENTATIONS),
    st.tuples(*[st.floats(0.5, 3)] * 3),
    st.sampled_from(["scale", "pad", "spacing"]),
    st.tuples(st.integers(12, 70), st.integers(12, 70)),
    st.tuples(st.floats(8, 15), st.floats(8, 11)),
)
def test_a_structure_comes_back_in_its_place(tmp_path_factory, orientation, spacing, fit, size, at):
    """However a volume lies, and to whatever grid it is brought: nothing moves by more than half a source voxel."""
    folder = tmp_path_factory.mktemp("way")
    mask = ball((*at, 1), 4.5)
    path = write(folder / "ct.nii.gz", mask, orientation=orientation, spacing=spacing)
    volume = VolumeReader(orientation="PLS").read(path)
    grid = StoredGrid(size, fit, (1.0, 1.2) if fit == "spacing" else None)
    place = grid.place((SHAPE[1], SHAPE[0]), volume.frame.spacing_mm)
    assume(min(place.offset) >= 0)  # else a part of the structure is cropped away
    predicted = []
    for one in volume.image:
        image = place.image(one * np.uint8(200))
        seen = torch.from_numpy(image / np.float32(200))  # a network that answers what it sees
        back = place.native(torch.stack([1 - seen, seen]))
        predicted.append(back.argmax(0).numpy().astype(np.uint8))
    volume.write(folder / "out.nii.gz", np.stack(predicted))
    before, after = nibabel.load(path), nibabel.load(folder / "out.nii.gz")
    assert np.array_equal(before.affine, after.affine)
    voxels = [np.asarray(image.dataobj) for image in (before, after)]
    assert np.abs(centre(voxels[0]) - centre(voxels[1])).max() <= 0.5


def test_native_evaluation_compares_with_the_file_s_own_label(tmp_path):
    """The label that the store holds, taken for a prediction, comes back as the label in the file."""
    root = tmp_path / "set"
    for index, (spacing, lies) in enumerate([((1.0, 1.0, 2.0), "LPS"), ((1.5, 2.0, 2.0), "SAR")]):
        image = np.random.default_rng(index).integers(0, 99, SHAPE).astype(np.int16)
        write(root / "images" / f"c{index}.nii.gz", image, orientation=lies, spacing=spacing)
        write(root / "labels" / f"c{index}.nii.gz", ball((12, 10, 1), 5), orientation="RAS", spacing=spacing)
    module = PartialLabelDataModule(
        source=NiftiSource(root=str(root), classes=["organ"]),
        cache=str(tmp_path / "cache"),
        image_size=[40, 48],
        fit="spacing",
        spacing_mm=1.0,
    )
    assert module.spacing_mm() == (1.0, 1.0)
    native = module.spacing_mm(native=True)
    assert np.allclose(native, [[1.0, 1.0]] * 3 + [[2.0, 1.5]] * 3)
    store = module.opened
    for index in range(len(store)):
        batch = module.evaluation_loader("all").dataset[0]
        case = ValidationBatch(*(type(part)(*(f[index : index + 1] for f in part)) for part in batch[:2]), batch.volume)
        stored = torch.from_numpy(np.array(store.labels[index]) == 1).float()
        probs, case = module.to_native(torch.stack([1 - stored, stored]), case)
        drawn = ball((12, 10, 1), 5)[::-1, ::-1].transpose(2, 1, 0)[index % 3]
        assert np.array_equal(case.seen.label[0].numpy(), drawn)
        assert (probs.argmax(0).numpy() != drawn).mean() < 0.02
        assert IGNORE in np.unique(store.labels[index]) or index >= 3


def test_the_spacing_of_slices_that_differ_is_kept_for_each(tmp_path):
    def spacing(fit, native):
        module = PartialLabelDataModule(MadeVolumes(tmp_path / "r"), str(tmp_path / "cache"), image_size=8, fit=fit)
        return module.spacing_mm(native)

    assert np.allclose(spacing("pad", False), [[1, 1]] * 2 + [[1, 3]] * 3)
    assert np.allclose(spacing("scale", True), [[1, 1]] * 2 + [[1, 3]] * 3)
    assert np.allclose(spacing("scale", False), [[1, 1]] * 2 + [[8 / 5, 3 * 12 / 8]] * 3)


@pytest.mark.parametrize("library", ["nibabel", "pydicom"])
def test_a_missing_library_says_what_to_install(tmp_path, monkeypatch, library):
    path = write(tmp_path / "a.nii", ball((12, 10, 1), 5))
    folder = write_series(tmp_path / "series", ball((12, 10, 1), 5))
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(InputError, match=rf"need the package {library}: pip install 'partialseg\[io\]'"):
        VolumeReader().read(path if library == "nibabel" else folder)
