import re
from dataclasses import replace

import numpy as np
import pytest

from partial_labels.batch import HUMAN
from partial_labels.errors import InputError
from runs.threshold import choose, keeps_truth, main
from tests.checkpoints import untrained


def test_the_threshold_is_measured_on_the_fold_that_did_not_choose_it():
    dice = np.array([[0.5, 0.6, 0.4], [0.4, 0.6, 0.5], [0.9, 0.1, 0.3]])
    choice = choose(dice, np.array([0.4, 0.4, 0.4]), [0.2, 0.4, 0.6])
    assert choice.left_out == [0.2, 0.2, 0.4] and choice.threshold == 0.2
    assert choice.gained == pytest.approx(((0.5 - 0.4) + (0.4 - 0.4) + (0.1 - 0.4)) / 3)


def test_one_fold_is_none():
    with pytest.raises(InputError, match="at least two folds"):
        choose(np.ones((1, 2)), np.ones(1), [0.3, 0.5])


@pytest.mark.filterwarnings("ignore:.*num_workers.*")
def test_the_command_prints_a_row_for_each_threshold(slices_folder, tmp_path, capsys):
    own = (f"data.root={slices_folder}", "data.similarity=1.0", "data.folds=2")
    checkpoints = [str(untrained(tmp_path / f"{k}/x.ckpt", *own, f"data.fold={k}", seed=k)) for k in (0, 1)]
    assert main([*checkpoints, "--thresholds", "0.3", "0.5", "0.7"]) == 0
    out = capsys.readouterr().out
    rows = {row.split()[0]: row.split()[-1] for row in out.splitlines()[1:5]}
    assert rows.keys() == {"0.3", "0.5", "0.7", "own"} and rows["0.5"] == rows["own"]
    assert re.search(
        r"gained on the fold left out, mean: [+-]0\.\d+\n(threshold=0\.\d|keep the networks' own rule)\n", out
    )
    assert main(checkpoints[:1]) == 1 and "error: one checkpoint is no cross-validation" in capsys.readouterr().err
    assert main([*checkpoints, "--thresholds", "2"]) == 1 and "threshold=2" in capsys.readouterr().err
    assert main([*checkpoints, "--monitor", "dice_truth"]) == 1
    assert capsys.readouterr().err.endswith("no truth is kept beyond what is shown; take --monitor dice\n")


def test_a_truth_counts_where_it_knows_more_than_is_shown(small_store):
    cases = np.arange(len(small_store))
    assert not keeps_truth(replace(small_store, truth=None), cases)
    known = replace(small_store, truth=np.asarray(small_store.labels))
    whole = (small_store.status == HUMAN).all(axis=1)
    assert keeps_truth(known, cases) and not keeps_truth(known, cases[whole])
