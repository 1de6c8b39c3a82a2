from __future__ import annotations

import json

import numpy as np
import pytest

from datamodules.build import open_or_build
from datamodules.sources.nnunet import NnunetSource
from datamodules.sources.volume import VolumeReader
from datamodules.stored_grid import StoredGrid
from partial_labels.batch import IGNORE
from partial_labels.errors import InputError
from tests.volumes import write

SHAPE = (6, 5, 4)
WINDOW = VolumeReader(window=(0.0, 255.0))


def grey(index, channel=0):
    return np.random.default_rng([index, channel]).integers(0, 256, SHAPE).astype(np.int16)


def drawn(index):
    return np.random.default_rng(100 + index).integers(0, 4, SHAPE).astype(np.uint8)


def radiological(array):
    return array[::-1, ::-1].transpose(2, 1, 0)


def told(**changes):
    labels = {"background": 0, "liver": 1, "tumour": 2, "spleen": 3}
    base = {"channel_names": {"0": "CT"}, "labels": labels, "numTraining": 2, "file_ending": ".nii.gz"}
    return base | changes


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "Dataset001_Made"
    for index in range(3):
        part = "Tr" if index < 2 else "Ts"
        write(root / f"images{part}" / f"c_{index}_0000.nii.gz", grey(index), orientation="LPS")
        if index < 2:
            write(root / "labelsTr" / f"c_{index}.nii.gz", drawn(index), orientation="LPS")
    say(root)
    return root


def say(root, **changes):
    (root / "dataset.json").write_text(json.dumps(told(**changes)))


def build(root, cache, **options):
    return open_or_build(
        NnunetSource(root=str(root), reader=WINDOW, **options), cache, StoredGrid.of(SHAPE[1::-1], "pad")
    )


def test_a_set_comes_through(root, tmp_path):
    store = build(root, tmp_path / "cache")
    assert store.classes.foreground == ("liver", "tumour", "spleen")
    assert store.cases.column("volume").tolist() == ["c_0"] * 4 + ["c_1"] * 4
    for index in range(2):
        at = slice(4 * index, 4 * index + 4)
        assert np.array_equal(store.images[at], radiological(grey(index)))
        assert np.array_equal(store.labels[at], radiological(drawn(index)))
    assert store.status.min() == 1


def test_the_older_json_is_read_too(root, tmp_path):
    record = {"modality": {"0": "CT"}, "labels": {"0": "background", "1": "liver", "2": "tumour", "3": "spleen"}}
    (root / "dataset.json").write_text(json.dumps(record))
    assert build(root, tmp_path / "cache").classes.foreground == ("liver", "tumour", "spleen")


def test_of_ignored_voxels_nothing_is_claimed(root, tmp_path):
    say(root, labels={"background": 0, "liver": 1, "spleen": 2, "ignore": 3})
    store = build(root, tmp_path / "cache")
    label = radiological(drawn(0))
    assert np.array_equal(store.labels[:4], np.where(label == 3, IGNORE, label))


def test_a_region_merges_its_ids(root, tmp_path):
    say(root, labels={"background": 0, "spleen": 3, "whole_liver": [1, 2]}, regions_class_order=[1, 2])
    store = build(root, tmp_path / "cache")
    assert store.classes.foreground == ("whole_liver", "spleen")
    assert np.array_equal(store.labels[:4], np.array([0, 1, 1, 2])[radiological(drawn(0))])


def test_channels_are_chosen(root, tmp_path):
    say(root, channel_names={"0": "T1", "1": "T2"})
    for index in range(2):
        write(root / "imagesTr" / f"c_{index}_0001.nii.gz", grey(index, 1), orientation="LPS")
    store = build(root, tmp_path / "cache", channel=1)
    assert np.array_equal(store.images[:4], radiological(grey(0, 1)))
    assert len(store) == 8


def test_test_images_train_unlabeled_or_are_the_test_part(root, tmp_path):
    store = build(root, tmp_path / "cache", test_images="unlabeled")
    assert len(store) == 12
    assert store.status[8:].max() == 0
    assert set(store.cases.column("split")) == {""}
    with pytest.raises(InputError, match=r"imagesTs: c_2 lies there but not in .*labelsTs"):
        NnunetSource(root=str(root), test_images="test")
    write(root / "labelsTs" / "c_2.nii.gz", drawn(2), orientation="LPS")
    store = build(root, tmp_path / "cache", test_images="test")
    assert store.cases.column("split").tolist() == [""] * 8 + ["test"] * 4
    assert np.array_equal(store.labels[8:], radiological(drawn(2)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"numTraining": 3}, "numTraining is 3, but 2 cases lie in imagesTr"),
        ({"file_ending": ".mha"}, r"file_ending '\.mha'; convert"),
        ({"labels": {"background": 1, "liver": 0}}, "the background is not 0"),
        ({"labels": {"background": 0}}, "leave no class"),
        ({"labels": {"background": 0, "liver": 0}}, "leave no class, or have an id outside 1 to 255"),
        ({"labels": {"background": 0, "liver": 256}}, "an id outside 1 to 255"),
        (
            {"labels": {"background": 0, "whole": [1, 2], "core": [2, 3]}},
            "'whole' and 'core' share the id 2, so a pixel",
        ),
        ({"labels": {"background": 0, "liver": 1, "ignore": 1}}, "'liver' and 'ignore' share the id 1"),
        ({"labels": {"0": "background", "1": "liver", "2": "liver"}}, "a name that stands there twice"),
        ({"labels": {"background": 0, "liver": []}}, "a region without ids"),
        ({"labels": {"background": 0, "liver": "one"}}, "not readable"),
        ({"labels": [1, 2]}, "not readable"),
        ({"channel_names": {"0": "T1", "1": "T2"}}, "2 channels are announced, but c_0_0001 is missing"),
    ],
)
def test_a_json_that_lies_is_caught(root, changes, message):
    say(root, **changes)
    with pytest.raises(InputError, match=rf"dataset\.json: .*{message}") as caught:
        NnunetSource(root=str(root))
    assert "\n" not in str(caught.value)


def test_an_id_that_the_json_does_not_have_is_caught(root, tmp_path):
    say(root, labels={"background": 0, "liver": 1, "tumour": 2})
    with pytest.raises(InputError, match=r"labelsTr/c_0\.nii\.gz: id 3 is not in the class table \(1, 2\)"):
        build(root, tmp_path / "cache")


def test_files_that_contradict_each_other_are_named(root, tmp_path):
    (root / "labelsTr" / "c_1.nii.gz").unlink()
    with pytest.raises(InputError, match=r"imagesTr: c_1 lies there but not in .*labelsTr"):
        NnunetSource(root=str(root))
    write(root / "labelsTr" / "c_7.nii.gz", drawn(1))
    (root / "imagesTr" / "c_1_0000.nii.gz").unlink()
    with pytest.raises(InputError, match=r"labelsTr: c_7 lies there but not in .*imagesTr"):
        NnunetSource(root=str(root))
    with pytest.raises(InputError, match=r"data\.source\.channel=1: .*dataset\.json has 1"):
        NnunetSource(root=str(root), channel=1)
    write(root / "imagesTr" / "odd.nii.gz", grey(0))
    with pytest.raises(InputError, match=r"imagesTr: odd is no CASE_0000"):
        NnunetSource(root=str(root))
    (root / "dataset.json").unlink()
    with pytest.raises(InputError, match=r"dataset\.json is missing; data\.root must be"):
        NnunetSource(root=str(root))
    (tmp_path / "empty").mkdir()
    say(tmp_path / "empty")
    with pytest.raises(InputError, match=r"imagesTr: no \.nii\.gz lies there"):
        NnunetSource(root=str(tmp_path / "empty"))
