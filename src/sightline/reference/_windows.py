"""What the operators share: arrays of numbers, one value an axis, and where a window lies.

Arrays are (N, C, *spatial): the batch first, then the channels, then any number of spatial axes. Whole
numbers are computed as int64, exactly; of other numbers NumPy's own rules choose the type.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sightline.base import ArgumentError
from sightline.reference._arithmetic import window_output

Array = NDArray[Any]
PerAxis = int | Sequence[int]
Index = tuple[Any, ...]
"""Of cells: numbers or slices, one a spatial axis."""


def numbers(name: str, values: ArrayLike) -> Array:
    """An array of numbers, whole ones as int64.

    Args:
        name: Of the argument, for the error.
        values: What came.

    Raises:
        ArgumentError: if it is no array, or not of real numbers.
    """
    try:
        array = np.asarray(values)
    except ValueError as error:  # rows of different lengths
        raise ArgumentError(f"{name} must be an array; its rows differ in length") from error
    if array.dtype.kind not in "biuf":
        raise ArgumentError(f"{name} must be an array of real numbers; its type is {array.dtype}")
    return array if array.dtype.kind == "f" else array.astype(np.int64)


def maps(name: str, values: ArrayLike) -> Array:
    """An array of numbers that is (N, C, *spatial), with something in every spatial axis.

    Raises:
        ArgumentError: if it has fewer than three axes, or an empty one beside the batch.
    """
    array = numbers(name, values)
    if array.ndim < 3 or 0 in array.shape[1:]:
        raise ArgumentError(
            f"{name} must be (N, C, *spatial), such as (1, 1, height, width) for one grey image; "
            f"it is {array.shape}"
        )
    return array


def shaped_as_output(gradient: ArrayLike, shape: tuple[int, ...]) -> Array:
    """The gradient of an output, which has the output's shape.

    Raises:
        ArgumentError: if it has another.
    """
    array = numbers("gradient", gradient)
    if array.shape != shape:
        raise ArgumentError(f"gradient must be shaped as the output, {shape}; it is {array.shape}")
    return array


def whole(value: object) -> int | None:
    """A whole number, Python's or NumPy's; None where it is none."""
    try:
        return None if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return None


def at_least_1(name: str, value: int) -> int:
    """A whole number of at least 1.

    Raises:
        ArgumentError: if it is none.
    """
    number = whole(value)
    if number is None or number < 1:
        raise ArgumentError(f"{name} must be a whole number of at least 1; it is {value!r}")
    return number


def per_axis(name: str, value: PerAxis, axes: int, least: int) -> tuple[int, ...]:
    """One whole number an axis.

    Args:
        name: Of the argument, for the error.
        value: One for all, or one for each.
        axes: How many there are.
        least: The smallest that is allowed.

    Raises:
        ArgumentError: if it is neither, or below `least`.
    """
    one = whole(value)
    if one is not None:
        found: list[int | None] = [one] * axes
    else:
        found = [whole(v) for v in value] if isinstance(value, Sequence | np.ndarray) else []
    each = tuple(v for v in found if v is not None and v >= least)
    if len(each) != axes or len(found) != axes:
        raise ArgumentError(
            f"{name} must be a whole number of at least {least}, or one for each spatial axis ({axes}); "
            f"it is {value!r}"
        )
    return each


def window_at(
    position: Sequence[int], kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> Index:
    """The cells under the window at a position of the output: a slice for each spatial axis.

    Example:
        >>> window_at((2,), kernel=(3,), stride=(2,), dilation=(1,))
        (slice(4, 7, 1),)
    """
    return tuple(
        slice(i * s, i * s + d * (k - 1) + 1, d)
        for i, k, s, d in zip(position, kernel, stride, dilation, strict=True)
    )


def window_sizes(
    shape: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    pads: Sequence[tuple[int, int]],
    dilation: Sequence[int],
    *,
    ceil: bool = False,
) -> tuple[int, ...]:
    """How many positions the window has along each spatial axis.

    Raises:
        ArgumentError: if it does not fit at all.
    """
    sizes = []
    for axis, (n, k, s, p, d) in enumerate(zip(shape, kernel, stride, pads, dilation, strict=True)):
        size = window_output(n, k, s, p, d, ceil=ceil)
        if size.value < 1:
            raise ArgumentError(
                f"the kernel, {tuple(kernel)}, is larger than the padded input: "
                f"x has {tuple(shape)} cells, and along spatial axis {axis} {size.text}"
            )
        sizes.append(size.value)
    return tuple(sizes)
