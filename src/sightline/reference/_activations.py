"""Activations: one number in, one number out, the same for every cell.

Each `..._backward(gradient, x)` is the gradient of `x`: that of the output times the slope at `x`. Where a
function has a corner, the slope at the corner is PyTorch's.

Shape: any, and the same comes out. Raises: `ArgumentError` if `x` is no array of real numbers, or the
gradient has another shape than it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from sightline.reference._windows import Array, numbers, shaped_as_output


def relu(x: ArrayLike) -> Array:
    """max(0, x).

    Example:
        >>> relu([-2, 0, 3])
        array([0, 0, 3])

    Source: Nair and Hinton 2010, "Rectified linear units improve restricted Boltzmann machines".
    """
    return np.maximum(numbers("x", x), 0)


def relu_backward(gradient: ArrayLike, x: ArrayLike) -> Array:
    """Slope 1 above 0, and 0 elsewhere, at 0 too."""
    x, gradient = _both(x, gradient)
    return gradient * (x > 0)


def leaky_relu(x: ArrayLike, negative_slope: float = 0.01) -> Array:
    """`x` above 0, and `negative_slope * x` elsewhere.

    Example:
        >>> leaky_relu([-2.0, 3.0], 0.5)
        array([-1.,  3.])

    Source: Maas, Hannun and Ng 2013, "Rectifier nonlinearities improve neural network acoustic models".
    """
    x = numbers("x", x)
    return np.where(x > 0, x, negative_slope * x)


def leaky_relu_backward(gradient: ArrayLike, x: ArrayLike, negative_slope: float = 0.01) -> Array:
    """Slope 1 above 0, and `negative_slope` elsewhere, at 0 too."""
    x, gradient = _both(x, gradient)
    return np.where(x > 0, gradient, negative_slope * gradient)


def elu(x: ArrayLike, alpha: float = 1.0) -> Array:
    """`x` above 0, and `alpha * (exp(x) - 1)` elsewhere.

    Example:
        >>> elu([0.0, 3.0])
        array([0., 3.])

    Source: Clevert, Unterthiner and Hochreiter 2015, "Fast and accurate deep network learning by
        exponential linear units", equation 16.
    """
    x = numbers("x", x)
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def elu_backward(gradient: ArrayLike, x: ArrayLike, alpha: float = 1.0) -> Array:
    """Slope 1 above 0, and `alpha * exp(x)` elsewhere, at 0 too."""
    x, gradient = _both(x, gradient)
    return gradient * np.where(x > 0, 1, alpha * np.exp(np.minimum(x, 0)))


def sigmoid(x: ArrayLike) -> Array:
    """1 / (1 + exp(-x)), written so that nothing overflows.

    Example:
        >>> sigmoid([-1000.0, 0.0, 1000.0])
        array([0. , 0.5, 1. ])
    """
    return np.exp(-np.logaddexp(0, -numbers("x", x)))


def sigmoid_backward(gradient: ArrayLike, x: ArrayLike) -> Array:
    """Slope s * (1 - s), where s is the sigmoid of x; 1 - s is that of -x."""
    x, gradient = _both(x, gradient)
    return gradient * sigmoid(x) * sigmoid(-x)


def tanh(x: ArrayLike) -> Array:
    """The hyperbolic tangent: (exp(x) - exp(-x)) / (exp(x) + exp(-x)).

    Example:
        >>> tanh([-1000.0, 0.0, 1000.0])
        array([-1.,  0.,  1.])
    """
    return np.tanh(numbers("x", x))


def tanh_backward(gradient: ArrayLike, x: ArrayLike) -> Array:
    """Slope 1 - tanh(x)^2."""
    x, gradient = _both(x, gradient)
    slope: Array = 1 - np.tanh(x) ** 2
    return gradient * slope


def scaled_tanh(x: ArrayLike) -> Array:
    """LeNet-5's squashing function, 1.7159 * tanh(2/3 * x): close to 1 at 1 and to -1 at -1.

    Example:
        >>> scaled_tanh([-1.0, 0.0, 1.0]).round(4)
        array([-1.,  0.,  1.])

    Source: LeCun, Bottou, Bengio and Haffner 1998, "Gradient-based learning applied to document
        recognition", section II.B and appendix A.
    """
    return 1.7159 * np.tanh(2 / 3 * numbers("x", x))


def scaled_tanh_backward(gradient: ArrayLike, x: ArrayLike) -> Array:
    """Slope 1.7159 * 2/3 * (1 - tanh(2/3 * x)^2)."""
    x, gradient = _both(x, gradient)
    return gradient * (1.7159 * 2 / 3 * (1 - np.tanh(2 / 3 * x) ** 2))


def softplus(x: ArrayLike) -> Array:
    """log(1 + exp(x)): a smooth ReLU.

    Example:
        >>> softplus([-1000.0, 1000.0])
        array([   0., 1000.])
    """
    return np.logaddexp(0, numbers("x", x))


def softplus_backward(gradient: ArrayLike, x: ArrayLike) -> Array:
    """Slope: the sigmoid."""
    x, gradient = _both(x, gradient)
    return gradient * sigmoid(x)


def gelu(x: ArrayLike) -> Array:
    """`x` times the probability that a standard normal number is below it. Exact, not the tanh form.

    Example:
        >>> gelu([-1.0, 0.0, 1.0]).round(4)
        array([-0.1587,  0.    ,  0.8413])

    Source: Hendrycks and Gimpel 2016, "Gaussian error linear units", section 2.
    """
    x = numbers("x", x)
    return x * _normal_below(x)


def gelu_backward(gradient: ArrayLike, x: ArrayLike) -> Array:
    """Slope P + x * p, where P and p are the normal distribution and its density at x."""
    x, gradient = _both(x, gradient)
    density = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    return gradient * (_normal_below(x) + x * density)


def silu(x: ArrayLike) -> Array:
    """`x` times its sigmoid; also called swish.

    Example:
        >>> silu([0.0, 1000.0])
        array([   0., 1000.])

    Source: Hendrycks and Gimpel 2016, "Gaussian error linear units", section 2.
    """
    x = numbers("x", x)
    return x * sigmoid(x)


def silu_backward(gradient: ArrayLike, x: ArrayLike) -> Array:
    """Slope s * (1 + x * (1 - s)), where s is the sigmoid of x; 1 - s is that of -x."""
    x, gradient = _both(x, gradient)
    slope: Array = sigmoid(x) * (1 + x * sigmoid(-x))
    return gradient * slope


def _both(x: ArrayLike, gradient: ArrayLike) -> tuple[Array, Array]:
    x = numbers("x", x)
    return x, shaped_as_output(gradient, x.shape)


def _normal_below(x: Array) -> Array:
    erf = np.vectorize(math.erf, otypes=[float])(x / math.sqrt(2))
    below: Array = ((1 + erf) / 2).astype((x / 1).dtype)
    return below
