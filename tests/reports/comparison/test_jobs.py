import shutil

import pytest

from reports.comparison.jobs import find_sweeps, missing_jobs, notes_on_sweep
from reports.comparison.runs import read_runs
from tests.finished_runs import at_work, write_run


@pytest.fixture
def sweep(tmp_path):
    """Jobs 0 and 3 finished, 4 did not."""
    folder = tmp_path / "sweep"
    for number in (0, 3, 4):
        write_run(folder / f"{number}_supervised", seed=number, finished=number < 4)
    (folder / "multirun.yaml").write_text("hydra: {}\n")
    return folder


def listed(sweep):
    rows = [f"{number}_supervised,seed={number}," for number in range(6)]
    rows[5] += '"a,\nb"'  # a reason of two lines
    (sweep / "jobs.csv").write_text("\n".join(["job,typed,failure", *rows]) + "\n")


def test_a_sweep_is_found_from_above_and_in_itself_but_not_from_a_run(sweep):
    assert find_sweeps([sweep]) == find_sweeps([sweep, sweep.parent]) == [sweep]
    assert find_sweeps([sweep.parent]) == [sweep] and find_sweeps([sweep / "3_supervised"]) == []
    (sweep / "multirun.yaml").unlink()
    assert find_sweeps([sweep]) == []


def test_jobs_without_a_run_are_those_of_the_list(sweep):
    assert [job.name for job in missing_jobs(sweep)] == ["job 1", "job 2"], "an old sweep shows its gaps"
    listed(sweep)
    (sweep / "2_supervised").mkdir()  # begun, and killed before it wrote anything
    jobs = missing_jobs(sweep)
    assert [job.name for job in jobs] == ["1_supervised", "2_supervised", "5_supervised"]
    assert [job.state for job in jobs] == ["not begun", "not begun", "refused: a, b"] and jobs[0].typed == "seed=1"


def test_what_completes_a_sweep_is_said_until_it_is_complete(sweep):
    listed(sweep)
    told = notes_on_sweep(sweep, missing_jobs(sweep), read_runs([sweep]))
    assert told == [
        "1_supervised (seed=1): not begun",
        "2_supervised (seed=2): not begun",
        "5_supervised (seed=5): refused: a, b",
        f"{sweep}: 3 without a run and 1 unfinished; complete it: python train.py -m resume_sweep={sweep}",
    ]
    odd = sweep.rename(sweep.parent / "my sweep")
    assert notes_on_sweep(odd, [], read_runs([odd]))[-1].endswith(f"train.py -m 'resume_sweep={odd}'")
    odd.rename(sweep)
    with at_work(sweep / "4_supervised"):
        assert notes_on_sweep(sweep, [], read_runs([sweep])) == [f"{sweep}: 1 unfinished; it is still at work"]
    shutil.rmtree(sweep / "4_supervised")
    assert notes_on_sweep(sweep, [], read_runs([sweep])) == []
