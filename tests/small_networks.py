"""Networks of a few layers, as tests build them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from sightline.base import Finding
from sightline.blueprint import check_network

Build = Callable[[], nn.Module]


class Does(nn.Module):
    """A forward of one's own, over layers by name."""

    def __init__(self, forward: Callable[[Any, Tensor], Any], **layers: nn.Module) -> None:
        super().__init__()
        for name, layer in layers.items():
            setattr(self, name, layer)
        self._does = forward

    def forward(self, x: Tensor) -> Any:
        return self._does(self, x)


def seq(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(*layers)


def conv(inputs: int = 3, outputs: int = 3, kernel: int = 3, **more: Any) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, **{"padding": kernel // 2} | more)


def silenced(share: float) -> nn.Sequential:
    network = seq(nn.Flatten(), nn.Linear(48, 100), nn.ReLU(), nn.Linear(100, 4))
    with torch.no_grad():
        network[1].bias[: int(100 * share)] = -100.0
    return network


def found(network: nn.Module, *shapes: tuple[int, ...], **more: Any) -> list[Finding]:
    with torch.random.fork_rng(devices=[]):
        return check_network(network, *(shapes or ((1, 3, 16, 16),)), **more)
