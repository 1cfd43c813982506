"""The sums of a node, written out as beside the slide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sightline.blueprint._field import Field
from sightline.blueprint._graph import Blueprint, Node
from sightline.blueprint._settings import CONVOLUTIONS
from sightline.reference import (
    convolution_macs,
    convolution_parameters,
    field_after,
    fully_connected_macs,
    fully_connected_parameters,
    transposed_output,
    window_output,
)

AXES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}
"""Names of spatial axes."""


def sums_of(
    blueprint: Blueprint, node: Node, before: Field | None, after: Field | None, *, at_input: bool
) -> dict[str, str]:
    """How the numbers of a node come about: size by axis, parameters, macs, receptive field.

    Args:
        blueprint: The node's.
        node: Any.
        before: The field of what it reads.
        after: Its own.
        at_input: Whether it reads the network's input.
    """
    found: dict[str, str] = {}
    if "kernel_size" in node.settings and node.input_shapes:
        found |= _window(node)
    if node.kind == "linear" and node.input_shapes and node.output_shapes:
        found |= _linear(blueprint, node)
    elif node.kind.startswith("conv") and "kernel_size" in node.settings:
        found |= _convolution(blueprint, node)
    elif node.kind == "batch_norm" and node.parameters and node.num_parameters % 2 == 0:
        found["parameters"] = f"2*{node.num_parameters // 2} = {node.num_parameters:,}"
    kernel = node.settings.get("kernel_size")
    if kernel and "transposed" not in node.settings and after is not None and len(after.size) == len(kernel):
        sizes = before.size if before is not None else (1,) * len(kernel) if at_input else ()
        jumps = before.jump if before is not None else (1,) * len(kernel)
        if sizes and jumps[0] == int(jumps[0]):
            told = field_after(sizes[0], int(jumps[0]), kernel[0], node.settings["dilation"][0])
            if told.value == after.size[0]:  # the rule of a chain; phases of an upsampling say otherwise
                found["receptive_field"] = told.text
    return found


def _window(node: Node) -> dict[str, str]:
    s = node.settings
    axes = len(s["kernel_size"])
    sizes = node.input_shapes[0][-axes:]
    found: dict[str, str] = {}
    for k, name in enumerate(AXES.get(axes, ())):
        if "transposed" in s:
            told = transposed_output(
                sizes[k], s["kernel_size"][k], s["stride"][k], s["padding"][k], s["output_padding"][k],
                s["dilation"][k],
            )  # fmt: skip
        else:
            told = window_output(
                sizes[k], s["kernel_size"][k], s["stride"][k], s["padding"][k], s["dilation"][k],
                ceil=s.get("ceil_mode", False),
            )  # fmt: skip
        found[name] = told.text
    if len(set(found.values())) == 1 and axes > 1:
        return {"size": next(iter(found.values()))}
    return found


def _convolution(blueprint: Blueprint, node: Node) -> dict[str, str]:
    s = node.settings
    operation = next(
        o for o in blueprint.operations[node.operations[0] : node.operations[1]] if o.name in CONVOLUTIONS
    )
    transposed = "transposed" in s
    axes = len(s["kernel_size"])
    given, weight = (blueprint.values[a.value].shape for a in operation.arguments[:2])
    out = blueprint.values[operation.outputs[0]].shape
    inputs, outputs = (
        (weight[0], weight[1] * s["groups"]) if transposed else (weight[1] * s["groups"], weight[0])
    )
    found = {}
    if node.num_parameters:
        found["parameters"] = convolution_parameters(
            inputs, outputs, s["kernel_size"], s["groups"], s["bias"]
        ).text
    positions: Sequence[Any] = given[-axes:] if transposed else out[-axes:]
    told = convolution_macs(inputs, outputs, s["kernel_size"], positions, s["groups"])
    found["macs"] = _for_batch(told.text, told.value, node.macs, blueprint.batch)
    return found


def _linear(blueprint: Blueprint, node: Node) -> dict[str, str]:
    inputs, outputs = node.input_shapes[0][-1], node.output_shapes[0][-1]
    found = {}
    if node.num_parameters:
        bias = any(blueprint.parameters[name] == outputs for name in node.parameters if name.endswith("bias"))
        told = fully_connected_parameters(inputs, outputs, bias)
        if told.value == node.num_parameters:
            found["parameters"] = told.text
    told = fully_connected_macs(inputs, outputs)
    found["macs"] = _for_batch(told.text, told.value, node.macs, node.macs // told.value if told.value else 1)
    return found


def _for_batch(text: str, value: int, macs: int, times: int) -> str:
    """The sum of one image, taken as often as it was done."""
    if times == 1 or value * times != macs:
        return text
    return f"{times}*{text.rsplit(' = ', 1)[0]} = {macs:,}"
