"""The receptive field of every node: against gradients, and against published and hand-worked numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from random_networks import Builder, Network
from sightline.blueprint import Field, fields, record
from sightline.zoo import get_architecture

STEPS = (
    "conv", "conv", "transposed", "max_pool", "avg_pool", "resize", "pad", "cut", "halves", "activation",
    "batch_norm", "joined", "joined",
)  # fmt: skip


def boxes(network: Network, image: Tensor, first: tuple[int, ...], count: int) -> NDArray[np.int64]:
    """First and last row that units see, by gradient: `count` units along each axis, from `first` on.

    Returns:
        (axes, units, 2); -1 where a unit sees nothing.
    """
    axes = len(first)
    steps = list(np.ndindex(*(count,) * axes))
    images = image.repeat(len(steps), *(1 for _ in image.shape[1:])).requires_grad_()
    network.smooth = True
    output = network(images)
    network.smooth = False
    places = [
        output[(b, slice(None), *(i + k for i, k in zip(first, step, strict=True)))].sum()
        for b, step in enumerate(steps)
    ]
    gradient = torch.autograd.grad(torch.stack(places).sum(), images)[0].abs()
    seen = (gradient > gradient.max() * 1e-13).any(dim=1).numpy()  # (units, *rows)
    found = np.full((axes, count, 2), -1)
    for axis in range(axes):
        along = seen.any(axis=tuple(1 + a for a in range(axes) if a != axis))  # (units, rows)
        for k in range(count):
            rows = np.flatnonzero(along[[step[axis] == k for step in steps]].any(axis=0))
            if len(rows):
                found[axis, k] = rows[0], rows[-1]
    return found


@settings(
    max_examples=250, derandomize=True, deadline=None, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(st.randoms(use_true_random=True))
@pytest.mark.parametrize(("axes", "size", "period"), [(1, 1500, 72), (2, 60, 6)], ids=["1-D", "2-D"])
def test_size_jump_and_centre_are_the_box_of_the_gradient(
    axes: int, size: int, period: int, random: Random
) -> None:
    """In the middle of an image so large that no border is touched; upsampling sees in phases."""
    image = torch.full(
        (1, random.choice((1, 2)), *(size - 7 * a for a in range(axes))), 1.0, dtype=torch.float64
    )
    builder = Builder(random, [image], most=12 * size**axes, least=3 * period, phases=period)
    for _ in range(random.randint(1, 8)):
        builder.grow(STEPS)
    network = builder.network
    blueprint = record(network, image)
    shape = blueprint.output_shapes[0]
    first = tuple(n // 2 // period * period for n in shape[2:])
    there = boxes(network, image, first, period)
    edges = np.array([[[0, n - 1]] for n in image.shape[2:]])
    assume(not (there == edges).any() and (there >= 0).any())
    found = fields(blueprint)[len(blueprint.nodes) - 1]
    assert found is not None, repr(network)
    for axis in range(axes):
        low, high = there[axis, :, 0], there[axis, :, 1]
        lengths = np.where(low < 0, 0, high - low + 1)
        assert found.size[axis] == lengths.max(), repr(network)
        centre = None if low[0] < 0 else Fraction(int(low[0] + high[0]), 2)
        told = found.centre[axis]
        assert (told is None) == (centre is None), repr(network)
        if told is not None:
            assert told + found.jump[axis] * first[axis] == centre, repr(network)


# ------------------------------------------------------------------ by hand


def stacked(*windows: tuple[int, int]) -> int:
    """Field of (kernel, stride) after (kernel, stride): it grows by kernel - 1 of the steps so far."""
    size, jump = 1, 1
    for kernel, stride in windows:
        size, jump = size + (kernel - 1) * jump, jump * stride
    return size


CONV, HALVING, POOL = (3, 1), (3, 2), (2, 2)
STEM = ((7, 2), (3, 2))
INCEPTIONS = 2, 5, 2  # modules from one pooling to the next; their widest branch is what counts
KNOWN: dict[tuple[str, str], tuple[Sequence[tuple[int, int]], int, int]] = {
    ("vgg16", "features.30"): (
        (CONV, CONV, POOL, CONV, CONV, POOL, *((CONV, CONV, CONV, POOL) * 3)), 212, 32),
    ("alexnet", "features.12"): (((11, 4), (3, 2), (5, 1), (3, 2), CONV, CONV, CONV, (3, 2)), 195, 32),
    ("resnet18", "layer4.1.relu#2"): (
        (*STEM, *(CONV,) * 4, *((HALVING, CONV, CONV, CONV) * 3)), 435, 32),
    ("resnet50", "layer4.2.relu#3"): (  # the stride is in the 3x3 of each stage's first block
        (*STEM, *(CONV,) * 3, HALVING, *(CONV,) * 3, HALVING, *(CONV,) * 5, HALVING, *(CONV,) * 2), 427, 32),
    ("resnet50_v1", "layer4.2.relu#3"): (  # the stride is in the 1x1 before
        (*STEM, *(CONV,) * 3, (1, 2), *(CONV,) * 4, (1, 2), *(CONV,) * 6, (1, 2), *(CONV,) * 3), 483, 32),
    ("googlenet_2014", "inception5b:cat"): (
        (*STEM, CONV, *(w for n in INCEPTIONS for w in ((3, 2), *((5, 1),) * n))), 715, 32),
    ("googlenet", "inception5b:cat"): (  # torchvision's: 3x3 where the paper has 5x5, the last pooling 2x2
        (*STEM, CONV, (3, 2), *(CONV,) * 2, (3, 2), *(CONV,) * 5, (2, 2), *(CONV,) * 2), 379, 32),
    ("lenet5", "features.5"): (((5, 1), (2, 2), (5, 1), (2, 2)), 16, 4),
}  # fmt: skip
"""Windows along the widest path, then field and jump (Araujo et al. 2019 print 212, 195 and 483)."""


@pytest.mark.parametrize(("name", "node"), KNOWN)
def test_fields_of_known_networks(name: str, node: str) -> None:
    windows, size, jump = KNOWN[name, node]
    assert stacked(*windows) == size
    architecture = get_architecture(name)
    blueprint = record(architecture.build(), (1, *architecture.input_shape))
    found = fields(blueprint)[blueprint.index[node]]
    assert found is not None
    assert (found.size, found.jump) == ((size, size), (jump, jump))


class Made(nn.Module):
    """A network of a function and the layers it uses."""

    def __init__(self, run: Callable[..., Any], *layers: nn.Module) -> None:
        super().__init__()
        self.run, self.layers = run, nn.ModuleList(layers)

    def forward(self, *inputs: Tensor) -> Any:
        return self.run(self.layers, *inputs)


def last_field(network: nn.Module, *shapes: tuple[int, ...]) -> Field | None:
    blueprint = record(network, *shapes)
    return fields(blueprint)[len(blueprint.nodes) - 1]


HALF = Fraction(1, 2)
WHOLE = Field((20, 30), (Fraction(0), Fraction(0)), (Fraction(19, 2), Fraction(29, 2)))
BY_HAND: dict[str, tuple[nn.Module, Field | None]] = {
    # taps 5 apart: 1 + 2*5; the first is centred on pixel 5 - 2
    "dilation": (
        nn.Conv2d(1, 1, 3, dilation=5, padding=2), Field((11, 11), (Fraction(1),) * 2, (Fraction(3),) * 2)),
    "dilations of 1, 2, 4": (
        nn.Sequential(*(nn.Conv2d(1, 1, 3, dilation=d, padding=d) for d in (1, 2, 4))),
        Field((15, 15), (Fraction(1),) * 2, (Fraction(0),) * 2)),
    "each axis by itself": (
        nn.Conv2d(1, 1, (1, 5), stride=(2, 3), padding=(0, 2)),
        Field((1, 5), (Fraction(2), Fraction(3)), (Fraction(0),) * 2)),
    # output 0 is where tap 0 meets pixel 0; odd outputs meet two pixels, even ones three of a 5-tap kernel
    "transposed": (
        nn.ConvTranspose2d(1, 1, 5, stride=2), Field((3, 3), (HALF,) * 2, (Fraction(-1),) * 2)),
    "nearest": (
        nn.Upsample(scale_factor=4), Field((1, 1), (Fraction(1, 4),) * 2, (Fraction(0),) * 2)),
    "linear": (
        nn.Upsample(scale_factor=2, mode="bilinear"), Field((2, 2), (HALF,) * 2, (-HALF,) * 2)),
    "up and down again": (
        nn.Sequential(nn.Upsample(scale_factor=2), nn.MaxPool2d(2)),
        Field((1, 1), (Fraction(1),) * 2, (Fraction(0),) * 2)),
    "the mean of all": (nn.AdaptiveAvgPool2d(1), WHOLE),
    "pooled to a size": (  # 20 rows to 5, 30 columns to 6
        nn.AdaptiveAvgPool2d((5, 6)),
        Field((4, 5), (Fraction(4), Fraction(5)), (Fraction(3, 2), Fraction(2)))),
    "space to depth": (
        nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4, 4, 3)),
        Field((6, 6), (Fraction(2),) * 2, (Fraction(5, 2),) * 2)),
    "depth to space": (
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.PixelShuffle(2)),
        Field((3, 3), (HALF,) * 2, (Fraction(1),) * 2)),
    "a gate sees all": (
        Made(lambda layers, x: x * layers[0](x.mean((2, 3)))[:, :, None, None], nn.Linear(1, 1)), WHOLE),
    "attention sees all": (
        Made(lambda layers, x: (lambda y: layers[0](y, y, y)[0])(x.flatten(2).transpose(1, 2)),
            nn.MultiheadAttention(1, 1, batch_first=True)), WHOLE),
    "with a class token": (
        Made(lambda layers, x: (lambda y: layers[0](y, y, y)[0])(
            torch.cat([layers[0].in_proj_bias.view(1, 3, 1), x.flatten(2).transpose(1, 2)], 1)),
            nn.MultiheadAttention(1, 1, batch_first=True)), WHOLE),
    "axes exchanged": (
        nn.Sequential(nn.Conv2d(1, 1, (1, 5)), Made(lambda layers, x: x.mT)),
        Field((1, 5), (Fraction(1),) * 2, (Fraction(0), Fraction(2)))),
    "a mean over columns": (
        Made(lambda layers, x: x.mean(3)),
        Field((1, 30), (Fraction(1), Fraction(0)), (Fraction(0), Fraction(29, 2)))),
    "flattened: no window": (nn.Flatten(), None),
    "joined along rows": (Made(lambda layers, x: torch.cat([x, x], 2)), None),
    "chosen by an index": (Made(lambda layers, x: x[:, :, [3, 1, 2]]), None),
}  # fmt: skip


@pytest.mark.parametrize("name", BY_HAND)
def test_fields_worked_out_by_hand(name: str) -> None:
    network, expected = BY_HAND[name]
    assert last_field(network, (1, 1, 20, 30)) == expected


def test_a_skip_beside_a_resize_that_aligns_corners() -> None:
    """64 rows a period beside 65: not the whole image, as it would be if nothing were known."""
    layers = [nn.Conv1d(1, 1, 3, padding=1) for _ in range(3)]

    def run(there: nn.ModuleList, x: Tensor) -> Tensor:
        top = there[0](x)
        deep = there[1](F.avg_pool1d(top, 2))
        out: Tensor = there[2](top + F.interpolate(deep, size=65, mode="linear", align_corners=True))
        return out

    network = Made(run, *layers).double()
    for parameter in network.parameters():
        nn.init.constant_(parameter, 0.3)
    image = torch.ones(65, 1, 65, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(image)[range(65), 0, range(65)].sum(), image)
    rows = [np.flatnonzero(unit > 1e-14) for unit in gradient[:, 0].numpy()]
    inside = [r[-1] - r[0] + 1 for r in rows if r[0] > 0 and r[-1] < 64]
    found = last_field(network, (1, 1, 65))
    assert found is not None
    assert max(inside) <= found.size[0] <= max(inside) + 1  # one more where it goes on past the border
    assert found.jump == (1,)


def test_the_first_input_is_meant_and_what_does_not_see_it_has_no_field() -> None:
    network = Made(lambda layers, x, y: (layers[0](y), layers[1](x)), nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 5))
    blueprint = record(network, (1, 1, 9, 9), (1, 1, 9, 9))
    by_id = {blueprint.nodes[k].id: f for k, f in fields(blueprint).items()}
    assert by_id["layers.1"] == Field((5, 5), (Fraction(1),) * 2, (Fraction(2),) * 2)
    assert by_id["layers.0"] == Field((0, 0), (Fraction(0),) * 2, (None, None))


def test_a_vector_has_no_pixels() -> None:
    assert fields(record(nn.Linear(3, 4), (1, 3))) == {}
