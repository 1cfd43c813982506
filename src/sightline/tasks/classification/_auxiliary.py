"""Cross-entropy of a network that has auxiliary heads while it trains."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from sightline.base import ArgumentError, Draws
from sightline.data import Batch
from sightline.tasks.classification._objective import CrossEntropy, share_right


class AuxiliaryCrossEntropy:
    """The loss of the logits, and of those of auxiliary heads a part.

    In training mode the network returns a tuple: its logits first, then those of its auxiliary heads. In
    evaluation mode, or where it was built without auxiliary heads, it returns its logits alone.

    Args:
        auxiliary_weights: What the loss of each auxiliary head counts, in the order the network returns them.
            Source: Szegedy et al. 2014, section 5: 0.3.
        label_smoothing: As of `CrossEntropy`, for every head.
        class_weights: As of `CrossEntropy`, for every head.

    Raises:
        ArgumentError: if an argument is out of range.
    """

    name = "cross_entropy_auxiliary"

    def __init__(
        self,
        *,
        auxiliary_weights: Sequence[float] = (0.3, 0.3),
        label_smoothing: float = 0.0,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        if not all(0 <= weight < math.inf for weight in auxiliary_weights):
            raise ArgumentError(f"auxiliary_weights must be 0 or more; they are {list(auxiliary_weights)}")
        self.auxiliary_weights = tuple(auxiliary_weights)
        self._of_a_head = CrossEntropy(label_smoothing=label_smoothing, class_weights=class_weights)

    def losses(
        self, network: nn.Module, batch: Batch, draws: Draws
    ) -> Iterator[tuple[str, Tensor, dict[str, Tensor]]]:
        """One loss, for the optimizer `main`.

        Logs as `loss` that of the logits, which validation can be compared with, and as `loss_total` what is
        minimised; between them the auxiliary heads' losses, and the share of right answers of the logits.

        Raises:
            ArgumentError: if there are not as many auxiliary heads as weights.
        """
        outputs = network(batch.images)
        logits, *auxiliary = outputs if isinstance(outputs, tuple | list) else (outputs,)
        if auxiliary and len(auxiliary) != len(self.auxiliary_weights):
            raise ArgumentError(
                f"the network has {len(auxiliary)} auxiliary heads, and auxiliary_weights are "
                f"{list(self.auxiliary_weights)}"
            )
        loss = total = self._of_a_head.loss(logits, batch)
        logs = {"loss": loss.detach(), "accuracy": share_right(logits, batch)}
        for number, (head, weight) in enumerate(
            zip(auxiliary, self.auxiliary_weights, strict=False), start=1
        ):
            of_head = self._of_a_head.loss(head, batch)
            total = total + weight * of_head
            logs[f"loss_auxiliary_{number}"] = of_head.detach()
        logs["loss_total"] = total.detach()
        yield "main", total, logs

    def decode(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Logits to probabilities. (N, classes) -> the same."""
        return self._of_a_head.decode(outputs, batch)

    def settings(self) -> dict[str, Any]:
        """Its arguments, as JSON."""
        return {"auxiliary_weights": list(self.auxiliary_weights), **self._of_a_head.settings()}
