"""What is recorded of a network: counts by hand and by torch's own counter, edges drawn by hand."""

from __future__ import annotations

import dataclasses
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from sightline.base import ArgumentError
from sightline.blueprint import Blueprint, PassError, record
from sightline.zoo import Architecture, list_architectures

CALL = nn.Module.__call__


class Network(nn.Module):
    """A network of parts and of a function that runs them."""

    def __init__(self, run: Callable[..., Any], **parts: Any) -> None:
        super().__init__()
        self.run = run
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *inputs: Any) -> Any:
        return self.run(self, *inputs)


@pytest.fixture(autouse=True)
def call_given_back() -> Iterator[None]:
    """Whatever happened, modules are called as before."""
    yield
    called, nn.Module.__call__ = nn.Module.__call__, CALL  # type: ignore[method-assign]
    assert called is CALL


def by_torch(network: nn.Module, *shapes: tuple[int, ...]) -> int:
    """Half of what `flop_counter` counts, on `meta`."""
    network = network.to("meta").eval().requires_grad_(False)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(*(torch.zeros(shape, device="meta") for shape in shapes))
    return int(counter.get_total_flops()) // 2


def edges(blueprint: Blueprint) -> dict[str, list[str]]:
    """Of each node, by id, the ids of what it reads."""
    name = {-1 - k: f"input {k}" for k in range(len(blueprint.inputs))}
    name |= {k: node.id for k, node in enumerate(blueprint.nodes)}
    return {node.id: [name[s] for s in node.sources] for node in blueprint.nodes}


def kinds(blueprint: Blueprint) -> list[str]:
    return [node.kind for node in blueprint.nodes]


IMAGE = (2, 3, 8, 8)
# name: network, shapes, multiply-adds, parameters, each by hand
HAND: dict[str, tuple[Callable[[], nn.Module], tuple[tuple[int, ...], ...], int, int]] = {
    "conv1d": (lambda: nn.Conv1d(3, 4, 5, stride=2), ((2, 3, 9),), 2 * 4 * 3 * 3 * 5, 4 * 15 + 4),
    "conv2d": (lambda: nn.Conv2d(3, 4, 3), (IMAGE,), 2 * 4 * 36 * 27, 4 * 27 + 4),
    "conv3d": (lambda: nn.Conv3d(1, 2, 3), ((1, 1, 5, 6, 7),), 2 * (3 * 4 * 5) * 27, 2 * 27 + 2),
    "unbatched": (lambda: nn.Conv2d(3, 4, 3), ((3, 8, 8),), 4 * 36 * 27, 4 * 27 + 4),
    "padding": (lambda: nn.Conv2d(3, 4, 3, padding=1, bias=False), (IMAGE,), 2 * 4 * 64 * 27, 4 * 27),
    "reflect": (lambda: nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), (IMAGE,),
        2 * 4 * 64 * 27, 112),
    "dilation": (lambda: nn.Conv2d(3, 4, 3, dilation=2), (IMAGE,), 2 * 4 * 16 * 27, 112),
    "groups": (lambda: nn.Conv2d(4, 6, 3, groups=2), ((1, 4, 5, 5),), 6 * 9 * (2 * 9), 6 * 18 + 6),
    "depthwise": (lambda: nn.Conv2d(3, 6, 3, groups=3), (IMAGE,), 2 * 6 * 36 * 9, 6 * 9 + 6),
    "transposed": (  # each input value is laid down 4 * 9 times, however wide the stride
        lambda: nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1, output_padding=1),
        (IMAGE,), 2 * 3 * 64 * (4 * 9), 3 * 4 * 9 + 4),
    "transposed groups": (lambda: nn.ConvTranspose2d(4, 6, 3, stride=3, groups=2), ((1, 4, 5, 7),),
        4 * 35 * (3 * 9), 114),
    "transposed 1d": (lambda: nn.ConvTranspose1d(2, 3, 4, stride=4), ((1, 2, 5),), 10 * 12, 27),
    "transposed 3d": (lambda: nn.ConvTranspose3d(1, 2, 2, stride=2), ((1, 1, 3, 3, 3),), 27 * 16, 18),
    "linear": (lambda: nn.Linear(5, 7), ((3, 5),), 3 * 35, 42),
    "linear on a sequence": (lambda: nn.Linear(5, 7, bias=False), ((2, 3, 5),), 6 * 35, 35),
    "linear on a map": (lambda: nn.Linear(5, 7), ((2, 3, 4, 5),), 24 * 35, 42),
    "attention": (  # three inputs in, scores, weighted sum, out
        lambda: Network(lambda s, x: s.a(x, x, x)[0], a=nn.MultiheadAttention(8, 2, batch_first=True)),
        ((2, 5, 8),), 2 * (5 * 8 * 24 + 5 * 5 * 8 + 5 * 5 * 8 + 5 * 8 * 8), 8 * 24 + 24 + 8 * 8 + 8),
    "scaled dot product": (lambda: Network(lambda s, q, k, v: F.scaled_dot_product_attention(q, k, v)),
        ((2, 3, 4, 8), (2, 3, 5, 8), (2, 3, 5, 6)), 2 * 3 * 4 * 5 * (8 + 6), 0),
    "causal": (  # the masked half is counted, as padding is
        lambda: Network(lambda s, q: F.scaled_dot_product_attention(q, q, q, is_causal=True)),
        ((1, 2, 4, 8),), 2 * 4 * 4 * (8 + 8), 0),
    "einsum": (lambda: Network(lambda s, x, y: torch.einsum("bij,bjk->bik", x, y)),
        ((2, 3, 4), (2, 4, 5)), 2 * 3 * 4 * 5, 0),
    "matmul": (lambda: Network(lambda s, x, y: x @ y), ((2, 3, 4), (4, 5)), 2 * 3 * 4 * 5, 0),
    "baddbmm": (lambda: Network(lambda s, z, x, y: torch.baddbmm(z, x, y)),
        ((2, 3, 5), (2, 3, 4), (2, 4, 5)), 2 * 3 * 4 * 5, 0),
    "tensordot": (lambda: Network(lambda s, x, y: torch.tensordot(x, y, dims=2)),
        ((3, 4, 5), (4, 5, 6)), 3 * 20 * 6, 0),
    "lstm": (  # two layers, both ways: 4 gates of input and state
        lambda: nn.LSTM(5, 7, num_layers=2, bidirectional=True), ((3, 2, 5),),
        6 * 2 * 4 * 7 * ((5 + 7) + (14 + 7)), 2 * (28 * 5 + 28 * 7 + 56) + 2 * (28 * 14 + 28 * 7 + 56)),
    "gru": (lambda: nn.GRU(5, 7), ((3, 2, 5),), 6 * 3 * 7 * 12, 21 * 12 + 42),
    "lstm cell": (lambda: nn.LSTMCell(5, 7), ((2, 5),), 2 * 28 * 12, 28 * 12 + 56),
    "weight norm": (lambda: parametrizations.weight_norm(nn.Conv2d(3, 4, 3)), (IMAGE,),
        2 * 4 * 36 * 27, 112 + 4),
    "checkpoint": (
        lambda: Network(lambda s, x: checkpoint(s.c, x, use_reentrant=False), c=nn.Conv2d(3, 4, 3)),
        (IMAGE,), 2 * 4 * 36 * 27, 112),
    "nothing to count": (
        lambda: nn.Sequential(
            nn.BatchNorm2d(3), nn.ReLU6(), nn.Hardswish(inplace=True), nn.MaxPool2d(2), nn.PReLU(3),
            nn.Upsample(scale_factor=2, mode="bilinear"), nn.AdaptiveAvgPool2d(2), nn.Softmax(1),
            nn.LocalResponseNorm(3), nn.GroupNorm(3, 3), nn.PixelUnshuffle(2), nn.Hardsigmoid(inplace=True)),
        (IMAGE,), 0, 6 + 3 + 6),
    "matrix and vector": (lambda: Network(lambda s, x, y: x @ y), ((3, 4), (4,)), 12, 0),
    "vectors": (lambda: Network(lambda s, x: x @ x), ((5,),), 5, 0),
    "addmv": (lambda: Network(lambda s, z, x, y: torch.addmv(z, x, y)), ((3,), (3, 4), (4,)), 12, 0),
    "addbmm": (lambda: Network(lambda s, z, x, y: torch.addbmm(z, x, y)),
        ((3, 5), (2, 3, 4), (2, 4, 5)), 2 * 3 * 4 * 5, 0),
}  # fmt: skip
NO_FORMULA = {"matrix and vector", "vectors", "addmv", "addbmm"}
"""What torch's own counter leaves out."""


@pytest.mark.parametrize("name", HAND)
def test_counts_are_those_worked_out_by_hand_and_those_of_torch(name: str) -> None:
    build, shapes, macs, parameters = HAND[name]
    blueprint = record(build(), *shapes)
    assert (blueprint.macs, blueprint.num_parameters) == (macs, parameters)
    assert blueprint.flops == 2 * macs
    assert by_torch(build(), *shapes) == (0 if name in NO_FORMULA else macs)
    assert blueprint.how == "meta"
    assert blueprint.uncounted == ()


@pytest.mark.parametrize("name", HAND)
def test_counts_are_the_same_where_numbers_are_needed(name: str) -> None:
    build, shapes, macs, parameters = HAND[name]

    def looks(s: nn.Module, *inputs: Tensor) -> Any:
        assert inputs[0].sum().item() < 1e9
        return s.get_submodule("inner")(*inputs)

    blueprint = record(Network(looks, inner=build()), *shapes)
    assert (blueprint.how, blueprint.macs, blueprint.num_parameters) == ("real", macs, parameters)
    assert blueprint.uncounted == ()


@pytest.mark.parametrize("architecture", list_architectures(), ids=lambda a: a.name)
def test_every_architecture_counts_what_its_record_says(architecture: Architecture) -> None:
    if architecture.depth > 200:
        pytest.skip("its blocks are those of the smaller ones")
    with torch.device("meta"):
        network = architecture.build()
    blueprint = record(network, (1, *architecture.input_shape))
    assert (blueprint.num_parameters, blueprint.macs) == (architecture.parameters, architecture.macs)
    assert (blueprint.how, blueprint.uncounted) == ("meta", ())
    assert len(blueprint.index) == len(blueprint.nodes)
    assert blueprint.output_shapes == ((1, architecture.num_classes),)
    assert sum(node.num_parameters for node in blueprint.nodes) + sum(
        blueprint.parameters[name] for name in blueprint.unread
    ) == (architecture.parameters)


def test_what_multiplies_in_a_way_of_its_own_is_listed() -> None:
    bilinear = record(nn.Bilinear(3, 4, 5), (2, 3), (2, 4))
    assert bilinear.macs == 0
    assert bilinear.uncounted == (": aten._trilinear",)
    fourier = record(Network(lambda s, x: torch.fft.irfft2(torch.fft.rfft2(x))), IMAGE)
    assert [line.split(": ")[1] for line in fourier.uncounted] == ["aten._fft_r2c", "aten._fft_c2r"]


def test_weights_alone_are_counted_once_and_are_no_node() -> None:
    spectral = record(parametrizations.spectral_norm(nn.Linear(3, 4)), (2, 3))
    assert kinds(spectral) == ["linear"]
    assert spectral.macs == 2 * 12 + (4 * 3 + 4)  # the layer; sigma = u . (W v)
    assert spectral.parameters == {"bias": 4, "parametrizations.weight.original": 12}


def test_a_shared_weight_counts_once() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(7, 3)
            self.out = nn.Linear(3, 7, bias=False)
            self.out.weight = self.words.weight

        def forward(self, ids: Tensor) -> Tensor:
            y: Tensor = self.out(self.words(ids))
            return y

    blueprint = record(Tied(), torch.tensor([[0, 6]]))
    assert (blueprint.num_parameters, blueprint.macs) == (21, 2 * 21)
    first, second = blueprint.nodes
    assert (first.parameters, first.shared, second.parameters, second.shared) == (
        ("words.weight",), (), (), ("words.weight",),
    )  # fmt: skip


def test_a_layer_called_twice_counts_its_work_twice_and_its_weights_once() -> None:
    layer = nn.Linear(3, 3)
    blueprint = record(nn.Sequential(layer, nn.ReLU(), layer), (2, 3))
    assert edges(blueprint) == {"0": ["input 0"], "1": ["0"], "0#2": ["1"]}
    assert (blueprint.macs, blueprint.num_parameters) == (2 * 18, 12)
    assert [node.num_parameters for node in blueprint.nodes] == [12, 0, 0]


def test_edges_of_a_residual_block() -> None:
    def run(s: Any, x: Tensor) -> Tensor:
        y = s.bn1(s.conv1(x)).relu_()
        y = s.bn2(s.conv2(y))
        y += s.short(x)
        return F.relu(y, inplace=True)

    block = Network(
        run, conv1=nn.Conv2d(3, 4, 3, 2, 1), bn1=nn.BatchNorm2d(4), conv2=nn.Conv2d(4, 4, 3, 1, 1),
        bn2=nn.BatchNorm2d(4), short=nn.Conv2d(3, 4, 1, 2),
    )  # fmt: skip
    blueprint = record(block, IMAGE)
    assert edges(blueprint) == {
        "conv1": ["input 0"], "bn1": ["conv1"], ":relu": ["bn1"], "conv2": [":relu"], "bn2": ["conv2"],
        "short": ["input 0"], ":add": ["bn2", "short"], ":relu#2": [":add"],
    }  # fmt: skip
    assert [node.id for node in blueprint.nodes if node.in_place] == [":relu", ":add", ":relu#2"]
    assert blueprint.output_shapes == ((2, 4, 4, 4),)
    node = blueprint.nodes[blueprint.index["conv1"]]
    assert node.settings["kernel_size"] == (3, 3)
    assert node.settings["stride"] == (2, 2)
    assert node.settings["padding"] == (1, 1)


def test_edges_of_an_inception_block() -> None:
    def run(s: Any, x: Tensor) -> Tensor:
        return torch.cat([s.a(x), s.c(F.relu(s.b(x))), s.e(F.max_pool2d(x, 3, 1, 1))], 1)

    block = Network(
        run, a=nn.Conv2d(3, 2, 1), b=nn.Conv2d(3, 2, 1), c=nn.Conv2d(2, 4, 5, padding=2), e=nn.Conv2d(3, 1, 1)
    )
    blueprint = record(block, IMAGE)
    assert edges(blueprint) == {
        "a": ["input 0"], "b": ["input 0"], ":relu": ["b"], "c": [":relu"], ":max_pool2d": ["input 0"],
        "e": [":max_pool2d"], ":cat": ["a", "c", "e"],
    }  # fmt: skip
    assert blueprint.output_shapes == ((2, 7, 8, 8),)
    assert [blueprint.nodes[k].id for k in blueprint.readers[blueprint.index["a"]]] == [":cat"]


def test_modules_within_modules_own_their_functions() -> None:
    inner = Network(lambda s, x: x + F.relu(s.c(x)), c=nn.Conv2d(3, 3, 1))
    blueprint = record(nn.Sequential(inner, inner), IMAGE)
    assert list(edges(blueprint)) == ["0.c", "0:relu", "0:add", "0.c#2", "0:relu#2", "0:add#2"]
    assert [(call.id, call.parent, call.nodes) for call in blueprint.calls] == [
        ("", -1, (0, 6)), ("0", 0, (0, 3)), ("0#2", 0, (3, 6)),
    ]  # fmt: skip


def test_writing_into_part_of_a_tensor_is_followed() -> None:
    def run(s: Any, x: Tensor) -> Tensor:
        y = x.clone()
        y[:, :1] += s.c(x)
        return y * 2

    reads = edges(record(Network(run, c=nn.Conv2d(3, 1, 1)), IMAGE))
    assert reads[":add"] == [":getitem", "c"]
    assert {":clone", ":setitem"} <= set(reads[":mul"])
    assert ":add" in reads[":setitem"]


def test_several_inputs_and_outputs_of_any_form() -> None:
    @dataclasses.dataclass
    class Found:
        boxes: Tensor
        scores: tuple[Tensor, ...]

    def run(s: Any, x: Tensor, y: Tensor) -> Any:
        return {"sum": x + y, "both": [Found(s.l(x), (y * 2, y)), None, 3]}

    blueprint = record(Network(run, l=nn.Linear(3, 4)), (2, 3), (1, 3))
    assert edges(blueprint) == {":add": ["input 0", "input 1"], "l": ["input 0"], ":mul": ["input 1"]}
    assert blueprint.input_shapes == ((2, 3), (1, 3))
    assert blueprint.output_shapes == ((2, 3), (2, 4), (1, 3), (1, 3))


def test_keyword_arguments_are_arguments() -> None:
    inner: Any = Network(lambda s, x: F.relu(input=s.c(input=x)), c=nn.Conv2d(3, 4, 3))
    inner.forward = lambda *, image: inner.run(inner, image)
    blueprint = record(Network(lambda s, x: s.inner(image=x), inner=inner), IMAGE)
    assert edges(blueprint) == {"inner.c": ["input 0"], "inner:relu": ["inner.c"]}
    assert blueprint.calls[1].input_shapes == (IMAGE,)


def test_integers_in() -> None:
    blueprint = record(nn.Sequential(nn.Embedding(5, 3), nn.Flatten()), torch.tensor([[0, 4, 2]]))
    assert edges(blueprint) == {"0": ["input 0"], "1": ["0"]}
    assert blueprint.output_shapes == ((1, 9),)


def test_a_layer_that_does_nothing_is_a_node_all_the_same() -> None:
    blueprint = record(nn.Sequential(nn.Dropout(), nn.Identity(), nn.ReLU(inplace=True)), (2, 3))
    assert edges(blueprint) == {"0": ["input 0"], "1": ["0"], "2": ["1"]}


def test_two_recordings_are_equal() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Flatten())
    first, second = record(network, IMAGE), record(network, IMAGE)
    assert first == second
    assert first != record(network, (1, *IMAGE[1:]))
    with torch.inference_mode():
        assert record(network, torch.zeros(IMAGE)) == first


def test_only_its_outputs_leave_a_layer() -> None:
    """What an LSTM writes within, step by step, is its own."""
    (node,) = record(nn.LSTM(5, 7), (3, 2, 5)).nodes
    assert node.output_shapes == ((3, 2, 7), (1, 2, 7), (1, 2, 7))
    (node,) = record(parametrizations.spectral_norm(nn.Linear(3, 4)), (2, 3), training=True).nodes
    assert node.output_shapes == ((2, 4),)


def test_what_gives_only_its_shape_is_not_read() -> None:
    blueprint = record(Network(lambda s, x: s.l(torch.ones_like(x)) + x, l=nn.Linear(3, 3)), (2, 3))
    assert edges(blueprint)[":add"][-1] == "input 0"
    assert "input 0" not in edges(blueprint).get("l", [])


def test_a_subclass_of_a_layer_is_looked_into() -> None:
    class Same(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(F.pad(x, (1, 1, 1, 1)))

    blueprint = record(nn.Sequential(Same(3, 4, 3)), IMAGE)
    assert edges(blueprint) == {"0:pad": ["input 0"], "0:conv2d": ["0:pad"]}
    assert blueprint.nodes[1].parameters == ("0.weight", "0.bias")


class _Clamped(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        return (x @ weight).clamp(min=0)


def test_an_autograd_function_is_looked_into() -> None:
    network = Network(lambda s, x: _Clamped.apply(x, s.w), w=nn.Parameter(torch.ones(3, 4)))  # type: ignore[no-untyped-call]
    blueprint = record(network, (2, 3))
    assert kinds(blueprint) == ["matmul", "clamp"]
    assert (blueprint.macs, blueprint.nodes[0].parameters) == (24, ("w",))


def plain() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU())


def test_wrappers_are_taken_off() -> None:
    expected = edges(record(plain(), (2, 3)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # importing the compiler warns
        compiled = torch.compile(plain(), backend="eager")
    assert edges(record(compiled, (2, 3))) == expected  # type: ignore[arg-type]
    assert edges(record(nn.DataParallel(plain()), (2, 3))) == expected
    assert edges(record(torch.fx.symbolic_trace(plain()), (2, 3))) == expected


def test_a_scripted_module_is_refused() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scripting is deprecated
        scripted = torch.jit.script(plain())
    with pytest.raises(ArgumentError, match="it is a scripted or traced module; give the Python module"):
        record(scripted, (2, 3))
    with pytest.raises(ArgumentError, match="its part 1 is a scripted or traced module"):
        record(nn.Sequential(nn.ReLU(), scripted), (2, 3))


def test_a_lazy_layer_is_refused() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lazy modules are under development
        network = nn.Sequential(nn.LazyLinear(4))
    with pytest.raises(
        ArgumentError, match=r"lazy layer that never saw an input: 0\.weight has no shape yet"
    ):
        record(network, (2, 3))


def test_a_tensor_that_is_no_parameter_needs_numbers() -> None:
    network = Network(lambda s, x: s.l(x) * s.scale, l=nn.Linear(3, 4), scale=torch.ones(4))
    blueprint = record(network, (2, 3))
    assert (blueprint.how, blueprint.macs, blueprint.data_dependent) == ("real", 24, ())
    assert "meta" in blueprint.why_real
    assert edges(blueprint) == {"l": ["input 0"], ":mul": ["l"]}
    hidden = record(Network(lambda s, x: s.list[0](x), list=[nn.Linear(3, 4)]), (2, 3))
    assert (kinds(hidden), hidden.macs, hidden.num_parameters) == (["linear"], 24, 0)


@pytest.mark.parametrize(
    "decides",
    [
        lambda s, x: s.l(x) if x.sum().item() > 1e9 else x,
        lambda s, x: s.l(x) if x.sum() > 1e9 else x,
        lambda s, x: s.l(x) if torch.equal(x, x + 1) else x,
        lambda s, x: x[x > 0],
        lambda s, x: torch.nonzero(x),
        lambda s, x: torch.from_numpy(x.numpy() * 2),
        lambda s, x: torch.tensor(x.tolist()),
    ],
    ids=["item", "bool", "equal", "mask", "nonzero", "numpy", "tolist"],
)
def test_a_network_that_reads_its_data_is_said_to(decides: Callable[..., Any]) -> None:
    blueprint = record(Network(decides, l=nn.Linear(3, 3)), (2, 3))
    assert blueprint.how == "real"
    assert blueprint.data_dependent != ()


def everything() -> Any:
    def run(s: Any, x: Tensor) -> Any:
        s.count += 1
        s.last = x
        s.seen.append(x)
        s.by_name["x"] = x
        s.mean = s.mean + x.mean()
        if not hasattr(s, "made"):
            s.made = nn.Linear(1, 1)
        if s.later is None:
            s.later = nn.Parameter(torch.zeros(1))
        y: Tensor = s.norm(s.conv(x)) + torch.rand(1, device=x.device) * torch.randn_like(x[:, :1, :6, :6])
        s.scale.data.clamp_(max=0.5)
        return s.drop(y) * s.scale

    network: Any = Network(
        run, conv=nn.Conv2d(3, 4, 3), norm=nn.BatchNorm2d(4), drop=nn.Dropout(), count=0, seen=[], by_name={},
        scale=nn.Parameter(torch.ones(1)),
    )  # fmt: skip
    network.register_buffer("mean", torch.zeros(()))
    network.register_parameter("later", None)
    network.conv.bias.requires_grad_(False)
    network.conv.weight.grad = torch.ones_like(network.conv.weight)
    network.norm.eval()
    return network


@pytest.mark.parametrize("real", [False, True], ids=["meta", "real"])
@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
@pytest.mark.parametrize("fails", [False, True], ids=["goes through", "fails"])
def test_the_network_is_left_as_it_was(real: bool, training: bool, fails: bool) -> None:
    network = everything()
    if real:
        run = network.run
        network.run = lambda s, x: run(s, x) * x.sum().item()
    heard: list[bool] = []
    network.drop.register_forward_hook(lambda m, *_: heard.append(m.training))
    network.register_forward_pre_hook(lambda m, *_: heard.append(m.training))
    state = {key: value.clone() for key, value in network.state_dict().items()}
    parameters = dict(network.named_parameters())
    modes = {name: module.training for name, module in network.named_modules()}
    hooks = [dict(m._forward_hooks) | dict(m._forward_pre_hooks) for m in network.modules()]
    image, random = torch.ones(2, 9 if fails else 3, 8, 8), torch.random.get_rng_state()
    if fails:
        with pytest.raises(PassError):
            record(network, image, training=training)
    else:
        assert record(network, image, training=training).how == ("real" if real else "meta")
    assert set(heard) == {training}
    assert torch.equal(image, torch.ones_like(image))
    assert torch.equal(random, torch.random.get_rng_state())
    assert network.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    assert {n: id(p) for n, p in network.named_parameters()} == {n: id(p) for n, p in parameters.items()}
    assert [n for n, p in parameters.items() if not p.requires_grad] == ["conv.bias"]
    assert [n for n, p in parameters.items() if p.grad is not None] == ["conv.weight"]
    assert {name: module.training for name, module in network.named_modules()} == modes
    assert [dict(m._forward_hooks) | dict(m._forward_pre_hooks) for m in network.modules()] == hooks
    assert (network.count, network.seen, network.by_name, network.later) == (0, [], {}, None)
    assert not hasattr(network, "last")
    assert not hasattr(network, "made")


def test_tensors_that_are_no_parameters_keep_their_numbers() -> None:
    image = torch.ones(2, 3)
    network: Any = Network(lambda s, x: x.add_(1) * s.seen.add_(1), seen=torch.ones(3))
    assert record(network, image).how == "real"
    assert torch.equal(image, torch.ones(2, 3))
    assert torch.equal(network.seen, torch.ones(3))


def test_threads_record_one_network_together() -> None:
    network = nn.Sequential(*(nn.Sequential(nn.Linear(3, 3), nn.Dropout()) for _ in range(10))).train()
    alone = record(network, (2, 3))
    often = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(lambda _: record(network, (2, 3)), range(16)))
    finally:
        sys.setswitchinterval(often)
    assert all(blueprint == alone for blueprint in together)
    assert all(module.training for module in network.modules())
    assert not any(p.is_meta for p in network.parameters())


def test_what_another_thread_calls_meanwhile_is_not_met() -> None:
    def run(s: Any, x: Tensor) -> Any:
        thread = threading.Thread(target=lambda: outputs.append(s.l(x)))
        thread.start()
        thread.join()
        return s.l(x)

    outputs: list[Tensor] = []
    assert list(edges(record(Network(run, l=nn.Linear(3, 4)), (2, 3)))) == ["l"]
    assert outputs[0].shape == (2, 4)


def test_a_failing_layer_is_named_with_what_ran_before_it() -> None:
    network = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), nn.Sequential(nn.Conv2d(5, 6, 3)))
    with pytest.raises(
        PassError, match=r"an input of 2x3x8x8: layer 1\.0 \(Conv2d\) given 2x4x6x6 failed"
    ) as caught:
        record(network, IMAGE)
    blueprint = caught.value.blueprint
    assert edges(blueprint) == {"0.0": ["input 0"], "0.1": ["0.0"]}
    assert caught.value.call is not None
    assert caught.value.call.path == "1.0"
    for call in blueprint.calls:
        assert call.parent == -1 or blueprint.calls[call.parent].path == call.path.rpartition(".")[0]


def test_a_failing_function_is_named() -> None:
    network = nn.Sequential(nn.ReLU(), Network(lambda s, x: x + torch.ones(7, device=x.device)))
    with pytest.raises(PassError, match=r"add in 1 \(Network\) given 2x3 failed: "):
        record(network, (2, 3))


def test_a_network_that_raises_an_error_of_its_own() -> None:
    class OwnError(Exception):
        pass

    def run(s: Any, x: Tensor) -> Tensor:
        raise OwnError("only on Sundays\nand so on")

    with pytest.raises(PassError, match=r"failed: only on Sundays$") as caught:
        record(nn.Sequential(nn.ReLU(), Network(run)), (2, 3), name="mine")
    assert isinstance(caught.value.__cause__, OwnError)
    assert str(caught.value).startswith("mine cannot take an input of 2x3: 1 (Network)")
    assert kinds(caught.value.blueprint) == ["relu"]


def test_an_interrupt_goes_through() -> None:
    def run(s: Any, x: Tensor) -> Tensor:
        raise KeyboardInterrupt

    network = nn.Sequential(Network(run)).train()
    with pytest.raises(KeyboardInterrupt):
        record(network, (2, 3))
    assert network[0].training


def test_an_error_that_the_network_catches_is_none() -> None:
    def run(s: Any, x: Tensor) -> Any:
        try:
            y = s.wrong(x)
        except RuntimeError:
            y = F.relu(s.right(x))
        return s.then(y)

    parts = {"wrong": nn.Sequential(nn.Linear(7, 2)), "right": nn.Linear(3, 4)}
    blueprint = record(Network(run, then=nn.Sequential(nn.Linear(4, 2)), **parts), (2, 3))
    assert edges(blueprint) == {"right": ["input 0"], ":relu": ["right"], "then.0": [":relu"]}
    assert [(call.path, call.parent) for call in blueprint.calls if call.path != "wrong"] == [
        ("", -1), ("then", 0)
    ]  # fmt: skip
    with pytest.raises(PassError, match=r"layer then\.0 \(Linear\) given 2x4 failed"):
        record(Network(run, then=nn.Sequential(nn.Linear(9, 2)), **parts), (2, 3))


@pytest.mark.parametrize(
    "given", [(1, 3, "a"), (1, -3), (1, 3.5), "1,3", 3, None, {"x": 1}, [torch.ones(2, 3)]]
)
def test_an_input_that_is_neither_tensor_nor_shape(given: Any) -> None:
    with pytest.raises(ArgumentError, match="input"):
        record(nn.Linear(3, 4), given)


@pytest.mark.parametrize("given", [42, nn.ReLU, F.relu, None])
def test_a_network_that_is_none(given: Any) -> None:
    with pytest.raises(ArgumentError, match="network"):
        record(given, (2, 3))


def test_no_input_where_one_is_needed() -> None:
    with pytest.raises(ArgumentError, match="input") as caught:
        record(nn.Linear(3, 4))
    assert "  " not in str(caught.value)
    assert "of :" not in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_shape_becomes_an_input_of_the_networks_number_format(dtype: torch.dtype) -> None:
    blueprint = record(nn.Conv2d(3, 4, 3).to(dtype), IMAGE)
    assert blueprint.values[blueprint.outputs[0]].dtype == dtype
