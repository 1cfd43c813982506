"""Signals through a network: measured as worked by hand; faults found where they are, whatever the seed."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from sightline.base import ArgumentError
from sightline.blueprint import check_network, measure_signal
from sightline.inference import network_at
from small_networks import Build, Does, conv, found, seq, silenced


def chain(*gains: float, kind: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    """Fully connected layers of 16, each the identity times a gain, which the first ReLU halves."""
    layers: list[nn.Module] = []
    for gain in gains:
        layer = nn.Linear(16, 16, bias=False)
        with torch.no_grad():
            layer.weight.copy_(gain * torch.eye(16))
        layers += [layer, kind()]
    return seq(*layers[:-1])


def deep(layers: int, deviation: float, *, norms: bool = False) -> nn.Sequential:
    """Convolutions as VGG has them, with normal weights."""
    built: list[nn.Module] = []
    for k in range(layers):
        layer = conv(3 if not k else 32, 32, bias=not norms)
        nn.init.normal_(layer.weight, std=deviation)
        built += [layer, *([nn.BatchNorm2d(32)] if norms else []), nn.ReLU()]
    return seq(*built, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 4))


HE = math.sqrt(2 / (9 * 32))


def with_weight(value: float) -> nn.Module:
    network = seq(conv(), nn.ReLU(), conv())
    with torch.no_grad():
        network[0].bias.fill_(10)
        network[2].weight[0, 0, 0, 0] = value
    return network


MEASURED: list[tuple[str, str, str, str, Build, Build]] = [
    ("signal dies", "warning", "", "the signal is down to",
     lambda: deep(14, 0.2 * HE), lambda: deep(14, HE)),
    ("signal explodes", "warning", "", "the signal has grown",
     lambda: deep(14, 5 * HE), lambda: deep(14, HE)),
    ("norms keep the signal", "warning", "", "the signal is down to",
     lambda: deep(14, 0.2 * HE), lambda: deep(14, 0.2 * HE, norms=True)),
    ("gradient dies", "warning", "1", "its gradient is",
     lambda: seq(nn.Flatten(), nn.Linear(48, 16), nn.Tanh(), *chain(*[0.1] * 6, kind=nn.Identity)),
     lambda: seq(nn.Flatten(), nn.Linear(48, 16), nn.Tanh(), *chain(*[1.0] * 6, kind=nn.Identity))),
    ("gradient explodes", "warning", "1", "its gradient is",
     lambda: seq(nn.Flatten(), nn.Linear(48, 16), nn.Tanh(), *chain(*[10.0] * 6, kind=nn.Identity)),
     lambda: seq(nn.Flatten(), nn.Linear(48, 16), nn.Tanh(), *chain(*[1.0] * 6, kind=nn.Identity))),
    ("units silent", "warning", "2", "of 100 units",
     lambda: silenced(0.9), lambda: silenced(0.3)),
    ("all units silent", "error", "2", "all of its 100 units are silent for all of 8 images of noise",
     lambda: silenced(1.0), lambda: silenced(0.9)),
    ("the output is constant", "error", "output", "it is the same for all images",
     lambda: silenced(1.0), lambda: silenced(0.9)),
    ("tanh saturated", "warning", "2", "of its outputs are at the ends of tanh",
     lambda: seq(nn.Flatten(), *chain_wide(100.0), nn.Tanh(), nn.Linear(16, 4)),
     lambda: seq(nn.Flatten(), *chain_wide(1.0), nn.Tanh(), nn.Linear(16, 4))),
    ("sigmoid saturated", "warning", "2", "of its outputs are at the ends of sigmoid",
     lambda: seq(nn.Flatten(), *chain_wide(100.0), nn.Sigmoid(), nn.Linear(16, 4)),
     lambda: seq(nn.Flatten(), *chain_wide(1.0), nn.Sigmoid(), nn.Linear(16, 4))),
    ("weights not finite", "error", "2.weight", "weights that are not finite",
     lambda: with_weight(math.nan), lambda: with_weight(3.0)),
    ("an output not finite", "error", "2", "its output is not finite, and is the first",
     lambda: with_weight(3e38), lambda: with_weight(3e30)),
    ("no gradient comes back", "warning", "a.weight and a.bias", "no gradient comes back to it",
     lambda: Does(lambda m, x: m.b(m.a(x).detach()), a=conv(), b=conv()),
     lambda: Does(lambda m, x: m.b(m.a(x)), a=conv(), b=conv())),
    ("a gradient of 0", "warning", "a.weight and a.bias", "its gradient is 0 in every element",
     lambda: Does(lambda m, x: m.b(torch.round(m.a(x))), a=conv(), b=conv()),
     lambda: Does(lambda m, x: m.b(torch.tanh(m.a(x))), a=conv(), b=conv())),
]  # fmt: skip


def chain_wide(gain: float) -> list[nn.Module]:
    layer = nn.Linear(48, 16)
    with torch.no_grad():
        layer.weight.copy_(gain * torch.eye(16, 48))
    return [layer]


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(
    ("level", "where", "what", "has", "has_not"), [c[1:] for c in MEASURED], ids=[c[0] for c in MEASURED]
)
def test_a_measured_fault_is_found_for_every_seed_and_nowhere_else(
    level: str, where: str, what: str, has: Build, has_not: Build, seed: int
) -> None:
    shape = (1, 3, 4, 4)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        broken, sound = has(), has_not()
    told = [f for f in found(broken, shape) if what in f.what]
    assert [f.level for f in told] == [level]
    assert not where or told[0].where == where  # at which layer a signal is lost depends on the seed
    assert not [f for f in found(sound, shape) if what in f.what]


def test_the_signal_is_what_the_gains_say() -> None:
    """Worked by hand: gains 2, 3, 5 on images (+a, -a), whose half the first ReLU takes."""
    x = torch.ones(2, 16)
    x[1] = -1
    layers = measure_signal(chain(2, 3, 5), x).layers
    assert [layer.id for layer in layers] == ["0", "1", "2", "3", "4"]
    assert [layer.signal for layer in layers] == pytest.approx([2, 1, 3, 3, 15])
    assert [layer.silent for layer in layers] == [0, 0, 0, 0, 0]
    assert [layer.units for layer in layers] == [16] * 5


@pytest.mark.parametrize(
    ("gain", "told"),
    [
        (900, []),
        (1100, ["the signal has grown"]),
        (9.0e3, ["the signal has grown"]),
        (1.1e4, ["the signal has grown", "its gradient is"]),
        (1.1e-3, []),
        (0.9e-3, ["the signal is down"]),
        (1.1e-4, ["the signal is down"]),
        (0.9e-4, ["the signal is down", "its gradient is"]),
    ],
)
def test_the_bounds_are_those_of_the_documentation(gain: float, told: list[str]) -> None:
    """Of three identities, one times a gain, the signals' ratio and the gradients' are the gain."""
    findings = found(chain(1, gain, 1, kind=nn.Identity), (1, 16))
    assert [
        " ".join(f.what.split()[: 4 if "signal" in f.what else 3]) for f in findings if "noise" in f.what
    ] == told


def test_what_all_images_share_is_no_signal() -> None:
    network = chain(1.0, 1.0)
    x = torch.randn(4, 16, generator=torch.Generator().manual_seed(0))
    plain = [layer.signal for layer in measure_signal(network, x).layers]
    network[0].bias = nn.Parameter(torch.full((16,), 1e3))
    with_bias = [layer.signal for layer in measure_signal(network, x).layers]
    assert with_bias[0] == pytest.approx(plain[0], rel=1e-4)
    assert measure_signal(network, torch.ones(4, 16)).layers[0].signal == 0


def test_the_gradient_is_torchs_own() -> None:
    """Against hooks of torch's, with the cotangent that the seed gives."""
    torch.manual_seed(1)
    network, x = deep(3, HE), torch.randn(4, 3, 8, 8)
    signal = measure_signal(network, x, seed=7)
    norms: dict[str, float] = {}
    torch.manual_seed(7)
    output, outputs = x, {}
    for name, module in network.named_children():
        output = module(output)
        if isinstance(module, nn.Conv2d | nn.Linear):
            output.retain_grad()
            outputs[name] = output
    output.backward(torch.randn_like(output))
    for name, made in outputs.items():
        assert made.grad is not None
        norms[name] = float(made.grad.norm())
    measured = {layer.id: layer.gradient for layer in signal.weighted()}
    assert measured == pytest.approx(norms, rel=1e-5)


def test_a_rectifier_in_place_is_measured_as_one_that_is_not() -> None:
    torch.manual_seed(0)
    apart, x = deep(4, HE), torch.randn(4, 3, 8, 8)
    in_place = copy.deepcopy(apart)
    for module in in_place.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = True
    assert measure_signal(in_place, x) == measure_signal(apart, x)


def test_silent_units_are_counted_by_channel_and_by_output() -> None:
    layer = conv(3, 4, 1)
    dense = nn.Linear(4, 6)
    with torch.no_grad():
        layer.bias.copy_(torch.tensor([-1e3, 1e3, 1e3, -1e3]))
        dense.bias.copy_(torch.tensor([-1e9, 0, -1e9, 1e9, 1e9, -1e9]))
        dense.weight[1] = 1.0
    network = seq(layer, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), dense, nn.ReLU())
    layers = {layer.id: layer for layer in measure_signal(network, torch.randn(3, 3, 4, 4)).layers}
    assert (layers["1"].silent, layers["1"].units) == (2, 4)
    assert (layers["5"].silent, layers["5"].units) == (3, 6)


def test_silent_outputs_of_a_linear_layer_are_counted_over_places() -> None:
    layer = nn.Linear(4, 5)
    with torch.no_grad():
        layer.bias.copy_(torch.tensor([-1e3, -1e3, 1e3, 1e3, 1e3]))
    told = measure_signal(seq(layer, nn.ReLU()), torch.randn(2, 3, 4)).layers[1]
    assert (told.silent, told.units) == (2, 5)


@pytest.mark.parametrize("kind", [nn.Sigmoid, nn.Tanh])
def test_both_ends_are_ends(kind: Build) -> None:
    layer = nn.Linear(4, 5)
    with torch.no_grad():
        layer.bias.copy_(torch.tensor([-1e3, -1e3, 1e3, 0.0, 0.0]))
        layer.weight.mul_(0.1)
    assert measure_signal(seq(layer, kind()), torch.ones(2, 4)).layers[1].saturated == pytest.approx(3 / 5)


def test_what_is_never_read_is_told_once() -> None:
    never = Does(lambda m, x: m.a(x), a=conv(), b=conv())
    dead = Does(lambda m, x: (m.b(x), m.a(x))[1], a=conv(), b=conv())
    for network in (never, dead):
        assert [f.what.split(":")[0] for f in found(network) if f.where.startswith("b")] in (
            ["84 of 168 parameters are never read"],
            ["no output depends on it"],
        )


def test_a_last_layer_of_zeros_is_no_fault() -> None:
    network = deep(3, HE)
    nn.init.zeros_(network[-1].weight)
    assert not [f for f in found(network) if "images" in f.what or "gradient" in f.what]


@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_left_as_it_was(training: bool) -> None:
    network = seq(conv(), nn.BatchNorm2d(3), nn.ReLU(inplace=True), nn.Dropout(), conv()).train(training)
    network[2].training = not training
    network[0].weight.grad = torch.ones_like(network[0].weight)
    before = copy.deepcopy(network)
    modes = [module.training for module in network.modules()]
    random = torch.get_rng_state()
    first = check_network(network, (1, 3, 8, 8))
    assert torch.equal(torch.get_rng_state(), random)
    assert check_network(network, (1, 3, 8, 8)) == first, "the same twice"
    assert [module.training for module in network.modules()] == modes
    for (name, now), kept in zip(network.state_dict().items(), before.state_dict().values(), strict=True):
        assert torch.equal(now, kept), name
    assert [p.grad is None for p in network.parameters()] == [False, *[True] * 5]
    assert torch.equal(network[0].weight.grad, torch.ones_like(network[0].weight))
    assert not any(module._forward_hooks or module._backward_hooks for module in network.modules())


def test_inference_mode_hinders_nothing_but_weights_made_in_it() -> None:
    network = silenced(1.0)
    with torch.inference_mode():
        assert found(network, (1, 3, 4, 4))[0].level == "error"
        made_there = silenced(1.0)
    assert all("silent" not in f.what for f in found(made_there, (1, 3, 4, 4)))
    with pytest.raises(ArgumentError, match="made in inference mode"):
        measure_signal(made_there, torch.zeros(2, 3, 4, 4))


def test_integers_and_meta_are_not_measured() -> None:
    words = seq(nn.Embedding(5, 4), nn.Flatten(), nn.Linear(12, 2))
    assert all("images" not in f.what for f in check_network(words, torch.zeros(1, 3, dtype=torch.long)))
    with torch.device("meta"):
        on_meta = silenced(1.0)
    assert all("silent" not in f.what for f in check_network(on_meta, (1, 3, 4, 4)))
    with pytest.raises(ArgumentError, match="it is on meta"):
        measure_signal(on_meta, torch.zeros(2, 3, 4, 4))


def test_what_is_no_batch_is_refused() -> None:
    with pytest.raises(ArgumentError, match="a batch of 2 or more images"):
        measure_signal(chain(1, 1), torch.zeros(1, 16))
    with pytest.raises(ArgumentError, match="batch_size must be 0, or 2 or more; it is 1"):
        check_network(chain(1, 1), (1, 16), batch_size=1)
    with pytest.raises(ArgumentError, match="images are given to one input; the network has 2"):
        check_network(nn.Bilinear(2, 2, 2), (1, 2), (1, 2), images=torch.zeros(2, 2))


def test_images_take_the_place_of_noise() -> None:
    images = torch.full((4, 3, 4, 4), math.nan)
    told = found(silenced(0.1), (1, 3, 4, 4), images=images)
    assert (told[0].level, told[0].where, told[0].what) == ("error", "input", "values that are not finite")


@pytest.mark.parametrize("name", ["lenet5", "mlp", "resnet20", "resnet56", "plain20", "lecture_cnn"])
def test_nothing_measured_is_held_against_a_fresh_network_of_the_zoo(name: str) -> None:
    torch.manual_seed(0)
    there = network_at(name, numbers=True)
    assert not [f for f in check_network(there.network, *there.inputs) if "images" in f.what]


def test_a_plain_network_of_110_layers_has_gradients_that_explode() -> None:
    """As its skips are there to prevent (He et al. 2016), and although it has norms (Yang et al. 2019)."""
    torch.manual_seed(0)
    for name, number in (("plain110", 1), ("resnet110", 0)):
        there = network_at(name, numbers=True)
        told = check_network(there.network, *there.inputs, batch_size=4)
        assert sum("its gradient is" in f.what for f in told) == number
