"""Figures of supervised learning in a nutshell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from sightline.base import INK, SERIES
from sightline.evaluation.report import plot
from sightline.lab._nutshell import (
    Array,
    Layers,
    Points,
    activations,
    joints_between,
    line_curvatures,
    predict,
    squared_error,
    unit_joints,
)

_FINE = np.linspace(-1, 1, 801)


def surfaces(given: Sequence[tuple[str, Points, Array, Array]]) -> str:
    """Loss surfaces from above, and the way down.

    Args:
        given: Of each, what x is, the points, the path (steps + 1, 2), the least squares.
    """

    def draw(figure: Figure) -> None:
        for k, (title, points, path, best) in enumerate(given):
            axes = figure.add_subplot(1, len(given), k + 1)
            reach = 1.25 * np.abs(path - best).max()
            a, b = (np.linspace(best[i] - reach, best[i] + reach, 121) for i in (0, 1))
            loss = np.array([[squared_error(np.array([p, q]), points) for p in a] for q in b])
            least, most = squared_error(best, points), float(loss.max())
            levels = least + (most - least) * np.linspace(0.03, 1, 12) ** 2
            axes.contour(a, b, loss, levels=levels, colors=INK, linewidths=0.8, alpha=0.7)
            axes.plot(*path.T, color=SERIES[1], marker="o", markersize=3.5, linewidth=1.3)
            axes.plot(*best, "*", color=SERIES[0], markersize=11)
            axes.annotate(
                "start", path[0], xytext=(5, 5), textcoords="offset points", color=SERIES[1], fontsize=9
            )
            flat, steep = line_curvatures(points)
            axes.set_title(f"{title}: curvatures {flat:.3g} and {steep:.3g}", fontsize=9.5)
            axes.set(xlabel="phi0, where the line begins", aspect="equal")
            axes.set_ylabel("phi1, its slope" if k == 0 else "")

    return plot(
        "nutshell-surface",
        "Contours of the loss over phi0 and phi1, with the steps of gradient descent to the least squares",
        (8.6, 4.3),
        draw,
    )


def lines(points: Points, path: Array, best: Array, steps: Sequence[int]) -> str:
    """The points, and the line after some of its steps."""

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.plot(points.x, points.y, "o", color=INK, markersize=3.5)
        ends = np.array([0.0, 1.0])
        for step in steps:
            line = path[step]
            shade = 0.25 + 0.75 * (steps.index(step) + 1) / len(steps)
            axes.plot(ends, line[0] + line[1] * ends, color=SERIES[1], alpha=shade, linewidth=1.4)
            axes.annotate(
                f"step {step}" if step else "start",
                (1, line[0] + line[1]), xytext=(4, -3), textcoords="offset points", fontsize=8.5,
            )  # fmt: skip
        axes.plot(ends, best[0] + best[1] * ends, "--", color=SERIES[0], linewidth=1.6, label="least squares")
        axes.set(xlabel="height in the picture: 0 its top, 1 its bottom", ylabel="brightness", xlim=(0, 1.12))
        axes.legend(frameon=False, loc="lower left")

    return plot("nutshell-lines", "Brightness of china by height, and lines fitted to it", (8.6, 3.6), draw)


def learning_units(points: Points, kept: Mapping[int, Layers], steps: Sequence[int]) -> str:
    """The function of three hidden units at some steps, its joints, and what each unit adds."""

    def draw(figure: Figure) -> None:
        grid: Any = figure.subplots(2, len(steps), sharex=True, sharey="row", height_ratios=(1.5, 1))
        for column, step in enumerate(steps):
            layers = kept[step]
            upper, lower = grid[:, column]
            upper.plot(points.x, points.y, "o", color=INK, markersize=2.5)
            upper.plot(_FINE, predict(layers, _FINE), color=SERIES[0])
            for unit, joint in enumerate(unit_joints(layers)):
                if -1 <= joint <= 1:
                    y = predict(layers, np.array([joint]))[0]
                    upper.plot(joint, y, "o", color=SERIES[1 + unit], markersize=6, zorder=3)
                    lower.axvline(joint, color=SERIES[1 + unit], linewidth=0.9, linestyle=(0, (2, 2)))
            hidden = activations(layers, _FINE)[1] * layers[1][0]  # x unit
            for unit in range(hidden.shape[1]):
                lower.plot(_FINE, hidden[:, unit], color=SERIES[1 + unit], label=f"unit {unit + 1}")
            upper.set_title(f"step {step:,}" if step else "start", fontsize=9.5)
            lower.set_xlabel("x")
        grid[0, 0].set_ylabel("brightness")
        grid[0, 0].set_ylim(points.y.min() - 0.25, points.y.max() + 0.2)
        grid[1, 0].set_ylabel("phi_d a[...]")
        grid[1, 0].legend(frameon=False, fontsize=8, loc="best")

    return plot(
        "nutshell-units",
        f"The function of three hidden units after {', '.join(map(str, steps))} steps, with its joints, and "
        "what each unit adds",
        (8.6, 4.4),
        draw,
    )


def moving_joints(kept: Mapping[int, Layers], losses: Mapping[int, float]) -> str:
    """Where the joints are, and the loss, step by step."""

    def draw(figure: Figure) -> None:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
        steps = sorted(step for step in kept if step)
        joints = np.stack([unit_joints(kept[step]) for step in steps])
        for unit in range(joints.shape[1]):
            upper.plot(steps, joints[:, unit], color=SERIES[1 + unit], label=f"joint {unit + 1}")
        upper.set(ylabel="x of the joint", ylim=(-1.3, 1.3), xscale="log")
        upper.legend(frameon=False, ncols=joints.shape[1], loc="lower left")
        lower.plot(steps, [losses[step] ** 0.5 for step in steps], color=SERIES[0])
        lower.set(xlabel="step", ylabel="error, rms", ylim=(0, None))

    return plot("nutshell-joints", "The three joints and the error at each step", (8.6, 3.8), draw)


def functions(points: Points, networks: Sequence[tuple[str, Layers]]) -> str:
    """What networks of several sizes came to, a panel each, with their joints."""

    def draw(figure: Figure) -> None:
        grid: Any = figure.subplots(1, len(networks), sharey=True)
        for axes, (name, layers) in zip(grid, networks, strict=True):
            axes.plot(points.x, points.y, "o", color=INK, markersize=2.5)
            axes.plot(_FINE, predict(layers, _FINE), color=SERIES[0], linewidth=1.5)
            joints = joints_between(layers, -1, 1)
            axes.plot(joints, predict(layers, joints), ".", color=SERIES[1], markersize=4)
            axes.set_title(name, fontsize=9.5)
            axes.set_xlabel("x")
        grid[0].set_ylabel("brightness")

    return plot(
        "nutshell-functions",
        "Functions learned by " + ", ".join(name for name, _ in networks) + ", with their joints",
        (8.6, 2.9),
        draw,
    )
