"""One 5x5 convolution against two of 3x3: what they cost, what they can say, how they learn."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import nn

from sightline.base import INK, SERIES, Draws
from sightline.evaluation.report import plot
from sightline.lab._entry import Cell, Page, Plot, Setting, Table
from sightline.lab._factors import STARTS, Factored, Matrix, factored
from sightline.lab._trial_page import (
    Experiment,
    Outcomes,
    accuracy_table,
    curves_plot,
    experiment,
    outcomes,
    percent,
)
from sightline.lab._trials import Trial
from sightline.reference import convolution_macs, convolution_parameters, field_after, kernel

CHANNELS = 16
"""Of the network of 5x5 kernels."""
HIDDEN = 64
SIDE = 32
_MAPS = 4
"""Side of the maps that the fully connected layers see."""
_RANDOM = 3
"""Random 5x5 kernels that are factored."""


def block(channels: int, kernel: int, between: bool) -> list[nn.Module]:
    """One convolution of 5x5, or two of 3x3, that keep channels and size.

    Args:
        channels: In and out.
        kernel: 5 or 3.
        between: Whether there is a ReLU between the two of 3x3.
    """
    made: list[nn.Module] = []
    count = 1 if kernel == 5 else 2
    for k in range(count):
        made += [
            nn.Conv2d(channels, channels, kernel, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(channels),
        ]
        if k == count - 1 or between:
            made.append(nn.ReLU())
    return made


def network(channels: int, kernel: int, between: bool, classes: int) -> nn.Module:
    """Three resolutions in small: a common 3x3 stem, two blocks, two fully connected layers.

    Shape:
        (N, 3, 32, 32) -> (N, classes).
    """
    return nn.Sequential(
        nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(),
        nn.MaxPool2d(2),  # 16x16
        *block(channels, kernel, between),
        nn.MaxPool2d(2),  # 8x8
        *block(channels, kernel, between),
        nn.MaxPool2d(2),  # 4x4
        nn.Flatten(),
        nn.Linear(_MAPS * _MAPS * channels, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, classes),
    )  # fmt: skip


def cost(channels: int, kernel: int, classes: int = 10) -> tuple[int, int]:
    """Parameters and multiply-adds of `network`, by hand."""
    blocks = 25 * channels**2 if kernel == 5 else 18 * channels**2
    norms = 2 * channels * (1 + (2 if kernel == 5 else 4))
    hidden = _MAPS * _MAPS * channels * HIDDEN
    parameters = 27 * channels + 2 * blocks + norms + hidden + HIDDEN + HIDDEN * classes + classes
    macs = 27 * channels * SIDE**2 + blocks * (16**2 + 8**2) + hidden + HIDDEN * classes
    return parameters, macs


@functools.cache
def matched() -> tuple[int, int]:
    """Channels with which 3x3 comes closest to 5x5 in parameters, and in multiply-adds."""
    wanted = cost(CHANNELS, 5)
    found = [
        min(range(1, 4 * CHANNELS), key=lambda c: abs(cost(c, 3)[which] - wanted[which])) for which in (0, 1)
    ]
    return found[0], found[1]


ROWS = (
    # name, as recorded; kernel; ReLU between; which match decides the channels
    ("5x5", 5, True, None),
    ("3x3 equal channels", 3, True, None),
    ("3x3 equal parameters", 3, True, 0),
    ("3x3 equal macs", 3, True, 1),
    ("3x3 no ReLU between", 3, False, None),
)


def channels_of(match: int | None) -> int:
    """Of a row."""
    return CHANNELS if match is None else matched()[match]


def trials() -> tuple[Trial, ...]:
    """The five networks, by the names that recorded curves have."""
    return tuple(
        Trial(name=name, build=functools.partial(network, channels_of(match), size, between))
        for name, size, between, match in ROWS
    )


def costs(classes: int = 10) -> dict[str, tuple[int, int]]:
    """Parameters and multiply-adds of each, by name."""
    return {name: cost(channels_of(match), size, classes) for name, size, _, match in ROWS}


# -- the page ------------------------------------------------------------------------------------------


def page(setting: Setting) -> Page:
    """Counts, the linear case, and the experiment."""
    linear = linear_case()
    tried = experiment("kernel-sizes", trials(), setting)
    found = outcomes(tried.rows)
    equal, by_parameters, by_macs, no_relu = (found.over(name, "5x5") for name, *_ in ROWS[1:])
    one, two = (convolution_parameters(CHANNELS, CHANNELS, (k, k), bias=False).value for k in (5, 3))
    stack = 2 * two
    told = [d for d in (equal, by_parameters, by_macs) if d.told]
    verdict = (
        "one seed each has no interval, and cannot tell them apart"
        if equal.interval is None
        else "no interval leaves out 0, so that an experiment of this size cannot tell them apart"
        if not told
        else f"{len(told)} of these 3 intervals leave{'s' if len(told) == 1 else ''} out 0"
    )
    return Page(
        sentences=(
            "Two 3x3 convolutions see the same 5x5 pixels as one of 5x5 with 18 C^2 weights instead of 25 "
            f"C^2: {stack:,} instead of {one:,} of {CHANNELS} channels, {100 * stack / one:.0f} %; and three "
            "see 7x7.",
            f"Against 5x5 the stack scores {equal.text} with as many channels, {by_parameters.text} with as "
            f"many parameters and {by_macs.text} with as many multiply-adds: {verdict}.",
        ),
        parts=(
            _counts(),
            _vgg(),
            curves_plot(tried.rows, "kernel-sizes", "Three pairs, and one stack without its ReLU"),
            accuracy_table(found, "5x5", costs(tried.classes)),
            *_linear_parts(linear),
        ),
        numbers={
            "weights_5x5": one,
            "weights_stack": stack,
            "weights_share": stack / one,
            "times_as_many": 25 / 9,
            "field_5x5": field_after(1, 1, 5).value,
            "field_two": _field(2),
            "field_three": _field(3),
            "channels_equal_parameters": matched()[0],
            "channels_equal_macs": matched()[1],
            "accuracy": {name: one.mean for name, one in found.by_name.items()},
            "seeds": found.seeds,
            "over_5x5_equal_channels": equal.mean,
            "over_5x5_equal_parameters": by_parameters.mean,
            "over_5x5_equal_macs": by_macs.mean,
            "over_5x5_no_relu": no_relu.mean,
            "told_apart": len(told),
            "missed": {one.name: {"one": one.one.missed, "two": one.two.missed} for one in linear},
        },
        notes=(*_notes(tried, found), *tried.notes),
    )


def _notes(tried: Experiment, found: Outcomes) -> tuple[str, ...]:
    return (
        f"A small experiment: {tried.size}. {found.blind}, nor what wide and deep networks do when they are "
        "trained to the end.",
        "Every network: a 3x3 stem, pooling, a block, pooling, a block, pooling, two fully connected layers; "
        "a block is one 5x5 convolution or two of 3x3, each with batch norm and ReLU. The fully connected "
        "layers hold parameters but hardly any multiply-adds, which is why equal parameters and equal "
        "multiply-adds ask for different numbers of channels.",
    )


def _field(layers: int) -> int:
    field = 1
    for _ in range(layers):
        field = field_after(field, 1, 3).value
    return field


def _counts() -> Table:
    rows: list[tuple[Cell, ...]] = []
    for name, size, layers in (("5x5", 5, 1), ("two 3x3", 3, 2), ("7x7", 7, 1), ("three 3x3", 3, 3)):
        weights = convolution_parameters(CHANNELS, CHANNELS, (size, size), bias=False).value * layers
        macs = convolution_macs(CHANNELS, CHANNELS, (size, size), (SIDE, SIDE)).value * layers
        field = field_after(1, 1, size).value if layers == 1 else _field(layers)
        rows.append(
            (
                name,
                f"{size * size * layers} C^2",
                weights,
                layers * CHANNELS,
                macs,
                field,
                layers * SIDE**2 * CHANNELS,
            )
        )
    return Table(
        title="One large kernel, or several small ones",
        columns=(
            "layers",
            "weights",
            f"of C = {CHANNELS}",
            "biases",
            f"macs on {SIDE}x{SIDE}",
            "field",
            "values kept",
        ),
        rows=rows,
        caption="C channels in and out. What is saved in weights is paid in memory: training keeps the "
        "output of every layer.",
    )


def _vgg() -> Table:
    """The paper's own comparison: network B with each pair of 3x3 replaced by one 5x5."""
    rows: list[tuple[Cell, ...]] = []
    sums = [0, 0]
    for inputs, outputs in ((3, 64), (64, 128), (128, 256), (256, 512), (512, 512)):
        pair = sum(convolution_parameters(c, outputs, (3, 3), bias=False).value for c in (inputs, outputs))
        one = convolution_parameters(inputs, outputs, (5, 5), bias=False).value
        sums = [sums[0] + one, sums[1] + pair]
        rows.append((f"{inputs} to {outputs}", one, pair, pair / one))
    rows.append(("together", sums[0], sums[1], sums[1] / sums[0]))
    return Table(
        title="Where channels double, nothing is saved",
        columns=("channels", "one 5x5", "two 3x3", "times"),
        rows=rows,
        caption="The five stages of VGG's network B. 18 against 25 holds for C channels in and C out; from C "
        "to 2C it is 54 C^2 against 50 C^2. Simonyan and Zisserman 2014 report that B with 5x5 instead of "
        "each pair was 7 points worse in top-1 error (section 4).",
    )


# -- the linear case -----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Linear:
    """A 5x5 kernel, and what two 3x3 with nothing between make of it."""

    name: str
    target: Matrix
    one: Factored
    """With one channel between the two."""
    two: Factored
    """With two."""


@functools.cache
def linear_case() -> tuple[Linear, ...]:
    """Kernels that factor, and others."""
    ring = np.zeros((5, 5))
    ring[[0, 0, 0, 4, 4, 4, 1, 2, 3, 1, 2, 3], [1, 2, 3, 1, 2, 3, 0, 0, 0, 4, 4, 4]] = 1
    targets = {
        "gaussian:5": kernel("gaussian:5").matrix,
        "box:5": kernel("box:5").matrix,
        "cross": np.maximum(np.eye(5), np.eye(5)[::-1]),
        "ring": ring,
    }
    drawn = Draws(seed=0).normal("kernels", list(range(_RANDOM)), 25).reshape(-1, 5, 5)
    targets |= {f"random {k + 1}": one for k, one in enumerate(drawn)}
    return tuple(
        Linear(name=name, target=target, one=factored(target), two=factored(target, between=2))
        for name, target in targets.items()
    )


def _linear_parts(linear: tuple[Linear, ...]) -> tuple[Plot, Table]:
    shown = linear[:5]

    def draw(figure: Figure) -> None:
        axes = figure.subplots(2, len(shown), squeeze=False)
        for column, one in enumerate(shown):
            most = float(np.abs(one.target).max())
            for row, values in enumerate((one.target, one.one.product)):
                cell = axes[row, column]
                cell.grid(visible=False)
                colours = np.zeros((5, 5, 4))
                colours[values >= 0, :3] = to_rgb(SERIES[1])
                colours[values < 0, :3] = to_rgb(SERIES[0])
                colours[:, :, 3] = np.clip(np.abs(values) / most, 0, 1)
                for r in range(5):
                    for c in range(5):
                        cell.add_patch(_square(c, r, tuple(colours[r, c])))
                cell.set(xlim=(-0.1, 5.1), ylim=(5.1, -0.1), xticks=[], yticks=[], aspect="equal")
                for spine in cell.spines.values():
                    spine.set_visible(False)
            axes[0, column].set_title(one.name, color=INK, fontsize=9.5)
            axes[1, column].set_xlabel(f"missed {percent(one.one.missed)}")
        axes[0, 0].set_ylabel("wanted")
        axes[1, 0].set_ylabel("two 3x3")

    rows: list[tuple[Cell, ...]] = [
        (one.name, percent(one.one.missed), percent(one.two.missed)) for one in linear
    ]
    return (
        Plot(
            svg=plot(
                "factors", "Five 5x5 kernels, and the nearest that two 3x3 make of them", (7.2, 3.2), draw
            ),
            title="Two 3x3 with no ReLU between",
            caption="Above, a 5x5 kernel; below, the nearest product of two 3x3, by least squares. They have "
            "18 numbers, and 17 of them free; 25 are wanted. Orange is positive, blue negative.",
        ),
        Table(
            title="What is missed",
            columns=("5x5 kernel", "one channel between", "two channels between"),
            rows=rows,
            caption=f"Share of the kernel's square sum that the best of {STARTS} searches leaves. Any kernel "
            "that is a column times a row factors, as the Gaussian does. With two channels between, any "
            "single 5x5 kernel can be made: the limit of a layer is that 18 C^2 numbers are fewer than 25 "
            "C^2.",
        ),
    )


def _square(x: int, y: int, colour: tuple[float, ...]) -> Rectangle:
    return Rectangle((x + 0.03, y + 0.03), 0.94, 0.94, facecolor=colour, edgecolor=INK, linewidth=0.3)
