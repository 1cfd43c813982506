"""The page on depth: scales of six fresh networks, and how far four of them learn."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from sightline.base import INK, SERIES, DataError
from sightline.evaluation.report import plot
from sightline.lab._curves import Curves, recorded
from sightline.lab._depth import (
    BATCH,
    CASES,
    DEPTH,
    SIZES,
    SMALL,
    STAGES,
    Scales,
    expected_gain,
    scales,
    trials,
)
from sightline.lab._entry import Cell, Page, Plot, Setting, Table
from sightline.lab._trials import small_set, try_all
from sightline.zoo import get_architecture

PAPER_STEPS = 64_000
PAPER_BATCH = 128
LIVE_IMAGES, LIVE_TEST, LIVE_EPOCHS, LIVE_BATCH = 512, 200, 5, 32
_LINES = ("solid", "solid", (0, (5, 2)), (0, (1, 1.2)), (0, (5, 2)), (0, (1, 1.2)))
_COLOURS = (SERIES[1], SERIES[0]) + (SERIES[1],) * 2 + (SERIES[0],) * 2
_LEAST = 1e-14
"""Where the figures end."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Learned:
    """How far the networks came."""

    errors: Mapping[str, Sequence[tuple[int, float, float]]]
    """By network, epoch by epoch: steps, training error, error on held-out images."""
    note: str
    batch: int = PAPER_BATCH
    """Images a step."""

    def last(self, name: str) -> tuple[int, float, float]:
        """At the end."""
        return self.errors[name][-1]


def read_depth(curves: Curves) -> Learned:
    """Recorded runs: columns model, steps, train_accuracy, val_accuracy, maybe batch of each epoch.

    Raises:
        DataError: if a column is missing.
    """
    errors: dict[str, list[tuple[int, float, float]]] = {}
    try:
        for row in curves.rows:
            one = int(row["steps"]), 1 - float(row["train_accuracy"]), 1 - float(row["val_accuracy"])
            errors.setdefault(row["model"], []).append(one)
    except KeyError as error:
        raise DataError(f"recorded curves of depth have no column {error}") from error
    batch = int(curves.rows[0].get("batch", PAPER_BATCH))
    return Learned(errors=errors, note=curves.note, batch=batch)


def live(setting: Setting) -> Learned:
    """The four networks on embedded digits, for a few steps."""
    images = small_set("digits", train=LIVE_IMAGES, test=LIVE_TEST)
    errors: dict[str, list[tuple[int, float, float]]] = {}
    rows = try_all(
        trials(),
        images,
        epochs=LIVE_EPOCHS,
        seeds=[setting.seed],
        progress=setting.progress,
        batch=LIVE_BATCH,
    )
    for row in rows:
        one = int(row["steps"]), 1 - float(row["train_accuracy"]), 1 - float(row["test_accuracy"])
        errors.setdefault(str(row["model"]), []).append(one)
    return Learned(
        errors=errors,
        note=f"Trained just now: {images.said}, in batches of {LIVE_BATCH}, one seed.",
        batch=LIVE_BATCH,
    )


def page(setting: Setting) -> Page:
    """Scales, gains, curves."""
    images = small_set("digits", train=BATCH, test=BATCH)
    measured = {one.name: one for one in scales(images, setting.seed)}
    learned = live(setting) if setting.live else read_depth(recorded("depth"))
    plain, residual, he, small = (measured[name] for name, *_ in CASES[:4])
    gaps = {
        depth: learned.last(f"plain{depth}")[1] - learned.last(f"resnet{depth}")[1]
        for depth in (20, 56)
        if {f"plain{depth}", f"resnet{depth}"} <= learned.errors.keys()
    }
    said = " and ".join(
        f"{100 * learned.last(f'plain{d}')[1]:.1f} % against {100 * learned.last(f'resnet{d}')[1]:.1f} % of "
        f"{d} layers in {learned.last(f'plain{d}')[0]:,} steps"
        for d in gaps
    )
    longest = max(rows[-1][0] for rows in learned.errors.values())
    return Page(
        sentences=(
            f"In a fresh plain network of {DEPTH} layers with batch norm the gradient does not vanish: that "
            f"of the first layers is {plain.first_gradient:.2g} of their weights, "
            f"{plain.gradient_ratio:,.0f} times as much as in the last (residual: "
            f"{residual.first_gradient:.2g}, {residual.gradient_ratio:,.0f} times). Without norm it is "
            f"{he.first_gradient:.1g} with He's weights, and {small.first_gradient:.0e} with weights of "
            f"deviation {SMALL}: that is vanishing.",
            f"Training error, plain against residual: {said}; that is {100 * longest / PAPER_STEPS:.1g} % of "
            f"the paper's {PAPER_STEPS:,} steps at most, so it shows who starts well, and not where they "
            "end.",
        ),
        parts=(
            _by_layer(list(measured.values()), "outputs"),
            _by_layer(list(measured.values()), "gradients"),
            _gains(measured),
            _curves(learned),
            _errors(learned),
        ),
        numbers={
            "first_gradient": {name: one.first_gradient for name, one in measured.items()},
            "gradient_ratio": {name: one.gradient_ratio for name, one in measured.items()},
            "last_output": {name: float(one.outputs[-1]) for name, one in measured.items()},
            "gain_he": [he.gain(c) for c in STAGES],
            "gain_small": [small.gain(c) for c in STAGES],
            "gain_small_closed_form": [expected_gain(SMALL, c, 0) for c in STAGES],
            "parameters": get_architecture(f"plain{DEPTH}").parameters,
            "steps": {name: rows[-1][0] for name, rows in learned.errors.items()},
            "paper_steps": PAPER_STEPS,
            "train_error": {name: rows[-1][1] for name, rows in learned.errors.items()},
            "held_out_error": {name: rows[-1][2] for name, rows in learned.errors.items()},
            "plain_over_residual": {str(depth): gap for depth, gap in gaps.items()},
        },
        notes=(
            learned.note,
            f"The paper trains each network for {PAPER_STEPS:,} steps of {PAPER_BATCH} images; here it is "
            f"{longest:,} steps of {learned.batch} at most, one run each, so that there is no interval. The "
            "rate falls over each run's own steps, and runs of different length must not be compared at one "
            "step.",
            f"Scales: one batch of {BATCH} embedded digits framed to 32x32, seed {setting.seed}, fresh "
            "weights, biases 0, batch norm with the batch's statistics. Where weights are small the pass is "
            "in float64; in float32 the last layers give zeros and the gradient is 0.",
            "With batch norm and without shortcuts gradients grow towards the first layers of a fresh "
            "network (Yang et al. 2019, 'A mean field theory of batch normalization'): too large, if "
            "anything.",
        ),
    )


def _by_layer(measured: Sequence[Scales], what: str) -> Plot:
    forward = what == "outputs"

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for k, one in enumerate(measured):
            values = one.outputs if forward else one.gradients
            shown = np.where(values > _LEAST, values, np.nan)
            x = np.arange(1, len(values) + 1)
            width = 1.8 if k < 2 else 1.3
            axes.plot(x, shown, color=_COLOURS[k], linestyle=_LINES[k], linewidth=width, label=one.name)
        axes.set(yscale="log", xlabel="convolution", ylabel=label)
        axes.legend(frameon=False, labelcolor=INK, fontsize=8.5, loc="upper left", bbox_to_anchor=(1, 1))

    label = "root mean square" if forward else "gradient / weight"
    title = "How large the output of each layer is" if forward else "How large the gradient of each layer is"
    small = measured[3]
    end = small.outputs[-1] if forward else small.gradients[1]
    return Plot(
        svg=plot(f"depth-{what}", f"{title}, of six fresh networks of {DEPTH} layers", (7.6, 3.6), draw),
        title=title,
        caption="Orange plain, blue residual. "
        + (
            "Of each convolution, before any norm. With He's weights and no norm a plain network loses a few "
            "per cent a layer, at borders most of all, and a residual one doubles its square each block. "
            if forward
            else "Norm of the loss's gradient by a layer's weights over the norm of these: what share of "
            "itself a step of rate 1 would change. "
        )
        + f"Small weights and no norm: it goes on to {end:.0e}, outside the figure.",
    )


def _gains(measured: Mapping[str, Scales]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for name, said, deviation in ((CASES[2][0], "He", None), (CASES[3][0], f"N(0, {SMALL}^2)", SMALL)):
        for channels, size in zip(STAGES, SIZES, strict=True):
            rows.append(
                (
                    said,
                    f"{channels} x {size}x{size}",
                    expected_gain(deviation, channels, 0),
                    expected_gain(deviation, channels, size),
                    measured[name].gain(channels),
                )
            )
    return Table(
        title="What a layer does to the scale: closed form, and measured",
        columns=("weights", "maps", "deviation sqrt(9C/2)", "with the border", "measured"),
        rows=rows,
        caption="The plain network without norm. A factor a layer: ten layers of 0.085 leave 2e-11. Measured "
        "is the geometric mean over the layers of a stage; one draw of few channels scatters about the "
        "closed form.",
    )


def _curves(learned: Learned) -> Plot:
    names = [name for name in ("plain20", "resnet20", "plain56", "resnet56") if name in learned.errors]

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for name in names:
            steps, train, _ = zip(*learned.errors[name], strict=True)
            axes.plot(
                steps,
                [100 * error for error in train],
                color=SERIES[1] if name.startswith("plain") else SERIES[0],
                linestyle="solid" if name.endswith("20") else (0, (5, 2)),
                marker="o",
                markersize=4,
                label=name,
            )
        axes.set(xlabel="steps", ylabel="training error, %", xlim=(0, None))
        axes.legend(frameon=False, labelcolor=INK)

    last = ", ".join(f"{name} {100 * learned.last(name)[1]:.1f} %" for name in names)
    return Plot(
        svg=plot("depth-curves", f"Training error by steps; at the end {last}", (7.2, 4), draw),
        title="Plain against residual",
        caption="Training error of each epoch, taken as it went; it is what the paper argues with, for it "
        "leaves overfitting out.",
    )


def _errors(learned: Learned) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (
            name,
            get_architecture(name).parameters,
            rows[-1][0],
            f"{100 * rows[-1][1]:.1f} %",
            f"{100 * rows[-1][2]:.1f} %",
        )
        for name, rows in learned.errors.items()
    ]
    return Table(
        title="Where they were stopped",
        columns=("network", "parameters", "steps", "training error", "held-out error"),
        rows=rows,
        caption="Shortcuts of option A have no parameters: plain and residual networks of one depth are as "
        "large.",
    )
