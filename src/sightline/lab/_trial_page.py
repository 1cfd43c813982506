"""What trials came to, for a page: curves, a table with intervals, a verdict."""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from sightline.base import INK, SERIES, ArgumentError, DataError
from sightline.evaluation.report import plot
from sightline.lab._curves import recorded
from sightline.lab._entry import Cell, Plot, Setting, Table
from sightline.lab._trials import HOW, Row, Trial, small_set, try_all

LIVE_EPOCHS = 8
LIVE_SEEDS = 3
LIVE_IMAGES, LIVE_TEST = 2_000, 1_000
"""At most so many of the user's images."""
_COLOURS = (*SERIES[:4], SERIES[6])
"""Not the two that stand for the first ones in the dark."""
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcomes:
    """What all networks of an experiment came to."""

    by_name: Mapping[str, Outcome]
    """In the order of the rows."""

    @functools.cached_property
    def seeds(self) -> int:
        """Of each network."""
        return min(len(one.accuracies) for one in self.by_name.values())

    @functools.cached_property
    def error(self) -> float | None:
        """Half the 95 % interval of one network's mean; None of a single seed.

        The seeds' spread is pooled over the networks, for three of one network estimate it badly: Student's t
        with (seeds - 1) degrees of freedom a network.
        """
        from scipy.special import stdtrit

        degrees = sum(len(one.accuracies) - 1 for one in self.by_name.values())
        if not degrees:
            return None
        squares = sum(
            float(((np.array(one.accuracies) - one.mean) ** 2).sum()) for one in self.by_name.values()
        )
        return float(stdtrit(degrees, 0.975) * math.sqrt(squares / degrees / self.seeds))

    @property
    def blind(self) -> str:
        """What the experiment cannot tell, in words."""
        if self.error is None:
            return "With one seed it can tell no difference"
        return f"It cannot tell differences below {100 * math.sqrt(2) * self.error:.1f} points"

    def over(self, name: str, base: str) -> Difference:
        """How much more often a network was right than another; independent of it, with the same spread."""
        mean = self.by_name[name].mean - self.by_name[base].mean
        half = None if self.error is None else math.sqrt(2) * self.error
        return Difference(mean=mean, interval=None if half is None else (mean - half, mean + half))


def outcomes(rows: Sequence[AnyRow]) -> Outcomes:
    """By the name of the network."""
    last: dict[str, dict[int, AnyRow]] = {}
    for row in rows:
        last.setdefault(str(row["model"]), {})[int(row["seed"])] = row
    return Outcomes(
        by_name={
            name: Outcome(
                accuracies=tuple(float(row["test_accuracy"]) for row in by_seed.values()),
                train_accuracies=tuple(float(row["train_accuracy"]) for row in by_seed.values()),
            )
            for name, by_seed in last.items()
        }
    )


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


def percent(share: float) -> str:
    """A share with one digit."""
    return f"{100 * share:.1f} %"


def accuracy_table(found: Outcomes, base: str, costs: Mapping[str, tuple[int, int]]) -> Table:
    """A row a network: cost, accuracy with its interval, and against the base.

    Args:
        found: Of all.
        base: What the others are compared with.
        costs: Parameters and multiply-adds, by name.
    """
    rows: list[tuple[Cell, ...]] = []
    for name, one in found.by_name.items():
        half = "" if found.error is None else f" +- {100 * found.error:.1f}"
        against = "" if name == base else found.over(name, base).text
        train = percent(float(np.mean(one.train_accuracies)))
        rows.append((name, *costs[name], f"{100 * one.mean:.1f}{half} %", train, against))
    return Table(
        title="Accuracy",
        columns=("network", "parameters", "macs", "accuracy", "in training", f"over {base}"),
        rows=rows,
        caption=f"After the last epoch, mean over {_seeds(found.seeds)} of weights and order. 95 % intervals "
        "by Student's t, of a spread that is pooled over the networks. All are judged on the same images, "
        "and what other images would change is not in them. An interval with 0 in it has told nothing.",
    )


def curves_plot(rows: Sequence[AnyRow], name: str, title: str) -> Plot:
    """Accuracy on the images that nothing was learned from, epoch by epoch; the mean over seeds, and each."""
    models = list(dict.fromkeys(str(row["model"]) for row in rows))

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for k, model in enumerate(models):
            x, each = _by_seed(rows, model)
            for one in each:
                axes.plot(x, 100 * one, color=_COLOURS[k], linewidth=0.6, alpha=0.45)
            axes.plot(x, 100 * each.mean(axis=0), color=_COLOURS[k], linestyle=_LINES[k], label=model)
        axes.set(xlabel="epoch", ylabel="accuracy, %")
        axes.legend(frameon=False, labelcolor=INK, loc="lower right")

    last = ", ".join(f"{m} {percent(o.mean)}" for m, o in outcomes(rows).by_name.items())
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
