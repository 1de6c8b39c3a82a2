"""Several windows of grey values as channels, from volumes to predictions and exported programs."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image

import predict
import prepare
import runs
from datamodules.build import open_or_build
from datamodules.dataset import mean_and_std
from datamodules.resident_cases import ResidentCases
from datamodules.sources.challenge_format import export_store
from datamodules.sources.nifti import NiftiSource
from datamodules.sources.volume import VolumeReader
from datamodules.splits import make_split
from datamodules.stored_grid import StoredGrid
from partial_labels.case_store import CaseStore
from partial_labels.errors import InputError
from runs.configuration.instantiate import build
from runs.evaluation import evaluate_command
from runs.portable import export_command
from runs.training import train
from tests.checkpoints import untrained
from tests.command_line import shell
from tests.configs import composed
from tests.volumes import write

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*num_workers.*"),
    pytest.mark.filterwarnings("ignore:.*`LearningRateMonitor`.*"),
]
WINDOWS = ((-160, 240), (-1000, 200), (200, 1500))
SAID = "data.source.reader.window=[[-160,240],[-1000,200],[200,1500]]"
SIDE, SLICES = 32, 4
EXAMPLE = Path(__file__).parents[1] / "examples" / "run_onnx.py"
READER = "datamodules.sources.volume.VolumeReader"
NAMES = ["liver", "kidney_left", "kidney_right"]


def scan(number):
    """Return an (R, A, S) array of HU: air, a body, a lung and a bone, the latter two visible in one window each."""
    rng = np.random.default_rng(number)
    values = np.full((SIDE, SIDE, SLICES), -1000.0)
    values[4:28, 4:28] = rng.uniform(0, 60)
    values[6 + number : 14 + number, 8:16] = 120
    values[18:26, 6:12] = -800 + 10 * number
    values[18:24, 18:24] = 700
    return np.rint(values + rng.normal(0, 15, values.shape)).astype(np.int16)


def drawn(number):
    label = np.zeros((SIDE, SIDE, SLICES), np.uint8)
    label[6 + number : 14 + number, 8:16], label[18:26, 6:12], label[18:24, 18:24] = 1, 2, 3
    return label


def radiological(array):
    return array[::-1, ::-1].transpose(2, 1, 0)


def by_hand(values, windows=WINDOWS):
    """Grey values through each window, (D, I, H, W) uint8."""
    ramps = [(values.astype(np.float64) - low) / (high - low) for low, high in windows]
    return np.rint(255 * np.clip(np.stack(ramps, axis=1), 0, 1)).astype(np.uint8)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Five small CTs with their labels."""
    root = tmp_path_factory.mktemp("volumes") / "set"
    for number in range(5):
        lies = ["RAS", "LPS", "SAL", "ILA", "PSR"][number]
        write(root / "images" / f"c{number}.nii.gz", scan(number), orientation=lies, spacing=(2.0, 2.0, 5.0))
        write(root / "labels" / f"c{number}.nii.gz", drawn(number), orientation="RAS", spacing=(2.0, 2.0, 5.0))
    (root / "classes.json").write_text(json.dumps({i: name for i, name in enumerate(NAMES, start=1)}))
    return root


def small(root, folder, *overrides, config="config"):
    """Compose a command on the five volumes."""
    keys = (
        "data=nifti",
        f"data.root={root}",
        f"data.image_size={SIDE}",
        "data.similarity=1.0",
        "data.val_fraction=0.4",
    )
    if config == "config":
        keys += ("data.batch_size=4", "model.width=4", "model.depth=3", "trainer=cpu", "trainer.progress_bar=false")
        keys += ("logger=csv", "report.tables.show=false", "optimizer=adamw", "optimizer.lr=1e-2")
    return composed(folder, *keys, *overrides, config=config)


@pytest.fixture(scope="module")
def finished(root, tmp_path_factory):
    """Train a network of three windows until it draws something, and return its configuration."""
    cfg = small(
        root, tmp_path_factory.mktemp("finished"), SAID, "trainer.max_epochs=15", "trainer.validate_every_n_epochs=15"
    )
    train(cfg)
    return cfg


def store_of(root, folder, **options):
    reader = VolumeReader(**{"window": WINDOWS} | options)
    return open_or_build(NiftiSource(root=str(root), reader=reader), folder, StoredGrid.of(SIDE, "pad"))


def test_each_window_becomes_a_channel(root, tmp_path):
    store = store_of(root, tmp_path)
    assert store.header.channels == 3 and store.images.shape == (5 * SLICES, 3, SIDE, SIDE)
    for number in range(5):
        at = slice(SLICES * number, SLICES * (number + 1))
        assert np.array_equal(store.image(at), by_hand(radiological(scan(number))))
        assert np.array_equal(store.labels[at], radiological(drawn(number)))
    assert np.array_equal(store.first_channel, store_of(root, tmp_path, window=WINDOWS[0]).images)


def test_a_list_of_one_window_is_that_window(root, tmp_path):
    one, listed = (store_of(root, tmp_path, window=given) for given in (WINDOWS[0], WINDOWS[:1]))
    assert one.path == listed.path and one.images.ndim == 3
    assert one.image(3).shape == (1, SIDE, SIDE) and one.image(np.array([3, 1])).shape == (2, 1, SIDE, SIDE)
    assert store_of(root, tmp_path).path != one.path != store_of(root, tmp_path, window=WINDOWS[::-1]).path


def test_slices_of_another_size_are_fitted_channel_by_channel(root, tmp_path):
    source = NiftiSource(root=str(root), reader=VolumeReader(window=WINDOWS))
    whole = open_or_build(source, tmp_path, StoredGrid.of((20, 48), "scale"))
    for channel, window in enumerate(WINDOWS):
        alone = NiftiSource(root=str(root), reader=VolumeReader(window=window))
        assert np.array_equal(
            whole.images[:, channel], open_or_build(alone, tmp_path, StoredGrid.of((20, 48), "scale")).images
        )


def test_only_a_slice_without_anything_in_any_channel_is_left_out(tmp_path):
    values = np.full((4, 4, 3), -1000, np.int16)
    values[1, 1, 1] = 900
    values[..., 2] = 100  # of one value, which each window shows in another grey
    write(tmp_path / "set" / "images" / "a.nii.gz", values)
    source = NiftiSource(root=str(tmp_path / "set"), classes=["liver"], reader=VolumeReader(window=WINDOWS))
    assert [row.name for row in open_or_build(source, tmp_path, StoredGrid.of(4, "pad")).cases] == ["a_0001"]


def test_every_channel_has_statistics_of_its_own(root, tmp_path):
    store = store_of(root, tmp_path)
    mean, std = mean_and_std(store, np.arange(4, 12), block=3)
    values = store.images[4:12] / 255
    assert mean == pytest.approx(values.mean(axis=(0, 2, 3))) and std == pytest.approx(values.std(axis=(0, 2, 3)))


def test_slices_are_compared_by_their_first_channel(root, tmp_path):
    three, grey = (make_split(store_of(root, tmp_path, window=w), similarity=0.991) for w in (WINDOWS, WINDOWS[0]))
    assert 1 < len(set(grey.cluster.tolist())) < 5 * SLICES
    assert np.array_equal(three.cluster, grey.cluster)


def test_cases_on_a_device_are_those_of_the_store(root, tmp_path):
    data = build(small(root, tmp_path, SAID, "data.weak=null").data)
    data.setup()
    ids = torch.tensor([7, 2, 7])
    resident = ResidentCases(data.cases, np.array([2, 5, 7]), torch.device("cpu"))
    assert torch.equal(resident.read(ids).image, data.cases.read(ids).image)
    assert resident.read(ids).image.shape == (3, 3, SIDE, SIDE)
    assert resident.bytes_needed(data.opened, 3) == 3 * SIDE * SIDE * 4


def test_a_run_of_three_windows_trains_and_is_measured(finished, root, tmp_path):
    loaded = runs.load(finished.paths.run)
    assert loaded.network.channels == 3 and loaded.network.mean.shape == (3, 1, 1)
    assert len({round(value, 4) for value in loaded.network.mean.flatten().tolist()}) == 3
    figures = json.loads((Path(finished.paths.run) / "results.json").read_text())["figures"]
    assert figures["last"]["dice"] > 0.3, "the test needs a network that has learnt something"
    assert (Path(finished.paths.run) / "evaluation" / "last" / "panels.png").exists()
    asked = (f"checkpoint={finished.paths.run}", "report.tables.show=false", "tta=small", f"output={tmp_path}/tta")
    measured, _ = evaluate_command(composed(Path(finished.paths.run).parent, *asked, config="evaluate"))
    assert measured["dice"] > 0.3


def test_a_strategy_fills_in_labels_and_sees_strong_views(root, tmp_path):
    keys = ("data.labeled_groups=2", "trainer.max_epochs=2", "pseudo.threshold=0.01", "ssl=teacher_student")
    assert np.isfinite(train(small(root, tmp_path, SAID, *keys))["figures"]["last"]["dice"])


@pytest.fixture
def run(finished, root, tmp_path, monkeypatch, capsys):
    """Give ``run("input=...") -> (exit code, stdout, stderr)`` of predict.py, in a folder with the checkpoint."""
    shutil.copy(Path(finished.paths.run) / "checkpoints" / "supervised" / "last.ckpt", tmp_path / "a.ckpt")
    with shell(tmp_path, monkeypatch) as execute:

        def execute_predict(*arguments):
            given = {one.partition("=")[0] for one in arguments}
            usual = [one for one in ("checkpoint=a.ckpt", "output=out") if one.partition("=")[0] not in given]
            capsys.readouterr()
            return execute(predict.main, "predict", *usual, *arguments), *capsys.readouterr()

        yield execute_predict


def answer(finished, number):
    """Return what a notebook would predict of a volume, (D, H, W)."""
    network, head, *_ = runs.load(finished.paths.run)
    with torch.inference_mode():
        return head.predict(network(torch.from_numpy(by_hand(radiological(scan(number)))).float() / 255)).numpy()


def test_volumes_are_predicted_through_the_run_s_own_windows(run, finished, root, tmp_path):
    expected = answer(finished, 3)
    assert (expected > 0).any()
    assert run(f"input={root}/images", "pattern=c3*", "overlays=true", "probabilities=true")[0] == 0
    found = nibabel.as_closest_canonical(nibabel.load(tmp_path / "out/labels/c3.nii.gz"))
    assert np.array_equal(radiological(np.asarray(found.dataobj)), expected)
    assert (tmp_path / "out/overlays/c3.png").exists()
    assert run(f"input={store_of(root, tmp_path).path}", "output=store")[0] == 0
    names = [f"store/labels/c3_{index:04d}.png" for index in range(SLICES)]
    assert np.array_equal(np.stack([np.asarray(Image.open(tmp_path / name)) for name in names]), expected)


def test_two_networks_of_the_same_windows_are_averaged(run, finished, root):
    assert run(f"input={root}/images", "checkpoint=[a.ckpt,a.ckpt]", "tta=small")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("input=pictures",), ("pictures/0.png: channels of an image: 3 in training, 1 here", "give volumes")),
        (("input=grey",), ("channels of an image: 3 in training, 1 here",)),
        (("input=ct.nii.gz", "reader=volume", "reader.window=[0,100]"), ("3 in training, 1 here",)),
        (("input=ct.nii.gz", "checkpoint=[a.ckpt,grey.ckpt]"), ("3 for the first, 1 for number 2",)),
    ],
)
def test_other_channels_are_refused_in_one_line(run, root, tmp_path, arguments, parts):
    (tmp_path / "pictures").mkdir()
    Image.fromarray(by_hand(scan(0))[0, 0]).save(tmp_path / "pictures" / "0.png")
    store_of(root, tmp_path / "cache", window=WINDOWS[0]).path.rename(tmp_path / "grey")
    shutil.copy(root / "images" / "c0.nii.gz", tmp_path / "ct.nii.gz")
    untrained(tmp_path / "grey.ckpt")
    code, _, err = run(*arguments)
    assert code == 1 and err.startswith("error: ") and err.count("\n") == 1, err
    assert [part for part in parts if part not in err] == [], err


def test_data_of_other_channels_are_refused(finished, root, tmp_path):
    asked = (f"checkpoint={finished.paths.run}", "data=nifti", f"data.root={root}", f"data.image_size={SIDE}")
    asked += ("data.source.reader.window=[-160,240]", "part=all")
    with pytest.raises(InputError, match=r"last\.ckpt: channels of an image: 3 in training, 1 in set; read") as caught:
        evaluate_command(composed(tmp_path, *asked, config="evaluate"))
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="3 in training, 1 in set"):
        export_command(composed(tmp_path, *asked[:-1], f"output={tmp_path}/exported", config="export"))
    with pytest.raises(InputError, match="images of 3 channels; the challenge's format holds one"):
        export_store(store_of(root, tmp_path), tmp_path / "challenge")


def test_an_exported_program_takes_the_channels(finished, tmp_path):
    asked = (f"checkpoint={finished.paths.run}", f"output={tmp_path}/exported")
    folder = export_command(composed(Path(finished.paths.run).parent, *asked, config="export"))
    about = json.loads((folder / "network.json").read_text())
    assert about["input"]["shape"] == ["batch", 3, SIDE, SIDE]
    assert about["windows"] == [list(window) for window in WINDOWS]
    assert about["check"]["equal_pixels"] == {"pt2": 1.0, "onnx": 1.0} and about["check"]["foreground_pixels"]
    source, target = tmp_path / "slice.npy", tmp_path / "label.png"
    np.save(source, radiological(scan(1))[2])
    command = [sys.executable, "-I", str(EXAMPLE), str(folder)]
    subprocess.run([*command, str(source), str(target)], check=True, capture_output=True)
    assert (np.asarray(Image.open(target)) == answer(finished, 1)[2]).mean() >= 0.999
    grey = tmp_path / "grey.png"
    Image.fromarray(by_hand(scan(0))[0, 0]).save(grey)
    done = subprocess.run([*command, str(grey), str(target)], capture_output=True, text=True)
    assert done.returncode == 1 and "the network takes (3, 32, 32)" in done.stderr


def test_the_data_page_says_which_channel_is_shown(root, tmp_path, monkeypatch):
    with shell(tmp_path, monkeypatch) as execute:
        keys = ("data=nifti", f"data.root={root}", f"data.image_size={SIDE}", "data.similarity=1.0", SAID)
        assert execute(prepare.main, "prepare", *keys, "output=data.html") == 0
    assert "3, numbered from 0; pictures show channel 0" in (tmp_path / "data.html").read_text()


@pytest.mark.parametrize(
    ("window", "message"),
    [
        ("[]", r"=\[\]: must be a lower and a higher grey value, as \[-160, 240\], or a list of such"),
        ("[[]]", r"=\[\[\]\]: must be"),
        ("[240,-160]", r"=\[240, -160\]: must be"),
        ("[[-160,240],[200,200]]", r"=\[\[-160, 240\], \[200, 200\]\]: must be"),
        ("[[-160,240],[200]]", r"=\[\[-160, 240\], \[200\]\]: must be"),
        ("[[-160,240],[0,inf]]", r"=\[\[-160, 240\], \[0, inf\]\]: must be"),
        ("[1,2,3]", r"=\[1, 2, 3\]: must be"),
        ("[[-160,240],7]", r"=\[\[-160, 240\], 7\]: .*VolumeReader takes"),
        ("[[[-160,240]]]", r"=\[\[\[-160, 240\]\]\]: .*VolumeReader takes"),
        ("soft", "='soft': .*VolumeReader takes"),
    ],
)
def test_windows_of_another_form_are_refused_in_one_line(root, tmp_path, window, message):
    with pytest.raises(InputError, match=rf"^data\.source\.reader\.window{message}") as caught:
        build(small(root, tmp_path, f"data.source.reader.window={window}").data)
    assert "\n" not in str(caught.value)


def test_sets_of_different_channels_are_not_joined(root):
    one, three = (
        {"_target_": "datamodules.sources.nifti.NiftiSource", "root": str(root), "reader": {"_target_": READER} | given}
        for given in ({"window": [-160, 240]}, {"window": [list(window) for window in WINDOWS]})
    )
    node = {"_target_": "datamodules.sources.joined.JoinedSource", "sources": {"a": three, "b": three}}
    assert build(node).channels == 3
    with pytest.raises(InputError, match=r"the sets differ in channels \(a 1, b 3\); give their readers") as caught:
        build(node | {"sources": {"a": one, "b": three}})
    assert "\n" not in str(caught.value)


def test_a_joined_set_keeps_its_channels(root, tmp_path):
    given = {"_target_": READER, "window": [list(window) for window in WINDOWS]}
    part = {"_target_": "datamodules.sources.nifti.NiftiSource", "root": str(root), "reader": given}
    node = {"_target_": "datamodules.sources.joined.JoinedSource", "sources": {"a": part}, "reader": given}
    joined = open_or_build(build(node), tmp_path, StoredGrid.of(SIDE, "pad"))
    assert np.array_equal(joined.images, store_of(root, tmp_path).images)


def test_what_an_older_header_says_is_one_channel(root, tmp_path):
    store = store_of(root, tmp_path, window=WINDOWS[0])
    header = store.path / "header.json"
    record = json.loads(header.read_text())
    assert record.pop("channels") == 1
    header.write_text(json.dumps(record))
    assert CaseStore.open(store.path).header == store.header
