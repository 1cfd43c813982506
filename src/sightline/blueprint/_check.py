"""Findings about a network: what its blueprint shows, and what a batch through it shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from sightline.base import ArgumentError, Finding
from sightline.blueprint._calls import unwrapped
from sightline.blueprint._check_graph import Graph
from sightline.blueprint._check_layers import layer_findings
from sightline.blueprint._check_whole import whole_findings
from sightline.blueprint._graph import Blueprint
from sightline.blueprint._lost import lost_findings, lost_pixels, nearest_lossless
from sightline.blueprint._record import record
from sightline.blueprint._signal import measure_signal, signal_findings

BATCH = 8
"""Images to measure with: enough that a unit silent for all of them is rarely so by chance."""
_ORDER = {"error": 0, "warning": 1, "info": 2}


def check_network(
    network: nn.Module,
    *inputs: Tensor | Sequence[int],
    name: str = "",
    objective: str = "",
    images: Tensor | None = None,
    batch_size: int = BATCH,
    strict: bool = False,
    rebuild: Callable[[int], nn.Module] | None = None,
) -> list[Finding]:
    """What is wrong, or worth a second look, in a network; the worst first.

    Its structure is read from a recording, in evaluation mode. Where it has numbers, and its inputs are not
    of integers, a batch is sent forward and a gradient back, as in training, and findings are measured, too:
    on `images`, or on standard normal noise from a fixed seed. The network is left as it was.

    Args:
        network: Any module.
        inputs: Tensors, or shapes with the batch axis, for each argument of its `forward`.
        name: What to call it; the class's name if empty.
        objective: How it is trained, as the zoo names it; a classifier is supposed if empty.
        images: A preprocessed batch of 2 or more, (N, C, H, W), for a network of one input.
        batch_size: Images of noise, where no images are given; 0 measures nothing.
        strict: Lost pixels are an error, as in the lecture.
        rebuild: Gives the network for another input size, where it depends on it.

    Raises:
        PassError: if the inputs do not go through; it names the layer.
        ArgumentError: if the network is scripted, the batch has fewer than 2 images, or images are given to
            a network of several inputs.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.ReLU())
        >>> for finding in check_network(network, (1, 3, 2, 2)):
        ...     print(finding.level, finding.where, finding.what)
        info 0 conv2d has a bias, and batch norm follows: 8 parameters without effect
        info 2 the network ends in a relu
        info 0 holds 32 of 48 parameters, 67 %
    """
    network = unwrapped(network)
    if batch_size == 1 or batch_size < 0:
        raise ArgumentError(f"batch_size must be 0, or 2 or more; it is {batch_size}")
    if images is not None and len(inputs) > 1:
        raise ArgumentError(f"images are given to one input; the network has {len(inputs)}")
    blueprint = record(network, *inputs, name=name)
    graph = Graph(blueprint, network)
    found = _lost(network, blueprint, strict, rebuild)
    found += layer_findings(graph)
    found += whole_findings(graph, network, objective)
    batch, on = _batch(network, blueprint, images, batch_size)
    if batch:
        signal = measure_signal(network, *batch)
        told = {n for k, node in enumerate(graph.nodes) if k not in graph.alive for n in node.parameters}
        left = tuple(n for n in signal.no_gradient if n not in told.union(blueprint.unread))
        found += signal_findings(dataclasses.replace(signal, no_gradient=left), on)
    return sorted(found, key=lambda f: _ORDER[f.level])


def _lost(
    network: nn.Module, blueprint: Blueprint, strict: bool, rebuild: Callable[[int], nn.Module] | None
) -> list[Finding]:
    nearest: tuple[int | None, int | None] = (None, None)
    if len(blueprint.inputs) == 1 and len(blueprint.input_shapes[0]) == 4 and lost_pixels(blueprint).any:
        nearest = nearest_lossless(network, blueprint, build=rebuild)
    found = lost_findings(blueprint, nearest)
    return [dataclasses.replace(f, level="error") for f in found] if strict else found


def _batch(
    network: nn.Module, blueprint: Blueprint, images: Tensor | None, batch_size: int
) -> tuple[list[Tensor], str]:
    """What to measure with, and what to call it; nothing where it cannot be."""
    state = [*network.parameters(), *network.buffers()]
    device = state[0].device if state else torch.device("cpu")
    if images is not None:
        return [images.to(device)], f"{len(images)} images"
    if not state or any(t.is_meta or t.is_inference() for t in state):
        return [], ""
    values = [blueprint.values[v] for v in blueprint.inputs]
    if not batch_size or not values or not all(v.dtype.is_floating_point for v in values):
        return [], ""
    generator = torch.Generator().manual_seed(0)
    noise = [torch.randn((batch_size, *v.shape[1:]), generator=generator) for v in values]
    on = f"{batch_size} images of noise"
    return [x.to(device, v.dtype) for x, v in zip(noise, values, strict=True)], on
