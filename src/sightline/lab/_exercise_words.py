"""Layers as words and as lines of a sum, for the questions that have several."""

from __future__ import annotations

from collections.abc import Sequence

from sightline.reference import Design, DesignLayer


def size(numbers: Sequence[int]) -> str:
    """As `5x5`."""
    return "x".join(map(str, numbers))


def shape(channels_first: Sequence[int]) -> str:
    """A shape as the lecture writes it: height x width x channels."""
    return size([*channels_first[1:], channels_first[0]])


def filters(count: int) -> str:
    """As `6 filters`."""
    return f"{count} filter" if count == 1 else f"{count} filters"


def said(layer: DesignLayer, *, windows_alone: bool = False) -> str:
    """A layer in words; of convolutions, the window alone where filters and padding do not matter."""
    if layer.kernel_size is None or layer.stride is None or layer.padding is None or layer.dilation is None:
        names = {"fc": f"fully connected, {int(layer.main)} outputs", "bn": "batch norm", "relu": "ReLU"}
        return names.get(layer.kind, layer.kind)
    window, numbers = size(layer.kernel_size), f"stride {_one(layer.stride)}"
    pads = [before for before, _ in layer.padding]
    if layer.kind in ("pool", "avgpool"):
        text = f"{'max' if layer.kind == 'pool' else 'average'} pooling {window}, {numbers}"
        return text + (f", padding {_one(pads)}" if any(pads) else "")
    if layer.kind == "depthwise":
        text = f"depthwise convolution {window} (one filter a channel), {numbers}"
    else:
        of = f" {window}" if windows_alone else f", {filters(int(layer.main))} of {window}"
        text = f"convolution{of}, {numbers}"
    if not windows_alone:
        text += f", padding {_one(pads)}"
    if set(layer.dilation) != {1}:
        text += f", dilation {_one(layer.dilation)}"
    if layer.groups > 1 and layer.kind == "conv":
        text += f", {layer.groups} groups"
    return text + ("" if layer.bias else ", without bias")


def listed(network: Design, *, windows_alone: bool = False) -> str:
    """The layers of a network in words, a line each; a ReLU stands behind its layer."""
    lines: list[str] = []
    for layer in network.layers:
        if layer.kind == "relu" and lines:
            lines[-1] += ", ReLU"
        else:
            lines.append(f"({len(lines) + 1}) {said(layer, windows_alone=windows_alone)}")
    return "\n".join(lines)


def sums_of(network: Design, *keys: str) -> list[str]:
    """The sums of these kinds, a line for each that a layer has, numbered as `listed` does."""
    lines, number = [], 0
    for layer in network.layers:
        if layer.kind != "relu":
            number += 1
            lines += [f"({number}) {layer.sums[key]}" for key in keys if key in layer.sums]
    return lines


def total(numbers: Sequence[int], value: int) -> str:
    """The line that adds them up."""
    return f"{' + '.join(f'{one:,}' for one in numbers)} = {value:,}"


def _one(numbers: Sequence[int]) -> str:
    return size(numbers) if len(set(numbers)) > 1 else str(numbers[0])
