"""What `check` finds: each finding on a network that has it, and none on its neighbour that has not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typer.testing import CliRunner

import sightline.blueprint
from conftest import MakeFolder
from sightline.base import ArgumentError, Finding
from sightline.blueprint import check_network
from sightline.cli import app
from sightline.inference import load_predictor, network_at
from sightline.records import ArchitectureReference, ModelHeader, save_model_file
from sightline.zoo import get_architecture, list_architectures
from small_networks import Build, Does, conv, found, seq


def up(kernel: int, stride: int, dilation: int = 1) -> nn.Module:
    return seq(conv(), nn.ReLU(), nn.ConvTranspose2d(3, 3, kernel, stride, dilation=dilation))


def tied() -> nn.Module:
    one = conv(bias=False)
    return seq(one, nn.ReLU(), one)


def shared_norm() -> nn.Module:
    norm = nn.BatchNorm2d(3)
    return seq(conv(bias=False), norm, nn.ReLU(), conv(bias=False), norm)


def frozen() -> nn.Module:
    network = seq(conv(), nn.ReLU(), conv())
    network[0].requires_grad_(False)
    return network


class CountsCalls(nn.Module):
    def __init__(self, *, always: bool, view: bool = False) -> None:
        super().__init__()
        self.always, self.view = always, view
        self.layer = conv()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        calls = self.calls.view(1, 1) if self.view else self.calls
        if self.always or self.training:
            calls += 1
        return self.layer(x * calls)  # type: ignore[no-any-return]


# what, level, where, words of it, a network that has it, one that has not, shape
STRUCTURE: list[tuple[str, str, str, str, Build, Build, tuple[int, ...]]] = [
    ("lost pixels", "warning", "Sequential, input 8x8", "rows 6-7 never reach the output",
     lambda: seq(conv(padding=0, stride=3), nn.ReLU(), conv()),
     lambda: seq(conv(kernel=2, padding=0, stride=2), nn.ReLU(), conv()), (1, 3, 8, 8)),
    ("bias before norm", "info", "0", "conv2d has a bias, and batch norm follows: 3 parameters",
     lambda: seq(conv(), nn.BatchNorm2d(3)), lambda: seq(conv(bias=False), nn.BatchNorm2d(3)), ()),
    ("bias before instance norm", "info", "0", "and instance norm follows: 3 parameters",
     lambda: seq(conv(), nn.InstanceNorm2d(3)), lambda: seq(conv(), nn.GroupNorm(1, 3)), ()),
    ("bias read elsewhere, too", "info", "a", "batch norm follows",
     lambda: Does(lambda m, x: m.n(m.a(x)), a=conv(), n=nn.BatchNorm2d(3)),
     lambda: Does(lambda m, x: (y := m.a(x)) + m.n(y), a=conv(), n=nn.BatchNorm2d(3)), ()),
    ("bias, and the map comes out, too", "info", "a", "batch norm follows",
     lambda: Does(lambda m, x: (m.n(m.a(x)), x), a=conv(), n=nn.BatchNorm2d(3)),
     lambda: Does(lambda m, x: (m.n(y := m.a(x)), y), a=conv(), n=nn.BatchNorm2d(3)), ()),
    ("bias of a linear layer", "info", "1", "linear has a bias, and batch norm follows: 5 parameters",
     lambda: seq(nn.Flatten(), nn.Linear(12, 5), nn.BatchNorm1d(5)),
     lambda: seq(nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.BatchNorm1d(5)), (1, 3, 2, 2)),
    ("linear in a row", "warning", "1", "nothing that is not linear lies between it and 0",
     lambda: seq(conv(3, 8), conv(8, 3)), lambda: seq(conv(3, 8), nn.ReLU(), conv(8, 3)), ()),
    ("linear behind linear steps", "warning", "4", "nothing that is not linear lies between it and 0",
     lambda: seq(conv(3, 8), nn.AvgPool2d(2), nn.Dropout(), nn.Flatten(), nn.Linear(512, 9)),
     lambda: seq(conv(3, 8), nn.MaxPool2d(2), nn.Dropout(), nn.Flatten(), nn.Linear(512, 9)), ()),
    ("linear, a separable convolution is none", "warning", "1", "nothing that is not linear lies between",
     lambda: seq(conv(8, 8), conv(8, 8, 1)), lambda: seq(conv(8, 8, groups=8), conv(8, 8, 1)), (1, 8, 4, 4)),
    ("linear, a low rank is none", "warning", "2", "nothing that is not linear lies between",
     lambda: seq(nn.Flatten(), nn.Linear(12, 9), nn.Linear(9, 8)),
     lambda: seq(nn.Flatten(), nn.Linear(12, 2), nn.Linear(2, 8)), (1, 3, 2, 2)),
    ("norm after norm", "warning", "2", "batch norm follows 1",
     lambda: seq(conv(bias=False), nn.BatchNorm2d(3), nn.BatchNorm2d(3)),
     lambda: seq(conv(bias=False), nn.BatchNorm2d(3), nn.ReLU(), nn.BatchNorm2d(3)), ()),
    ("dropout before batch norm", "warning", "1", "dropout before batch norm 2",
     lambda: seq(conv(), nn.Dropout(0.5), nn.BatchNorm2d(3)),
     lambda: seq(conv(), nn.Dropout(0.0), nn.BatchNorm2d(3)), ()),
    ("dropout before batch norm, a layer between", "warning", "1", "dropout before batch norm 3",
     lambda: seq(conv(), nn.Dropout(0.5), conv(bias=False), nn.BatchNorm2d(3)),
     lambda: seq(conv(), nn.BatchNorm2d(3), nn.Dropout(0.5), nn.ReLU(), conv(bias=False)), ()),
    ("relu after relu", "info", "3", "relu after 1, a relu",
     lambda: seq(conv(), nn.ReLU(), nn.MaxPool2d(2), nn.ReLU(), conv()),
     lambda: seq(conv(), nn.LeakyReLU(), nn.MaxPool2d(2), nn.ReLU(), conv()), ()),
    ("sigmoid after relu", "warning", "2", "sigmoid after 1, a relu",
     lambda: seq(conv(), nn.ReLU(), nn.Sigmoid(), conv()), lambda: seq(conv(), nn.Sigmoid(), conv()), ()),
    ("groups after groups", "info", "2", "groups=2 after groups=4 of 0",
     lambda: seq(conv(8, 8, groups=4), nn.ReLU(), conv(8, 8, groups=2)),
     lambda: seq(conv(8, 8, groups=4), nn.ReLU(), conv(8, 8, 1), nn.ReLU(), conv(8, 8, groups=2)),
     (1, 8, 4, 4)),
    ("groups, shuffled between", "info", "2", "groups=2 after groups=2 of 0",
     lambda: seq(conv(8, 8, groups=2), nn.ReLU(), conv(8, 8, groups=2)),
     lambda: seq(conv(8, 8, groups=2), nn.ChannelShuffle(2), conv(8, 8, groups=2)), (1, 8, 4, 4)),
    ("padding as large as the kernel", "warning", "0", "the padding 3 is not smaller than the 3 it reaches",
     lambda: seq(conv(padding=3)), lambda: seq(conv(padding=2)), ()),
    ("padding and dilation", "warning", "0", "the padding 5 is not smaller than the 5 it reaches",
     lambda: seq(conv(padding=5, dilation=2)), lambda: seq(conv(padding=4, dilation=2)), ()),
    ("map smaller than the kernel", "warning", "2", "8 of 9 weights of each filter never meet the 1x1 map",
     lambda: seq(conv(), nn.AdaptiveAvgPool2d(1), conv()),
     lambda: seq(conv(), nn.AdaptiveAvgPool2d(3), conv()), ()),
    ("map of two rows", "warning", "0", "16 of 25 weights of each filter never meet the 2x2 map",
     lambda: seq(conv(kernel=5)), lambda: seq(conv(kernel=3)), (1, 3, 2, 2)),
    ("checkerboard", "warning", "2", "the stride 2 does not divide the kernel 3",
     lambda: up(3, 2), lambda: up(4, 2), ()),
    ("checkerboard, gaps", "warning", "2", "the stride 2 does not divide the kernel 1",
     lambda: up(1, 2), lambda: up(1, 1), ()),
    ("checkerboard by dilation", "warning", "2", "the stride 2 does not divide the kernel 2",
     lambda: up(2, 2, 2), lambda: up(2, 2, 3), ()),
    ("gaps", "warning", "2", "75 % of what it is given is in no window of 1x1, stride 2x2",
     lambda: seq(conv(), nn.ReLU(), conv(kernel=1, stride=2)),
     lambda: seq(conv(), nn.ReLU(), conv(kernel=2, stride=2, padding=0)), ()),
    ("gaps that another reader fills", "warning", "b + c", "75 % of what it is given",
     lambda: Does(lambda m, x: m.b(y := F.relu(m.a(x))) + m.c(y),
                  a=conv(), b=conv(kernel=1, stride=2), c=conv(kernel=1, stride=2)),
     lambda: Does(lambda m, x: m.b(y := F.relu(m.a(x))) + m.c(y),
                  a=conv(), b=conv(kernel=3, stride=2), c=conv(kernel=1, stride=2)), ()),
    ("gaps in a pooling", "warning", "2", "in no window of 2x2, stride 3x3",
     lambda: seq(conv(), nn.ReLU(), nn.MaxPool2d(2, 3)), lambda: seq(conv(), nn.ReLU(), nn.MaxPool2d(3, 3)),
     (1, 3, 12, 12)),
    ("statistics of the batch", "warning", "1", "uses the statistics of the batch in evaluation mode",
     lambda: seq(conv(bias=False), nn.BatchNorm2d(3, track_running_stats=False)),
     lambda: seq(conv(bias=False), nn.BatchNorm2d(3)), ()),
    ("drops in evaluation", "warning", ":dropout", "drops in evaluation mode",
     lambda: Does(lambda m, x: m.a(F.dropout(x, 0.5)), a=conv()),
     lambda: Does(lambda m, x: m.a(F.dropout(x, 0.5, m.training)), a=conv()), ()),
    ("buffer changed", "warning", "calls", "a buffer is changed in evaluation mode",
     lambda: CountsCalls(always=True), lambda: CountsCalls(always=False), ()),
    ("buffer changed through a view", "warning", "calls", "a buffer is changed in evaluation mode",
     lambda: CountsCalls(always=True, view=True), lambda: CountsCalls(always=False, view=True), ()),
    ("softmax over the batch", "warning", "2", "softmax runs over the batch (dim=0)",
     lambda: seq(nn.Flatten(), nn.Linear(12, 5), nn.Softmax(0)),
     lambda: seq(nn.Flatten(), nn.Linear(12, 5), nn.Softmax(-1)), (1, 3, 2, 2)),
    ("softmax at the end", "warning", "2", "the network ends in a softmax",
     lambda: seq(nn.Flatten(), nn.Linear(12, 5), nn.Softmax(1)),
     lambda: seq(nn.Flatten(), nn.Linear(12, 5)), (1, 3, 2, 2)),
    ("softmax inside an attention", "warning", ":softmax", "the network ends in a softmax",
     lambda: Does(lambda m, x: torch.softmax(m.a(x), 1), a=conv()),
     lambda: Does(lambda m, x: torch.softmax(m.a(x), 1) * x, a=conv()), ()),
    ("log_softmax at the end", "info", "2", "the network ends in a log_softmax",
     lambda: seq(nn.Flatten(), nn.Linear(12, 5), nn.LogSoftmax(1)),
     lambda: seq(nn.Flatten(), nn.Linear(12, 5)), (1, 3, 2, 2)),
    ("sigmoid at the end", "info", "1", "the network ends in a sigmoid",
     lambda: seq(conv(), nn.Sigmoid()), lambda: seq(conv(), nn.Sigmoid(), conv()), ()),
    ("relu at the end", "info", "1", "the network ends in a relu",
     lambda: seq(conv(), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
     lambda: seq(conv(), nn.AdaptiveAvgPool2d(1), nn.Flatten()), ()),
    ("field too small", "warning", "2", "the last map sees 5x5 of 16x16 pixels",
     lambda: seq(conv(), nn.ReLU(), conv(), nn.AdaptiveAvgPool2d(1)),
     lambda: seq(conv(), nn.ReLU(), conv(kernel=7), nn.AdaptiveAvgPool2d(1)), ()),
    ("field small before a linear layer", "info", "1", "the last map sees 3x3 of 16x16 pixels",
     lambda: seq(conv(), nn.ReLU(), nn.Flatten(), nn.Linear(768, 5)),
     lambda: seq(conv(kernel=9), nn.ReLU(), nn.Flatten(), nn.Linear(768, 5)), ()),
    ("field small, and the map is what comes out", "info", "2", "the last map sees 5x5 of 16x16 pixels",
     lambda: seq(conv(), nn.ReLU(), conv()), lambda: seq(conv(), nn.ReLU(), conv(kernel=7)), ()),
    ("field small, but attention follows", "info", "a", "the last map sees 4x4 of 16x16 pixels",
     lambda: Does(lambda m, x: m.a(x).flatten(1), a=conv(kernel=4, stride=4, padding=0)),
     lambda: Does(lambda m, x: m.b(y := m.a(x).flatten(2).transpose(1, 2), y, y)[0][:, 0],
                  a=conv(3, 4, 4, stride=4, padding=0), b=nn.MultiheadAttention(4, 1, batch_first=True)), ()),
    ("field large, but of a network that draws", "info", "0", "the last map sees 7x7 of 1x1 pixels",
     lambda: seq(conv(kernel=7)), lambda: seq(nn.ConvTranspose2d(3, 3, 7)), (1, 3, 1, 1)),
    ("field too large", "info", "0", "the last map sees 17x17 of 4x4 pixels",
     lambda: seq(conv(kernel=17), nn.AdaptiveAvgPool2d(1)),
     lambda: seq(conv(kernel=15), nn.AdaptiveAvgPool2d(1)), (1, 3, 4, 4)),
    ("most parameters", "info", "2", "holds 84 of 96 parameters, 88 %",
     lambda: seq(conv(kernel=1), nn.ReLU(), conv()), lambda: seq(conv(), nn.ReLU(), conv()), ()),
    ("never read", "warning", "b", "84 of 168 parameters are never read",
     lambda: Does(lambda m, x: m.a(x), a=conv(), b=conv()),
     lambda: Does(lambda m, x: m.b(F.relu(m.a(x))), a=conv(), b=conv()), ()),
    ("read in training alone", "info", "b", "84 of 168 parameters are read in training alone",
     lambda: Does(lambda m, x: (m.a(x), m.b(x)) if m.training else m.a(x), a=conv(), b=conv()),
     lambda: Does(lambda m, x: (m.a(x), m.b(x)), a=conv(), b=conv()), ()),
    ("dead branch", "warning", ":relu", "no output depends on it: 2 layers, 84 parameters, 20,736",
     lambda: Does(lambda m, x: (F.relu(m.b(x)), m.a(x))[1], a=conv(), b=conv()),
     lambda: Does(lambda m, x: F.relu(m.b(x)) + m.a(x), a=conv(), b=conv()), ()),
    ("an activation whose outcome is dropped", "warning", ":relu", "no output depends on it: 1 layer, 0",
     lambda: Does(lambda m, x: (y := m.a(x), F.relu(y))[0], a=conv()),
     lambda: Does(lambda m, x: (y := m.a(x), F.relu(y, inplace=True))[0], a=conv()), ()),
    ("a branch taken out as a number is not dead", "warning", ":relu", "no output depends on it: 2 layers",
     lambda: Does(lambda m, x: (F.relu(m.b(x)), m.a(x))[1], a=conv(), b=conv()),
     lambda: Does(lambda m, x: m.a(x) * F.relu(m.b(x)).sum().item(), a=conv(), b=conv()), ()),
    ("a sum that nobody reads is not told", "warning", ":relu", "no output depends on it: 1 layer",
     lambda: Does(lambda m, x: (y := m.a(x), F.relu(y))[0], a=conv()),
     lambda: Does(lambda m, x: (y := m.a(x), y.sum())[0], a=conv()), ()),
    ("shared weights", "info", "0#2", "reads 0.weight again, as 0",
     tied, lambda: seq(conv(), nn.ReLU(), conv()), ()),
    ("shared norm", "warning", "1#2", "the same batch norm as 1",
     shared_norm, lambda: seq(conv(bias=False), nn.BatchNorm2d(3)), ()),
    ("frozen", "info", "0", "84 of 168 parameters ask for no gradient",
     frozen, lambda: seq(conv(), nn.ReLU(), conv()), ()),
    ("a branch by numbers", "info", ":gt", "decides what runs next",
     lambda: Does(lambda m, x: m.a(x) if (x.mean() > 0).item() else m.a(-x), a=conv()),
     lambda: Does(lambda m, x: m.a(x) if x.shape[0] else m.a(-x), a=conv()), ()),
]  # fmt: skip


@pytest.mark.parametrize(
    ("level", "where", "what", "has", "has_not", "shape"),
    [c[1:] for c in STRUCTURE],
    ids=[c[0] for c in STRUCTURE],
)
def test_a_fault_of_structure_is_found_where_it_is_and_nowhere_else(
    level: str, where: str, what: str, has: Build, has_not: Build, shape: tuple[int, ...]
) -> None:
    shape = shape or (1, 3, 16, 16)
    told = [f for f in found(has(), shape, batch_size=0) if what in f.what]
    assert [(f.level, f.where) for f in told] == [(level, where)]
    others = found(has_not(), shape, batch_size=0)
    assert told[0].why not in [f.why for f in others]


def test_a_finding_reads_as_one_line() -> None:
    first, second = conv(3, 8), conv(8, 8)
    network = seq(first, nn.BatchNorm2d(8), nn.ReLU(), second, nn.BatchNorm2d(8), nn.ReLU(), conv(8, 8))
    (told,) = [f for f in found(network, batch_size=0) if "bias" in f.what]
    assert told.line() == (
        "0 and 3: conv2d has a bias, and batch norm follows: 16 parameters without effect; the "
        "norm subtracts each channel's mean, and the bias with it: it is trained for nothing; build the "
        "layer with bias=False"
    )


def test_a_bias_before_a_norm_has_no_effect() -> None:
    """The claim, by torch itself."""
    torch.manual_seed(0)
    network, x = seq(conv(), nn.BatchNorm2d(3)).train(), torch.randn(4, 3, 8, 8)
    before = network(x)
    with torch.no_grad():
        network[0].bias += 5
    torch.testing.assert_close(network(x), before, atol=1e-5, rtol=0)


def test_weights_that_meet_padding_alone_get_no_gradient() -> None:
    """The claim, and its count, by torch itself."""
    for kernel, size, padding, stride, dilation in (
        (3, 1, 1, 1, 1),
        (5, 2, 2, 1, 1),
        (3, 4, 4, 3, 2),
        (3, 2, 3, 2, 3),
    ):
        layer = nn.Conv2d(1, 1, kernel, stride, padding, dilation, bias=False)
        layer(torch.rand(1, 1, size, size) + 1).sum().backward()
        assert layer.weight.grad is not None
        idle = int((layer.weight.grad == 0).sum())
        told = [f.what for f in found(seq(layer), (1, 1, size, size), batch_size=0) if "never meet" in f.what]
        want = (
            [f"{idle} of {kernel**2} weights of each filter never meet the {size}x{size} map"] if idle else []
        )
        assert told == want, (kernel, size)


@pytest.mark.parametrize(
    ("kernel", "stride", "dilation"),
    [(2, 2, 1), (3, 2, 1), (4, 2, 1), (5, 3, 1), (6, 3, 1), (2, 2, 2), (3, 2, 3), (4, 2, 3), (1, 2, 1)],
)
def test_a_checkerboard_is_where_ones_give_one(kernel: int, stride: int, dilation: int) -> None:
    """A transposed convolution of ones over ones counts the products of each output."""
    layer = nn.ConvTranspose2d(1, 1, kernel, stride, bias=False, dilation=dilation)
    with torch.no_grad():
        layer.weight.fill_(1)
        inner = layer(torch.ones(1, 1, 24, 24))[..., 20:-20, 20:-20]
    told = [f for f in found(seq(layer), (1, 1, 24, 24), batch_size=0) if "divide" in f.what]
    assert bool(told) == bool(inner.min() != inner.max())


def test_strict_makes_lost_pixels_an_error() -> None:
    network = seq(conv(padding=0, stride=3), nn.ReLU(), conv())
    (told,) = [f for f in found(network, (1, 3, 8, 8), batch_size=0, strict=True) if "reach" in f.what]
    assert told.level == "error"
    assert told.do == "images of 6 or 9 pixels lose none"
    assert found(network, (1, 3, 8, 8), batch_size=0, strict=True)[0] == told, "the worst first"


def test_an_objective_with_its_own_loss_may_end_in_a_softmax() -> None:
    network = seq(nn.Flatten(), nn.Linear(12, 5), nn.Softmax(1))
    for objective, number in (("", 1), ("cross_entropy", 1), ("rbf", 0)):
        told = found(network, (1, 3, 2, 2), batch_size=0, objective=objective)
        assert sum("softmax" in f.what for f in told) == number


def test_a_scripted_network_is_refused_in_one_line() -> None:
    with pytest.warns(DeprecationWarning, match="script"):
        scripted = torch.jit.script(seq(conv()))
    with pytest.raises(ArgumentError, match="is a scripted or traced module; give the Python module"):
        check_network(scripted, (1, 3, 8, 8))


# ---------------------------------------------------------------------- the zoo

ZOO = {
    "vgg16": [("info", "classifier.0", "holds 102,764,544 of 138,357,544 parameters, 74 %")],
    "vgg16_bn": [
        ("info", "features.0, features.3, features.7 and 10 more",
         "conv2d has a bias, and batch norm follows: 4,224 parameters without effect"),
        ("info", "classifier.0", "holds 102,764,544 of 138,365,992 parameters, 74 %"),
    ],
    "alexnet": [("info", "classifier.1", "holds 37,752,832 of 61,100,840 parameters, 62 %")],
    "alexnet_2012": [
        ("info", "features.12", "groups=2 after groups=2 of features.10"),
        ("info", "classifier.0", "holds 37,752,832 of 60,965,224 parameters, 62 %"),
    ],
    "resnet18": [],
    "resnet50": [],
    "resnet50_v1": [
        ("warning",
         "layer2.0.conv1 + layer2.0.downsample.0, layer3.0.conv1 + layer3.0.downsample.0 and "
         "layer4.0.conv1 + layer4.0.downsample.0",
         "75 % of what it is given is in no window of 1x1, stride 2x2"),
    ],
    "resnet152": [("info", "layer4.2.relu#3", "the last map sees 1451x1451 of 224x224 pixels")],
    "googlenet": [
        ("info", "aux1.conv.conv, aux1.conv.bn, aux1.fc1 and 5 more",
         "6,379,984 of 13,004,888 parameters are read in training alone"),
    ],
    "squeezenet1_1": [
        ("warning", "squeezenet1_1, input 224x224",
         "row 223 never reaches the output; column 223 never reaches the output"),
        ("info", "classifier.2", "the network ends in a relu"),
    ],
    "airbench94": [],
    "softmax_regression": [],
}  # fmt: skip


@pytest.mark.parametrize("name", [a.name for a in list_architectures()])
def test_what_is_said_of_the_zoo(name: str) -> None:
    """No error, no false alarm: of the networks below all that is said, of the others the kinds."""
    there = network_at(name)
    told = check_network(
        there.network, *there.inputs, name=name, objective=there.model.architecture.objective
    )
    if name in ZOO:
        assert [(f.level, f.where, f.what) for f in told] == ZOO[name]
    usual = ("never reach", "bias", "groups=2", "in no window of 1x1", "ends in a relu", "the last map sees",
             "holds", "read in training alone")  # fmt: skip
    for finding in told:
        assert finding.level != "error"
        assert any(word in finding.what for word in usual), finding.line()


# ---------------------------------------------------------------------- the command

runner = CliRunner()


def run(*arguments: str) -> tuple[int, str, str]:
    done = runner.invoke(app, ["check", *arguments])
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The images that the command hands on, instead of checking."""
    batches: list[Tensor] = []

    def kept(*args: Any, images: Tensor, **more: Any) -> list[Finding]:
        batches.append(images)
        return []

    monkeypatch.setattr(sightline.blueprint, "check_network", kept)
    return batches


def test_findings_are_printed_by_level_and_counted() -> None:
    code, out, _ = run("squeezenet1_1", "--batch-size", "0")
    assert code == 0
    assert out.splitlines() == [
        "warnings:",
        "  squeezenet1_1, input 224x224: row 223 never reaches the output; column 223 never reaches the "
        "output",
        "      a window that does not fit drops the border it cannot cover; images of 223 or 225 pixels lose "
        "none",
        "good to know:",
        "  classifier.2: the network ends in a relu",
        "      no output is negative, and an output that is 0 for every image gets no gradient; leave it "
        "out, unless the outputs are meant to be so",
        "squeezenet1_1: 1 warning, 1 info; nothing measured",
    ]


def test_no_findings_are_said() -> None:
    code, out, err = run("softmax_regression", "-b", "4")
    assert (code, out) == (
        0,
        "softmax_regression: no findings; measured on 4 images of noise, fresh weights\n",
    )
    assert "measuring on 4 images of noise" in err


def test_strict_fails_and_json_is_one_object() -> None:
    code, out, _ = run("squeezenet1_1", "-b", "0", "--strict", "--json")
    content = json.loads(out)
    assert code == 1
    assert content["measured_on"] == ""
    assert [f["level"] for f in content["findings"]] == ["error", "info"]
    assert set(content["findings"][0]) == {"level", "where", "what", "why", "do"}


def test_a_network_of_ones_own_is_checked_at_its_input(in_tmp: Path) -> None:
    Path("net.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Sequential):\n"
        "    def __init__(self, num_classes=2, in_channels=3, input_size=(8, 8)):\n"
        "        super().__init__(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1),\n"
        "                         nn.Flatten(),\n"
        "                         nn.Linear(4, num_classes))\n"
    )
    code, out, _ = run("net.py:Net", "--input", "12x12x3")
    assert code == 0
    assert "1: the last map sees 3x3 of 12x12 pixels" in out
    assert "0: conv2d has a bias, and batch norm follows: 4 parameters without effect" in out


def test_sizes_that_lose_nothing_are_looked_for_in_networks_built_for_them() -> None:
    code, out, _ = run("lecture_cnn_2", "-b", "0")
    assert code == 0
    assert "images of 26 or 30 pixels lose none" in out


def test_images_of_a_folder_are_measured_with(make_folder: MakeFolder) -> None:
    folder = make_folder({"three": (3, 5)}, size=32)
    code, out, _ = run("lenet5", "--data", str(folder), "-b", "3")
    assert (code, out.splitlines()[-1]) == (0, "lenet5: 1 info; measured on 3 images, fresh weights")
    code, out, _ = run("lenet5", "--data", str(folder), "--json")
    assert json.loads(out)["measured_on"] == "5 images, fresh weights"


def test_a_network_without_preprocessing_is_given_mean_0_and_deviation_1(
    make_folder: MakeFolder, given: list[Tensor]
) -> None:
    code, _, _ = run("lenet5", "--data", str(make_folder({"three": (3, 5)}, size=32)))
    assert (code, given[0].shape) == (0, (5, 1, 32, 32))
    assert float(given[0].mean()) == pytest.approx(0, abs=1e-5)
    assert float(given[0].std()) == pytest.approx(1, rel=1e-5)


def test_a_trained_model_is_given_images_as_in_training(
    make_folder: MakeFolder, given: list[Tensor], in_tmp: Path
) -> None:
    """The very batch the network is given, against the model's own predictor."""
    torch.manual_seed(0)
    folder = make_folder({"three": (3, 3)}, size=32)
    network = get_architecture("lenet5").build(num_classes=2)
    header = ModelHeader(
        architecture=ArchitectureReference(name="lenet5", num_classes=2, in_channels=1, input_size=(32, 32)),
        classes=("a", "b"), canvas=(16, 16), preprocessing={"size": [32, 32], "fit": "resize", "mean": [0.3],
                                                            "std": [0.4], "value_range": [0, 255]},
        objective="cross_entropy", objective_settings={},
    )  # fmt: skip
    save_model_file(in_tmp / "model.safetensors", network.state_dict(), header)
    code, out, _ = run(str(in_tmp / "model.safetensors"), "--data", str(folder))
    assert code == 0
    assert out.endswith("no findings; measured on 3 images, its own weights\n")
    predictor = load_predictor(str(in_tmp / "model.safetensors"))
    files = sorted((folder / "three").iterdir())
    ours = predictor.network(given[0]).softmax(1).detach().numpy()
    theirs = np.stack([p.probabilities for p in predictor.predict([(f.name, f) for f in files])])
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["lenet6"], 2, "no network named 'lenet6'; did you mean lenet5"),
        (["nothing/here"], 2, "no such file: nothing/here"),
        (["net.py"], 2, "name the network in it: net.py:NAME"),
        (["net.py:Scripted"], 2, "is a scripted or traced module"),
        (["lenet5", "--input", "8x8x1"], 2, "lenet5"),
        (["lenet5", "--input", "eight"], 2, "eight"),
        (["lenet5", "-b", "1"], 2, "--batch-size is 1; give 0 to measure nothing, or 2 or more"),
        (["lenet5", "-b", "0", "--data", "images"], 2, "--batch-size 0 measures nothing"),
        (["lenet5", "--data", "nowhere"], 1, "--data nowhere must be a folder of 2 or more images; no such"),
        (["lenet5", "--data", "net.py"], 1, "images in it: 1"),
        (["lenet5", "--data", "broken"], 1, "--data broken: 0.png cannot be read"),
        (["lenet5", "--input", "2,32,32", "--data", "images"], 2, "--data is for a network of one input"),
    ],
)  # fmt: skip
def test_bad_input_is_one_clear_line(
    arguments: list[str], code: int, message: str, in_tmp: Path, make_folder: MakeFolder
) -> None:
    make_folder({"three": (3, 2)})
    Path("broken").mkdir()
    for name in ("0.png", "1.png"):
        (Path("broken") / name).write_bytes(b"no image")
    Path("net.py").write_text(
        "import torch, warnings\nfrom torch import nn\n"
        "def Scripted(num_classes=2):\n"
        "    with warnings.catch_warnings():\n"
        "        warnings.simplefilter('ignore')\n"
        "        return torch.jit.script(nn.Sequential(nn.Conv2d(3, num_classes, 3)))\n"
    )
    got, out, err = run(*arguments)
    lines = [line for line in err.splitlines() if not line.startswith("measuring on")]
    assert (got, out, len(lines)) == (code, "", 1), err
    assert message in lines[0]
    assert lines[0].startswith("sightline: ")
