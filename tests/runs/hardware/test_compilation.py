import torch
from torch import nn

from runs.hardware.compilation import failure, hindrance
from runs.training import train
from tests.configs import small_run

CPU = torch.device("cpu")


def test_without_a_compiler_the_run_goes_on_and_says_why(slices_folder, monkeypatch, caplog):
    monkeypatch.setenv("CXX", "no-such-compiler")
    results = train(small_run(slices_folder, "trainer.compile=true", "trainer.max_epochs=1"))
    assert results["steps"] == 2
    assert "trainer.compile: no C++ compiler (no-such-compiler); the run goes on without" in caplog.text


def test_what_a_compiler_trips_over_is_said_in_one_line(monkeypatch):
    def broken(self):
        raise RuntimeError("no kernel\nfor this\n")

    monkeypatch.setattr(nn.Module, "compile", broken)
    assert failure(nn.Conv2d(1, 2, 1), torch.zeros(2, 1, 8, 8)) == "RuntimeError: no kernel"


def test_a_trial_leaves_network_and_random_numbers_alone(monkeypatch):
    monkeypatch.setattr(nn.Module, "compile", lambda self: None)
    network, state = nn.Sequential(nn.BatchNorm2d(1), nn.Dropout()), torch.get_rng_state()
    assert failure(network, torch.zeros(2, 1, 8, 8)) is None
    assert int(network[0].num_batches_tracked) == 0 and torch.equal(torch.get_rng_state(), state)


def test_a_compiled_run_has_the_checkpoint_of_a_plain_one(slices_folder, monkeypatch, tmp_path, caplog):
    compiled = []

    def compile(self):
        compiled.append(type(self).__name__)
        self._compiled_call_impl = self._call_impl

    monkeypatch.setattr("runs.hardware.compilation.hindrance", lambda device: None)
    monkeypatch.setattr(nn.Module, "compile", compile)
    states = []
    for key in ("false", "true"):
        options = ("ssl=mean_teacher", f"trainer.compile={key}", "trainer.max_epochs=1")
        cfg = small_run(slices_folder, *options, root=tmp_path / key)
        train(cfg)
        states.append(
            torch.load(f"{cfg.paths.run}/checkpoints/mean_teacher/last.ckpt", weights_only=True)["state_dict"]
        )
    assert compiled == ["UNet", "UNet", "NormalisedNetwork"]  # the trial, the student, the teacher
    assert list(states[0]) == list(states[1])
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())


def test_a_compiler_is_looked_for(monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", "")
    assert hindrance(CPU) == "no C++ compiler (c++, g++, clang++)"
