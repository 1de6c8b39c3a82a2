import random

import numpy as np
import torch

from callbacks.random_states import random_state, set_random_state


def drawn():
    return random.random(), np.random.rand(), np.random.randn(), torch.rand(3).tolist()


def test_every_generator_goes_on_from_its_state_also_through_a_file(tmp_path):
    np.random.randn()  # leaves the second number of a pair behind, which is part of the state
    torch.save(random_state(), tmp_path / "state")
    expected = drawn()
    drawn()
    set_random_state(torch.load(tmp_path / "state", weights_only=True))
    assert drawn() == expected
