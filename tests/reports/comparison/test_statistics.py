import math
import statistics

import numpy as np
import pytest

from metrics.paired import Difference
from reports.comparison.keys import group_runs
from reports.comparison.runs import read_runs
from reports.comparison.statistics import Mean, gains_over, mean_curve, read_cells, seed_interval, verdict
from tests.finished_runs import PATIENTS, write_run


def groups_of(root, *settings):
    return group_runs(read_runs([write_run(root / str(number), **one) for number, one in enumerate(settings)]))


def better(gain, seeds=(0, 1, 2), **more):
    return [{"ssl": "mean_teacher", "seed": seed, "gain": gain, **more} for seed in seeds]


BASE = [{"seed": seed} for seed in (0, 1, 2)]


def test_the_mean_of_curves_is_taken_where_every_run_was_measured():
    curves = [(np.array([1.0, 2.0, 3.0]), np.array([0.1, 0.2, 0.3])), (np.array([1.0, 3.0]), np.array([0.3, 0.7]))]
    epochs, mean, deviation = mean_curve(curves)
    assert epochs.tolist() == [1, 3] and mean.tolist() == [statistics.fmean([0.1, 0.3]), statistics.fmean([0.3, 0.7])]
    assert deviation == pytest.approx([statistics.stdev([0.1, 0.3]), statistics.stdev([0.3, 0.7])])
    alone = mean_curve(curves[:1])
    assert alone[1].tolist() == [0.1, 0.2, 0.3] and alone[2].tolist() == [0, 0, 0]


@pytest.mark.parametrize("figure", ["dice", "dice_volume"])
def test_the_gain_is_the_difference_of_the_means_that_the_table_shows(tmp_path, figure):
    base, ours = groups_of(tmp_path, *BASE, *better(0.1))
    (gain,) = gains_over([base, ours], base, figure)
    means = [statistics.fmean(run.figure("last", figure) for run in group.runs) for group in (ours, base)]
    assert gain.over_cases.mean == pytest.approx(means[0] - means[1], abs=1e-12)
    assert gain.over_cases.low < gain.over_cases.mean < gain.over_cases.high and gain.units == PATIENTS


def test_cases_are_added_up_by_patient_as_an_obvious_loop_does(tmp_path):
    (group,) = groups_of(tmp_path, {})
    cells = read_cells(group.runs[0], "dice")
    sums = cells.sums(3)
    total, number = np.zeros((PATIENTS, 3)), np.zeros((PATIENTS, 3))
    for line in (group.runs[0].path / "evaluation/last/cases.csv").read_text().splitlines()[1:]:
        case, _, class_id, dice = line.split(",")
        patient = int(group.runs[0].split[int(case)]["group"].removeprefix("val"))
        total[patient, int(class_id)] += float(dice)
        number[patient, int(class_id)] += 1
    np.testing.assert_allclose(sums.total, total)
    np.testing.assert_array_equal(sums.number, number)


def test_a_volume_whose_slices_are_groups_counts_for_the_one_that_was_measured(tmp_path):
    (group,) = groups_of(tmp_path, {})
    before = read_cells(group.runs[0], "dice_volume")
    path = group.runs[0].path / "split.csv"
    whole = path.read_text()
    path.write_text(whole.replace("\nval0v0s0,", "\nother,elsewhere,val0v0,9,train,labeled,\nval0v0s0,", 1))
    assert "elsewhere" in path.read_text()
    after = read_cells(read_runs([group.runs[0].path])[0], "dice_volume")
    assert (after.patient == before.patient).all() and after.units == before.units


def test_a_large_gain_is_better_and_a_small_one_may_be_noise(tmp_path):
    base, large, small = groups_of(
        tmp_path, *BASE, *better(0.3), *({**one, "ssl": "teacher_student", "gain": 0.001} for one in BASE)
    )
    words = {gain.group: gain.verdict for gain in gains_over([base, large, small], base, "dice")}
    assert words["mean_teacher"].startswith("better: neither the patients nor the seeds")
    assert words["teacher_student"].startswith("may be noise")


def test_verdicts_tell_what_an_interval_leaves_open():
    sure, unsure = Difference(0.1, 0.05, 0.15), Difference(-0.02, -0.06, 0.02)
    assert verdict(sure, (0.02, 0.18), 20) == "better: neither the patients nor the seeds explain it"
    assert verdict(Difference(-0.1, -0.15, -0.05), (-0.2, -0.01), 20).startswith("worse: neither")
    assert verdict(unsure, (-0.03, -0.01), 20).startswith("may be noise: other patients")
    assert "the seeds differ by as much" in verdict(sure, (-0.1, 0.3), 20)
    assert "a single run does not tell" in verdict(sure, None, 20)
    assert verdict(Difference(0.0, 0.0, 0.0), None, 20) == "no difference on these patients"
    assert "only 3 patients" in verdict(sure, (0.02, 0.18), 3)
    assert verdict(Difference(math.nan, math.nan, math.nan), None, 20).startswith("nothing to compare")


def test_other_data_and_missing_tables_are_not_compared_but_said(tmp_path):
    base, other = groups_of(tmp_path / "a", *BASE, *better(0.1, store="other-9"))
    (gain,) = gains_over([base, other], base, "dice")
    assert gain.over_cases is None and gain.verdict == "not compared: other data, or another split"
    base, ours = groups_of(tmp_path / "b", *BASE, *better(0.1))
    (ours.runs[0].path / "evaluation" / "last" / "cases.csv").unlink()
    assert gains_over([base, ours], base, "dice")[0].verdict.endswith("3 has no evaluation/last/cases.csv")
    assert gains_over([base, ours], base, "dice_volume")[0].over_cases is not None
    base, stopped = groups_of(tmp_path / "c", *BASE, *better(0.1, finished=False))
    assert "mean_teacher has no finished run" in gains_over([base, stopped], base, "dice")[0].verdict


def test_the_interval_over_seeds_is_welchs():
    from scipy.stats import ttest_ind

    ours, theirs = [0.71, 0.74, 0.73], [0.60, 0.66, 0.61, 0.68]
    low, high = seed_interval(Mean(ours), Mean(theirs))
    assert (low, high) == pytest.approx(ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.95))
    assert seed_interval(Mean([0.5]), Mean(theirs)) is None
    assert seed_interval(Mean([0.5, 0.5]), Mean([0.2, 0.2])) == pytest.approx((0.3, 0.3))
