"""Padding: cells around the image, and back.

Source: the modes are those of PyTorch's `Conv2d`; `same` with a stride is TensorFlow's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from sightline.base import ArgumentError, did_you_mean
from sightline.reference._windows import Array, maps, per_axis, shaped_as_output, whole

Pads = int | Sequence[int] | Sequence[tuple[int, int]]

# Our word (PyTorch's), and NumPy's.
_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def pad(x: ArrayLike, padding: Pads, mode: str = "zeros") -> Array:
    """Put cells around every image.

    Args:
        x: The images.
        padding: How many cells: one number for every side, one an axis, or one (before, after) an axis.
        mode: What is in them: `zeros`; `reflect`, the image mirrored at its outermost cells, which are not
            repeated; `replicate`, its outermost cells; `circular`, its other end.

    Shape:
        (N, C, *spatial) -> (N, C, *spatial + before + after).

    Raises:
        ArgumentError: if the mode is unknown, a padding is negative, or the image is too small to be
            mirrored or repeated that far.

    Example:
        >>> pad([[[1, 2, 3]]], 2, "reflect")
        array([[[3, 2, 1, 2, 3, 2, 1]]])
    """
    x = maps("x", x)
    pads = per_side(padding, x.ndim - 2)
    _check_mode(x.shape, pads, mode)
    return np.pad(x, ((0, 0), (0, 0), *pads), mode=_MODES[mode])  # type: ignore[call-overload, no-any-return]


def pad_backward(gradient: ArrayLike, x: ArrayLike, padding: Pads, mode: str = "zeros") -> Array:
    """The gradient of `x`: each cell gets what came to it and to its copies.

    Args:
        gradient: Of the padded images.
        x: As in `pad`.
        padding: As in `pad`.
        mode: As in `pad`.

    Shape:
        (N, C, *spatial + before + after) -> (N, C, *spatial).

    Raises:
        ArgumentError: as `pad`, and if the gradient has another shape than the padded images.
    """
    x = maps("x", x)
    pads = per_side(padding, x.ndim - 2)
    _check_mode(x.shape, pads, mode)
    padded = (*x.shape[:2], *(n + sum(p) for n, p in zip(x.shape[2:], pads, strict=True)))
    folded = shaped_as_output(gradient, padded)
    for axis, (before, after) in enumerate(pads, start=2):
        size = x.shape[axis]
        folded = np.moveaxis(folded, axis, 0)
        back = folded[before : before + size].copy()
        if mode != "zeros":
            # Which cell each padded cell is a copy of.
            origin = np.pad(np.arange(size), (before, after), mode=_MODES[mode])  # type: ignore[call-overload]
            back[...] = 0
            np.add.at(back, origin, folded)
        folded = np.moveaxis(back, 0, axis)
    return folded


def per_side(padding: Pads, axes: int) -> tuple[tuple[int, int], ...]:
    """(before, after) for each spatial axis.

    Raises:
        ArgumentError: if it is not one of the three forms.
    """
    if isinstance(padding, Sequence) and any(isinstance(p, Sequence) for p in padding):
        pairs = [tuple(whole(v) for v in p) if isinstance(p, Sequence) else () for p in padding]
        fits = len(pairs) == axes and all(len(pair) == 2 for pair in pairs)
        if not fits or any(v is None or v < 0 for pair in pairs for v in pair):
            raise ArgumentError(
                "padding must be a whole number of at least 0, one for each spatial axis, or one "
                f"(before, after) for each spatial axis ({axes}); it is {padding!r}"
            )
        return tuple((pair[0] or 0, pair[1] or 0) for pair in pairs)
    each = per_axis("padding", padding, axes, 0)  # type: ignore[arg-type]
    return tuple((p, p) for p in each)


def pads_of_windows(
    padding: Pads | str,
    shape: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
) -> tuple[tuple[int, int], ...]:
    """(before, after) for each spatial axis, where `valid` and `same` are allowed too.

    Args:
        padding: Numbers, or a word.
        shape: Of the image, spatial axes only.
        kernel: Of the window, one an axis.
        stride: One an axis.
        dilation: One an axis.

    Raises:
        ArgumentError: if it is neither numbers nor one of the words.
    """
    if not isinstance(padding, str):
        return per_side(padding, len(shape))
    if padding == "valid":
        return ((0, 0),) * len(shape)
    if padding != "same":
        raise ArgumentError(
            f"padding must be valid, same or numbers; it is {padding!r}; "
            f"{did_you_mean(padding, ['valid', 'same'])}"
        )
    pads = []
    for n, k, s, d in zip(shape, kernel, stride, dilation, strict=True):
        output = -(-n // s)  # n / s, rounded up
        total = max((output - 1) * s + d * (k - 1) + 1 - n, 0)
        pads.append((total // 2, total - total // 2))
    return tuple(pads)


def _check_mode(shape: Sequence[int], pads: Sequence[tuple[int, int]], mode: str) -> None:
    if mode not in tuple(_MODES):
        raise ArgumentError(
            f"padding mode must be one of {', '.join(_MODES)}; it is {mode!r}; "
            f"{did_you_mean(str(mode), _MODES)}"
        )
    # Mirrored, an image gives one cell less than it has; from its other end, all of them.
    spare = {"reflect": 1, "circular": 0}.get(mode)
    if spare is None:
        return
    for axis, (size, sides) in enumerate(zip(shape[2:], pads, strict=True), start=2):
        if max(sides) > size - spare:
            raise ArgumentError(
                f"padding of mode {mode} can be at most {size - spare} where the image has {size} cells "
                f"(axis {axis} of x, {tuple(shape)}); it is {sides}"
            )
