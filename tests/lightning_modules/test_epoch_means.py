import pytest
import torch

from lightning_modules.epoch_means import EpochMeans


def scalars(**values):
    return {name: torch.tensor(value, requires_grad=True) for name, value in values.items()}


def test_means_are_weighted_by_images_and_start_anew():
    means = EpochMeans()
    means.add(scalars(loss=1.0, bce=0.5), weight=3)
    means.add(scalars(loss=5.0, bce=0.5), weight=1)
    assert means.pop() == {"loss": 2.0, "bce": 0.5}
    means.add(scalars(dice=7.0), weight=2)
    assert means.pop() == {"dice": 7.0}
    assert means.pop() == {}


def test_a_begun_epoch_goes_on_from_a_checkpoint(tmp_path):
    whole, first, second = EpochMeans(), EpochMeans(), EpochMeans()
    for value in (0.1, 0.7, 0.4):
        whole.add(scalars(loss=value), weight=2)
    first.add(scalars(loss=0.1), weight=2)
    torch.save(first.state_dict(), tmp_path / "state")
    second.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    second.add(scalars(loss=0.7), weight=2)
    second.add(scalars(loss=0.4), weight=2)
    assert second.pop() == whole.pop()


def test_no_graph_is_kept():
    means = EpochMeans()
    means.add(scalars(loss=1.0), weight=1)
    assert not means.sums.requires_grad


def test_names_must_stay_within_an_epoch():
    means = EpochMeans()
    means.add(scalars(loss=1.0), weight=1)
    with pytest.raises(ValueError, match="bce: the step before had loss"):
        means.add(scalars(bce=1.0), weight=1)
