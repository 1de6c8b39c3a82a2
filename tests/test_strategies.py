"""Every strategy as a user runs it, on a few small cases."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import runs
from partial_labels.batch import HUMAN, TEACHER, UNKNOWN, UNSURE
from partial_labels.errors import InputError
from partial_labels.pseudo_store import PseudoRound
from reports.run.page import write_run_page
from runs.stages.plan import epochs_of
from runs.training import train
from tests.configs import small_run

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*num_workers.*"),
    pytest.mark.filterwarnings("ignore:.*`LearningRateMonitor`.*"),
]
STRATEGIES = ("supervised", "mean_teacher", "teacher_student", "pretrain_finetune", "self_training")
LOW = "pseudo.threshold=0.01"
"""A network of two epochs is sure of nothing: its labels are taken as they are."""


def columns(run, *names):
    with (Path(run) / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [tuple(float(row[name]) for name in names) for row in rows if all(row.get(name) for name in names)]


@pytest.mark.parametrize("ssl", STRATEGIES)
@pytest.mark.parametrize("loss", ["masked", "marginal", "dice_ce"])
def test_every_strategy_trains_with_every_kind_of_loss(slices_folder, ssl, loss):
    cfg = small_run(slices_folder, f"ssl={ssl}", f"loss={loss}", "trainer.max_epochs=3", LOW)
    results = train(cfg)
    assert results["steps"] == 6 == sum(stage["steps"] for stage in results["stages"])
    assert np.isfinite(results["figures"]["last"]["dice"])
    assert write_run_page(cfg.paths.run).exists()


@pytest.mark.parametrize("consistency", ["mse", "kl", "dice", "labels"])
@pytest.mark.parametrize("option", ["model.deep_supervision=true", "trainer.accumulate=2"])
def test_every_consistency_trains(slices_folder, consistency, option):
    results = train(small_run(slices_folder, "ssl=mean_teacher", f"consistency={consistency}", option))
    assert np.isfinite(results["figures"]["last"]["dice"])


def test_the_last_epoch_of_each_stage_is_validated(slices_folder):
    seldom = ("trainer.max_epochs=7", "trainer.validate_every_n_epochs=2", "ssl.fractions=[0.45,0.55]")
    cfg = small_run(slices_folder, "ssl=teacher_student", *seldom, LOW)
    train(cfg)
    validated = [int(epoch) for epoch, _ in columns(cfg.paths.run, "epoch", "val/dice")]
    assert validated == [1, 2, 4, 6]  # epochs 0 to 2 are the teacher's, 3 to 6 the student's


def test_stages_share_one_axis_and_leave_their_marks(slices_folder):
    cfg = small_run(slices_folder, "ssl=pretrain_finetune", "trainer.max_epochs=6", LOW)
    results = train(cfg)
    run = Path(cfg.paths.run)
    steps, epochs = zip(*columns(run, "step", "epoch"), strict=True)
    assert sorted(set(epochs)) == [0, 1, 2, 3, 4, 5]
    assert list(steps) == sorted(steps) and max(steps) == 11
    assert [stage["name"] for stage in results["stages"]] == ["teacher", "pretrain", "finetune"]
    for stage in results["stages"]:
        record = json.loads((run / "checkpoints" / stage["name"] / "stage.json").read_text())
        assert (run / "checkpoints" / stage["name"] / record["last"]).exists()


def test_the_teacher_of_the_second_phase_is_the_best_of_the_first_and_stands_still(slices_folder):
    cfg = small_run(slices_folder, "ssl=teacher_student", "trainer.max_epochs=4", LOW)
    train(cfg)
    checkpoints = Path(cfg.paths.run) / "checkpoints"
    best = runs.load(checkpoints / "teacher" / "best.ckpt").network.state_dict()
    frozen = runs.load(checkpoints / "student" / "last.ckpt", network="teacher").network.state_dict()
    student = runs.load(checkpoints / "student" / "last.ckpt").network.state_dict()
    assert all(torch.equal(value, frozen[name]) for name, value in best.items())
    assert any(not torch.equal(value, student[name]) for name, value in best.items())


def test_fine_tuning_begins_where_pretraining_ended(slices_folder):
    cfg = small_run(slices_folder, "ssl=pretrain_finetune", "trainer.max_epochs=3", "optimizer.lr=1e-12", LOW)
    train(cfg)
    checkpoints = Path(cfg.paths.run) / "checkpoints"
    weights = [
        runs.load(checkpoints / name / "last.ckpt").network.network for name in ("pretrain", "finetune", "teacher")
    ]
    first = [next(network.parameters()) for network in weights]
    assert torch.allclose(first[0], first[1], atol=1e-8) and not torch.allclose(first[0], first[2], atol=1e-3)


def test_student_and_mean_teacher_are_both_validated_and_the_monitored_one_is_used(slices_folder):
    figures = {}
    for monitored in ("teacher", "student"):
        root = slices_folder.parent / monitored
        cfg = small_run(slices_folder, "ssl=mean_teacher", f"ssl.monitored={monitored}", "ssl.decay=0.3", root=root)
        results = train(cfg)
        other = "student" if monitored == "teacher" else "teacher"
        figures[monitored] = columns(cfg.paths.run, "val/dice_pessimistic")[-1][0]
        figures[f"not {other}"] = columns(cfg.paths.run, f"val_{other}/dice_pessimistic")[-1][0]
        last = Path(cfg.paths.run) / "checkpoints" / "mean_teacher" / "last.ckpt"
        assert results["figures"]["last"]["dice_pessimistic"] == pytest.approx(figures[monitored], abs=1e-6)
        used, named = runs.load(last), runs.load(last, network=monitored)
        for one, same in zip(used.network.parameters(), named.network.parameters(), strict=True):
            assert torch.equal(one, same)
    assert figures["teacher"] == pytest.approx(figures["not teacher"], abs=1e-6)
    assert figures["student"] == pytest.approx(figures["not student"], abs=1e-6)


def test_pseudo_labels_fill_unlabeled_cases_and_on_request_the_unexamined_classes(slices_folder):
    for complete in (False, True):
        root = slices_folder.parent / str(complete)
        option = f"pseudo.complete_labeled={str(complete).lower()}"
        cfg = small_run(slices_folder, "ssl=teacher_student", option, LOW, root=root)
        train(cfg)
        written = PseudoRound.open(Path(cfg.paths.run) / "pseudo" / "teacher")
        assert written.case_ids.tolist() == ([4, 5, 8, 9] if complete else [8, 9])
        unlabeled = written.status[written.rows_of(np.array([8, 9]))]
        assert (unlabeled[:, 1:] == TEACHER).all()
        if complete:
            labeled = written.status[written.rows_of(np.array([4, 5]))]
            assert ((labeled[:, 1:] == HUMAN).sum(axis=1) == 2).all() and (labeled[:, 1:] == TEACHER).sum() == 2


def test_a_strategy_without_anything_unknown_says_what_to_set(slices_folder):
    manifest = slices_folder / "manifest.csv"
    keep = [line for line in manifest.read_text().splitlines() if not line.startswith(("images/case8", "images/case9"))]
    manifest.write_text("\n".join(keep) + "\n")
    with pytest.raises(
        InputError, match=r"no training case is unlabeled; .* or pseudo\.complete_labeled=true, or ssl="
    ):
        train(small_run(slices_folder, "ssl=teacher_student"))
    assert train(small_run(slices_folder, "ssl=mean_teacher", "trainer.max_epochs=1"))["steps"] == 2
    again = small_run(
        slices_folder, "ssl=teacher_student", "pseudo.complete_labeled=true", root=slices_folder.parent / "b"
    )
    assert train(again)["steps"] == 4


def test_where_everything_is_known_a_teacher_has_nothing_to_say(slices_folder):
    manifest = slices_folder / "manifest.csv"
    keep = [line for line in manifest.read_text().splitlines() if "case4" not in line and "case5" not in line]
    manifest.write_text("\n".join(keep) + "\n")
    cfg = small_run(slices_folder, "ssl=mean_teacher", "ssl.stages.0.streams=[labeled]", "ssl.stream=null")
    assert np.isfinite(train(cfg)["figures"]["last"]["dice_pessimistic"])
    assert {value for (value,) in columns(cfg.paths.run, "train/unsupervised")} == {0.0}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["ssl=supervised", "ssl.decay=0.9"], "ssl.decay=0.9: ssl=supervised has no decay"),
        (["ssl=mean_teacher", "ssl.monitored=both"], "monitored=both: choose student or teacher"),
        (["ssl=mean_teacher", "ssl.decay=2"], "decay=2.0: must lie in [0, 1)"),
        (["ssl=mean_teacher", "ssl.unsupervised_weight=-1"], "unsupervised_weight=-1.0: must be 0 or more"),
        (["ssl=teacher_student", "pseudo.threshold=2"], "pseudo.threshold=2: must lie in (0, 1]"),
        (["ssl=teacher_student", "trainer.max_epochs=1"], "trainer.max_epochs=1: must be at least 2"),
    ],
)
def test_wrong_options_are_one_line(slices_folder, overrides, message):
    with pytest.raises(InputError) as caught:
        train(small_run(slices_folder, *overrides))
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("fractions", ["[0.98,0.01,0.01]", "[0.01,0.01,0.98]"])
def test_the_stages_never_take_more_epochs_than_the_run_has(slices_folder, fractions):
    cfg = small_run(slices_folder, "ssl=pretrain_finetune", f"ssl.fractions={fractions}", "trainer.max_epochs=4")
    assert sum(epochs_of(cfg)) == 4 and min(epochs_of(cfg)) == 1


def test_a_callback_of_a_stage_can_be_left_out(slices_folder):
    cfg = small_run(slices_folder, "ssl=mean_teacher", "ssl.stages.0.callbacks.ema=null", "ssl.decay=null")
    assert train(cfg)["steps"] == 4


def test_stages_may_only_refer_to_earlier_ones(slices_folder):
    cfg = small_run(slices_folder, "ssl=teacher_student")
    for key, value in (("init", "student/last"), ("teacher", "teacher/newest"), ("pseudo", "student")):
        wrong = cfg.copy()
        wrong.ssl.stages[1][key] = value
        with pytest.raises(InputError, match=f"ssl stage student: {key}={value} is no"):
            train(wrong)


def test_a_class_drawn_by_a_human_is_never_unsure_in_training(slices_folder):
    cfg = small_run(slices_folder, "ssl=teacher_student", "pseudo.complete_labeled=true", "pseudo.threshold=1.0")
    train(cfg)
    written = PseudoRound.open(Path(cfg.paths.run) / "pseudo" / "teacher")
    assert (written.labels == UNSURE).any() and (written.status != UNKNOWN).any()
