"""Attributions pixel by pixel: finite differences, sums, formulas, one network written in many ways."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sightline.base import ArgumentError
from sightline.blueprint import execute
from sightline.views import (
    HOWS,
    Picture,
    Request,
    Subject,
    View,
    gradcam,
    gradcam_plus_plus,
    guided,
    integrated,
    layercam,
    occlusion,
    saliency,
    smoothgrad,
    view,
)
from sightline.views._evidence import score
from small_networks import Does, conv, seq

EVERY: dict[str, Callable[..., View]] = {
    "saliency": saliency,
    "guided": guided,
    "integrated": integrated,
    "smoothgrad": smoothgrad,
    "gradcam": gradcam,
    "gradcam++": gradcam_plus_plus,
    "layercam": layercam,
    "occlusion": occlusion,
}
LAYERED = ("gradcam", "gradcam++", "layercam")


def random(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def drawn(network: nn.Module, seed: int = 1) -> nn.Module:
    """Weights of its own, in double precision."""
    network = network.double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            new = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(new / max(1, parameter[0].numel()) ** 0.5)
    return network


def subject(network: nn.Module, *shape: int, classes: tuple[str, ...] = ()) -> Subject:
    return Subject.of(network, shape, classes=classes)  # type: ignore[arg-type]


def picture(x: Tensor) -> Picture:
    pixels = np.full((*x.shape[2:], 3), 128, np.uint8)
    return Picture(name="picture", x=x, pixels=pixels)


def small() -> nn.Module:
    return drawn(
        seq(conv(2, 4), nn.ReLU(), nn.MaxPool2d(2), conv(4, 5), nn.Tanh(), nn.Flatten(), nn.Linear(45, 3))
    )


# ---------------------------------------------------------------- one network, written in five ways


def as_functions(self: Any, x: Tensor) -> Tensor:
    x = F.max_pool2d(F.relu(self.first(x)), 2)
    x = F.relu(self.second(x))
    return self.last(torch.flatten(x, 1))


def in_place(self: Any, x: Tensor) -> Tensor:
    x = F.max_pool2d(F.relu_(self.first(x)), 2)
    x = self.second(x).relu_()
    return self.last(x.flatten(1))


def result_unused(self: Any, x: Tensor) -> Tensor:
    x = self.first(x)
    self.again(x)
    x = torch.max_pool2d(x, 2)
    x = self.second(x)
    self.again(x)
    return self.last(x.flatten(1))


def reused(self: Any, x: Tensor) -> Tensor:
    x = self.pool(self.again(self.first(x)))
    return self.last(self.again(self.second(x)).flatten(1))


def as_clamps(self: Any, x: Tensor) -> Tensor:
    x = F.max_pool2d(self.first(x).clamp(min=0), 2)
    return self.last(self.second(x).clamp_min(0).flatten(1))


def ways() -> dict[str, nn.Module]:
    layers = drawn(nn.ModuleList([conv(2, 4), conv(4, 5), nn.Linear(45, 3)]))
    named = dict(zip(("first", "second", "last"), layers, strict=True))
    return {
        "modules": seq(layers[0], nn.ReLU(), nn.MaxPool2d(2), layers[1], nn.ReLU(), nn.Flatten(), layers[2]),
        "modules in place": seq(
            layers[0], nn.ReLU(True), nn.MaxPool2d(2), layers[1], nn.ReLU(True), nn.Flatten(), layers[2]
        ),
        "functions": Does(as_functions, **named),
        "functions in place": Does(in_place, **named),
        "reused": Does(reused, again=nn.ReLU(), pool=nn.MaxPool2d(2), **named),
        "reused in place": Does(reused, again=nn.ReLU(True), pool=nn.MaxPool2d(2), **named),
        "result unused": Does(result_unused, again=nn.ReLU(True), **named),
        "clamps": Does(as_clamps, **named),
    }


@pytest.mark.parametrize("how", EVERY)
def test_a_network_written_in_another_way_is_seen_the_same(how: str) -> None:
    x = random(3, 1, 2, 6, 6)
    found = {}
    for name, network in ways().items():
        result = EVERY[how](subject(network, 2, 6, 6), picture(x), target=1)
        key = "signed" if how in LAYERED else "map.mean" if how == "integrated" else "map"
        found[name] = result.arrays[key]
    assert np.abs(found["modules"]).max() > 0
    for name, array in found.items():
        np.testing.assert_array_equal(array, found["modules"], err_msg=name)


@pytest.mark.parametrize("how", EVERY)
@pytest.mark.parametrize("way", ["modules", "result unused"])
def test_the_network_is_left_as_it_was(how: str, way: str) -> None:
    network = ways()[way]
    network.append(nn.BatchNorm1d(3).double()) if isinstance(network, nn.Sequential) else None
    network.train()
    before = copy.deepcopy(network.state_dict())
    x = random(3, 1, 2, 6, 6)
    given = x.clone()
    EVERY[how](subject(network, 2, 6, 6), picture(x), target=0, sanity=True)
    after = network.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(module.training for module in network.modules())
    assert not any(m._forward_hooks or m._backward_hooks for m in network.modules())
    assert torch.equal(x, given)
    assert not x.requires_grad


# ---------------------------------------------------------------- gradients


@pytest.mark.parametrize("target", [0, 2])
def test_saliency_is_the_finite_difference(target: int) -> None:
    network, x, step = small(), random(5, 1, 2, 6, 6), 1e-6
    found = saliency(subject(network, 2, 6, 6), picture(x), target=target)
    told = np.empty((2, 6, 6))
    for place in np.ndindex(2, 6, 6):
        moved = torch.zeros_like(x)
        moved[(0, *place)] = step
        with torch.no_grad():
            told[place] = (network(x + moved) - network(x - moved))[0, target].item() / (2 * step)
    np.testing.assert_allclose(found.arrays["values"], told, atol=1e-8)
    np.testing.assert_allclose(found.arrays["magnitude"], np.abs(told).max(0), atol=1e-8)
    np.testing.assert_allclose(found.arrays["map"], told.sum(0), atol=1e-8)


def test_guided_backpropagation_by_hand() -> None:
    # two 1x1 filters, +1 and -1, a rectifier, then class 0 = sum(a) - 2 sum(b) over places
    network = seq(
        nn.Conv2d(1, 2, 1, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2, bias=False)
    ).double()
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([1.0, -1.0]).view(2, 1, 1, 1))
        network[3].weight.copy_(torch.tensor([[1.0, 1, -2, -2], [0, 0, 0, 0]]))
    x = torch.tensor([[[[3.0, -4.0]]]], dtype=torch.float64)
    made = subject(network, 1, 1, 2)
    # at 3 filter a is on: 1; at -4 filter b is on, and its gradient -2 goes through the -1 as +2
    np.testing.assert_array_equal(saliency(made, picture(x), target=0).arrays["map"], [[1.0, 2.0]])
    # guided: the gradient of b is negative at the rectifier, and stopped
    np.testing.assert_array_equal(guided(made, picture(x), target=0).arrays["map"], [[1.0, 0.0]])


def test_guided_goes_by_what_a_layer_is_and_not_by_its_name() -> None:
    """A convolution called relu lets every gradient through."""

    class Misnamed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relu = nn.Conv2d(1, 2, 3)
            self.clip = nn.Flatten()

        def forward(self, x: Tensor) -> Tensor:
            return self.clip(self.relu(x))

    network = drawn(Misnamed())
    made, x = subject(network, 1, 3, 3), random(0, 1, 1, 3, 3)
    with pytest.raises(ArgumentError, match="has none"):
        guided(made, picture(x), target=0)


def test_guided_is_the_gradient_where_rectifiers_are_linear() -> None:
    network = drawn(seq(conv(1, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 2)))
    with torch.no_grad():  # every unit on, every gradient positive
        network[0].bias.fill_(100.0)
        network[3].weight.abs_()
    made, shown = subject(network, 1, 4, 4), picture(random(1, 1, 1, 4, 4))
    np.testing.assert_allclose(
        guided(made, shown).arrays["values"], saliency(made, shown).arrays["values"], atol=1e-12
    )


def test_guided_against_hooks_on_modules() -> None:
    network, x = ways()["modules"], random(3, 1, 2, 6, 6)
    handles = [
        layer.register_full_backward_hook(lambda m, gi, go: (gi[0].clamp(min=0) * (go[0] > 0),))
        for layer in network
        if isinstance(layer, nn.ReLU)
    ]
    leaf = x.clone().requires_grad_()
    network(leaf)[0, 1].backward()
    for handle in handles:
        handle.remove()
    network.zero_grad()
    assert leaf.grad is not None
    found = guided(subject(network, 2, 6, 6), picture(x), target=1)
    np.testing.assert_allclose(found.arrays["values"], leaf.grad[0].numpy(), atol=1e-12)


def test_smoothgrad_is_the_mean_of_gradients_of_noisy_copies() -> None:
    network, x = small(), random(5, 1, 2, 6, 6)
    made = subject(network, 2, 6, 6)
    found = smoothgrad(made, picture(x), target=0, samples=20, seed=4)
    noise = 0.15 * float(x.max() - x.min())
    assert found.figures["noise"] == pytest.approx(noise)
    generator = torch.Generator().manual_seed(4)
    drawn_ = torch.cat([torch.randn((n, 2, 6, 6), generator=generator, dtype=torch.float64) for n in (16, 4)])
    copies = [saliency(made, picture(x + noise * d), target=0).arrays["values"] for d in drawn_]
    np.testing.assert_allclose(found.arrays["values"], np.mean(copies, 0), atol=1e-12)


def test_smoothgrad_of_a_linear_network_is_its_gradient() -> None:
    network = drawn(seq(nn.Flatten(), nn.Linear(16, 2)))
    made, shown = subject(network, 1, 4, 4), picture(random(1, 1, 1, 4, 4))
    weights = network[1].weight[1].detach().numpy().reshape(1, 4, 4)
    found = smoothgrad(made, shown, target=1, samples=7).arrays["values"]
    np.testing.assert_allclose(found, weights, atol=1e-12)


# ---------------------------------------------------------------- integrated gradients


def test_integrated_gradients_of_a_linear_network_are_exact() -> None:
    network = drawn(seq(nn.Flatten(), nn.Linear(16, 2)))
    x = random(1, 1, 1, 4, 4)
    found = integrated(subject(network, 1, 4, 4), picture(x), target=1, steps=1)
    weights = network[1].weight[1].detach().numpy().reshape(4, 4)
    np.testing.assert_allclose(found.arrays["map.mean"], weights * x[0, 0].numpy(), atol=1e-12)
    assert not found.findings


def test_integrated_gradients_of_a_square_by_hand() -> None:
    # score = x1^2 + x2: of 0 to (3, 5) the attributions are 9 and 5
    network = Does(lambda self, x: torch.stack([x[:, 0, 0, 0] ** 2 + x[:, 0, 0, 1], 0 * x[:, 0, 0, 0]], 1))
    x = torch.tensor([[[[3.0, 5.0]]]], dtype=torch.float64)
    found = integrated(subject(network, 1, 1, 2), picture(x), target=0, steps=4)
    np.testing.assert_allclose(found.arrays["map.mean"], [[9.0, 5.0]], atol=1e-12)


@pytest.mark.parametrize("baselines", [("mean",), ("mean", "black"), ("white", "black")])
def test_integrated_gradients_add_up(baselines: Any) -> None:
    from sightline.imaging import Preprocessing

    network, x = ways()["modules"], 3 * random(5, 1, 2, 6, 6)
    prepared = Preprocessing(size=(6, 6), fit="none", mean=[0.5, 0.4], std=[0.2, 0.3])
    made = Subject.of(network, (2, 6, 6), preprocessing=prepared)
    found = integrated(made, picture(x), target=2, baselines=baselines)
    starts = {"mean": torch.zeros(1, 2, 6, 6).double()}
    for name, value in (("black", 0.0), ("white", 1.0)):
        starts[name] = ((value - torch.tensor([0.5, 0.4])) / torch.tensor([0.2, 0.3])).view(1, 2, 1, 1)
        starts[name] = starts[name].double().expand(1, 2, 6, 6)
    for name in baselines:
        with torch.no_grad():
            difference = float((network(x) - network(starts[name]))[0, 2])
        assert found.arrays[f"map.{name}"].sum() == pytest.approx(
            difference, abs=1e-3 * max(1, abs(difference))
        )
        assert found.figures["baselines"][name]["complete"]
    assert not found.findings


def test_steps_are_halved_where_the_path_bends() -> None:
    # score = |sum - 1|: a bend at a third of the way, which equal steps miss
    network = Does(lambda self, x: torch.stack([(x.sum((1, 2, 3)) - 1).abs(), x[:, 0, 0, 0]], 1))
    x = torch.full((1, 1, 1, 3), 1.0, dtype=torch.float64)
    made = subject(network, 1, 1, 3)
    even = integrated(made, picture(x), target=0, baselines=("mean",), steps=32)
    assert even.figures["baselines"]["mean"]["error"] > 0.02
    assert even.figures["baselines"]["mean"]["steps"] == 32
    found = integrated(made, picture(x), target=0, baselines=("mean",))
    told = found.figures["baselines"]["mean"]
    assert told["error"] <= 1e-3
    assert 32 < told["steps"] < 45  # only those at the bend
    np.testing.assert_allclose(found.arrays["map.mean"], np.full((1, 3), 1 / 3), atol=1e-3)


def test_what_does_not_add_up_is_a_finding() -> None:
    network = Does(
        lambda self, x: torch.stack([torch.sigmoid(200 * x.sum((1, 2, 3)) - 60), x[:, 0, 0, 0]], 1)
    )
    x = torch.full((1, 1, 2, 2), 0.25, dtype=torch.float64)
    found = integrated(subject(network, 1, 2, 2), picture(x), target=0, steps=2)
    assert any(
        "adds up to" in finding.what and "leave --steps out" in finding.do for finding in found.findings
    )


def test_every_step_there_is_goes_where_the_path_bends() -> None:
    """Many bends: the limit is used up, what remains is said, and a little of it is no warning."""

    def bends(self: Any, x: Tensor) -> Tensor:
        along = 400 * x.sum((1, 2, 3))[:, None]
        saws = torch.relu(along - torch.arange(400, dtype=x.dtype) * 1.0137)
        signs = torch.where(torch.arange(400) % 2 == 0, 1.0, -1.0).to(x)
        return torch.stack([(saws * signs).sum(1), x[:, 0, 0, 0]], 1)

    x = torch.full((1, 1, 2, 2), 0.25, dtype=torch.float64)
    found = integrated(subject(Does(bends), 1, 2, 2), picture(x), target=0, baselines=("mean",))
    told = found.figures["baselines"]["mean"]
    assert not told["complete"]
    assert told["steps"] > 200  # of 512 gradients, of which each halving takes two
    (finding,) = found.findings
    assert finding.level == "info"
    assert "is in no pixel" in finding.what
    assert "--steps 2048" in finding.do


# ---------------------------------------------------------------- nothing to see, and bad input


@pytest.mark.parametrize("how", EVERY)
def test_a_network_that_sees_nothing_gives_no_evidence(how: str) -> None:
    network = small()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    network = (
        seq(conv(2, 4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)).double() if how == "guided" else network
    )
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    found = EVERY[how](subject(network, 2, 6, 6), picture(random(5, 1, 2, 6, 6)), sanity=True)
    assert any("no evidence" in finding.what for finding in found.findings)
    assert not found.figures["sanity"]["passes"]
    heat = found.panels[1]
    assert (heat.pixels == heat.pixels[0, 0]).all()  # drawn flat


@pytest.mark.parametrize("how", EVERY)
def test_a_trace_of_evidence_is_not_stretched(how: str) -> None:
    network = ways()["modules"]
    with torch.no_grad():
        network[6].weight.mul_(1e-6)
    found = EVERY[how](subject(network, 2, 6, 6), picture(random(5, 1, 2, 6, 6)), target=0)
    assert any("no evidence" in finding.what for finding in found.findings)
    dark = int(found.panels[1].pixels.astype(int).max()) if how in ("saliency", "guided", "smoothgrad") else 0
    light = int(found.panels[1].pixels.astype(int).min())
    assert dark < 60 if dark else light > 200  # the colour of zero


@pytest.mark.parametrize("how", EVERY)
def test_evidence_is_not_called_none(how: str) -> None:
    network = ways()["modules"]
    with torch.no_grad():
        network[6].weight.mul_(10)
    said = [
        EVERY[how](subject(network, 2, 6, 6), picture(random(5, 1, 2, 6, 6)), target=k).findings
        for k in range(3)
    ]
    assert any(not any("no evidence:" in f.what for f in findings) for findings in said)


@pytest.mark.parametrize("how", EVERY)
def test_raw_range_and_class_are_said(how: str) -> None:
    made = subject(ways()["modules"], 2, 6, 6, classes=("bee", "ant", "fly"))
    found = EVERY[how](made, picture(random(5, 1, 2, 6, 6)), target="ant")
    assert "'ant'" in found.title
    assert found.figures["target"] == "ant"
    assert found.figures["target_index"] == 1
    told = torch.softmax(execute(made.network, random(5, 1, 2, 6, 6)).output, 1)[0, 1].item()
    assert found.figures["probability"] == pytest.approx(told)
    scales = [panel.scale for panel in found.panels if panel.scale is not None]
    assert scales
    assert all(s.low == -s.high for s in scales if s.kind == "signed")
    assert all(s.low == 0 for s in scales if s.kind == "positive")
    assert " to " in found.panels[1].caption
    assert found.panels[1].on_scale is not None
    twice = found.panels[1].on_scale(2 * found.panels[1].scale.high)  # type: ignore[union-attr]
    assert twice.scale is not None
    assert twice.scale.high == 2 * found.panels[1].scale.high  # type: ignore[union-attr]


@pytest.mark.parametrize("how", EVERY)
def test_bad_input_is_one_line(how: str) -> None:
    good = subject(ways()["modules"], 2, 6, 6, classes=("bee", "ant", "fly"))
    shown = picture(random(5, 1, 2, 6, 6))
    cases: list[tuple[str, Callable[[], Any]]] = [
        ("--target bees: no such class; did you mean bee", lambda: EVERY[how](good, shown, target="bees")),
        ("--target 3: no such class", lambda: EVERY[how](good, shown, target=3)),
        ("picture is 2x6x5; Sequential takes 2x6x6",
         lambda: EVERY[how](good, picture(random(5, 1, 2, 6, 5)))),
        ("gives 1x4x6x6 for an image; an attribution is of one score a class",
         lambda: EVERY[how](subject(drawn(seq(conv(2, 4), nn.ReLU(), conv(4, 4))), 2, 6, 6), shown)),
        ("gives scores that are not finite", lambda: EVERY[how](good, picture(shown.x * float("nan")))),
    ]  # fmt: skip
    for message, run in cases:
        with pytest.raises(ArgumentError) as caught:
            run()
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)


def test_guided_needs_a_rectifier() -> None:
    network = drawn(seq(conv(1, 2), nn.Tanh(), nn.Flatten(), nn.Linear(32, 2)))
    with pytest.raises(ArgumentError, match=r"has none; its layers are conv2d, tanh, flatten, linear"):
        guided(subject(network, 1, 4, 4), picture(random(1, 1, 1, 4, 4)))


def test_steps_are_at_least_one() -> None:
    made, shown = subject(ways()["modules"], 2, 6, 6), picture(random(5, 1, 2, 6, 6))
    with pytest.raises(ArgumentError, match="--steps 0"):
        smoothgrad(made, shown, samples=0)
    with pytest.raises(ArgumentError, match="--steps 0"):
        integrated(made, shown, steps=0)
    with pytest.raises(ArgumentError, match="baselines: 'pink'"):
        integrated(made, shown, baselines=("pink",))  # type: ignore[arg-type]


def test_a_network_that_cuts_the_gradient_is_told() -> None:
    network = drawn(seq(conv(1, 2), nn.ReLU(), nn.Flatten(), nn.Linear(32, 2)))
    cut = Does(lambda self, x: self.inner(x).detach(), inner=network)
    with pytest.raises(ArgumentError, match="no gradient comes back"):
        saliency(subject(cut, 1, 4, 4), picture(random(1, 1, 1, 4, 4)))


@pytest.mark.parametrize("ending", ["softmax", "sigmoid"])
def test_a_network_that_ends_in_probabilities(ending: str) -> None:
    network = drawn(seq(conv(1, 2), nn.ReLU(), nn.Flatten(), nn.Linear(32, 2)))
    network.append(nn.Softmax(1) if ending == "softmax" else nn.Sigmoid())
    x = random(1, 1, 1, 4, 4)
    found = saliency(subject(network, 1, 4, 4), picture(x), target=0)
    assert found.figures["score_is"] == "probability"
    assert found.figures["probability"] == pytest.approx(float(network(x)[0, 0].detach()))


@pytest.mark.parametrize("temperature", [0.5, 4.0])
def test_a_probability_is_that_of_the_models_own_temperature(temperature: float) -> None:
    """As `predict` has it; and a logit that is divided by more is worth less."""

    class Header:
        pass

    Header.temperature = temperature  # type: ignore[attr-defined]
    network, x = ways()["modules"], random(5, 1, 2, 6, 6)
    made = dataclasses.replace(subject(network, 2, 6, 6), header=Header())  # type: ignore[arg-type]
    said = score(made, picture(x), 1)
    told = torch.softmax(network(x) / temperature, 1)[0, 1].item()
    assert said.probability == pytest.approx(told)
    assert said.worth == pytest.approx(0.04 * temperature)
    assert f"temperature, {temperature:.3g}" in said.note
    # no score of two classes can move faster: the slope of the sigmoid is 1 / 4 at most
    moved = 1 / (1 + np.exp(-said.worth / temperature)) - 0.5
    assert 0.0099 < moved <= 0.01


@pytest.mark.parametrize("how", EVERY)
def test_each_is_made_by_name(how: str) -> None:
    torch.manual_seed(0)
    made = subject(seq(conv(1, 4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 10)), 1, 8, 8)
    assert how in HOWS
    request = Request(image="digit:3", target="4", layer="1" if how in LAYERED else None)
    found = view(how, made, request)
    assert found.how == how
    assert found.figures["target_index"] == 4
