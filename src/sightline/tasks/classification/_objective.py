"""Cross-entropy: how a network of one logit a class answers classification."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sightline.base import ArgumentError, Draws
from sightline.data import Batch


class CrossEntropy:
    """Softmax cross-entropy on logits.

    Args:
        label_smoothing: Share of a target that is spread evenly over all classes, in [0, 1).
            Source: Szegedy et al. 2016, section 7.
        class_weights: What the loss of an image counts, by its class; None for 1 each.

    Raises:
        ArgumentError: if `label_smoothing` is out of range, or a weight is not a number above 0.
    """

    name = "cross_entropy"

    def __init__(self, *, label_smoothing: float = 0.0, class_weights: Sequence[float] | None = None) -> None:
        if not 0.0 <= label_smoothing < 1.0:
            raise ArgumentError(f"label_smoothing must be in [0, 1); it is {label_smoothing}")
        if class_weights is not None and not all(0 < weight < math.inf for weight in class_weights):
            raise ArgumentError(f"class_weights must be above 0; they are {list(class_weights)}")
        self.label_smoothing = label_smoothing
        self.class_weights = None if class_weights is None else torch.tensor(class_weights)

    def losses(
        self, network: nn.Module, batch: Batch, draws: Draws
    ) -> Iterator[tuple[str, Tensor, dict[str, Tensor]]]:
        """One loss, for the optimizer `main`; logs the share of right answers."""
        logits = network(batch.images)  # (N, classes)
        loss = self.loss(logits, batch)
        yield "main", loss, {"loss": loss.detach(), "accuracy": share_right(logits, batch)}

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """The mean over a batch; of mixed images, the losses of both classes count by their shares.

        Args:
            logits: (N, classes).
            batch: The images they answer.
        """
        logits = logits.float()
        loss = self._of_each(logits, batch.targets)
        if batch.mixed is not None:
            own, others = batch.mixed.own, batch.targets[batch.mixed.partners]
            loss = own * loss + (1 - own) * self._of_each(logits, others)
        return loss.mean()

    def _of_each(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Of each image. (N, classes), (N,) -> (N,)."""
        loss = F.cross_entropy(logits, targets, label_smoothing=self.label_smoothing, reduction="none")
        return loss if self.class_weights is None else loss * self.class_weights.to(loss.device)[targets]

    def decode(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Logits to probabilities. (N, classes) -> the same."""
        return outputs.float().softmax(dim=1)

    def settings(self) -> dict[str, Any]:
        """Its arguments, as JSON."""
        weights = None if self.class_weights is None else self.class_weights.tolist()
        return {"label_smoothing": self.label_smoothing, "class_weights": weights}


def share_right(logits: Tensor, batch: Batch) -> Tensor:
    """Share of the images whose largest logit is that of their class; of mixed ones, of the larger share.

    Args:
        logits: (N, classes).
        batch: The images they answer.
    """
    targets = batch.targets
    if batch.mixed is not None:
        targets = torch.where(batch.mixed.own >= 0.5, targets, targets[batch.mixed.partners])
    return (logits.detach().argmax(dim=1) == targets).float().mean()
