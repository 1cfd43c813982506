"""A network as a line of words, computed by hand: sizes, parameters, multiply-adds, memory, field."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sightline.base import ArgumentError, Finding
from sightline.reference._arithmetic import (
    Sum,
    convolution_macs,
    convolution_parameters,
    fully_connected_macs,
    fully_connected_parameters,
    window_lost,
)
from sightline.reference._design_field import Field
from sightline.reference._design_solve import fix, solve, solve_input
from sightline.reference._design_words import LARGEST_SIDE, WINDOWS, Shape, Word, read_layers, read_shape

BYTES = 4
"""Of one value in float32."""


@dataclass(frozen=True, kw_only=True)
class DesignLayer:
    """One layer, computed."""

    layer: str
    """As written, what was solved for filled in."""
    kind: str
    """A key of the layer words: `conv`, `pool` (the maximum), `fc`..."""
    main: float
    """Filters, outputs, channel multiplier, dropout rate, channels of `lrn`; 0 where the kind has none."""
    input_shape: tuple[int, ...]
    """Channels first, without the batch."""
    output_shape: tuple[int, ...]
    kernel_size: tuple[int, ...] | None
    """A number an axis; None where the layer has no window."""
    stride: tuple[int, ...] | None
    padding: tuple[tuple[int, int], ...] | None
    """Before and after, of each axis."""
    dilation: tuple[int, ...] | None
    output_padding: tuple[int, ...] | None
    """Of `tconv` alone."""
    groups: int
    bias: bool
    ceil: bool
    parameters: int
    macs: int
    """For one image."""
    output_bytes: int
    """In float32, for one image."""
    receptive_field: tuple[int, ...]
    """Input rows (and columns) that one output value sees, the padding's included; empty of a vector."""
    jump: tuple[float, ...]
    """Input rows (and columns) from one output value to the next."""
    lost: tuple[tuple[int, ...], ...]
    """Of each axis: indices of the input that no window covers."""
    sums: dict[str, str]
    """How the numbers come about: height, width or length, parameters, macs, memory, receptive_field."""
    solved: str = ""
    """What was solved for, and what else would do."""

    def to_dict(self) -> dict[str, Any]:
        """The layer as programs read it."""
        padding = self.padding and [a if a == b else [a, b] for a, b in self.padding]
        return {
            "layer": self.layer,
            "kind": self.kind,
            "input_shape": list(self.input_shape),
            "output_shape": list(self.output_shape),
            "kernel_size": self.kernel_size and list(self.kernel_size),
            "stride": self.stride and list(self.stride),
            "padding": padding,
            "dilation": self.dilation and list(self.dilation),
            "groups": self.groups,
            "parameters": self.parameters,
            "macs": self.macs,
            "output_bytes": self.output_bytes,
            "receptive_field": list(self.receptive_field),
            "jump": [int(j) if j == int(j) else j for j in self.jump],
            "lost_rows": list(self.lost[0]) if self.lost else [],
            "lost_columns": list(self.lost[1]) if len(self.lost) > 1 else [],
            "sums": self.sums,
            "solved": self.solved,
        }


@dataclass(frozen=True, kw_only=True)
class Design:
    """A network, computed."""

    shape: Shape
    """Of the input, as read."""
    layers: tuple[DesignLayer, ...]
    findings: tuple[Finding, ...]
    solved: str = ""
    """What the input size was solved for, and what else would do."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Channels first."""
        return (self.shape.channels, *(side for side in self.shape.size if side is not None))

    @property
    def parameters(self) -> int:
        """Of all layers."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs(self) -> int:
        """Of all layers, for one image."""
        return sum(layer.macs for layer in self.layers)

    @property
    def memory(self) -> dict[str, int]:
        """Bytes in float32: of the input, all outputs (one image) and the parameters."""
        return {
            "input_bytes": BYTES * math.prod(self.input_shape),
            "output_bytes": sum(layer.output_bytes for layer in self.layers),
            "parameter_bytes": BYTES * self.parameters,
        }

    def to_dict(self) -> dict[str, Any]:
        """The design as programs read it."""
        return {
            "input": list(self.input_shape),
            "layers": [layer.to_dict() for layer in self.layers],
            "parameters": self.parameters,
            "macs": self.macs,
            "flops": 2 * self.macs,
            "memory": self.memory,
            "solved": self.solved,
            "findings": [finding.to_dict() for finding in self.findings],
        }


def design(shape: str, layers: Sequence[str] | str, *, strict: bool = False) -> Design:
    """Compute a network by hand: what every layer makes of the input, and at what cost.

    Args:
        shape: `32x32x3` (height x width x channels), `3,32,32` (channels first), `40x1` or `1,40`, `784`.
        layers: Words as `conv:10,k5,p2`, `relu`, `pool:2`, `fc:10`; see the page "By hand".
        strict: The lecture's rule: a stride that does not come out is a finding of level error.

    Raises:
        ArgumentError: if a word is not understood, or a layer does not fit what comes before it.

    Example:
        >>> network = design("32x32x3", "conv:10,k5,p2 relu pool:2 fc:10")
        >>> network.layers[0].sums["height"], network.layers[0].sums["parameters"]
        ('(32 + 2*2 - 5)/1 + 1 = 32', '(5*5*3 + 1)*10 = 760')
        >>> network.parameters
        26370
    """
    from sightline.reference._design_findings import findings

    read = read_shape(shape)
    words = read_layers([layers] if isinstance(layers, str) else layers)
    solved = ""
    if None in read.size:
        size, solved = solve_input(read, words)
        read = dataclasses.replace(read, size=size)
    sides = tuple(side for side in read.size if side is not None)
    here, computed = (read.channels, *sides), []
    field = Field(sides, counted=any(word.kind == "tconv" for word in words))
    for number, word in enumerate(words, 1):
        layer = _compute(number, word, here, field)
        computed.append(layer)
        here = layer.output_shape
    whole = Design(shape=read, layers=tuple(computed), findings=(), solved=solved)
    return dataclasses.replace(whole, findings=tuple(findings(whole, strict=strict)))


def _compute(number: int, word: Word, shape: tuple[int, ...], field: Field) -> DesignLayer:
    """One layer, behind an input of `shape`; `field` is moved on."""
    where = f"layer {number}, {word.text}"
    channels, size = shape[0], shape[1:]
    field.keep()
    if not size and (word.kind in WINDOWS or word.kind in ("gap", "lrn")):
        raise ArgumentError(
            f"{where}: it takes a map, and gets a vector of {channels:,} values; put it before flatten and fc"
        )
    if word.kind in WINDOWS:
        return _window(where, word, shape, field)
    sums: dict[str, str] = {}
    output, parameters, macs = shape, Sum(0, ""), Sum(0, "")
    if word.kind == "fc":
        inputs, outputs = math.prod(shape), int(word.main)
        if size:
            sums["flatten"] = f"{_product(shape)} = {inputs:,}"
        output = (outputs,)
        parameters = fully_connected_parameters(inputs, outputs, word.bias)
        macs = fully_connected_macs(inputs, outputs)
        field.take_whole(size)
    elif word.kind == "gap":
        output = (channels, *(1 for _ in size))
        field.take_whole(size)
    elif word.kind == "flatten":
        output = (math.prod(shape),)
        field.flatten(size)
        if size:
            sums["flatten"] = f"{_product(shape)} = {math.prod(shape):,}"
    elif word.kind == "bn":
        parameters = Sum(2 * channels, f"2*{channels} = {2 * channels:,}")
    return _layer(word, shape, output, parameters, macs, field, sums)


def _window(where: str, word: Word, shape: tuple[int, ...], field: Field) -> DesignLayer:
    """A convolution or a pooling."""
    channels, size = shape[0], shape[1:]
    fixed, solved = solve(where, word, size)
    kernel, stride, dilation = fixed.kernel, fixed.stride, fixed.dilation
    axes = ("height", "width") if len(size) == 2 else ("length",)
    sums, output = {}, []
    lost: tuple[tuple[int, ...], ...] = tuple(() for _ in size)
    for axis, n in enumerate(size):
        result = fixed.output(n, axis)
        if result.value < 1:
            raise ArgumentError(f"{where}: nothing is left: {result.text}; {fix(fixed, n, axis)}")
        if result.value > LARGEST_SIDE:
            raise ArgumentError(f"{where}: {result.text}; a side can be {LARGEST_SIDE:,} at most")
        if word.kind in ("pool", "avgpool"):
            most = (dilation[axis] * (kernel[axis] - 1) + 1) // 2
            if max(fixed.padding[axis]) > most:
                raise ArgumentError(
                    f"{where}: a padding of {max(fixed.padding[axis])} leaves windows with hardly any input; "
                    f"a pooling of {kernel[axis]} takes {most} or less"
                )
        sums[axes[axis]] = result.text
        output.append(result.value)
    if word.wanted is not None:
        wanted = word.wanted if len(word.wanted) == len(size) else word.wanted * len(size)
        for axis, n in enumerate(size):
            if output[axis] != wanted[axis]:
                raise ArgumentError(
                    f"{where}: {sums[axes[axis]]}, and {wanted[axis]} is wanted; "
                    f"{fix(fixed, n, axis, wanted[axis])}"
                )
    parameters, macs, groups, out_channels = Sum(0, ""), Sum(0, ""), word.groups, channels
    if word.kind in ("conv", "tconv", "depthwise"):
        if word.kind == "depthwise":
            groups, out_channels = channels, channels * int(word.main)
        else:
            out_channels = int(word.main)
        if channels % groups or out_channels % groups:
            raise ArgumentError(
                f"{where}: {groups} groups must divide the channels, {channels} in and {out_channels} out"
            )
        positions = size if word.kind == "tconv" else tuple(output)
        parameters = convolution_parameters(channels, out_channels, kernel, groups, word.bias)
        macs = convolution_macs(channels, out_channels, kernel, positions, groups)
    if word.kind == "tconv":
        field.transpose(size, tuple(output), kernel, stride, fixed.padding, dilation)
    else:
        field.slide(size, tuple(output), kernel, stride, fixed.padding, dilation)
        lost = tuple(
            window_lost(n, kernel[a], stride[a], fixed.padding[a], dilation[a], ceil=word.ceil)
            for a, n in enumerate(size)
        )
    layer = _layer(word, shape, (out_channels, *output), parameters, macs, field, sums)
    return dataclasses.replace(
        layer,
        layer=fixed.text,
        kernel_size=kernel,
        stride=stride,
        padding=fixed.padding,
        dilation=dilation,
        output_padding=fixed.output_padding if word.kind == "tconv" else None,
        groups=groups,
        lost=lost,
        solved=solved,
    )


def _layer(
    word: Word,
    shape: tuple[int, ...],
    output: tuple[int, ...],
    parameters: Sum,
    macs: Sum,
    field: Field,
    sums: dict[str, str],
) -> DesignLayer:
    values = math.prod(output)
    if parameters.text:
        sums["parameters"] = parameters.text
    if macs.text:
        sums["macs"] = macs.text
    product = f"{_product(output)} = {values:,}" if len(output) > 1 else f"{values:,}"
    sums["memory"] = f"{product} values, {values}*{BYTES} = {BYTES * values:,} bytes"
    if field.text:
        sums["receptive_field"] = field.text
    return DesignLayer(
        layer=word.text,
        kind=word.kind,
        main=word.main,
        input_shape=shape,
        output_shape=output,
        kernel_size=None,
        stride=None,
        padding=None,
        dilation=None,
        output_padding=None,
        groups=1,
        bias=word.bias,
        ceil=word.ceil,
        parameters=parameters.value,
        macs=macs.value,
        output_bytes=BYTES * values,
        receptive_field=field.value,
        jump=tuple(float(j) for j in field.jump),
        lost=(),
        sums=sums,
    )


def _product(shape: Sequence[int]) -> str:
    """As the lecture multiplies: height*width*channels."""
    return "*".join(map(str, [*shape[1:], shape[0]]))
