import json

import pytest

from partial_labels.errors import InputError
from reports.comparison.run_directories import find_runs
from reports.comparison.runs import read_run, read_runs
from tests.finished_runs import EPOCHS, at_work, write_run


def test_a_sweep_is_taken_apart_into_its_jobs_in_the_order_of_their_numbers(tmp_path):
    for number in (10, 9, 0):
        write_run(tmp_path / "sweep" / f"{number}_supervised", seed=number)
    (tmp_path / "sweep" / "multirun.yaml").write_text("hydra: {}\n")
    nested = tmp_path / "sweep" / "9_supervised" / "wandb" / "files"
    nested.mkdir(parents=True)
    for name in ("config.yaml", "command.txt"):
        (nested / name).write_text("a: 1\n")  # W&B keeps files of these names; no run of ours
    assert [path.name for path in find_runs(tmp_path / "sweep")] == ["0_supervised", "9_supervised", "10_supervised"]
    twice = read_runs([tmp_path / "sweep", tmp_path / "sweep" / "9_supervised"])
    assert [run.name for run in twice] == ["0_supervised", "9_supervised", "10_supervised"]


def test_a_run_that_stopped_is_read_as_far_as_it_came(tmp_path):
    run = read_run(write_run(tmp_path / "run", finished=False), "run")
    assert not run.finished and run.figure("last", "dice") != run.figure("last", "dice")
    assert run.curves["val/dice"][0].tolist() == [1, 2, 3] and EPOCHS == 6
    assert run.stages == []
    (run.path / "checkpoints" / "teacher").mkdir(parents=True)
    (run.path / "checkpoints" / "teacher" / "stage.json").write_text('{"name": "teacher", "epochs": 2}')
    assert run.stages == [{"name": "teacher", "epochs": 2}]
    (run.path / "metrics.csv").unlink()
    assert read_run(run.path, "run").curves == {}


def test_the_command_of_a_job_is_its_own_not_the_sweeps(tmp_path):
    typed = "python train.py -m ssl=supervised,mean_teacher seed=0,1"
    job = read_run(write_run(tmp_path / "job", seed=1, command=typed), "job")
    assert job.command == "python train.py ssl=supervised seed=1 data.root=../data/toy"
    own = read_run(write_run(tmp_path / "own", seed=1, command=f"{typed} --config-dir=conf2"), "own")
    assert own.command == "python train.py --config-dir=conf2 ssl=supervised seed=1 data.root=../data/toy"
    alone = read_run(write_run(tmp_path / "alone"), "alone")
    assert alone.command == "python train.py ssl=supervised seed=0"
    stopped = read_run(write_run(tmp_path / "stopped", finished=False, command=typed), "stopped")
    assert stopped.command == typed and stopped.overrides == []
    (stopped.path / "origin.json").write_text('{"overrides": ["ssl=supervised", "seed=0", "data.root=x y"]}')
    known = read_run(stopped.path, "stopped")
    assert known.command == "python train.py ssl=supervised seed=0 'data.root=x y'"


def test_a_run_at_work_is_told_from_one_that_stopped(tmp_path):
    run = read_run(write_run(tmp_path / "run", finished=False), "run")
    assert run.state == "stopped after 3 of 6 epochs"
    (run.path / "checkpoints").mkdir()
    assert run.state == "stopped after 3 of 6 epochs"
    (run.path / "failure.txt").write_text("a weight is not finite\n")
    assert run.state == "failed after 3 of 6 epochs: a weight is not finite"
    with at_work(run.path):
        assert run.state == "running after 3 of 6 epochs"
    assert run.state.startswith("failed after 3 of 6 epochs")
    assert read_run(write_run(tmp_path / "done"), "done").state == "finished"


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("metrics.csv", "step,val/dice\n9,0.5\n19,0.\x005\n", "metrics.csv, row 3: val/dice='0.\\x005' is no number"),
        ("metrics.csv", "step,val/dice\n9,0.5\n19\n", "metrics.csv, row 3: 1 cells for 2 columns"),
        ("metrics.csv", "", "metrics.csv: has no column step"),
        ("metrics.csv", b"step,val\n9,\xff\xfe\n", "metrics.csv: no CSV file"),
        ("results.json", '{"figures": ', "results.json: no JSON"),
        ("results.json", "[]", "results.json: holds no JSON object"),
        ("config.yaml", "a: [1", "config.yaml: no YAML"),
        ("config.yaml", "- 1\n", "config.yaml: holds no configuration"),
    ],
)
def test_a_damaged_file_is_named_with_what_is_wrong(tmp_path, file, text, says):
    run = write_run(tmp_path / "run")
    (run / file).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as error:
        read_runs([run])
    assert says in str(error.value) and str(run) in str(error.value)
    assert str(error.value).endswith("; leave this run out, or run it again") and "\n" not in str(error.value)


def test_a_directory_without_a_run_is_named(tmp_path):
    with pytest.raises(InputError, match="empty: no run lies there"):
        (tmp_path / "empty").mkdir()
        read_runs([tmp_path / "empty"])
    with pytest.raises(InputError, match="nowhere: no such directory"):
        read_runs([tmp_path / "nowhere"])


def test_runs_are_of_the_same_data_where_source_cases_and_truth_agree(tmp_path):
    again = {"store": "toy-9999", "changes": {"data.source.root": "/elsewhere/toy"}}
    others = [{}, again, {"store": "x-1"}, {"changes": {"data.image_size": 64}}, {"changes": {"data.source.seed": 1}}]
    first, same, *different = read_runs([write_run(tmp_path / str(i), **one) for i, one in enumerate(others)])
    assert first.data == same.data and all(run.data != first.data for run in different)
    for file, old, new in (
        ("split.csv", "val0v0s0,val0", "val0v0s9,val0"),
        ("evaluation/last/classes.csv", ",30,0,0,0", ",29,1,0,0"),
    ):
        path = same.path / file
        path.write_text(path.read_text().replace(old, new))
        assert read_run(same.path, "1").data != first.data
        path.write_text(path.read_text().replace(new, old))


def test_figures_are_those_of_results_json(tmp_path):
    run = read_run(write_run(tmp_path / "run"), "run")
    figures = json.loads((run.path / "results.json").read_text())["figures"]
    assert run.figure("best", "dice") == figures["best"]["dice"]
