"""What a run recorded of itself, read so that an older run, or one with more to say, breaks nothing."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from sightline.base import ModelFileError
from sightline.data import Split
from sightline.evaluation._evaluation import Evaluation
from sightline.records import RunFolder, read_header

SECTIONS = ("data", "model", "preprocessing", "recipe", "split", "plan", "versions", "machine")


class Recorded(dict[str, Any]):
    """A part of `args.yaml`; what a run did not record is None."""

    def __missing__(self, key: str) -> None:
        return None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Facts:
    """One run, as a report tells of it."""

    args: Recorded
    """With every section of `SECTIONS` there, and each one a mapping."""
    rows: Sequence[Mapping[str, str]]
    """Of `results.csv`."""
    split: Split
    evaluations: Sequence[Evaluation]
    """The headline first."""
    objective: str | None = None
    """What its model file says it was trained for."""

    @property
    def headline(self) -> Evaluation:
        """The evaluation the run is known by."""
        return self.evaluations[0]

    @property
    def own_images(self) -> bool:
        """Whether the split is of the images judged."""
        return len(self.split.parts) == len(self.headline.images)

    @property
    def phases(self) -> list[Recorded]:
        """The phases of the recipe."""
        phases = self.args["recipe"]["phases"]
        return [Recorded(phase) for phase in phases or () if isinstance(phase, Mapping)]

    @property
    def planned(self) -> int:
        """Epochs of the recipe."""
        return sum(int(phase["epochs"] or 0) for phase in self.phases)

    @property
    def kept(self) -> int | None:
        """The epoch whose weights are `best`, from 1."""
        marked = [row for row in self.rows if row.get("best") == "1"]
        return int(marked[-1]["epoch"]) if marked else None

    @property
    def selects(self) -> str | None:
        """The metric that chose the epoch, if one did and that is known."""
        select = self.args["recipe"]["select"]
        return None if select is None else str(select)

    @property
    def watches_validation(self) -> bool:
        """Whether the learning rate was lowered by the scores on the validation images."""
        return any(mapping(phase["schedule"])["kind"] == "plateau" for phase in self.phases)

    def training(self) -> dict[str, Any]:
        """How long it trained, and how fast."""
        seconds = np.array([number(row, "seconds") for row in self.rows])
        pace = np.array([number(row, "images_per_second") for row in self.rows])
        timed = np.isfinite(seconds)
        known = timed & np.isfinite(pace)
        total = float(seconds[known].sum())
        return {
            "epochs": len(self.rows),
            "planned": self.planned,
            "seconds": float(seconds[timed].sum()) if timed.any() else None,
            "images_per_second": float((seconds * pace)[known].sum()) / total if total > 0 else None,
            "kept": self.kept,
        }


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Series:
    """What several runs came to together."""

    kind: Literal["folds", "repeats"]
    value: float
    interval: tuple[float, float]
    pooled: Evaluation | None

    def deviation(self, runs: Sequence[Facts]) -> float | None:
        """Standard deviation of the runs' accuracies; None of a single run."""
        return statistics.stdev(run.headline.scores.top1 for run in runs) if len(runs) > 1 else None


def each_judged_once(runs: Sequence[Facts]) -> bool:
    """Whether every image of a set is in the test part of exactly one run."""
    if len({len(run.split.parts) for run in runs}) != 1:
        return False
    tested = [
        sum(part == "test" for part in parts) for parts in zip(*(r.split.parts for r in runs), strict=True)
    ]
    return all(times == 1 for times in tested)


def read_facts(run: RunFolder, split: Split, evaluations: Sequence[Evaluation]) -> Facts:
    """What a run's folder says.

    Raises:
        DataError: if `args.yaml` cannot be read.
    """
    args = run.read_args()
    sections = {key: mapping(args.get(key)) for key in SECTIONS}
    try:
        objective = read_header(run.best).objective
    except ModelFileError:  # the weights may have been moved away
        objective = None
    return Facts(
        args=Recorded({**args, **sections}),
        rows=run.read_results(),
        split=split,
        evaluations=evaluations,
        objective=objective,
    )


def mapping(value: Any) -> Recorded:
    """A value as a mapping; an empty one if it is none."""
    return Recorded(value) if isinstance(value, Mapping) else Recorded()


def number(row: Mapping[str, str], column: str) -> float:
    """A cell of `results.csv`; NaN where there is no number."""
    try:
        return float(row.get(column) or "nan")
    except ValueError:
        return math.nan
