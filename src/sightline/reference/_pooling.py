"""Pooling: of each window, the largest value or the mean; channels stay apart."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sightline.base import ArgumentError
from sightline.reference._windows import (
    Array,
    Index,
    PerAxis,
    maps,
    per_axis,
    shaped_as_output,
    window_at,
    window_sizes,
)


def max_pool(
    x: ArrayLike,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    *,
    padding: PerAxis = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool = False,
) -> Array:
    """Of each window, the largest value.

    Args:
        x: The images.
        kernel_size: Of the window; one number, or one an axis.
        stride: Cells from one position to the next. None: the kernel size, so that windows do not overlap.
        padding: Cells around the image that never win (-inf; the least value of whole numbers). At most half
            the kernel.
        dilation: Cells from one tap of the window to the next.
        ceil_mode: Let a last window begin inside the image and end outside.

    Shape:
        (N, C, *spatial) -> (N, C, *positions).

    Raises:
        ArgumentError: if the padding is too large, or the window is larger than the padded image.

    Example:
        >>> max_pool([[[4, 3, 1, 5]]], 2)
        array([[[4, 5]]])
    """
    x = maps("x", x)
    pool = _pool(x, kernel_size, stride, padding, dilation, ceil_mode)
    padded = _padded(x, pool.pads, _least(x))
    output = np.zeros((*x.shape[:2], *pool.sizes), x.dtype)
    each_window = tuple(range(2, x.ndim))
    for position, where in pool.steps():
        window = padded[:, :, *where]  # (N, C, *kernel)
        output[:, :, *position] = window.max(axis=each_window)
    return output


def max_pool_backward(
    gradient: ArrayLike,
    x: ArrayLike,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    *,
    padding: PerAxis = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool = False,
) -> Array:
    """The gradient of `x`: the largest value of a window takes all of it, the first one where several are.

    Args:
        gradient: Of the output.
        x: As in `max_pool`, and so are the others.
        kernel_size: Of the window.
        stride: Cells from one position to the next.
        padding: Cells around the image.
        dilation: Cells from one tap to the next.
        ceil_mode: Let a last window end outside.

    Shape:
        (N, C, *positions) -> (N, C, *spatial).

    Raises:
        ArgumentError: as `max_pool`, and if the gradient has another shape than the output.
    """
    x = maps("x", x)
    pool = _pool(x, kernel_size, stride, padding, dilation, ceil_mode)
    gradient = shaped_as_output(gradient, (*x.shape[:2], *pool.sizes))
    padded = _padded(x, pool.pads, _least(x))
    of_padded = np.zeros(padded.shape, gradient.dtype)
    for position, where in pool.steps():
        window = padded[:, :, *where]
        cells = window.reshape(*x.shape[:2], math.prod(pool.kernel))
        first = cells.argmax(axis=2)  # (N, C)
        wins = (np.arange(cells.shape[2]) == first[:, :, None]).reshape(window.shape)
        of_padded[:, :, *where] += wins * _over_window(gradient[:, :, *position], window.ndim)
    return _inside(of_padded, x, pool.pads)


def average_pool(
    x: ArrayLike,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    *,
    padding: PerAxis = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Array:
    """Of each window, the mean.

    Args:
        x: The images.
        kernel_size: Of the window; one number, or one an axis.
        stride: Cells from one position to the next. None: the kernel size, so that windows do not overlap.
        padding: Cells of zero around the image. At most half the kernel.
        ceil_mode: Let a last window begin inside the image and end outside. What is beyond the padding is
            not counted.
        count_include_pad: Count the padding among the cells by which the sum is divided.

    Shape:
        (N, C, *spatial) -> (N, C, *positions).

    Raises:
        ArgumentError: if the padding is too large, or the window is larger than the padded image.

    Example:
        >>> average_pool([[[4, 3, 1, 5]]], 2)
        array([[[3.5, 3. ]]])
    """
    x = maps("x", x)
    pool = _pool(x, kernel_size, stride, padding, 1, ceil_mode)
    padded, counted = _padded(x, pool.pads, 0), _counted(x, pool, count_include_pad)
    output = np.zeros((*x.shape[:2], *pool.sizes), (x / 1).dtype)
    each_window = tuple(range(2, x.ndim))
    for position, where in pool.steps():
        window = padded[:, :, *where]  # (N, C, *kernel)
        output[:, :, *position] = window.sum(axis=each_window) / counted[where].sum()
    return output


def average_pool_backward(
    gradient: ArrayLike,
    x: ArrayLike,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    *,
    padding: PerAxis = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Array:
    """The gradient of `x`: every cell of a window takes an equal share.

    Args:
        gradient: Of the output.
        x: As in `average_pool`, and so are the others. Of it, the shape matters alone.
        kernel_size: Of the window.
        stride: Cells from one position to the next.
        padding: Cells around the image.
        ceil_mode: Let a last window end outside.
        count_include_pad: Count the padding.

    Shape:
        (N, C, *positions) -> (N, C, *spatial).

    Raises:
        ArgumentError: as `average_pool`, and if the gradient has another shape than the output.
    """
    x = maps("x", x)
    pool = _pool(x, kernel_size, stride, padding, 1, ceil_mode)
    gradient = shaped_as_output(gradient, (*x.shape[:2], *pool.sizes))
    counted = _counted(x, pool, count_include_pad)
    of_padded = np.zeros((*x.shape[:2], *counted.shape), (gradient / 1).dtype)
    for position, where in pool.steps():
        share = gradient[:, :, *position] / counted[where].sum()
        of_padded[:, :, *where] += _over_window(share, x.ndim)
    return _inside(of_padded, x, pool.pads)


def global_average_pool(x: ArrayLike) -> Array:
    """Of each channel, the mean of all cells.

    Args:
        x: The images.

    Shape:
        (N, C, *spatial) -> (N, C).

    Raises:
        ArgumentError: if `x` has no spatial axis.

    Example:
        >>> global_average_pool([[[4, 3, 1, 5]]])
        array([[3.25]])

    Source: Lin, Chen and Yan 2013, "Network in network", section 3.2.
    """
    x = maps("x", x)
    mean: Array = x.mean(axis=tuple(range(2, x.ndim)))
    return mean


def global_average_pool_backward(gradient: ArrayLike, x: ArrayLike) -> Array:
    """The gradient of `x`: every cell of a channel takes an equal share.

    Args:
        gradient: Of the output.
        x: As in `global_average_pool`. Of it, the shape matters alone.

    Shape:
        (N, C) -> (N, C, *spatial).

    Raises:
        ArgumentError: as `global_average_pool`, and if the gradient has another shape than the output.
    """
    x = maps("x", x)
    gradient = shaped_as_output(gradient, x.shape[:2])
    share = gradient / math.prod(x.shape[2:])
    return np.broadcast_to(_over_window(share, x.ndim), x.shape).copy()


@dataclass(frozen=True)
class _Pool:
    """A window on its way over padded images."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    sizes: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    """(before, after), with what a last window needs beyond the padding."""

    def steps(self) -> Iterator[tuple[Index, Index]]:
        """Position, the cells under the window there."""
        for position in np.ndindex(*self.sizes):
            yield position, window_at(position, self.kernel, self.stride, self.dilation)


def _pool(
    x: Array,
    kernel_size: PerAxis,
    stride: PerAxis | None,
    padding: PerAxis,
    dilation: PerAxis,
    ceil_mode: bool,
) -> _Pool:
    axes, image = x.ndim - 2, x.shape[2:]
    kernel = per_axis("kernel_size", kernel_size, axes, 1)
    strides = kernel if stride is None else per_axis("stride", stride, axes, 1)
    sides, dilations = per_axis("padding", padding, axes, 0), per_axis("dilation", dilation, axes, 1)
    if any(2 * p > k for p, k in zip(sides, kernel, strict=True)):
        raise ArgumentError(f"padding must be at most half the kernel, {kernel}; it is {sides}")
    sizes = window_sizes(image, kernel, strides, [(p, p) for p in sides], dilations, ceil=ceil_mode)
    last = [slices.stop for slices in window_at([s - 1 for s in sizes], kernel, strides, dilations)]
    pads = tuple((p, max(p, end - n - p)) for p, end, n in zip(sides, last, image, strict=True))
    return _Pool(kernel, strides, sides, dilations, sizes, pads)


def _least(x: Array) -> float | int:
    return -math.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min


def _padded(x: Array, pads: tuple[tuple[int, int], ...], value: float) -> Array:
    return np.pad(x, ((0, 0), (0, 0), *pads), constant_values=value)


def _counted(x: Array, pool: _Pool, count_include_pad: bool) -> Array:
    """1 for each cell that counts in a mean, 0 for the others. (*padded spatial)."""
    ones = np.ones(x.shape[2:], np.int64)
    counted = np.pad(ones, [(p, p) for p in pool.padding], constant_values=int(count_include_pad))
    beyond = [(0, after - p) for p, (_, after) in zip(pool.padding, pool.pads, strict=True)]
    return np.pad(counted, beyond)


def _inside(of_padded: Array, x: Array, pads: tuple[tuple[int, int], ...]) -> Array:
    inside = (slice(before, before + n) for n, (before, _) in zip(x.shape[2:], pads, strict=True))
    of_x: Array = of_padded[:, :, *inside]
    return of_x


def _over_window(values: Array, ndim: int) -> Array:
    """(N, C) as (N, C, 1, ...), to be spread over windows."""
    return values.reshape(*values.shape, *(1 for _ in range(ndim - 2)))
