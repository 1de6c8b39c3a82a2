import pytest
import torch
from torch import nn

from models.teacher import Teacher


def student():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(4, 2, 1)
    )


def take_a_step(network, seed=0):
    """Change every parameter and, by a forward pass in train mode, every buffer."""
    generator = torch.Generator().manual_seed(seed)
    network.train()(torch.rand(2, 1, 8, 8, generator=generator))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += torch.randn(parameter.shape, generator=generator)


def tensors(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def test_the_teacher_stands_still_while_the_student_learns():
    network = student()
    teacher = Teacher(network)
    before, image = tensors(teacher), torch.rand(1, 1, 8, 8)
    said = teacher(image)
    take_a_step(network)
    assert all(torch.equal(before[name], value) for name, value in tensors(teacher).items())
    assert torch.equal(said, teacher(image))


def test_it_has_no_gradient_and_stays_in_eval_mode():
    module = nn.ModuleDict({"student": student()})
    module["teacher"] = Teacher(module["student"])
    module.train()
    assert module["student"].training and not any(part.training for part in module["teacher"].modules())
    assert not any(parameter.requires_grad for parameter in module["teacher"].parameters())
    assert not module["teacher"](torch.rand(1, 1, 8, 8)).requires_grad


def test_parameters_and_buffers_follow_a_float64_loop():
    network = student()
    teacher = Teacher(network)
    expected = {name: value.double() for name, value in network.state_dict().items()}
    for step, decay in enumerate((0.0, 0.5, 0.99, 0.99, 0.999)):
        take_a_step(network, step)
        teacher.update(network, decay)
        for name, value in network.state_dict().items():
            moved = decay * expected[name] + (1 - decay) * value.double()
            expected[name] = moved if value.is_floating_point() else value.double()
    for name, value in teacher.network.state_dict().items():
        assert torch.allclose(value.double(), expected[name], rtol=1e-5, atol=1e-6), name
    assert int(teacher.network[1].num_batches_tracked) == 5


def test_a_decay_of_zero_copies_and_of_one_leaves():
    network = student()
    teacher = Teacher(network)
    kept = tensors(teacher.network)
    take_a_step(network)
    kept.pop("1.num_batches_tracked")  # a counter has no mean: it is copied at any decay
    teacher.update(network, 1.0)
    assert all(torch.equal(teacher.network.state_dict()[name], value) for name, value in kept.items())
    teacher.update(network, 0.0)
    assert all(
        torch.equal(a, b) for a, b in zip(tensors(teacher.network).values(), tensors(network).values(), strict=True)
    )


@pytest.mark.parametrize("decay", [-0.1, 1.1, float("nan")])
def test_a_decay_out_of_range_is_refused(decay):
    with pytest.raises(ValueError, match=r"decay=.*must lie in \[0, 1\]"):
        Teacher(student()).update(student(), decay)
