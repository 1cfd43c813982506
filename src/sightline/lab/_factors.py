"""What two 3x3 kernels, one after the other and nothing between, can be: 5x5 kernels that factor."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from sightline.base import Draws

Matrix = NDArray[np.float64]
STARTS = 40
"""Searches; of a kernel that does not factor, about a quarter end at the best one."""
_ROUNDS = 200
_SMALL = 1e-12
"""Of the target's square: where a search ends."""
_ENOUGH = 1e-8
"""A step that gains less, as a share of what is left, is the last."""
_STUCK = 1e8


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Factored:
    """The sum of products of 3x3 kernels that comes closest to a 5x5 kernel."""

    product: Matrix
    """(5, 5)."""
    missed: float
    """What is left of the target, as a share of its square sum: 0 where it factors, at most 1."""


def composed(first: Matrix, second: Matrix) -> Matrix:
    """The one kernel that does what two do, one after the other.

    Shape:
        (3, 3), (3, 3) -> (5, 5).

    Example:
        >>> composed(np.ones((3, 3)), np.ones((3, 3)))[2].tolist()
        [3.0, 6.0, 9.0, 6.0, 3.0]
    """
    return (_laid(first) @ second.ravel()).reshape(5, 5)


def factored(target: Matrix, between: int = 1, seed: int = 0) -> Factored:
    """The best two layers of 3x3 for a 5x5 kernel: damped least squares (Levenberg, Marquardt).

    Args:
        target: (5, 5), not all 0.
        between: Channels between the two layers; the input and the output have one.
        seed: Of the starts.

    Returns:
        The best of several searches; each is local, so that a better one may exist.
    """
    wanted = target.ravel() / np.linalg.norm(target)
    best, missed = np.zeros(25), 1.0
    for start in Draws(seed=seed).normal("factors", list(range(STARTS)), 18 * between):
        made, left = _descended(wanted, start / 3)
        if left < missed:
            best, missed = made, left
        if missed < _SMALL:
            break
    return Factored(product=best.reshape(5, 5) * np.linalg.norm(target), missed=missed)


def _descended(wanted: Matrix, numbers: Matrix) -> tuple[Matrix, float]:
    """The product nearest to start, and the square of what it misses."""
    damping = 1e-2
    made, jacobian = _product(numbers)
    left = float(((wanted - made) ** 2).sum())
    for _ in range(_ROUNDS):
        normal = jacobian.T @ jacobian + damping * np.eye(len(numbers))
        tried = numbers + np.linalg.solve(normal, jacobian.T @ (wanted - made))
        made_there, jacobian_there = _product(tried)
        left_there = float(((wanted - made_there) ** 2).sum())
        if left_there >= left:
            damping *= 4
            if damping > _STUCK:
                break
            continue
        done = left - left_there < _ENOUGH * left or left_there < _SMALL
        numbers, made, jacobian, left = tried, made_there, jacobian_there, left_there
        damping = max(damping / 4, _SMALL)
        if done:
            break
    return made, left


def _product(numbers: Matrix) -> tuple[Matrix, Matrix]:
    """Of pairs of kernels, the sum of their products, and its derivative by every number. (25,), (25, n)."""
    pairs = numbers.reshape(-1, 2, 3, 3)
    made = sum((composed(a, b).ravel() for a, b in pairs), start=np.zeros(25))
    jacobian = np.concatenate([np.concatenate([_laid(b), _laid(a)], axis=1) for a, b in pairs], axis=1)
    return made, jacobian


def _laid(kernel: Matrix) -> Matrix:
    """The matrix that takes another 3x3 kernel to the product. (3, 3) -> (25, 9)."""
    laid = np.zeros((5, 5, 3, 3))
    for row in range(3):
        for column in range(3):
            laid[row : row + 3, column : column + 3, row, column] = kernel
    return laid.reshape(25, 9)
