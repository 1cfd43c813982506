"""Activations taken back to the pixels: by hand, by the paper's steps, for any way of writing a network.

Over 600 lines: the paper's steps are written out a second time, as the oracle of all of it.
"""

from __future__ import annotations

import dataclasses
import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.testing import assert_array_equal
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from sightline.base import ArgumentError, DataError
from sightline.blueprint import record
from sightline.data import ImageSet, open_images
from sightline.training import train
from sightline.views import (
    Request,
    Strongest,
    Subject,
    View,
    deconvnet,
    deconvnet_of_set,
    open_subject,
    project,
    strongest,
    view,
)
from sightline.views._layers import find_layer
from sightline.views._pass import up_to
from sightline.views._project import by_gradient
from sightline.views._strongest import pictures_of
from sightline.views._window import Windows, layers_through
from small_networks import Does, conv, seq
from toy_runs import one_phase


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def fresh(make: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make().eval()


# ---------------------------------------------------------------------- by hand, on 4x4

IMAGE = torch.tensor([[1.0, 0, 2, 0], [0, 3, 0, 1], [1, 0, 0, 2], [0, 1, 4, 0]])[None, None]


def by_hand(second: tuple[float, float]) -> nn.Sequential:
    """x[i,j] - x[i,j+1] + 2 x[i+1,j] gives [[1, 4, 2], [-1, 3, -1], [1, 2, 6]]; rectified and pooled by 2x2
    windows a step apart, [[4, 4], [3, 6]], whose maxima lie at (0,1), (0,1), (1,1) and (2,2)."""
    network = seq(
        nn.Conv2d(1, 1, 2, bias=False), nn.ReLU(), nn.MaxPool2d(2, 1), nn.Conv2d(1, 1, (1, 2), bias=False)
    )
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[[[1.0, -1], [2, 0]]]]))
        network[3].weight.copy_(torch.tensor([[[list(second)]]]))
    return network.eval()


def test_one_convolution_by_hand() -> None:
    """4 at (0,1) of the first layer, through the filter: 4, -4 and 8 below."""
    back = project(by_hand((1, 1)), IMAGE, "0", [(0, 0, 1)])
    assert back.values.tolist() == [4]
    assert back.pixels[0, 0].tolist() == [[0, 4, -4, 0], [0, 8, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_switches_that_two_windows_share_add_up_by_hand() -> None:
    """4 + 4 = 8 comes back as 8 for each window, and both have their maximum at (0,1): 16 there."""
    back = project(by_hand((1, 1)), IMAGE, "3", [(0, 0, 0), (0, 1, 0)])
    assert back.values.tolist() == [8, 9]
    assert back.pixels[0, 0].tolist() == [[0, 16, -16, 0], [0, 32, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    # 3 + 6 = 9: at (1,1) and (2,2)
    assert back.pixels[1, 0].tolist() == [[0, 0, 0, 0], [0, 9, -9, 0], [0, 18, 9, -9], [0, 0, 18, 0]]


def test_the_signal_is_rectified_by_hand() -> None:
    """-3 + 6 = 3: the window at (1,1) is sent -3, which the ReLU stops; the one at (2,2) is sent 3."""
    back = project(by_hand((-1, 1)), IMAGE, "3", [(0, 1, 0)])
    assert back.values.tolist() == [3]
    assert back.pixels[0, 0].tolist() == [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 3, -3], [0, 0, 6, 0]]


def test_what_does_not_fire_comes_back_as_nothing() -> None:
    back = project(by_hand((-1, 1)), IMAGE, "3", [(0, 0, 0)])
    assert back.values.tolist() == [0]
    assert not back.pixels.any()
    back = project(by_hand((-1, 0)), IMAGE, "3", [(0, 0, 0)])
    assert back.values.tolist() == [-4]
    assert not back.pixels.any()


# ---------------------------------------------------------------------- the paper's own steps


def paper(layers: nn.Sequential, x: Tensor, unit: tuple[int, ...]) -> Tensor:
    """Unpool by switches, rectify, filter: layer by layer, with no gradient at all."""
    given: list[Tensor] = []
    switches: list[Tensor | None] = []
    for layer in layers:
        given.append(x)
        found = None
        if isinstance(layer, nn.MaxPool2d):
            x, found = F.max_pool2d(
                x, layer.kernel_size, layer.stride, layer.padding,
                ceil_mode=layer.ceil_mode, return_indices=True,
            )  # fmt: skip
        else:
            x = layer(x)
        switches.append(found)
    signal = torch.zeros_like(x)
    signal[(0, *unit)] = x[(0, *unit)]
    for layer, before, switch in reversed(list(zip(layers, given, switches, strict=True))):
        if isinstance(layer, nn.MaxPool2d):
            assert switch is not None
            if layer.kernel_size == layer.stride:
                signal = nn.MaxUnpool2d(layer.kernel_size, layer.stride)(
                    signal, switch, output_size=before.shape
                )
            else:  # windows overlap: MaxUnpool2d would overwrite
                flat = torch.zeros_like(before).flatten(2)
                flat.scatter_add_(2, switch.flatten(2), signal.flatten(2))
                signal = flat.view_as(before)
        elif isinstance(layer, nn.ReLU):
            signal = F.relu(signal)
        elif isinstance(layer, nn.Conv2d):
            reached = [
                (n - 1) * s - 2 * p + d * (k - 1) + 1
                for n, s, p, d, k in zip(
                    signal.shape[2:],
                    layer.stride,
                    layer.padding,
                    layer.dilation,
                    layer.kernel_size,
                    strict=True,
                )  # type: ignore[arg-type]
            ]
            signal = F.conv_transpose2d(
                signal, layer.weight, None, layer.stride, layer.padding,  # type: ignore[arg-type]
                [want - got for want, got in zip(before.shape[2:], reached, strict=True)],
                layer.groups, layer.dilation,
            )  # fmt: skip
        else:  # contrast normalisation is passed through
            assert isinstance(layer, nn.LocalResponseNorm)
    return signal


STACKS: dict[str, Callable[[], nn.Sequential]] = {
    "plain": lambda: seq(conv(3, 4), nn.ReLU(), nn.MaxPool2d(2), conv(4, 5), nn.ReLU(), nn.MaxPool2d(2)),
    "strided, grouped, dilated": lambda: seq(
        conv(3, 4, stride=2), nn.ReLU(), nn.MaxPool2d(2), conv(4, 6, groups=2), nn.ReLU(),
        conv(6, 4, dilation=2, padding=2), nn.ReLU()),
    "overlapping, ceiled, normalised": lambda: seq(
        nn.Conv2d(3, 6, 5, stride=2, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.LocalResponseNorm(5, alpha=1.0), conv(6, 8), nn.ReLU(),
        nn.MaxPool2d(3, 2), conv(8, 16), nn.ReLU()),
}  # fmt: skip


@pytest.mark.parametrize("name", STACKS)
def test_it_equals_the_steps_of_the_paper(name: str) -> None:
    network = fresh(STACKS[name]).double()
    assert isinstance(network, nn.Sequential)
    x = noise(1, 3, 22, 19).double()
    last = str(len(network) - 1)
    with torch.no_grad():
        output = network(x)
        maps, _, width = output.shape[1:]
        places = [(c, *divmod(int(output[0, c].argmax()), width)) for c in range(maps)]
        back = project(network, x, last, places)
        assert (back.values > 0).sum() >= 2
        assert back.pixels.flatten(1).any(1).tolist() == (back.values > 0).tolist()
        for k, place in enumerate(places):
            torch.testing.assert_close(
                back.pixels[k : k + 1], paper(network, x, place), rtol=1e-12, atol=1e-12
            )


def test_of_several_images_each_comes_back_by_itself() -> None:
    network = fresh(STACKS["plain"]).double()
    x = noise(3, 3, 16, 16).double()
    units = [(0, 1, 2), (4, 3, 3), (2, 0, 1)]
    together = project(network, x, "5", units)
    for k, unit in enumerate(units):
        alone = project(network, x[k : k + 1], "5", [unit])
        torch.testing.assert_close(together.pixels[k], alone.pixels[0], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(together.values[k], alone.values[0], rtol=1e-12, atol=1e-12)


def linear_graph(m: Any, x: Tensor) -> Tensor:
    y = m.norm(m.first(x))
    y = torch.cat([y, m.second(y) + y], 1)
    y = F.avg_pool2d(F.dropout(y, training=m.training), 2)
    return m.head(F.interpolate(y, scale_factor=2.0).mean((2, 3)))


def test_of_a_linear_network_it_is_the_transpose() -> None:
    """Residual, concatenation, batch norm, average pooling, stride, linear layer: value x matrix."""
    network = fresh(
        lambda: Does(
            linear_graph, first=conv(2, 4, stride=2), norm=nn.BatchNorm2d(4),
            second=conv(4, 4, groups=2), head=nn.Linear(8, 5),
        )
    ).double()  # fmt: skip
    with torch.no_grad():
        network.norm.running_mean.copy_(noise(4))  # type: ignore[operator,union-attr]
        network.norm.running_var.copy_(noise(4, seed=1).square() + 0.5)  # type: ignore[operator,union-attr]
        network.norm.weight.copy_(noise(4, seed=2))  # type: ignore[operator,union-attr]
    x = noise(1, 2, 9, 8, seed=3).double()
    with torch.no_grad():
        origin = network(torch.zeros_like(x))[0]
        basis = torch.eye(x.numel(), dtype=x.dtype).view(-1, *x.shape[1:])
        matrix = network(basis) - origin  # (pixels, outputs): the network applied to each pixel alone
        values = network(x)[0]
    back = project(network, x, "head", [(k,) for k in range(5)])
    assert (values > 0).any()
    assert (values < 0).any()
    for k in range(5):
        expected = values[k].clamp_min(0) * matrix[:, k].view(x.shape[1:])
        torch.testing.assert_close(back.pixels[k], expected, rtol=1e-10, atol=1e-12)


# ---------------------------------------------------------------------- rules


def through(middle: Callable[[Any, Tensor], Tensor], **layers: nn.Module) -> tuple[Tensor, Tensor, Tensor]:
    """What comes back through something between two 1x1 convolutions, the signal sent, the first filters."""
    made = fresh(
        lambda: Does(lambda m, x: m.b(middle(m, m.a(x))), a=conv(2, 4, 1), b=conv(4, 2, 1), **layers)
    ).double()
    x = noise(1, 2, 3, 3).double()
    with torch.no_grad():
        value = float(made(x)[0, 1].max())
        place = divmod(int(made(x)[0, 1].argmax()), 3)
    assert value > 0
    back = project(made, x, "b", [(1, *place)])
    sent = torch.zeros(1, 4, 3, 3, dtype=x.dtype)
    sent[0, :, place[0], place[1]] = value * made.b.weight[1, :, 0, 0].detach()  # type: ignore[index,union-attr]
    return back.pixels, sent, made.a.weight.detach()  # type: ignore[return-value,union-attr]


RECTIFIED: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu, "leaky_relu": F.leaky_relu, "gelu": F.gelu, "silu": F.silu, "elu": F.elu,
    "relu6": F.relu6, "clamp": lambda x: x.clamp(min=0), "clamp by position": lambda x: torch.clamp(x, 0),
    "softplus": F.softplus, "hardswish": F.hardswish, "prelu": lambda x: F.prelu(x, x.new_full((1,), 0.2)),
}  # fmt: skip


@pytest.mark.parametrize("name", RECTIFIED)
def test_functions_that_rectify_rectify_the_signal(name: str) -> None:
    got, sent, weight = through(lambda m, y: RECTIFIED[name](y))
    torch.testing.assert_close(got, F.conv_transpose2d(sent.clamp_min(0), weight))
    assert (sent < 0).any()


PASSED: dict[str, tuple[Callable[[Any, Tensor], Tensor], dict[str, nn.Module]]] = {
    "local response": (lambda m, y: F.local_response_norm(y, 3, alpha=2.0), {}),
    "group norm": (lambda m, y: m.n(y), {"n": nn.GroupNorm(2, 4)}),
    "batch norm by the batch": (lambda m, y: m.n(y), {"n": nn.BatchNorm2d(4, track_running_stats=False)}),
    "F.batch_norm": (lambda m, y: F.batch_norm(y, None, None, training=True), {}),
    "tanh": (lambda m, y: torch.tanh(y), {}),
    "sigmoid": (lambda m, y: y.sigmoid(), {}),
    "hard tanh in place": (lambda m, y: m.n(y), {"n": nn.Hardtanh(inplace=True)}),
}


@pytest.mark.parametrize("name", PASSED)
def test_contrast_normalisation_and_saturation_let_the_signal_through(name: str) -> None:
    middle, layers = PASSED[name]
    got, sent, weight = through(middle, **layers)
    torch.testing.assert_close(got, F.conv_transpose2d(sent, weight))


def test_a_gate_is_held_as_it_was() -> None:
    gates: list[Tensor] = []

    def middle(m: Any, y: Tensor) -> Tensor:
        gate = y.mean((2, 3), keepdim=True).sigmoid()
        gates.append(gate.detach())
        return y * gate

    got, sent, weight = through(middle)
    torch.testing.assert_close(got, F.conv_transpose2d(sent * gates[0], weight))


def test_a_clamp_that_does_not_rectify_goes_by_its_gradient() -> None:
    got, sent, weight = through(lambda m, y: y.clamp(min=-100.0))
    torch.testing.assert_close(got, F.conv_transpose2d(sent, weight))


def test_a_layer_of_another_kind_may_be_called_as_a_rule() -> None:
    """`relu` is a convolution, and `mul` a tanh: they go by their own kinds."""
    one = conv(4, 4, 1)
    made = through(lambda m, y: m.mul(m.relu(y)), relu=one, mul=nn.Tanh())
    plain = through(lambda m, y: m.tanh(m.own(y)), own=one, tanh=nn.Tanh())
    assert_array_equal(made[0], plain[0])


def test_what_is_no_number_is_said_and_not_drawn() -> None:
    network = fresh(lambda: seq(conv(1, 2), nn.ReLU()))
    with torch.no_grad():
        network[0].weight[0] = torch.nan  # type: ignore[index]
    subject = Subject.of(network, (1, 8, 8))
    with pytest.raises(DataError, match="1: its activation, or what comes back of it, is not finite"):
        deconvnet(subject, subject.picture("digit:0"), layer="1")


def test_what_has_no_rule_is_told() -> None:
    network = Does(lambda m, x: m.b(torch.softmax(m.a(x), 1).abs() * 2), a=conv(), b=conv())
    blueprint = record(network, (1, 3, 8, 8))
    assert by_gradient(blueprint, "b") == ["softmax", "abs"]
    assert by_gradient(blueprint, "a") == []
    network = Does(lambda m, x: m.b(m.a(x) * m.a(x)), a=conv(), b=conv())
    assert by_gradient(record(network, (1, 3, 8, 8)), "b") == ["mul"]


# ---------------------------------------------------------------------- any way of writing it


def layers() -> dict[str, nn.Module]:
    return {"a": conv(3, 6), "b": conv(6, 6), "c": conv(6, 4)}


def discarded(m: Any, x: Tensor) -> Tensor:
    y = m.a(x)
    F.relu_(y)
    y = F.max_pool2d(y, 2)
    z = m.b(y)
    torch.relu_(z)
    z = z + y
    return m.c(z.relu_())


WRITTEN: dict[str, Callable[[], nn.Module]] = {
    "modules": lambda: Does(
        lambda m, x: m.c(m.r3(m.r2(m.b(y := m.pool(m.r1(m.a(x))))) + y)), **layers(),
        r1=nn.ReLU(), r2=nn.ReLU(), r3=nn.ReLU(), pool=nn.MaxPool2d(2)),
    "functions": lambda: Does(
        lambda m, x: m.c(F.relu(F.relu(m.b(y := F.max_pool2d(F.relu(m.a(x)), 2))) + y)), **layers()),
    "torch.relu": lambda: Does(
        lambda m, x: m.c((torch.relu(m.b(y := torch.max_pool2d(torch.relu(m.a(x)), 2))) + y).relu()),
        **layers()),
    "in place": lambda: Does(
        lambda m, x: m.c(m.r(m.r(m.b(y := m.pool(m.r(m.a(x))))) + y)), **layers(),
        r=nn.ReLU(inplace=True), pool=nn.MaxPool2d(2)),
    "reused": lambda: Does(
        lambda m, x: m.c(m.r(m.r(m.b(y := m.pool(m.r(m.a(x))))) + y)), **layers(),
        r=nn.ReLU(), pool=nn.MaxPool2d(2)),
    "in place, result thrown away": lambda: Does(discarded, **layers()),
    "+= into a rectified tensor": lambda: Does(
        lambda m, x: (lambda y: m.c(F.relu(F.relu(m.b(y)).add_(y), inplace=True)))(
            F.max_pool2d(F.relu(m.a(x), True), 2)), **layers()),
    "clamp": lambda: Does(
        lambda m, x: m.c((m.b(y := F.max_pool2d(m.a(x).clamp_(min=0), 2)).clamp_min(0) + y).clamp(0)),
        **layers()),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITTEN)
def test_however_it_is_written_it_is_the_same(name: str) -> None:
    x, units = noise(1, 3, 12, 12), [(0, 2, 3), (3, 5, 1), (2, 0, 0)]
    expected = project(fresh(WRITTEN["modules"]), x, "c", units)
    got = project(fresh(WRITTEN[name]), x, "c", units)
    assert_array_equal(got.values, expected.values)
    assert_array_equal(got.pixels, expected.pixels)
    assert expected.pixels.flatten(1).any(1).tolist() == (expected.values > 0).tolist()
    assert expected.pixels.any()


def test_a_relu_in_place_on_the_image_itself_works_and_leaves_it() -> None:
    network = fresh(lambda: seq(nn.ReLU(inplace=True), conv(1, 2)))
    x = noise(1, 1, 6, 6)
    before = x.clone()
    got = project(network, x, "1", [(0, 2, 2), (1, 3, 3)])
    expected = project(fresh(lambda: seq(nn.ReLU(), conv(1, 2))), x, "1", [(0, 2, 2), (1, 3, 3)])
    assert_array_equal(x, before)
    assert_array_equal(got.pixels, expected.pixels)


def test_what_cannot_be_gone_through_backward_is_said() -> None:
    def spoilt(m: Any, x: Tensor) -> Tensor:
        y = m.a(x).exp()
        z = y * 2
        y.zero_()  # exp needs its result on the way back
        return m.b(z)

    network = Does(spoilt, a=conv(), b=conv())
    with pytest.raises(ArgumentError, match=r"b cannot be taken back to the pixels: .*inplace"):
        project(network.eval(), noise(1, 3, 6, 6), "b", [(0, 1, 1)])


def state(network: nn.Module) -> dict[str, Any]:
    return {
        "tensors": {k: v.clone() for k, v in network.state_dict().items()},
        "modes": [m.training for m in network.modules()],
        "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in network.modules()],
        "asks": [p.requires_grad for p in network.parameters()],
        "grads": [p.grad for p in network.parameters()],
        "attributes": [sorted(m.__dict__) for m in network.modules()],
    }


def test_the_network_is_left_as_it_was(digits40: ImageSet) -> None:
    network = fresh(
        lambda: seq(conv(1, 4), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(), conv(4, 3), nn.ReLU())
    )
    network.train()
    network[4].eval()  # type: ignore[index]
    network[0].weight.requires_grad_(False)  # type: ignore[index,union-attr]
    before = state(network)
    subject = Subject.of(network, (1, 8, 8))
    view("deconvnet", subject, Request(image="digit:3"))
    deconvnet_of_set(subject, digits40)
    with pytest.raises(ArgumentError):
        project(network, noise(1, 1, 8, 8), "9", [(0, 0, 0)])
    with pytest.raises(ArgumentError, match=r"unit \(3, 0, 0\) is outside the output of 5, \(3, 8, 8\)"):
        project(network, noise(1, 1, 8, 8), "5", [(3, 0, 0)])
    after = state(network)
    for name, tensor in before.pop("tensors").items():
        assert_array_equal(after["tensors"][name], tensor)
    after.pop("tensors")
    assert after == before
    assert after["grads"] == [None] * len(after["grads"])


# ---------------------------------------------------------------------- windows

BRANCHED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "stack": (lambda: seq(conv(1, 2), nn.AvgPool2d(2), conv(2, 2, stride=2), conv(2, 2)), "3"),
    "branches": (
        lambda: Does(lambda m, x: torch.cat([m.a(x), m.b(x)], 1), a=conv(1, 1, 1), b=conv(1, 1, 5)), ":cat"),
    "dilated": (lambda: seq(conv(1, 2, dilation=3, padding=3), conv(2, 2, 1)), "1"),
    "unpadded": (lambda: seq(nn.Conv2d(1, 2, 4, stride=3), nn.Conv2d(2, 2, 2)), "1"),
    "even": (lambda: seq(nn.Conv2d(1, 2, 2), nn.AvgPool2d(2), nn.Conv2d(2, 2, 2)), "2"),
    "made larger": (lambda: seq(conv(1, 2), nn.Upsample(scale_factor=2), conv(2, 2)), "2"),
    "resized": (lambda: seq(nn.Upsample(size=(14, 11)), conv(1, 2)), "1"),
}  # fmt: skip


@pytest.mark.parametrize("name", BRANCHED)
def test_a_window_is_where_a_change_is_felt(name: str) -> None:
    """Each pixel is changed in turn, in a network of positive weights: a unit's window is the box about those
    that move it, and as large as that of a unit in the middle."""
    make, last = BRANCHED[name]
    network = fresh(make).double()
    for parameter in network.parameters():
        parameter.data = parameter.data.abs() + 0.1
    height, width = 20, 17
    blueprint = record(network, (1, 1, height, width))
    node = find_layer(blueprint, last)
    one_each = torch.eye(height * width, dtype=torch.float64).view(-1, 1, height, width)
    with torch.no_grad():
        felt = (network(one_each) - network(torch.zeros_like(one_each[:1]))).abs() > 1e-12
    windows = Windows(blueprint)
    _, channels, rows, columns = node.output_shapes[0]
    for unit in range(channels):
        sizes = set()
        for at in [(0, 0), (rows // 2, columns // 2), (rows - 1, 0), (rows // 2, columns - 1)]:
            found = windows.of(node, unit, at)
            mask = felt[:, unit, at[0], at[1]].view(height, width).numpy()
            assert_array_equal(found.mask, mask)
            assert found.exact
            there = np.argwhere(mask)
            box = (*there.min(0), *(there.max(0) + 1))
            assert found.box == box
            sizes.add((found.height, found.width))
        if name not in ("made larger", "resized"):  # where neighbours see as much as each other
            middle = felt[:, unit, rows // 2, columns // 2].view(height, width).nonzero()
            assert sizes == {tuple((middle.max(0).values - middle.min(0).values + 1).tolist())}


def test_a_field_larger_than_the_image_is_the_whole_image() -> None:
    network = seq(conv(1, 1, 9), conv(1, 1, 9), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 3))
    blueprint = record(network, (1, 1, 12, 20))
    windows = Windows(blueprint)
    found = windows.of(find_layer(blueprint, "1"), 0, (0, 10))
    assert (found.top, found.height) == (0, 12)
    assert (found.left, found.width) == (2, 17)
    assert windows.of(find_layer(blueprint, "4"), 2, (0, 0)).box == (0, 0, 12, 20)


# ---------------------------------------------------------------------- the strongest images of a set


@pytest.fixture
def digits40() -> ImageSet:
    return open_images("digits").subset(np.arange(40))


def small(seed: int = 0, passes: list[int] | None = None) -> Subject:
    """Two convolutions on digits, the second's unit 2 dead; `passes` counts images run."""

    def forward(m: Any, x: Tensor) -> Tensor:
        if passes is not None and not x.is_meta:
            passes.append(len(x))
        return m.head(m.b(F.max_pool2d(F.relu(m.a(x)), 2)).relu().flatten(1))

    network = fresh(lambda: Does(forward, a=conv(1, 6), b=conv(6, 4), head=nn.Linear(64, 10)), seed)
    with torch.no_grad():
        network.b.bias[2] = -100.0  # type: ignore[index,union-attr]
        network.b.bias[0] = 0.3  # type: ignore[index,union-attr]
    return Subject.of(network, (1, 8, 8), name="small")


def brute(subject: Subject, images: ImageSet, layer: str) -> Strongest:
    """All activations of all images at once, sorted."""
    assert images.pixels is not None
    with torch.no_grad():
        x = torch.from_numpy(images.pixels).float() / 255
        n: Any = subject.network
        y = n.a(x).relu()
        if layer != ":relu":
            y = n.b(F.max_pool2d(y, 2)).relu()
    maps = y.numpy()
    values, images_, places = [], [], []
    for unit in range(maps.shape[1]):
        best = maps[:, unit].reshape(len(maps), -1)
        first = np.lexsort((np.arange(len(best)), -best.max(1)))[:9]
        images_.append(first)
        values.append(best.max(1)[first])
        places.append([divmod(int(best[i].argmax()), maps.shape[3]) for i in first])
    return Strongest(np.array(values), np.array(images_), np.array(places))


@pytest.mark.parametrize("layer", [":relu", ":relu#2"])
def test_the_strongest_are_those_of_brute_force(layer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sightline.views._strongest._BATCH_BYTES", 0)  # one image at a time
    images, subject = open_images("digits").subset(np.arange(100)), small()
    for patched in (True, False):
        if not patched:
            monkeypatch.undo()  # batches of 64
        node = find_layer(subject.blueprint, layer)
        found = strongest(subject, images, [node], cache=False)[layer]
        expected = brute(subject, images, layer)
        np.testing.assert_allclose(found.values, expected.values, rtol=1e-5, atol=1e-6)
        assert_array_equal(found.images, expected.images)
        assert_array_equal(found.places, expected.places)
    if layer == ":relu#2":  # of a dead unit all are equal, and the first come first
        assert found.images[2].tolist() == list(range(9))
        assert not found.values[2].any()


def test_several_layers_are_searched_in_one_pass(digits40: ImageSet) -> None:
    passes: list[int] = []
    subject = small(passes=passes)
    nodes = [find_layer(subject.blueprint, name) for name in ("head", ":relu", "b")]
    passes.clear()
    found = strongest(subject, digits40, nodes, cache=False)
    assert sum(passes) == 40
    assert [found[n.id].values.shape for n in nodes] == [(10, 9), (6, 9), (4, 9)]
    alone = strongest(subject, digits40, nodes[1:2], cache=False)[":relu"]
    assert_array_equal(alone.values, found[":relu"].values)


def test_a_layer_may_be_called_as_its_kind_is(digits40: ImageSet) -> None:
    """The last layer's name, `relu`, is also the kind of one before it."""
    network = fresh(
        lambda: Does(
            lambda m, x: m.tanh(m.b(m.relu(m.a(m.act(x))))), a=conv(1, 3), b=conv(3, 2), act=nn.ReLU(),
            relu=nn.ReLU(), tanh=nn.Tanh(),
        )
    )  # fmt: skip
    subject = Subject.of(network, (1, 8, 8))
    assert digits40.pixels is not None
    with torch.no_grad():
        x = torch.from_numpy(digits40.pixels).float() / 255
        n: Any = network
        maps = n.a(x).relu()
    nodes = [find_layer(subject.blueprint, name) for name in ("relu", "tanh")]
    found = strongest(subject, digits40, nodes, cache=False)
    for unit in range(3):
        best = maps[:, unit].amax((1, 2)).sort(descending=True).values[:9]
        np.testing.assert_allclose(found["relu"].values[unit], best, rtol=1e-5)
    back = project(network, x[:1], "relu", [(1, 3, 3)])
    assert float(back.values) == pytest.approx(float(maps[0, 1, 3, 3]), rel=1e-5)
    assert strongest(subject, digits40, nodes[:1], cache=False)["relu"].values.shape == (3, 9)


def test_fewer_images_than_nine() -> None:
    images = open_images("digits").subset(np.arange(4))
    subject = small()
    found = strongest(subject, images, [find_layer(subject.blueprint, "b")], cache=False)["b"]
    assert found.values.shape == (4, 4)
    made = deconvnet_of_set(subject, images, layer=":relu#2", unit=0)
    assert len(made.figures["layers"][0]["units"][0]["strongest"]) == 4


def test_the_index_is_remembered_until_a_weight_or_an_image_changes(
    digits40: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTLINE_CACHE", str(tmp_path))
    passes: list[int] = []
    subject = small(passes=passes)
    subject.blueprint  # noqa: B018  -- recorded before passes are counted

    def runs(images: ImageSet, layer: str = ":relu#2") -> tuple[int, Strongest]:
        passes.clear()
        node = find_layer(subject.blueprint, layer)
        return (strongest(subject, images, [node])[layer], sum(passes))[::-1]  # type: ignore[return-value]

    count, first = runs(digits40)
    assert count == 40
    count, again = runs(digits40)
    assert count == 0
    assert_array_equal(again.values, first.values)
    assert_array_equal(again.images, first.images)
    assert_array_equal(again.places, first.places)
    assert runs(digits40, ":relu")[0] == 40  # another layer
    assert runs(digits40.subset(np.arange(39)))[0] == 39  # another set
    with torch.no_grad():
        subject.network.b.weight[0, 0, 0, 0] += 1e-3  # type: ignore[index,union-attr]
    count, changed = runs(digits40)
    assert count == 40
    assert not np.array_equal(changed.values, first.values)
    assert runs(digits40)[0] == 0
    pixels = digits40.pixels
    assert pixels is not None
    other = dataclasses.replace(
        digits40, pixels=255 - pixels, digests=tuple(f"{i:032x}" for i in range(len(digits40)))
    )
    assert runs(other)[0] == 40
    for path in (tmp_path / "views").iterdir():
        path.write_bytes(path.read_bytes()[:100])  # a disk that lost something
    assert runs(digits40)[0] == 40


def test_a_weight_that_is_no_number_is_said(digits40: ImageSet) -> None:
    subject = small()
    with torch.no_grad():
        subject.network.a.weight[0, 0, 0, 0] = torch.nan  # type: ignore[index,union-attr]
    with pytest.raises(DataError, match=r"a gives values that are no numbers"):
        strongest(subject, digits40, [find_layer(subject.blueprint, "a")], cache=False)


# ---------------------------------------------------------------------- views


def test_the_nine_projections_are_those_of_each_image_alone(digits40: ImageSet) -> None:
    subject = small()
    made = deconvnet_of_set(subject, digits40, layer=":relu#2", unit=0)
    found = brute(subject, digits40, ":relu#2")
    told = made.figures["layers"][0]["units"][0]["strongest"]
    assert [t["image"] for t in told] == [digits40.names[i] for i in found.images[0]]
    assert [tuple(t["at"]) for t in told] == [tuple(p) for p in found.places[0].tolist()]
    assert digits40.pixels is not None
    for k, image in enumerate(found.images[0]):
        x = torch.from_numpy(digits40.pixels[image : image + 1]).float() / 255
        row, column = found.places[0, k].tolist()
        alone = project(subject.network, x, ":relu#2", [(0, row, column)])
        np.testing.assert_allclose(made.arrays[":relu#2.0.projections"][k], alone.pixels[0], atol=1e-6)
    assert made.title == "Deconvnet of :relu#2, unit 0, small, over digits"
    assert made.columns == 2
    assert len(made.panels) == 2


def test_a_feature_while_it_learned(tmp_path: Path, digits40: ImageSet) -> None:
    """At each snapshot, the strongest activation of that epoch's own network; nothing of a unit that died."""
    run, layer = tmp_path / "run", "features.3"
    train("digits", model="lenet5", recipe=one_phase(2, snapshot_every=1), output=str(run))
    then = open_subject(str(run / "snapshots" / "epoch-1.safetensors"))
    index = strongest(then, digits40, [find_layer(then.blueprint, layer)], cache=False)[layer]
    unit = int(index.order()[0])
    dead = run / "snapshots" / "epoch-2.safetensors"
    with safe_open(dead, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  -- no mapping
        about = file.metadata()
    tensors[f"{layer}.bias"][unit] = -1e3
    save_file(tensors, dead, about)
    made = deconvnet_of_set(open_subject(str(run)), digits40, layer=layer, unit=unit)
    epochs = made.figures["layers"][0]["epochs"]
    assert [e["epoch"] for e in epochs] == ["epoch 1", "epoch 2"]
    assert epochs[0]["value"] == pytest.approx(float(index.values[unit, 0]), rel=1e-5)
    assert epochs[0]["image"] == digits40.names[int(index.images[unit, 0])]
    x = pictures_of(then, digits40, index.images[unit, :1])[0].x
    expected = project(then.network, x, layer, [(unit, *index.places[unit, 0].tolist())]).pixels[0]
    found = made.arrays[f"{layer}.{unit}.epochs.projections"]
    np.testing.assert_allclose(found[0], expected, atol=1e-6)
    assert (epochs[1]["image"], epochs[1]["value"] < -900, found[1].any()) == (None, True, False)
    assert made.panels[-1].title == f"unit {unit} of {layer} while it learned"
    assert "while it learned" in made.notes[-1]
    kept = deconvnet_of_set(then, digits40, layer=layer, unit=unit)  # beside a snapshot lie no snapshots
    assert "epochs" not in kept.figures["layers"][0]


def test_a_folder_of_images_alone_is_a_set(tmp_path: Path) -> None:
    pixels = open_images("digits").pixels
    assert pixels is not None
    for k in range(12):
        Image.fromarray(pixels[k, 0]).save(tmp_path / f"{k:02d}.png")
    made = view("deconvnet", small(), Request(image=str(tmp_path), layer=":relu#2", unit=0))
    first = open_images("digits").subset(np.arange(12))
    expected = deconvnet_of_set(small(), first, layer=":relu#2", unit=0)
    for name in ("values", "images", "places"):
        assert_array_equal(made.arrays[f":relu#2.0.{name}"], expected.arrays[f":relu#2.0.{name}"])


def test_a_patch_is_the_image_in_the_window(digits40: ImageSet) -> None:
    """Of the first layer, 3x3 pixels about the unit; beyond the image, flat grey."""
    subject = small()
    made = deconvnet_of_set(subject, digits40, layer=":relu", unit=1)
    patches = made.panels[1].pixels  # 3x3 of 3x3, each pixel of these 52x52, with a line of 4 between
    found = brute(subject, digits40, ":relu")
    assert digits40.pixels is not None
    assert patches.shape == (476, 476, 3)
    for k, (image, (row, column)) in enumerate(zip(found.images[1], found.places[1].tolist(), strict=True)):
        framed = np.pad(digits40.pixels[image, 0], 1, constant_values=200)
        top, left = k // 3 * 160, k % 3 * 160
        patch = patches[top : top + 156 : 52, left : left + 156 : 52, 0]
        assert_array_equal(patch, framed[row : row + 3, column : column + 3])


def test_one_activation_of_one_image() -> None:
    subject = small()
    picture = subject.picture("digit:5")
    made = deconvnet(subject, picture, layer=":relu#2", unit=0)
    with torch.no_grad():
        n: Any = subject.network
        maps = n.b(F.max_pool2d(n.a(picture.x).relu(), 2)).relu()[0, 0]
    (told,) = made.figures["layers"][0]["units"][0]["strongest"]
    assert told["value"] == pytest.approx(float(maps.max()), rel=1e-5)
    assert maps[tuple(told["at"])] == maps.max()
    elsewhere = deconvnet(subject, picture, layer=":relu#2", unit=0, at=(3, 1))
    (other,) = elsewhere.figures["layers"][0]["units"][0]["strongest"]
    assert other["value"] == pytest.approx(float(maps[3, 1]), rel=1e-5)
    assert other["at"] == [3, 1]
    back = project(subject.network, picture.x, ":relu#2", [(0, 3, 1)])
    assert_array_equal(elsewhere.arrays[":relu#2.0.projection"], back.pixels[0])
    assert len(made.panels) == 2  # it sees all of the image
    assert len(deconvnet(subject, picture, layer="a", unit=0).panels) == 4
    assert made.panels[1].scale is not None
    assert made.panels[1].scale.low == -made.panels[1].scale.high


def test_units_are_the_strongest_where_none_is_said(digits40: ImageSet) -> None:
    subject = small()
    made = deconvnet(subject, subject.picture("digit:7"), layer=":relu", top=3)
    values = [u["strongest"][0]["value"] for u in made.figures["layers"][0]["units"]]
    with torch.no_grad():
        n: Any = subject.network
        maps = n.a(subject.picture("digit:7").x).relu()[0].flatten(1).amax(1)
    np.testing.assert_allclose(values, maps.sort(descending=True).values[:3], rtol=1e-5)
    made = deconvnet_of_set(subject, digits40, layer=":relu#2", top=2)
    order = np.argsort(-brute(subject, digits40, ":relu#2").values[:, 0])[:2]
    assert [u["unit"] for u in made.figures["layers"][0]["units"]] == order.tolist()
    assert [f.what for f in made.findings] == ["on these 40 images, 1 of 4 units of :relu#2 never fire"]


def test_without_a_layer_all_are_on_one_page(digits40: ImageSet, tmp_path: Path) -> None:
    subject = small()
    made = view("deconvnet", subject, Request(image="digits"))
    assert [layer["layer"] for layer in made.figures["layers"]] == [":relu", ":relu#2"]
    assert len(made.panels) == 8
    for ending in (".png", ".html", ".npz"):
        assert made.save(tmp_path / f"page{ending}").stat().st_size > 1000
    made = deconvnet(subject, subject.picture("digit:0"))
    assert [len(layer["units"]) for layer in made.figures["layers"]] == [4, 4]


def test_layers_through_a_deep_network_are_its_stages() -> None:
    subject = open_subject("resnet20")
    assert [n.id for n in layers_through(subject)] == [
        "relu", "layer1.2.relu#2", "layer2.2.relu#2", "layer3.2.relu#2",
    ]  # fmt: skip
    ends = {"vgg11": ("features.1", "features.19"), "vgg16": ("features.4", "features.30")}
    for name, (first, last) in ends.items():  # eight convolutions; five stages
        through = [n.id for n in layers_through(open_subject(name))]
        assert (through[0], through[-1], len(through)) == (first, last, 5)
    deep = Subject.of(fresh(lambda: seq(*[seq(conv(), nn.ReLU()) for _ in range(17)])), (3, 16, 16))
    assert [n.id for n in layers_through(deep)] == ["0.1", "4.1", "8.1", "12.1", "16.1"]


def test_a_layer_is_looked_at_where_it_is_rectified() -> None:
    network = seq(conv(), nn.BatchNorm2d(3), nn.ReLU(), conv(), nn.MaxPool2d(2), nn.GELU(), conv(), nn.Tanh())
    assert [n.id for n in layers_through(Subject.of(network, (3, 8, 8)))] == ["2", "5", "6"]


def test_nothing_of_a_pass_is_kept() -> None:
    """Memory would grow with the set until Python's collector comes by."""
    made: list[weakref.ref[Tensor]] = []

    def forward(m: Any, x: Tensor) -> Tensor:
        y = m.a(x)
        made.append(weakref.ref(y))
        return m.b(y)

    network = Does(forward, a=conv(), b=conv()).eval()
    enabled = gc.isenabled()
    gc.disable()
    try:
        project(network, noise(1, 3, 6, 6), "b", [(0, 1, 1)])
        with torch.no_grad():
            up_to(network, noise(1, 3, 6, 6), "b")
        assert [ref() for ref in made] == [None, None]
    finally:
        if enabled:
            gc.enable()


def flat(pixels: np.ndarray[Any, Any]) -> bool:
    return bool((pixels == pixels[0, 0]).all())


def test_a_unit_that_never_fires_is_a_finding_and_no_picture_of_noise(digits40: ImageSet) -> None:
    subject = small()
    made = deconvnet(subject, subject.picture("digit:1"), layer=":relu#2", unit=2)
    (finding,) = made.findings
    assert finding.level == "warning"
    assert "does not fire in digit:1: it is 0" in finding.what
    assert flat(made.panels[1].pixels)
    made = deconvnet_of_set(subject, digits40, layer=":relu#2", unit=2)
    (finding,) = made.findings
    assert "never fires on these 40 images: at most it is 0" in finding.what
    assert all(flat(panel.pixels) for panel in made.panels)
    assert "nothing to see" in made.panels[0].caption
    made = deconvnet_of_set(subject, digits40, layer="b", unit=2)
    assert "at most it is -9" in made.findings[0].what


def test_a_colour_projection_is_about_mid_grey(digits40: ImageSet) -> None:
    network = fresh(lambda: seq(conv(3, 4), nn.ReLU()))
    subject = Subject.of(network, (3, 8, 8))
    made = deconvnet(subject, subject.picture("flower"), layer="1")
    pixels = made.panels[0].pixels
    assert pixels.shape[2] == 3
    shown = made.arrays[f"1.{made.figures['layers'][0]['units'][0]['unit']}.projection"]
    low, high = shown.min(), shown.max()
    assert (pixels.min() < 127) == (low < 0)
    assert (pixels.max() > 128) == (high > 0)
    made = deconvnet_of_set(subject, digits40, layer="1", unit=0)  # grey images in a network of colours
    assert made.figures["images"] == 40


# ---------------------------------------------------------------------- bad input


def refused(subject: Subject, match: str, **chosen: Any) -> None:
    with pytest.raises(ArgumentError, match=match):
        view("deconvnet", subject, Request(**({"image": "digit:0"} | chosen)))


def test_bad_input_is_named() -> None:
    subject = small()
    refused(subject, r"--layer relu: .* no such layer; did you mean .*:relu", layer="relu")
    refused(subject, r"--unit 6: a has units 0 to 5", layer="a", unit=6)
    refused(subject, r"--at 8,0: the maps of a are 8x8: rows 0 to 7, columns 0 to 7", layer="a", at=(8, 0))
    refused(subject, r"--unit is of one layer; say which by --layer", unit=1)
    refused(subject, r"--at is of one layer; say which by --layer", at=(1, 1))
    refused(subject, r"--unit is of one layer; say which by --layer", image="digits", unit=1)
    refused(subject, r"--at is for one image", image="digits", layer="a", at=(1, 1))
    refused(subject, r"view deconvnet needs an image", image=None)
    refused(subject, r"--steps is not for view deconvnet", steps=3)
    refused(subject, r"IMAGE digit:x|digits are digit:0", image="digit:x")
    plain = Subject.of(seq(nn.Flatten(), nn.Linear(64, 3)), (1, 8, 8), name="plain")
    refused(plain, r"plain has no convolution to look at; its layers are flatten, linear")
    tokens = Subject.of(seq(conv(1, 2), nn.Flatten(2)), (1, 8, 8))
    refused(
        tokens, r"--layer 1: its output is \(1, 2, 64\), neither maps of an image nor a vector", layer="1"
    )


def test_it_is_a_view(digits40: ImageSet) -> None:
    made = deconvnet(small(), small().picture("digit:2"))
    assert isinstance(made, View)
    assert made.to_dict()["how"] == "deconvnet"
