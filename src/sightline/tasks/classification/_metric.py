"""Scores of a classifier, from its logits."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sightline.base import ArgumentError, did_you_mean
from sightline.data import Batch

SELECTORS: dict[str, Literal["max", "min"]] = {
    "accuracy": "max",
    "balanced_accuracy": "max",
    "loss": "min",
}
"""Metrics a run can be selected by, and which way is better."""


def better(metric: str, scores: Mapping[str, float], than: Mapping[str, float] | None) -> bool:
    """Whether some scores beat others by a metric; on a tie, by the loss.

    Args:
        metric: A key of `SELECTORS`.
        scores: With that key, and `loss`.
        than: Likewise; None is beaten by anything. What is not a number beats nothing.

    Raises:
        ArgumentError: if runs cannot be selected by this metric.
    """
    if metric not in SELECTORS:
        raise ArgumentError(f"--select is {metric!r}; {did_you_mean(metric, SELECTORS)}")
    if math.isnan(scores[metric]):
        return False
    if than is None:
        return True
    sign = 1 if SELECTORS[metric] == "max" else -1
    return (sign * scores[metric], -scores["loss"]) > (sign * than[metric], -than["loss"])


@dataclasses.dataclass(frozen=True, eq=False)
class Answers:
    """What a classifier said of every image, beside what is true."""

    logits: NDArray[np.float32]
    """(N, classes)."""
    targets: NDArray[np.int64]
    """(N,)."""
    ids: NDArray[np.int64]
    """(N,) places in the image set."""

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """(N, classes), computed in double precision."""
        z = self.logits.astype(np.float64)
        z = np.exp(z - z.max(axis=1, keepdims=True))
        return np.asarray(z / z.sum(axis=1, keepdims=True))

    @property
    def predicted(self) -> NDArray[np.int64]:
        """(N,) the class of the largest logit; the first one, on a tie."""
        return np.asarray(self.logits.argmax(axis=1), dtype=np.int64)

    def top(self, k: int) -> NDArray[np.bool_]:
        """(N,) whether the target is among the k largest logits; with ties, a target loses.

        Where there are k classes or fewer, every answer is right.
        """
        own = np.take_along_axis(self.logits, self.targets[:, None], axis=1)
        ahead = (self.logits >= own).sum(axis=1) - 1
        return np.asarray(ahead < k)

    def confusion(self) -> NDArray[np.int64]:
        """(classes, classes): rows are true classes, columns predicted ones."""
        classes = self.logits.shape[1]
        return np.bincount(self.targets * classes + self.predicted, minlength=classes**2).reshape(
            classes, classes
        )

    def loss(self) -> float:
        """Mean cross-entropy, nats, without label smoothing."""
        own = np.take_along_axis(self.probabilities, self.targets[:, None], axis=1)
        return float(-np.log(np.maximum(own, np.finfo(np.float64).tiny)).mean())

    def balanced_accuracy(self) -> float:
        """Mean over the classes that occur of the share of their images that is right."""
        confusion = self.confusion()
        totals = confusion.sum(axis=1)
        present = totals > 0
        return float((confusion.diagonal()[present] / totals[present]).mean())


class ClassificationMetric:
    """Gathers logits; computes accuracy, balanced accuracy and loss."""

    def __init__(self) -> None:
        self.reset()

    def update(self, outputs: Tensor, batch: Batch) -> None:
        """Add a batch of logits, (N, classes)."""
        self._logits.append(outputs.detach().float().cpu())
        self._targets.append(batch.targets.cpu())
        self._ids.append(batch.ids)

    def answers(self) -> Answers:
        """Everything gathered so far."""
        return Answers(
            torch.cat(self._logits).numpy(), torch.cat(self._targets).numpy(), np.concatenate(self._ids)
        )

    def compute(self) -> dict[str, float]:
        """The scores a run can be selected by."""
        answers = self.answers()
        return {
            "accuracy": float((answers.predicted == answers.targets).mean()),
            "balanced_accuracy": answers.balanced_accuracy(),
            "loss": answers.loss(),
        }

    def reset(self) -> None:
        """Forget everything."""
        self._logits: list[Tensor] = []
        self._targets: list[Tensor] = []
        self._ids: list[NDArray[np.int64]] = []
