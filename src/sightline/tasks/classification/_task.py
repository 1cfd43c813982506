"""The task of classification."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sightline.base import ArgumentError
from sightline.tasks.classification._metric import (
    SELECTORS,
    ClassificationMetric,
    better,
    check_selector,
)


@dataclasses.dataclass(frozen=True)
class ClassificationTask:
    """One of some named classes for each image; see `tasks.Task`."""

    name: str = "classification"
    selectors: Mapping[str, Literal["max", "min"]] = dataclasses.field(default_factory=lambda: SELECTORS)

    def make_metric(self) -> ClassificationMetric:
        """Accuracy, balanced accuracy, macro F1, AUROC and loss."""
        return ClassificationMetric()

    def check_selector(self, metric: str, targets: NDArray[np.int64]) -> None:
        """As `check_selector`: AUROC needs two classes."""
        check_selector(metric, targets)

    def better(self, metric: str, scores: Mapping[str, float], than: Mapping[str, float] | None) -> bool:
        """As `better`: on a tie, the lower loss."""
        return better(metric, scores, than)

    def check_output(self, output: Any, num_classes: int, what: str) -> None:
        """One logit a class."""
        if not isinstance(output, Tensor):
            raise ArgumentError(f"{what} returns {type(output).__name__}, not a tensor of logits")
        shape = tuple(output.shape[1:])
        if shape != (num_classes,):
            raise ArgumentError(
                f"{what} returns {'x'.join(map(str, shape)) or 'one number'} for an image; there are "
                f"{num_classes} classes, and a classifier returns one logit for each"
            )
