"""The losses of LeNet-5: how a network that returns distances answers classification."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sightline.base import ArgumentError, Draws
from sightline.data import Batch
from sightline.tasks.classification._objective import share_right


class RBF:
    """Losses of penalties y, where a network returns -y: the squared distances to a code of each class.

    `mle`, equation 8: the mean over images of y_D, the penalty of the right class D.
    `map`, equation 9: the mean of y_D + log(exp(-j) + sum_i exp(-y_i)), which also pushes the penalties of
    the wrong classes up. It is the cross-entropy of -y and one class more, `rubbish`, whose penalty is always
    j: a class whose penalty is much larger is left where it is.

    Args:
        criterion: Which one.
        rubbish: j, above 0. The paper does not print its own; 42 is the squared distance from a code of
            `lenet5_1998` to half-way between it and any other, so that what is nearer to no code is rubbish.
        label_smoothing: Share of y_D that is replaced by the mean penalty of all classes, in [0, 1). The
            paper has none.
        class_weights: What the loss of an image counts, by its class; None for 1 each.

    Raises:
        ArgumentError: if an argument is out of range, or a weight is not a number above 0.

    Source: LeCun, Bottou, Bengio, Haffner 1998, "Gradient-based learning applied to document recognition",
    section II.C.
    """

    name = "rbf"

    def __init__(
        self,
        *,
        criterion: Literal["mle", "map"] = "map",
        rubbish: float = 42.0,
        label_smoothing: float = 0.0,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        if criterion not in ("mle", "map"):
            raise ArgumentError(f"criterion must be 'mle' or 'map'; it is {criterion!r}")
        if not 0.0 < rubbish < math.inf:
            raise ArgumentError(f"rubbish must be above 0; it is {rubbish}")
        if not 0.0 <= label_smoothing < 1.0:
            raise ArgumentError(f"label_smoothing must be in [0, 1); it is {label_smoothing}")
        if class_weights is not None and not all(0 < weight < math.inf for weight in class_weights):
            raise ArgumentError(f"class_weights must be above 0; they are {list(class_weights)}")
        self.criterion = criterion
        self.rubbish = rubbish
        self.label_smoothing = label_smoothing
        self.class_weights = None if class_weights is None else torch.tensor(class_weights)

    def losses(
        self, network: nn.Module, batch: Batch, draws: Draws
    ) -> Iterator[tuple[str, Tensor, dict[str, Tensor]]]:
        """One loss, for the optimizer `main`; logs the share of right answers.

        Of mixed images, the losses of both classes count by their shares.
        """
        outputs = network(batch.images).float()  # (N, classes), minus the penalties
        loss = self._loss(outputs, batch.targets)
        if batch.mixed is not None:
            own, others = batch.mixed.own, batch.targets[batch.mixed.partners]
            loss = own * loss + (1 - own) * self._loss(outputs, others)
        loss = loss.mean()
        yield "main", loss, {"loss": loss.detach(), "accuracy": share_right(outputs, batch)}

    def _loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Of each image. (N, classes), (N,) -> (N,)."""
        right = -outputs.gather(1, targets[:, None])[:, 0]
        loss = torch.lerp(right, -outputs.mean(dim=1), self.label_smoothing)
        if self.criterion == "map":
            rubbish = outputs.new_full((len(outputs), 1), -self.rubbish)
            loss = loss + torch.cat([outputs, rubbish], dim=1).logsumexp(dim=1)
        return loss if self.class_weights is None else loss * self.class_weights.to(loss.device)[targets]

    def decode(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Minus penalties to the probabilities of the classes, rubbish left out. (N, classes) -> the same."""
        return outputs.float().softmax(dim=1)

    def settings(self) -> dict[str, Any]:
        """Its arguments, as JSON."""
        weights = None if self.class_weights is None else self.class_weights.tolist()
        return {
            "criterion": self.criterion,
            "rubbish": self.rubbish,
            "label_smoothing": self.label_smoothing,
            "class_weights": weights,
        }
