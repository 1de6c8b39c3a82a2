import numpy as np
import pytest
import torch

from augment.geometry import RandomGeometry
from augment.views import WeakView
from datamodules.dataset import mean_and_std
from datamodules.partial_label import PartialLabelDataModule
from datamodules.resident_cases import ResidentCases
from datamodules.sources.slices import SlicesSource
from partial_labels.batch import HUMAN, TEACHER, UNKNOWN
from partial_labels.errors import InputError
from partial_labels.pseudo_store import PseudoRound, RoundHeader


def made(folder, tmp_path, **options):
    source = SlicesSource(root=str(folder), left_right_axis="rows")
    defaults = {"image_size": 32, "batch_size": 4, "similarity": 1.0}
    module = PartialLabelDataModule(source=source, cache=str(tmp_path / "cache"), **(defaults | options))
    module.setup()
    return module


def first_batches(module, count=2):
    loader = iter(module.train_dataloader())
    return [module.on_after_batch_transfer(next(loader), 0) for _ in range(count)]


def test_the_manifest_decides_what_trains_and_what_is_labeled(slices_folder, tmp_path):
    module = made(slices_folder, tmp_path)
    assert module.split.val.tolist() == [6, 7, 10, 11]
    assert (module.labeled.tolist(), module.unlabeled.tolist()) == ([0, 1, 2, 3, 4, 5], [8, 9])
    assert module.steps_per_epoch == 2


def test_a_set_that_is_all_test_is_measured_without_a_split(slices_folder, tmp_path):
    manifest = slices_folder / "manifest.csv"
    manifest.write_text(manifest.read_text().replace(",train,", ",test,").replace(",val,", ",test,"))
    module = PartialLabelDataModule(SlicesSource(str(slices_folder)), str(tmp_path / "cache"), image_size=32)
    assert module.part("test").tolist() == list(range(12)) and len([*module.evaluation_loader("test")]) == 1
    with pytest.raises(InputError, match="the split has no val cases; choose another part"):
        module.part("val")
    with pytest.raises(InputError, match="0 training cases"):
        module.setup()


def test_the_open_stream_draws_every_case_with_an_unknown_class(slices_folder, tmp_path):
    module = made(slices_folder, tmp_path, unlabeled_batch_size=2)
    module.begin_stage(["labeled", "open"])
    stream = module.sampler().streams[1]
    assert stream.case_ids.tolist() == [4, 5, 8, 9]  # of the training cases 4 and 5 are examined in part
    assert module.labeled_rows == module.batch_size and not stream.completed


def test_a_batch_holds_labeled_rows_first_and_then_unlabeled_ones(slices_folder, tmp_path):
    module = made(slices_folder, tmp_path, unlabeled_batch_size=2)
    module.begin_stage(["labeled", "unlabeled"])
    for batch in first_batches(module):
        assert batch.image.shape == (6, 1, 32, 32)
        assert 0 <= float(batch.image.min()) and float(batch.image.max()) <= 1
        assert set(batch.case_id[:4].tolist()) <= set(module.labeled.tolist())
        assert set(batch.case_id[4:].tolist()) == {8, 9}
        assert (batch.status[4:] == UNKNOWN).all() and (batch.label[4:] == 0).all()


def test_labels_that_are_hidden_leave_the_batch_but_not_the_truth(slices_folder, tmp_path):
    module = made(slices_folder, tmp_path, hide_classes_fraction=0.5)
    hidden = (module.opened.status == HUMAN) & (module.shown.status == UNKNOWN)
    assert hidden[module.labeled, 1:].any()
    batch = module.cases.read(torch.from_numpy(module.labeled))
    for row, case in enumerate(module.labeled):
        shown = np.unique(batch.label[row].numpy())
        assert not hidden[case][shown[shown > 0]].any()
    loader = module.val_dataloader()
    assert (
        torch.cat([batch.seen.status for batch in loader]).numpy().tolist()
        == module.opened.status[[6, 7, 10, 11]].tolist()
    )


def test_cases_on_the_device_equal_those_read_from_disk(slices_folder, tmp_path):
    module = made(slices_folder, tmp_path, hide_classes_fraction=0.5)
    resident = ResidentCases(module.cases, module.split.train, torch.device("cpu"))
    ids = torch.tensor([8, 3, 0, 3])
    for there, here in zip(resident.read(ids), module.cases.read(ids), strict=True):
        assert torch.equal(there, here)


def test_the_device_cache_gives_the_same_stream(slices_folder, tmp_path):
    weak = WeakView(RandomGeometry(rotation_deg=20.0))
    plain = first_batches(made(slices_folder, tmp_path, weak=weak, device_cache=False))
    cached = first_batches(made(slices_folder, tmp_path, weak=weak, device_cache=True))
    for one, other in zip(plain, cached, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_seed_repeats_the_batches_and_another_does_not(slices_folder, tmp_path):
    one, same, other = (first_batches(made(slices_folder, tmp_path, seed=seed))[0] for seed in (1, 1, 2))
    assert torch.equal(one.case_id, same.case_id)
    assert not torch.equal(one.case_id, other.case_id)


def test_mean_and_deviation_are_those_of_the_training_images(slices_folder, tmp_path):
    module = made(slices_folder, tmp_path)
    values = module.opened.images[module.split.train].astype(np.float64) / 255
    mean, std = module.intensity_statistics()
    assert (*mean, *std) == pytest.approx((values.mean(), values.std()))
    assert mean_and_std(module.opened, module.split.train[:1])[0] == pytest.approx((values[0].mean(),))


def without_unlabeled(folder):
    manifest = folder / "manifest.csv"
    keep = [line for line in manifest.read_text().splitlines() if not line.startswith(("images/case8", "images/case9"))]
    manifest.write_text("\n".join(keep) + "\n")
    return folder


def test_streams_that_can_only_be_empty_are_refused(slices_folder, tmp_path):
    module = made(without_unlabeled(slices_folder), tmp_path)
    module.pools.check(
        ["labeled", "unlabeled"], pseudo=False, complete_labeled=False
    )  # labeled cases have unknown classes
    module.pools.check(["labeled", "pseudo_labeled"], pseudo=True, complete_labeled=True)
    with pytest.raises(InputError, match=r"no training case is unlabeled; set data\.labeled_groups=.*complete_labeled"):
        module.pools.check(["labeled", "pseudo_labeled"], pseudo=True, complete_labeled=False)
    with pytest.raises(InputError, match=r"streams=\['labelled'\]: choose from labeled, pseudo_labeled, .*, open"):
        module.pools.check(["labelled"], pseudo=False, complete_labeled=False)
    with pytest.raises(InputError, match="pseudo_labeled needs a stage of its own before it"):
        module.pools.check(["pseudo_labeled"], pseudo=False, complete_labeled=False)


def test_a_stream_without_a_case_is_left_out_with_a_warning(slices_folder, tmp_path, caplog):
    module = made(without_unlabeled(slices_folder), tmp_path)
    module.begin_stage(["labeled", "unlabeled"])
    assert "no training case is unlabeled; this stage goes on without" in caplog.text
    assert first_batches(module)[0].image.shape[0] == 4
    with pytest.raises(InputError, match="no training case is pseudo_labeled; loosen"):
        module.begin_stage(["pseudo_labeled"])


@pytest.fixture
def pseudo_round(slices_folder, tmp_path):
    """A round in which a teacher completed case 4, labeled case 8 and had case 9 rejected."""
    store = made(slices_folder, tmp_path).opened
    ids, shape = np.array([4, 8, 9]), (3, *store.header.size)
    status = np.full((3, len(store.classes)), TEACHER, dtype=np.uint8)
    status[0, store.status[4] == HUMAN] = HUMAN
    status[2] = UNKNOWN
    labels = np.full(shape, 2, dtype=np.uint8)
    header = RoundHeader(store.classes.names, store.header.fingerprint, "teacher", "student", "", "", 0, 0.9, {}, "")
    cells = np.zeros((3, len(store.classes), 3), dtype=np.float32)
    return PseudoRound(tmp_path, header, ids, labels, status, np.array([0.5, 0.25, 1.0], dtype=np.float32), cells)


@pytest.mark.parametrize("device_cache", [False, True])
def test_a_round_is_drawn_in_its_streams_and_nowhere_else(slices_folder, tmp_path, pseudo_round, device_cache):
    module = made(
        slices_folder,
        tmp_path,
        pseudo_batch_size=3,
        unlabeled_batch_size=2,
        steps_per_epoch=3,
        device_cache=device_cache,
    )
    module.begin_stage(["labeled", "pseudo_labeled", "unlabeled"], pseudo_round)
    for batch in first_batches(module, 3):
        assert batch.case_id[4:7].tolist() == [8, 8, 8] and set(batch.case_id[7:].tolist()) == {8, 9}
        assert (batch.status[4:7] == TEACHER).all() and (batch.label[4:7] == 2).all()
        assert batch.weight[4:7].tolist() == [0.25] * 3 and (batch.status[7:] == UNKNOWN).all()
        completed = batch.case_id == 4
        assert (batch.status[completed] > UNKNOWN).all() and (batch.weight[completed] == 0.5).all()
        others = (batch.case_id < 4).nonzero()[:, 0]
        assert (batch.status[others] == HUMAN).all()
    module.begin_stage(["labeled"])
    assert all((batch.status != TEACHER).all() for batch in first_batches(module, 3))


def test_what_a_teacher_may_fill_comes_with_what_is_shown_and_the_truth(slices_folder, tmp_path):
    module = made(slices_folder, tmp_path, labeled_groups=1)
    ids = [batch.seen.case_id for batch in module.filling_loader()]
    assert torch.cat(ids).tolist() == module.unlabeled.tolist()
    for batch in module.filling_loader(complete_labeled=True):
        hidden = np.isin(batch.seen.case_id.numpy(), module.unlabeled)
        assert (batch.seen.status[hidden] == UNKNOWN).all() and (batch.seen.label[hidden] == 0).all()
        shown_in_store = torch.from_numpy(module.opened.status[batch.seen.case_id.numpy()])
        assert torch.equal(batch.truth.status, shown_in_store)


def test_the_strong_view_begins_below_the_labeled_rows(slices_folder, tmp_path):
    module = made(slices_folder, tmp_path, unlabeled_batch_size=2)
    module.begin_stage(["labeled", "unlabeled"])
    module.train_dataloader()
    first, draws = module.strong_draws(0, 0)
    assert first == 4 and draws.rows.tolist() == [4, 5]
    assert module.first_open_row == 0  # some labeled cases have an unknown class


def test_a_part_without_cases_is_named(slices_folder, tmp_path):
    with pytest.raises(InputError, match="no test cases"):
        made(slices_folder, tmp_path).evaluation_loader("test")
