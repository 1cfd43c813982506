"""Scores of a classifier, from its logits."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sightline.base import ArgumentError, did_you_mean
from sightline.data import Batch

SELECTORS: dict[str, Literal["max", "min"]] = {
    "accuracy": "max",
    "balanced_accuracy": "max",
    "macro_f1": "max",
    "auroc": "max",
    "loss": "min",
}
"""Metrics a run can be selected by, and which way is better."""

_RANKED_AT_ONCE = 4_000_000
"""Probabilities ranked together, so that many images of many classes do not fill the memory."""


def check_selector(metric: str, targets: NDArray[np.int64]) -> None:
    """Whether a run can be selected by a metric.

    Args:
        metric: Its name.
        targets: (N,) the classes of the validation images.

    Raises:
        ArgumentError: if there is no such metric, or it cannot be measured on these images.
    """
    _check_known(metric)
    if metric == "auroc" and len(np.unique(targets)) < 2:
        raise ArgumentError(
            "--select auroc needs validation images of two classes or more; "
            f"the {len(targets)} there are have one"
        )


def better(metric: str, scores: Mapping[str, float], than: Mapping[str, float] | None) -> bool:
    """Whether some scores beat others by a metric; on a tie, by the loss.

    Args:
        metric: A key of `SELECTORS`.
        scores: With that key, and `loss`.
        than: Likewise; None is beaten by anything. What is not a number beats nothing.

    Raises:
        ArgumentError: if runs cannot be selected by this metric.
    """
    _check_known(metric)
    if math.isnan(scores[metric]):
        return False
    if than is None:
        return True
    sign = 1 if SELECTORS[metric] == "max" else -1
    return (sign * scores[metric], -scores["loss"]) > (sign * than[metric], -than["loss"])


def _check_known(metric: str) -> None:
    if metric not in SELECTORS:
        raise ArgumentError(f"--select is {metric!r}; {did_you_mean(metric, SELECTORS)}")


@dataclasses.dataclass(frozen=True, eq=False)
class Answers:
    """What a classifier said of every image, beside what is true.

    Raises:
        ValueError: if the temperature is not positive.
    """

    logits: NDArray[np.floating[Any]]
    """(N, classes)."""
    targets: NDArray[np.int64]
    """(N,)."""
    ids: NDArray[np.int64]
    """(N,) places in the image set."""
    temperature: float = 1.0
    """What logits are divided by before they become probabilities; which of them is largest stays."""

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature must be positive; it is {self.temperature}")

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """(N, classes), computed in double precision."""
        z = self.logits.astype(np.float64) / self.temperature
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

    def counts(self) -> NDArray[np.int64]:
        """(classes,) images of each class."""
        return np.bincount(self.targets, minlength=self.logits.shape[1])

    def confusion(self) -> NDArray[np.int64]:
        """(classes, classes): rows are true classes, columns predicted ones."""
        classes = self.logits.shape[1]
        return np.bincount(self.targets * classes + self.predicted, minlength=classes**2).reshape(
            classes, classes
        )

    def loss(self) -> float:
        """Mean cross-entropy of the probabilities, nats, without label smoothing."""
        own = np.take_along_axis(self.probabilities, self.targets[:, None], axis=1)
        return float(-np.log(np.maximum(own, np.finfo(np.float64).tiny)).mean())

    def balanced_accuracy(self) -> float:
        """Mean over the classes that occur of the share of their images that is right."""
        confusion = self.confusion()
        totals = confusion.sum(axis=1)
        present = totals > 0
        return float((confusion.diagonal()[present] / totals[present]).mean())

    def f1_by_class(self) -> NDArray[np.float64]:
        """(classes,) harmonic mean of precision and recall; 0 with no right answer.

        NaN of a class that does not occur as truth.
        """
        confusion = self.confusion()
        totals = confusion.sum(axis=1)
        said_or_true = confusion.sum(axis=0) + totals
        return np.where(totals > 0, 2 * confusion.diagonal() / np.maximum(1, said_or_true), np.nan)

    def macro_f1(self) -> float:
        """Mean over the classes that occur of their F1."""
        return float(self.f1_by_class()[self.counts() > 0].mean())

    @functools.cached_property
    def auroc_by_class(self) -> NDArray[np.float64]:
        """(classes,) area under the ROC curve of a class's probability, against all other classes.

        It is the share of the pairs of an image of the class and one of another that the probability puts in
        the right order; a tie is half a pair. NaN of a class that is every image's, or none's.

        Source: Hanley, McNeil 1982, "The meaning and use of the area under a ROC curve".
        """
        from scipy.stats import rankdata  # 0.7 s to import, which `predict` need not wait for

        probabilities = self.probabilities
        n, classes = probabilities.shape
        positives = self.counts()
        own = np.empty(n)  # among all images, the rank of each by the probability of its own class
        width = max(1, _RANKED_AT_ONCE // n)
        for start in range(0, classes, width):
            mine = np.flatnonzero((self.targets >= start) & (self.targets < start + width))
            ranks = rankdata(probabilities[:, start : start + width], axis=0)  # n width
            own[mine] = ranks[mine, self.targets[mine] - start]
        sums = np.bincount(self.targets, weights=own, minlength=classes)
        pairs = positives * (n - positives)
        defined = pairs > 0
        areas = (sums - positives * (positives + 1) / 2) / np.where(defined, pairs, 1)
        return np.where(defined, areas, np.nan)

    def auroc(self) -> float | None:
        """Mean of `auroc_by_class` where it is defined; None where all images are of one class."""
        counts = self.counts()
        defined = (counts > 0) & (counts < len(self.targets))
        return float(self.auroc_by_class[defined].mean()) if defined.any() else None


class ClassificationMetric:
    """Gathers logits; computes accuracy, balanced accuracy, macro F1, AUROC and loss."""

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
        """The scores a run can be selected by; without `auroc` where all images are of one class."""
        answers = self.answers()
        auroc = answers.auroc()
        return {
            "accuracy": float((answers.predicted == answers.targets).mean()),
            "balanced_accuracy": answers.balanced_accuracy(),
            "macro_f1": answers.macro_f1(),
            **({} if auroc is None else {"auroc": auroc}),
            "loss": answers.loss(),
        }

    def reset(self) -> None:
        """Forget everything."""
        self._logits: list[Tensor] = []
        self._targets: list[Tensor] = []
        self._ids: list[NDArray[np.int64]] = []

    def merge(self, parts: Sequence[Self]) -> None:
        """Become what gathered all that these did, one after the other."""
        self._logits = [tensor for part in parts for tensor in part._logits]
        self._targets = [tensor for part in parts for tensor in part._targets]
        self._ids = [ids for part in parts for ids in part._ids]
