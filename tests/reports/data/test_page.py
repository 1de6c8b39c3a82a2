from __future__ import annotations

import itertools
from html.parser import HTMLParser

import numpy as np
import torch

from partial_labels.batch import PartialLabelBatch
from partial_labels.case_store import CaseStore
from reports.data.page import write_data_page
from reports.data.sections import class_pixels, part_sizes

NO_CASES = np.arange(0)


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.rows: list[list[str]] = []
        self.texts: list[str] = []
        self.tag = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tag = tag
        self.sources += [value for key, value in attrs if key in ("src", "href", "srcset", "data")]
        if tag == "tr":
            self.rows.append([])

    def handle_data(self, data):
        self.texts.append(data.strip())
        if self.tag in ("td", "th") and data.strip():
            self.rows[-1].append(data)


def samples(store: CaseStore, ids=(0, 5, 11)) -> list[PartialLabelBatch]:
    ids = list(ids)
    label = np.array(store.labels[ids])
    label[:, :3] = 255
    image = np.asarray(store.images[ids], np.float32)[:, None] / 255
    fields = (image, label, store.status[ids], np.ones(len(ids), np.float32), np.array(ids))
    return [PartialLabelBatch(*map(torch.as_tensor, fields))] * 2


def write(store: CaseStore, tmp_path, **changes) -> Page:
    values = dict(
        store=store,
        parts={"train": np.array([0, 1, 4, 5, 8, 9]), "val": np.array([2, 3, 6, 7, 10, 11]), "test": NO_CASES},
        status=np.array(store.status),
        cluster=np.array([0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        crossing=((0, 2),),
        samples=samples(store),
        output=tmp_path / "page" / "data.html",
    )
    path = write_data_page(**(values | changes))
    assert [p.name for p in path.parent.iterdir()] == ["data.html"]
    text = path.read_text(encoding="utf-8")
    assert "http" not in text and "<script" not in text
    return Page(text)


def test_counts_equal_the_store(small_store, tmp_path):
    page = write(small_store, tmp_path)
    rows = {row[0]: row[1:] for row in page.rows}
    assert rows["class"][1:] == [
        f"{part} {kind}" for part in ("train", "val") for kind in ("present", "absent", "unknown")
    ]
    train = [0, 1, 4, 5, 8, 9]
    for class_id, name in enumerate(small_store.classes.foreground, start=1):
        drawn = (small_store.labels[train] == class_id).any(axis=(1, 2))
        known = small_store.status[train, class_id] > 0
        expected = [drawn.sum(), (known & ~drawn).sum(), (~known).sum()]
        assert rows[name][1:4] == [str(count) for count in expected]
        area = np.mean([n for n in (small_store.labels == class_id).sum(axis=(1, 2)) if n])
        assert rows[name][0] == f"{area:.0f}"
    assert rows["train"] == ["6", "4", "2", "3", "3"]
    assert "test" not in rows
    examined = int((small_store.status[:, 1:] > 0).sum())
    assert any(f"Of 36 cells {examined} were examined" in text for text in page.texts)


def test_what_is_hidden_from_training_is_unknown_there_and_known_where_it_is_measured(small_store, tmp_path):
    page = write(small_store, tmp_path, status=np.zeros_like(small_store.status))
    liver = next(row for row in page.rows if row[0] == "liver")
    assert liver[2:5] == ["0", "0", "6"]
    assert liver[5:] != ["0", "0", "6"]


def test_pictures_are_inside_and_what_is_not_there_is_left_out(small_store, tmp_path):
    full = write(small_store, tmp_path)
    assert len(full.sources) == 5 and all(source.startswith("data:image/png;base64,") for source in full.sources)
    assert any("cuts 1 near-duplicate pairs" in text for text in full.texts)
    bare = write(small_store, tmp_path, cluster=np.arange(12), crossing=(), samples=[])
    assert len(bare.sources) == 3
    assert not any("flattered" in text for text in bare.texts)


def test_a_store_without_labels_still_has_a_page(small_store, tmp_path):
    none = dict(
        status=np.zeros_like(small_store.status), parts={"train": np.arange(12)}, samples=samples(small_store, [8])
    )
    assert len(write(small_store, tmp_path, **none).sources) == 4


def test_part_sizes_count_groups_and_labels(small_store):
    sizes = part_sizes(small_store, {"train": np.array([0, 1, 8])}, small_store.status)
    assert sizes == {"train": {"cases": 3, "labeled": 2, "unlabeled": 1, "groups": 2, "volumes": 2}}


def test_pixels_are_counted_by_class(small_store):
    pixels = class_pixels(small_store)
    for case, class_id in itertools.product((0, 5), range(4)):
        assert pixels[case, class_id] == (small_store.labels[case] == class_id).sum()
