import csv
import hashlib
import logging
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from pytorch_lightning.loggers import CSVLogger
from torch.utils.data import DataLoader

from callbacks.checkpoints import Checkpoints
from callbacks.pseudo_label_writer import PseudoLabelWriter
from partial_labels.agreement import Agreement
from partial_labels.batch import HUMAN, TEACHER, UNKNOWN, UNSURE, PartialLabelBatch, ValidationBatch
from partial_labels.errors import InputError
from partial_labels.head import SigmoidHead, SoftmaxHead
from partial_labels.pseudo_filters import CellThreshold, TopKCases
from partial_labels.pseudo_store import PseudoRound
from runs.checkpoints.checkpoint_io import ListedCheckpoints
from runs.configuration.instantiate import build
from runs.stages import fitting

CONF = Path(__file__).parents[2] / "conf"
GREY = (40.0, 200.0, 110.0, 160.0)
TO_FILL = np.arange(4, 12)


class Data(pl.LightningDataModule):
    """Cases 4 to 7 with two of three classes examined, 8 to 11 with none."""

    seed = 3

    def __init__(self, store):
        super().__init__()
        self.opened = store

    def read(self, ids):
        store = self.opened
        everything = torch.full((len(ids), len(store.classes)), HUMAN, dtype=torch.uint8)
        image = torch.from_numpy(np.asarray(store.images[ids]))[:, None] / 255
        label, truth = (torch.from_numpy(np.asarray(array[ids])) for array in (store.labels, store.truth))
        seen = PartialLabelBatch(
            image, label, torch.from_numpy(store.status[ids]), torch.ones(len(ids)), torch.from_numpy(ids)
        )
        return ValidationBatch(seen, seen._replace(label=truth, status=everything), torch.from_numpy(ids))

    def train_dataloader(self):
        return DataLoader([self.read(np.arange(4)).seen] * 2, batch_size=None)

    def val_dataloader(self):
        return self.train_dataloader()

    def filling_loader(self, complete_labeled):
        ids = TO_FILL if complete_labeled else TO_FILL[4:]
        return DataLoader([self.read(ids[i : i + 3]) for i in range(0, len(ids), 3)], batch_size=None)


class NearestGrey(torch.nn.Module):
    """Logits that tell classes by the grey value they are drawn with."""

    def __init__(self, num_logits):
        super().__init__()
        self.levels = torch.nn.Parameter(torch.tensor(GREY[-num_logits:]) / 255)
        self.dropout = torch.nn.Dropout(0.9)

    def forward(self, image):
        return self.dropout(2000 * (0.006 - (image - self.levels[:, None, None]) ** 2))


class Module(pl.LightningModule):
    """Knows the classes from the start; its best epoch is the first, and in the second it forgets everything."""

    def __init__(self, classes, head):
        super().__init__()
        self.student = NearestGrey(head.channels(len(classes)))
        self.head, self.classes = head, classes
        self.monitored, self.monitored_name = self.student, "student"

    def validation_step(self, batch, batch_idx):
        self.log("score", -float(self.current_epoch))

    def training_step(self, batch, batch_idx):
        if self.current_epoch:
            self.student.levels.data.fill_(0.5)
        return self.student.levels.sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1e-4)


def fit(store, path, head=None, epochs=2, precision="32-true", **settings):
    """Fit, let the writer write, and return the trainer."""
    module = Module(store.classes, head or SoftmaxHead())
    writer = PseudoLabelWriter(str(path / "pseudo" / "teacher"), **{"threshold": 0.9, "panels": 0} | settings)
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        precision=precision,
        logger=CSVLogger(path, name="", version=""),
        callbacks=[
            writer,
            Checkpoints(str(path / "checkpoints" / "teacher"), monitor="score"),
        ],
        plugins=[ListedCheckpoints()],
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=path,
    )
    fitting.fit(trainer, module, Data(store))
    return trainer


def figures(path):
    with (path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {key: float(value) for key, value in rows[-1].items() if key.startswith("pseudo/") and value}


@pytest.mark.parametrize("head", [SoftmaxHead(), SigmoidHead()], ids=["softmax", "sigmoid"])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_round_holds_what_the_best_weights_say(small_store, tmp_path, head, precision):
    trainer = fit(small_store, tmp_path, head, precision=precision, complete_labeled=True, weight=0.5)
    found = PseudoRound.open(tmp_path / "pseudo" / "teacher", small_store)
    assert found.case_ids.tolist() == TO_FILL.tolist()
    assert found.accepted.all() and set(found.weight.tolist()) == {0.5}
    human = small_store.status[TO_FILL, 1:] == HUMAN
    assert np.array_equal(found.status[:, 1:], np.where(human, HUMAN, TEACHER))
    sure = found.labels < UNSURE
    assert sure.mean() > 0.8
    assert (found.labels == small_store.truth[TO_FILL])[sure].mean() > 0.95
    assert trainer.lightning_module.student.levels.allclose(torch.tensor(0.5), atol=1e-3), "live weights came back"
    assert trainer.lightning_module.training


def test_the_header_says_where_it_comes_from(small_store, tmp_path):
    filters = {"top": TopKCases(k=2), "off": None}
    fit(small_store, tmp_path, filters=filters)
    header = PseudoRound.open(tmp_path / "pseudo" / "teacher").header
    best = tmp_path / "checkpoints" / "teacher" / "best.ckpt"
    assert header.checkpoint == "checkpoints/teacher/best.ckpt"
    assert header.checkpoint_sha256 == hashlib.sha256(best.read_bytes()).hexdigest()
    assert (header.stage, header.network, header.seed, header.threshold) == ("teacher", "student", 3, 0.9)
    assert header.filters == {"top": {"filter": "TopKCases", "k": 2, "fraction": None, "score": "foreground"}}
    assert header.classes == small_store.classes.names


def test_rejected_cases_stay_unknown_and_never_become_background(small_store, tmp_path):
    fit(small_store, tmp_path, filters={"top": TopKCases(k=1)})
    found = PseudoRound.open(tmp_path / "pseudo" / "teacher")
    assert found.accepted.sum() == 1
    rejected = ~found.accepted
    assert (found.status[rejected] == UNKNOWN).all()
    assert set(np.unique(found.labels[rejected])) == {0, UNSURE}
    assert (found.labels[rejected][small_store.truth[found.case_ids[rejected]] == 2] == UNSURE).mean() > 0.9


def test_figures_and_pictures_of_a_round(small_store, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        fit(small_store, tmp_path, complete_labeled=True, panels=2, filters={"cells": CellThreshold(min_pixels=5)})
    logged = figures(tmp_path)
    found = PseudoRound.open(tmp_path / "pseudo" / "teacher")
    assert logged["pseudo/cells"] == (found.status[:, 1:] == TEACHER).sum()
    assert logged["pseudo/coverage"] == pytest.approx(logged["pseudo/cells"] / 16)
    assert logged["pseudo/precision"] > 0.9 and logged["pseudo/dice"] > 0.9
    assert {"pseudo/dice/liver", "pseudo/precision/kidney_left"} <= set(logged)
    assert "pseudo-labels in" in caplog.text and "of 8 cases" in caplog.text
    with (found.path / "quality.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == list(small_store.classes.foreground)
    assert sum(int(row["accepted"]) for row in rows) == logged["pseudo/cells"]
    assert (found.path / "panels.png").stat().st_size > 10_000


def test_the_surest_and_the_least_sure_cases_are_drawn(small_store, tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr("callbacks.pseudo_review.draw_pseudo_panels", lambda groups, *_: drawn.update(groups))
    fit(small_store, tmp_path, complete_labeled=True, panels=2)
    with (tmp_path / "pseudo" / "teacher" / "cases.csv").open() as file:
        scores = {row["name"]: float(row["foreground"]) for row in csv.DictReader(file)}
    order = sorted(scores, key=scores.__getitem__, reverse=True)
    assert [panel.name for panel in drawn["surest"]] == order[:2]
    assert [panel.name for panel in drawn["least sure of those accepted"]] == order[:-3:-1]
    assert [panel.score for panel in drawn["surest"]] == pytest.approx([scores[name] for name in order[:2]], abs=1e-6)


def test_agreement_is_measured_where_it_is_asked_for(small_store, tmp_path):
    agreement = Agreement(gammas=(), shifts=(0.1,))
    fit(small_store, tmp_path, agreement=agreement, filters={"top": TopKCases(k=3, score="agreement")})
    found = PseudoRound.open(tmp_path / "pseudo" / "teacher")
    with (found.path / "cases.csv").open() as file:
        scores = [float(row["agreement"]) for row in csv.DictReader(file)]
    assert all(score > 0.95 for score in scores) and found.accepted.sum() == 3
    assert not (found.path / "panels.png").exists()


def test_every_cell_rejected_is_said(small_store, tmp_path, caplog):
    fit(small_store, tmp_path, filters={"cells": CellThreshold(min_pixels=10**6, absent_peak=1e-6)})
    assert "every cell was rejected" in caplog.text
    assert not PseudoRound.open(tmp_path / "pseudo" / "teacher").accepted.any()


def test_a_network_that_broke_writes_nothing(small_store, tmp_path, monkeypatch):
    monkeypatch.setattr(NearestGrey, "forward", lambda self, image: image.new_full((len(image), 4, 32, 32), torch.nan))
    with pytest.raises(InputError, match="probabilities are not finite"):
        fit(small_store, tmp_path)
    assert not list((tmp_path / "pseudo").iterdir())


def test_nothing_to_fill_is_said(small_store, tmp_path, monkeypatch):
    monkeypatch.setattr(Data, "filling_loader", lambda self, complete_labeled: DataLoader([], batch_size=None))
    with pytest.raises(InputError, match="no training case has a cell to fill"):
        fit(small_store, tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threshold": 0.0}, "threshold=0.0: must lie in"),
        ({"weight": 0.0}, "weight=0.0: must be above 0"),
        ({"panels": -1}, "panels=-1"),
        ({"filters": {"top": TopKCases(k=1, score="agreement")}}, "filters.top.score=agreement: it is only measured"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        PseudoLabelWriter("x", **{"threshold": 0.9} | settings)


def test_a_config_can_name_filters_and_switch_one_off():
    top = {"_target_": "partial_labels.pseudo_filters.TopKCases", "k": 2}
    node = {
        "_target_": "callbacks.pseudo_label_writer.PseudoLabelWriter",
        "output": "x",
        "threshold": 0.9,
        "filters": {"top": top, "off": None},
        "agreement": {"_target_": "partial_labels.agreement.Agreement", "gammas": [0.8]},
    }
    writer = build(node)
    assert list(writer.filters) == ["top"] and writer.agreement.gammas == (0.8,)
    with pytest.raises(InputError, match=r"filters\.top\.k=0: must be at least 1"):
        build(node | {"filters": {"top": top | {"k": 0}}})


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONF / "pseudo").glob("*.yaml")))
def test_every_choice_of_the_group_is_a_writer(name):
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        node = OmegaConf.to_container(compose(f"pseudo/{name}").pseudo)
    writer = build(node | {"_target_": "callbacks.pseudo_label_writer.PseudoLabelWriter", "output": "x"})
    assert len(writer.filters) == (name != "default")
