import io
import json
import shutil

import pytest
from omegaconf import OmegaConf
from rich.console import Console

from partial_labels.errors import InputError
from reports.comparison.classes import class_grids
from reports.comparison.comparison import compare
from reports.comparison.runs import read_runs
from reports.comparison.tables import (
    cost_rows,
    figure_rows,
    images_of,
    key_rows,
    print_comparison,
    pseudo_rows,
    run_rows,
    short_rows,
)
from tests.finished_runs import PATIENTS, write_run


@pytest.fixture
def sweep(tmp_path):
    number = 0
    for ssl, gain in (("supervised", 0.0), ("mean_teacher", 0.3), ("teacher_student", -0.2)):
        for seed in (0, 1):
            write_run(tmp_path / "sweep" / f"{number}_{ssl}_seed{seed}", ssl, seed, gain)
            number += 1
    write_run(tmp_path / "sweep" / "6_mean_teacher_seed2", "mean_teacher", 2, finished=False)
    return tmp_path / "sweep"


def printed(comparison, width=160):
    stream = io.StringIO()
    print_comparison(comparison, Console(file=stream, width=width))
    return stream.getvalue()


def test_the_terminal_shows_the_best_first_and_says_what_is_noise(sweep):
    comparison = compare([sweep])
    lines = printed(comparison).splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["mean_teacher", "supervised", "teacher_student"]
    assert "2 of 3" in lines[1] and "baseline" in lines[2]
    text = "\n".join(lines)
    assert "mean_teacher: better" in text and "teacher_student: worse" in text
    assert "note: 6_mean_teacher_seed2: stopped after 3 of 6 epochs; it is shown, but counts nowhere" in text
    assert max(map(len, printed(comparison, 80).splitlines()[:4])) <= 80


def test_the_jobs_that_a_sweep_lacks_are_told_with_the_command_that_completes_it(sweep):
    (sweep / "multirun.yaml").write_text("hydra: {}\n")
    shutil.rmtree(sweep / "4_teacher_student_seed0")
    comparison = compare([sweep])
    text = printed(comparison)
    assert "note: job 4: not begun\n" in text
    end = f"complete it: python train.py -m resume_sweep={sweep}"
    assert f"{sweep}: 1 without a run and 1 unfinished; {end}" in text.replace("\n", "").replace("note: ", "")
    assert run_rows(comparison)[-1] == ["job 4", "-", "-", "not begun", "-", "-"]


def test_the_baseline_is_a_label_or_a_value_of_one_group(sweep):
    assert compare([sweep]).baseline.label == "supervised"
    assert compare([sweep], baseline="mean_teacher").baseline.label == "mean_teacher"
    by_two = compare([sweep], ["ssl.name", "ssl.decay"], baseline="mean_teacher, 0.99")
    assert by_two.baseline.keys == {"ssl.name": "mean_teacher", "ssl.decay": "0.99"}
    with pytest.raises(InputError, match=r"--baseline 'nobody': no such group; there is supervised \| mean_teacher \|"):
        compare([sweep], baseline="nobody")
    with pytest.raises(InputError, match=r"several groups are meant; there is supervised \| teacher_student$"):
        compare([sweep], ["ssl.name", "ssl.decay"], baseline="-")


def test_groups_that_differ_in_keys_of_one_name_keep_their_own_gains(tmp_path):
    keys = {"augment.gamma.probability": 0.2, "augment.noise.probability": 0.2}
    changed = [{}, *({key: 0.5} for key in keys)]
    for number, (change, gain) in enumerate(zip(changed, (0.0, 0.2, -0.2), strict=True)):
        write_run(tmp_path / str(number), gain=gain, changes=keys | change)
    comparison = compare([tmp_path])
    rows = {row[0]: row[3:] for row in short_rows(comparison)}
    assert rows["gamma.probability 0.5"][0].startswith("+0.") and rows["noise.probability 0.5"][0].startswith("-0.")
    assert rows["gamma.probability 0.2, noise.probability 0.2"] == ["", "the baseline"]
    for label in rows:
        assert compare([tmp_path], baseline=label).baseline.label == label


def test_what_the_runs_monitored_counts_unless_something_else_is_asked(tmp_path):
    run = write_run(tmp_path / "a", changes={"monitor": "val/dice_volume"})
    assert compare([run]).figure == "dice_volume" and compare([run], figure="dice").figure == "dice"
    assert compare([run, write_run(tmp_path / "b", seed=1)]).figure == "dice"


def test_test_cases_count_where_every_run_has_them(tmp_path):
    paths = [write_run(tmp_path / "a", test=True), write_run(tmp_path / "b", "mean_teacher", gain=0.2, test=True)]
    comparison = compare(paths)
    means = [group.runs[0].figure("last_test", "dice") for group in comparison.groups]
    assert comparison.part == "test" and comparison.gains["dice"][0].units == PATIENTS
    assert comparison.gains["dice"][0].over_cases.mean == pytest.approx(means[1] - means[0], abs=1e-12)
    assert f"{means[1]:.3f}" in printed(comparison).splitlines()[1]
    paths.append(write_run(tmp_path / "c", "teacher_student"))
    assert compare(paths).part == "val"
    assert compare([write_run(tmp_path / "d", finished=False)]).part == "val"


def test_what_one_would_not_notice_is_said(tmp_path):
    paths = [
        write_run(tmp_path / "0"),
        write_run(tmp_path / "1", changes={"model.width": 4}),
        write_run(tmp_path / "2"),
    ]
    notes = compare(paths, ["ssl.name"]).notes
    assert notes == ["supervised: its runs differ in model.width, not in the seed alone"]
    assert "the same seed" in compare([paths[0], paths[2]]).notes[0]
    other = write_run(tmp_path / "3", store="other-1")
    assert "different data or splits" in compare([paths[0], other]).notes[0]


def test_the_tables_hold_figures_costs_rounds_keys_and_runs(sweep):
    comparison = compare([sweep])
    groups = comparison.groups
    assert figure_rows(groups, "best", ["dice"])[1][1] == "2 of 3"
    assert cost_rows(groups)[0] == ["supervised", "60", "60.5", "30.0", "-", "1.50"]
    titles, rows = pseudo_rows(groups)
    assert titles == ["coverage", "precision"]
    assert [row[:2] for row in rows] == [["teacher_student", "0.750 ± 0.000"]]
    typed, brought = key_rows(groups)
    assert ["ssl.decay", "-", "0.99", "-"] in typed
    assert [row[0] for row in brought] == ["ssl.stages.0.name"] or brought == []
    assert run_rows(comparison)[6][3] == "stopped after 3 of 6 epochs"


def test_images_are_counted_by_stage_and_stream(tmp_path):
    changes = {"data.batch_size": 4, "data.pseudo_batch_size": 3, "data.unlabeled_batch_size": 2}
    stages = [
        {"name": "teacher", "streams": ["labeled"]},
        {"name": "student", "streams": ["labeled", "pseudo_labeled"]},
    ]
    path = write_run(tmp_path / "run", "teacher_student", changes=changes)
    config = OmegaConf.load(path / "config.yaml")
    config.ssl.stages = stages
    OmegaConf.save(config, path / "config.yaml")
    results = json.loads((path / "results.json").read_text())
    for stream, unlabeled, images in (
        ("pseudo_labeled", 30, 3 * 5 * 4 + 3 * 5 * (4 + 3)), ("pseudo_labeled", 0, 6 * 5 * 4),
        ("unlabeled", 0, 6 * 5 * 4),
        ("open", 30, 3 * 5 * 4 + 3 * 5 * (4 + 2)), ("open", 0, 3 * 5 * 4 + 3 * 5 * (4 + 2)),
    ):  # fmt: skip
        config.ssl.stages[1].streams = ["labeled", stream]
        OmegaConf.save(config, path / "config.yaml")
        results["cases"] = {"labeled": 18, "unlabeled": unlabeled}
        (path / "results.json").write_text(json.dumps(results))
        assert images_of(read_runs([path])[0]) == images


def test_silent_and_uncounted_classes_are_marked(sweep):
    (table,) = class_grids(compare([sweep]).groups).values()
    assert table.classes == ["liver", "spleen", "brain"]
    assert table.marks[1] == ["silent"] * 3 and table.marks[2] == ["-"] * 3
    assert table.marks[0] == [f"{value:.2f}" for value in table.dice[0]]


def test_a_damaged_table_of_classes_is_named(sweep):
    path = sweep / "0_supervised_seed0" / "evaluation" / "last" / "classes.csv"
    path.write_text(path.read_text().replace("30,0,0,0", "30,0,0,x"))
    with pytest.raises(InputError, match=r"classes\.csv: no table of classes"):
        class_grids(compare([sweep]).groups)
    path.write_text("name,dice\nliver,0.5\n")
    with pytest.raises(InputError, match=r"classes\.csv: has no column present"):
        compare([sweep])
