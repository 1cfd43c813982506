"""The exponential moving average of a network's weights."""

from __future__ import annotations

import copy

import torch
from torch import nn


class WeightAverage:
    """Follows a network: parameters and floating buffers are averaged, the rest is copied.

    Args:
        network: The network to follow.
        decay: Share of the old average that stays at each step; early on (1 + t) / (10 + t), if smaller.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.decay = decay

    def update(self, network: nn.Module, step: int) -> None:
        """Follow one step, the `step`-th from 0."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        theirs, mine = _tensors(network), _tensors(self.network)
        floating = [name for name, tensor in mine.items() if tensor.is_floating_point()]
        with torch.no_grad():
            torch._foreach_lerp_([mine[n] for n in floating], [theirs[n] for n in floating], weight)
            for name in mine.keys() - set(floating):
                mine[name].copy_(theirs[name])


def _tensors(network: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers by name, a shared one once."""
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}
