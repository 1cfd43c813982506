"""A fully connected network and two convolutional ones, on digits that are moved about a larger canvas."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn

from sightline.base import INK, SERIES, Draws
from sightline.evaluation.report import plot
from sightline.lab._digits import (
    Part,
    Progress,
    count_parameters,
    digit_parts,
    logits_of,
    seeded,
    train,
)
from sightline.lab._drawn import Drawing, shades_of
from sightline.reference import correlate

SIDE, FURTHEST = 24, 8
"""Of the canvas; how far an 8x8 digit in its middle can go before it leaves it."""
_DASHES = ("solid", (0, (5, 2)), (0, (1, 1.3)), "solid")


def on_canvas(images: Tensor, down: int = 0, right: int = 0) -> Tensor:
    """Digits on a black canvas, moved from its middle. (N, 1, 8, 8) -> (N, 1, 24, 24)."""
    canvas = images.new_zeros(len(images), 1, SIDE, SIDE)
    top, left = (SIDE - images.shape[2]) // 2 + down, (SIDE - images.shape[3]) // 2 + right
    canvas[:, :, top : top + images.shape[2], left : left + images.shape[3]] = images
    return canvas


def moved_at_random(images: Tensor, ids: NDArray[np.int64], epoch: int, seed: int) -> Tensor:
    """Each digit moved by -8 to 8 pixels down and right, its own draw each epoch."""
    by = (Draws(seed, epoch).uniform("move", ids, 2) * (2 * FURTHEST + 1)).astype(int) - FURTHEST
    canvas = images.new_zeros(len(images), 1, SIDE, SIDE)
    middle = (SIDE - 8) // 2
    for k, (down, right) in enumerate(by + middle):
        canvas[k, :, down : down + 8, right : right + 8] = images[k]
    return canvas


def mlp() -> nn.Sequential:
    """A pixel a weight: nothing that one place learns is known at another."""
    return nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, 64), nn.ReLU(), nn.Linear(64, 10))


def cnn() -> nn.Sequential:
    """Convolutions and pooling; then every place of every map has its own weight."""
    return nn.Sequential(*_trunk(), nn.Flatten(), nn.Linear(32 * (SIDE // 4) ** 2, 10))


def cnn_pooled() -> nn.Sequential:
    """The same convolutions and pooling; then each map's largest value, wherever it is."""
    return nn.Sequential(*_trunk(), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(32, 10))


def _trunk() -> list[nn.Module]:
    return [
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),  # 8 12 12
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),  # 16 6 6
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),  # 32 6 6
    ]  # fmt: skip


def cnn_stride_1() -> nn.Sequential:
    """Convolutions that move by single pixels, no pooling between; then each map's largest value."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 7, padding=3), nn.ReLU(), nn.Conv2d(16, 32, 1), nn.ReLU(),  # 32 24 24
        nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(32, 10),
    )  # fmt: skip


NETWORKS = {
    "MLP": mlp,
    "CNN, flattened": cnn,
    "CNN, pooled": cnn_pooled,
    "CNN, stride 1, pooled": cnn_stride_1,
}
TRAINED = ("centred", "moved")
EPOCHS, BATCH, RATE = 30, 32, 0.002
COLUMNS = ("network", "trained", "seed", "parameters", "shift", "right", "judged")
HOW = (
    f"Adam, {EPOCHS} epochs of the training digits in batches of {BATCH}, rate {RATE} falling to 0, no "
    "validation, judged on the digits of val and test, each moved up, down, left and right"
)
Row = dict[str, str | int]


def try_all(seed: int, progress: Progress) -> list[Row]:
    """Train each network on centred digits, and on moved ones; judge it at each distance. -> `COLUMNS`."""
    learned, val, test = digit_parts()
    judged = Part(
        torch.cat([val.images, test.images]),
        torch.cat([val.targets, test.targets]),
        np.concatenate([val.ids, test.ids]),
    )
    centred = on_canvas(learned.images)
    rows: list[Row] = []
    total = len(NETWORKS) * len(TRAINED) * EPOCHS
    for number, (name, how) in enumerate(itertools.product(NETWORKS, TRAINED)):
        network = seeded(NETWORKS[name], seed)
        train(
            network,
            centred if how == "centred" else learned.images,
            learned.targets,
            epochs=EPOCHS,
            rate=RATE,
            seed=seed,
            batch=BATCH,
            change=None if how == "centred" else functools.partial(moved_at_random, seed=seed),
            each=functools.partial(_told, progress, number * EPOCHS, total),
        )
        for shift, (right, of) in enumerate(right_by_shift(network, judged)):
            values = (name, how, seed, count_parameters(network), shift, right, of)
            rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


def right_by_shift(network: nn.Module, part: Part) -> list[tuple[int, int]]:
    """Right answers and images at each distance from 0 to 8 pixels: moved up, down, left and right by it."""
    found = []
    for by in range(FURTHEST + 1):
        ways = [(0, 0)] if by == 0 else [(by, 0), (-by, 0), (0, by), (0, -by)]
        x = torch.cat([on_canvas(part.images, *way) for way in ways])
        said = logits_of(network, x).argmax(dim=1)
        found.append((int((said == part.targets.repeat(len(ways))).sum()), len(x)))
    return found


def _told(progress: Progress, before: int, total: int, done: int) -> None:
    progress("epochs", before + done, total)


def accuracies(rows: Sequence[Mapping[str, str | int]]) -> dict[tuple[str, str], NDArray[np.float64]]:
    """Of each network and way of training, the share that is right at each distance, the seeds together."""
    found: dict[tuple[str, str], NDArray[np.float64]] = {}
    for name, how in itertools.product(NETWORKS, TRAINED):
        own = [row for row in rows if row["network"] == name and row["trained"] == how]
        counts = np.zeros((2, FURTHEST + 1))
        for row in own:
            counts[:, int(row["shift"])] += int(row["right"]), int(row["judged"])
        found[name, how] = counts[0] / counts[1]
    return found


def curves(found: Mapping[tuple[str, str], NDArray[np.float64]]) -> str:
    """Accuracy by distance: trained on centred digits, and on moved ones."""

    def draw(figure: Figure) -> None:
        grid: Any = figure.subplots(1, 2, sharey=True)
        for axes, how in zip(grid, TRAINED, strict=True):
            for k, name in enumerate(NETWORKS):
                axes.plot(
                    100 * found[name, how], color=SERIES[(1, 0, 3, 2)[k]], marker="osD^"[k], markersize=4.5,
                    label=name, linestyle=_DASHES[k],
                )  # fmt: skip
            axes.axhline(10, color=INK, linewidth=0.9, linestyle=(0, (2, 2)))
            axes.set(xlabel="tested: moved by, pixels", ylim=(0, 102))
            axes.set_title(f"trained on {how} digits", fontsize=10)
        grid[0].set_ylabel("right, %")
        grid[1].annotate("chance", (8, 10), xytext=(0, 3), textcoords="offset points", ha="right", fontsize=9)
        handles, labels = grid[0].get_legend_handles_labels()
        figure.legend(handles, labels, frameon=False, ncols=len(labels), loc="outside upper center")

    return plot(
        "why-cnns-shift",
        "Share of digits that are right by how far they were moved, of four networks, trained on centred and "
        "on moved digits",
        (8.6, 4.2),
        draw,
    )


def digits_drawn(part: Part) -> str:
    """One digit at some distances, as the networks get it."""
    drawing, side = Drawing(), 150.0
    for k, by in enumerate((0, 2, 4, 6, FURTHEST)):
        drawing.words(k * (side + 14), 15, f"moved by {by}", size=15)
        pixels = (255 * on_canvas(part.images[:1], right=by)[0, 0]).round().byte().numpy()
        drawing.picture(k * (side + 14), 22, side, pixels)
        drawing.box(k * (side + 14), 22, side, side, line="rule")
    return drawing.svg("A digit in the middle of a canvas of 24x24, and moved right by 2, 4, 6 and 8 pixels")


def as_fully_connected(side: int = 8) -> tuple[NDArray[np.float64], float]:
    """The matrix of a 3x3 convolution on a small image, and how far the two differ on another.

    Its columns are what the convolution makes of an image that is 1 at one pixel and 0 elsewhere.
    -> ((side - 2)^2, side^2)
    """
    weights = Draws(0).normal("kernel", [0], 9).reshape(1, 1, 3, 3)
    pixels = np.eye(side * side).reshape(-1, 1, side, side)
    matrix = correlate(pixels, weights).reshape(side * side, -1).T
    image = Draws(0).normal("image", [0], side * side).reshape(1, 1, side, side)
    gap = np.abs(matrix @ image.ravel() - correlate(image, weights).ravel()).max()
    return matrix, float(gap)


def matrix_drawn(matrix: NDArray[np.float64]) -> str:
    """Its weights as shades: those that are 0 are empty."""
    drawing = Drawing()
    drawing.matrix(0, 0, matrix, side=11, shades=shades_of(matrix), text=None)
    rows, columns = matrix.shape
    return drawing.svg(f"A matrix of {rows}x{columns} in which nine weights repeat along diagonals")
