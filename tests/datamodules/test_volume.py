from __future__ import annotations

import gzip

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules.sources.frame import Frame, left_right_axis
from datamodules.sources.volume import VolumeReader
from partial_labels.errors import InputError
from tests.volumes import ORIENTATIONS, lying, write, write_series

SHAPE = (5, 4, 3)
VOXELS = np.arange(60, dtype=np.int16).reshape(SHAPE) - 20
RADIOLOGICAL = VOXELS[::-1, ::-1].transpose(2, 1, 0)
"""The same as slices of rows to the back and columns to the left."""


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_however_a_volume_lies_it_is_turned_to_one_frame_and_back(tmp_path, orientation):
    path = write(tmp_path / "ct.nii.gz", VOXELS, orientation=orientation, spacing=(0.7, 0.8, 3.0))
    volume = VolumeReader().read(path)
    assert np.array_equal(volume.image, RADIOLOGICAL)
    assert volume.frame.spacing_mm == pytest.approx((0.8, 0.7))
    assert volume.frame.voxel_ml == pytest.approx(0.00168)
    assert np.array_equal(volume.to_source(volume.image), np.asarray(nibabel.load(path).dataobj))


@pytest.mark.parametrize("orientation", ["PLS", "RAS", "LPI", "SAR", "ILA"])
def test_the_frame_can_be_chosen(tmp_path, orientation):
    volume = VolumeReader(orientation=orientation).read(write(tmp_path / "ct.nii", VOXELS, orientation="AIR"))
    assert np.array_equal(volume.image.transpose(1, 2, 0), lying(VOXELS, orientation)[0])


@pytest.mark.parametrize(
    ("orientation", "axis"), [("PLS", "columns"), ("RAS", "rows"), ("SPL", "none"), ("LAS", "rows"), ("IRP", "columns")]
)
def test_the_left_right_axis_is_that_of_the_frame(orientation, axis):
    assert left_right_axis(orientation) == VolumeReader(orientation=orientation).left_right_axis == axis


def test_a_mirror_along_the_axis_exchanges_left_and_right(tmp_path):
    right = np.zeros(SHAPE, np.uint8)
    right[-1] = 1
    volume = VolumeReader().read(write(tmp_path / "label.nii", right, orientation="SLP"))
    assert volume.image[:, :, 0].all()
    assert volume.image.sum() == right.sum()


@settings(max_examples=40)
@given(
    st.sampled_from(ORIENTATIONS),
    st.tuples(*[st.integers(1, 5)] * 3),
    st.tuples(*[st.floats(0.2, 6)] * 3),
    st.floats(-0.6, 0.6),
)
def test_an_oblique_grid_goes_there_and_back(orientation, shape, spacing, angle):
    array, affine = lying(np.arange(np.prod(shape), dtype=np.int16).reshape(shape), orientation, spacing)
    tilt = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = affine.copy()
    affine[:3, :3] = tilt @ affine[:3, :3]
    frame = Frame(array.shape, affine, "PLS")
    slices = frame.to_canonical(array)
    assert slices.shape == frame.canonical_shape
    assert np.array_equal(frame.to_source(slices), array)
    for index in np.ndindex(slices.shape):
        row, column, number = index[1], index[2], index[0]
        place = frame.canonical_affine @ [row, column, number, 1]
        voxel = np.rint(np.linalg.inv(affine) @ place).astype(int)[:3]
        assert array[tuple(voxel)] == slices[index]


def test_two_files_of_one_place_agree_however_they_lie():
    one, other = (Frame(array.shape, affine) for array, affine in (lying(VOXELS, o) for o in ("RAS", "SPL")))
    assert one.agrees_with(other)
    shifted = other.affine.copy()
    shifted[0, 3] += 0.4
    assert not one.agrees_with(Frame(other.shape, shifted))
    assert not one.agrees_with(Frame((5, 4, 2), one.affine))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "uint16", "float32", "float64"])
def test_every_type_gives_the_same_grey(tmp_path, dtype):
    values = np.array([0, 50, 100, 200], dtype=dtype).reshape(2, 2, 1)
    volume = VolumeReader(window=(50, 150)).read(write(tmp_path / "ct.nii", values))
    assert VolumeReader(window=(50, 150)).grey(volume).ravel().tolist() == [255, 0, 128, 0]


def test_what_a_store_is_named_after_is_what_it_was_before_there_were_several_windows():
    assert VolumeReader(window=(-160, 240)).options == ("PLS", (-160, 240), None)
    assert VolumeReader().options == ("PLS", None, (0.5, 99.5))


def test_a_scaled_file_gives_its_values(tmp_path):
    image = nibabel.Nifti1Image(np.array([[[-1000.0], [0.0], [1000.0]]]), np.eye(4))
    image.header.set_data_dtype(np.int16)
    image.header.set_slope_inter(2.0, -1000.0)
    image.to_filename(tmp_path / "ct.nii")
    assert np.allclose(VolumeReader().read(tmp_path / "ct.nii").image.ravel(), [1000, -1000, -3000])


def test_voxels_that_are_no_number_are_black(tmp_path):
    values = np.array([np.nan, np.inf, -np.inf, 1.0, 0.0, 0.5], dtype=np.float32).reshape(6, 1, 1)
    volume = VolumeReader().read(write(tmp_path / "ct.nii", values))
    assert VolumeReader(percentiles=(0, 100)).grey(volume).ravel()[::-1].tolist() == [0, 255, 0, 255, 0, 128]


def test_a_constant_volume_has_no_percentiles(tmp_path):
    path = write(tmp_path / "ct.nii", np.zeros(SHAPE, np.int16))
    with pytest.raises(InputError, match=r"ct\.nii: every voxel has the same grey value \(0\)"):
        VolumeReader().grey(VolumeReader().read(path))


@pytest.mark.parametrize("by", ["sform", "qform"])
def test_a_prediction_keeps_the_header_of_its_source(tmp_path, by):
    array, affine = lying(VOXELS, "LSA", (0.71234567, 1.3, 2.9))
    affine[:3, 3] = -12.345678, 7.1, 1e-3
    image = nibabel.Nifti1Image(array, None)
    image.set_sform(affine if by == "sform" else None, 1 if by == "sform" else 0)
    image.set_qform(affine, 1)
    image.header.set_slope_inter(1, 0)
    image.header.set_xyzt_units("mm", "sec")
    image.to_filename(tmp_path / "ct.nii.gz")
    volume = VolumeReader().read(tmp_path / "ct.nii.gz")
    volume.write(tmp_path / "out.nii.gz", (volume.image > 0).astype(np.uint8))
    before, after = nibabel.load(tmp_path / "ct.nii.gz"), nibabel.load(tmp_path / "out.nii.gz")
    assert np.array_equal(before.affine, after.affine)
    for name in ("sform_code", "qform_code", "xyzt_units", "pixdim"):
        assert np.array_equal(before.header[name], after.header[name]), name
    assert after.get_data_dtype() == np.uint8
    assert np.array_equal(np.asarray(after.dataobj), array > 0)


def test_a_header_without_orientation_is_reported_once(tmp_path, caplog):
    for name in ("a.nii", "b.nii"):
        image = nibabel.Nifti1Image(VOXELS, None)
        image.to_filename(tmp_path / name)
        VolumeReader().read(tmp_path / name)
    assert caplog.messages == [f"{tmp_path}: files without an orientation in their header; left and right are guessed"]


def test_a_series_is_the_volume_it_was_written_from(tmp_path):
    folder = write_series(tmp_path / "series", VOXELS, (0.7, 0.8, 2.5), slope=2, intercept=-1000)
    volume = VolumeReader().read(folder)
    assert volume.image.dtype == np.int16
    assert np.array_equal(volume.image, 2 * RADIOLOGICAL - 1000)
    assert volume.frame.spacing_mm == pytest.approx((0.8, 0.7))
    same = Frame(SHAPE, np.diag([0.7, 0.8, 2.5, 1.0]))
    assert volume.frame.agrees_with(same)
    volume.write(tmp_path / "out.nii.gz", volume.image)
    assert np.array_equal(VolumeReader().read(tmp_path / "out.nii.gz").image, volume.image)


def test_a_series_of_fractions_is_read_as_such(tmp_path):
    folder = write_series(tmp_path / "series", VOXELS, slope=0.5)
    assert np.allclose(VolumeReader().read(folder).image, RADIOLOGICAL / 2)


def test_one_slice_is_a_series(tmp_path):
    volume = VolumeReader().read(write_series(tmp_path / "one", VOXELS[..., :1], SliceThickness=4))
    assert volume.frame.voxel_ml == pytest.approx(0.004)


def unreadable(path, how):
    affine = np.eye(4)
    if how == "no inverse":
        affine[2, 2] = 0
        header = nibabel.Nifti1Header()
        header.set_data_shape(SHAPE)
        header.set_sform(affine, 1)
        image = nibabel.Nifti1Image(VOXELS, None, header)
        image.header.set_sform(affine, 1)
        image.to_filename(path)
    elif how == "4D":
        write(path, np.zeros((3, 3, 3, 2), np.int16), affine)
    elif how == "colour":
        write(path, np.zeros((3, 3, 3), [("R", "u1"), ("G", "u1"), ("B", "u1")]), affine)
    elif how == "truncated":
        path.write_bytes(write(path, np.random.default_rng(0).random((9, 9, 9)), affine).read_bytes()[:900])
    elif how == "not gzip":
        path.write_bytes(b"nothing of the sort" * 50)
    elif how == "no header":
        path.write_bytes(gzip.compress(b"short"))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("no inverse", r"the affine \[\[.*\]\] has no inverse; write the volume again"),
        ("4D", r"4 dimensions \(3, 3, 3, 2\); split it"),
        ("colour", "voxels of type"),
        ("truncated", "unreadable or truncated"),
        ("not gzip", "unreadable or truncated"),
        ("no header", "unreadable or truncated"),
        ("missing", "the file is missing"),
    ],
)
def test_a_bad_volume_is_named_in_one_line(tmp_path, how, message):
    path = tmp_path / "ct.nii.gz"
    unreadable(path, how)
    with pytest.raises(InputError, match=rf"ct\.nii\.gz: .*{message}|ct\.nii\.gz: {message}") as caught:
        VolumeReader().read(path)
    assert "\n" not in str(caught.value)


def test_a_plain_axis_of_length_one_is_no_fourth_dimension(tmp_path):
    assert VolumeReader().read(write(tmp_path / "a.nii", VOXELS[..., None], np.eye(4))).image.shape == (3, 4, 5)
    assert VolumeReader().read(write(tmp_path / "b.nii", VOXELS[..., 0], np.eye(4))).image.shape == (1, 4, 5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"orientation": "PL"}, "orientation=PL: name where"),
        ({"orientation": "PAS"}, "orientation=PAS: name where"),
        ({"window": (3.0, 3.0)}, r"window=\[3.0, 3.0\]: must be"),
        ({"percentiles": (5.0, 101.0)}, "percentiles="),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises((InputError, ValueError), match=message):
        VolumeReader(**options)
