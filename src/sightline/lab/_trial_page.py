"""What trials came to, for a page: curves, a table with intervals, a verdict."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from sightline.base import INK, SERIES, ArgumentError, DataError
from sightline.evaluation import mean_interval
from sightline.evaluation.report import plot
from sightline.lab._curves import recorded
from sightline.lab._entry import Cell, Plot, Setting, Table
from sightline.lab._trials import HOW, Row, Trial, small_set, try_all

LIVE_EPOCHS = 8
LIVE_SEEDS = 3
LIVE_IMAGES, LIVE_TEST = 2_000, 1_000
"""At most so many of the user's images."""
_LINES = ("solid", (0, (5, 2)), (0, (1, 1.2)), (0, (5, 2, 1, 2)), (0, (8, 3)))
AnyRow = Row | Mapping[str, str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one network came to at the end of its last epoch."""

    accuracies: tuple[float, ...]
    """Of each seed."""
    train_accuracies: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return float(np.mean(self.accuracies))

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 %, by Student's t over the seeds; None of a single one."""
        return mean_interval(self.accuracies)[1] if len(self.accuracies) > 1 else None


def outcomes(rows: Sequence[AnyRow]) -> dict[str, Outcome]:
    """By the name of the network, in the order of the rows."""
    last: dict[str, dict[int, AnyRow]] = {}
    for row in rows:
        last.setdefault(str(row["model"]), {})[int(row["seed"])] = row
    return {
        name: Outcome(
            accuracies=tuple(float(row["test_accuracy"]) for row in by_seed.values()),
            train_accuracies=tuple(float(row["train_accuracy"]) for row in by_seed.values()),
        )
        for name, by_seed in last.items()
    }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Difference:
    """How much more often one network was right than another, as a share."""

    mean: float
    interval: tuple[float, float] | None

    @property
    def told(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.interval is not None and not self.interval[0] <= 0 <= self.interval[1]

    @property
    def text(self) -> str:
        """In points, with its interval."""
        points = f"{100 * self.mean:+.1f} points"
        if self.interval is None:
            return points
        return f"{points} ({100 * self.interval[0]:+.1f} to {100 * self.interval[1]:+.1f})"


def difference(one: Outcome, other: Outcome) -> Difference:
    """Of one over another, seed by seed."""
    by_seed = [a - b for a, b in zip(one.accuracies, other.accuracies, strict=True)]
    if len(by_seed) < 2:
        return Difference(mean=by_seed[0], interval=None)
    mean, interval = mean_interval(by_seed)
    return Difference(mean=mean, interval=interval)


def percent(share: float) -> str:
    """A share with one digit."""
    return f"{100 * share:.1f} %"


def accuracy_table(found: Mapping[str, Outcome], base: str, costs: Mapping[str, tuple[int, int]]) -> Table:
    """A row a network: cost, accuracy with its interval, and against the base.

    Args:
        found: By name.
        base: What the others are compared with.
        costs: Parameters and multiply-adds, by name.
    """
    rows: list[tuple[Cell, ...]] = []
    for name, one in found.items():
        low_high = "" if one.interval is None else " to ".join(f"{100 * x:.1f}" for x in one.interval)
        against = "" if name == base else difference(one, found[base]).text
        train = percent(float(np.mean(one.train_accuracies)))
        rows.append((name, *costs[name], percent(one.mean), low_high, train, against))
    seeds = len(found[base].accuracies)
    return Table(
        title="Accuracy",
        columns=("network", "parameters", "macs", "accuracy", "95 % interval", "in training", f"over {base}"),
        rows=rows,
        caption=f"After the last epoch, mean over {_seeds(seeds)} of weights and order; "
        "intervals by Student's t over the seeds, differences seed by seed. An interval with 0 in it has "
        "told nothing.",
    )


def curves_plot(rows: Sequence[AnyRow], name: str, title: str) -> Plot:
    """Accuracy on the images that nothing was learned from, epoch by epoch; the mean over seeds, and each."""
    models = list(dict.fromkeys(str(row["model"]) for row in rows))

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for k, model in enumerate(models):
            x, each = _by_seed(rows, model)
            for one in each:
                axes.plot(x, 100 * one, color=SERIES[k], linewidth=0.6, alpha=0.45)
            axes.plot(x, 100 * each.mean(axis=0), color=SERIES[k], linestyle=_LINES[k], label=model)
        axes.set(xlabel="epoch", ylabel="accuracy, %")
        axes.legend(frameon=False, labelcolor=INK, loc="lower right")

    last = ", ".join(f"{m} {percent(o.mean)}" for m, o in outcomes(rows).items())
    return Plot(
        svg=plot(name, f"Accuracy by epoch; at the end {last}", (7.2, 4.2), draw),
        title=title,
        caption="Thick, the mean over seeds; thin, each of them. Of images that nothing was learned from.",
    )


def _by_seed(rows: Sequence[AnyRow], model: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Epochs, and accuracies (seeds, epochs)."""
    own = [row for row in rows if row["model"] == model]
    epochs = sorted({int(row["epoch"]) for row in own})
    seeds = sorted({int(row["seed"]) for row in own})
    by_key = {(int(row["seed"]), int(row["epoch"])): float(row["test_accuracy"]) for row in own}
    return np.array(epochs), np.array([[by_key[seed, epoch] for epoch in epochs] for seed in seeds])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """Rows, and what to say of where they come from."""

    rows: tuple[AnyRow, ...]
    size: str
    """How small it is, to stand in a sentence."""
    classes: int
    notes: tuple[str, ...]


def experiment(entry: str, trials: Sequence[Trial], setting: Setting) -> Experiment:
    """The recorded curves of an entry; or trained now, on the embedded digits or the user's images.

    Raises:
        ArgumentError: if the user's images are no set, or given without `--live`.
        DataError: if they cannot be used.
    """
    if not setting.live:
        if setting.data is not None:
            raise ArgumentError(f"--data {setting.data}: {entry} trains on your images with --live alone")
        curves = recorded(entry)
        images, test, epochs, seeds = (flag(curves.command, f) for f in ("images", "test", "epochs", "seeds"))
        size = (
            f"{images:,} of the 50,000 training images of CIFAR-10, seen {epochs} times each, "
            f"{_seeds(seeds)}, judged on {test:,} of its test images"
        )
        return Experiment(
            rows=curves.rows, size=size, classes=10, notes=(curves.note, f"{HOW[0].upper()}{HOW[1:]}.")
        )
    images_now = small_set(setting.data or "digits", train=LIVE_IMAGES, test=LIVE_TEST)
    seeds_now = range(setting.seed, setting.seed + LIVE_SEEDS)
    rows = try_all(trials, images_now, epochs=LIVE_EPOCHS, seeds=seeds_now, progress=setting.progress)
    return Experiment(
        rows=tuple(rows),
        size=f"{images_now.said}, seen {LIVE_EPOCHS} times each, {_seeds(LIVE_SEEDS)}",
        classes=len(images_now.classes),
        notes=(f"Trained just now: {HOW}.",),
    )


def _seeds(count: int) -> str:
    return f"{count} seed{'s' * (count > 1)}"


def flag(command: str, name: str) -> int:
    """The whole number of an option in a command.

    Raises:
        DataError: if the command does not say it.
    """
    found = re.search(rf"--{name} (\d+)", command)
    if found is None:
        raise DataError(f"the recorded command does not say --{name}: {command}")
    return int(found[1])
