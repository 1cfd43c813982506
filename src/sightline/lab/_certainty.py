"""A network that is too sure of itself, on digits; its softmax, its calibration, its loss."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import nn

from sightline.base import INK, SERIES, Draws
from sightline.evaluation import ClassificationScores, fit_temperature, score, wilson_interval
from sightline.evaluation.report import RIGHT, WRONG, plot
from sightline.imaging import digits
from sightline.lab._digits import Part, digit_parts, logits_of, seeded, train
from sightline.lab._drawn import png
from sightline.reference import cross_entropy, cross_entropy_backward, softmax
from sightline.tasks.classification import Answers

LEARNED, EPOCHS, RATE = 100, 100, 0.03
"""Few images, seen often: that makes a network sure of more than it knows."""
UNSURE = 0.6
"""The digit that is written out is the one whose likeliest class comes nearest to this."""


@dataclasses.dataclass(frozen=True, eq=False)
class Trained:
    """What a network said of digits it had not seen."""

    judged: Answers
    """At temperature 1."""
    temperature: float
    """Fitted on the validation digits."""
    fitted_on: int
    """How many these were."""
    before: ClassificationScores
    after: ClassificationScores

    @property
    def calibrated(self) -> Answers:
        """At the fitted temperature."""
        return dataclasses.replace(self.judged, temperature=self.temperature)


def _network() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))


def train_and_judge(seed: int) -> Trained:
    """Train on 100 digits, fit the temperature on the val part, judge on everything else."""
    learned, val, test = digit_parts()
    order = Draws(seed).permutation("few", np.arange(len(learned.ids)))
    few, rest = order[:LEARNED], order[LEARNED:]
    network = seeded(
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10)), seed
    )
    train(network, learned.images[few], learned.targets[few], epochs=EPOCHS, rate=RATE, seed=seed)

    def answers(*parts: Part) -> Answers:
        return Answers(
            np.concatenate([logits_of(network, part.images).numpy() for part in parts]),
            np.concatenate([part.targets.numpy() for part in parts]),
            np.concatenate([part.ids for part in parts]),
        )

    unseen = Part(learned.images[rest], learned.targets[rest], learned.ids[rest])
    judged, temperature = answers(unseen, test), fit_temperature(answers(val))
    calibrated = dataclasses.replace(judged, temperature=temperature)
    return Trained(
        judged=judged,
        temperature=temperature,
        fitted_on=len(val.ids),
        before=score(judged),
        after=score(calibrated),
    )


def unsure_of(trained: Trained) -> int:
    """Which of the judged digits is written out."""
    return int(np.abs(trained.judged.probabilities.max(axis=1) - UNSURE).argmin())


def written_out(logits: NDArray[np.float64]) -> str:
    """Softmax with its sum, a class a line, the largest logit first."""
    powers, shares = np.exp(logits), softmax(logits)
    lines = ["class    logit z        e^z    e^z / sum"]
    lines += [
        f"{k:>5}   {logits[k]:8.3f} {powers[k]:10.4g}   {100 * shares[k]:8.3f} %" for k in np.argsort(-logits)
    ]
    return "\n".join([*lines, f"  sum            {powers.sum():10.4g}   {100 * shares.sum():8.3f} %"])


def no_overflow() -> str:
    """Why the largest logit is taken off first."""
    logits = np.array([1000.0, 999.0, 0.0])
    with np.errstate(over="ignore", invalid="ignore"):
        powers = np.exp(logits)
        naive = powers / powers.sum()
    return "\n".join(
        (
            f"z                    {logits.tolist()}",
            f"e^z                  {powers.tolist()}",
            f"e^z / sum            {naive.tolist()}",
            f"z - 1000             {(logits - 1000).tolist()}",
            f"softmax(z - 1000)    {[round(float(p), 4) for p in softmax(logits)]}",
        )
    )


def loss_written_out(logits: NDArray[np.float64], target: int) -> str:
    """Cross-entropy of one image, and its gradient: the probability, less 1 at the true class."""
    shares = softmax(logits)
    slope = cross_entropy_backward(1.0, logits[None], [target])[0]
    loss = cross_entropy(logits[None], [target])
    lines = [f"loss = -ln p[{target}] = -ln {shares[target]:.4f} = {loss:.4f} nats"]
    lines += ["", "class          p   true   dloss/dz = p - true"]
    lines += [
        f"{k:>5}   {shares[k]:8.4f}   {int(k == target):>4}   {slope[k]:+9.4f}" for k in range(len(logits))
    ]
    return "\n".join(lines)


def digit_png(place: int) -> bytes:
    """One of the 1,797."""
    return png(digits()[0][place, 0])


def by_temperature(logits: NDArray[np.float64], fitted: float) -> str:
    """What the likeliest classes get at each temperature."""

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        temperatures = np.geomspace(0.2, 20, 200)
        shares = softmax(logits[None] / temperatures[:, None])
        for colour, k in zip((*SERIES[:4], SERIES[6]), np.argsort(-logits)[:5], strict=True):
            axes.plot(temperatures, 100 * shares[:, k], color=colour, label=f"a {k}")
        axes.axhline(100 / len(logits), color=INK, linewidth=0.9, linestyle=(0, (2, 2)))
        for t, text in ((1.0, "T = 1"), (fitted, f"fitted: {fitted:.2f}")):
            axes.axvline(t, color=INK, linewidth=0.9)
            axes.annotate(text, (t, 101), ha="center", va="bottom", annotation_clip=False)
        axes.set(xscale="log", xlabel="temperature T", ylabel="probability, %", ylim=(0, 100))
        axes.set_xticks([0.2, 0.5, 1, 2, 5, 10, 20], labels=["0.2", "0.5", "1", "2", "5", "10", "20"])
        axes.minorticks_off()
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))

    return plot(
        "softmax-temperature", "Probabilities of the likeliest classes by temperature", (8.6, 3.4), draw
    )


def reliability_figure(trained: Trained) -> str:
    """Accuracy against confidence, before and after."""

    def draw(figure: Figure) -> None:
        grid: Any
        given = ((1.0, trained.before, WRONG), (trained.temperature, trained.after, RIGHT))
        grid = figure.subplots(2, 2, sharex=True, sharey="row", height_ratios=(3, 1))
        for column, (temperature, scores, colour) in enumerate(given):
            upper, lower = grid[:, column]
            bins = [b for b in scores.reliability if b[0]]
            counts, x, y = (np.array(values) for values in zip(*bins, strict=True))
            ends = np.array([wilson_interval(round(n * a), int(n)) for n, a in zip(counts, y, strict=True)])
            reach = np.maximum(0.0, np.stack([y - ends[:, 0], ends[:, 1] - y]))
            upper.plot([0, 1], [0, 1], color=INK, linestyle="dashed", linewidth=1)
            upper.errorbar(x, y, yerr=reach, color=colour, fmt="o", elinewidth=1, capsize=2, markersize=5)
            upper.set_title(f"T = {temperature:.3g}: ECE {100 * scores.ece:.1f} %", fontsize=10)
            width = 1 / len(scores.reliability)
            lower.bar(
                (np.arange(len(scores.reliability)) + 0.5) * width, [n for n, *_ in scores.reliability],
                width=0.9 * width, color=colour, alpha=0.7,
            )  # fmt: skip
            lower.set(xlabel="confidence", xlim=(0, 1.02))
        grid[0, 0].set(ylabel="share that is right", ylim=(0, 1.02))
        grid[1, 0].set_ylabel("digits")

    return plot(
        "softmax-reliability",
        f"Accuracy against confidence: at temperature 1, calibration error {trained.before.ece:.3f}; "
        f"at the fitted one, {trained.after.ece:.3f}",
        (8.6, 4.4),
        draw,
    )


def loss_figure(trained: Trained) -> str:
    """-ln p, and where the judged digits lie on it."""

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        p = np.geomspace(1e-4, 1, 200)
        axes.plot(p, -np.log(p), color=SERIES[0])
        answers = trained.judged
        own = np.take_along_axis(answers.probabilities, answers.targets[:, None], axis=1)[:, 0]
        wrong = answers.predicted != answers.targets
        for which, colour, label in ((~wrong, RIGHT, "right"), (wrong, WRONG, "wrong")):
            at = np.maximum(own[which], 1e-4)
            axes.plot(
                at, -np.log(at), "o", color=colour, alpha=0.35, markersize=5, label=f"{which.sum():,} {label}"
            )
        axes.set(xscale="log", xlabel="probability of the true class", ylabel="loss, nats", xlim=(9e-5, 1.15))
        axes.legend(frameon=False)

    return plot("softmax-loss", "The loss -ln p of each judged digit", (8.6, 3.3), draw)
