"""Equivariance and invariance: networks that are exactly so, and such that are not."""

from __future__ import annotations

import dataclasses
import functools
import math
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sightline.base import ArgumentError, DataError
from sightline.imaging import Preprocessing
from sightline.views import Request, Subject, open_subject, shift, view
from sightline.views._movements import families, sampled, wide_input
from small_networks import Does, seq

SIDE = 16


def noise(side: int = SIDE, channels: int = 1) -> Any:
    return np.random.default_rng(0).integers(0, 256, (side, side, channels), dtype=np.uint8)


def subject(*layers: nn.Module, side: int = SIDE, channels: int = 1) -> Subject:
    torch.manual_seed(0)
    for layer in layers:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.reset_parameters()
    return Subject.of(seq(*layers).eval(), (channels, side, side))


def around(inputs: int, outputs: int, **more: Any) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode="circular", **more)


def errors(seen: Any, layer: str, family: str = "shift") -> list[float]:
    found: list[float] = seen.arrays[f"{family}/error/{layer}"].tolist()
    return found


def test_a_circular_convolution_is_exactly_equivariant() -> None:
    seen = shift(subject(around(1, 4), nn.ReLU(), around(4, 3)), noise(), layer="2", border="circular")
    assert seen.arrays["shift/by"].tolist() == [0, 1, 2, 3, 4]
    assert max(errors(seen, "2")) < 1e-6
    # and it did move: without moving the maps along, they differ
    assert min(seen.arrays["shift/distance/2, all"][1:]) > 0.1


def test_a_convolution_that_pads_with_zeros_is_so_only_away_from_the_border() -> None:
    zeros = subject(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 3, padding=1))
    assert min(errors(shift(zeros, noise(), layer="2", border="circular"), "2")[1:]) > 0.01
    for border in ("crop", "edge"):
        seen = shift(zeros, noise(32), layer="2", border=border)
        assert max(errors(seen, "2")) < 1e-6
        assert seen.figures["layers"][0]["interior"]


@pytest.mark.parametrize("way", ["convolution", "max", "mean"])
@pytest.mark.parametrize("border", ["circular", "edge"])
def test_a_stride_of_two_is_equivariant_only_at_even_shifts(way: str, border: Any) -> None:
    pads: Any = around if border == "circular" else functools.partial(nn.Conv2d, kernel_size=3, padding=1)
    second = {
        "convolution": pads(4, 3, stride=2),
        "max": nn.MaxPool2d(2),
        "mean": nn.AvgPool2d(2),
    }[way]
    seen = shift(subject(pads(1, 4), nn.ReLU(), second), noise(), layer="2", border=border, most=6)
    found = errors(seen, "2")
    assert max(found[0::2]) < 1e-6
    assert min(found[1::2]) > 0.01
    assert seen.figures["layers"][0]["jump"] == 2
    assert seen.figures["layers"][0]["equivariant"] is True
    assert any(note.startswith("equivariant at multiples") and "2 /2 (" in note for note in seen.notes)


def test_the_error_between_two_places_is_that_of_the_interpolated_map() -> None:
    network = subject(nn.Conv2d(1, 2, 2, stride=2, bias=False))
    image = noise()
    seen = shift(network, image, layer="0", border="circular", most=1)
    x = torch.from_numpy(image.transpose(2, 0, 1).astype(np.float32) / 255)[None]
    with torch.no_grad():
        still, new = network.network(x), network.network(torch.roll(x, 1, 3))
    expected = (still + torch.roll(still, 1, 3)) / 2  # half a place to the right
    relative = float((new - expected).norm() / expected.norm())
    assert errors(seen, "0")[1] == pytest.approx(relative, rel=1e-5)


def test_the_mean_over_a_circular_network_is_exactly_invariant() -> None:
    network = subject(around(1, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    seen = shift(network, noise(), border="circular")
    assert max(seen.arrays["shift/distance/last features"]) < 1e-6
    assert max(seen.arrays["shift/distance/logits"]) < 1e-6
    assert np.ptp(seen.arrays["shift/probability"]) < 1e-6
    assert min(seen.arrays["shift/distance/0"][1:]) > 0.1  # equivariant, and so not invariant


def test_a_fully_connected_network_is_neither() -> None:
    network = subject(nn.Flatten(), nn.Linear(SIDE * SIDE, 8), nn.ReLU(), nn.Linear(8, 3))
    seen = shift(network, noise(), border="circular")
    assert seen.figures["layers"] == []
    assert min(seen.arrays["shift/distance/last features"][1:]) > 0.01
    assert min(seen.arrays["shift/distance/logits"][1:]) > 0.01


def test_distances_and_probabilities_are_those_of_the_network() -> None:
    network = subject(around(1, 4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * SIDE * SIDE, 3))
    image = noise()
    seen = shift(network, image, border="circular", most=3, target=2)
    x = torch.from_numpy(image.transpose(2, 0, 1).astype(np.float32) / 255)[None]
    with torch.no_grad():
        outputs = [network.network(torch.roll(x, d, 3)) for d in range(4)]
    distance = [float((y - outputs[0]).norm() / outputs[0].norm()) for y in outputs]
    np.testing.assert_allclose(seen.arrays["shift/distance/logits"], distance, rtol=1e-5, atol=1e-6)
    probability = [float(y.softmax(1)[0, 2]) for y in outputs]
    np.testing.assert_allclose(seen.arrays["shift/probability"], probability, rtol=1e-5)
    assert seen.figures["class"] == "class 2"


def test_a_disc_like_filter_is_equivariant_under_quarter_turns() -> None:
    convolution = nn.Conv2d(1, 1, 3, bias=False)
    with torch.no_grad():
        convolution.weight.copy_(torch.tensor([[1.0, 2, 1], [2, -9, 2], [1, 2, 1]]))
    alike = Subject.of(seq(convolution).eval(), (1, SIDE, SIDE))
    seen = shift(alike, noise(), layer="0")
    by = seen.arrays["rotation/by"].tolist()
    for degrees in (0, 90, 180, 270, 360):
        assert errors(seen, "0", "rotation")[by.index(degrees)] < 1e-5
    with torch.no_grad():
        convolution.weight.copy_(torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]]))
    assert errors(shift(alike, noise(), layer="0"), "0", "rotation")[by.index(90)] > 0.5


def test_images_are_turned_against_the_clock_and_scaled_about_the_middle() -> None:
    image = noise(17)
    plain = Subject.of(seq(nn.Conv2d(1, 1, 1)), (1, 17, 17))
    x = plain.picture(image).x[0]
    _, scale, rotation = families(plain, image, 4, "edge")
    for quarters in range(5):
        turned = rotation.inputs[rotation.by.index(90 * quarters)]
        torch.testing.assert_close(turned, torch.rot90(x, quarters, (1, 2)))
    half = rotation.inputs[rotation.by.index(45)]
    assert float(half[0, 8, 8]) == pytest.approx(float(x[0, 8, 8]))
    # 45 degrees: what is seen 2 above and 2 to the right of the middle was 2.83 to the right of it
    rows, columns = np.array([[8.0]]), np.array([[8 + 8**0.5]])
    assert float(half[0, 6, 10]) == pytest.approx(float(sampled(x[None], rows, columns)), rel=1e-4)
    larger = scale.inputs[scale.by.index(1.6)]
    rows, columns = np.array([[8 + 4 / 1.6]]), np.array([[8 - 6 / 1.6]])
    assert float(larger[0, 12, 2]) == pytest.approx(float(sampled(x[None], rows, columns)), rel=1e-4)


def test_what_is_not_moved_has_no_error_whatever_the_movement() -> None:
    seen = shift(subject(around(1, 4), nn.ReLU(), around(4, 2)), noise(), layer="2")
    for family, still in (("shift", 0.0), ("scale", 1.0), ("rotation", 0.0)):
        by = seen.arrays[f"{family}/by"].tolist()
        assert errors(seen, "2", family)[by.index(still)] < 1e-6
        assert seen.arrays[f"{family}/distance/2, all"][by.index(still)] < 1e-6
    assert min(errors(seen, "2", "scale")[2:]) > 0.01


def test_a_larger_image_comes_in_where_there_is_one() -> None:
    image = noise(24)
    plain = Preprocessing(size=(16, 16), fit="none", mean=[0.0], std=[1.0])
    small = Subject.of(seq(nn.Conv2d(1, 1, 1)), (1, 16, 16), preprocessing=plain)
    wide = wide_input(small, image, 8)  # a window of 24 pixels over an image of 24: the image as it is
    torch.testing.assert_close(wide[0, 0], torch.from_numpy(image[:, :, 0]).float() / 255)


def test_values_between_pixels() -> None:
    x = torch.tensor([[[[0.0, 10.0], [20.0, 30.0]]]])
    rows, columns = np.array([[0.0, 0.5, 1.0, -3.0]]), np.array([[0.25, 0.5, 1.0, 0.0]])
    assert sampled(x, rows, columns)[0, 0, 0].tolist() == [2.5, 15.0, 30.0, 0.0]


def test_a_network_that_gives_only_zeros_is_a_finding() -> None:
    silent = subject(around(1, 2), nn.ReLU())
    with torch.no_grad():
        silent.network[0].bias.fill_(-1e3)
    seen = shift(silent, noise(), layer="1")
    assert [f.level for f in seen.findings] == ["warning"]
    assert all(math.isnan(e) for e in errors(seen, "1"))
    assert seen.to_dict()["curves"]["shift"]["error"]["1"][0] is None


def test_what_is_no_number_is_not_called_silent() -> None:
    broken = subject(around(1, 2), nn.ReLU())
    with torch.no_grad():
        broken.network[0].weight.fill_(math.nan)  # type: ignore[index,union-attr,operator]
    with pytest.raises(DataError, match="its values are not finite"):
        shift(broken, noise(), layer="1")


def test_a_class_of_a_network_without_classes_is_refused() -> None:
    with pytest.raises(ArgumentError, match="--target 1: Sequential gives no logits of classes"):
        shift(subject(around(1, 2), nn.ReLU()), noise(), target=1)


def _written(forward: Any) -> Subject:
    torch.manual_seed(3)
    network = Does(forward, first=nn.Conv2d(1, 4, 3, padding=1), second=nn.Conv2d(4, 4, 3, padding=1))
    network.relu, network.inplace, network.pool = nn.ReLU(), nn.ReLU(True), nn.MaxPool2d(2)
    return Subject.of(network.eval(), (1, SIDE, SIDE))


def test_it_is_the_same_however_the_network_is_written() -> None:
    def modules(net: Any, x: Tensor) -> Any:
        return net.pool(net.relu(net.second(net.relu(net.first(x)))))

    def functions(net: Any, x: Tensor) -> Any:
        return F.max_pool2d(F.relu(net.second(F.relu(net.first(x)))), 2)

    def in_place(net: Any, x: Tensor) -> Any:
        return net.pool(net.inplace(net.second(net.inplace(net.first(x)))))

    found = []
    for way in (modules, functions, in_place):
        one = _written(way)
        last = one.blueprint.nodes[-1].id
        found.append(errors(shift(one, noise(), layer=last), last))
    assert found[0] == found[1] == found[2]
    assert max(found[0]) > 0.01


def test_layers_are_found_and_the_network_is_left_as_it_was(tmp_path: Path) -> None:
    network = subject(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(4 * 64, 3), channels=3,
    )  # fmt: skip
    network.network.train()
    before = {name: value.clone() for name, value in network.network.state_dict().items()}
    done: list[tuple[str, int, int]] = []
    request = Request(image="china", steps=2, target="1", progress=lambda *a: done.append(a))
    seen = view("shift", network, request)
    assert [layer["layer"] for layer in seen.figures["layers"]] == ["0", "2", "5"]
    assert done[-1] == ("moving the image", 3 + 10 + 25, 3 + 10 + 25)
    assert network.network.training
    assert all(torch.equal(v, before[k]) for k, v in network.network.state_dict().items())
    assert not any(m._forward_hooks for m in network.network.modules())
    assert seen.save(tmp_path / "s.png").stat().st_size > 10_000
    with np.load(seen.save(tmp_path / "s.npz")) as saved:
        assert saved["rotation/probability"].shape == (25,)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"layer": "7"}, "--layer 7: Sequential has no such layer"),
        ({"layer": "3"}, r"--layer 3: its output is \(1, 3\), no maps of an image"),
        ({"most": 17}, "--steps 17: a shift is of 1 to 16 pixels"),
        ({"target": "nobody"}, "--target nobody: no such class"),
    ],
)
def test_bad_choices(chosen: dict[str, Any], message: str) -> None:
    network = subject(around(1, 4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * SIDE * SIDE, 3))
    with pytest.raises(ArgumentError, match=message):
        shift(network, noise(), **chosen)
    with pytest.raises(ArgumentError, match="view shift needs an image"):
        view("shift", network, Request())


def test_where_every_place_sees_the_border_nothing_is_claimed() -> None:
    """Every place of the layer sees the border at 32 pixels; at the side that is named some do not."""
    small = open_subject("resnet20")
    layer = "layer2.2.relu#2"
    seen = shift(small, noise(32, 3), layer=layer)
    assert seen.figures["layers"][0]["equivariant"] is None
    (note,) = [note for note in seen.notes if note.startswith("cannot be told at 32x32")]
    assert not any("not equivariant" in note for note in seen.notes)
    side = int(note.rpartition("--input ")[2])
    large = shift(open_subject("resnet20", input_size=(side, side)), noise(side, 3), layer=layer, most=8)
    assert large.figures["layers"][0]["equivariant"] is True


def test_a_network_of_one_size_is_not_told_to_take_another() -> None:
    wide = subject(nn.Conv2d(1, 4, 15, padding=7), nn.ReLU(), nn.Conv2d(4, 3, 3, padding=1))
    seen = shift(wide, noise(), layer="2")
    (note,) = [note for note in seen.notes if note.startswith("cannot be told at 16x16")]
    assert "--input" not in note


def test_probabilities_are_those_of_the_models_own_temperature() -> None:
    network = subject(around(1, 4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * SIDE * SIDE, 3))
    header = types.SimpleNamespace(temperature=2.5)
    own = dataclasses.replace(network, header=header)  # type: ignore[arg-type]
    seen = shift(own, noise(), border="circular", most=1)
    with torch.no_grad():
        logits = network.network(network.picture(noise()).x)
    expected = float((logits / 2.5).softmax(1).max())
    assert seen.arrays["shift/probability"][0] == pytest.approx(expected, rel=1e-5)


def test_another_picture_than_that_of_other_views_is_said() -> None:
    network = subject(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 4096, 3), side=64)
    image = noise(80)
    seen = shift(network, image)
    (note,) = [note for note in seen.notes if "other views" in note]
    with torch.no_grad():
        logits = network.network(network.picture(image).x)
    there = float(logits.softmax(1)[0, seen.figures["target_index"]])
    assert f"has {there:.3g};" in note
    assert f"it has {seen.arrays['shift/probability'][0]:.3g} here" in note
    assert not any("other views" in note for note in shift(network, image, border="edge").notes)
