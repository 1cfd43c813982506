"""A network run live: the ids of its recording, what it gives, what is done otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sightline.base import ArgumentError
from sightline.blueprint import Call, execute, record
from sightline.zoo import get_architecture


class Made(nn.Module):
    """A network of a function and the layers it uses."""

    def __init__(self, run: Callable[..., Any], *layers: nn.Module) -> None:
        super().__init__()
        self.run, self.layers = run, nn.ModuleList(layers)

    def forward(self, *inputs: Tensor) -> Any:
        return self.run(self.layers, *inputs)


def functional(layers: nn.ModuleList, x: Tensor) -> Tensor:
    y = F.relu(layers[0](x))
    y = F.max_pool2d(y, 2) + layers[1](x)[:, :, ::2, ::2]
    return torch.cat([y, y * 2], 1).flatten(1)


def in_place(layers: nn.ModuleList, x: Tensor) -> Tensor:
    y = layers[0](x)
    y += 1
    y[:, 0] = 0
    return y.mul_(2).relu_()


def reused(layers: nn.ModuleList, x: Tensor) -> Tensor:
    for _ in range(3):
        x = layers[1](layers[0](x))
    return F.relu(F.relu(x))


def conv(ins: int, outs: int) -> nn.Conv2d:
    return nn.Conv2d(ins, outs, 3, padding=1)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "functional": lambda: Made(functional, conv(3, 3), conv(3, 3)),
    "in place": lambda: Made(in_place, conv(3, 3)),
    "reused": lambda: Made(reused, conv(3, 3), nn.ReLU(inplace=True)),
    "dropped": lambda: nn.Sequential(conv(3, 3), nn.Dropout(), nn.BatchNorm2d(3), nn.Identity()),
    "several outputs": lambda: Made(lambda layers, x: {"a": layers[0](x), "b": x.chunk(3, 1)}, conv(3, 2)),
    "attention": lambda: Made(
        lambda layers, x: (lambda y: layers[0](y, y, y)[0])(x.flatten(2).mT),
        nn.MultiheadAttention(3, 1, batch_first=True)),
}  # fmt: skip
SMALL = [
    "airbench94", "alexnet", "googlenet", "lecture_cnn", "lenet5", "lenet5_1998", "mlp", "mnist1d_conv",
    "plain20", "prelunet_a", "resnet18", "resnet20", "resnet50", "softmax_regression", "squeezenet1_1",
    "vgg11_bn", "vgg_a_lrn", "zfnet",
]  # fmt: skip


def image(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", [*NETWORKS, *SMALL])
@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
def test_ids_are_those_of_the_recording(name: str, training: bool) -> None:
    if name in NETWORKS:
        network, shape = NETWORKS[name](), (2, 3, 8, 8)
    else:
        architecture = get_architecture(name)
        network, shape = architecture.build(), (2, *architecture.input_shape)
        if shape[2:] == (224, 224) and name.startswith(("resnet", "vgg11", "squeeze", "googlenet")):
            shape = (2, 3, 64, 64) if not name.startswith("vgg") else (2, 3, 32, 32)
    recorded = [node.id for node in record(network, shape, training=training).nodes]
    with torch.no_grad():
        ran = execute(network, image(*shape), training=training).ran
    assert [id for id in ran if id in set(recorded)] == recorded  # noqa: A001
    # a call that has nothing to do, or works on weights alone, is run and is no node
    assert {id.rpartition(":")[2].partition("#")[0] for id in ran if id not in recorded} <= {  # noqa: A001
        "contiguous", "getitem",
    }  # fmt: skip


def test_captured_outputs_are_those_of_hooks() -> None:
    network = get_architecture("resnet20").build().eval()
    x = image(2, 3, 32, 32)
    names = [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]
    told: dict[str, Tensor] = {}
    hooks = [
        network.get_submodule(n).register_forward_hook(lambda m, i, o, n=n: told.update({n: o.clone()}))
        for n in names
    ]
    with torch.no_grad():
        expected = network(x)
    for hook in hooks:
        hook.remove()
    found = execute(network, x, capture=names)
    assert list(found.captured) == names
    assert all(torch.equal(found.captured[n], told[n]) for n in names)
    assert torch.equal(found.output, expected)


def test_what_is_written_later_does_not_change_what_was_captured() -> None:
    network = nn.Sequential(conv(3, 3), nn.ReLU(inplace=True), nn.Hardtanh(0, 0.1, inplace=True))
    x = image(1, 3, 4, 4)
    found = execute(network, x, capture=["0", "1", "2"])
    with torch.no_grad():
        first = network[0](x)
        assert torch.equal(found.captured["0"], first)
        assert torch.equal(found.captured["1"], F.relu(first))
        assert torch.equal(found.captured["2"], F.hardtanh(F.relu(first), 0, 0.1))
    assert torch.equal(found.output, found.captured["2"])


def test_what_a_function_writes_in_place_is_captured_step_by_step() -> None:
    network = Made(in_place, conv(3, 3))
    x = image(1, 3, 4, 4)
    found = execute(network, x, capture=[":add", ":mul", ":relu"])
    y = network.layers[0](x) + 1
    assert torch.equal(found.captured[":add"], y)
    y = y.clone()
    y[:, 0] = 0
    assert torch.equal(found.captured[":mul"], y * 2)
    assert torch.equal(found.output, F.relu(y * 2))
    assert torch.equal(found.output, network(x))


def test_gradients_flow_through_what_is_captured() -> None:
    network = nn.Sequential(conv(3, 4), nn.ReLU(inplace=True), conv(4, 2), nn.Flatten())
    x = image(1, 3, 4, 4)
    found = execute(network, x, capture=["0", "1", "2"])
    told = torch.autograd.grad(found.output.sum() ** 2, list(found.captured.values()))
    expected, y = [], x
    for layer in (network[0], lambda z: F.relu(z), network[2]):
        y = layer(y)
        y.retain_grad()
        expected.append(y)
    (y.flatten(1).sum() ** 2).backward()
    for a, b in zip(told, expected, strict=True):
        torch.testing.assert_close(a, b.grad)


def test_gradients_reach_the_weights_as_without_us() -> None:
    network = get_architecture("lenet5").build()
    x = image(2, 1, 32, 32)
    network(x).sum().backward()
    expected = [p.grad.clone() for p in network.parameters() if p.grad is not None]
    network.zero_grad()
    execute(network, x, capture=lambda id: True).output.sum().backward()  # noqa: A006
    for parameter, there in zip(network.parameters(), expected, strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, there)


def test_without_gradients_there_are_none() -> None:
    network = nn.Sequential(conv(3, 4))
    with torch.no_grad():
        assert not execute(network, image(1, 3, 4, 4), capture=["0"]).captured["0"].requires_grad
    assert execute(network, image(1, 3, 4, 4), capture=["0"]).captured["0"].requires_grad


def test_a_rule_by_id_and_a_rule_by_kind() -> None:
    network = nn.Sequential(nn.ReLU(), nn.Linear(2, 2, bias=False), nn.ReLU(), nn.ReLU())
    nn.init.eye_(network[1].weight)
    x = torch.tensor([[-3.0, 2.0]])
    met: list[str] = []

    def leaky(call: Call) -> Any:
        met.append(call.id)
        return F.leaky_relu(call.args[0], 0.5)

    assert execute(network, x, rules={"relu": leaky}).output.tolist() == [[-3.0 / 8, 2.0]]
    assert met == ["0", "2", "3"]
    assert execute(network, x, rules={"0": leaky}).output.tolist() == [[0.0, 2.0]]
    found = execute(network, x, rules={"relu": leaky, "3": lambda call: call.run() + 1}, capture=["0", "3"])
    assert found.output.tolist() == [[1.0, 3.0]]  # the id goes before the kind
    assert found.captured["0"].tolist() == [[-1.5, 2.0]]
    assert found.captured["3"].tolist() == [[1.0, 3.0]]


def test_a_rule_for_a_function_and_its_second_call() -> None:
    network = Made(lambda layers, x: F.relu(F.relu(x) - 5) + x)
    found = execute(network, torch.tensor([7.0]), rules={":relu#2": lambda call: call.args[0] * 10})
    assert found.ran == (":relu", ":sub", ":relu#2", ":add")
    assert found.output.tolist() == [27.0]


def test_a_rule_for_what_is_not_there_is_an_error_unless_it_is_a_kind() -> None:
    network = nn.Sequential(conv(3, 3))
    execute(network, image(1, 3, 4, 4), rules={"relu": lambda call: call.run()})
    with pytest.raises(ArgumentError, match=r"no node ':relu' was met in Sequential; there are: 0"):
        execute(network, image(1, 3, 4, 4), rules={":relu": lambda call: call.run()})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "layer1.0.conv3",
            r"no node 'layer1.0.conv3' was met in CifarResNet; did you mean layer1.0.conv2 or",
        ),
        ("layer1", r"no node 'layer1' was met in CifarResNet; "),
    ],
)
def test_a_captured_id_that_is_not_met(name: str, message: str) -> None:
    network = get_architecture("resnet20").build()
    with pytest.raises(ArgumentError, match=message) as caught:
        execute(network, image(1, 3, 32, 32), capture=[name])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("fails", [False, True])
def test_the_network_is_left_as_it_was(training: bool, fails: bool) -> None:
    def run(layers: nn.ModuleList, x: Tensor) -> Tensor:
        found: Tensor = layers[1](layers[0](x))
        if fails:
            raise ValueError("no")
        return found

    network = Made(run, nn.BatchNorm2d(3), nn.Dropout())
    network.layers[0].eval()
    call = nn.Module.__call__
    modes = [m.training for m in network.modules()]
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    if fails:
        with pytest.raises(ValueError, match="no"):
            execute(network, image(2, 3, 4, 4), training=training)
    else:
        found = execute(network, image(2, 3, 4, 4), training=training, capture=["layers.0"])
        assert (found.captured["layers.0"].mean().abs() < 1e-6) == training
    assert nn.Module.__call__ is call
    assert [m.training for m in network.modules()] == modes
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
