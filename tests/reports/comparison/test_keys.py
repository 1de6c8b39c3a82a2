import pytest

from partial_labels.errors import InputError
from reports.comparison.keys import differing_keys, flatten, group_runs, labels_of, telling_keys
from reports.comparison.runs import read_runs
from tests.finished_runs import write_run


def runs_of(root, *settings):
    """Write and read runs: each the arguments of ``write_run``."""
    return read_runs([write_run(root / str(number), **one) for number, one in enumerate(settings)])


def test_runs_that_differ_in_the_seed_alone_are_one_group(tmp_path):
    runs = runs_of(tmp_path, {"seed": 1}, {"seed": 0})
    assert differing_keys(runs) == {} and telling_keys(runs) == []
    (group,) = group_runs(runs)
    assert group.label == "all runs" and [run.seed for run in group.runs] == [0, 1] and group.mixed == []


def test_what_was_typed_names_the_groups(tmp_path):
    runs = runs_of(tmp_path, {}, {"ssl": "mean_teacher"}, {"seed": 1}, {"ssl": "mean_teacher", "seed": 1})
    groups = group_runs(runs)
    assert [(group.label, len(group.runs)) for group in groups] == [("supervised", 2), ("mean_teacher", 2)]
    assert groups[0].keys == {"ssl": "supervised"}
    assert "ssl.decay" in differing_keys(runs), "what the choice brings is still told"


def test_the_fewest_keys_that_tell_all_apart_are_taken(tmp_path):
    changes = [{"optimizer.lr": lr, "data.sub.lr": lr, "model.width": width} for lr in (0.1, 0.2) for width in (4, 8)]
    runs = runs_of(tmp_path, *({"changes": one} for one in changes))
    assert telling_keys(runs) == ["model.width", "optimizer.lr"]
    assert "data.sub.lr" not in differing_keys(runs), "it only repeats optimizer.lr"
    assert [group.label for group in group_runs(runs)][:2] == ["width 4, lr 0.1", "width 8, lr 0.1"]


def test_a_label_leaves_out_what_no_other_group_needs(tmp_path):
    runs = runs_of(
        tmp_path, {"ssl": "mean_teacher"}, {"changes": {"optimizer.lr": 0.1}}, {"changes": {"optimizer.lr": 0.2}}
    )
    assert [group.label for group in group_runs(runs)] == ["mean_teacher", "supervised, lr 0.1", "supervised, lr 0.2"]


def test_any_key_or_node_groups_and_says_what_else_differs(tmp_path):
    runs = runs_of(tmp_path, {}, {"changes": {"model.width": 4}}, {"ssl": "mean_teacher"})
    by_name = group_runs(runs, ["ssl.name"])
    assert [(group.label, group.mixed) for group in by_name] == [("supervised", ["model.width"]), ("mean_teacher", [])]
    assert [group.label for group in group_runs(runs, ["model"])] == ["UNet 1", "UNet 2"]
    assert len(group_runs(runs, ["optimizer.lr", "model._target_"])) == 1
    assert [len(group.runs) for group in group_runs(runs, ["ssl.stages.0.name"])] == [2, 1]


def test_an_unknown_key_names_the_nearest(tmp_path):
    runs = runs_of(tmp_path, {})
    for typed, near in (("optimizer.rl", "optimizer.lr"), ("width", "model.width"), ("modle", "model")):
        with pytest.raises(InputError, match=rf"--group-by {typed}: .*did you mean .*{near}"):
            group_runs(runs, [typed])
    with pytest.raises(InputError, match=r"its keys stand in .*config\.yaml"):
        group_runs(runs, ["zzzzzzzz"])


def test_where_a_run_lies_and_what_an_older_version_did_not_know_makes_no_group(tmp_path):
    changes = [{"data.root": "../x/toy"}, {"data.root": "/y/toy/", "model.new": "null", "trainer.threads": 9}]
    assert telling_keys(runs_of(tmp_path, *({"changes": one} for one in changes))) == []


def test_leaves_are_flattened_with_lists_of_plain_values_whole():
    node = {"a": {"b": [1, 2], "c": [{"d": True}]}, "_target_": "models.unet.UNet", "e": {}, "f": "x. y"}
    assert dict(flatten(node)) == {"a.b": "[1,2]", "a.c.0.d": "true", "_target_": "UNet", "f": "x. y"}


def test_a_value_that_does_not_speak_for_itself_is_named():
    named = {"ssl.name": "supervised", "optimizer.lr": "0.1", "ssl.decay": "-"}
    assert labels_of([named, {"ssl.decay": "-"}]) == ["supervised, lr 0.1", "decay -"]


def test_no_label_repeats(tmp_path):
    first, second = "augment.gamma.probability", "augment.noise.probability"
    changes = [{first: 0.2, second: 0.2}, {first: 0.5, second: 0.2}, {first: 0.2, second: 0.5}]
    groups = group_runs(runs_of(tmp_path, *({"changes": one} for one in changes)))
    assert [group.label for group in groups] == [
        "gamma.probability 0.2, noise.probability 0.2", "gamma.probability 0.5", "noise.probability 0.5"
    ]  # fmt: skip
    assert labels_of([{"a._target_": "Dice"}, {"b._target_": "Dice"}]) == ["a._target_ Dice", "b._target_ Dice"]
    assert labels_of([{"ssl": "one", "a.b": "-"}, {"ssl": "one", "c.d": "-"}]) == ["ssl one, b -", "ssl one, d -"]
    assert labels_of([{"a.lr": "1"}, {"b.a.lr": "1"}]) == ["a.lr 1", "b.a.lr 1"]
