"""Grad-CAM and its kin: by hand on 4x4, against their formulas, the layer found by itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sightline.base import ArgumentError
from sightline.blueprint import record
from sightline.views import gradcam, gradcam_plus_plus, layercam
from sightline.views._layers import find_layer, last_maps
from sightline.zoo import get_architecture
from small_networks import Does, conv, seq
from test_view_attribution import drawn, picture, random, subject

POOLS = ("max_pool2d", "avg_pool2d", "adaptive_avg_pool2d")


def by_hand() -> nn.Sequential:
    """4x4 -> maps x and -x, rectified -> class 0: rows 0 and 1 of the first, less half the second."""
    network = seq(
        nn.Conv2d(1, 2, 1, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(32, 2, bias=False)
    ).double()
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([1.0, -1.0]).view(2, 1, 1, 1))
        network[3].weight.zero_()
        network[3].weight[0, :8] = 1.0
        network[3].weight[0, 16:] = -0.5
    return network


IMAGE = torch.tensor(
    [[1, 2, 0, 0], [0, 0, -4, 0], [3, 0, 0, 0], [0, 0, 0, -2]], dtype=torch.float64
).view(1, 1, 4, 4)  # fmt: skip


def test_gradcam_by_hand() -> None:
    found = gradcam(subject(by_hand(), 1, 4, 4), picture(IMAGE), target=0)
    # the gradient's mean is 8 / 16 = 0.5 of the first map and -0.5 of the second
    signed = [[0.5, 1, 0, 0], [0, 0, -2, 0], [1.5, 0, 0, 0], [0, 0, 0, -1]]
    np.testing.assert_array_equal(found.arrays["signed"], signed)
    np.testing.assert_array_equal(found.arrays["map"], np.maximum(signed, 0))
    assert found.figures["layer"] == "1"
    assert found.figures["range"] == [-2.0, 1.5]
    assert found.figures["score"] == 3.0 - 0.5 * 6  # rows 0 and 1 hold 3, the second map 6


def test_layercam_by_hand() -> None:
    found = layercam(subject(by_hand(), 1, 4, 4), picture(IMAGE), target=0)
    # only rows 0 and 1 of the first map have a positive gradient, 1
    expected = np.zeros((4, 4))
    expected[0, :2] = [1, 2]
    np.testing.assert_array_equal(found.arrays["map"], expected)


def test_gradcam_plus_plus_by_hand() -> None:
    found = gradcam_plus_plus(subject(by_hand(), 1, 4, 4), picture(IMAGE), target=0)
    # first map: gradient 1 at 8 places, sum 6: share 1 / (2 + 6), weight 8 * 1 / 8 = 1; second: none
    np.testing.assert_allclose(found.arrays["map"], np.maximum(IMAGE[0, 0].numpy(), 0), atol=1e-15)


def network_and_maps() -> tuple[nn.Sequential, Tensor, Tensor, Tensor]:
    """A network, an image, the features after the second rectifier and the gradient of score 1 there."""
    network = drawn(
        seq(conv(2, 4), nn.ReLU(), nn.MaxPool2d(2), conv(4, 5), nn.ReLU(), nn.Flatten(), nn.Linear(45, 3))
    )
    x = random(3, 1, 2, 6, 6)
    features = network[:5](x).detach().requires_grad_()
    (gradients,) = torch.autograd.grad(network[5:](features)[0, 1], features)
    return network, x, features.detach()[0], gradients[0]  # type: ignore[return-value]


def test_gradcam_against_its_formula() -> None:
    network, x, features, gradients = network_and_maps()
    told = np.zeros((3, 3))
    for k in range(5):
        told += float(gradients[k].sum() / 9) * features[k].numpy()
    found = gradcam(subject(network, 2, 6, 6), picture(x), target=1)
    np.testing.assert_allclose(found.arrays["signed"], told, atol=1e-14)


def test_gradcam_plus_plus_against_derivatives_of_the_exponential() -> None:
    # the paper's alphas, equation 10, of Y = exp(S); all three derivatives by autograd
    network, x, features, _ = network_and_maps()
    maps = features.clone().requires_grad_()
    score = network[5:](maps[None])[0, 1]
    y = score.exp()
    (first,) = torch.autograd.grad(y, maps, create_graph=True)
    second, third = torch.zeros_like(first), torch.zeros_like(first)
    for place in np.ndindex(*first.shape):
        (row,) = torch.autograd.grad(first[place], maps, create_graph=True)
        second[place] = row[place]
        (again,) = torch.autograd.grad(row[place], maps, retain_graph=True)
        third[place] = again[place]
    told = np.zeros((3, 3))
    for k in range(5):
        below = 2 * second[k] + (features[k].sum() * third[k])
        weight = float((second[k] / below * first[k].clamp(min=0)).sum().detach())
        told += weight * features[k].numpy()
    found = gradcam_plus_plus(subject(network, 2, 6, 6), picture(x), target=1)
    np.testing.assert_allclose(
        found.arrays["map"] * float(y.detach()), np.maximum(told, 0), rtol=1e-9, atol=1e-12
    )


def test_layercam_against_its_formula() -> None:
    network, x, features, gradients = network_and_maps()
    told = (np.maximum(gradients.numpy(), 0) * features.numpy()).sum(0)
    found = layercam(subject(network, 2, 6, 6), picture(x), target=1)
    np.testing.assert_allclose(found.arrays["map"], told, atol=1e-14)


def test_gradcam_of_an_averaged_layer_is_the_class_activation_map() -> None:
    # global average, then weights: Grad-CAM is CAM / places (Selvaraju et al., section 3.1)
    network = drawn(seq(conv(1, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)))
    x = random(2, 1, 1, 5, 5)
    features = network[:2](x)[0]
    cam = torch.einsum("c,chw->hw", network[4].weight[2], features).detach().numpy() / 25
    found = gradcam(subject(network, 1, 5, 5), picture(x), target=2)
    np.testing.assert_allclose(found.arrays["signed"], cam, atol=1e-14)
    assert found.figures["layer"] == "1"


def test_a_class_that_nothing_speaks_for() -> None:
    network = by_hand()
    with torch.no_grad():
        network[3].weight.abs_().neg_()
    found = gradcam(subject(network, 1, 4, 4), picture(IMAGE), target=0)
    assert found.arrays["map"].max() == 0
    assert any("nothing in the map is positive" in finding.what for finding in found.findings)
    assert (found.panels[3].pixels == found.panels[0].pixels).all()  # the overlay is the picture alone


# ---------------------------------------------------------------- the layer


ZOO = [
    "airbench94", "alexnet", "googlenet", "lecture_cnn", "lenet5", "lenet5_1998", "plain20", "prelunet_a",
    "resnet18", "resnet20", "resnet50", "squeezenet1_0", "squeezenet1_1", "vgg11_bn", "vgg16", "vgg_a_lrn",
    "zfnet",
]  # fmt: skip


@pytest.mark.parametrize("name", ZOO)
def test_the_layer_found_is_that_of_the_architectures_last_stage(name: str) -> None:
    architecture = get_architecture(name)
    with torch.device("meta"):
        network = architecture.build()
    blueprint = record(network, torch.empty(1, *architecture.input_shape, device="meta"), name=name)
    node = find_layer(blueprint, architecture.stages[-1].path, needs="maps")
    while node.kind in POOLS:  # a stage may end in its pooling
        node = blueprint.nodes[node.sources[0]]
    assert last_maps(blueprint).id == node.id


def skipping(self: object, x: Tensor) -> Tensor:
    y = self.first(x)  # type: ignore[attr-defined]
    z = F.relu(self.second(F.relu(y)) + y)  # type: ignore[attr-defined]
    gate = torch.sigmoid(self.gate(z.mean((2, 3), keepdim=True)))  # type: ignore[attr-defined]
    return self.last((z * gate).mean((2, 3)))  # type: ignore[attr-defined,no-any-return]


def two_poolings(self: object, x: Tensor) -> Tensor:
    y = F.relu(self.first(x))  # type: ignore[attr-defined]
    parts = [F.adaptive_max_pool2d(y, n).flatten(1) for n in (1, 2)]
    return self.last(torch.cat(parts, 1))  # type: ignore[attr-defined,no-any-return]


def two_ways(self: object, x: Tensor) -> Tensor:
    y = F.relu(self.first(x))  # type: ignore[attr-defined]
    ways = [self.second(y).mean((2, 3)), F.relu(self.third(y)).amax((2, 3))]  # type: ignore[attr-defined]
    return self.last(torch.cat(ways, 1))  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize(
    ("network", "layer"),
    [
        (seq(conv(3, 4), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(), nn.Flatten(), nn.Linear(64, 2)), "1"),
        (seq(conv(3, 4), nn.ReLU(), conv(4, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()), "1"),
        (seq(conv(3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten()), "0"),
        (Does(skipping, first=conv(3, 4), second=conv(4, 4), gate=conv(4, 4), last=nn.Linear(4, 2)), ":mul"),
        (Does(two_ways, first=conv(), second=conv(), third=conv(), last=nn.Linear(6, 2)), ":relu"),
        (Does(two_poolings, first=conv(3, 4), last=nn.Linear(20, 2)), ":relu"),
        (seq(nn.MaxPool2d(2), conv(3, 4), nn.GELU(), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 2)), "3"),
    ],
    ids=["flattened", "a map a class", "class maps alone", "gated sum", "two ways", "pyramid", "norm last"],
)  # fmt: skip
def test_the_layer_is_what_all_passes_through_before_the_classifier(network: nn.Module, layer: str) -> None:
    shape = (1, 3, 8, 8)
    assert last_maps(record(network.eval(), shape)).id == layer


def test_the_layer_that_was_found_is_in_the_title() -> None:
    found = gradcam(subject(by_hand(), 1, 4, 4), picture(IMAGE), target=0)
    assert "Grad-CAM of 1 for 'class 0'" in found.title
    assert any("found by itself" in note for note in found.notes)
    asked = gradcam(subject(by_hand(), 1, 4, 4), picture(IMAGE), target=0, layer="conv1")
    assert "Grad-CAM of 0 " in asked.title
    assert any("as asked for" in note for note in asked.notes)


def test_layers_that_will_not_do() -> None:
    made, shown = subject(by_hand(), 1, 4, 4), picture(IMAGE)
    for layer, message in (
        ("3", "--layer 3: its output is (1, 2), no maps of an image"),
        ("conv2", "has convolutions conv1 to conv1"),
        ("relu", "has no such layer"),
    ):
        with pytest.raises(ArgumentError) as caught:
            gradcam(made, shown, layer=layer)
        assert message in str(caught.value)
    pooled = drawn(seq(conv(1, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2)))
    with pytest.raises(ArgumentError, match="maps of one place"):
        gradcam(subject(pooled, 1, 4, 4), shown, layer="2")
    flat = drawn(seq(nn.Flatten(), nn.Linear(16, 2)))
    with pytest.raises(ArgumentError, match="has no convolution to look at; its layers are flatten, linear"):
        gradcam(subject(flat, 1, 4, 4), shown)


def test_it_is_written_as_picture_page_and_numbers(tmp_path: Path) -> None:
    found = gradcam(subject(by_hand(), 1, 4, 4), picture(IMAGE), target=0)
    for ending in ("png", "html", "npz"):
        assert found.save(tmp_path / f"view.{ending}").stat().st_size > 500
    with np.load(tmp_path / "view.npz") as numbers:
        np.testing.assert_array_equal(numbers["map"], found.arrays["map"])
