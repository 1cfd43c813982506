"""Pixels that reach no output: by hand, and those without gradient."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from random_networks import draw_network
from sightline.blueprint import LostPixels, lost_findings, lost_pixels, nearest_lossless, record
from sightline.blueprint._lost import lost_in


class Made(nn.Module):
    """A network of a function and the layers it uses."""

    def __init__(self, run: Callable[..., Any], *layers: nn.Module) -> None:
        super().__init__()
        self.run, self.layers = run, nn.ModuleList(layers)

    def forward(self, *inputs: Tensor) -> Any:
        return self.run(self.layers, *inputs)


def conv(kernel: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1) -> nn.Conv2d:
    return nn.Conv2d(1, 1, kernel, stride, padding, dilation)


def block(layers: nn.ModuleList, x: Tensor) -> Tensor:
    found: Tensor = layers[0](x) + layers[1](x)
    return found


ODD = (1, 3, 5, 7)
# name: network, size, rows lost, columns lost
BY_HAND: dict[str, tuple[nn.Module, tuple[int, int], tuple[int, ...], tuple[int, ...]]] = {
    "7, window 3, stride 1": (conv(3), (7, 7), (), ()),
    "7, window 3, stride 2": (conv(3, 2), (7, 7), (), ()),
    "7, window 3, stride 3": (conv(3, 3), (7, 7), (6,), (6,)),
    "8, window 3, stride 2": (conv(3, 2), (8, 8), (7,), (7,)),
    "8, window 3, stride 3": (conv(3, 3), (8, 8), (6, 7), (6, 7)),
    "8, window 3, stride 3, padding 1": (conv(3, 3, 1), (8, 8), (), ()),
    "each axis by itself": (conv((3, 2), (3, 2)), (8, 9), (6, 7), (8,)),
    "a stride past the kernel": (conv(1, 2), (8, 8), ODD, ODD),
    "holes of dilation": (conv(2, 4, 0, 2), (8, 8), ODD, ODD),
    "pooling an odd size": (nn.MaxPool2d(2), (7, 8), (6,), ()),
    "pooling it rounded up": (nn.MaxPool2d(2, ceil_mode=True), (7, 7), (), ()),
    "pooled to a size": (nn.AdaptiveAvgPool2d(3), (7, 7), (), ()),
    "layer after layer": (nn.Sequential(conv(2, 2), conv(2, 2)), (11, 8), (8, 9, 10), ()),
    "cropped": (Made(lambda layers, x: x[:, :, 1:-1, 2:]), (5, 5), (0, 4), (0, 1)),
    # ResNet's shortcut reads every other pixel, its 3x3 beside it all of them
    "a shortcut alone": (conv(1, 2), (8, 8), ODD, ODD),
    "a shortcut and its branch": (Made(block, conv(3, 2, 1), conv(1, 2)), (8, 8), (), ()),
    "a skip keeps what a branch loses": (
        Made(lambda layers, x: x[:, :, :2, :2] + layers[0](x), conv(3, 3)), (8, 8), (6, 7), (6, 7)),
    "a gate sees all": (
        Made(lambda layers, x: layers[0](x) * x.mean((2, 3), keepdim=True), conv(3, 3)), (8, 8), (), ()),
    "nothing is read": (Made(lambda layers, x: torch.zeros_like(x)), (2, 3), (0, 1), (0, 1, 2)),
}  # fmt: skip


def without_gradient(network: nn.Module, *shape: int) -> list[tuple[int, ...]]:
    """Rows of each axis that no output's gradient reaches; weights are made positive."""
    network = network.double()
    for parameter in network.parameters():
        nn.init.constant_(parameter, 0.5)
    # each pixel larger than all before it, or smaller: the largest of every window lies at either of its ends
    seen = np.zeros(shape, bool)
    noise = torch.rand((64, *shape[1:]), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for image in noise:
        x = (image[None] + 0.5).requires_grad_()
        output = network(x)
        if output.requires_grad:
            seen |= (torch.autograd.grad(output.sum(), x)[0] != 0).numpy()
    axes = range(2, len(shape))
    return [
        tuple(int(i) for i in np.flatnonzero(~seen.any(axis=tuple(d for d in range(seen.ndim) if d != axis))))
        for axis in axes
    ]


@pytest.mark.parametrize("name", BY_HAND)
def test_lost_pixels_by_hand_and_by_gradient(name: str) -> None:
    network, size, rows, columns = BY_HAND[name]
    found = lost_pixels(record(network, (1, 1, *size)))
    assert found == LostPixels((rows, columns), True)
    assert found.any == bool(rows or columns)
    assert without_gradient(network, 1, 1, *size) == [rows, columns]


@settings(
    max_examples=100, derandomize=True, deadline=None, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(st.randoms(use_true_random=True))
def test_lost_pixels_of_random_networks_are_those_without_gradient(random: Random) -> None:
    network, inputs, _ = draw_network(random)
    blueprint = record(network, *inputs)
    found = lost_pixels(blueprint)
    x, *others = (image.clone().requires_grad_() for image in inputs)
    network.smooth = True
    output = network(x, *others)
    gradient = torch.autograd.grad(output.sum(), x, allow_unused=True)[0] if output.requires_grad else None
    there = torch.zeros_like(x) if gradient is None else gradient.abs()
    seen = (there > there.max() * 1e-13).numpy()
    for axis, rows in enumerate(found.rows, 2):
        along = seen.any(axis=tuple(d for d in range(seen.ndim) if d != axis))
        expected = tuple(int(i) for i in np.flatnonzero(~along))
        assert rows == expected if found.exact else set(rows) <= set(expected), repr(network)


@pytest.mark.parametrize(
    ("layer", "size", "expected"),
    [
        (conv(3, 3), (8, 8), ((6, 7), (6, 7))),
        (conv(3, 3, (0, 1)), (8, 8), ((6, 7), ())),
        (nn.MaxPool2d(3, 2), (8, 9), ((7,), ())),
        (nn.MaxPool2d(3, 2, ceil_mode=True), (8, 9), ((), ())),
        (nn.Sequential(nn.ReLU()), (8, 8), ()),
        (nn.ConvTranspose2d(1, 1, 3, 2), (8, 8), ()),
    ],
)
def test_what_one_layer_loses(layer: nn.Module, size: tuple[int, int], expected: Any) -> None:
    assert lost_in(record(layer, (1, 1, *size)).nodes[0]) == expected


def test_what_is_no_image_loses_nothing() -> None:
    assert lost_pixels(record(nn.Linear(3, 2), (1, 3))) == LostPixels((), True)
    sequence = lost_pixels(record(nn.Conv1d(1, 1, 3, stride=3), (1, 1, 8)))
    assert sequence.rows == ((6, 7),)


@pytest.mark.parametrize(
    ("network", "size", "within", "expected"),
    [
        (conv(3, 3), 8, 32, (6, 9)),
        (conv(3, 3), 9, 32, (6, 12)),  # beside it, whether or not it fits itself
        (nn.Sequential(conv(2, 2), conv(2, 2), conv(2, 2)), 30, 32, (24, 32)),
        (nn.Sequential(conv(2, 2), conv(2, 2), conv(2, 2)), 30, 6, (24, 32)),
        (nn.Sequential(conv(2, 2), conv(2, 2), conv(2, 2)), 30, 5, (None, 32)),
        (nn.Sequential(conv(2, 2), conv(2, 2), conv(2, 2)), 30, 1, (None, None)),
        (conv(1, 2), 8, 4, (None, None)),  # a size of 1 would do, and is too far
        (conv(1, 2), 3, 4, (1, None)),
        (nn.Sequential(conv(3, 3), nn.Flatten(), nn.Linear(4, 1)), 8, 32, (6, None)),  # 2x2 alone goes in
    ],
)
def test_nearest_sizes_without_loss(
    network: nn.Module, size: int, within: int, expected: tuple[int | None, int | None]
) -> None:
    blueprint = record(network, (1, 1, size, size))
    assert nearest_lossless(network, blueprint, within) == expected
    for found in expected:
        if found is not None:
            assert without_gradient(network, 1, 1, found, found) == [(), ()]


def test_a_network_built_for_its_size() -> None:
    def build(size: int) -> nn.Module:
        return nn.Sequential(conv(3, 3), nn.Flatten(), nn.Linear((size // 3) ** 2, 1))

    network = build(8)
    assert nearest_lossless(network, record(network, (1, 1, 8, 8)), build=build) == (6, 9)


def test_findings_name_what_is_lost_and_what_to_do() -> None:
    network = nn.Sequential(conv(3, 3), nn.ReLU())
    blueprint = record(network, (1, 1, 8, 9), name="mine")
    (found,) = lost_findings(blueprint, (6, 9))
    assert (found.level, found.where) == ("warning", "mine, input 8x9")
    assert found.what == "rows 6-7 never reach the output"
    assert found.do == "images of 6 or 9 pixels lose none"
    (alone,) = lost_findings(blueprint)
    assert alone.do == "pad, or change a stride"
    (both,) = lost_findings(record(conv(1, 2), (1, 1, 4, 4)), (None, 5))
    assert both.what == "rows 1, 3 never reach the output; columns 1, 3 never reach the output"
    assert both.do == "images of 5 pixels lose none"
    assert lost_findings(record(conv(3, 3), (1, 1, 9, 9))) == []
