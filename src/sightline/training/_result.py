"""What training came to: of one run, or of several."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from sightline.data import Split
from sightline.evaluation import Evaluation, LabelReview


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LabelFiles:
    """What the folds of a series say of the set's labels, and where it is written."""

    review: LabelReview
    page: Path
    corrections: Path | None
    """The CSV; None where there is none."""
    note: str
    """Of the corrections, what to know; without them, why there are none. May be empty."""

    def describe(self) -> str:
        """How many are likely mislabelled, and where to look, in a line."""
        line = f"labels: {self.review.describe()}; {self.page}"
        if self.corrections is not None:
            line += f", corrected in {self.corrections}"
        more = "; ".join(text for text in (self.note, self.review.caution) if text)
        return f"{line} ({more})" if more else line

    def to_dict(self) -> dict[str, Any]:
        """The JSON object `label_issues` of `train`."""
        return {
            "count": len(self.review.issues),
            "judged": len(self.review.indices),
            "page": str(self.page),
            "csv": None if self.corrections is None else str(self.corrections),
        }


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class TrainingResult:
    """What a run came to, or a series of runs."""

    run: Path
    """The run folder; of a series, the folder that theirs are in."""
    model: str
    metric: str
    value: float
    """Of `metric`, in fp32: on the test images if there are any, else on the validation images. Of folds, on
    all images, each judged by the run that did not see it; of repeats, the mean of the runs."""
    interval: tuple[float, float]
    """95 %: Wilson's of `value` on so many images; of repeats, Student's t of the mean."""
    part: str
    epochs: int
    """Of a run; of a series, of the longest."""
    seconds: float
    """Of training, without setting up and judging."""
    images_per_second: float
    """Over all epochs, data and augmentation included."""
    evaluations: tuple[Evaluation, ...]
    """The headline first; of repeats, each run's headline."""
    split: Split | None = None
    """What each image was for; None of a series."""
    runs: tuple[TrainingResult, ...] = ()
    """Of a series, in order."""
    labels: LabelFiles | None = None
    """Of folds: likely mislabelled images."""

    def describe(self) -> str:
        """The headline in a line."""
        if not self.runs:
            return self.evaluations[0].describe()
        if len(self.evaluations) == 1:  # pooled
            return f"{self.evaluations[0].describe()}; {self._spread()} in {len(self.runs)} folds"
        low, high = (100 * bound for bound in self.interval)
        first = self.evaluations[0]
        return (
            f"accuracy {100 * self.value:.2f} % (95 % interval of the mean {low:.2f} to {high:.2f}), "
            f"{self._spread()} in {len(self.runs)} runs on the same {first.scores.n} images of "
            f"{first.images.source} ({first.part}{', selected on' if first.selected_on else ''})"
        )

    def _spread(self) -> str:
        values = [100 * run.value for run in self.runs]
        return f"{min(values):.2f} to {max(values):.2f} %"

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of `train`."""
        content: dict[str, Any] = {
            "run": str(self.run),
            "model": self.model,
            "metric": self.metric,
            "value": self.value,
            "epochs": self.epochs,
            "seconds": round(self.seconds, 3),
            "images_per_second": self.images_per_second,
            "interval": list(self.interval),
            "part": self.part,
        }
        if self.labels is not None:
            content["label_issues"] = self.labels.to_dict()
        return content | ({"runs": [run.to_dict() for run in self.runs]} if self.runs else {})
