"""A reporter that keeps the run's log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sightline.base import write_text
from sightline.records import RunFolder
from sightline.training._reporter import Detail, Reporter, epoch_line


class LoggedReporter:
    """Passes everything on, and keeps what is worth keeping in the run's `log.txt`.

    Args:
        inner: Is told everything.
        run: Whose log is kept.
        fresh: Begin an empty log; otherwise lines that are there already stay.
        writes: Whether this process is the one that keeps the log.
    """

    def __init__(self, inner: Reporter, run: RunFolder, *, fresh: bool = False, writes: bool = True) -> None:
        self._inner = inner
        self._writes = writes
        self._path = run.log
        self._text = run.log.read_text() if run.log.exists() and not fresh else ""

    def note(self, text: str) -> None:
        """As `Reporter.note`."""
        self._inner.note(text)
        self.keep(text)

    def progress(self, what: str, done: int, total: int, detail: Detail | None = None) -> None:
        """As `Reporter.progress`."""
        self._inner.progress(what, done, total, detail)

    def epoch(
        self, rows: Sequence[Mapping[str, Any]], total: int, seconds_left: float, select: str | None
    ) -> None:
        """As `Reporter.epoch`."""
        self._inner.epoch(rows, total, seconds_left, select)
        self.keep(epoch_line(rows, total, seconds_left, select))

    def keep(self, text: str) -> None:
        """As `Reporter.keep`."""
        if not self._writes:
            return
        self._text += f"{text}\n"
        write_text(self._path, self._text)
