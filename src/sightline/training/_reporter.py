"""How a run tells what it does."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Protocol, TextIO

from sightline.base import duration


class Reporter(Protocol):
    """Is told what a run does. Nothing it does changes the run."""

    def note(self, text: str) -> None:
        """A line to read and to keep in the log."""
        ...

    def progress(self, what: str, done: int, total: int) -> None:
        """How far some work is."""
        ...

    def epoch(self, row: Mapping[str, Any], total: int, seconds_left: float) -> None:
        """An epoch has ended.

        Args:
            row: Its row of `results.csv`.
            total: Epochs in all.
            seconds_left: What the rest will take, at the pace so far.
        """
        ...


class PlainReporter:
    """Plain lines on a stream, standard error by default; says nothing of unfinished work."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream if stream is not None else sys.stderr

    def note(self, text: str) -> None:
        """Print it."""
        print(text, file=self._stream, flush=True)

    def progress(self, what: str, done: int, total: int) -> None:
        """Print nothing: off a terminal only whole results are worth a line."""

    def epoch(self, row: Mapping[str, Any], total: int, seconds_left: float) -> None:
        """Print the epoch's line."""
        self.note(epoch_line(row, total, seconds_left))


class SilentReporter:
    """Says nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def progress(self, what: str, done: int, total: int) -> None:
        """Nothing."""

    def epoch(self, row: Mapping[str, Any], total: int, seconds_left: float) -> None:
        """Nothing."""


def epoch_line(row: Mapping[str, Any], total: int, seconds_left: float) -> str:
    """An epoch's row as one line for people."""
    width = len(str(total))
    shown = [f"epoch {row['epoch']:>{width}}/{total}", f"loss {row['train_loss']:.4f}"]
    if "val_loss" in row:
        shown.append(f"val {row['val_loss']:.4f}")
    if "val_accuracy" in row:
        shown.append(f"accuracy {100 * row['val_accuracy']:.2f} %{' *' if row['best'] else ''}")
    shown += [f"{row['images_per_second']:.0f} images/s", f"{duration(seconds_left)} left"]
    return "  ".join(shown)
