"""What a task and an objective are, for every task there will be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray
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

    def decode(self, outputs: Any, batch: Batch) -> Any:
        """Raw outputs of a batch to what its predictions say.

        Args:
            outputs: What the network returned, on the CPU.
            batch: The images; `sizes` and `transforms` lead back to them as they were.
        """
        ...

    def settings(self) -> dict[str, Any]:
        """Its arguments, as JSON."""
        ...


class Metric(Protocol):
    """Scores of raw outputs against targets, gathered batch by batch."""

    def update(self, outputs: Any, batch: Batch) -> None:
        """Add a batch of raw outputs, on the CPU."""
        ...

    def compute(self) -> Mapping[str, float]:
        """The scores by name."""
        ...

    def merge(self, parts: Sequence[Self]) -> None:
        """Become what gathered all that these did, one after the other."""
        ...

    def reset(self) -> None:
        """Forget everything."""
        ...


class Task(Protocol):
    """What is asked of a network."""

    @property
    def name(self) -> str:
        """Its name in a model file and in the path of a run."""
        ...

    @property
    def selectors(self) -> Mapping[str, Literal["max", "min"]]:
        """Metrics a run can be selected by, and which way is better."""
        ...

    def make_metric(self) -> Metric:
        """What is measured between epochs."""
        ...

    def check_selector(self, metric: str, targets: NDArray[np.int64]) -> None:
        """Whether a run can be selected by a metric.

        Args:
            metric: Its name.
            targets: Of the validation images.

        Raises:
            ArgumentError: if there is no such metric, or it cannot be measured on these images.
        """
        ...

    def better(self, metric: str, scores: Mapping[str, float], than: Mapping[str, float] | None) -> bool:
        """Whether some scores beat others by a metric; anything beats None."""
        ...

    def check_output(self, output: Any, num_classes: int, what: str) -> None:
        """Whether a network's raw output can answer the task.

        Args:
            output: For one image.
            num_classes: Of the images.
            what: The network as the user calls it.

        Raises:
            ArgumentError: if it cannot.
        """
        ...
