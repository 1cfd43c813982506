"""The plots of a report."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from sightline.base import INK, SERIES
from sightline.evaluation._scores import wilson_interval
from sightline.evaluation.report._plot import RIGHT, VARIABLES, WRONG, plot
from sightline.evaluation.report._recorded import Facts, number

_OF_MEMBERS = (*SERIES[:4], SERIES[6])
"""Colours of runs: not the two that stand for `RIGHT` and `WRONG` in the dark."""
_CURVE_INCHES, _WIDE_INCHES = (3.15, 2.45), (4.4, 2.9)

Bins = Sequence[tuple[int, float, float]]
"""Of a reliability diagram: images, mean confidence, accuracy."""
Line = tuple[str, NDArray[np.float64], NDArray[np.float64], Mapping[str, str], int | None]
"""Of a curve: its name, epochs, values, style, and the epoch that was kept."""


# -- curves --------------------------------------------------------------------------------------------


def curves(run: Facts) -> dict[str, Any] | None:
    """How a run went, epoch by epoch."""
    if not run.rows:
        return None
    columns = _columns(run)
    epochs, kept = columns["epoch"], run.kept
    phases = columns.get("phase", np.zeros(len(epochs)))
    starts = [float(epochs[i]) for i in range(1, len(epochs)) if phases[i] != phases[i - 1]]
    rates = [name for name in columns if name.startswith("lr_")]
    panels = [
        ("loss", "Loss, nats", [("train", "train_loss"), ("validation", "val_loss")]),
        ("accuracy", "Accuracy", [("train", "train_accuracy"), ("validation", "val_accuracy")]),
        ("rate", "Learning rate", [(name.removeprefix("lr_"), name) for name in rates]),
    ]
    figures = []
    for name, title, wanted in panels:
        lines: list[Line] = [
            (label, epochs, columns[column], _line_style(label, i), kept)
            for i, (label, column) in enumerate(wanted)
            if column in columns and np.isfinite(columns[column]).any()
        ]
        if lines:
            label = f"{title} of each of {len(epochs)} epochs" + (f"; epoch {kept} was kept" if kept else "")
            figures.append(_curve_figure(name, title, label, lines, starts, kept))
    table = [
        {"epoch": int(epochs[i]), "kept": epochs[i] == kept}
        | {name: float(v[i]) for name, v in columns.items() if name.startswith(("train_", "val_", "lr_"))}
        for i in sorted({0, len(epochs) - 1} | set(np.flatnonzero(epochs == kept).tolist()))
    ]
    return {"figures": figures, "table": table, "phases": len(starts) + 1, "rates": rates}


def series_curves(names: Sequence[str], runs: Sequence[Facts]) -> dict[str, Any]:
    """The validation curves of several runs, in one figure a score; with one key to all."""
    told_apart = len(runs) <= len(_OF_MEMBERS)
    figures = []
    for name, title, column in (
        ("accuracy", "Validation accuracy", "val_accuracy"),
        ("loss", "Validation loss, nats", "val_loss"),
    ):
        lines: list[Line] = []
        for i, (member, run) in enumerate(zip(names, runs, strict=True)):
            columns = _columns(run) if run.rows else {}
            if column in columns and np.isfinite(columns[column]).any():
                colour = _OF_MEMBERS[i] if told_apart else RIGHT
                style = {"colour": colour, "variable": VARIABLES.get(colour, colour), "line": "solid"}
                lines.append((member, columns["epoch"], columns[column], style, run.kept))
        if lines:
            label = f"{title} of each epoch of {len(lines)} runs"
            figures.append(_curve_figure(name, title, label, lines, (), None, _WIDE_INCHES))
    keys = figures[0]["keys"] if figures and told_apart else []
    return {"figures": [figure | {"keys": []} for figure in figures], "keys": keys}


def _columns(run: Facts) -> dict[str, NDArray[np.float64]]:
    columns = {name: np.array([number(row, name) for row in run.rows]) for name in run.rows[0]}
    columns.setdefault("epoch", np.arange(1.0, len(run.rows) + 1))
    return columns


def _line_style(label: str, index: int) -> dict[str, str]:
    """Training is dashed, so that it is told from validation without colour."""
    colour = {"train": WRONG, "validation": RIGHT}.get(label, SERIES[(2 + index) % len(SERIES)])
    return {
        "colour": colour,
        "variable": VARIABLES.get(colour, colour),
        "line": "dashed" if label == "train" else "solid",
    }


def _curve_figure(
    name: str,
    title: str,
    label: str,
    lines: Sequence[Line],
    starts: Sequence[float],
    kept: int | None,
    inches: tuple[float, float] = _CURVE_INCHES,
) -> dict[str, Any]:
    draw = functools.partial(_draw_lines, lines, starts, kept, "accuracy" in title.lower())
    keys = [(line[0], line[3]) for line in lines] if len(lines) > 1 else []
    return {"title": title, "keys": keys, "plot": plot(name, label, inches, draw)}


def _draw_lines(
    lines: Sequence[Line], starts: Sequence[float], kept: int | None, percent: bool, figure: Figure
) -> None:
    axes = figure.add_subplot()
    first = min(float(epochs[0]) for _, epochs, *_ in lines)
    last = max(float(epochs[-1]) for _, epochs, *_ in lines)
    for _, epochs, values, style, own in lines:
        marker = "o" if len(epochs) < 4 else ""
        axes.plot(epochs, values, color=style["colour"], linestyle=style["line"], marker=marker)
        if own is not None:
            axes.plot(own, values[epochs == own], "o", color=style["colour"], markersize=5)
    for start in starts:
        axes.axvline(start - 0.5, color=INK, linewidth=0.8)
    if kept is not None:
        axes.axvline(kept, color=INK, linewidth=0.9, linestyle=(0, (2, 2)))
        axes.annotate(
            f"kept: {kept}", (kept, 1), xycoords=("data", "axes fraction"), xytext=(0, 3),
            textcoords="offset points", ha="right" if kept > (first + last) / 2 else "left",
            annotation_clip=False,
        )  # fmt: skip
    axes.set_xlim(first - 0.5, last + 0.5)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6))
    axes.yaxis.set_major_formatter(_percent_ticks() if percent else FuncFormatter(lambda y, _: f"{y:.4g}"))


def _percent_ticks() -> FuncFormatter:
    return FuncFormatter(lambda fraction, _: f"{100 * fraction:.4g} %")


# -- what was answered ---------------------------------------------------------------------------------


def confusion_figure(matrix: NDArray[np.int64]) -> Markup:
    """A confusion matrix of many classes."""
    label = f"Confusion matrix of {len(matrix)} classes: rows true, columns predicted"
    return plot("confusion", label, (6.4, 6.0), lambda figure: _draw_confusion(figure, matrix))


def _draw_confusion(figure: Figure, matrix: NDArray[np.int64]) -> None:
    """Shares of each row; a mistake is drawn stronger than its share, so that one is seen."""
    shares = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    picture = np.zeros((*matrix.shape, 4))
    picture[:, :, :3] = to_rgb(WRONG)
    picture[:, :, 3] = np.where(matrix > 0, 0.3 + 0.7 * np.sqrt(shares), 0.0)
    diagonal = np.arange(len(matrix))
    picture[diagonal, diagonal, :3] = to_rgb(RIGHT)
    picture[diagonal, diagonal, 3] = shares.diagonal()
    axes = figure.add_subplot()
    axes.grid(visible=False)
    axes.imshow(picture, interpolation="none")
    axes.set(xlabel="predicted (number of the class)", ylabel="true (number of the class)")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True, nbins=10))


def reliability_figure(label: str, bins: Bins, before: Bins | None) -> Markup:
    """Accuracy against confidence, over how many images there are of each.

    Args:
        label: What it shows.
        bins: Of the probabilities that are given.
        before: Of those before a temperature, if there is one.
    """
    draw = functools.partial(_draw_reliability, bins, before)
    return plot("reliability", label, (4.6, 4.4), draw)


def _draw_reliability(bins: Bins, before: Bins | None, figure: Figure) -> None:
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
    assert isinstance(upper, Axes)
    assert isinstance(lower, Axes)
    middles = (np.arange(len(bins)) + 0.5) / len(bins)
    upper.plot([0, 1], [0, 1], color=INK, linestyle="dashed", linewidth=1)
    if before is not None:
        _, x, y = _filled(before)
        upper.plot(
            x, y, "o", color=WRONG, markerfacecolor="none", markersize=6, markeredgewidth=1.3, clip_on=False
        )
        lower.step(
            np.arange(len(before) + 1) / len(before), [*(n for n, *_ in before), before[-1][0]],
            where="post", color=WRONG, linewidth=1,
        )  # fmt: skip
    counts, x, y = _filled(bins)
    ends = np.array([wilson_interval(round(n * share), int(n)) for n, share in zip(counts, y, strict=True)])
    reach = np.maximum(0.0, np.stack([y - ends[:, 0], ends[:, 1] - y]))
    upper.errorbar(
        x, y, yerr=reach, color=RIGHT, elinewidth=1, capsize=2, marker="o", linestyle="none", clip_on=False
    )
    upper.set(ylabel="accuracy", xlim=(0, 1), ylim=(-0.02, 1.02))
    lower.bar(middles, [n for n, *_ in bins], width=0.9 / len(bins), color=RIGHT, alpha=0.7)
    lower.set(xlabel="confidence: probability of the predicted class", ylabel="images")
    lower.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=3))
    for axis in (upper.yaxis, lower.xaxis):
        axis.set_major_formatter(_percent_ticks())


def _filled(bins: Bins) -> NDArray[np.float64]:
    """Images, confidence and accuracy of the bins that have any. -> (3, filled)."""
    return np.array([entry for entry in bins if entry[0]], dtype=np.float64).T
