"""Normalisation: across neighbouring channels, as AlexNet has it, and across the batch."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from sightline.base import ArgumentError
from sightline.reference._correlation import other_axes
from sightline.reference._windows import Array, at_least_1, numbers, shaped_as_output


def local_response_norm(
    x: ArrayLike, *, n: int = 5, k: float = 2.0, alpha: float = 1e-4, beta: float = 0.75
) -> Array:
    """AlexNet's local response normalisation, as the paper writes it.

    b_i = a_i / (k + alpha * sum of a_j^2, j from max(0, i - n/2) to min(N - 1, i + n/2))^beta, where i and j
    are channels and N is how many there are. n/2 is rounded down, so that an even n means one channel more.

    `torch.nn.LocalResponseNorm` divides alpha by its size: the paper's formula is its
    `LocalResponseNorm(n, alpha=n * alpha, beta=beta, k=k)`.

    Args:
        x: The images.
        n: Channels in a neighbourhood, at least 1.
        k: The sum starts here. Above 0.
        alpha: Of each square. At least 0.
        beta: The power.

    Shape:
        (N, C, *spatial) -> the same.

    Raises:
        ArgumentError: if `x` has no channels, or `n`, `k` or `alpha` is out of range.

    Example:
        >>> local_response_norm([[1.0, 2.0]], n=3, k=1, alpha=1, beta=1)
        array([[0.16666667, 0.33333333]])

    Source: Krizhevsky, Sutskever and Hinton 2012, "ImageNet classification with deep convolutional neural
        networks", section 3.3.
    """
    x, n = _checked_response(x, n, k, alpha)
    return x / (k + alpha * _sum_of_near(x**2, n)) ** beta


def local_response_norm_backward(
    gradient: ArrayLike, x: ArrayLike, *, n: int = 5, k: float = 2.0, alpha: float = 1e-4, beta: float = 0.75
) -> Array:
    """The gradient of `x`: its own share, less what it takes from its neighbours.

    Args:
        gradient: Of the output.
        x: As in `local_response_norm`, and so are the others.
        n: Channels in a neighbourhood.
        k: The sum starts here.
        alpha: Of each square.
        beta: The power.

    Shape:
        (N, C, *spatial) -> the same.

    Raises:
        ArgumentError: as `local_response_norm`, and if the gradient has another shape than `x`.
    """
    x, n = _checked_response(x, n, k, alpha)
    gradient = shaped_as_output(gradient, x.shape)
    below = k + alpha * _sum_of_near(x**2, n)
    taken = _sum_of_near(gradient * x / below ** (beta + 1), n)
    return gradient / below**beta - 2 * alpha * beta * x * taken


class BatchNormed(NamedTuple):
    """What batch norm gives: the images, and the statistics to keep."""

    output: Array
    """As `x`."""
    running_mean: Array
    """(C,)."""
    running_var: Array
    """(C,)."""


def batch_norm(
    x: ArrayLike,
    gamma: ArrayLike,
    beta: ArrayLike,
    running_mean: ArrayLike | None = None,
    running_var: ArrayLike | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> BatchNormed:
    """Each channel with its mean taken off and divided by its spread; then times `gamma`, plus `beta`.

    In training mean and variance are the batch's, the variance divided by the number of values; the running
    ones move towards them by `momentum`, with the variance divided by the number less 1, as PyTorch keeps
    it. In evaluation they are the running ones, which stay.

    Args:
        x: The images.
        gamma: One factor a channel (PyTorch's `weight`).
        beta: One summand a channel (PyTorch's `bias`).
        running_mean: One a channel; 0 if none is given.
        running_var: One a channel; 1 if none is given.
        training: Use the batch's statistics.
        momentum: The share of the batch in the running statistics.
        eps: Added to the variance before the root. Above 0.

    Shape:
        (N, C, *spatial), (C,), (C,), (C,), (C,) -> (N, C, *spatial), (C,), (C,).

    Raises:
        ArgumentError: if the shapes do not go together, `eps` is not above 0, or there is but one value a
            channel to train on.

    Example:
        >>> batch_norm([[1.0], [3.0]], [1.0], [0.0], eps=1e-12).output
        array([[-1.],
               [ 1.]])

    Source: Ioffe and Szegedy 2015, "Batch normalization", algorithms 1 and 2.
    """
    x, gamma = _checked_batch(x, gamma, training, eps)
    beta = _one_a_channel("beta", beta, x)
    kept = _kept(x, running_mean, running_var)
    mean, variance = _statistics(x, kept, training)
    normed = (x - _along(mean, x)) / np.sqrt(_along(variance, x) + eps)
    output = _along(gamma, x) * normed + _along(beta, x)
    if not training:
        return BatchNormed(output, *kept)
    count = x.size // x.shape[1]
    return BatchNormed(
        output,
        (1 - momentum) * kept[0] + momentum * mean,
        (1 - momentum) * kept[1] + momentum * variance * count / (count - 1),
    )


def batch_norm_backward(
    gradient: ArrayLike,
    x: ArrayLike,
    gamma: ArrayLike,
    running_mean: ArrayLike | None = None,
    running_var: ArrayLike | None = None,
    *,
    training: bool = True,
    eps: float = 1e-5,
) -> tuple[Array, Array, Array]:
    """The gradients of `x`, `gamma` and `beta`. In training, mean and variance depend on `x` too.

    Args:
        gradient: Of the output.
        x: As in `batch_norm`, and so are the others.
        gamma: One factor a channel.
        running_mean: One a channel.
        running_var: One a channel.
        training: Use the batch's statistics.
        eps: Added to the variance.

    Shape:
        (N, C, *spatial) -> (N, C, *spatial), (C,), (C,).

    Raises:
        ArgumentError: as `batch_norm`, and if the gradient has another shape than `x`.
    """
    x, gamma = _checked_batch(x, gamma, training, eps)
    gradient = shaped_as_output(gradient, x.shape)
    mean, variance = _statistics(x, _kept(x, running_mean, running_var), training)
    spread = np.sqrt(_along(variance, x) + eps)
    normed = (x - _along(mean, x)) / spread
    axes = other_axes(x)
    of_gamma, of_beta = (gradient * normed).sum(axis=axes), gradient.sum(axis=axes)
    of_normed = gradient * _along(gamma, x)
    if training:
        # What moves the mean, and what moves the variance, changes nothing.
        along = (of_normed * normed).mean(axis=axes, keepdims=True)
        of_normed = of_normed - of_normed.mean(axis=axes, keepdims=True) - normed * along
    return of_normed / spread, of_gamma, of_beta


def _sum_of_near(values: Array, n: int) -> Array:
    """For each channel, the sum over it and its neighbours, n // 2 to each side."""
    channels = values.shape[1]
    near = [slice(max(0, i - n // 2), min(channels - 1, i + n // 2) + 1) for i in range(channels)]
    return np.stack([values[:, j].sum(axis=1) for j in near], axis=1)


def _checked_response(x: ArrayLike, n: int, k: float, alpha: float) -> tuple[Array, int]:
    x = numbers("x", x)
    if x.ndim < 2 or x.shape[1] == 0:
        raise ArgumentError(f"x must be (N, C, *spatial); it is {x.shape}")
    if not k > 0 or not alpha >= 0:
        raise ArgumentError(f"k must be above 0 and alpha at least 0; k is {k}, alpha is {alpha}")
    return x, at_least_1("n", n)


def _checked_batch(x: ArrayLike, gamma: ArrayLike, training: bool, eps: float) -> tuple[Array, Array]:
    x = numbers("x", x)
    if x.ndim < 2 or x.size == 0:
        raise ArgumentError(f"x must be (N, C, *spatial), not empty; it is {x.shape}")
    if not eps > 0:
        raise ArgumentError(f"eps must be above 0; it is {eps}")
    if training and x.size == x.shape[1]:
        raise ArgumentError(f"x must have two or more values a channel to train on; it is {x.shape}")
    return x, _one_a_channel("gamma", gamma, x)


def _one_a_channel(name: str, values: ArrayLike, x: Array) -> Array:
    array = numbers(name, values)
    if array.shape != (x.shape[1],):
        raise ArgumentError(
            f"{name} must have one number for each channel, ({x.shape[1]},); it is {array.shape} "
            f"(x is {x.shape})"
        )
    return array


def _kept(x: Array, mean: ArrayLike | None, variance: ArrayLike | None) -> tuple[Array, Array]:
    """The running statistics, as PyTorch starts them if there are none."""
    channels, dtype = x.shape[1], (x / 1).dtype
    return (
        np.zeros(channels, dtype) if mean is None else _one_a_channel("running_mean", mean, x),
        np.ones(channels, dtype) if variance is None else _one_a_channel("running_var", variance, x),
    )


def _statistics(x: Array, kept: tuple[Array, Array], training: bool) -> tuple[Array, Array]:
    """Mean and variance of each channel, of the batch or as kept."""
    if not training:
        return kept
    return x.mean(axis=other_axes(x)), x.var(axis=other_axes(x))


def _along(values: Array, x: Array) -> Array:
    """(C,) as (C, 1, ...), to be spread over `x`."""
    return values.reshape(-1, *(1 for _ in range(x.ndim - 2)))
