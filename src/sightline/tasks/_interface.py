"""What a task and an objective are, for every task there will be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from torch import Tensor, nn

from sightline.base import Draws
from sightline.data import Batch


class Objective(Protocol):
    """How a kind of network answers a task."""

    name: str
    """Its name in a model file."""

    def losses(
        self, network: nn.Module, batch: Batch, draws: Draws
    ) -> Iterator[tuple[str, Tensor, dict[str, Tensor]]]:
        """The losses of one step, one optimizer after the other.

        The loop takes a gradient step with the named optimizer before it resumes the generator, so that
        code after a `yield` sees the new weights: one `yield` for a classifier, two for a GAN.

        Args:
            network: Returns raw outputs.
            batch: Preprocessed: `images` is what the network is given.
            draws: Random numbers of the epoch, by `batch.ids`.

        Yields:
            The optimizer's name, a scalar loss that is a mean over the batch, and what to log.
        """
        ...

    def decode(self, outputs: Tensor) -> Tensor:
        """Raw outputs of a batch to what a prediction says."""
        ...

    def settings(self) -> dict[str, Any]:
        """Its arguments, as JSON."""
        ...


class Metric(Protocol):
    """Scores of raw outputs against targets, gathered batch by batch."""

    def update(self, outputs: Tensor, batch: Batch) -> None:
        """Add a batch."""
        ...

    def compute(self) -> Mapping[str, float]:
        """The scores by name."""
        ...

    def reset(self) -> None:
        """Forget everything."""
        ...
