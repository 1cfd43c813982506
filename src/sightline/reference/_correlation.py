"""Cross-correlation, which layers compute, and convolution, which the slide writes.

The kernel lies on the image; what lies on one another is multiplied, and the products are added up. Then
the kernel moves on. Convolution flips the kernel first.

Source: Goodfellow, Bengio and Courville 2016, "Deep Learning", section 9.1, equations 9.4 and 9.6.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sightline.base import ArgumentError
from sightline.reference._padding import Pads, pad, pad_backward, pads_of_windows
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
    window_sizes,
)


def correlate(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    stride: PerAxis = 1,
    padding: Pads | str = 0,
    padding_mode: str = "zeros",
    dilation: PerAxis = 1,
    groups: int = 1,
) -> Array:
    """Slide kernels over images: at each position, window times kernel, summed. A convolutional layer.

    Args:
        x: The images.
        weight: The kernels: one for each output channel, over the input channels of its group.
        bias: Added to each output channel.
        stride: Cells from one position to the next; one number, or one an axis.
        padding: Cells around the image: a number, one an axis, or one (before, after) an axis. `valid` is
            none. `same` gives ceil(n / stride) positions: with stride 1 that is dilation * (k - 1) cells, as
            PyTorch has it; with a larger stride, which PyTorch refuses, it is TensorFlow's rule. The odd cell
            is at the end.
        padding_mode: `zeros`, `reflect`, `replicate` or `circular`, as in `pad`.
        dilation: Cells from one tap of the kernel to the next; one number, or one an axis.
        groups: Into how many equal parts the channels fall; each output channel sees one part.

    Shape:
        (N, C, *spatial), (O, C / groups, *kernel), (O,) -> (N, O, *positions).

    Raises:
        ArgumentError: if the shapes do not go together, or the kernel is larger than the padded image.

    Example:
        >>> correlate([[[1, 2, 3, 4]]], [[[1, 0, -1]]])
        array([[[-2, -2]]])
    """
    walk = _walk(x, weight, stride, padding, padding_mode, dilation, groups)
    output = np.zeros(walk.output_shape, np.result_type(walk.padded, walk.weight))
    each_kernel = tuple(range(2, output.ndim + 1))
    for position, where, inputs, outputs in walk.steps():
        window = walk.padded[:, None, inputs, *where]  # (N, 1, C/groups, *kernel)
        product = window * walk.weight[outputs]  # (N, O/groups, C/groups, *kernel)
        output[:, outputs, *position] = product.sum(axis=each_kernel)
    return output if bias is None else output + bias_per_channel(bias, walk.output_shape)


def correlate_backward(
    gradient: ArrayLike,
    x: ArrayLike,
    weight: ArrayLike,
    *,
    stride: PerAxis = 1,
    padding: Pads | str = 0,
    padding_mode: str = "zeros",
    dilation: PerAxis = 1,
    groups: int = 1,
) -> tuple[Array, Array, Array]:
    """The gradients of `x`, `weight` and `bias`: each position hands its own back to what it was made of.

    Args:
        gradient: Of the output.
        x: As in `correlate`, and so are the others.
        weight: The kernels.
        stride: Cells from one position to the next.
        padding: Cells around the image.
        padding_mode: What is in them.
        dilation: Cells from one tap to the next.
        groups: Parts of the channels.

    Shape:
        (N, O, *positions) -> (N, C, *spatial), (O, C / groups, *kernel), (O,).

    Raises:
        ArgumentError: as `correlate`, and if the gradient has another shape than the output.
    """
    walk = _walk(x, weight, stride, padding, padding_mode, dilation, groups)
    gradient = shaped_as_output(gradient, walk.output_shape)
    of_padded = np.zeros(walk.padded.shape, np.result_type(gradient, walk.weight))
    of_weight = np.zeros(walk.weight.shape, np.result_type(gradient, walk.padded))
    for position, where, inputs, outputs in walk.steps():
        here = gradient[:, outputs, *position]  # (N, O/groups)
        window = walk.padded[:, inputs, *where]  # (N, C/groups, *kernel)
        of_padded[:, inputs, *where] += np.tensordot(here, walk.weight[outputs], axes=(1, 0))
        of_weight[outputs] += np.tensordot(here, window, axes=(0, 0))
    of_x = pad_backward(of_padded, x, walk.pads, padding_mode)
    return of_x, of_weight, gradient.sum(axis=other_axes(gradient))


def convolve(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    stride: PerAxis = 1,
    padding: Pads | str = 0,
    padding_mode: str = "zeros",
    dilation: PerAxis = 1,
    groups: int = 1,
) -> Array:
    """The slide's formula: `correlate` with every kernel flipped along all its spatial axes.

    Args:
        x: As in `correlate`, and so are the others.
        weight: The kernels, not yet flipped.
        bias: Added to each output channel.
        stride: Cells from one position to the next.
        padding: Cells around the image.
        padding_mode: What is in them.
        dilation: Cells from one tap to the next.
        groups: Parts of the channels.

    Shape:
        (N, C, *spatial), (O, C / groups, *kernel), (O,) -> (N, O, *positions).

    Raises:
        ArgumentError: as `correlate`.

    Example:
        >>> convolve([[[1, 2, 3, 4]]], [[[1, 0, -1]]])
        array([[[2, 2]]])
    """
    return correlate(
        x,
        _flipped(weight),
        bias,
        stride=stride,
        padding=padding,
        padding_mode=padding_mode,
        dilation=dilation,
        groups=groups,
    )


def convolve_backward(
    gradient: ArrayLike,
    x: ArrayLike,
    weight: ArrayLike,
    *,
    stride: PerAxis = 1,
    padding: Pads | str = 0,
    padding_mode: str = "zeros",
    dilation: PerAxis = 1,
    groups: int = 1,
) -> tuple[Array, Array, Array]:
    """The gradients of `x`, `weight` and `bias` of `convolve`. Arguments, shapes and errors are those of
    `correlate_backward`.
    """  # noqa: D205
    of_x, of_weight, of_bias = correlate_backward(
        gradient,
        x,
        _flipped(weight),
        stride=stride,
        padding=padding,
        padding_mode=padding_mode,
        dilation=dilation,
        groups=groups,
    )
    return of_x, _flipped(of_weight), of_bias


def bias_per_channel(bias: ArrayLike, output_shape: tuple[int, ...]) -> Array:
    """The bias, shaped so that it is added along the channels.

    Raises:
        ArgumentError: if it is not one number an output channel.
    """
    array, channels = numbers("bias", bias), output_shape[1]
    if array.shape != (channels,):
        raise ArgumentError(
            f"bias must have one number for each output channel, ({channels},); it is {array.shape}"
        )
    return array.reshape(channels, *(1 for _ in output_shape[2:]))


def other_axes(x: Array) -> tuple[int, ...]:
    """All axes but that of the channels."""
    return (0, *range(2, x.ndim))


def channels_of_groups(groups: int, inputs: int, outputs: int, names: str) -> list[tuple[slice, slice]]:
    """For each group, its input channels and its output channels.

    Args:
        groups: How many.
        inputs: Channels that come in.
        outputs: Channels that go out.
        names: Of the arguments that fix them, with their shapes, for the error.

    Raises:
        ArgumentError: if the groups do not come out even.
    """
    groups = at_least_1("groups", groups)
    if inputs % groups or outputs % groups:
        raise ArgumentError(
            f"groups must divide the input channels ({inputs}) and the output channels ({outputs}); "
            f"it is {groups} ({names})"
        )
    i, o = inputs // groups, outputs // groups
    return [(slice(g * i, (g + 1) * i), slice(g * o, (g + 1) * o)) for g in range(groups)]


@dataclass(frozen=True)
class _Walk:
    """Kernels on their way over padded images."""

    padded: Array
    weight: Array
    pads: tuple[tuple[int, int], ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: list[tuple[slice, slice]]
    output_shape: tuple[int, ...]

    def steps(self) -> Iterator[tuple[Index, Index, slice, slice]]:
        """Position, the cells under the window there, input channels, output channels."""
        for position in np.ndindex(*self.output_shape[2:]):
            where = window_at(position, self.weight.shape[2:], self.stride, self.dilation)
            for inputs, outputs in self.groups:
                yield position, where, inputs, outputs


def _walk(
    x: ArrayLike,
    weight: ArrayLike,
    stride: PerAxis,
    padding: Pads | str,
    padding_mode: str,
    dilation: PerAxis,
    groups: int,
) -> _Walk:
    x, weight = maps("x", x), numbers("weight", weight)
    if weight.ndim != x.ndim or 0 in weight.shape:
        raise ArgumentError(
            "weight must be (out channels, in channels / groups, *kernel), with as many axes as x; "
            f"x is {x.shape}, weight is {weight.shape}"
        )
    shapes = f"x is {x.shape}, weight is {weight.shape}"
    parts = channels_of_groups(groups, x.shape[1], weight.shape[0], shapes)
    if x.shape[1] != weight.shape[1] * len(parts):
        raise ArgumentError(
            f"weight must have as many input channels as x has in a group, {x.shape[1]} / {len(parts)} = "
            f"{x.shape[1] // len(parts)}; it has {weight.shape[1]} ({shapes})"
        )
    axes, image, kernel = x.ndim - 2, x.shape[2:], weight.shape[2:]
    strides, dilations = per_axis("stride", stride, axes, 1), per_axis("dilation", dilation, axes, 1)
    pads = pads_of_windows(padding, image, kernel, strides, dilations)
    sizes = window_sizes(image, kernel, strides, pads, dilations)
    output_shape = (x.shape[0], weight.shape[0], *sizes)
    return _Walk(pad(x, pads, padding_mode), weight, pads, strides, dilations, parts, output_shape)


def _flipped(weight: ArrayLike) -> Array:
    array = numbers("weight", weight)
    return np.flip(array, axis=tuple(range(2, array.ndim)))
