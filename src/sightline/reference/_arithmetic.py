"""The sums behind a layer: output size, parameters, multiply-adds, receptive field.

Every function returns the value with its sum written out, as one would write it beside the slide. Sizes are
of one axis. `macs` count the multiplies of convolutions and matrix products, without bias.

Source: Dumoulin and Visin 2016, "A guide to convolution arithmetic for deep learning", relations 6 and 15;
Araujo et al. 2019, "Computing receptive fields of convolutional neural networks", equations 1 and 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sightline.base import ArgumentError

Padding = int | tuple[int, int]


@dataclass(frozen=True)
class Sum:
    """A number, and how one comes to it."""

    value: int
    text: str
    """As `(32 + 2*2 - 5)/1 + 1 = 32`. Results have thousands separators, factors have none."""


def window_output(
    size: int, kernel: int, stride: int = 1, padding: Padding = 0, dilation: int = 1, *, ceil: bool = False
) -> Sum:
    """How many positions a sliding window has: the output size of a convolution or a pooling.

    The division is rounded down, as PyTorch does; the text shows it when it does not come out.

    Args:
        size: Of the input, along this axis.
        kernel: Of the window.
        stride: From one position to the next.
        padding: On both sides, or (before, after).
        dilation: From one tap of the window to the next.
        ceil: Round up instead; a last window that would start beyond the input and the padding before it is
            left out, as PyTorch does.

    Returns:
        The size. Zero or less where the window is larger than the padded input: the caller judges.

    Raises:
        ArgumentError: if kernel, stride or dilation is below 1, or a padding below 0.

    Example:
        >>> window_output(32, 5, padding=2).text
        '(32 + 2*2 - 5)/1 + 1 = 32'
        >>> window_output(7, 3, stride=3).text
        '(7 + 2*0 - 3)/3 + 1 = 2.33 -> 2'
    """
    before, after = _checked(kernel, stride, padding, dilation)
    span = size + before + after - dilation * (kernel - 1) - 1
    pads = f"2*{before}" if before == after else f"{before} + {after}"
    taps = str(kernel) if dilation == 1 else f"{dilation}*({kernel} - 1) - 1"
    text = f"({size} + {pads} - {taps})/{stride} + 1 = "
    value = (-(-span // stride) if ceil else span // stride) + 1
    text += f"{value:,}" if span % stride == 0 else f"{_decimal(span / stride + 1)} -> {value:,}"
    if ceil and value > 1 and (value - 1) * stride >= size + before:
        value -= 1
        text += f" -> {value:,} (the last window would start outside)"
    return Sum(value, text)


def transposed_output(
    size: int, kernel: int, stride: int = 1, padding: int = 0, output_padding: int = 0, dilation: int = 1
) -> Sum:
    """The output size of a transposed convolution: `window_output` solved for its input.

    Args:
        size: Of the input, along this axis.
        kernel: Of the window.
        stride: From one position in the output to the next.
        padding: Cut from both sides of the output.
        output_padding: Added at the end of the output.
        dilation: From one tap of the window to the next.

    Raises:
        ArgumentError: as `window_output`.

    Example:
        >>> transposed_output(16, 4, stride=2, padding=1).text
        '(16 - 1)*2 - 2*1 + (4 - 1) + 0 + 1 = 32'
    """
    _checked(kernel, stride, padding, dilation)
    value = (size - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1
    taps = f"({kernel} - 1)" if dilation == 1 else f"{dilation}*({kernel} - 1)"
    return Sum(value, f"({size} - 1)*{stride} - 2*{padding} + {taps} + {output_padding} + 1 = {value:,}")


def window_lost(
    size: int, kernel: int, stride: int, padding: Padding = 0, dilation: int = 1, *, ceil: bool = False
) -> tuple[int, ...]:
    """Which rows (or columns) of the input no window covers.

    They are the last ones where a stride does not fit, the gaps where it is larger than the kernel, and
    the holes that dilation leaves. Arguments as `window_output`.

    Returns:
        Indices, ascending, from 0.

    Raises:
        ArgumentError: as `window_output`.

    Example:
        >>> window_lost(8, 3, stride=3)
        (6, 7)
    """
    before, _ = _checked(kernel, stride, padding, dilation)
    positions = max(0, window_output(size, kernel, stride, padding, dilation, ceil=ceil).value)
    covered = bytearray(max(0, size))
    if dilation == 1 and kernel >= stride:  # no gaps
        end = min(size, (positions - 1) * stride + kernel - before) if positions else 0
        return tuple(range(max(0, end), size))
    for tap in range(kernel):
        first = tap * dilation - before
        skipped = max(0, -(first // stride)) if first < 0 else 0  # positions whose tap lies in the padding
        start, end = first + skipped * stride, min(size, first + (positions - 1) * stride + 1)
        if start < end:
            covered[start:end:stride] = b"\1" * len(range(start, end, stride))
    return tuple(row for row, seen in enumerate(covered) if not seen)


def fitting_sizes(
    size: int, kernel: int, stride: int, padding: Padding = 0, dilation: int = 1
) -> tuple[int | None, int]:
    """The input sizes nearest to `size` for which the stride comes out. Arguments as `window_output`.

    Returns:
        The largest that is not above `size`, None where there is none; the smallest that is not below it.

    Raises:
        ArgumentError: as `window_output`.

    Example:
        >>> fitting_sizes(8, 3, stride=3)
        (6, 9)
    """
    before, after = _checked(kernel, stride, padding, dilation)
    smallest = dilation * (kernel - 1) + 1 - before - after  # one window
    while smallest < 1:
        smallest += stride
    if size < smallest:
        return None, smallest
    below = size - (size - smallest) % stride
    return below, below if below == size else below + stride


def fitting_paddings(
    size: int,
    kernel: int,
    stride: int = 1,
    dilation: int = 1,
    *,
    output: int | None = None,
    exact: bool = True,
) -> tuple[int, ...]:
    """The paddings, alike on both sides, for which the stride comes out.

    None is so large that a window would lie in the padding alone.

    Args:
        size: Of the input, along this axis.
        kernel: Of the window.
        stride: From one position to the next.
        dilation: From one tap of the window to the next.
        output: The output size they must give. Any.
        exact: If false, also those that give `output` only by rounding down.

    Returns:
        Ascending; empty where there is none.

    Raises:
        ArgumentError: as `window_output`.

    Example:
        >>> fitting_paddings(7, 3, stride=3)
        (1,)
        >>> fitting_paddings(32, 5, output=32)
        (2,)
    """
    _checked(kernel, stride, 0, dilation)
    found = []
    for padding in range(dilation * (kernel - 1) + 1):
        span = size + 2 * padding - dilation * (kernel - 1) - 1
        comes_out = span >= 0 and (not exact or span % stride == 0)
        if comes_out and (output is None or span // stride + 1 == output):
            found.append(padding)
    return tuple(found)


def convolution_parameters(
    in_channels: int, out_channels: int, kernel: Sequence[int], groups: int = 1, bias: bool = True
) -> Sum:
    """The parameters of a convolution, transposed or not.

    Args:
        in_channels: Of the input.
        out_channels: Filters.
        kernel: The window, a number an axis.
        groups: Into which the channels are divided.
        bias: Whether every filter has one.

    Raises:
        ArgumentError: if `groups` does not divide both channel counts.

    Example:
        >>> convolution_parameters(3, 10, (5, 5)).text
        '(5*5*3 + 1)*10 = 760'
    """
    _check_groups(in_channels, out_channels, groups)
    value = (math.prod(kernel) * in_channels // groups + bias) * out_channels
    filter_ = _filter(in_channels, kernel, groups)
    text = f"({filter_} + 1)*{out_channels}" if bias else f"{filter_}*{out_channels}"
    return Sum(value, f"{text} = {value:,}")


def convolution_macs(
    in_channels: int,
    out_channels: int,
    kernel: Sequence[int],
    output_size: Sequence[int],
    groups: int = 1,
) -> Sum:
    """The multiply-adds of a convolution for one image: one filter's weights, at every output value.

    Of a transposed convolution: pass the size of its input as `output_size`, where its filters are laid.

    Args:
        in_channels: Of the input.
        out_channels: Filters.
        kernel: The window, a number an axis.
        output_size: The positions, a number an axis.
        groups: Into which the channels are divided.

    Raises:
        ArgumentError: if `groups` does not divide both channel counts.

    Example:
        >>> convolution_macs(3, 10, (5, 5), (32, 32)).text
        '5*5*3*10*32*32 = 768,000'
    """
    _check_groups(in_channels, out_channels, groups)
    value = math.prod(kernel) * in_channels // groups * out_channels * math.prod(output_size)
    factors = [_filter(in_channels, kernel, groups), str(out_channels), *map(str, output_size)]
    return Sum(value, f"{'*'.join(factors)} = {value:,}")


def fully_connected_parameters(inputs: int, outputs: int, bias: bool = True) -> Sum:
    """The parameters of a fully connected layer.

    Example:
        >>> fully_connected_parameters(400, 120).text
        '(400 + 1)*120 = 48,120'
    """
    value = (inputs + bias) * outputs
    return Sum(value, f"({inputs} + 1)*{outputs} = {value:,}" if bias else f"{inputs}*{outputs} = {value:,}")


def fully_connected_macs(inputs: int, outputs: int) -> Sum:
    """The multiply-adds of a fully connected layer for one input.

    Example:
        >>> fully_connected_macs(400, 120).text
        '400*120 = 48,000'
    """
    return Sum(inputs * outputs, f"{inputs}*{outputs} = {inputs * outputs:,}")


def field_after(field: int, jump: int, kernel: int, dilation: int = 1) -> Sum:
    """The receptive field behind a window: how many input rows one output row can see.

    Args:
        field: Before the window, in input rows. The input's own is 1.
        jump: Before the window: input rows from one row there to the next. The input's own is 1.
        kernel: Of the window.
        dilation: From one tap of the window to the next.

    Example:
        >>> field_after(1, 1, 5).text
        '1 + (5 - 1)*1 = 5'
    """
    value = field + dilation * (kernel - 1) * jump
    taps = f"({kernel} - 1)" if dilation == 1 else f"{dilation}*({kernel} - 1)"
    return Sum(value, f"{field} + {taps}*{jump} = {value:,}")


def jump_after(jump: int, stride: int) -> Sum:
    """The jump behind a window: input rows from one output row to the next.

    Example:
        >>> jump_after(2, 2).text
        '2*2 = 4'
    """
    return Sum(jump * stride, f"{jump}*{stride} = {jump * stride:,}")


def _checked(kernel: int, stride: int, padding: Padding, dilation: int) -> tuple[int, int]:
    """The padding before and after."""
    for name, value in (("kernel", kernel), ("stride", stride), ("dilation", dilation)):
        if value < 1:
            raise ArgumentError(f"{name} is {value}; it must be 1 or more")
    before, after = (padding, padding) if isinstance(padding, int) else padding
    if before < 0 or after < 0:
        raise ArgumentError(f"padding is {padding}; it must be 0 or more")
    return before, after


def _check_groups(in_channels: int, out_channels: int, groups: int) -> None:
    if groups < 1 or in_channels % groups or out_channels % groups:
        raise ArgumentError(
            f"groups is {groups}; it must divide the channels, {in_channels} in and {out_channels} out"
        )


def _decimal(number: float) -> str:
    return f"{number:,.2f}".rstrip("0")


def _filter(in_channels: int, kernel: Sequence[int], groups: int) -> str:
    channels = str(in_channels) if groups == 1 else f"{in_channels}/{groups}"
    return "*".join([*map(str, kernel), channels])
