"""What a unit depends on: against gradients, on random branched networks."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from random_networks import depends_on, draw_network
from sightline.base import ArgumentError
from sightline.blueprint import reach, record


@settings(
    max_examples=500, derandomize=True, deadline=None, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(st.randoms(use_true_random=True))
def test_the_set_a_unit_depends_on_is_that_of_its_gradient(random: Random) -> None:
    network, inputs, unit = draw_network(random)
    blueprint = record(network, *inputs)
    assert blueprint.how == "meta"
    found = reach(blueprint, blueprint.nodes[-1].id, unit)
    assert found.exact or "causal" in repr(network), f"not followed: {network!r}"
    for value, expected in zip(blueprint.inputs, depends_on(network, inputs, unit), strict=True):
        mask = found.masks[value] if found.exact else found.masks[value] & expected
        np.testing.assert_array_equal(mask, expected, f"{network!r}, unit {unit}")


class Made(nn.Module):
    """A network of a function and the layers it uses."""

    def __init__(self, run: Callable[..., Any], *layers: nn.Module) -> None:
        super().__init__()
        self.run, self.layers = run, nn.ModuleList(layers)

    def forward(self, *inputs: Tensor) -> Any:
        return self.run(self.layers, *inputs)


def rows_of(network: nn.Module, length: int, unit: tuple[int, ...], *, exact: bool = True) -> list[int]:
    """Which of the numbers of a (1, 1, length) input the last node's unit depends on."""
    blueprint = record(network, (1, 1, length))
    found = reach(blueprint, blueprint.nodes[-1].id, unit)
    assert found.exact is exact
    return [int(i) for i in np.flatnonzero(found.masks[blueprint.inputs[0]][0, 0])]


BY_HAND: dict[str, tuple[nn.Module, tuple[int, ...], list[int]]] = {
    "a window": (nn.Conv1d(1, 1, 3), (0, 2), [2, 3, 4]),
    "at the border": (nn.Conv1d(1, 1, 3, padding=1), (0, 0), [0, 1]),
    "dilation leaves holes": (nn.Conv1d(1, 1, 3, dilation=3), (0, 1), [1, 4, 7]),
    "stride": (nn.Conv1d(1, 1, 2, stride=3), (0, 2), [6, 7]),
    "reflection": (nn.Conv1d(1, 1, 5, padding=2, padding_mode="reflect"), (0, 0), [0, 1, 2]),
    "a last window cut short": (nn.MaxPool1d(3, 3, ceil_mode=True), (0, 3), [9]),
    "transposed: even outputs": (nn.ConvTranspose1d(1, 1, 3, stride=2), (0, 4), [1, 2]),
    "transposed: odd outputs": (nn.ConvTranspose1d(1, 1, 3, stride=2), (0, 5), [2]),
    "pooled to a size": (nn.AdaptiveAvgPool1d(4), (0, 1), [2, 3, 4]),
    "groups": (
        Made(lambda layers, x: layers[0](x.view(1, 2, 5)), nn.Conv1d(2, 2, 1, groups=2)), (1, 3), [8]),
    "a whole channel": (Made(lambda layers, x: x.view(1, 5, 2)), (3,), [6, 7]),
    "written in place": (Made(lambda layers, x: x.clone().mul_(2).add_(x.flip(2))), (0, 1), [1, 8]),
    "what is taken as a number only": (Made(lambda layers, x: torch.zeros_like(x) + x[..., :1]), (0, 7), [0]),
}  # fmt: skip


@pytest.mark.parametrize("name", BY_HAND)
def test_sets_worked_out_by_hand(name: str) -> None:
    network, unit, expected = BY_HAND[name]
    assert rows_of(network, 10, unit) == expected


@pytest.mark.parametrize(("mode", "n", "m"), [("nearest", 62, 14), ("nearest-exact", 14, 23)])
def test_a_resize_rounds_as_pytorch_does(mode: str, n: int, m: int) -> None:
    """In single precision, where 31 * (14/62) is a little less than 7."""
    network = Made(lambda layers, x: F.interpolate(x, size=m, mode=mode))
    read = network(torch.arange(n, dtype=torch.float32).view(1, 1, n))[0, 0].int().tolist()
    assert read != [(2 * o + (mode != "nearest")) * n // (2 * m) for o in range(m)]
    assert [rows_of(network, n, (0, o)) for o in range(m)] == [[r] for r in read]


UNFOLLOWED: dict[str, Callable[..., Tensor]] = {
    "an index": lambda x: x[..., [2, 0, 1]],
    "part of a tensor written to": lambda x: torch.zeros(1, 1, 10).index_put((torch.tensor([0]),), x[0]),
    "sorted": lambda x: x.sort(-1).values,
    "a frequency": lambda x: torch.fft.rfft(x).abs(),
    "hidden scores": lambda x: F.softmax(x.masked_fill(torch.arange(10) > 3, -math.inf), -1),
}


@pytest.mark.parametrize("name", UNFOLLOWED)
def test_what_is_not_followed_is_said_and_nothing_is_left_out(name: str) -> None:
    network = Made(lambda layers, x: UNFOLLOWED[name](x) * 1.0)
    blueprint = record(network, torch.rand(1, 1, 10) + 0.5)
    found = reach(blueprint, blueprint.nodes[-1].id, (0, 1))
    assert not found.exact
    image = (torch.rand(1, 1, 10) + 0.5).requires_grad_()
    (gradient,) = torch.autograd.grad(network(image)[0, 0, 1], image)
    assert not (gradient.numpy() != 0)[~found.masks[blueprint.inputs[0]]].any()


def test_causal_attention_read_with_numbers_sees_what_came_before() -> None:
    """On `meta` its mask is not known; with numbers it is one operation, which says that it is causal."""

    def run(layers: nn.ModuleList, x: Tensor) -> Tensor:
        assert float(x.sum()) >= 0  # needs numbers
        return F.scaled_dot_product_attention(x, x[..., :7, :], x[..., :7, :], is_causal=True)

    blueprint = record(Made(run), torch.rand(1, 2, 9, 4))
    assert blueprint.how == "real"
    for row in range(9):
        found = reach(blueprint, blueprint.nodes[-1].id, (1, row, 2))
        seen = np.flatnonzero(found.masks[blueprint.inputs[0]][0, 1].all(axis=-1))
        assert found.exact
        assert seen.tolist() == sorted({*range(min(row + 1, 7)), row})
        assert not found.masks[blueprint.inputs[0]][0, 0].any()


def test_without_a_node_all_outputs_are_meant() -> None:
    network = Made(lambda layers, x: (x[..., :2], x[..., 7:8]))
    blueprint = record(network, (1, 1, 10))
    assert np.flatnonzero(reach(blueprint).masks[blueprint.inputs[0]]).tolist() == [0, 1, 7]


def test_each_input_has_a_mask_of_its_own() -> None:
    network = Made(lambda layers, x, y, z: x[..., 1:] + layers[0](y), nn.Conv1d(1, 1, 2))
    blueprint = record(network, (1, 1, 4), (1, 1, 4), (1, 1, 4))
    found = reach(blueprint, blueprint.nodes[-1].id, (0, 2))
    assert [np.flatnonzero(found.masks[v]).tolist() for v in blueprint.inputs] == [[3], [2, 3], []]


def test_a_batch_is_seen_image_by_image() -> None:
    blueprint = record(nn.Conv1d(1, 1, 3), (2, 1, 5))
    assert (
        reach(blueprint, "", (0, 0)).masks[blueprint.inputs[0]].tolist() == [[[True] * 3 + [False] * 2]] * 2
    )


@pytest.mark.parametrize(
    ("node", "unit", "message"),
    [
        ("features.1", (), r"no node 'features.1' in Sequential; there are: 0, 1"),
        ("0", (2,), r"unit \(2,\) is outside the output of 0, \(2, 4\)"),
        ("0", (1, 4), r"unit \(1, 4\) is outside the output of 0, \(2, 4\)"),
        ("0", (-1,), r"unit \(-1,\) is outside the output of 0, \(2, 4\)"),
        ("0", (0, 0, 0), r"unit \(0, 0, 0\) is outside the output of 0, \(2, 4\)"),
    ],
)
def test_what_is_not_there(node: str, unit: tuple[int, ...], message: str) -> None:
    blueprint = record(nn.Sequential(nn.Conv1d(1, 2, 2), nn.ReLU()), (1, 1, 5))
    with pytest.raises(ArgumentError, match=message):
        reach(blueprint, node, unit)
