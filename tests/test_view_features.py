"""Images found by optimisation: their spectrum, how they are moved, what they come to."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from sightline.base import ArgumentError, DataError
from sightline.data import open_images
from sightline.views import Request, Subject, features, view
from sightline.views import _search as search_module
from sightline.views._search import (
    Moves,
    Unblocked,
    alike,
    colour_matrix,
    frequencies,
    image_of,
    logits_of,
    moved,
    random_spectrum,
)
from small_networks import Does, seq


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 9), (6, 11)])
def test_a_spectrum_is_a_fourier_series_divided_by_its_frequency(height: int, width: int) -> None:
    spectrum = random_spectrum(2, 1, (height, width), generator(), deviation=1.0)
    found = logits_of(spectrum, (height, width)).double().numpy()
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    least = 1 / max(height, width)
    scale = 1 / np.maximum(np.sqrt(rows**2 + columns**2), least)
    complex_ = spectrum[..., 0].numpy() + 1j * spectrum[..., 1].numpy()
    expected = np.fft.irfft2(complex_ * scale, s=(height, width), norm="ortho") / 4
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(frequencies(height, width).numpy(), np.sqrt(rows**2 + columns**2), atol=1e-7)


def test_any_image_has_a_spectrum_and_comes_back_from_it() -> None:
    image = torch.rand((1, 1, 9, 12), generator=generator()) - 0.5
    scale = frequencies(9, 12).clamp(min=1 / 12)
    spectrum = torch.view_as_real(torch.fft.rfft2(4 * image, norm="ortho") * scale)
    torch.testing.assert_close(logits_of(spectrum, (9, 12)), image)
    torch.testing.assert_close(image_of(spectrum, (9, 12)), torch.sigmoid(image))


def test_one_wave_is_as_strong_as_its_frequency_is_low() -> None:
    def strength(column: int) -> float:
        spectrum = torch.zeros(1, 1, 16, 9, 2)
        spectrum[0, 0, 0, column, 0] = 1.0
        return float(logits_of(spectrum, (16, 16)).abs().max())

    assert strength(1) / strength(4) == pytest.approx(4.0, rel=1e-5)


def test_colours_are_mixed_by_the_root_of_their_covariance() -> None:
    matrix = colour_matrix()
    assert float(matrix.norm(dim=0).max()) == pytest.approx(1.0)
    # the first axis is brightness: alike in all three, and by far the longest
    assert (matrix[:, 0] > 0.5).all()
    assert float(matrix[:, 0].std()) < 0.02
    lengths = matrix.norm(dim=0)
    assert lengths[0] > 3 * lengths[1]
    assert lengths[1] > lengths[2]
    spectrum = random_spectrum(1, 3, (8, 8), generator(), deviation=1.0)
    grey = torch.cat([logits_of(spectrum[:, c : c + 1], (8, 8)) for c in range(3)], dim=1)
    expected = torch.stack(
        [sum(matrix[d, c] * grey[:, c] for c in range(3)) for d in range(3)],
        dim=1,
    )
    torch.testing.assert_close(logits_of(spectrum, (8, 8)), expected)


def test_an_image_that_is_moved_by_nothing_stays() -> None:
    x = torch.rand((2, 3, 6, 9), generator=generator())
    torch.testing.assert_close(moved(x, Moves(0.0, 0.0, 0.0), generator()), x, atol=1e-5, rtol=1e-5)


def test_a_quarter_turn_is_a_quarter_turn_also_of_what_is_not_square(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "rand", lambda shape, generator: torch.ones(shape))  # the most, everywhere
    x = torch.zeros(1, 1, 5, 9)
    x[0, 0, 2, 6] = 1.0  # two to the right of the middle
    turned = moved(x, Moves(shift=0.0, scale=0.0, degrees=90.0), generator())
    place = divmod(int(turned.argmax()), 9)
    assert float(turned.max()) == pytest.approx(1.0, abs=1e-4)
    assert place in {(0, 4), (4, 4)}
    larger = moved(x, Moves(shift=0.0, scale=1.0, degrees=0.0), generator())
    assert divmod(int(larger.argmax()), 9) == (2, 8)  # twice as far from the middle


def test_what_comes_in_from_beyond_the_border_is_zero() -> None:
    x = torch.ones(1, 1, 8, 8)
    found = moved(x, Moves(shift=0.5, scale=0.0, degrees=0.0), generator(3))
    assert float(found.min()) == 0.0
    assert float(found.max()) == pytest.approx(1.0)


def test_how_alike_images_are() -> None:
    one = torch.rand((1, 3, 4, 4), generator=generator())
    assert float(alike(one)) == 0.0
    assert float(alike(torch.cat([one, 2 * one]))) == pytest.approx(1.0)
    first, second = torch.zeros(1, 2, 1, 1), torch.zeros(1, 2, 1, 1)
    first[0, 0], second[0, 1] = 1.0, 5.0
    assert float(alike(torch.cat([first, second]))) == pytest.approx(0.0)
    # Gram matrices [[1, 0], [0, 0]] and [[1, 1], [1, 1]] have cosine 1 / 2
    assert float(alike(torch.tensor([[[[1.0]], [[0.0]]], [[[1.0]], [[1.0]]]]))) == pytest.approx(0.5)


def test_a_blocked_gradient_is_let_through_where_it_would_raise() -> None:
    x = torch.tensor([[-1.0, -2.0], [3.0, -1.0]], requires_grad=True)
    given = torch.tensor([[-5.0, 7.0], [-2.0, -4.0]])
    out = Unblocked.apply(x, False)  # type: ignore[no-untyped-call]
    assert torch.equal(out, F.relu(x))
    y = x * 1
    assert Unblocked.apply(y, True) is y  # type: ignore[no-untyped-call]
    assert torch.equal(y, F.relu(x))
    assert torch.autograd.grad(y, x, given)[0].tolist() == [[-5.0, 0.0], [-2.0, 0.0]]
    (found,) = torch.autograd.grad(out, x, given)
    # the first image is blocked altogether: its falling part passes; the second is as any ReLU's
    assert found.tolist() == [[-5.0, 0.0], [-2.0, 0.0]]


def gabor(side: int = 8) -> Tensor:
    rows, columns = np.mgrid[:side, :side] - (side - 1) / 2
    wave = np.cos(2 * np.pi * (rows + columns) / 6.0) * np.exp(-(rows**2 + columns**2) / 12)
    return torch.from_numpy(wave - wave.mean()).float()


def linear_subject(pattern: Tensor, bias: float = 0.0) -> Subject:
    """A network of one filter as large as the image: the image it likes most is its own pattern."""
    convolution = nn.Conv2d(1, 2, len(pattern))
    with torch.no_grad():
        convolution.weight[0, 0], convolution.weight[1, 0] = pattern, -pattern
        convolution.bias.fill_(bias)  # type: ignore[union-attr]
    return Subject.of(seq(convolution, nn.ReLU()).eval(), (1, *pattern.shape))


def cosine(image: Any, pattern: Tensor) -> float:
    flat = torch.as_tensor(image).flatten() - 0.5
    return float(F.cosine_similarity(flat, pattern.flatten(), dim=0))


@pytest.mark.parametrize("layer", ["0", "1"])
def test_the_optimum_of_a_linear_filter_is_its_pattern(layer: str) -> None:
    pattern = gabor()
    for unit, wanted in enumerate((pattern, -pattern)):
        seen = features(linear_subject(pattern), layer=layer, unit=unit, moves=Moves(0.03, 0.05, 5.0))
        assert cosine(seen.arrays["images"][0], wanted) > 0.8
        told = seen.figures["values"][0]
        best = float(wanted.clamp(min=0).sum())  # white where it is positive, black elsewhere
        assert 0.85 * best < told["reached"] <= best
        assert told["reached"] > max(told["start"], told["noise"])
        assert not seen.findings


def test_the_value_reached_is_that_of_the_image() -> None:
    pattern = gabor()
    subject = linear_subject(pattern, bias=0.3)
    seen = features(subject, layer="0", unit=0, steps=10)
    image = torch.from_numpy(seen.arrays["images"])
    assert seen.figures["values"][0]["reached"] == pytest.approx(
        float((image * pattern).sum() + 0.3), rel=1e-4
    )


def test_a_unit_that_is_silent_for_grey_is_woken() -> None:
    subject = linear_subject(gabor(), bias=-0.4)  # far below zero for a grey image
    grey = torch.full((1, 1, 8, 8), 0.5)
    assert float(subject.network(grey).detach().max()) == 0.0
    told = features(subject, layer="1", unit=0, steps=64).figures["values"][0]
    assert told["start"] == 0.0
    assert told["reached"] > 0.1


def test_a_layer_called_relu_of_another_kind_is_run_as_it_is() -> None:
    """A leaky ReLU called `relu` gives negative values, which a ReLU in its place would not."""

    def values(name: str) -> list[float]:
        torch.manual_seed(0)
        network = Does(
            lambda m, x: m.b(getattr(m, name)(m.a(x))), a=nn.Conv2d(1, 2, 3), b=nn.Conv2d(2, 1, 3),
            **{name: nn.LeakyReLU(0.5)},
        )  # fmt: skip
        seen = features(Subject.of(network.eval(), (1, 8, 8)), layer="b", unit=0, steps=12, moves=None)
        found: list[float] = seen.arrays["path"].flatten().tolist()
        return found

    assert values("relu") == values("act")


def test_a_value_that_is_no_number_is_said() -> None:
    with pytest.raises(DataError, match="its mean over the map is not finite"):
        features(linear_subject(gabor() * math.nan), layer="0", unit=0, steps=2)


def test_a_unit_that_never_fires_is_a_finding() -> None:
    subject = linear_subject(gabor(), bias=-1e4)
    seen = features(subject, layer="1", unit=0, steps=5)
    assert [f.level for f in seen.findings] == ["warning"]
    assert "no larger than that of noise" in seen.findings[0].what
    assert "no more than noise" in seen.panels[0].caption


def small() -> Subject:
    torch.manual_seed(0)
    network = seq(
        nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 5, 3, padding=1),
        nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(80, 10),
    )  # fmt: skip
    return Subject.of(network.eval(), (1, 8, 8), classes=[f"c{k}" for k in range(10)])


def test_seeds_reproduce_and_differ() -> None:
    subject = small()
    first, again, other = (features(subject, target="c3", steps=6, seed=s) for s in (1, 1, 2))
    assert np.array_equal(first.arrays["images"], again.arrays["images"])
    assert not np.array_equal(first.arrays["images"], other.arrays["images"])


def test_more_images_of_one_unit_differ_by_their_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    # unit 0 likes rising rows and rising columns alike; units 1 and 2 say which of them it is
    network = seq(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 3, 1, bias=False))
    slope = torch.tensor([-1.0, 0.0, 1.0]).expand(3, 3) / 3
    with torch.no_grad():
        network[0].weight.copy_(torch.stack([slope, slope.T])[:, None])
        network[0].bias.zero_()
        network[2].weight.copy_(torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]])[:, :, None, None])
    subject = Subject.of(network.eval(), (1, 8, 8))
    apart = features(subject, layer="2", unit=0, top=2, steps=60, moves=None)
    monkeypatch.setattr(search_module, "ALIKE", 0.0)
    alone = features(subject, layer="2", unit=0, top=2, steps=60, moves=None)
    maps = [network(torch.from_numpy(s.arrays["images"])).detach() for s in (apart, alone)]
    assert apart.figures["alike"] == pytest.approx(float(alike(maps[0])), rel=1e-4)
    assert float(alike(maps[0])) < float(alike(maps[1])) - 0.05
    assert apart.arrays["images"].shape == (2, 1, 8, 8)


def test_without_a_unit_each_of_the_first_has_its_own() -> None:
    subject = small()
    seen = features(subject, layer="3", top=4, steps=30, moves=None)
    assert [v["unit"] for v in seen.figures["values"]] == [0, 1, 2, 3]
    means = subject.network[:4](torch.from_numpy(seen.arrays["images"])).mean((2, 3))  # type: ignore[index]
    assert all(int(means[:, k].argmax()) == k for k in range(4))
    assert [v["reached"] for v in seen.figures["values"]] == pytest.approx(
        means.diagonal().tolist(), rel=1e-4
    )


def test_one_place_of_a_map() -> None:
    subject = small()
    seen = features(subject, layer="0", unit=1, at=(3, 4), steps=8)
    maps = subject.network[0](torch.from_numpy(seen.arrays["images"])).detach()  # type: ignore[index]
    assert seen.figures["values"][0]["reached"] == pytest.approx(float(maps[0, 1, 3, 4]), rel=1e-4)


@pytest.mark.parametrize("what", [{"target": "c4"}, {"layer": "3", "unit": 2}, {"layer": "6"}])
def test_the_images_of_a_set_that_excite_most_against_brute_force(what: dict[str, Any]) -> None:
    subject = small()
    images = open_images("digits")
    seen = features(subject, images, steps=2, **what)
    assert images.pixels is not None
    with torch.no_grad():
        x = torch.from_numpy(images.pixels.astype(np.float32)) / 255
        maps = subject.network[:4](x)  # type: ignore[index]
        logits = subject.network(x)
    values = {"target": logits[:, 4:5], "layer": logits[:, :6]}[next(iter(what))]
    if what.get("layer") == "3":
        values = maps[:, 2:3].mean((2, 3))
    for row, column in enumerate(values.T):
        order = torch.argsort(column, descending=True, stable=True)[:6]
        assert seen.arrays["set_ids"][row].tolist() == order.tolist()
        np.testing.assert_allclose(seen.arrays["set_values"][row], column[order], rtol=1e-5)
    assert seen.figures["values"][0]["set"] == pytest.approx(float(values[:, 0].max()), rel=1e-5)


def test_a_class_without_a_name_is_called_once() -> None:
    seen = features(Subject.of(small().network, (1, 8, 8)), target=1, steps=1)
    assert seen.title.startswith("What excites class 1, ")
    named = Subject.of(small().network, (1, 8, 8), classes=list("abcdefghij"))
    assert features(named, target="b", steps=1).title.startswith("What excites the class b, ")


def test_images_without_classes_are_called_by_their_files(tmp_path: Path) -> None:
    pixels = open_images("digits").pixels
    assert pixels is not None
    for k in range(4):
        Image.fromarray(pixels[k, 0]).save(tmp_path / f"{k}.png")
    request = Request(image=str(tmp_path), target="c4", steps=2)
    seen = view("features", small(), request)
    with torch.no_grad():
        logits = small().network(torch.from_numpy(pixels[:4].astype(np.float32)) / 255)[:, 4]
    assert seen.arrays["set_ids"][0].tolist() == logits.argsort(descending=True).tolist()
    assert seen.panels[-1].title == "of the set"


def written(forward: Callable[[Any, Tensor], Tensor]) -> Subject:
    torch.manual_seed(1)
    first, second = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
    network = Does(forward, first=first, second=second, relu=nn.ReLU(), inplace=nn.ReLU(inplace=True))
    with torch.no_grad():
        second.bias.fill_(-0.6)  # type: ignore[union-attr]
    return Subject.of(network.eval(), (1, 8, 8))


def _inplace(net: Any, x: Tensor) -> Tensor:
    y = net.first(x)
    F.relu(y, inplace=True)  # the result is not taken: what was written to is read
    z: Tensor = net.second(y)
    return z.relu_()


WAYS: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "modules": lambda net, x: net.relu(net.second(net.relu(net.first(x)))),
    "functions": lambda net, x: F.relu(net.second(F.relu(net.first(x)))),
    "in-place modules": lambda net, x: net.inplace(net.second(net.inplace(net.first(x)))),
    "methods": lambda net, x: net.second(net.first(x).relu()).relu(),
    "what is written to is read": _inplace,
}


def test_it_is_the_same_however_the_network_is_written() -> None:
    found = {}
    for name, way in WAYS.items():
        subject = written(way)
        last = subject.blueprint.nodes[-1].id
        found[name] = features(subject, layer=last, unit=1, steps=20).arrays["images"]
    for name, images in found.items():
        np.testing.assert_allclose(images, found["modules"], atol=1e-5, err_msg=name)


def test_the_network_is_left_as_it_was() -> None:
    subject = small()
    subject.network.train()
    subject.network[0].eval()  # type: ignore[index]
    modes = [m.training for m in subject.network.modules()]
    before = {name: value.clone() for name, value in subject.network.state_dict().items()}
    features(subject, target="c1", top=2, steps=3)
    features(subject, layer="3", steps=3)
    assert [m.training for m in subject.network.modules()] == modes
    assert all(torch.equal(v, before[k]) for k, v in subject.network.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in subject.network.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in subject.network.modules())


def test_it_is_found_by_name_and_written(tmp_path: Path) -> None:
    subject = small()
    done: list[tuple[str, int, int]] = []
    request = Request(image="digits", target="c2", steps=3, top=2, progress=lambda *a: done.append(a))
    seen = view("features", subject, request)
    assert "an optimum of this procedure, not an image that the network has seen" in seen.notes[0]
    assert seen.title.startswith("What excites the class c2")
    assert {("optimising", 3, 3), ("looking at images", 1797, 1797)} <= set(done)
    assert seen.save(tmp_path / "f.png").stat().st_size > 5000
    assert math.isfinite(seen.to_dict()["values"][0]["reached"])


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"layer": "9"}, "--layer 9: Sequential has no such layer"),
        ({"layer": "3", "unit": 5}, "--unit 5: 3 has units 0 to 4"),
        ({"layer": "6", "unit": 10}, "--unit 10: 6 has units 0 to 9"),
        ({"layer": "3", "unit": 0, "at": (4, 0)}, "--at 4,0: the maps of 3 are 4x4: rows 0 to 3"),
        ({"layer": "6", "unit": 0, "at": (0, 0)}, "--at 0,0: 6 has no maps"),
        ({"target": "c11"}, "--target c11: no such class"),
        ({"target": "c1", "layer": "3"}, "--target is a class; it goes without --layer"),
    ],
)
def test_bad_choices(chosen: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        features(small(), steps=1, **chosen)


def test_a_network_without_convolutions_has_units_too() -> None:
    subject = Subject.of(seq(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 3)).eval(), (1, 8, 8))
    seen = features(subject, target=1, top=2, steps=5)
    assert "they differ by the seed alone" in " ".join(seen.notes)
    with pytest.raises(ArgumentError, match="no convolution"):
        features(subject, steps=1)
