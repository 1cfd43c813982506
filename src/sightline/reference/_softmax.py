"""Scores to probabilities, and what a wrong probability costs."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sightline.base import ArgumentError
from sightline.reference._windows import Array, numbers, shaped_as_output, whole


def softmax(x: ArrayLike, axis: int = -1) -> Array:
    """exp(x), divided by its sum along an axis: positive, and 1 in all.

    Args:
        x: Scores (logits).
        axis: Along which the classes lie. The last one, unless said; 1 for maps (N, classes, *spatial).

    Shape:
        Any -> the same.

    Raises:
        ArgumentError: if `x` has no such axis, or nothing along it.

    Example:
        >>> softmax([0.0, 0.0, 1000.0])
        array([0., 0., 1.])
    """
    return np.exp(log_softmax(x, axis))


def softmax_backward(gradient: ArrayLike, x: ArrayLike, axis: int = -1) -> Array:
    """The gradient of `x`: p * (g - sum(g * p)), where g is the output's gradient and p the softmax.

    Args:
        gradient: Of the output.
        x: As in `softmax`.
        axis: As in `softmax`.

    Raises:
        ArgumentError: as `softmax`, and if the gradient has another shape than `x`.
    """
    p = softmax(x, axis)
    gradient = shaped_as_output(gradient, p.shape)
    result: Array = p * (gradient - (gradient * p).sum(axis=axis, keepdims=True))
    return result


def log_softmax(x: ArrayLike, axis: int = -1) -> Array:
    """The logarithm of `softmax`: x - log(sum(exp(x))).

    The largest score is taken off first, so that nothing overflows.

    Args:
        x: Scores (logits).
        axis: Along which the classes lie, as in `softmax`.

    Shape:
        Any -> the same.

    Raises:
        ArgumentError: as `softmax`.

    Example:
        >>> log_softmax([0.0, 1000.0])
        array([-1000.,     0.])
    """
    x = numbers("x", x)
    place = whole(axis)
    if place is None or not -x.ndim <= place < x.ndim or x.shape[place] == 0:
        raise ArgumentError(
            f"axis must be one of x, with something along it; x is {x.shape}, axis is {axis!r}"
        )
    below = x - x.max(axis=place, keepdims=True)
    result: Array = below - np.log(np.exp(below).sum(axis=place, keepdims=True))
    return result


def log_softmax_backward(gradient: ArrayLike, x: ArrayLike, axis: int = -1) -> Array:
    """The gradient of `x`: g - p * sum(g), where g is the output's gradient and p the softmax.

    Args:
        gradient: Of the output.
        x: As in `log_softmax`.
        axis: As in `log_softmax`.

    Raises:
        ArgumentError: as `softmax`, and if the gradient has another shape than `x`.
    """
    p = softmax(x, axis)
    gradient = shaped_as_output(gradient, p.shape)
    result: Array = gradient - p * gradient.sum(axis=axis, keepdims=True)
    return result


def cross_entropy(x: ArrayLike, targets: ArrayLike) -> float:
    """The mean of minus the logarithm of the probability that softmax gives to the true class.

    Args:
        x: Scores (logits), not probabilities.
        targets: The true classes, from 0.

    Shape:
        (N, classes), (N,), or for maps (N, classes, *spatial), (N, *spatial) -> one number, in nats.

    Raises:
        ArgumentError: if the shapes do not go together, or a target is no class.

    Example:
        >>> round(cross_entropy([[0.0, 0.0]], [1]), 4)  # log(2)
        0.6931
    """
    x, targets = _scores_and_targets(x, targets)
    of_true = np.take_along_axis(log_softmax(x, axis=1), targets[:, None], axis=1)
    return float(-of_true.mean())


def cross_entropy_backward(gradient: float, x: ArrayLike, targets: ArrayLike) -> Array:
    """The gradient of `x`: softmax less 1 at the true class, divided by the number of targets.

    Args:
        gradient: Of the loss; 1 where the loss is what is minimised.
        x: As in `cross_entropy`.
        targets: As in `cross_entropy`.

    Shape:
        One number -> (N, classes, *spatial).

    Raises:
        ArgumentError: as `cross_entropy`, and if the gradient is not one number.
    """
    x, targets = _scores_and_targets(x, targets)
    shares = softmax(x, axis=1)
    of_true = np.take_along_axis(shares, targets[:, None], axis=1)
    np.put_along_axis(shares, targets[:, None], of_true - 1, axis=1)
    return shares * shaped_as_output(gradient, ()) / targets.size


def _scores_and_targets(x: ArrayLike, targets: ArrayLike) -> tuple[Array, Array]:
    x, targets = numbers("x", x), numbers("targets", targets)
    if x.ndim < 2 or targets.shape != (len(x), *x.shape[2:]) or x.size == 0:
        raise ArgumentError(
            "x must be (N, classes, *spatial) and targets (N, *spatial), not empty; "
            f"x is {x.shape}, targets is {targets.shape}"
        )
    classes = x.shape[1]
    if targets.dtype.kind == "f" or targets.min() < 0 or targets.max() >= classes:
        raise ArgumentError(
            f"targets must be whole numbers from 0 to {classes - 1}; they are {targets.dtype}, "
            f"{targets.min()} to {targets.max()}"
        )
    return x, targets
