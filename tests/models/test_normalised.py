from __future__ import annotations

import pytest
import torch

from models.normalised import NormalisedNetwork
from models.unet import UNet


@pytest.fixture
def network() -> NormalisedNetwork:
    torch.manual_seed(0)
    return NormalisedNetwork(UNet(1, 3, width=2, depth=3)).eval()


def test_the_network_sees_the_normalised_image(network):
    image = torch.rand(2, 1, 16, 16)
    torch.testing.assert_close(network(image), network.network(image))
    network.set_statistics(0.25, 0.5)
    torch.testing.assert_close(network(image), network.network(2 * image - 0.5))


def test_statistics_travel_with_the_checkpoint(network):
    network.set_statistics(0.3, 0.2)
    other = NormalisedNetwork(UNet(1, 3, width=2, depth=3)).eval()
    other.load_state_dict(network.state_dict())
    assert (other.mean.item(), other.std.item()) == pytest.approx((0.3, 0.2))
    image = torch.rand(1, 1, 16, 16)
    torch.testing.assert_close(other(image), network(image))


def test_each_channel_has_numbers_of_its_own():
    torch.manual_seed(0)
    network = NormalisedNetwork(UNet(3, 3, width=2, depth=3), channels=3).eval()
    network.set_statistics((0.1, 0.2, 0.3), (0.5, 1.0, 0.25))
    image = torch.rand(2, 3, 16, 16)
    parts = [(image[:, 0] - 0.1) / 0.5, image[:, 1] - 0.2, (image[:, 2] - 0.3) / 0.25]
    torch.testing.assert_close(network(image), network.network(torch.stack(parts, dim=1)))
    assert network.channels == 3
    with pytest.raises(ValueError, match="constant"):
        network.set_statistics((0.1, 0.2, 0.3), (0.5, 0.0, 0.25))


def test_one_channel_keeps_the_numbers_of_earlier_checkpoints(network):
    assert network.channels == 1
    assert {key: value.shape for key, value in network.state_dict().items() if key in ("mean", "std")} == {
        "mean": (),
        "std": (),
    }


@pytest.mark.parametrize(("mean", "std"), [(0.5, 0.0), (0.5, -1.0), (float("nan"), 1.0), (0.0, float("inf"))])
def test_useless_statistics_are_refused(network, mean, std):
    with pytest.raises(ValueError, match="constant"):
        network.set_statistics(mean, std)


def test_size_rules_are_the_networks(network):
    assert network.divisor == 4
    network.check_size(8, 12)
    with pytest.raises(ValueError, match="sides that 4 divides"):
        network.check_size(10, 8)
