from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from partial_labels.errors import InputError
from runs.hardware import batch_size
from runs.training import train
from tests.configs import small_run

pytestmark = pytest.mark.filterwarnings("ignore:.*num_workers.*")


@pytest.mark.parametrize(("limit", "most", "found"), [(5, 64, 4), (8, 64, 8), (100, 64, 64), (100, 20, 16), (1, 64, 2)])
def test_the_largest_power_of_two_that_fits(limit, most, found):
    assert batch_size.largest(lambda size: size <= limit, most) == found


@pytest.mark.parametrize("ssl", ["supervised", "mean_teacher"])
def test_it_is_found_once_and_kept_in_the_run(slices_folder, ssl):
    cfg = small_run(slices_folder, "data.batch_size=auto", f"ssl={ssl}", "trainer.max_epochs=1")
    results = train(cfg)
    saved = OmegaConf.load(Path(cfg.paths.run) / "config.yaml").data
    assert saved.batch_size == saved.unlabeled_batch_size == 4  # 6 labeled cases
    assert results["steps"] == 2


def test_little_memory_gives_a_small_batch(slices_folder, monkeypatch):
    monkeypatch.setattr(batch_size, "SHARE", {"cpu": 1e-9})
    cfg = small_run(slices_folder, "data.batch_size=auto", "trainer.max_epochs=1")
    assert train(cfg)["steps"] == 3


def test_what_a_step_keeps_grows_with_the_batch_and_shrinks_by_recomputing(slices_folder):
    kept = {}
    for recompute in ("false", "true"):
        cfg = small_run(slices_folder, "data.batch_size=2", f"trainer.recompute={recompute}")
        data = batch_size.build(cfg.data)
        data.setup()
        place = batch_size.find_place("cpu", "auto", 1)
        step = batch_size.trial_step(cfg, cfg.ssl.stages[0], data, place)
        kept[recompute] = [batch_size.kept_bytes(lambda size=size, step=step: step(size)) for size in (2, 4)]
    assert kept["false"][1] > 1.5 * kept["false"][0] and kept["true"][1] < kept["false"][1]


def test_a_teacher_and_its_consistency_are_part_of_the_trial(slices_folder):
    kept = {}
    for ssl in ("supervised", "mean_teacher"):
        cfg = small_run(slices_folder, "data.batch_size=2", f"ssl={ssl}", "optimizer=adamw")
        cfg.ssl.stages[0].streams = ["labeled"]
        data = batch_size.build(cfg.data)
        data.setup()
        place = batch_size.find_place("cpu", "auto", 1)
        step = batch_size.trial_step(cfg, cfg.ssl.stages[0], data, place)
        kept[ssl] = batch_size.kept_bytes(lambda step=step: step(4))
    assert kept["mean_teacher"] > kept["supervised"]


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("full"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"),
    ],
)
def test_a_gpu_that_runs_out_of_memory_does_not_fit(monkeypatch, error):
    def step():
        raise error

    for name, value in {"empty_cache": None, "mem_get_info": (100, 100), "memory_allocated": 0}.items():
        monkeypatch.setattr(torch.cuda, name, lambda *_, value=value: value)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda *_: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda *_: 70)
    device = torch.device("cuda")
    assert not batch_size.fits_gpu(step, device)
    assert not batch_size.fits_gpu(lambda: None, device)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda *_: 60)
    assert batch_size.fits_gpu(lambda: None, device)


def test_another_word_is_refused(slices_folder):
    with pytest.raises(InputError, match=r"data\.batch_size"):
        train(small_run(slices_folder, "data.batch_size=large"))
