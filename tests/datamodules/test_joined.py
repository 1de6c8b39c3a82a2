from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from datamodules.build import open_or_build
from datamodules.sources.base import Source, SourceCase
from datamodules.sources.joined import JoinedSource
from datamodules.sources.nifti import NiftiSource
from datamodules.sources.volume import VolumeReader
from datamodules.stored_grid import StoredGrid
from partial_labels.batch import IGNORE
from partial_labels.case_table import CaseRow
from partial_labels.classes import ClassTable
from partial_labels.errors import InputError
from runs.configuration import instantiate
from tests.configs import composed
from tests.volumes import write

LABEL = np.array([[0, 1, 2, 3], [3, 2, 1, 0], [0, IGNORE, 0, 0], [1, 1, 2, 2]], np.uint8)


class MadeSource(Source):
    """One slice whose label holds every id."""

    def __init__(self, names, examined, pairs=None, axis="none", **changes):
        self.name, self.left_right_axis = "made", axis
        self.table = ClassTable.from_foreground(names, pairs)
        self.looked = np.array([False, *(name in examined for name in names)])
        for key, value in changes.items():
            setattr(self, key, value)

    @property
    def classes(self):
        return self.table

    def fingerprint(self):
        return repr([self.table.names, self.looked.tolist()])

    def __len__(self):
        return 1

    def cases(self):
        shown = np.where(np.isin(LABEL, np.flatnonzero(self.looked)), LABEL, 0)
        label = np.where(LABEL == IGNORE, IGNORE, shown).astype(np.uint8)
        image = np.arange(16, dtype=np.uint8).reshape(4, 4)
        yield SourceCase(CaseRow("0.png", "p1", "v1", list_rank=3), image, label, self.looked)


def build(cache, **options):
    return open_or_build(JoinedSource(**options), cache, StoredGrid.of(4, "pad"))


ABDOMEN = ["liver", "spleen", "pancreas"]


def test_classes_are_matched_by_name_and_what_nobody_looked_for_is_unknown(tmp_path):
    a = MadeSource(ABDOMEN, ["liver", "spleen"])
    b = MadeSource(["Pancreas", "kidney", "Liver"], ["Pancreas", "kidney", "Liver"])
    store = build(tmp_path, sources={"a": a, "b": b})
    assert store.classes.foreground == ("liver", "spleen", "pancreas", "kidney")
    assert store.status.tolist() == [[0, 1, 1, 0, 0], [0, 1, 0, 1, 1]]
    assert np.array_equal(store.labels[0], np.where(LABEL == 3, 0, LABEL))
    renumbered = np.array([0, 3, 4, 1])[np.where(LABEL == IGNORE, 0, LABEL)]
    assert np.array_equal(store.labels[1], np.where(LABEL == IGNORE, IGNORE, renumbered))


def test_patients_of_different_sets_stay_apart(tmp_path):
    sources = {key: MadeSource(ABDOMEN, ABDOMEN) for key in "ab"}
    store = build(tmp_path, sources=sources)
    assert [(row.name, row.group, row.volume, row.list_rank) for row in store.cases] == [
        (f"{key}/0.png", f"{key}/p1", f"{key}/v1", -1) for key in "ab"
    ]


def test_classes_are_chosen_and_renamed(tmp_path):
    sources = {"a": MadeSource(["Leber", "spleen", "pancreas"], ["Leber", "spleen", "pancreas"])}
    store = build(tmp_path, sources=sources, rename={"leber": "liver"}, classes=["pancreas", "liver"])
    assert store.classes.foreground == ("pancreas", "liver")
    assert set(np.unique(store.labels)) == {0, 1, 2, IGNORE}
    assert np.array_equal(store.labels[0] == 2, LABEL == 1)
    assert store.status.tolist() == [[1, 1, 1]]


def test_a_whole_is_examined_where_it_or_all_its_parts_are(tmp_path):
    sides = ["kidney_left", "kidney_right", "liver"]
    sources = {
        "parts": MadeSource(sides, sides),
        "whole": MadeSource(["liver", "kidney", "spleen"], ["kidney"]),
        "half": MadeSource(sides, ["kidney_left", "liver"]),
        "one": MadeSource(["kidney_left", "liver", "spleen"], ["kidney_left", "liver", "spleen"]),
    }
    store = build(tmp_path, sources=sources, merge={"kidney": ["kidney_left", "kidney_right"]})
    assert store.classes.foreground == ("kidney", "liver", "spleen")
    assert store.status[:, 1:].tolist() == [[1, 1, 0], [1, 0, 0], [0, 1, 0], [0, 1, 1]]
    kidney = [np.isin(LABEL, [1, 2]), LABEL == 2, np.zeros((4, 4)), np.zeros((4, 4))]
    assert np.array_equal(store.labels == 1, kidney)


@pytest.mark.parametrize(
    ("tables", "pairs"),
    [
        ([(["kidney_left", "kidney_right", "liver"], None)], ((1, 2),)),
        ([(["left ventricle", "right ventricle", "liver"], [])], ()),
        ([(["kidney_left", "liver", "spleen"], None), (["kidney_right", "liver", "spleen"], None)], ((1, 4),)),
        ([(["a", "b", "liver"], [(1, 2)]), (["b", "liver", "a"], [(1, 3)])], ((1, 2),)),
        ([(["a", "b", "liver"], [(1, 2)]), (["b", "liver", "a"], [])], ()),
    ],
)
def test_pairs_are_those_that_no_set_contradicts(tables, pairs):
    sources = {f"s{i}": MadeSource(names, names, given) for i, (names, given) in enumerate(tables)}
    assert JoinedSource(sources=sources).classes.pairs == pairs


def test_the_axis_is_that_of_all_sets():
    def axis(*axes):
        return JoinedSource({a + str(i): MadeSource(ABDOMEN, [], axis=a) for i, a in enumerate(axes)}).left_right_axis

    assert axis("rows", "rows") == "rows"
    assert axis("rows", "none") == "none"
    with pytest.raises(InputError, match=r"differ in left_right_axis \(rows0 rows, columns1 columns\)"):
        axis("rows", "columns")


def test_sets_that_do_not_fit_are_refused():
    a, b = MadeSource(ABDOMEN, ABDOMEN), MadeSource(ABDOMEN, ABDOMEN, slope=1.0)
    for options, message in (
        ({"sources": {}}, "sources is empty"),
        ({"sources": {"a": a, "b": b}}, "a and b store greys differently"),
        ({"sources": {"a": a}, "classes": ["brain"]}, "classes: no set has a class 'brain'; there is liver, pancreas"),
        ({"sources": {"a": a}, "rename": {"brain": "head"}}, "rename: no set has a class 'brain'"),
        ({"sources": {"a": a}, "rename": {"spleen": "liver"}}, "gives two classes of one set one name"),
        ({"sources": {"a": a}, "merge": {"belly": ["brain", "liver"]}}, "merge: no set has a class 'brain'"),
    ):
        with pytest.raises(InputError, match=message):
            JoinedSource(**options)


def volumes(root, names, orientation="PLS"):
    for index in range(2):
        shape = (4, 4, 3)
        random = np.random.default_rng(index)
        write(root / "images" / f"c{index}.nii.gz", random.integers(0, 100, shape).astype(np.int16))
        write(root / "labels" / f"c{index}.nii.gz", random.integers(0, len(names) + 1, shape).astype(np.uint8))
    return NiftiSource(root=str(root), classes=names, reader=VolumeReader(orientation=orientation))


def test_sets_of_volumes_keep_their_volumes_apart_and_join_sets_of_slices(tmp_path):
    sources = {
        "a": volumes(tmp_path / "a", ["liver"]),
        "b": volumes(tmp_path / "b", ["spleen"]),
        "c": MadeSource(ABDOMEN, ABDOMEN, axis="columns"),
    }
    joined = JoinedSource(sources)
    assert joined.volumes == ["a/c0", "a/c1", "b/c0", "b/c1", "c"]
    store = open_or_build(joined, tmp_path / "cache", StoredGrid.of(4, "pad"))
    assert store.status[:, 1:].tolist() == [[1, 0, 0]] * 6 + [[0, 1, 0]] * 6 + [[1, 1, 1]]
    assert store.header.left_right_axis == "columns"
    assert store.header.spacing_mm is None
    assert store.cases[0].spacing_mm == (1.0, 1.0)
    other = JoinedSource({"a": sources["a"], "b": volumes(tmp_path / "b", ["spleen"], "PLS")})
    assert other.fingerprint() != joined.fingerprint()
    with pytest.raises(InputError, match=r"differ in orientation \(a PLS, b RAS\)"):
        JoinedSource({"a": sources["a"], "b": volumes(tmp_path / "d", ["spleen"], "RAS")})


def test_sets_are_read_as_prediction_will_read(tmp_path):
    source = volumes(tmp_path / "a", ["liver"])
    assert JoinedSource({"a": source}, reader=VolumeReader()).volumes == ["a/c0", "a/c1"]
    with pytest.raises(
        InputError, match=r"sources\.a: .* orientation=PLS percentiles=.*, at prediction with "
    ) as caught:
        JoinedSource({"a": source}, reader=VolumeReader(window=(-160.0, 240.0)))
    assert str(caught.value).endswith("window=(-160.0, 240.0); write `reader: ${data.source.reader}` into the set")


def test_the_page_s_example_joins_what_it_names(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    example = OmegaConf.create(page.split("```yaml\n# @package _global_\n")[1].split("```")[0])
    kits, total = tmp_path / "kits", tmp_path / "total"
    voxels = np.random.default_rng(0).integers(0, 3, (4, 4, 3)).astype(np.int16)
    write(kits / "imagesTr" / "c_0000.nii.gz", voxels)
    write(kits / "labelsTr" / "c.nii.gz", voxels.astype(np.uint8))
    labels = {"background": 0, "kidney": 1, "tumour": 2}
    (kits / "dataset.json").write_text(json.dumps({"channel_names": {"0": "CT"}, "labels": labels}))
    write(total / "s0" / "ct.nii.gz", voxels)
    for organ in ("liver", "spleen", "kidney_left", "kidney_right"):
        write(total / "s0" / "segmentations" / f"{organ}.nii.gz", (voxels == 1).astype(np.uint8))
    cfg = composed(tmp_path, "data=joined")
    OmegaConf.set_struct(cfg, False)
    cfg = OmegaConf.merge(cfg, OmegaConf.masked_copy(example, ["data"]))
    cfg.data.source.sources.kits.root, cfg.data.source.sources.total.root = str(kits), str(total)
    source = instantiate.build(cfg.data.source)
    assert source.classes.foreground == ("kidney", "tumour", "liver", "spleen")
    store = open_or_build(source, tmp_path / "cache", StoredGrid.of(4, "pad"))
    assert store.status[:, 1:].tolist() == [[1, 1, 0, 0]] * 3 + [[1, 0, 1, 1]] * 3
