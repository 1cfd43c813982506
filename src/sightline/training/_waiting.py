"""How much of training is waiting for data, and what to do about it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np

from sightline.data import BatchSource

SHARE_OF_STEP = 0.05
"""A step waited if its batch took longer to come than this share of the step's whole time."""

_WORTH_A_LINE = 0.05
"""Share of an epoch's steps from which its log says so."""
_TOO_MANY, _TOO_LONG = 1 / 3, 1 / 10
"""Shares of all steps and of all time above which a line says what to do."""

T = TypeVar("T")


def timed(items: Iterable[T], clock: Callable[[], float]) -> Iterator[tuple[T, float]]:
    """Each item, and the seconds it took to come."""
    iterator = iter(items)
    while True:
        asked = clock()
        try:
            item = next(iterator)
        except StopIteration:
            return
        yield item, clock() - asked


def waited(seconds: float, step_seconds: float) -> bool:
    """Whether a step waited for its batch.

    Args:
        seconds: From asking for the batch until it came.
        step_seconds: Of the whole step, with that.

    Example:
        >>> waited(0.006, 0.1), waited(0.005, 0.1)
        (True, False)
    """
    return seconds > SHARE_OF_STEP * step_seconds


@dataclasses.dataclass(frozen=True, kw_only=True)
class Waits:
    """How much of some steps was waiting for data."""

    waits: int
    """Steps that waited."""
    steps: int
    """All of them."""
    waiting: float
    """Seconds until batches came."""
    seconds: float
    """Of all the steps."""

    @property
    def of_time(self) -> float:
        """Share of the time."""
        return self.waiting / self.seconds if self.seconds else 0.0

    @property
    def many(self) -> bool:
        """Whether so many steps of an epoch waited that its log should say so."""
        return self.waits >= _WORTH_A_LINE * self.steps

    def describe(self, what: str) -> str:
        """One line for people."""
        return (
            f"{what} waited for data (over {100 * SHARE_OF_STEP:.0f} % of a step) in "
            f"{100 * self.waits / self.steps:.0f} % of its steps, {100 * self.of_time:.0f} % of the time"
        )

    def advice(self, source: BatchSource, num_images: int) -> str:
        """What to do, if more than a third of the steps and a tenth of the time waited; else nothing.

        Args:
            source: Where the batches came from.
            num_images: Images to train on and to select by.
        """
        if self.waits <= _TOO_MANY * self.steps or self.of_time <= _TOO_LONG:
            return ""
        what = "more than a third of the steps waited for data"
        if source.path != "workers":
            return (
                f"{what}: reading decoded images is slow; is memory short, or SIGHTLINE_CACHE on a slow disk?"
            )
        c = source.canvas
        megabytes = math.ceil(num_images * c.channels * c.height * c.width * np.dtype(c.depth).itemsize / 1e6)
        return (
            f"{what}, for decoding takes longer than training: keep images decoded with --cache-mb above "
            f"{megabytes} (so many MB on disk), or give smaller files, a smaller --img-size, or more cores"
        )
