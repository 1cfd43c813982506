"""Scores of a classifier, with what their number of images allows to be said."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.tasks.classification import Answers

ECE_BINS = 15


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ClassificationScores:
    """What a classifier scored on some images. Fractions, not percent."""

    n: int
    """Images."""
    top1: float
    top5: float
    """Share of images whose class is among the five most probable; 1 where there are five or fewer."""
    interval: tuple[float, float]
    """95 % Wilson interval of `top1`."""
    balanced_accuracy: float
    """Mean, over the classes that occur, of the share that is right."""
    ece: float
    """Expected calibration error over 15 equal bins."""
    loss: float
    """Mean cross-entropy, nats."""
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
            "ece": self.ece,
            "loss": self.loss,
        }


def score(answers: Answers) -> ClassificationScores:
    """Score a classifier's answers.

    Args:
        answers: At least one.
    """
    n = len(answers.targets)
    right = answers.predicted == answers.targets
    bins = reliability(answers.probabilities.max(axis=1), right)
    return ClassificationScores(
        n=n,
        top1=float(right.mean()),
        top5=float(answers.top(5).mean()),
        interval=wilson_interval(int(right.sum()), n),
        balanced_accuracy=answers.balanced_accuracy(),
        ece=sum(count * abs(accuracy - confidence) for count, confidence, accuracy in bins) / n,
        loss=answers.loss(),
        confusion=answers.confusion(),
        reliability=bins,
    )


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
