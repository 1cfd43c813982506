"""Scores of a classifier, with what their number of images allows to be said."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.tasks.classification import Answers

ECE_BINS = 15


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassScore:
    """What a classifier scored on one class. Fractions; None where there is nothing to divide by."""

    n: int
    """Images of the class."""
    right: int
    recall: float | None
    """Share of its images that are right; None where it has none."""
    precision: float | None
    """Share of the images said to be of the class that are; None where none was."""
    f1: float | None
    """Harmonic mean of both, 0 with no right answer; None where the class has no image."""
    interval: tuple[float, float] | None
    """95 % Wilson interval of `recall`."""
    auroc: float | None
    """Of the class's probability, against all other classes; None where all images are of it, or none."""

    def to_dict(self) -> dict[str, Any]:
        """The JSON fields of a class."""
        interval = list(self.interval) if self.interval is not None else None
        return dataclasses.asdict(self) | {"interval": interval}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ClassificationScores:
    """What a classifier scored on some images. Fractions, not percent.

    Probabilities are those that `predict` gives: of the logits divided by the temperature of the model.
    """

    n: int
    """Images."""
    top1: float
    top5: float
    """Share of images whose class is among the five most probable; 1 where there are five or fewer."""
    interval: tuple[float, float]
    """95 % Wilson interval of `top1`."""
    balanced_accuracy: float
    """Mean, over the classes that occur, of the share that is right."""
    macro_f1: float
    """Mean of F1 over the classes that occur."""
    auroc: float | None
    """Mean of the classes' one-vs-rest areas under the ROC curve; None where all images are of one class."""
    ece: float
    """Expected calibration error over 15 equal bins."""
    loss: float
    """Mean cross-entropy, nats."""
    temperature: float
    """What the logits were divided by."""
    ece_uncalibrated: float
    """As `ece`, at temperature 1."""
    loss_uncalibrated: float
    """As `loss`, at temperature 1."""
    classes: tuple[ClassScore, ...]
    """In the order of the network's outputs."""
    confusion: NDArray[np.int64]
    """(classes, classes): rows true, columns predicted."""
    reliability: tuple[tuple[int, float, float], ...]
    """For each bin of confidence: images, mean confidence, accuracy."""

    def to_dict(self) -> dict[str, Any]:
        """The JSON fields of `evaluate`."""
        return {
            "n": self.n,
            "metric": "accuracy",
            "value": self.top1,
            "interval": list(self.interval),
            "top1": self.top1,
            "top5": self.top5,
            "balanced_accuracy": self.balanced_accuracy,
            "macro_f1": self.macro_f1,
            "auroc": self.auroc,
            "ece": self.ece,
            "loss": self.loss,
            "temperature": self.temperature,
            "ece_uncalibrated": self.ece_uncalibrated,
        }


def score(answers: Answers, uncalibrated: Answers | None = None) -> ClassificationScores:
    """Score a classifier's answers.

    Args:
        answers: At least one.
        uncalibrated: The same at temperature 1; by default, `answers` with that temperature.
    """
    n = len(answers.targets)
    right = answers.predicted == answers.targets
    bins = reliability(answers.probabilities.max(axis=1), right)
    ece, loss = _ece(bins), answers.loss()
    ece_before, loss_before = ece, loss
    if uncalibrated is None and answers.temperature != 1.0:
        uncalibrated = dataclasses.replace(answers, temperature=1.0)
    if uncalibrated is not None:
        ece_before = _ece(reliability(uncalibrated.probabilities.max(axis=1), right))
        loss_before = uncalibrated.loss()
    return ClassificationScores(
        n=n,
        top1=float(right.mean()),
        top5=float(answers.top(5).mean()),
        interval=wilson_interval(int(right.sum()), n),
        balanced_accuracy=answers.balanced_accuracy(),
        macro_f1=answers.macro_f1(),
        auroc=answers.auroc(),
        ece=ece,
        loss=loss,
        temperature=answers.temperature,
        ece_uncalibrated=ece_before,
        loss_uncalibrated=loss_before,
        classes=_class_scores(answers),
        confusion=answers.confusion(),
        reliability=bins,
    )


def _class_scores(answers: Answers) -> tuple[ClassScore, ...]:
    confusion = answers.confusion()
    rows = zip(
        confusion.sum(axis=1).tolist(),
        confusion.sum(axis=0).tolist(),
        confusion.diagonal().tolist(),
        answers.f1_by_class().tolist(),
        answers.auroc_by_class.tolist(),
        strict=True,
    )
    return tuple(
        ClassScore(
            n=n,
            right=right,
            recall=right / n if n else None,
            precision=right / said if said else None,
            f1=f1 if n else None,
            interval=wilson_interval(right, n) if n else None,
            auroc=None if math.isnan(auroc) else auroc,
        )
        for n, said, right, f1, auroc in rows
    )


def mean_interval(values: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """The mean of repeated runs, and its 95 % interval by Student's t.

    Args:
        values: What each run came to: two or more, taken as independent.

    Raises:
        ValueError: if there are fewer than two.

    Example:
        >>> mean, (low, high) = mean_interval([0.91, 0.93, 0.95])
        >>> round(mean, 4), round(low, 4), round(high, 4)
        (0.93, 0.8803, 0.9797)

    Source: Student 1908, "The probable error of a mean".
    """
    from scipy.special import stdtrit

    n = len(values)
    if n < 2:
        raise ValueError(f"values must be two or more; there are {n}")
    mean = float(np.mean(values))
    half = float(stdtrit(n - 1, 0.975) * np.std(values, ddof=1) / math.sqrt(n))
    return mean, (mean - half, mean + half)


def wilson_interval(successes: int, trials: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """The Wilson score interval of a share; 95 % by default.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".

    Raises:
        ValueError: if there are no trials.

    Example:
        >>> tuple(round(x, 4) for x in wilson_interval(8, 10))
        (0.4902, 0.9433)
    """
    if trials <= 0:
        raise ValueError(f"trials must be positive; it is {trials}")
    share = successes / trials
    centre = share + z * z / (2 * trials)
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def reliability(
    confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = ECE_BINS
) -> tuple[tuple[int, float, float], ...]:
    """Confidence against accuracy, in equal bins of confidence; an empty bin is (0, 0, 0).

    Args:
        confidence: (N,) probability of the predicted class, in [0, 1].
        right: (N,) whether it was right.
        bins: How many; a bin holds its upper edge.

    Source: Guo, Pleiss, Sun, Weinberger 2017, "On calibration of modern neural networks".
    """
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    table = []
    for b in range(bins):
        inside = place == b
        count = int(inside.sum())
        means = (float(confidence[inside].mean()), float(right[inside].mean())) if count else (0.0, 0.0)
        table.append((count, *means))
    return tuple(table)


def _ece(bins: Sequence[tuple[int, float, float]]) -> float:
    """The mean gap between accuracy and confidence, each bin counted by its images."""
    gaps = sum(count * abs(accuracy - confidence) for count, confidence, accuracy in bins)
    return gaps / sum(count for count, _, _ in bins)
