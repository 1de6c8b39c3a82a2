from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest

from datamodules.build import open_or_build
from datamodules.sources.nifti import NiftiSource
from datamodules.sources.volume import VolumeReader
from datamodules.stored_grid import StoredGrid
from partial_labels.batch import IGNORE
from partial_labels.errors import InputError
from tests.volumes import write

SHAPE = (6, 5, 4)
NAMES = ["kidney_left", "kidney_right", "liver"]
WINDOW = VolumeReader(window=(0.0, 255.0))


def grey(index):
    return np.random.default_rng(index).integers(0, 256, SHAPE).astype(np.int16)


def drawn(index):
    return np.random.default_rng(100 + index).integers(0, 4, SHAPE).astype(np.uint8)


def radiological(array):
    return array[::-1, ::-1].transpose(2, 1, 0)


@pytest.fixture
def maps(tmp_path):
    """Three volumes that lie differently on disk, the labels differently again; the third is unlabeled."""
    root = tmp_path / "set"
    for index, (lies, label_lies) in enumerate([("LPS", "RAS"), ("SAR", "ILP"), ("RAS", "")]):
        write(root / "images" / f"c{index}.nii.gz", grey(index), orientation=lies, spacing=(0.7, 0.9, 3.0))
        if label_lies:
            label = drawn(index).astype([np.uint8, np.float32][index])
            write(root / "labels" / f"c{index}.nii.gz", label, orientation=label_lies, spacing=(0.7, 0.9, 3.0))
    (root / "classes.json").write_text(json.dumps({i + 1: name for i, name in enumerate(NAMES)}))
    return root


@pytest.fixture
def organs(tmp_path):
    """TotalSegmentator's layout: the first case lacks the liver's file, and its left kidney is drawn nowhere."""
    root = tmp_path / "ts"
    for index in (0, 1):
        case = root / f"s{index}"
        write(case / "ct.nii.gz", grey(index), orientation="LPS")
        for number, name in enumerate(NAMES, start=1):
            mask = (drawn(index) == number) & (number > 1 or index > 0)
            if (index, name) != (0, "liver"):
                write(case / "segmentations" / f"{name}.nii.gz", mask.astype(np.uint8), orientation="RAS")
    return root


def build(source, cache):
    return open_or_build(source, cache, StoredGrid.of(SHAPE[1::-1], "pad"))


def test_label_maps_come_through_however_they_lie(maps, tmp_path):
    store = build(NiftiSource(root=str(maps), reader=WINDOW), tmp_path / "cache")
    assert len(store) == 12
    for index in range(3):
        at = slice(4 * index, 4 * index + 4)
        assert np.array_equal(store.images[at], radiological(grey(index)))
        assert np.array_equal(store.labels[at], radiological(drawn(index)) if index < 2 else np.zeros((4, 5, 6)))
        assert store.status[at].tolist() == [[int(index < 2)] * 4] * 4
    row = store.cases[5]
    assert (row.name, row.group, row.volume, row.slice_index) == ("c1_0001", "c1", "c1", 1)
    assert row.spacing_mm == pytest.approx((0.9, 0.7))
    assert store.header.spacing_mm == pytest.approx((0.9, 0.7))
    assert store.header.left_right_axis == "columns"
    assert store.header.slope == 1 / 255
    assert store.classes.pairs == ((1, 2),)


def test_the_native_label_is_the_source_s_own(maps, tmp_path):
    store = open_or_build(NiftiSource(root=str(maps)), tmp_path / "cache", StoredGrid.of(16, "spacing", (0.5, 0.5)))
    assert store.header.spacing_mm == (0.5, 0.5)
    for index in (0, 7):
        assert np.array_equal(store.native_label(index), radiological(drawn(index // 4))[index % 4])


def test_slices_can_be_chosen(maps, tmp_path):
    label = drawn(0)
    label[..., 1] = 0
    write(maps / "labels" / "c0.nii.gz", label, orientation="RAS", spacing=(0.7, 0.9, 3.0))
    flat = grey(2)
    flat[..., 3] = 7
    write(maps / "images" / "c2.nii.gz", flat, spacing=(0.7, 0.9, 3.0))
    store = build(NiftiSource(root=str(maps), drawn_only=True), tmp_path / "cache")
    assert [row.name for row in store.cases] == [
        *("c0_0000", "c0_0002", "c0_0003"),
        *(f"c1_{i:04d}" for i in range(4)),
        *(f"c2_{i:04d}" for i in range(3)),
    ]
    store = build(NiftiSource(root=str(maps), every=3), tmp_path / "cache")
    assert store.cases.column("slice_index").tolist() == [0, 3, 0, 3, 0]


@pytest.mark.parametrize(("missing", "status"), [("unexamined", [0, 1, 1, 0]), ("absent", [1, 1, 1, 1])])
def test_a_missing_organ_file_means_what_was_chosen(organs, tmp_path, missing, status):
    source = NiftiSource(root=str(organs), layout="organ_files", missing=missing, reader=WINDOW)
    assert source.classes.foreground == tuple(NAMES)
    store = build(source, tmp_path / "cache")
    assert store.status.tolist() == [status] * 4 + [[1] * 4] * 4
    first = radiological(drawn(0))
    assert np.array_equal(store.labels[:4], np.where(first == 2, 2, 0))
    assert np.array_equal(store.labels[4:], radiological(drawn(1)))


def test_the_convention_must_be_chosen(organs):
    with pytest.raises(
        InputError, match=r"data\.source\.missing is not set.*unexamined: .*absent: .*punished"
    ) as caught:
        NiftiSource(root=str(organs), layout="organ_files")
    assert "\n" not in str(caught.value)


def test_a_case_without_organ_files_is_unlabeled(organs, tmp_path):
    write(organs / "s2" / "ct.nii.gz", grey(2))
    store = build(NiftiSource(root=str(organs), layout="organ_files", missing="absent"), tmp_path / "cache")
    assert store.status[8:].max() == 0


@pytest.mark.parametrize(("overlap", "expected"), [("ignore", IGNORE), ("later", 3)])
def test_a_voxel_of_two_organs(organs, tmp_path, overlap, expected):
    liver = (drawn(1) >= 2).astype(np.uint8)
    write(organs / "s1" / "segmentations" / "liver.nii.gz", liver, orientation="RAS")
    source = NiftiSource(root=str(organs), layout="organ_files", missing="unexamined", overlap=overlap)
    store = build(source, tmp_path / "cache")
    label = radiological(drawn(1))
    assert np.array_equal(store.labels[4:], np.where(label == 2, expected, label))


@pytest.mark.parametrize("overlap", ["ignore", "later"])
def test_a_class_that_was_not_examined_hides_nothing_of_one_that_was(organs, tmp_path, overlap):
    shared = {"root": str(organs), "layout": "organ_files", "missing": "unexamined", "overlap": overlap}
    liver = (drawn(1) >= 2).astype(np.uint8)  # over all of the right kidney
    write(organs / "s1" / "segmentations" / "liver.nii.gz", liver, orientation="RAS")
    source = NiftiSource(**shared, examined=["kidney_left", "kidney_right"])
    store = build(source, tmp_path / "cache")
    label = radiological(drawn(1))
    assert store.status[4:].tolist() == [[0, 1, 1, 0]] * 4
    assert np.array_equal(store.labels[4:], np.where(label == 3, 0, label))


def test_only_named_classes_are_read(organs, tmp_path):
    source = NiftiSource(root=str(organs), layout="organ_files", missing="unexamined", classes=["liver"])
    store = build(source, tmp_path / "cache")
    assert store.classes.foreground == ("liver",)
    assert store.status.tolist() == [[0, 0]] * 4 + [[1, 1]] * 4
    assert np.array_equal(store.labels[4:], radiological(drawn(1)) == 3)


def test_what_was_examined_in_the_whole_set(maps, tmp_path):
    store = build(NiftiSource(root=str(maps), examined=["Liver", "kidney_right"]), tmp_path / "cache")
    assert store.status[:8].tolist() == [[0, 0, 1, 1]] * 8
    assert store.status[8:].max() == 0
    label = radiological(drawn(0))
    assert np.array_equal(store.labels[:4], np.where(label == 1, 0, label))


def test_what_was_examined_in_each_case(maps, tmp_path):
    (maps / "cases.csv").write_text(
        "case,examined,group,split\nc0,liver;kidney_left,p1,train\nc1,all,p1,train\nc2,,p2,val\n"
    )
    store = build(NiftiSource(root=str(maps), table="cases.csv"), tmp_path / "cache")
    assert store.status.tolist() == [[0, 1, 0, 1]] * 4 + [[1] * 4] * 4 + [[0] * 4] * 4
    assert set(np.unique(store.labels[:4])) == {0, 1, 3}
    assert store.cases.column("group").tolist() == ["p1"] * 8 + ["p2"] * 4
    assert store.cases.column("split").tolist() == ["train"] * 8 + ["val"] * 4


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("name,examined\nc0,all\n", "columns 'name,examined'"),
        ("case,examined\nc0,all\nc1,all\n", r"no row for c2 \(1 missing\)"),
        ("case\nc0\nc1\nc2\nc9\n", "line 5: 'c9' is no case of the set"),
        ("case\nc0\nc0\n", "line 3: 'c0' comes twice"),
        ("case,examined\nc0,spleen\nc1,\nc2,\n", "line 2: examined 'spleen' is no class; there is kidney_left"),
        ("case,split\nc0,both\nc1,\nc2,\n", "line 2: split 'both'"),
        ("case\nc0,all\n", "line 2: 'c0' has more cells"),
        ("case,examined\nc0,all\nc1,all\nc2,all\n", "c2 has examined classes but no label file"),
        (None, "cases.csv is missing"),
    ],
)
def test_a_wrong_table_is_named_by_its_line(maps, table, message):
    if table is not None:
        (maps / "cases.csv").write_text(table)
    with pytest.raises(InputError, match=message) as caught:
        NiftiSource(root=str(maps), table="cases.csv")
    assert "\n" not in str(caught.value)


def spoil(root, how):
    label = root / "labels" / "c0.nii.gz"
    if how == "shape":
        write(label, drawn(0)[:5])
    elif how == "place":
        write(label, drawn(0), np.diag([0.7, 0.9, 2.0, 1.0]))
    elif how == "id":
        write(label, np.where(drawn(0) == 3, 9, 0).astype(np.uint8), spacing=(0.7, 0.9, 3.0))
    elif how == "fraction":
        write(label, drawn(0) / np.float32(2), spacing=(0.7, 0.9, 3.0))
    elif how == "range":
        write(label, np.where(drawn(0) == 3, 300, 0).astype(np.int16), spacing=(0.7, 0.9, 3.0))
    elif how == "no number":
        write(label, np.where(drawn(0) == 3, np.nan, 0).astype(np.float32), spacing=(0.7, 0.9, 3.0))
    elif how == "4D":
        write(root / "images" / "c0.nii.gz", np.zeros((*SHAPE, 2), np.uint8), np.eye(4))
    elif how == "header":
        path = root / "images" / "c0.nii"
        (root / "images" / "c0.nii.gz").unlink()
        write(path, grey(0))
        content = bytearray(path.read_bytes())
        content[108:112] = np.float32(np.inf).tobytes()  # where the voxels begin
        path.write_bytes(content)
    elif how == "affine":
        image = nibabel.Nifti1Image(grey(0), None)
        image.header.set_sform(np.diag([1.0, 1.0, 0.0, 1.0]), 1)
        image.to_filename(root / "images" / "c0.nii.gz")


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("shape", r"c0\.nii\.gz: 4 x 5 x 5 voxels .* but .*c0\.nii\.gz has 4 x 5 x 6"),
        ("place", r"labels/c0\.nii\.gz: its affine places it elsewhere than .*images/c0\.nii\.gz"),
        ("id", r"labels/c0\.nii\.gz: id 9 is not in the class table \(1, 2, 3\)"),
        ("fraction", r"labels/c0\.nii\.gz: a voxel of value [01]\.5; a label map holds whole numbers"),
        ("range", r"labels/c0\.nii\.gz: a voxel of value 300; "),
        ("no number", r"labels/c0\.nii\.gz: a voxel of value nan; "),
        ("4D", r"images/c0\.nii\.gz: 4 dimensions"),
        ("header", r"images/c0\.nii: unreadable or truncated \(cannot convert float infinity to integer\); restore it"),
        ("affine", r"images/c0\.nii\.gz: the affine .* has no inverse"),
    ],
)
def test_a_bad_file_is_named_in_one_line(maps, tmp_path, how, message):
    spoil(maps, how)
    with pytest.raises(InputError, match=message) as caught:
        build(NiftiSource(root=str(maps)), tmp_path / "cache")
    assert "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_it_is_refused(maps, organs, tmp_path):
    (tmp_path / "empty" / "images").mkdir(parents=True)
    (tmp_path / "bare" / "s0" / "segmentations").mkdir(parents=True)
    for root, options, message in (
        (tmp_path / "nowhere", {}, "no such folder"),
        (tmp_path / "empty", {"classes": NAMES}, r"images: no \.nii or \.nii\.gz lies there"),
        (tmp_path / "empty", {}, r"classes\.json is missing"),
        (tmp_path / "bare", {"layout": "organ_files", "missing": "absent"}, "no folder with an image"),
        (organs, {"classes": NAMES}, r"is it data\.source\.layout=organ_files\?"),
        (organs, {"layout": "organ_files", "missing": "absent", "classes": ["brain"]}, "no case has a file of 'brain'"),
        (maps, {"examined": ["brain"]}, "examined 'brain' is no class"),
    ):
        with pytest.raises(InputError, match=message):
            NiftiSource(root=str(root), **options)
    write(organs / "s0" / "ct.nii.gz", grey(0))
    for folder in (organs / "s0" / "segmentations", organs / "s1" / "segmentations"):
        for path in folder.iterdir():
            path.unlink()
    with pytest.raises(InputError, match="no organ file"):
        NiftiSource(root=str(organs), layout="organ_files", missing="absent")


def test_a_label_without_image_and_a_file_there_twice(maps):
    write(maps / "labels" / "c2.nii", drawn(2))
    write(maps / "labels" / "c2.nii.gz", drawn(2))
    with pytest.raises(InputError, match=r"c2\.nii: lies there as \.nii and as \.nii\.gz"):
        NiftiSource(root=str(maps))
    (maps / "labels" / "c2.nii").unlink()
    write(maps / "labels" / "c9.nii.gz", drawn(2))
    with pytest.raises(InputError, match=r"c9\.nii\.gz: no image of this name"):
        NiftiSource(root=str(maps))


def test_a_link_that_leads_nowhere_is_named(maps, tmp_path):
    (maps / "images" / "c9.nii.gz").symlink_to(tmp_path / "gone.nii.gz")
    with pytest.raises(InputError, match=r"c9\.nii\.gz: not there"):
        build(NiftiSource(root=str(maps)), tmp_path / "cache")


def test_the_fingerprint_follows_files_and_options(maps):
    def prints():
        return {
            NiftiSource(root=str(maps), **options).fingerprint()
            for options in (
                {},
                {"every": 2},
                {"drawn_only": True},
                {"examined": ["liver"]},
                {"reader": WINDOW},
                {"pairs": []},
            )
        }

    before = prints()
    assert len(before) == 6
    assert prints() == before
    write(maps / "labels" / "c0.nii.gz", drawn(3), spacing=(0.7, 0.9, 3.0))
    assert prints() & before == set()
