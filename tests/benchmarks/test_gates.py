"""The twin without gates is the same network otherwise."""

import torch

from benchmarks.gates import without_gates
from models.attunet import AttentionGate, AttUNet


def test_the_twin_is_the_network_with_every_gate_open():
    torch.manual_seed(0)
    gated = AttUNet(1, 3, width=4, depth=3).eval()
    twin = without_gates(AttUNet(1, 3, width=4, depth=3)).eval()
    missing, unexpected = twin.load_state_dict(gated.state_dict(), strict=False)
    assert unexpected and not missing and all(".gate." in name for name in unexpected)
    image = torch.rand(1, 1, 16, 16)
    assert not torch.allclose(twin(image), gated(image))
    for module in gated.modules():
        if isinstance(module, AttentionGate):
            module.register_forward_hook(lambda gate, inputs, output: torch.ones_like(output))
    torch.testing.assert_close(twin(image), gated(image))
