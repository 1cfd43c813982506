"""Equivariance and invariance of single layers: a picture moved before the layer, its maps moved after it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sightline.base import SERIES
from sightline.evaluation.report import plot
from sightline.imaging import photograph
from sightline.lab._drawn import Drawing, grey, map_levels, reduced
from sightline.reference import correlate, global_average_pool, kernel, max_pool

Array = NDArray[np.float64]
Layer = Callable[[Array], Array]
"""(N, 1, H, W) -> (N, C, h, w)."""

SIDE, FURTHEST = 32, 16
KERNELS = ("edge-3", "sobel-x", "sobel-y", "sharpen")
"""Of whole numbers, as the picture is: sums come out exactly, whatever their order."""
_COLOURS = (*SERIES[:4], SERIES[6])
"""Those that differ in the dark too."""
_DASHES = ("solid", (0, (5, 2)), (0, (1, 1.3)), (0, (5, 2, 1, 2)), (0, (8, 2)), (0, (3, 1)), (0, (2, 3)))


def scene() -> Array:
    """`china` in 32x32 grey levels, whole numbers from 0 to 255. -> (32, 32)."""
    return reduced(grey(photograph("china")), SIDE, SIDE).astype(np.float64)


def moved(picture: Array, most: int = FURTHEST) -> Array:
    """A picture moved right by 0 to so many pixels; what leaves comes in on the left. -> (N, 1, H, W)."""
    return np.stack([np.roll(picture, by, axis=-1) for by in range(most + 1)])[:, None]


def convolution(*, stride: int = 1, padding: str = "circular") -> Layer:
    """A layer of four kernels of 3x3 and a ReLU, padded by 1."""
    weights = np.stack([kernel(name).matrix for name in KERNELS])[:, None].astype(np.float64)

    def layer(x: Array) -> Array:
        maps = correlate(x, weights, stride=stride, padding=1, padding_mode=padding)
        return np.maximum(maps, 0.0)

    return layer


def then(*layers: Layer) -> Layer:
    """One layer after the other."""
    return lambda x: functools.reduce(lambda maps, layer: layer(maps), layers, x)


def pooled(size: int, stride: int | None = None) -> Layer:
    """The largest value of each window."""
    return lambda maps: max_pool(maps, size, stride)


def mean_of_all(maps: Array) -> Array:
    """Of each map, its mean. (N, C, h, w) -> (N, C, 1, 1)."""
    return global_average_pool(maps).reshape(*maps.shape[:2], 1, 1)


def equivariance_error(layer: Layer, pictures: Array) -> list[float]:
    """||f[t[x]] - t[f[x]]|| / ||f[x]|| at each shift.

    Where maps are smaller than the picture, t moves them by the whole number of cells that fits best.
    """
    maps = layer(pictures)
    still, width = maps[0], maps.shape[-1]
    every = np.stack([np.roll(still, by, axis=-1) for by in range(width)])  # by C h w
    one_to_one = width == pictures.shape[-1]
    found = []
    for by, got in enumerate(maps):
        choices = every[by : by + 1] if one_to_one else every
        found.append(float(np.sqrt(((choices - got) ** 2).sum(axis=(1, 2, 3))).min() / np.linalg.norm(still)))
    return found


def invariance_error(layer: Layer, pictures: Array) -> list[float]:
    """||f[t[x]] - f[x]|| / ||f[x]|| at each shift."""
    maps = layer(pictures)
    return [float(np.linalg.norm(got - maps[0]) / np.linalg.norm(maps[0])) for got in maps]


def error_inside(picture: Array, by: int) -> float:
    """The equivariance error of zero padding, where no kernel touched a border before or after the move."""
    layer, width = convolution(padding="zeros"), picture.shape[1]
    still, got = layer(np.stack([picture, np.roll(picture, by, axis=-1)])[:, None])
    columns = [c for c in range(width) if c not in (0, width - 1, by - 1, by)]
    expected = np.roll(still, by, axis=-1)[..., columns]
    return float(np.linalg.norm(got[..., columns] - expected) / np.linalg.norm(expected))


EQUIVARIANCE: Mapping[str, Layer] = {
    "stride 1, circular padding": convolution(),
    "stride 1, zero padding": convolution(padding="zeros"),
    "stride 2, circular": convolution(stride=2),
    "stride 4, circular": convolution(stride=4),
    "max pool 2, after stride 1": then(convolution(), pooled(2)),
}
INVARIANCE: Mapping[str, Layer] = {
    "the maps, stride 1": convolution(),
    "max pool 2": then(convolution(), pooled(2)),
    "max pool 4": then(convolution(), pooled(4)),
    "max pool 8": then(convolution(), pooled(8)),
    "global mean, zero padding": then(convolution(padding="zeros"), mean_of_all),
    "global mean, stride 2": then(convolution(stride=2), mean_of_all),
    "global mean, stride 1, circular": then(convolution(), mean_of_all),
}


def curves(name: str, errors: Mapping[str, list[float]], what: str) -> str:
    """Errors by shift, a line a layer."""

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for k, (label, values) in enumerate(errors.items()):
            colour, line = _COLOURS[k % len(_COLOURS)], _DASHES[k % len(_DASHES)]
            axes.plot(values, color=colour, linestyle=line, marker="osD^vPX"[k], markersize=4, label=label)
        axes.set(xlabel="moved by, pixels", ylabel=what, ylim=(-0.02, None), xlim=(-0.3, FURTHEST + 0.3))
        axes.set_xticks(range(0, FURTHEST + 1, 2))
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))

    return plot(name, f"{what}, by how far the picture was moved: {', '.join(errors)}", (8.6, 3.6), draw)


def both_ways(picture: Array, padding: str, by: int, unit: int = 0) -> str:
    """First moved then convolved, first convolved then moved, and where the two differ."""
    layer = convolution(padding=padding)
    x = np.stack([picture, np.roll(picture, by, axis=-1)])[:, None]
    still, after = layer(x)[:, unit]
    before = np.roll(still, by, axis=-1)
    tiles = (
        ("x", x[0, 0]), ("t[x]", x[1, 0]), ("f[t[x]]", after), ("t[f[x]]", before),
        ("their difference", np.abs(after - before)),
    )  # fmt: skip
    drawing, left, side = Drawing(), 0.0, 150.0
    most = max(float(after.max()), float(before.max()))
    for title, values in tiles:
        drawing.words(left, 14, title, size=14)
        if title.endswith("x]]") or title.startswith("their"):
            pixels = np.rint(255 * np.minimum(1.0, np.sqrt(values / most))).astype(np.uint8)
        else:
            pixels = map_levels(values)
        drawing.picture(left, 22, side, pixels)
        drawing.box(left, 22, side, side, line="rule")
        left += side + 14
    return drawing.svg(
        f"A picture moved by {by} pixels before and after a convolution with {padding} padding, "
        f"and the difference: {int((after != before).sum())} cells"
    )
