"""Networks of the zoo against the operators of `reference`: the same weights, NumPy instead of PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from sightline import reference
from sightline.blueprint import Node, execute, record
from sightline.zoo import get_architecture

Array = NDArray[Any]
NETWORKS = ("lenet5", "lecture_cnn_2", "resnet20", "plain20", "squeezenet1_1", "alexnet_2012")


def numbers(tensor: torch.Tensor | None) -> Array | None:
    return None if tensor is None else tensor.detach().double().numpy()


def convolution(layer: nn.Conv2d, x: Array) -> Array:
    weight, bias = numbers(layer.weight), numbers(layer.bias)
    assert weight is not None
    assert isinstance(layer.padding, tuple)
    return reference.correlate(
        x, weight, bias, stride=layer.stride, padding=layer.padding, dilation=layer.dilation,
        groups=layer.groups,
    )  # fmt: skip


def batch_norm(layer: nn.BatchNorm2d, x: Array) -> Array:
    arrays = [numbers(t) for t in (layer.weight, layer.bias, layer.running_mean, layer.running_var)]
    return reference.batch_norm(x, *arrays, training=False, eps=layer.eps).output


def response_norm(layer: nn.LocalResponseNorm, x: Array) -> Array:
    alpha = layer.alpha / layer.size  # PyTorch divides it by the size, the paper does not
    return reference.local_response_norm(x, n=layer.size, k=layer.k, alpha=alpha, beta=layer.beta)


def pool(layer: nn.MaxPool2d, x: Array) -> Array:
    return reference.max_pool(
        x, layer.kernel_size, layer.stride, padding=layer.padding, ceil_mode=layer.ceil_mode
    )


LAYERS: dict[str, Callable[[Any, Array], Array]] = {
    "conv2d": convolution,
    "batch_norm": batch_norm,
    "local_response_norm": response_norm,
    "max_pool2d": pool,
    "relu": lambda _, x: reference.relu(x),
    "linear": lambda layer, x: reference.fully_connected(x, numbers(layer.weight), numbers(layer.bias)),
    "adaptive_avg_pool2d": lambda _, x: reference.global_average_pool(x)[:, :, None, None],
    "flatten": lambda _, x: x.reshape(len(x), -1),
    "dropout": lambda _, x: x,
    "identity": lambda _, x: x,
}
FUNCTIONS: dict[str, Callable[..., Array]] = {
    "add": lambda x, y: x + y,
    "cat": lambda *xs: np.concatenate(xs, axis=1),
    "flatten": lambda x: x.reshape(len(x), -1),
    "mean": lambda x: reference.global_average_pool(x),
    "getitem": lambda x: x[:, :, ::2, ::2],  # shortcuts A: every second pixel,
    "pad": lambda x: np.pad(x, ((0, 0), (x.shape[1] // 2,) * 2, (0, 0), (0, 0))),  # and as many channels more
    "relu": lambda x: reference.relu(x),
}


def by_reference(network: nn.Module, nodes: tuple[Node, ...], image: Array) -> dict[str, Array]:
    """The output of every node, computed in NumPy along the recorded graph."""
    modules = dict(network.named_modules())
    outputs: list[Array] = []
    for node in nodes:
        given = [image if source < 0 else outputs[source] for source in node.sources]
        if node.is_module:
            outputs.append(LAYERS[node.kind](modules[node.module], given[0]))
        else:
            outputs.append(FUNCTIONS[node.kind](*given))
    return {node.id: output for node, output in zip(nodes, outputs, strict=True)}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_layer_gives_what_numpy_gives(name: str) -> None:
    torch.manual_seed(0)
    architecture = get_architecture(name)
    network = architecture.build().double().eval()
    for module in network.modules():  # statistics that are not those of a fresh network
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    image = torch.randn(1, *architecture.input_shape, dtype=torch.float64)
    nodes = record(network, image).nodes
    expected = by_reference(network, nodes, image.numpy())
    with torch.no_grad():
        live = execute(network, image, capture=lambda _: True)
    compared = 0
    for node in nodes:
        if tuple(node.output_shapes[0]) != expected[node.id].shape:  # a mean that kept its axes
            expected[node.id] = expected[node.id].reshape(node.output_shapes[0])
        np.testing.assert_allclose(live.captured[node.id].numpy(), expected[node.id], rtol=1e-9, atol=1e-9)
        compared += 1
    assert compared == len(nodes) > 5
    last = expected[nodes[-1].id].reshape(live.output.shape)
    np.testing.assert_allclose(live.output.numpy(), last, rtol=1e-9, atol=1e-9)
