"""Cross-entropy: how a network of one logit a class answers classification."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from sightline.base import ArgumentError, Draws
from sightline.data import Batch


class CrossEntropy:
    """Softmax cross-entropy on logits.

    Args:
        label_smoothing: Share of a target that is spread evenly over all classes, in [0, 1).
            Source: Szegedy et al. 2016, section 7.

    Raises:
        ArgumentError: if `label_smoothing` is out of range.
    """

    name = "cross_entropy"

    def __init__(self, *, label_smoothing: float = 0.0) -> None:
        if not 0.0 <= label_smoothing < 1.0:
            raise ArgumentError(f"label_smoothing must be in [0, 1); it is {label_smoothing}")
        self.label_smoothing = label_smoothing

    def losses(
        self, network: nn.Module, batch: Batch, draws: Draws
    ) -> Iterator[tuple[str, Tensor, dict[str, Tensor]]]:
        """One loss, for the optimizer `main`; logs the share of right answers."""
        logits = network(batch.images).float()  # (N, classes)
        loss = F.cross_entropy(logits, batch.targets, label_smoothing=self.label_smoothing)
        right = (logits.detach().argmax(dim=1) == batch.targets).float().mean()
        yield "main", loss, {"loss": loss.detach(), "accuracy": right}

    def decode(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Logits to probabilities. (N, classes) -> the same."""
        return outputs.float().softmax(dim=1)

    def settings(self) -> dict[str, Any]:
        """Its arguments, as JSON."""
        return {"label_smoothing": self.label_smoothing}
