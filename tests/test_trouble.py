"""What is said where an input does not go through: the sum, and a repair that is then made and run."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sightline.blueprint import PassError, record
from sightline.blueprint._trouble import explain

Shape = tuple[int, ...]


class Made(nn.Module):
    """A network of a function and the layers it uses."""

    def __init__(self, run: Callable[..., Any], *layers: nn.Module) -> None:
        super().__init__()
        self.run, self.layers = run, nn.ModuleList(layers)

    def forward(self, *inputs: Tensor) -> Any:
        return self.run(self.layers, *inputs)


def added(*layers: nn.Module) -> nn.Module:
    def run(there: nn.ModuleList, x: Tensor) -> Tensor:
        skip = there[1](x) if len(there) > 1 else x
        found: Tensor = there[0](x)[..., : skip.shape[-2], : skip.shape[-1]] if cropped else there[0](x)
        return found + (skip[..., : found.shape[-2], : found.shape[-1]] if cropped else skip)

    cropped = len(layers) > 1 and isinstance(layers[1], nn.Identity)
    return Made(run, *layers)


def joined(layers: nn.ModuleList, x: Tensor) -> Tensor:
    return torch.cat([x, layers[0](x)], 1)


def viewed(*shape: int) -> nn.Module:
    return Made(lambda layers, x: x.view(*shape))


def classifier(numbers: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.Flatten(), nn.Linear(numbers, 10))


def last(network: nn.Module, x: Tensor) -> int:
    return int(network[:-1](x).shape[-1])


MAP = (1, 3, 8, 8)
# what does not go through; what is said of it, after "failed: "; what is repaired as it says
CASES: dict[str, tuple[nn.Module, Shape, str, list[tuple[nn.Module, Shape]]]] = {
    "linear": (
        classifier(4 * 15 * 15), (1, 3, 40, 40),
        "it takes 900 numbers and is given 1,444; an input of 32x32 gives 900; "
        "nn.Linear(1444, 10) fits this input",
        [(classifier(900), (1, 3, 32, 32)), (classifier(1444), (1, 3, 40, 40))]),
    "linear, no size fits": (
        nn.Sequential(nn.Flatten(), nn.Linear(7, 10)), MAP,
        "it takes 7 numbers and is given 192; nn.Linear(192, 10) fits this input",
        [(nn.Sequential(nn.Flatten(), nn.Linear(192, 10)), MAP)]),
    "linear, nothing flattened": (
        nn.Linear(192, 10), MAP,
        "it takes 192 numbers and is given 8; 3x8x8 = 192, so nn.Flatten() before it fits",
        [(nn.Sequential(nn.Flatten(), nn.Linear(192, 10)), MAP)]),
    "linear, a function": (
        Made(lambda layers, x: F.linear(x, layers[0].weight), nn.Linear(5, 2)), (1, 4),
        "it takes 5 numbers and is given 4; nn.Linear(4, 2) fits this input", [(nn.Linear(4, 2), (1, 4))]),
    "channels": (
        nn.Conv2d(3, 4, 3), (1, 1, 8, 8),
        "its filters take 3 channels and are given 1; in_channels=1 fits, or images of 3 channels",
        [(nn.Conv2d(1, 4, 3), (1, 1, 8, 8)), (nn.Conv2d(3, 4, 3), MAP)]),
    "channels in groups": (
        nn.Conv2d(4, 4, 3, groups=2), MAP,
        "its filters take 4 channels and are given 3; images of 4 channels",
        [(nn.Conv2d(4, 4, 3, groups=2), (1, 4, 8, 8))]),
    "channels, transposed": (
        nn.ConvTranspose2d(2, 4, 3), MAP,
        "its filters take 2 channels and are given 3; in_channels=3 fits, or images of 2 channels",
        [(nn.ConvTranspose2d(3, 4, 3), MAP), (nn.ConvTranspose2d(2, 4, 3), (1, 2, 8, 8))]),
    "channels, a function": (
        Made(lambda layers, x: F.conv2d(x, layers[0].weight), nn.Conv2d(4, 5, 3)), MAP,
        "its filters take 4 channels and are given 3", [(nn.Conv2d(4, 5, 3), (1, 4, 8, 8))]),
    "axes": (
        nn.Conv2d(3, 4, 3), (1, 8), "it takes (batch, channels, 2 sizes) and is given 2 axes",
        [(nn.Conv2d(3, 4, 3), MAP), (nn.Conv2d(3, 4, 3), (3, 8, 8))]),
    "window too large": (
        nn.Conv2d(3, 4, 7, padding=1, dilation=2), MAP,
        "the window reaches over 13 and there are 8 + 2*1: (8 + 2*1 - 2*(7 - 1) - 1)/1 + 1 = -2; "
        "padding=3 fits, or a larger input, or a kernel of at most 5",
        [(nn.Conv2d(3, 4, 7, padding=3, dilation=2), MAP), (nn.Conv2d(3, 4, 5, padding=1, dilation=2), MAP)]),
    "window too large on one axis": (
        nn.Conv2d(3, 4, (3, 12), padding=(0, 1)), MAP,
        "the window reaches over 12 and there are 8 + 2*1: (8 + 2*1 - 12)/1 + 1 = -1; "
        "padding=(0, 2) fits, or a larger input, or a kernel of at most (8, 10)",
        [(nn.Conv2d(3, 4, (3, 12), padding=(0, 2)), MAP), (nn.Conv2d(3, 4, (8, 10), padding=(0, 1)), MAP)]),
    "pool too large": (
        nn.AvgPool2d((5, 2), padding=(1, 1)), (1, 3, 2, 2),
        "the window reaches over 5 and there are 2 + 2*1: (2 + 2*1 - 5)/5 + 1 = 0.8 -> 0; "
        "padding=(2, 1) fits, or a larger input, or a kernel of at most 4",
        [(nn.AvgPool2d((5, 2), padding=(2, 1)), (1, 3, 2, 2)), (nn.AvgPool2d(4, padding=1), (1, 3, 2, 2))]),
    "batch norm": (
        nn.BatchNorm2d(4), MAP, "it normalises 4 channels and is given 3; num_features=3 fits",
        [(nn.BatchNorm2d(3), MAP)]),
    "group norm": (
        nn.GroupNorm(2, 4), (1, 6, 8, 8), "it normalises 4 channels and is given 6; num_channels=6 fits",
        [(nn.GroupNorm(2, 6), (1, 6, 8, 8))]),
    "group norm, no multiple": (
        nn.GroupNorm(2, 4), MAP, "it normalises 4 channels and is given 3",
        [(nn.GroupNorm(2, 4), (1, 4, 8, 8))]),
    "a sum of channels": (
        added(nn.Conv2d(3, 5, 1)), MAP,
        "1x5x8x8 and 1x3x8x8 are taken element by element; "
        "a 1x1 convolution of 3 filters on 1x5x8x8 makes them alike",
        [(added(nn.Sequential(nn.Conv2d(3, 5, 1), nn.Conv2d(5, 3, 1))), MAP)]),
    "a sum across a stride": (
        added(nn.Conv2d(3, 8, 3, stride=2, padding=1)), MAP,
        "1x8x4x4 and 1x3x8x8 are taken element by element; "
        "a 1x1 convolution of 8 filters, stride 2 on 1x3x8x8 makes them alike",
        [(added(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.Conv2d(3, 8, 1, stride=2)), MAP)]),
    "a sum after a border is lost": (
        added(nn.Conv2d(3, 3, 3)), MAP,
        "1x3x6x6 and 1x3x8x8 are taken element by element; "
        "crop or resize both to 6x6, or pad the convolutions before",
        [(added(nn.Conv2d(3, 3, 3), nn.Identity()), MAP), (added(nn.Conv2d(3, 3, 3, padding=1)), MAP)]),
    "a sum of no common stride": (
        added(nn.Conv2d(3, 5, 3, stride=2)), (1, 3, 9, 9),
        "1x5x4x4 and 1x3x9x9 are taken element by element; crop or resize both to 4x4, "
        "or pad the convolutions before, and bring both to the same channels",
        [(added(nn.Conv2d(3, 3, 3, stride=2), nn.Identity()), (1, 3, 9, 9))]),
    "a sum of vectors": (
        Made(lambda layers, x: x * layers[0](x), nn.Linear(4, 3)), (2, 4),
        "2x4 and 2x3 are taken element by element; make their shapes equal",
        [(Made(lambda layers, x: x * layers[0](x), nn.Linear(4, 4)), (2, 4))]),
    "joined": (
        Made(joined, nn.Conv2d(3, 5, 3)), MAP,
        "1x3x8x8 and 1x5x6x6 differ in more than their channels; crop or resize them to 6x6, "
        "or pad the convolutions before",
        [(Made(joined, nn.Conv2d(3, 5, 3, padding=1)), MAP)]),
    "joined, of unlike axes": (
        Made(joined, nn.Flatten()), MAP,
        "1x3x8x8 and 1x192 must be alike but for the axis they are joined along",
        [(Made(joined, nn.Identity()), MAP)]),
    "joined along rows": (
        Made(lambda layers, x: torch.cat([x, layers[0](x)], dim=2), nn.Conv2d(3, 5, 1)), MAP,
        "1x3x8x8 and 1x5x8x8 must be alike but for the axis they are joined along",
        [(Made(lambda layers, x: torch.cat([x, layers[0](x)], dim=2), nn.Conv2d(3, 3, (3, 1))), MAP)]),
    "viewed": (
        viewed(-1, 400), (2, 3, 8, 8),
        "2x3x8x8 = 384 numbers do not fill -1x400; view(2, 192) or flatten(1) fits",
        [(viewed(2, 192), (2, 3, 8, 8)), (nn.Flatten(1), (2, 3, 8, 8))]),
    "viewed after an exchange": (
        Made(lambda layers, x: x.permute(0, 2, 3, 1).view(x.shape[0], -1)), MAP,
        "1x8x8x3 does not lie in memory as a view must; reshape fits, or contiguous() before",
        [(Made(lambda layers, x: x.permute(0, 2, 3, 1).reshape(1, -1)), MAP),
         (Made(lambda layers, x: x.permute(0, 2, 3, 1).contiguous().view(1, -1)), MAP)]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_is_said_and_that_the_repair_mends_it(name: str) -> None:
    network, shape, message, repairs = CASES[name]
    with pytest.raises((RuntimeError, ValueError)):
        network.eval()(torch.rand(shape))
    with pytest.raises(PassError) as caught:
        record(network, shape)
    assert str(caught.value).partition(" failed: ")[2] == message
    for repaired, fitting in repairs:
        repaired.eval()(torch.rand(fitting))
        assert record(repaired, fitting).outputs


SAID_BY_PYTORCH: dict[str, tuple[nn.Module, Shape, str]] = {
    "padding by name": (nn.Conv2d(3, 4, 9, padding="valid"), MAP, "Kernel size"),
    "transposed to nothing": (nn.ConvTranspose2d(3, 4, 3, padding=9), MAP, "Output size is too small"),
    "too much padding": (nn.MaxPool2d(3, padding=2), MAP, "pad should be at most half"),
    "pooling by a function": (Made(lambda layers, x: F.max_pool2d(x, 9)), MAP, "Output size is too small"),
    "a product": (Made(lambda layers, x: x @ x), (2, 3), "shapes cannot be multiplied"),
    "pixels": (nn.PixelShuffle(2), MAP, "divisible by the square of upscale_factor"),
    "axes of a norm": (nn.BatchNorm2d(3), (3, 8, 8), "expected 4D input"),
}  # fmt: skip


@pytest.mark.parametrize("name", SAID_BY_PYTORCH)
def test_what_is_not_known_better_is_said_as_pytorch_says_it(name: str) -> None:
    network, shape, message = SAID_BY_PYTORCH[name]
    with pytest.raises(PassError, match=message) as caught:
        record(network, shape)
    assert "\n" not in str(caught.value)
    assert caught.value.call is not None
    assert explain(caught.value.call) == ""


def test_where_it_failed_and_what_ran_before() -> None:
    with pytest.raises(PassError) as caught:
        record(classifier(900), (1, 3, 40, 40), name="mine")
    assert str(caught.value).startswith(
        "mine cannot take an input of 1x3x40x40: layer 2 (Linear) given 1x1444 failed: "
    )
    assert [node.id for node in caught.value.blueprint.nodes] == ["0", "1"]


def test_sizes_that_fit_are_tried_and_at_most_two_are_named() -> None:
    """Pooled to 6x6, from 224 to 239 all go through: those people use are named."""
    network = nn.Sequential(nn.MaxPool2d(32, 32), nn.Flatten(), nn.Linear(3 * 7 * 7, 2))
    with pytest.raises(PassError) as caught:
        record(network, (1, 3, 256, 256))
    told = re.search(r"an input of (\d+)x\d+(?: or (\d+)x\d+)? gives 147;", str(caught.value))
    assert told is not None
    assert told.groups() == ("224", "227")
    for size in (224, 227):
        assert record(network, (1, 3, size, size)).output_shapes == ((1, 2),)
