"""Transposed convolution: each cell stamps the kernel, times its own value, onto a larger canvas.

Where stamps overlap they add up. It is the gradient of a cross-correlation made a layer, hence the name; it
does not undo one.

Source: Dumoulin and Visin 2016, "A guide to convolution arithmetic for deep learning", chapter 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sightline.base import ArgumentError
from sightline.reference._arithmetic import transposed_output
from sightline.reference._correlation import bias_per_channel, channels_of_groups, other_axes
from sightline.reference._windows import (
    Array,
    Index,
    PerAxis,
    at_least_1,
    maps,
    numbers,
    per_axis,
    shaped_as_output,
    window_at,
)


def correlate_transposed(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    stride: PerAxis = 1,
    padding: PerAxis = 0,
    output_padding: PerAxis = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> Array:
    """Stamp kernels onto a canvas, one stamp a cell, and cut its border. A transposed convolution layer.

    Args:
        x: The images.
        weight: The kernels: for each input channel, one for each output channel of its group.
        bias: Added to each output channel.
        stride: Cells of the canvas from one stamp to the next; one number, or one an axis.
        padding: Cells cut from every side of the canvas; one number, or one an axis.
        output_padding: Cells the canvas is longer at its end; below the larger of stride and dilation.
        dilation: Cells from one tap of the kernel to the next; one number, or one an axis.
        groups: Into how many equal parts the channels fall; each output channel sees one part.

    Shape:
        (N, C, *spatial), (C, O / groups, *kernel), (O,) -> (N, O, *output), where output is
        (n - 1) * stride - 2 * padding + dilation * (k - 1) + output_padding + 1.

    Raises:
        ArgumentError: if the shapes do not go together, or nothing is left of the canvas.

    Example:
        >>> correlate_transposed([[[1, 10]]], [[[1, 2, 3]]], stride=2)
        array([[[ 1,  2, 13, 20, 30]]])
    """
    stamps = _stamps(x, weight, stride, padding, output_padding, dilation, groups)
    canvas = np.zeros(stamps.canvas_shape, np.result_type(stamps.x, stamps.weight))
    for position, where, inputs, outputs in stamps.steps():
        cell = stamps.x[:, inputs, *position]  # (N, C/groups)
        canvas[:, outputs, *where] += np.tensordot(cell, stamps.weight[inputs], axes=(1, 0))
    output: Array = canvas[:, :, *stamps.kept]
    return output if bias is None else output + bias_per_channel(bias, output.shape)


def correlate_transposed_backward(
    gradient: ArrayLike,
    x: ArrayLike,
    weight: ArrayLike,
    *,
    stride: PerAxis = 1,
    padding: PerAxis = 0,
    output_padding: PerAxis = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> tuple[Array, Array, Array]:
    """The gradients of `x`, `weight` and `bias`: each cell gathers what its stamp received.

    Args:
        gradient: Of the output.
        x: As in `correlate_transposed`, and so are the others.
        weight: The kernels.
        stride: Cells from one stamp to the next.
        padding: Cells cut from every side.
        output_padding: Cells the canvas is longer.
        dilation: Cells from one tap to the next.
        groups: Parts of the channels.

    Shape:
        (N, O, *output) -> (N, C, *spatial), (C, O / groups, *kernel), (O,).

    Raises:
        ArgumentError: as `correlate_transposed`, and if the gradient has another shape than the output.
    """
    stamps = _stamps(x, weight, stride, padding, output_padding, dilation, groups)
    gradient = shaped_as_output(gradient, stamps.output_shape)
    canvas = np.zeros(stamps.canvas_shape, gradient.dtype)
    canvas[:, :, *stamps.kept] = gradient
    of_x = np.zeros(stamps.x.shape, np.result_type(gradient, stamps.weight))
    of_weight = np.zeros(stamps.weight.shape, np.result_type(gradient, stamps.x))
    each_kernel = tuple(range(2, of_x.ndim + 1))
    for position, where, inputs, outputs in stamps.steps():
        window = canvas[:, outputs, *where]  # (N, O/groups, *kernel)
        product = window[:, None] * stamps.weight[inputs]  # (N, C/groups, O/groups, *kernel)
        of_x[:, inputs, *position] = product.sum(axis=each_kernel)
        of_weight[inputs] += np.tensordot(stamps.x[:, inputs, *position], window, axes=(0, 0))
    return of_x, of_weight, gradient.sum(axis=other_axes(gradient))


@dataclass(frozen=True)
class _Stamps:
    """Kernels, and the canvas they are stamped on."""

    x: Array
    weight: Array
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: list[tuple[slice, slice]]
    canvas_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    kept: Index
    """Of the canvas, along each spatial axis."""

    def steps(self) -> Iterator[tuple[Index, Index, slice, slice]]:
        """Position, the cells under the stamp there, input channels, output channels."""
        for position in np.ndindex(*self.x.shape[2:]):
            where = window_at(position, self.weight.shape[2:], self.stride, self.dilation)
            for inputs, outputs in self.groups:
                yield position, where, inputs, outputs


def _stamps(
    x: ArrayLike,
    weight: ArrayLike,
    stride: PerAxis,
    padding: PerAxis,
    output_padding: PerAxis,
    dilation: PerAxis,
    groups: int,
) -> _Stamps:
    x, weight = maps("x", x), numbers("weight", weight)
    shapes = f"x is {x.shape}, weight is {weight.shape}"
    if weight.ndim != x.ndim or 0 in weight.shape or weight.shape[0] != x.shape[1]:
        raise ArgumentError(
            "weight must be (in channels, out channels / groups, *kernel), with the channels and as many "
            f"axes as x; {shapes}"
        )
    axes = x.ndim - 2
    strides, dilations = per_axis("stride", stride, axes, 1), per_axis("dilation", dilation, axes, 1)
    cut, longer = per_axis("padding", padding, axes, 0), per_axis("output_padding", output_padding, axes, 0)
    channels = weight.shape[1] * at_least_1("groups", groups)
    canvas, sizes = [], []
    for n, k, s, p, o, d in zip(x.shape[2:], weight.shape[2:], strides, cut, longer, dilations, strict=True):
        if o >= max(s, d):
            raise ArgumentError(
                f"output_padding must be below the larger of stride and dilation ({max(s, d)}); it is {o}"
            )
        size = transposed_output(n, k, s, p, o, d)
        if size.value < 1:
            raise ArgumentError(f"nothing is left of the canvas: {size.text} ({shapes})")
        canvas.append(size.value + 2 * p)
        sizes.append(size.value)
    return _Stamps(
        x,
        weight,
        strides,
        dilations,
        channels_of_groups(groups, x.shape[1], channels, shapes),
        (x.shape[0], channels, *canvas),
        (x.shape[0], channels, *sizes),
        tuple(slice(p, p + size) for p, size in zip(cut, sizes, strict=True)),
    )
