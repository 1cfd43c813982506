"""How a run tells what it does."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TextIO

from sightline.base import duration

Detail = Callable[[], str]
"""A word on unfinished work; is called only when it is shown."""

_EVERY = 60.0
"""Seconds between plain lines on unfinished work."""


class Reporter(Protocol):
    """Is told what a run does. Nothing it does changes the run."""

    def note(self, text: str) -> None:
        """A line to read and to keep in the log."""
        ...

    def keep(self, text: str) -> None:
        """A line for the log alone."""
        ...

    def progress(self, what: str, done: int, total: int, detail: Detail | None = None) -> None:
        """How far some work is."""
        ...

    def epoch(
        self, rows: Sequence[Mapping[str, Any]], total: int, seconds_left: float, select: str | None
    ) -> None:
        """An epoch has ended.

        Args:
            rows: Of `results.csv` so far, its own the last.
            total: Epochs in all.
            seconds_left: What the rest will take, at the pace so far.
            select: The metric that chooses the best epoch, if any does.
        """
        ...


class PlainReporter:
    """Plain lines on a stream, standard error by default; of unfinished work one a minute."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._what, self._spoke_at = "", 0.0

    def note(self, text: str) -> None:
        """Print it."""
        print(text, file=self._stream, flush=True)
        self._spoke_at = time.monotonic()

    def keep(self, text: str) -> None:
        """Nothing: there is no log."""

    def progress(self, what: str, done: int, total: int, detail: Detail | None = None) -> None:
        """Print a line if the last one was a minute ago."""
        now = time.monotonic()
        if what != self._what:
            self._what, self._spoke_at = what, now
        elif now - self._spoke_at > _EVERY and done < total:
            self.note("  ".join([f"{what}: {done} of {total}", *([detail()] if detail else [])]))

    def epoch(
        self, rows: Sequence[Mapping[str, Any]], total: int, seconds_left: float, select: str | None
    ) -> None:
        """Print the epoch's line."""
        self.note(epoch_line(rows, total, seconds_left, select))


class SilentReporter:
    """Says nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def keep(self, text: str) -> None:
        """Nothing."""

    def progress(self, what: str, done: int, total: int, detail: Detail | None = None) -> None:
        """Nothing."""

    def epoch(
        self, rows: Sequence[Mapping[str, Any]], total: int, seconds_left: float, select: str | None
    ) -> None:
        """Nothing."""


def epoch_line(rows: Sequence[Mapping[str, Any]], total: int, seconds_left: float, select: str | None) -> str:
    """The last epoch as one line for people: losses, the metric, the best so far, pace, time left."""
    row, width = rows[-1], len(str(total))
    shown = [f"epoch {row['epoch']:>{width}}/{total}", f"loss {row['train_loss']:.4f}"]
    if "val_loss" in row:
        shown.append(f"val {row['val_loss']:.4f}")
    metric = select or "accuracy"
    if metric != "loss" and f"val_{metric}" in row:
        shown.append(f"{metric.replace('_', ' ')} {_value(metric, row)}")
    if select is not None and f"val_{select}" in row:
        best = next(r for r in reversed(rows) if r["best"])
        shown.append(
            "best so far" if best is row else f"best {_value(select, best)} in epoch {best['epoch']}"
        )
    shown += [f"{row['images_per_second']:.0f} images/s", f"{duration(seconds_left)} left"]
    return "  ".join(shown)


def _value(metric: str, row: Mapping[str, Any]) -> str:
    value = row[f"val_{metric}"]
    return f"{value:.4f}" if metric == "loss" else f"{100 * value:.2f} %"
