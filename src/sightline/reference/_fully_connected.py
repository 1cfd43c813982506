"""The fully connected layer: every output is a weighted sum of all inputs."""

from __future__ import annotations

from numpy.typing import ArrayLike

from sightline.base import ArgumentError
from sightline.reference._windows import Array, numbers, shaped_as_output


def fully_connected(x: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None) -> Array:
    """Each output is the dot product of the input with a row of the weights, plus a bias.

    Args:
        x: The inputs.
        weight: One row for each output.
        bias: Added to each output.

    Shape:
        (N, I), (O, I), (O,) -> (N, O).

    Raises:
        ArgumentError: if the shapes do not go together.

    Example:
        >>> fully_connected([[1, 2]], [[3, 4], [5, 6]], [0, 1])
        array([[11, 18]])
    """
    x, weight = _checked(x, weight)
    output: Array = x @ weight.T
    if bias is None:
        return output
    bias = numbers("bias", bias)
    if bias.shape != (len(weight),):
        raise ArgumentError(
            f"bias must have one number for each output, ({len(weight)},); it is {bias.shape}"
        )
    return output + bias


def fully_connected_backward(
    gradient: ArrayLike, x: ArrayLike, weight: ArrayLike
) -> tuple[Array, Array, Array]:
    """The gradients of `x`, `weight` and `bias`.

    Args:
        gradient: Of the output.
        x: As in `fully_connected`.
        weight: As in `fully_connected`.

    Shape:
        (N, O) -> (N, I), (O, I), (O,).

    Raises:
        ArgumentError: as `fully_connected`, and if the gradient has another shape than the output.
    """
    x, weight = _checked(x, weight)
    gradient = shaped_as_output(gradient, (len(x), len(weight)))
    return gradient @ weight, gradient.T @ x, gradient.sum(axis=0)


def _checked(x: ArrayLike, weight: ArrayLike) -> tuple[Array, Array]:
    x, weight = numbers("x", x), numbers("weight", weight)
    if x.ndim != 2 or weight.ndim != 2 or x.shape[1] != weight.shape[1]:
        raise ArgumentError(
            "x must be (N, inputs) and weight (outputs, inputs), with equal inputs; "
            f"x is {x.shape}, weight is {weight.shape}"
        )
    return x, weight
