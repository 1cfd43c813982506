"""Supervised learning of one number from another: a line, networks of any depth, their gradients, a loop."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sightline.base import Draws

Array = NDArray[np.float64]
Layers = tuple[tuple[Array, Array], ...]
"""Of each layer, its weights (..., out, in) and biases (..., out); a ReLU between any two.

Axes before these are of networks that learn side by side, each by itself.
"""


# -- what is to be learned -----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Points:
    """Pairs of an input and the output that is wanted."""

    x: Array
    y: Array


def rows_of_china(count: int = 61) -> Points:
    """How bright `china` is (1 is white) at a height: 0 its top, 1 its bottom; means of bands of rows."""
    return _bands(axis=0, count=count)


def columns_of_china(count: int = 64) -> Points:
    """How bright `china` is from its left edge, -1, to its right, 1; means of bands of columns."""
    points = _bands(axis=1, count=count)
    return Points(2 * points.x - 1, points.y)


def _bands(axis: int, count: int) -> Points:
    from sightline.imaging import photograph

    grey = photograph("china").mean(axis=2) / 255  # h w
    bands = np.array_split(grey if axis == 0 else grey.T, count)
    return Points((np.arange(count) + 0.5) / count, np.array([band.mean() for band in bands]))


# -- a straight line -----------------------------------------------------------------------------------


def squared_error(line: Array, points: Points) -> float:
    """L = sum (phi0 + phi1 x - y)^2."""
    return float(((line[0] + line[1] * points.x - points.y) ** 2).sum())


def line_gradient(line: Array, points: Points) -> Array:
    """dL/dphi0 = 2 sum r, dL/dphi1 = 2 sum x r, where r is prediction less truth."""
    r = line[0] + line[1] * points.x - points.y
    return 2 * np.array([r.sum(), (points.x * r).sum()])


def least_squares(points: Points) -> Array:
    """The best line without a search: phi1 = cov(x, y) / var(x), phi0 = mean(y) - phi1 mean(x)."""
    slope = np.cov(points.x, points.y, bias=True)[0, 1] / points.x.var()
    return np.array([points.y.mean() - slope * points.x.mean(), slope])


def line_curvatures(points: Points) -> Array:
    """The two curvatures of the loss surface: eigenvalues of its second derivatives, the smaller first.

    They are the same everywhere, for the surface is a parabola; steps of 1 / the larger neither overshoot
    nor crawl along the steepest direction, and a long way along the flattest.
    """
    n, x = len(points.x), points.x
    values: Array = np.linalg.eigvalsh(2 * np.array([[n, x.sum()], [x.sum(), (x * x).sum()]]))
    return values


def descend_line(points: Points, start: Sequence[float], rate: float, steps: int) -> Array:
    """Where gradient descent comes by. -> (steps + 1, 2)."""
    path = [np.asarray(start, dtype=np.float64)]
    for _ in range(steps):
        path.append(path[-1] - rate * line_gradient(path[-1], points))
    return np.stack(path)


def standardised(points: Points) -> Points:
    """The same points, x with mean 0 and deviation 1."""
    return Points((points.x - points.x.mean()) / points.x.std(), points.y)


# -- a network -----------------------------------------------------------------------------------------


def start_layers(widths: Sequence[int], seed: int) -> Layers:
    """Weights as He et al. 2015 draw them; the first layer's joints spread evenly over [-1, 1].

    Args:
        widths: Of each layer, the input's first: (1, 3, 1) has three hidden units.
        seed: Of the draws.
    """
    layers = []
    for depth, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        draws = Draws(seed, depth)
        weights = draws.normal("weights", list(range(outputs)), inputs) * np.sqrt(2 / inputs)
        biases = np.zeros(outputs)
        if depth == 0 and len(widths) > 2:
            joints = 2 * draws.uniform("joints", list(range(outputs)), 1)[:, 0] - 1
            biases = -weights[:, 0] * joints
        layers.append((weights, biases))
    return tuple(layers)


def count_parameters(layers: Layers) -> int:
    """Weights and biases."""
    return sum(weights.size + biases.size for weights, biases in layers)


def side_by_side(networks: Sequence[Layers]) -> Layers:
    """Networks of one shape as one, a leading axis to tell them apart."""
    return tuple(
        (np.stack([net[k][0] for net in networks]), np.stack([net[k][1] for net in networks]))
        for k in range(len(networks[0]))
    )


def one_of(layers: Layers, which: int) -> Layers:
    """One of networks that learned side by side."""
    return tuple((weights[which], biases[which]) for weights, biases in layers)


def activations(layers: Layers, x: Array) -> list[Array]:
    """What each layer gives, the input first, each (..., n, out); rectified but for the last."""
    given = [x[:, None]]
    for depth, (weights, biases) in enumerate(layers):
        z = given[-1] @ np.swapaxes(weights, -1, -2) + biases[..., None, :]
        given.append(z if depth == len(layers) - 1 else np.maximum(z, 0.0))
    return given


def predict(layers: Layers, x: Array) -> Array:
    """f[x, phi]. (n,) -> (..., n)."""
    return activations(layers, x)[-1][..., 0]


def mean_squared_error(layers: Layers, points: Points) -> Array:
    """The loss, a point. -> (...)."""
    loss: Array = ((predict(layers, points.x) - points.y) ** 2).mean(axis=-1)
    return loss


def gradients(layers: Layers, points: Points) -> Layers:
    """Of `mean_squared_error`: from the last layer to the first, by the chain rule."""
    given = activations(layers, points.x)
    back = 2 * (given[-1] - points.y[:, None]) / len(points.x)  # ... n 1
    found = []
    for depth in reversed(range(len(layers))):
        found.append((np.swapaxes(back, -1, -2) @ given[depth], back.sum(axis=-2)))
        back = (back @ layers[depth][0]) * (given[depth] > 0)
    return tuple(reversed(found))


def learn(
    layers: Layers,
    points: Points,
    *,
    steps: int,
    rate: float,
    momentum: float = 0.9,
    keep: Sequence[int] = (),
) -> dict[int, Layers]:
    """Gradient descent with momentum, all points at once.

    Args:
        layers: Where it starts.
        points: What is to be learned.
        steps: How many.
        rate: Of learning.
        momentum: Share of the last step that is taken again.
        keep: Steps after which the layers are kept, beside the last.

    Returns:
        The layers after each of these steps; 0 is the start.
    """
    moving = tuple((np.zeros_like(w), np.zeros_like(b)) for w, b in layers)
    kept = {0: layers} if 0 in keep else {}
    for step in range(1, steps + 1):
        slopes = gradients(layers, points)
        moving = tuple(
            (momentum * vw - rate * gw, momentum * vb - rate * gb)
            for (vw, vb), (gw, gb) in zip(moving, slopes, strict=True)
        )
        layers = tuple((w + vw, b + vb) for (w, b), (vw, vb) in zip(layers, moving, strict=True))
        if step in keep or step == steps:
            kept[step] = layers
    return kept


def unit_joints(layers: Layers) -> Array:
    """Where each unit of the first hidden layer turns on or off: x = -theta_d0 / theta_d1. -> (out,)."""
    weights, biases = layers[0]
    joints: Array = -biases / weights[:, 0]
    return joints


def joints_between(layers: Layers, low: float, high: float) -> Array:
    """Every x between two at which some unit of any hidden layer turns on or off, in order.

    Between two joints of the layers before it, what goes into a unit is a straight line, so that its zero
    is found from the ends alone. The function has at most one linear region more than there are joints.
    """
    ends = np.array([low, high])
    for depth in range(len(layers) - 1):
        weights, biases = layers[depth]
        z = activations(layers, ends)[depth] @ weights.T + biases  # ends out
        here, there = z[:-1], z[1:]
        place, unit = np.nonzero(here * there < 0)
        share = here[place, unit] / (here[place, unit] - there[place, unit])
        ends = np.unique(np.concatenate([ends, ends[place] + share * np.diff(ends)[place]]))
    return ends[1:-1]
