import pytest
import torch

from partial_labels.errors import InputError
from runs.configuration.instantiate import build
from runs.hardware.device import check_gpu, resolve_precision
from runs.hardware.trainer import choose_device
from tests.configs import composed


def trainer(root, *overrides):
    cfg = composed(root, *overrides)
    return build(cfg.trainer, max_epochs=1, run_dir=str(root), callbacks=[], loggers=[])


@pytest.fixture
def gpu(monkeypatch):
    """Let torch say that there is a GPU of a capability; nothing is run on it."""

    def pretend(capability, compiled=("sm_60", "sm_75", "sm_80", "sm_90")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: capability)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "A GPU")
        monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: list(compiled))

    return pretend


@pytest.mark.parametrize(
    ("capability", "precision"),
    [((6, 0), "16-mixed"), ((7, 5), "16-mixed"), ((8, 0), "bf16-mixed"), ((9, 0), "bf16-mixed")],
)
def test_the_card_chooses_the_precision(gpu, capability, precision):
    gpu(capability)
    assert resolve_precision("auto", on_gpu=True) == precision


def test_a_card_that_the_wheel_has_no_code_for_is_refused_with_what_to_install(gpu, tmp_path):
    gpu((6, 0), compiled=("sm_75", "sm_80"))
    with pytest.raises(InputError, match=r"A GPU is sm_60, .* code for sm_75, sm_80: install its cu126 build"):
        trainer(tmp_path, "trainer=p100")


@pytest.mark.parametrize(
    ("capability", "compiled", "build"),
    [
        ((6, 1), ["sm_60", "sm_80"], None),
        ((8, 9), ["sm_80", "sm_90"], None),
        ((12, 1), ["sm_90", "sm_120"], None),
        ((12, 0), ["sm_90", "compute_90"], None),
        ((9, 0), ["sm_80", "sm_90a"], None),
        ((6, 0), ["sm_75", "compute_90"], "its cu126 build"),
        ((7, 0), ["sm_60", "sm_75"], "a newer build"),
        ((12, 0), ["sm_50", "sm_90"], "a newer build"),
        ((10, 0), ["sm_80", "sm_90a"], "a newer build"),
    ],
)
def test_code_runs_on_cards_of_its_major_number_and_ptx_on_all_that_follow(gpu, capability, compiled, build):
    gpu(capability, compiled)
    if build is None:
        check_gpu()
    else:
        with pytest.raises(InputError, match=f"install {build}"):
            check_gpu()


def test_bfloat16_that_a_card_imitates_is_said(gpu, caplog):
    gpu((7, 5))
    assert resolve_precision("bf16-mixed", on_gpu=True) == "bf16-mixed"
    assert "16-mixed is faster" in caplog.text


@pytest.mark.parametrize(("precision", "expected"), [("32-true", True), ("bf16-mixed", False), ("16-mixed", False)])
def test_sums_of_mixed_precision_keep_the_bits_of_float32(gpu, monkeypatch, precision, expected):
    gpu((8, 0))
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", not expected)
    choose_device("gpu", 1, precision, None, tf32=True)
    assert torch.backends.cudnn.allow_tf32 is expected
    assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.parametrize("preset", ["p100", "t4"])
def test_a_preset_for_a_card_needs_one(tmp_path, preset):
    with pytest.raises(InputError, match=r"trainer\.accelerator=gpu: torch sees no GPU"):
        trainer(tmp_path, f"trainer={preset}")


def test_what_was_asked_and_what_is_done_are_said(tmp_path, caplog):
    caplog.set_level("INFO")
    assert trainer(tmp_path, "trainer=auto", "trainer.accelerator=cpu", "trainer.threads=1").precision == "32-true"
    assert "CPU (1 threads) (asked: cpu), precision 32-true (asked: auto)" in caplog.text


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trainer.compile=true", "trainer.recompute=true"], "trainer.compile=true: must be false"),
        (["trainer.sync_batchnorm=true"], "trainer.sync_batchnorm=true: must be false on a CPU"),
        (["trainer.devices=1000"], "trainer.devices=1000: this machine has"),
        (["trainer.accumulate=0"], "trainer.accumulate=0: must be at least 1"),
    ],
)
def test_options_that_exclude_each_other_are_refused(tmp_path, overrides, message):
    with pytest.raises(InputError, match=message):
        trainer(tmp_path, "trainer=cpu", *overrides)
