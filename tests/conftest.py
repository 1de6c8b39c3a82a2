"""What every test shares: shapes checked at run time, one thread, and a small store with mixed status."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import jaxtyping
import numpy as np
import pytest
import torch
from PIL import Image

from runs.configuration.targets import PACKAGES

# Before the first import of ours that has shapes: from here on every annotation of these packages is checked at each
# call, shapes included; an int passes for a float, as it does for mypy.
jaxtyping.install_import_hook(list(PACKAGES), "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

from partial_labels.case_store import CaseStore  # noqa: E402
from partial_labels.case_table import CaseRow  # noqa: E402
from partial_labels.case_writer import CaseStoreWriter  # noqa: E402
from partial_labels.classes import ClassTable  # noqa: E402
from partial_labels.store_header import StoreHeader  # noqa: E402

torch.set_num_threads(1)
hypothesis.settings.register_profile("same", derandomize=True, deadline=None)
hypothesis.settings.register_profile("search", deadline=None, print_blob=True)  # pytest --hypothesis-profile=search
hypothesis.settings.load_profile("same")

SIZE = 32
CASES = 12
CLASSES = ClassTable.from_foreground(["liver", "kidney_left", "kidney_right"])
GREY = (40, 200, 110, 160)
CENTRES = ((16, 16), (16, 8), (8, 23), (24, 23))


def draw_case(index: int) -> tuple[np.ndarray, np.ndarray]:
    """Return image and full truth: a bright disc at its place for each class; every fifth has no liver."""
    rng = np.random.default_rng(index)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    truth = np.zeros((SIZE, SIZE), dtype=np.uint8)
    for class_id in range(1, len(CLASSES)):
        if class_id == 1 and index % 5 == 4:
            continue
        row, column = CENTRES[class_id] + rng.uniform(-2, 2, size=2)
        truth[(rows - row) ** 2 + (columns - column) ** 2 <= rng.uniform(4, 6) ** 2] = class_id
    image = np.take(GREY, truth) + rng.normal(0, 8, size=truth.shape)
    return image.clip(0, 255).astype(np.uint8), truth


FOREIGN = (
    "ignore::beartype.roar.BeartypeDecorHintPep585DeprecationWarning",  # OmegaConf's own base classes
    "ignore:.*LeafSpec.*:FutureWarning",  # Lightning with torch 2.13
    "ignore:.*does not have many workers.*:UserWarning",  # Lightning's advice; a memory map needs none
    "ignore:Found .* in eval mode at the start of training",  # Lightning sees a teacher
    "ignore:.*logs directory.*exists and is not empty.*:UserWarning",  # metrics.csv lies in the run directory
    "ignore:The `srun` command is available",  # the machine belongs to a SLURM cluster
)
"""Warnings that no change of ours would end; every other one is an error."""


def pytest_configure(config: pytest.Config) -> None:
    """Let foreign warnings pass."""
    for line in FOREIGN:
        config.addinivalue_line("filterwarnings", line)


@pytest.fixture(autouse=True)
def same_draws() -> None:
    """Let no test's random numbers depend on the tests before it."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture
def unchecked_shapes() -> Iterator[None]:
    """Switch the run-time check off, for a test that hands over a wrong shape and looks for our own error."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def write_small_store(path: Path) -> CaseStore:
    """Write 12 slices of 32 x 32 of 6 volumes, 3 groups' worth of each kind of knowledge, and open them.

    Cases 0 to 3 are fully examined, 4 to 7 in two of three classes in turn, 8 to 11 not at all; two neighbouring slices
    are one volume and one group. The left/right axis is the rows, and the full truth is kept.
    """
    header = StoreHeader("small", CLASSES, (SIZE, SIZE), spacing_mm=(2.0, 2.0), left_right_axis="rows", fingerprint="0")
    with CaseStoreWriter(path, header, CASES, with_truth=True) as writer:
        for index in range(CASES):
            image, truth = draw_case(index)
            examined = np.full(len(CLASSES), index < 8)
            if 4 <= index < 8:
                examined[1 + index % 3] = False
            label = np.where(examined[truth] & (truth > 0), truth, 0).astype(np.uint8)
            row = CaseRow(
                f"case{index}", group=f"group{index // 2}", volume=f"volume{index // 2}", slice_index=index % 2
            )
            writer.add(row, image, label, examined, truth)
    return CaseStore.open(path)


def write_slices_folder(store: CaseStore, root: Path) -> Path:
    """Write a store out as a slices folder, so that it can be trained on as a user's data would be.

    Groups 0 to 3 hold labels; groups 3 and 5 are the given val.
    """
    (root / "images").mkdir(parents=True)
    (root / "labels").mkdir()
    lines = ["image,label,group,volume,slice_index,split,annotated"]
    for i, row in enumerate(store.cases):
        Image.fromarray(np.asarray(store.images[i])).save(root / "images" / f"{row.name}.png")
        Image.fromarray(np.asarray(store.labels[i])).save(root / "labels" / f"{row.name}.png")
        examined = " ".join(str(c) for c in range(1, len(CLASSES)) if store.status[i, c] > 0)
        part = "val" if row.group in ("group3", "group5") else "train"
        files = f"images/{row.name}.png,labels/{row.name}.png"
        lines.append(f"{files},{row.group},{row.volume},{row.slice_index},{part},{examined}")
    (root / "manifest.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (root / "classes.json").write_text('{"1": "liver", "2": "kidney_left", "3": "kidney_right"}', encoding="utf-8")
    return root


@pytest.fixture
def small_store(tmp_path: Path) -> CaseStore:
    """Give the test a small store of its own."""
    return write_small_store(tmp_path / "small_store")


@pytest.fixture
def slices_folder(small_store: CaseStore, tmp_path: Path) -> Path:
    """Give the test a slices folder of its own."""
    return write_slices_folder(small_store, tmp_path / "slices")


@pytest.fixture(scope="module")
def shared_slices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the tests of a file one slices folder, which they leave as it is."""
    root = tmp_path_factory.mktemp("shared")
    return write_slices_folder(write_small_store(root / "small_store"), root / "slices")
