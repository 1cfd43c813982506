"""Memory of a pass and of a training step: worked out by hand, and against storages watched on a real run."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from sightline.base import ArgumentError
from sightline.blueprint import LiveBytes, inference_memory, record, training_memory
from sightline.zoo import get_architecture


class Made(nn.Module):
    """A network of a function and the layers it uses."""

    def __init__(self, run: Callable[..., Any], *layers: nn.Module) -> None:
        super().__init__()
        self.run, self.layers = run, nn.ModuleList(layers)

    def forward(self, *inputs: Tensor) -> Any:
        return self.run(self.layers, *inputs)


class Watched(TorchDispatchMode):
    """Storages that operations make on a real device, by weak reference, at the end of every operation."""

    def __init__(self) -> None:
        super().__init__()
        self.there: list[tuple[weakref.ref[Any], int]] = []
        self.most = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before = {
            t.untyped_storage().data_ptr()
            for t in torch.utils._pytree.tree_leaves((args, kwargs))
            if isinstance(t, Tensor)
        }
        output = func(*args, **(kwargs or {}))
        for t in torch.utils._pytree.tree_leaves(output):
            if isinstance(t, Tensor) and t.untyped_storage().data_ptr() not in before:
                storage = t.untyped_storage()
                self.there.append((weakref.ref(storage), storage.nbytes()))
        self.most = max(self.most, self.now)
        return output

    @property
    def now(self) -> int:
        self.there = [(ref, size) for ref, size in self.there if ref() is not None]
        return sum(size for _, size in self.there)


def conv(ins: int, outs: int, **more: Any) -> nn.Conv2d:
    return nn.Conv2d(ins, outs, 3, padding=1, **more)


def residual(layers: nn.ModuleList, x: Tensor) -> Tensor:
    a = layers[0](x)
    return a + layers[2](F.relu(layers[1](a)))


def densely(layers: nn.ModuleList, x: Tensor) -> Tensor:
    for layer in layers:
        x = torch.cat([x, F.relu(layer(x))], 1)
    return x


class Called(nn.Module):
    """A network with one input, for `torch.fx`, which traces no `*inputs`."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Any:
        return self.network(x)


MAP = 4 * 16  # bytes of one channel of 4x4
# name: network, channels in, the most that is alive, and where
INFERENCE: dict[str, tuple[nn.Module, int, int, str]] = {
    # 2 channels, 2 + 2, then 2 + 5
    "chain": (nn.Sequential(conv(1, 2), nn.ReLU(), conv(2, 5)), 1, 7 * MAP, "2"),
    "chain, widest first": (nn.Sequential(conv(1, 6), nn.ReLU(), conv(6, 1)), 1, 12 * MAP, "1"),
    "in place": (nn.Sequential(conv(1, 6), nn.ReLU(inplace=True), conv(6, 1)), 1, 7 * MAP, "2"),
    "a view": (nn.Sequential(conv(1, 6), nn.Flatten(), nn.Linear(96, 1)), 1, 6 * MAP + 4, "2"),
    "two views": (Made(lambda layers, x: layers[0](x).mT.flatten(2), conv(1, 6)), 1, 12 * MAP, ":flatten"),
    "the input alone": (nn.Identity(), 3, 0, ""),
    "of weights alone": (  # made once, and alive until it is read
        Made(lambda layers, x: F.conv2d(x, layers[0].weight * 2), conv(1, 2, bias=False)), 1,
        4 * 18 + 4 * 8, ":conv2d"),
    # the sum's first term waits for its second: 3 channels of it, of the layer and of the ReLU
    "residual": (Made(residual, conv(1, 3), conv(3, 3), conv(3, 3)), 1, 9 * MAP, ":relu"),
    "pooling keeps places": (  # and where each largest was, 8 bytes a place
        nn.Sequential(conv(1, 2), nn.MaxPool2d(2)), 1, 2 * MAP + 2 * 4 * 4 + 2 * 4 * 8, "1"),
}  # fmt: skip


@pytest.mark.parametrize("name", INFERENCE)
def test_a_pass_worked_out_by_hand(name: str) -> None:
    network, channels, most, at = INFERENCE[name]
    found = inference_memory(record(network, (1, channels, 4, 4)))
    assert (found.activations, found.at) == (most, at)
    assert found.inputs == channels * MAP
    assert found.parameters == 4 * sum(p.numel() for p in network.parameters())
    assert found.peak == found.parameters + found.inputs + most


def test_buffers_and_number_formats_and_batches() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)).half()
    found = inference_memory(record(network, (3, 1, 4, 4)))
    assert found.parameters == 2 * (4 + 4)
    assert found.buffers == 2 * 4 + 8  # mean and variance of two channels, and a count
    assert found.inputs == 3 * 16 * 2
    assert found.activations >= 2 * 3 * 2 * 16 * 2
    one, two = (inference_memory(record(nn.Sequential(conv(1, 2), nn.ReLU()), (n, 1, 4, 4))) for n in (1, 2))
    assert two.activations == 2 * one.activations


def stacks() -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    """Networks that hold no tensor longer than they read it: Python lets go of each where it is replaced."""
    found: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
        "norms": (
            nn.Sequential(conv(3, 8), nn.BatchNorm2d(8), nn.ReLU(True), nn.AvgPool2d(2), nn.GroupNorm(2, 8)),
            (2, 3, 12, 12)),
        "up": (
            nn.Sequential(
                conv(3, 4), nn.Upsample(scale_factor=2), nn.ConvTranspose2d(4, 2, 2, 2), nn.Sigmoid()),
            (1, 3, 6, 6)),
        "words": (nn.Sequential(nn.Linear(8, 32), nn.GELU(), nn.Linear(32, 8), nn.Softmax(-1)), (2, 5, 8)),
    }  # fmt: skip
    return found


@pytest.mark.parametrize("name", stacks())
def test_a_pass_is_what_a_real_one_takes(name: str) -> None:
    network, shape = stacks()[name]
    image = torch.rand(shape)
    with torch.no_grad(), Watched() as watched:
        network.eval()(image)
    assert inference_memory(record(network, shape)).activations == watched.most > 0


@pytest.mark.parametrize("name", ["lenet5", "resnet20", "squeezenet1_1", "googlenet", "densely joined"])
def test_a_network_takes_what_an_interpreter_does(name: str) -> None:
    """`torch.fx` runs it node by node, and lets go of what no later node reads; Python itself holds more."""
    shape: tuple[int, ...] = (1, 3, 8, 8)
    if name == "densely joined":
        network: nn.Module = Made(densely, conv(3, 4), conv(7, 4), conv(11, 4))
    else:
        architecture = get_architecture(name)
        network, shape = architecture.build(), (1, *architecture.input_shape)
    traced = torch.fx.symbolic_trace(Called(network).eval())
    image = torch.rand(shape)
    with torch.no_grad(), Watched() as watched:
        torch.fx.Interpreter(traced).run(image)
    assert inference_memory(record(network, shape)).activations == watched.most


# ------------------------------------------------------------------ training


def saved_by_autograd(network: nn.Module, *inputs: Tensor) -> int:
    """Bytes that a real forward pass and its loss keep for the backward pass, weights and inputs left out."""
    own = {t.untyped_storage().data_ptr() for t in (*network.parameters(), *network.buffers(), *inputs)}
    kept: dict[int, int] = {}
    alive: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        alive.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = network.train()(*inputs)
        target = torch.zeros((output.shape[0], *output.shape[2:]), dtype=torch.long)
        F.cross_entropy(output, target)
    return sum(kept.values())


LOSS = 4  # bytes of the loss itself, alive when the forward pass ends


TRAINED: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    **stacks(),
    "chain": (
        nn.Sequential(conv(3, 4), nn.ReLU(), conv(4, 5), nn.ReLU(), nn.Flatten(), nn.Linear(80, 3)),
        (2, 3, 4, 4)),
    "in place": (nn.Sequential(conv(3, 4), nn.ReLU(inplace=True), conv(4, 5)), (2, 3, 4, 4)),
    "pooled": (
        nn.Sequential(conv(3, 4), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten()), (2, 3, 4, 4)),
    "residual": (Made(residual, conv(3, 3), conv(3, 3), conv(3, 3)), (2, 3, 4, 4)),
    "dropped": (nn.Sequential(conv(3, 4), nn.Dropout(0.5), conv(4, 5)), (2, 3, 4, 4)),
    "joined": (
        Made(lambda layers, x: torch.cat([layers[0](x), layers[1](x)], 1), conv(3, 2), conv(3, 2)),
        (2, 3, 4, 4)),
}  # fmt: skip


@pytest.mark.parametrize("name", TRAINED)
def test_what_is_saved_is_what_autograd_saves(name: str) -> None:
    network, shape = TRAINED[name]
    image = torch.rand(shape)
    assert training_memory(network, image).saved == saved_by_autograd(network, image) + LOSS


@pytest.mark.parametrize("name", ["lenet5", "resnet20", "vgg11_bn"])
def test_what_an_architecture_saves(name: str) -> None:
    architecture = get_architecture(name)
    shape = (2, *(architecture.input_shape if name != "vgg11_bn" else (3, 32, 32)))
    network = architecture.build()
    image = torch.rand(shape)
    assert training_memory(network, image).saved == saved_by_autograd(network, image) + LOSS


@pytest.mark.parametrize("name", TRAINED)
def test_the_peak_of_a_step_is_what_a_real_one_takes(name: str) -> None:
    network, shape = TRAINED[name]
    network.train().zero_grad(set_to_none=True)
    image = torch.rand(shape)
    target_shape = (shape[0], *network(image).shape[2:])
    gc.collect()
    with Watched() as watched:
        F.cross_entropy(network(image), torch.zeros(target_shape, dtype=torch.long)).backward()
    network.zero_grad(set_to_none=True)
    told = training_memory(network, image, optimizer="none")
    assert told.peak - told.parameters - told.buffers - told.inputs == watched.most


def test_a_step_worked_out_by_hand() -> None:
    """One layer from 3 numbers to 2, two images."""
    found = training_memory(nn.Linear(3, 2), (2, 3), optimizer="sgd_momentum")
    assert (found.batch, found.parameters, found.buffers, found.inputs) == (2, 4 * 8, 0, 4 * 6)
    assert found.gradients == 4 * 8
    assert found.optimizer_state == 4 * 8
    # the logarithm of the softmax, the targets, how much they weigh, the loss
    assert found.saved == 4 * 4 + 8 * 2 + 4 + 4
    assert found.to_dict()["optimizer"] == "sgd_momentum"


@pytest.mark.parametrize(
    ("optimizer", "numbers"), [("none", 0), ("sgd", 0), ("sgd_momentum", 1), ("adam", 2), ("adamw", 2)]
)
def test_the_state_is_that_of_the_real_optimizer(optimizer: str, numbers: int) -> None:
    network = nn.Sequential(conv(1, 2), nn.Flatten(), nn.Linear(32, 3))
    network[0].weight.requires_grad_(False)
    trained = [p for p in network.parameters() if p.requires_grad]
    found = training_memory(network, (1, 1, 4, 4), optimizer=optimizer)
    assert found.optimizer_state == numbers * sum(p.nbytes for p in trained)
    assert found.gradients == sum(p.nbytes for p in trained)
    made: Any = {
        "none": None, "sgd": torch.optim.SGD(trained, 0.1),
        "sgd_momentum": torch.optim.SGD(trained, 0.1, momentum=0.9), "adam": torch.optim.Adam(trained),
        "adamw": torch.optim.AdamW(trained),
    }[optimizer]  # fmt: skip
    if made is not None:
        network(torch.rand(1, 1, 4, 4)).sum().backward()
        made.step()
        kept = [t for s in made.state.values() for t in s.values() if isinstance(t, Tensor) and t.dim()]
        assert found.optimizer_state == sum(t.nbytes for t in kept)


def test_a_batch_takes_its_share() -> None:
    network = nn.Sequential(conv(3, 4), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5))
    one, two, four = (training_memory(network, (n, 3, 4, 4)) for n in (2, 4, 8))
    assert four.saved - two.saved == 2 * (two.saved - one.saved) > 0
    assert (one.gradients, one.parameters) == (four.gradients, four.parameters)


def test_a_shared_weight_has_one_gradient() -> None:
    layer = nn.Linear(4, 4)
    found = training_memory(nn.Sequential(layer, nn.ReLU(), layer), (2, 4))
    assert found.parameters == found.gradients == 4 * 20


def test_the_network_is_left_as_it_was() -> None:
    network = nn.Sequential(conv(3, 4), nn.BatchNorm2d(4), nn.Dropout()).eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    torch.manual_seed(0)
    state = torch.get_rng_state()
    training_memory(network, torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(module.training for module in network.modules())
    assert all(p.grad is None and not p.is_meta for p in network.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize(
    ("network", "optimizer", "message"),
    [
        (nn.Linear(3, 2), "adm", "optimizer is 'adm'; did you mean adam or"),
        (nn.Linear(4, 2), "adamw", "a training step of Linear cannot be followed"),
        (nn.Linear(3, 2).requires_grad_(False), "adamw", "no output asks for a gradient"),
        (Made(lambda layers, x: x * float(x.sum())), "adamw", "a training step of Made cannot be followed"),
    ],
    ids=["optimizer", "shape", "frozen", "numbers"],
)
def test_what_cannot_be_told(network: nn.Module, optimizer: str, message: str) -> None:
    with pytest.raises(ArgumentError, match=message) as caught:
        training_memory(network, (2, 3), optimizer=optimizer)
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------ live bytes


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_live_bytes_by_hand(device: str) -> None:
    held = torch.zeros(4, device=device)
    with LiveBytes() as live:
        live.hold(held)
        live.hold(held.view(2, 2))
        assert live.now == 16
        a = torch.zeros(10, device=device)
        b = a.view(2, 5)
        a += 1
        assert live.now == 16 + 40
        c = a * 2
        assert (live.now, live.most) == (16 + 80, 16 + 80)
        del a
        assert live.now == 16 + 80  # its view is there
        del b
        assert live.now == 16 + 40
        del c
    assert (live.now, live.most) == (16, 16 + 80)
