"""``predict.py`` as a user runs it, on small files, with networks that were never trained."""

import csv
import json
import shutil

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image

import predict
import runs
from datamodules.sources.label_csv import read_label_csv
from inference.writing import OutputFolder
from partial_labels.classes import ClassTable
from partial_labels.head import SigmoidHead
from runs.evaluation import evaluate_command
from tests.checkpoints import CLASSES, untrained
from tests.command_line import shell
from tests.configs import composed
from tests.volumes import write, write_series


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return untrained(tmp_path_factory.mktemp("run") / "a.ckpt")


@pytest.fixture
def run(checkpoint, tmp_path, monkeypatch, capsys):
    """Give ``run("input=...") -> (exit code, stdout, stderr)``, with a checkpoint and an output folder of its own."""
    shutil.copy(checkpoint, tmp_path)
    with shell(tmp_path, monkeypatch) as execute:

        def execute_predict(*arguments):
            given = [one.partition("=")[0] for one in arguments]
            usual = [one for one in ("checkpoint=a.ckpt", "output=out") if one.partition("=")[0] not in given]
            capsys.readouterr()
            return execute(predict.main, "predict", *usual, *arguments), *capsys.readouterr()

        yield execute_predict


@pytest.fixture
def images(small_store, tmp_path):
    """The small store's images as ``0.png`` ... ``11.png``."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number, image in enumerate(small_store.images):
        Image.fromarray(np.asarray(image)).save(folder / f"{number}.png")
    return folder


def answers(store, checkpoint):
    """Return what a notebook would predict, (N, H, W)."""
    network, head, *_ = runs.load(checkpoint)
    with torch.inference_mode():
        return head.predict(network(torch.from_numpy(np.array(store.images))[:, None] / 255)).numpy()


def label(path):
    return np.array(Image.open(path))


def table(folder):
    with (folder / "structures.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_images_become_label_maps_and_a_table(run, images, small_store, tmp_path):
    code, out, _ = run("input=images", "batch_size=5")
    expected = answers(small_store, tmp_path / "a.ckpt")
    assert code == 0 and "predicted: 12, done before: 0, slices: 12" in out and "slices/s" in out
    assert len(np.unique(expected)) > 2
    for number, wanted in enumerate(expected):
        assert np.array_equal(label(tmp_path / f"out/labels/{number}.png"), wanted)
    rows = table(tmp_path / "out")
    assert [row["name"] for row in rows[::3]] == [str(number) for number in range(12)]
    assert [int(row["pixels"]) for row in rows[:3]] == [(expected[0] == i).sum() for i in (1, 2, 3)]
    assert {row["volume_ml"] for row in rows} == {""} and not (tmp_path / "out/overlays").exists()


def test_a_store_gives_the_same(run, images, small_store, tmp_path):
    assert run(f"input={small_store.path}")[0] == 0
    for number, wanted in enumerate(answers(small_store, tmp_path / "a.ckpt")):
        assert np.array_equal(label(tmp_path / f"out/labels/case{number}.png"), wanted)


def test_probabilities_decode_to_the_label_maps(run, images, tmp_path):
    assert run("input=images", "probabilities=true", "overlays=true")[0] == 0
    probs = np.load(tmp_path / "out/probabilities/3.npy")
    assert probs.dtype == np.float16 and probs.shape == (4, 32, 32)
    decoded = SigmoidHead().decode(torch.from_numpy(probs.astype(np.float32))[None])[0].numpy()
    assert (decoded != label(tmp_path / "out/labels/3.png")).mean() < 0.02  # float16 moves some over the threshold
    assert label(tmp_path / "out/overlays/3.png").shape[1:] == (480, 3)


def test_images_of_any_size_come_back_at_theirs(run, tmp_path):
    (tmp_path / "images").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (90, 50), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "images/tall.png")
    Image.fromarray(noise.T.copy()).convert("RGB").save(tmp_path / "images/wide.webp", lossless=True)
    assert run("input=images", "probabilities=true")[0] == 0
    assert label(tmp_path / "out/labels/tall.png").shape == (90, 50)
    assert label(tmp_path / "out/labels/wide.png").shape == (50, 90)
    assert np.load(tmp_path / "out/probabilities/wide.npy").shape == (4, 50, 90)


READER = ("reader=volume", "reader.window=[0,255]", "reader.orientation=PLS")


@pytest.fixture
def volume(small_store):
    """The small store's images as an (R, A, S) array whose axial slices, looked at as usual, are these."""
    return np.asarray(small_store.images).transpose(2, 1, 0)[::-1, ::-1].copy()


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "SAL", "ILA"])
def test_a_volume_is_predicted_on_its_own_grid(run, volume, small_store, tmp_path, orientation):
    path = write(tmp_path / "ct.nii.gz", volume.astype(np.int16), orientation=orientation, spacing=(2.0, 2.0, 5.0))
    assert run("input=ct.nii.gz", *READER, "probabilities=true", "overlays=true")[0] == 0
    before, after = nibabel.load(path), nibabel.load(tmp_path / "out/labels/ct.nii.gz")
    assert np.array_equal(before.affine, after.affine) and after.get_data_dtype() == np.uint8
    found = np.asarray(nibabel.as_closest_canonical(after).dataobj)
    assert np.array_equal(found[::-1, ::-1].transpose(2, 1, 0), answers(small_store, tmp_path / "a.ckpt"))
    row = table(tmp_path / "out")[0]
    assert float(row["volume_ml"]) == pytest.approx(int(row["pixels"]) * 0.02)
    probs = np.load(tmp_path / "out/probabilities/ct.npy")
    decoded = SigmoidHead().decode(torch.from_numpy(probs.astype(np.float32)).flatten(2)[None])[0].numpy()
    assert probs.shape == (4, *before.shape)
    assert (decoded.reshape(before.shape) != np.asarray(after.dataobj)).mean() < 0.02


def test_volumes_are_read_as_in_training(run, volume, tmp_path):
    trained_on = ("data=nifti", "data.source.reader.window=[0,300]", "data.source.reader.orientation=RAS")
    untrained(tmp_path / "v.ckpt", *trained_on, "data.fit=spacing", "data.spacing_mm=2.0")
    write(tmp_path / "ct.nii.gz", volume.astype(np.float32), spacing=(1.0, 1.5, 5.0))
    assert run("input=ct.nii.gz", "checkpoint=v.ckpt", "overlays=true", "probabilities=true")[0] == 0
    told = ("reader=volume", "reader.window=[0,300]", "reader.orientation=RAS", "probabilities=true")
    assert run("input=ct.nii.gz", "checkpoint=v.ckpt", "output=told", *told)[0] == 0
    maps = [nibabel.load(tmp_path / place / "labels/ct.nii.gz") for place in ("out", "told")]
    assert all(one.shape == volume.shape for one in maps)
    assert np.array_equal(*(np.asarray(one.dataobj) for one in maps))
    probs = np.load(tmp_path / "out/probabilities/ct.npy").astype(np.float32)
    assert np.ptp(probs[1]) > 0.1 and np.array_equal(probs, np.load(tmp_path / "told/probabilities/ct.npy"))


def test_a_series_and_a_folder_of_cases_are_found(run, volume, tmp_path):
    write_series(tmp_path / "all/one", volume.astype(np.int16))
    write(tmp_path / "all/two/ct.nii.gz", volume)
    write(tmp_path / "all/two/liver.nii.gz", volume)
    assert run("input=all", "pattern=*/ct.nii.gz", *READER)[0] == 0
    assert run("input=all", "output=series", *READER)[0] == 0
    assert run("input=all/one", "output=single", *READER)[0] == 0
    maps = [tmp_path / "out/labels/two/ct.nii.gz", tmp_path / "series/labels/one.nii.gz"]
    maps.append(tmp_path / "single/labels/one.nii.gz")
    first, *others = (np.asarray(nibabel.as_closest_canonical(nibabel.load(path)).dataobj) for path in maps)
    assert all(np.array_equal(first, one) for one in others)


def test_a_damaged_series_is_listed_and_the_others_go_on(run, volume, tmp_path):
    for name, tags in (("one", {}), ("two", {"ImageOrientationPatient": [1, 0, 0]}), ("three", {"RescaleSlope": ""})):
        write_series(tmp_path / "all" / name, volume.astype(np.int16), **tags)
    code, out, err = run("input=all", *READER)
    assert code == 1 and "predicted: 2" in out and err.count("\n") == 1, err
    assert "1 could not be read" in err and "ImageOrientationPatient has 3 values" in err


@pytest.mark.parametrize("beside", ["preview.png", "mask.nii.gz"])
def test_a_series_with_other_files_beside_it_is_refused(run, volume, tmp_path, beside):
    folder = write_series(tmp_path / "one", volume.astype(np.int16))
    write(folder / "mask.nii.gz", volume)
    (folder / "mask.nii.gz").rename(folder / beside)
    code, _, err = run("input=one", *READER)
    assert code == 1 and f"input=one: a DICOM series and {beside} lie there; name the file" in err


def test_a_killed_prediction_goes_on(run, images, tmp_path, monkeypatch):
    whole, calls = OutputFolder.write, iter(range(100))

    def killed(folder, job):
        if next(calls) == 5:
            raise KeyboardInterrupt
        return whole(folder, job)

    monkeypatch.setattr(OutputFolder, "write", killed)
    assert run("input=images", "workers=1", "batch_size=2")[0] == 130
    monkeypatch.setattr(OutputFolder, "write", whole)
    before = {row["name"] for row in table(tmp_path / "out")}
    assert 0 < len(before) < 12
    with (tmp_path / "out/structures.csv").open("a") as file:
        file.write("11,1,liver,3,\n11,2,kidn")  # torn off in the middle of an input
    (tmp_path / "out/labels/0.png").unlink()
    code, out, _ = run("input=images")
    assert code == 0 and f"predicted: {12 - len(before) + 1}, done before: {len(before) - 1}" in out
    assert len(table(tmp_path / "out")) == 36 and len(list((tmp_path / "out/labels").iterdir())) == 12


def test_what_cannot_be_read_is_named_at_the_end(run, images, tmp_path):
    (images / "4.png").write_bytes((images / "4.png").read_bytes()[:60])
    Image.new("RGB", (32, 32), "red").save(images / "7.png")
    code, out, err = run("input=images")
    assert code == 1 and "predicted: 10" in out and err.count("\n") == 1
    assert "2 could not be read" in err and "4.png" in err and "7.png: a colour image" in err
    assert len(list((tmp_path / "out/labels").glob("*.png"))) == 10


def test_several_checkpoints_are_averaged(run, images, small_store, tmp_path):
    more = ClassTable.from_foreground(["spleen", "Liver", "kidney_left", "kidney_right"])
    untrained(tmp_path / "b.ckpt", "loss=marginal", classes=more, size=16, seed=1)
    assert run("input=images", "checkpoint=[a.ckpt,b.ckpt]", "probabilities=true")[0] == 0
    assert {row["class"] for row in table(tmp_path / "out")} == {*CLASSES.foreground, "spleen"}
    a = runs.load(tmp_path / "a.ckpt")
    image = torch.from_numpy(np.array(small_store.images[2]))[None, None] / 255
    with torch.inference_mode():
        liver = a.head.probs(a.network(image))[0, 1].numpy()
    assert run("input=images", "checkpoint=[b.ckpt]", "output=b", "probabilities=true")[0] == 0
    mean = (liver + np.load(tmp_path / "b/probabilities/2.npy")[2]) / 2
    assert np.allclose(np.load(tmp_path / "out/probabilities/2.npy")[1], mean, atol=2e-3)


def test_views_threshold_and_postprocessing_change_the_answer(run, images, tmp_path):
    keys = ("tta=small", "threshold=0.55", "postprocess=largest", "postprocess=small_parts")
    maps = []
    for number, key in enumerate(("batch_size=32", *keys)):
        assert run("input=images", key, f"output=out{number}")[0] == 0
        maps.append(np.stack([label(tmp_path / f"out{number}/labels/{i}.png") for i in range(12)]))
    assert all((maps[0] != one).any() for one in maps[1:])


def test_evaluate_takes_the_same_lists(slices_folder, tmp_path):
    untrained(tmp_path / "a.ckpt", f"data.root={slices_folder}", "data.similarity=1.0")
    untrained(tmp_path / "b.ckpt", size=16, seed=1)

    def measured(*arguments):
        checkpoints = f"checkpoint=[{tmp_path}/a.ckpt,{tmp_path}/b.ckpt]"
        cfg = composed(tmp_path, checkpoints, "part=all", "report.tables.show=false", *arguments, config="evaluate")
        figures, output = evaluate_command(cfg)
        return str(figures), output.name

    found = [measured(*keys) for keys in ((), ("tta=small",), ("threshold=0.6",), ("postprocess=largest",))]
    assert len({figure for figure, _ in found}) == len({name for _, name in found}) == 4
    assert measured(f"checkpoint={tmp_path}/a.ckpt")[0] != found[0][0]


def test_a_submission_has_the_challenge_s_envelope(run, images, tmp_path, caplog):
    (tmp_path / "example.csv").write_text("," + ",".join(f"{i}.png" for i in range(12)) + "\nPixel 0,...\n")
    code, out, _ = run("input=images", "format=challenge", "reference=example.csv")
    assert code == 0 and "submission: out/submission.csv" in out
    names = [f"{i}.png" for i in range(12)]
    found = read_label_csv(tmp_path / "out/submission.csv", names, 32 * 32, 54)
    maps = np.stack([label(tmp_path / f"out/labels/{name}") for name in names])
    ids = np.array([0, 36, 34, 35], dtype=np.uint8)  # liver, kidney_left, kidney_right among the 54
    assert np.array_equal(found, ids[maps].reshape(12, -1))
    first, second = (tmp_path / "out/submission.csv").read_text().splitlines()[:2]
    assert first == "," + ",".join(names) and second.startswith("Pixel 0,")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("output=images",), ("output=images: that is where the input lies",)),
        (("input=nowhere",), ("input=nowhere: no such file",)),
        (("input=empty",), ("input=empty: nothing to predict",)),
        (("pattern=/abs/*.png",), ("pattern='/abs/*.png': no pattern of paths below input; give one",)),
        (("pattern=''",), ("pattern='': no pattern",)),
        (("pattern=.",), ("pattern='.': n",)),
        (("input=notes.txt",), ("input=notes.txt: no image",)),
        (("input=ct.nii.gz",), ("a.ckpt: it was trained on slices", "reader=volume")),
        (("checkpoint=missing.ckpt",), ("missing.ckpt: no checkpoint",)),
        (("checkpoint=[]",), ("name a checkpoint",)),
        (("checkpoint=[a.ckpt,other.ckpt]",), ("without a common class: liver", "brain")),
        (("image_size=30",), ("a.ckpt", "30 x 30", "set image_size=32")),
        (("threshold=2",), ("threshold=2",)),
        (("batch_size=0",), ("batch_size=0",)),
        (("format=tiff",), ("format='tiff'", "one of source, challenge")),
        (("format=challenge", "pattern=1*"), ("1.png stands where 0.png is expected",)),
        (("format=challenge", "reference=notes.txt"), ("reference=notes.txt: its header differs at character 1",)),
        (("tta.mirror=true",), ("tta.mirror=true", "set tta.mirror=false")),
        (("tta.scales=[0]",), ("tta.scales=[0]",)),
        (("postprocess.largest=[spleen]",), ("postprocess.largest=spleen: no such class",)),
        (("precision=16-mixed", "accelerator=cpu"), ("half precision needs a GPU",)),
        (("+colour=red",), ("colour: the config has no such key",)),
    ],
)
def test_wrong_input_is_one_line(run, images, tmp_path, arguments, parts):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("hello")
    write(tmp_path / "ct.nii.gz", np.zeros((4, 4, 4), np.uint8))
    untrained(tmp_path / "other.ckpt", classes=ClassTable.from_foreground(["brain"]))
    given = () if arguments[0].startswith("input=") else ("input=images",)
    code, _, err = run(*given, *arguments)
    assert code == 1 and err.startswith("error: ") and err.count("\n") == 1, err
    assert [part for part in parts if part not in err] == [], err


def test_a_folder_holds_predictions_of_one_kind(run, images):
    assert run("input=images")[0] == 0
    code, _, err = run("input=images", "threshold=0.3")
    assert code == 1 and "predictions with another threshold" in err


@pytest.mark.parametrize("kind", ["labels", "overlays/deep", "probabilities"])
def test_the_folder_of_the_input_is_not_written_over(run, images, tmp_path, kind):
    source = tmp_path / "p" / kind
    source.parent.mkdir(parents=True)
    images.rename(source)
    before = {path: path.read_bytes() for path in source.iterdir()}
    for place in (f"p/{kind}", f"p/{kind}/0.png"):
        code, _, err = run(f"input={place}", "output=p", "overlays=true")
        assert code == 1 and err.startswith("error: output=p: p/") and "name another folder" in err, err
    assert {path: path.read_bytes() for path in source.iterdir()} == before and not (
        tmp_path / "p/prediction.json"
    ).exists()
    assert run(f"input=p/{kind}", "output=q")[0] == 0


def test_inputs_that_are_linked_with_the_output_are_not_written_over(run, images, tmp_path):
    images.rename(tmp_path / "kept")
    (tmp_path / "p").mkdir()
    for link, place in (("p/labels", "kept"), ("linked", "p/labels")):
        (tmp_path / link).symlink_to(tmp_path / place)
    code, _, err = run("input=linked", "output=p")
    assert code == 1 and "name another folder" in err
    (tmp_path / "p/labels").unlink()
    (tmp_path / "p/labels").mkdir()
    (tmp_path / "p/labels/0.png").symlink_to(tmp_path / "kept/0.png")
    code, _, err = run("input=p/labels", "output=p")
    assert code == 1 and "name another folder" in err


def test_an_output_inside_the_input_is_no_input(run, images, tmp_path):
    for _ in range(2):
        code, out, _ = run("input=images", "output=images/out", "pattern=**/*.png", "overlays=true")
        assert code == 0
    assert "predicted: 0, done before: 12" in out
    assert run("input=images", "output=.", "pattern=?.png")[0] == 0  # the other way round it leaves nothing out


def test_settings_say_how_it_was_made(run, images, tmp_path):
    assert run("input=images", "tta=small")[0] == 0
    settings = json.loads((tmp_path / "out/prediction.json").read_text())
    assert settings["checkpoint"][0]["path"] == "a.ckpt" and len(settings["checkpoint"][0]["sha256"]) == 64
    assert settings["tta"]["rotations_deg"] == [-7, 7]
