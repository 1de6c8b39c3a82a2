import json
import statistics

import pytest

from partial_labels.errors import InputError
from reports.results_table import main, markdown_table, read_results

RUNS = {"masked": (0.70, 0.74, 0.72), "dice_ce": (0.61, 0.60, 0.65)}


@pytest.fixture
def folder(tmp_path):
    for variant, values in RUNS.items():
        for seed, value in enumerate(values):
            figures = {"dice": value - 0.1, "dice_volume": value, "dice/liver": value, "dice_classes": 2.0}
            volumes = {f"v{n}": {"1": [value + n / 100, None], "2": [value - n / 100, 0.5]} for n in range(5)}
            record = {"figures": {"last": figures, "best": figures}, "steps": 2460, "seed": seed, "volumes": volumes}
            (tmp_path / f"{variant}_seed{seed}.json").write_text(json.dumps(record))
    return tmp_path


def test_a_row_is_mean_and_deviation_over_seeds_the_best_first(folder):
    rows = markdown_table(read_results(folder)).splitlines()[2:]
    assert [row.split(" | ")[0] for row in rows] == ["| masked", "| dice_ce"]
    mean, deviation = statistics.fmean(RUNS["masked"]), statistics.stdev(RUNS["masked"])
    assert rows[0] == f"| masked | 3 | 2460 | {mean - 0.1:.3f} ± {deviation:.3f} | {mean:.3f} ± {deviation:.3f} |"


def test_classes_get_columns_of_their_own(folder):
    assert "| liver |" in markdown_table(read_results(folder), classes=True).splitlines()[0]


def test_one_seed_has_no_deviation(folder):
    for seed in (1, 2):
        (folder / f"masked_seed{seed}.json").unlink()
    assert "| masked | 1 | 2460 | 0.600 | 0.700 |" in markdown_table(read_results(folder))


def test_a_folder_without_results_and_a_broken_file_are_named(folder, tmp_path_factory, capsys):
    with pytest.raises(InputError, match=r"no file named <variant>_seed<number>\.json"):
        read_results(tmp_path_factory.mktemp("empty"))
    (folder / "masked_seed1.json").write_text("{")
    assert main([str(folder)]) == 1
    assert "masked_seed1.json: no JSON" in capsys.readouterr().err


def test_a_baseline_adds_the_paired_difference(folder, capsys):
    assert main([str(folder), "--baseline=dice_ce"]) == 0
    gain = statistics.fmean(RUNS["masked"]) - statistics.fmean(RUNS["dice_ce"])
    assert f"| masked (3) | {gain:+.3f} | {gain:+.3f} to {gain:+.3f} |" in capsys.readouterr().out
    assert main([str(folder), "--baseline=dice_ce", "--truth"]) == 0
    assert "| masked (3) | +0.000 | +0.000 to +0.000 |" in capsys.readouterr().out
    assert main([str(folder), "--baseline=nothing"]) == 1
    assert "--baseline=nothing: there is dice_ce, masked" in capsys.readouterr().err


def test_the_gain_is_the_difference_of_the_means_where_a_class_counts_in_some_runs_only(tmp_path, capsys):
    alarm = {"1": [0.6, None], "2": [0.0, None]}  # seed 0 draws a class that is not there; the others count nothing
    for variant, cells in (("ours", [alarm, {"1": [0.8, None]}]), ("base", [{"1": [0.5, None]}] * 2)):
        for seed, row in enumerate(cells):
            volume = statistics.fmean(pair[0] for pair in row.values())
            record = {"figures": {"last": {"dice_volume": volume}}, "steps": 1, "seed": seed, "volumes": {"v": row}}
            (tmp_path / f"{variant}_seed{seed}.json").write_text(json.dumps(record))
    assert main([str(tmp_path), "--baseline=base"]) == 0
    assert f"| ours (2) | {(0.3 + 0.8) / 2 - 0.5:+.3f} |" in capsys.readouterr().out
