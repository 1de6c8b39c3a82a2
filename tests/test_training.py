"""The main job as a user runs it, on a few small cases."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import runs
from partial_labels.errors import InputError
from reports.run.page import write_run_page
from runs.configuration.instantiate import build
from runs.ensembles import load_all
from runs.evaluation import evaluate_command, folder_name
from runs.training import train
from tests.configs import composed, small_run

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*num_workers.*"),
    pytest.mark.filterwarnings("ignore:.*`LearningRateMonitor`.*"),
]


@pytest.fixture
def finished(slices_folder):
    cfg = small_run(slices_folder)
    return Path(cfg.paths.run), train(cfg)


def test_a_run_leaves_its_directory_complete(finished):
    run, results = finished
    page = write_run_page(run)
    expected = {"config.yaml", "split.csv", "metrics.csv", "results.json", "curves.png", "panels.png", "classes.csv"}
    assert expected | {"report.html", "checkpoints"} <= {path.name for path in run.iterdir()}
    assert page.stat().st_size > 10_000
    assert results["steps"] == 4 and results["cases"]["labeled"] == 6
    assert {"dice", "dice_volume", "nsd"} <= set(results["figures"]["last"])


def test_a_run_without_reports_has_its_page(slices_folder):
    none = [f"report.{name}=null" for name in ("tables", "panels", "errors", "cases", "attention")]
    cfg = small_run(slices_folder, "trainer.max_epochs=1", *none)
    train(cfg)
    assert write_run_page(cfg.paths.run).exists()


def test_last_and_best_are_both_kept_and_measured(finished):
    run, results = finished
    assert {path.name for path in (run / "checkpoints" / "supervised").iterdir()} == {
        "last.ckpt",
        "best.ckpt",
        "stage.json",
    }
    with (run / "metrics.csv").open() as file:
        curve = [float(row["val/dice"]) for row in csv.DictReader(file) if row.get("val/dice")]
    assert len(curve) == 2
    assert results["figures"]["last"]["dice"] == pytest.approx(curve[-1], abs=1e-6)
    assert results["figures"]["best"]["dice"] == pytest.approx(max(curve), abs=1e-6)


def test_evaluate_gives_the_figures_of_the_run(finished, slices_folder):
    run, results = finished
    cfg = composed(run.parent, f"checkpoint={run}/checkpoints/supervised/last.ckpt", config="evaluate")
    figures, output = evaluate_command(cfg)
    assert figures == pytest.approx(results["figures"]["last"], abs=1e-6, nan_ok=True)
    assert json.loads((output / "figures.json").read_text()) == pytest.approx(figures, nan_ok=True)


def test_evaluate_matches_the_classes_of_other_data_by_name(finished, slices_folder, caplog):
    run, results = finished
    (slices_folder / "classes.json").write_text('{"1": "spleen", "2": "Kidney_Left", "3": "kidney_right"}')
    own = (f"checkpoint={run}/checkpoints/supervised/last.ckpt", "data=slices", f"data.root={slices_folder}")
    cfg = composed(run.parent, *own, "data.image_size=32", "data.similarity=1.0", config="evaluate")
    figures, _ = evaluate_command(cfg)
    assert "leave out: spleen" in caplog.text
    assert "dice/spleen" not in figures
    last = results["figures"]["last"]
    assert figures.get("dice/Kidney_Left") == pytest.approx(last.get("dice/kidney_left"), abs=1e-6)


def test_data_that_cannot_be_split_can_be_evaluated_whole(finished, slices_folder):
    run, _ = finished
    manifest = slices_folder / "manifest.csv"
    lines = manifest.read_text().splitlines()
    manifest.write_text("\n".join(line.replace(",val,", ",train,") for line in lines[:3]) + "\n")
    own = (f"checkpoint={run}/checkpoints/supervised/last.ckpt", "data=slices", f"data.root={slices_folder}")
    cfg = composed(run.parent, *own, "data.image_size=32", "part=all", config="evaluate")
    figures, output = evaluate_command(cfg)
    assert np.isfinite(figures["dice"]) and (output / "panels.png").exists()


def test_the_native_grid_is_that_of_the_source(slices_folder):
    cfg = small_run(slices_folder, "data.image_size=16", "model.depth=2")
    results = train(cfg)  # two epochs of a tiny network find no liver: its distance is the image's diagonal
    checkpoint = f"checkpoint={cfg.paths.run}/checkpoints/supervised/last.ckpt"
    native, _ = evaluate_command(composed(slices_folder.parent, checkpoint, "native=true", config="evaluate"))
    assert native.keys() == results["figures"]["last"].keys()
    last = results["figures"]["last"]
    assert native["hd95_px/liver"] == pytest.approx(2 * last["hd95_px/liver"])


def test_a_notebook_gets_network_head_and_classes(finished):
    run, _ = finished
    loaded = runs.load(run)
    assert loaded.classes.names == ("background", "liver", "kidney_left", "kidney_right")
    assert not loaded.network.training and float(loaded.network.std) > 0
    prediction = loaded.head.predict(loaded.network(torch.rand(1, 1, 32, 32)))
    assert prediction.shape == (1, 32, 32) and int(prediction.max()) <= 3


@pytest.mark.parametrize("loss", ["masked", "marginal", "marginal_exclusion", "dice", "dice_ce"])
def test_every_loss_trains(slices_folder, loss):
    results = train(small_run(slices_folder, f"loss={loss}", "trainer.max_epochs=1"))
    assert np.isfinite(results["figures"]["last"]["dice"])


@pytest.mark.parametrize(
    "override",
    ["model=attunet", "scheduler=cosine", "scheduler=plateau", "optimizer=sgd", "data.sampling=rare", "augment=none"],
)
def test_every_choice_trains(slices_folder, override):
    results = train(small_run(slices_folder, "trainer.max_epochs=1", override))
    assert results["steps"] == 2


def test_a_plateau_is_looked_for_where_there_was_a_validation(slices_folder):
    patience = ("scheduler=plateau", "scheduler.patience_epochs=0", "scheduler.factor=0.5")
    frozen = ("optimizer.lr=1e-5", "trainer.validate_every_n_epochs=2", "trainer.max_epochs=6")
    cfg = small_run(slices_folder, *patience, *frozen)
    train(cfg)
    with (Path(cfg.paths.run) / "metrics.csv").open() as file:
        rates = [float(value) for row in csv.DictReader(file) if (value := row.get("lr-SGD"))]
    assert rates == pytest.approx([1e-5] * 4 + [0.5e-5] * 2)  # none beats the first


def test_evaluations_that_differ_do_not_overwrite_each_other(finished, slices_folder):
    run, _ = finished
    data = build(runs.load(run).config.data, "data")
    variants = [
        [],
        ["native=true"],
        ["network=student"],
        ["part=train"],
        ["threshold=0.3"],
        ["peak=0.9"],
        ["tta=small"],
        ["postprocess.largest=[liver]"],
        ["postprocess.largest=[kidney_left]"],
        ["nsd_tolerance_mm=3"],
    ]
    names = []
    for variant in variants:
        cfg = composed(slices_folder.parent, f"checkpoint={run}", *variant, config="evaluate")
        names.append(folder_name(cfg, load_all(cfg.checkpoint, cfg.network), data))
    for others in ([run, run], [run, run, run], [run, run / "checkpoints" / "supervised" / "best.ckpt"]):
        loaded = [runs.load(one) for one in others]
        names.append(folder_name(composed(slices_folder.parent, f"checkpoint={run}", config="evaluate"), loaded, data))
    assert len(set(names)) == len(variants) + 3
    assert names[0].startswith("supervised_last_") and names[0].endswith("_val")


def test_it_is_said_which_measured_cases_a_network_was_trained_on(slices_folder, tmp_path, caplog):
    folds = []
    for fold in range(2):
        cfg = small_run(slices_folder, "data.folds=2", f"data.fold={fold}", "trainer.max_epochs=1", root=tmp_path)
        cfg.paths.run = str(tmp_path / f"fold{fold}")
        train(cfg)
        folds.append(Path(cfg.paths.run))

    def said(*arguments):
        caplog.clear()
        evaluate_command(composed(tmp_path, *arguments, f"output={tmp_path / 'out'}", config="evaluate"))
        return [record.getMessage() for record in caplog.records if "trained on by" in record.getMessage()]

    one, other = folds
    assert said(f"checkpoint={one}") == [] == said(f"checkpoint={one}", "part=train")
    with (one / "split.csv").open() as file:
        number = sum(row["part"] == "val" for row in csv.DictReader(file))
    warning = f"{number} of {number} measured cases were trained on by {other}: its figures flatter; "
    for asked in ((f"checkpoint=[{one},{other}]",), (f"checkpoint={one}", f"baseline={other}")):
        (line,) = said(*asked)
        assert line.startswith(warning)
    own = ("data=slices", f"data.root={slices_folder}", "data.image_size=32", "data.similarity=1.0", "part=all")
    (line,) = said(f"checkpoint={one}", *own)
    assert f"of 12 measured cases were trained on by {one}" in line
    assert said(f"checkpoint={one}", *own, "+data.source.name=another") == []
    (other / "results.json").write_text("{")
    with pytest.raises(InputError, match=r"fold1: split\.csv or results\.json is damaged"):
        said(f"checkpoint=[{one},{other}]")


def test_an_evaluation_is_not_its_own_baseline(finished, slices_folder):
    run, _ = finished
    _, output = evaluate_command(composed(slices_folder.parent, f"checkpoint={run}", config="evaluate"))
    before = (output / "figures.json").read_text()
    cfg = composed(slices_folder.parent, f"checkpoint={run}", f"baseline={output}", config="evaluate")
    with pytest.raises(InputError, match="this evaluation would be written there; give output=FOLDER"):
        evaluate_command(cfg)
    assert (output / "figures.json").read_text() == before


def test_the_same_seed_gives_the_same_weights(slices_folder, tmp_path):
    weights = []
    for name in ("one", "two"):
        cfg = small_run(slices_folder, root=tmp_path / name)
        train(cfg)
        weights.append(runs.load(cfg.paths.run).network.state_dict())
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_each_run_has_a_wandb_run_of_its_own_which_is_finished(slices_folder, tmp_path):
    import wandb

    folders = []
    for name in ("one", "two"):
        cfg = small_run(slices_folder, "logger=wandb", "trainer.max_epochs=1", root=tmp_path / name)
        train(cfg)
        assert wandb.run is None
        folders += sorted((Path(cfg.paths.run) / "wandb").glob("offline-run-*/*.wandb"))
    assert len(folders) == 2


def test_a_network_learns_the_small_cases(slices_folder):
    results = train(small_run(slices_folder, "trainer.max_epochs=100", "model.width=8", "augment=none"))
    assert results["figures"]["last"]["dice"] > 0.6


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.image_size=30", "data.image_size="),
        ("data.val_batch_size=0", "must be at least 1"),
        ("trainer.precision=8-bit", "trainer.precision=8-bit: choose"),
        ("optimizer.lr=fast", "optimizer.lr"),
        ("+model.colour=red", "model.colour"),
        ("+colour=red", "colour"),
        ("data.root=nowhere", "nowhere"),
        ("data.labeled_groups=99", "only 3 training groups"),
        ("seed=-1", "seed=-1: must lie between"),
        ("optimizer.lr=1e30", "is not finite"),
    ],
)
def test_wrong_input_is_one_line(slices_folder, override, message):
    with pytest.raises(InputError) as caught:
        train(small_run(slices_folder, override))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_directory_is_used_by_one_run(finished, slices_folder):
    with pytest.raises(InputError, match="another run lies there"):
        train(small_run(slices_folder))


def test_a_run_that_never_trained_does_not_keep_its_directory(slices_folder):
    with pytest.raises(InputError):
        train(small_run(slices_folder, "data.image_size=30"))
    assert not (slices_folder.parent / "run").exists()
    assert train(small_run(slices_folder, "trainer.max_epochs=1"))["steps"] == 2


def test_an_unknown_part_is_named(finished):
    run, _ = finished
    cfg = composed(run.parent, f"checkpoint={run}/checkpoints/supervised/last.ckpt", "part=best", config="evaluate")
    with pytest.raises(InputError, match="part=best: choose one of train, val, test, all"):
        evaluate_command(cfg)


@pytest.mark.parametrize("content", [3, [1], {"state_dict": {}, "config": {}, "classes": 3}])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "x.ckpt")
    with pytest.raises(InputError, match="no checkpoint of this project: "):
        runs.load(tmp_path / "x.ckpt")


def test_a_damaged_checkpoint_is_refused(finished):
    run, _ = finished
    path = run / "checkpoints" / "supervised" / "last.ckpt"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match="damaged"):
        runs.load(path)
    with pytest.raises(InputError, match="no checkpoint"):
        runs.load(run / "nothing")
