import numpy as np
import pytest
import torch

from augment.geometry import RandomGeometry
from augment.views import WeakView
from datamodules.dataset import ResidentCases, mean_and_std
from datamodules.partial_label import PartialLabelDataModule
from datamodules.sources.slices import SlicesSource
from partial_labels.batch import HUMAN, UNKNOWN
from partial_labels.errors import InputError


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


def test_a_batch_holds_labeled_rows_first_and_then_unlabeled_ones(slices_folder, tmp_path):
    module = made(slices_folder, tmp_path, unlabeled_batch_size=2)
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
    assert module.intensity_statistics() == pytest.approx((values.mean(), values.std()))
    assert mean_and_std(module.opened, module.split.train[:1])[0] == pytest.approx(values[0].mean())


def test_an_unlabeled_stream_needs_unlabeled_cases(slices_folder, tmp_path):
    manifest = slices_folder / "manifest.csv"
    lines = [
        line for line in manifest.read_text().splitlines() if not line.startswith(("images/case8", "images/case9"))
    ]
    manifest.write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match=r"no training case is unlabeled; set data\.labeled_groups="):
        made(slices_folder, tmp_path, unlabeled_batch_size=2)


def test_a_part_without_cases_is_named(slices_folder, tmp_path):
    with pytest.raises(InputError, match="no test cases"):
        made(slices_folder, tmp_path).evaluation_loader("test")
