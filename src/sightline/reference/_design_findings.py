"""What is wrong, or worth a second look, in a network designed by hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from sightline.base import Finding
from sightline.reference._arithmetic import fitting_paddings, fitting_sizes
from sightline.reference._design_words import LINEAR

if TYPE_CHECKING:
    from sightline.reference._design import Design, DesignLayer

Level = Literal["info", "warning", "error"]
_NEUTRAL = ("avgpool", "gap", "dropout", "flatten", "bn")
"""Layers that are linear themselves, so that two linear layers around them are still one."""


def findings(network: Design, *, strict: bool) -> Iterator[Finding]:
    """Look through a network, layer by layer and then as a whole."""
    for number, layer in enumerate(network.layers, 1):
        where = f"layer {number}, {layer.layer}"
        if layer.kernel_size is not None:
            yield from _window(where, layer, strict)
        elif layer.kind == "fc" and len(layer.input_shape) > 1:
            yield Finding(
                level="info",
                where=where,
                what=f"takes a map; flattened first: {layer.sums['flatten']}",
                why="a fully connected layer sees values without places",
                do="write flatten before it to say so",
            )
    yield from _linear_in_a_row(network.layers)
    yield from _whole(network)


def _window(where: str, layer: DesignLayer, strict: bool) -> Iterator[Finding]:
    axes = [_axis(layer, axis) for axis in range(len(layer.input_shape) - 1)]
    one = len(axes) == 2 and axes[0] == axes[1]  # what is said of one holds for both
    for axis, (kernel, stride, pads, dilation, n) in enumerate(axes[:1] if one else axes):
        names = _NAMES[2 if one else axis if len(axes) == 2 else 3]
        extent = dilation * (kernel - 1) + 1
        if layer.kind == "tconv":
            if extent % stride and kernel > 1:
                yield Finding(
                    level="warning",
                    where=where,
                    what=f"the stride {stride} does not divide the kernel {kernel}",
                    why="some outputs are sums of more products than others: a checkerboard",
                    do=f"use a kernel of {-(-kernel // stride) * stride}",
                )
            continue
        lost = layer.lost[axis]
        if (n + sum(pads) - extent) % stride and not layer.ceil:
            yield _does_not_fit(where, layer, axis, names, strict)
        elif lost:
            reason = (
                "the stride is larger than the kernel" if stride > extent else "of the gaps in the window"
            )
            yield Finding(
                level="warning",
                where=where,
                what=f"{len(lost)} of {n} {names[1]} are in no window, because {reason}",
                why="they never reach the output",
                do=f"use a kernel of {stride} or more" if stride > extent else "use stride 1 or no dilation",
            )
        if max(pads) >= extent:
            yield Finding(
                level="warning",
                where=where,
                what=f"the padding {max(pads)} is not smaller than the kernel {extent}",
                why="the outermost windows see padding alone",
                do=f"use a padding of {extent - 1} or less",
            )


_NAMES = (("row", "rows"), ("column", "columns"), ("row and column", "rows and columns"), ("value", "values"))


def _axis(layer: DesignLayer, axis: int) -> tuple[int, int, tuple[int, int], int, int]:
    """Kernel, stride, padding, dilation and input size along an axis of a window."""
    assert layer.kernel_size is not None
    assert layer.stride is not None
    assert layer.padding is not None
    assert layer.dilation is not None
    return (
        layer.kernel_size[axis], layer.stride[axis], layer.padding[axis], layer.dilation[axis],
        layer.input_shape[axis + 1],
    )  # fmt: skip


def _does_not_fit(where: str, layer: DesignLayer, axis: int, names: tuple[str, str], strict: bool) -> Finding:
    kernel, stride, pads, dilation, n = _axis(layer, axis)
    lost, arithmetic = layer.lost[axis], list(layer.sums.values())[axis]
    if len(lost) > 6:
        consequence = f"{len(lost)} of {n} {names[1]} are lost, the last being {lost[-1]}"
    elif lost:
        shown = ", ".join(map(str, lost))
        several = len(lost) > 1 or " and " in names[0]
        consequence = f"{names[len(lost) > 1]} {shown} (of 0 to {n - 1}) {'are' if several else 'is'} lost"
    else:
        consequence = "nothing but padding is lost"
    sizes = [str(size) for size in fitting_sizes(n, kernel, stride, pads, dilation) if size is not None]
    most = (dilation * (kernel - 1) + 1) // 2 if "pool" in layer.kind else dilation * (kernel - 1)
    paddings = [p for p in fitting_paddings(n, kernel, stride, dilation) if p != pads[0] and p <= most]
    ways = f"use an input of {' or '.join(sizes)} instead of {n}"
    if paddings:
        ways += f", or padding {' or '.join(map(str, paddings[:3]))}"
    level: Level = "error" if strict else "warning" if lost else "info"
    return Finding(
        level=level,
        where=where,
        what=f"{arithmetic}: the stride does not fit, and {consequence}",
        why="PyTorch rounds down; by the lecture's rule the layer cannot be applied",
        do=ways,
    )


def _linear_in_a_row(layers: Sequence[DesignLayer]) -> Iterator[Finding]:
    """Two layers with weights and nothing but linear ones between."""
    last: tuple[int, DesignLayer] | None = None
    for number, layer in enumerate(layers, 1):
        if layer.kind in LINEAR:
            if last is not None and last[1].kind != "depthwise":
                yield Finding(
                    level="warning",
                    where=f"layer {number}, {layer.layer}",
                    what=f"nothing that is not linear lies between it and layer {last[0]}, {last[1].layer}",
                    why="two linear layers in a row compute no more than one",
                    do="put a relu between them",
                )
            last = number, layer
        elif layer.kind == "bn" and last is not None and last[0] == number - 1 and last[1].bias:
            yield Finding(
                level="info",
                where=f"layer {last[0]}, {last[1].layer}",
                what="has a bias, and batch norm follows",
                why="batch norm subtracts the mean, and the bias with it",
                do="write nobias",
            )
        elif layer.kind not in _NEUTRAL:
            last = None


def _whole(network: Design) -> Iterator[Finding]:
    layers, total = network.layers, network.parameters
    heaviest = max(layers, key=lambda layer: layer.parameters)
    if sum(layer.parameters > 0 for layer in layers) > 1 and 2 * heaviest.parameters > total:
        share = f"{100 * heaviest.parameters / total:.0f} %"
        yield Finding(
            level="info",
            where=f"layer {layers.index(heaviest) + 1}, {heaviest.layer}",
            what=f"holds {heaviest.parameters:,} of {total:,} parameters, {share}",
            why="that is where the network is large, and where it will overfit first",
            do="make its input smaller: a pooling, or gap in place of flatten"
            if heaviest.kind == "fc"
            else "use fewer filters, a smaller kernel, or groups",
        )
    if layers[-1].kind == "softmax":
        yield Finding(
            level="info",
            where=f"layer {len(layers)}, softmax",
            what="the network ends in a softmax",
            why="PyTorch's cross_entropy has it inside, and would apply it twice",
            do="train on what comes before it",
        )
