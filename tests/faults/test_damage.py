"""What goes wrong around a run: full disks, damaged files, numbers that are none, dead loaders, odd clocks."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import runs
from datamodules.partial_label import PartialLabelDataModule
from lightning_modules.base import SegmentationModule
from losses.masked import MaskedBCE
from partial_labels.errors import InputError
from runs.preparation import prepare
from runs.training import train
from tests.configs import composed, small_run
from tests.interrupted import EVERY_STEP, At, Killed, assert_same_run, copied, doing, resumed

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*num_workers.*"),
    pytest.mark.filterwarnings("ignore:.*`LearningRateMonitor`.*"),
]
SHORT = (
    *("data.steps_per_epoch=3", "pseudo.threshold=0.01", "model.depth=2", "data.batch_size=2", "trainer.max_epochs=3"),
    *(f"report.{name}=null" for name in ("tables", "panels", "errors", "cases", "attention")),
)


@pytest.fixture(scope="module")
def whole(shared_slices: Path) -> Path:
    """A run that nothing happens to."""
    cfg = small_run(shared_slices, *SHORT, root=shared_slices.parent / "whole")
    train(cfg)
    return Path(cfg.paths.run)


@pytest.fixture(scope="module")
def killed_once(shared_slices: Path) -> Path:
    """The same run, killed in its third epoch: last.ckpt after 6 steps, previous.ckpt after 3; with its store."""
    cfg = small_run(shared_slices, *SHORT, root=shared_slices.parent / "killed")
    with pytest.raises(Killed), doing(At("on_train_batch_start", 8)):
        train(cfg)
    return shared_slices.parent / "killed"


@pytest.fixture
def killed(killed_once: Path, shared_slices: Path, tmp_path: Path) -> Any:
    """A copy of it, to be damaged."""
    return small_run(shared_slices, *SHORT, root=copied(killed_once, tmp_path / "killed"))


def refused(work: Callable[[], Any]) -> str:
    """Return the one line with which something is refused."""
    with pytest.raises(InputError) as caught:
        work()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    """Turn one bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("damage", [truncate, flip, Path.unlink])
def test_a_damaged_checkpoint_is_told_and_the_one_before_is_taken(
    killed: Any, whole: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    folder = Path(killed.paths.run) / "checkpoints" / "supervised"
    damage(folder / "last.ckpt")
    if (folder / "last.ckpt").exists():
        said = refused(lambda: runs.load(folder / "last.ckpt"))
        assert f"{folder / 'last.ckpt'}: damaged" in said and f"intact one is {folder / 'previous.ckpt'}" in said
    resumed(killed)
    assert f"{folder / 'last.ckpt'}: damaged or gone" in caplog.text
    assert_same_run(killed.paths.run, whole)


def test_where_every_checkpoint_is_damaged_nothing_is_trained(killed: Any) -> None:
    root = Path(killed.paths.run) / "checkpoints"
    for path in root.glob("*/*.ckpt"):
        flip(path)
    said = refused(lambda: resumed(killed))
    assert "every checkpoint is damaged" in said and "supervised/previous.ckpt" in said


def test_a_checkpoint_that_no_list_names_is_none(killed: Any, whole: Path) -> None:
    folder = Path(killed.paths.run) / "checkpoints" / "supervised"
    (folder / "next.ckpt").write_bytes((folder / "last.ckpt").read_bytes()[:100])
    resumed(killed)
    assert_same_run(killed.paths.run, whole)


@pytest.mark.parametrize("damage", [truncate, flip])
@pytest.mark.parametrize("name", ["checkpoints/checkpoints.json", "config.yaml", "origin.json"])
def test_a_damaged_record_is_told(killed: Any, name: str, damage: Callable[[Path], None]) -> None:
    path = Path(killed.paths.run) / name
    if damage is flip:
        path.write_bytes(b"\x00" + path.read_bytes()[1:])
    else:
        damage(path)
    said = refused(lambda: resumed(killed))
    assert str(path) in said and "damaged" in said


def test_a_damaged_record_of_a_stage_is_told(killed: Any) -> None:
    resumed(killed)
    (Path(killed.paths.run) / "results.json").unlink()
    record = Path(killed.paths.run) / "checkpoints" / "supervised" / "stage.json"
    truncate(record)
    assert "stage.json: damaged" in refused(lambda: resumed(killed))
    record.unlink()
    assert resumed(killed)["steps"] == 9


def test_a_damaged_metrics_csv_costs_its_rows_alone(killed: Any, whole: Path) -> None:
    metrics = Path(killed.paths.run) / "metrics.csv"
    truncate(metrics)
    assert resumed(killed)["steps"] == 9
    rows = metrics.read_text().splitlines()
    assert rows[-1] == (whole / "metrics.csv").read_text().splitlines()[-1] and len({*rows}) == len(rows)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_fills_up_leaves_the_last_checkpoint_untouched(killed: Any, whole: Path) -> None:
    last = Path(killed.paths.run) / "checkpoints" / "supervised" / "last.ckpt"
    before = last.read_bytes()
    with largest_file(5000):
        said = refused(lambda: resumed(killed))
    assert f"{last}: cannot be written (File too large); the last intact checkpoint is untouched" in said
    assert last.read_bytes() == before and not (last.parent / "next.ckpt").exists()
    resumed(killed)
    assert_same_run(killed.paths.run, whole)


def test_a_full_file_system(slices_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(tmp_path / "small")]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small tmpfs")
    try:
        cfg = small_run(slices_folder, *SHORT, "model.width=8")
        cfg.paths.run = str(tmp_path / "small" / "run")
        said = refused(lambda: train(cfg))
        assert "No space left on device" in said
        subprocess.run(["mount", "-o", "remount,size=64m", str(tmp_path / "small")], check=True)
        assert resumed(cfg)["steps"] == 9
    finally:
        subprocess.run(["umount", str(tmp_path / "small")], check=True)


def nan_in_a_batch(patch: pytest.MonkeyPatch, step: int) -> None:
    plain, calls = PartialLabelDataModule.on_after_batch_transfer, iter(range(1, 100))

    def spoiled(self: Any, batch: Any, dataloader_idx: int) -> Any:
        batch = plain(self, batch, dataloader_idx)
        spoil = hasattr(batch, "image") and next(calls) == step  # a validation batch has no image of its own
        return batch._replace(image=batch.image * float("nan")) if spoil else batch

    patch.setattr(PartialLabelDataModule, "on_after_batch_transfer", spoiled)


def nan_in_a_loss(patch: pytest.MonkeyPatch, step: int) -> None:
    plain, calls = MaskedBCE.of, iter(range(1, 100))
    patch.setattr(MaskedBCE, "of", lambda *a: plain(*a) * (float("nan") if next(calls) == step else 1))


def nan_in_a_gradient(patch: pytest.MonkeyPatch, step: int) -> None:
    calls = iter(range(1, 100))

    def spoil(self: SegmentationModule) -> None:
        if next(calls) == step:
            weight = next(self.student.parameters())
            assert weight.grad is not None
            weight.grad.fill_(float("nan"))

    patch.setattr(SegmentationModule, "on_after_backward", spoil)


@pytest.mark.parametrize("spoil", [nan_in_a_batch, nan_in_a_loss, nan_in_a_gradient])
def test_a_number_that_is_none_stops_the_run_and_is_in_no_checkpoint(
    slices_folder: Path, whole: Path, spoil: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = small_run(slices_folder, *SHORT, EVERY_STEP)
    with monkeypatch.context() as patch:
        spoil(patch, 5)
        said = refused(lambda: train(cfg))
    last = Path(cfg.paths.run) / "checkpoints" / "supervised" / "last.ckpt"
    assert "is not finite" in said and "step 5" in said and f"last good checkpoint: {last}" in said
    content = torch.load(last, weights_only=True)
    assert content["global_step"] == 4 and all(value.isfinite().all() for value in content["state_dict"].values())
    resumed(cfg)
    assert_same_run(cfg.paths.run, whole)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_label_outside_the_class_table_is_named(slices_folder: Path, workers: int) -> None:
    cfg = small_run(slices_folder, *SHORT, f"data.num_workers={workers}")
    with pytest.raises(Killed), doing(At("on_train_batch_start", 1)):
        train(cfg)
    store = next(path for path in Path(cfg.paths.cache).iterdir() if path.is_dir())
    labels = np.load(store / "labels.npy", mmap_mode="r+")
    labels[2, 3, 4] = 200
    labels.flush()
    (store / "checksums.json").unlink()  # as in a store that was built before there were checksums
    said = refused(lambda: resumed(cfg))
    assert (
        f"{store}: case images/case2.png holds label id 200, the class table ends at 3" in said
        and "Traceback" not in said
    )


@pytest.mark.parametrize("name", ["images.npy", "labels.npy", "cases.csv"])
def test_a_flipped_bit_of_a_store_is_told_and_the_store_built_anew(killed: Any, whole: Path, name: str) -> None:
    store = next(path for path in Path(killed.paths.cache).iterdir() if path.is_dir())
    flip(store / name)
    said = refused(lambda: resumed(killed))
    assert f"{store / name}: damaged, it is not what was written; delete the folder, it is built anew" in said
    shutil.rmtree(store)
    resumed(killed)
    assert_same_run(killed.paths.run, whole)


def test_a_store_is_verified_where_that_is_asked(slices_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    options = ("data=slices", f"data.root={slices_folder}", "data.image_size=32", "data.similarity=1.0", "verify=true")
    cfg = composed(slices_folder.parent, *options, config="prepare")
    store = prepare(cfg).store.path
    assert f"{store}: intact" in caplog.text
    for damage in (flip, Path.unlink):
        damage(store / "truth.npy" if (store / "truth.npy").exists() else store / "status.npy")
        assert "damaged" in refused(lambda: prepare(cfg))
        shutil.rmtree(store)
        prepare(cfg)
    truncate(store / "checksums.json")
    assert f"{store / 'checksums.json'}: damaged" in refused(lambda: prepare(cfg))
    (store / "checksums.json").unlink()
    prepare(cfg)
    assert f"{store}: no checksums" in caplog.text


def test_a_flipped_bit_of_pseudo_labels_is_told_and_they_are_written_again(slices_folder: Path) -> None:
    overrides = (*SHORT, "ssl=teacher_student", "trainer.max_epochs=2", EVERY_STEP)
    whole, parts = (small_run(slices_folder, *overrides, root=slices_folder.parent / name) for name in ("one", "two"))
    parts.paths.cache = whole.paths.cache
    train(whole)
    with pytest.raises(Killed), doing(At("on_train_batch_start", 5)):  # the second step of the student
        train(parts)
    labels = Path(parts.paths.run) / "pseudo" / "teacher" / "labels.npy"
    flip(labels)
    said = refused(lambda: resumed(parts))
    assert f"{labels}: damaged" in said and "delete the folder and continue the run with resume=" in said
    shutil.rmtree(labels.parent)
    seen: list[str] = []
    resumed(parts, At("on_train_batch_start", 4, action=lambda: seen.append("a step of the teacher")))
    assert not seen
    assert_same_run(parts.paths.run, whole.paths.run)


def test_no_labels_are_written_with_damaged_weights(slices_folder: Path) -> None:
    cfg = small_run(slices_folder, *SHORT, "ssl=teacher_student", "trainer.max_epochs=2")
    best = Path(cfg.paths.run) / "checkpoints" / "teacher" / "best.ckpt"
    with doing(At("on_fit_end", 1, action=lambda: flip(best))):
        said = refused(lambda: train(cfg))
    assert f"{best}: damaged, it is not what was written" in said
    assert not any((Path(cfg.paths.run) / "pseudo").glob("*"))


def test_a_loader_process_that_is_killed_ends_with_advice(slices_folder: Path) -> None:
    cfg = small_run(slices_folder, *SHORT, "data.num_workers=1", EVERY_STEP)

    def kill_children() -> None:
        children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
        for child in children:
            os.kill(int(child), signal.SIGKILL)
        time.sleep(0.5)

    with doing(At("on_train_batch_start", 2, action=kill_children)):
        said = refused(lambda: train(cfg))
    assert "a loader process was killed" in said and "data.num_workers=0" in said


def test_a_run_directory_that_cannot_be_written_is_told_before_anything_is_done(slices_folder: Path) -> None:
    cfg = small_run(slices_folder, *SHORT)
    Path(cfg.paths.run).write_text("a file")
    said = refused(lambda: train(cfg))
    assert f"{cfg.paths.run}: cannot write there" in said


def test_a_clock_that_goes_backwards_changes_nothing(
    slices_folder: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter(range(2_000_000_000, 0, -3600))
    monkeypatch.setattr(time, "time", lambda: float(next(now)))
    cfg = small_run(slices_folder, *SHORT, EVERY_STEP)
    results = train(cfg)
    assert_same_run(cfg.paths.run, whole)
    assert results["wall_seconds"] >= 0 and json.loads((Path(cfg.paths.run) / "results.json").read_text())
