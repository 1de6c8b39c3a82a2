from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from pydicom import config, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, RLELossless, generate_uid

from datamodules.build import open_or_build
from datamodules.sources.dicom import DicomSource
from datamodules.sources.volume import VolumeReader
from datamodules.stored_grid import StoredGrid
from partial_labels.errors import InputError
from tests.volumes import write, write_series

SHAPE = (6, 5, 4)
SPACING = (0.7, 0.9, 3.0)
WINDOW = VolumeReader(window=(-1000.0, 1000.0))


def stored(index):
    return np.random.default_rng(index).integers(0, 1000, SHAPE).astype(np.int16)


def drawn(index):
    return np.random.default_rng(100 + index).integers(0, 3, SHAPE).astype(np.uint8)


def radiological(array):
    return array[::-1, ::-1].transpose(2, 1, 0)


@pytest.fixture
def root(tmp_path):
    """Two series, one at some depth, with label maps that lie differently; and one unlabeled."""
    root = tmp_path / "set"
    for index, folder in enumerate(["c0", "c1/study/series", "c2"]):
        write_series(root / "images" / folder, stored(index), SPACING, slope=2, intercept=-1000)
        if index < 2:
            label = root / "labels" / f"c{index}.nii.gz"
            write(label, drawn(index), orientation=["RAS", "ILP"][index], spacing=SPACING)
    (root / "classes.json").write_text(json.dumps({"1": "liver", "2": "spleen"}))
    return root


def build(root, cache, **options):
    return open_or_build(
        DicomSource(root=str(root), **{"reader": WINDOW} | options), cache, StoredGrid.of(SHAPE[1::-1], "pad")
    )


def test_series_come_through_in_units_and_order(root, tmp_path):
    store = build(root, tmp_path / "cache")
    assert len(store) == 12
    for index in range(3):
        at = slice(4 * index, 4 * index + 4)
        grey = np.rint((2.0 * radiological(stored(index))) * 255 / 2000)
        assert np.array_equal(store.images[at], grey)
        if index < 2:
            assert np.array_equal(store.labels[at], radiological(drawn(index)))
    assert store.header.spacing_mm == pytest.approx((0.9, 0.7))
    assert store.header.left_right_axis == "columns"
    assert store.cases.column("volume").tolist() == [f"c{i}" for i in range(3) for _ in range(4)]


def test_organ_files_beside_a_series(tmp_path):
    case = tmp_path / "ts" / "p1"
    write_series(case / "dicom", stored(0), SPACING)
    write(case / "segmentations" / "liver.nii.gz", (drawn(0) == 1).astype(np.uint8), spacing=SPACING)
    store = build(tmp_path / "ts", tmp_path / "cache", layout="organ_files", missing="unexamined")
    assert np.array_equal(store.labels, radiological(drawn(0)) == 1)
    assert store.status.tolist() == [[1, 1]] * 4


def test_a_changed_slice_makes_another_store(root):
    before = DicomSource(root=str(root)).fingerprint()
    path = sorted((root / "images" / "c0").iterdir())[0]
    dataset = dcmread(path)
    dataset.PatientComments = "seen"
    dataset.save_as(path)
    assert DicomSource(root=str(root)).fingerprint() != before


def files(root):
    """Return the files of the first series by position."""
    folder = root / "images" / "c0"
    return sorted(folder.iterdir(), key=lambda path: float(dcmread(path).ImagePositionPatient[2]))


DAMAGED = {
    "direction of 3": {"ImageOrientationPatient": [1, 0, 0]},
    "place of 2": {"ImagePositionPatient": [1, 0]},
    "side of 1": {"PixelSpacing": [1]},
    "two slopes": {"RescaleSlope": [1, 2]},
    "inverted": {"PhotometricInterpretation": "MONOCHROME1"},
}
"""Elements that a header may not have, by what is wrong."""


def change(path, **tags):
    dataset = dcmread(path)
    for name, value in tags.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    dataset.save_as(path)


def spoil(root, how):
    series = files(root)
    if how in DAMAGED:
        change(series[2], **DAMAGED[how])
    if how == "gap":
        series[1].unlink()
    elif how == "twice":
        change(series[1], ImagePositionPatient=dcmread(series[2]).ImagePositionPatient)
    elif how == "mixed":
        change(series[3], SeriesInstanceUID=generate_uid())
    elif how == "direction":
        change(series[3], ImageOrientationPatient=[1, 0, 0, 0, 0, -1])
    elif how == "two series":
        write_series(root / "images" / "c0" / "other", stored(0))
    elif how == "truncated":
        series[2].write_bytes(series[2].read_bytes()[:-50])
    elif how == "no pixels":
        change(series[2], PixelData=None)
    elif how == "no place":
        change(series[2], ImagePositionPatient=None)
    elif how == "frames":
        change(series[2], NumberOfFrames=3)
    elif how == "colour":
        change(series[2], SamplesPerPixel=3)
    elif how == "jpeg":
        dataset = dcmread(series[2])
        dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
        dataset.PixelData = encapsulate([b"\xff\x4f\xff\x51" + b"\0" * 60])
        dataset.save_as(series[2])
    elif how == "label":
        write(root / "labels" / "c0.nii.gz", drawn(0), spacing=(0.7, 0.9, 2.0))
    elif how == "no spacing":
        change(series[0], PixelSpacing=[0, 0])
        for path in series[1:]:
            change(path, PixelSpacing=[0, 0])


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("gap", r"c0: \d+\.dcm and \d+\.dcm lie 6 mm apart, others 3 mm; restore the slices between"),
        ("twice", r"c0: \d+\.dcm and \d+\.dcm lie at the same place"),
        ("mixed", r"c0: \d+\.dcm and \d+\.dcm differ in SeriesInstanceUID \(.*\); put each series"),
        ("direction", r"c0: \d+\.dcm and \d+\.dcm differ in ImageOrientationPatient"),
        ("two series", r"c0: .*c0 and .*c0/other both hold a series; give each case one"),
        ("truncated", r"\d+\.dcm: damaged pixels"),
        ("no pixels", r"\d+\.dcm: no pixels, or encrypted ones"),
        ("no place", r"\d+\.dcm: has no ImagePositionPatient, so it is no slice of a series"),
        ("frames", r"\d+\.dcm: holds several frames"),
        ("colour", r"\d+\.dcm: a colour image"),
        ("jpeg", r"\d+\.dcm: compressed as JPEG 2000 .*, and no installed decoder reads it; pip install"),
        ("direction of 3", r"\d+\.dcm: ImageOrientationPatient has 3 values instead of 6"),
        ("place of 2", r"\d+\.dcm: ImagePositionPatient has 2 values instead of 3"),
        ("side of 1", r"\d+\.dcm: PixelSpacing has 1 values instead of 2"),
        ("two slopes", r"\d+\.dcm: RescaleSlope has 2 values instead of 1"),
        ("inverted", r"\d+\.dcm: MONOCHROME1, whose low values are bright; convert"),
        ("label", r"c0\.nii\.gz: its affine places it elsewhere than .*c0"),
        ("no spacing", r"c0: the affine .* has no inverse"),
    ],
)
def test_a_bad_series_is_named_in_one_line(root, tmp_path, how, message):
    spoil(root, how)
    with pytest.raises(InputError, match=message) as caught:
        build(root, tmp_path / "cache")
    assert "\n" not in str(caught.value)


def test_wherever_a_file_is_damaged_it_is_named(root, monkeypatch):
    monkeypatch.setattr(config.settings, "reading_validation_mode", config.IGNORE)
    path, folder, rng = files(root)[0], root / "images" / "c0", np.random.default_rng(0)
    for other in files(root)[1:]:
        other.unlink()
    whole, refused = path.read_bytes(), 0
    spoiled = [whole[:length] for length in range(132, len(whole), 5)]
    for place in rng.integers(132, len(whole) - 60, 200):
        spoiled.append(whole[:place] + rng.bytes(2) + whole[place + 2 :])
    for content in spoiled:
        path.write_bytes(content)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                VolumeReader().read(folder)
        except InputError as error:
            refused += path.name in str(error)
    assert refused > 200


def test_an_empty_slope_or_intercept_changes_nothing(root):
    before = VolumeReader().read(root / "images" / "c0").image
    for path in files(root):
        change(path, RescaleSlope="", RescaleIntercept="")
    assert np.array_equal(VolumeReader().read(root / "images" / "c0").image, (before + 1000) / 2)


def test_an_empty_folder_is_refused(tmp_path):
    (tmp_path / "set" / "images" / "c0").mkdir(parents=True)
    with pytest.raises(InputError, match="images: no folder with DICOM files lies there"):
        DicomSource(root=str(tmp_path / "set"), classes=["liver"])


def test_what_is_no_slice_is_passed_over(root, tmp_path):
    change(files(root)[3], Modality="SR", SeriesInstanceUID=generate_uid())
    (root / "images" / "c0" / "README.txt").write_text("notes")
    assert VolumeReader().read(root / "images" / "c0").image.shape == (3, 5, 6)


def test_what_pydicom_itself_decodes_is_read(root):
    before = VolumeReader().read(root / "images" / "c0").image
    for path in files(root):
        dataset = dcmread(path)
        dataset.compress(RLELossless, generate_instance_uid=False)
        dataset.save_as(path)
    assert np.array_equal(VolumeReader().read(root / "images" / "c0").image, before)
