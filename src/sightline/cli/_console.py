"""What every verb does alike: errors, progress, JSON."""

from __future__ import annotations

import contextlib
import functools
import gc
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TextIO, TypeVar

import typer

if TYPE_CHECKING:
    from rich.console import Console

_moving: list[TerminalReporter] = []
"""Reporters with a moving line, which must go before the verb ends: the terminal's cursor is hidden by it."""

_json_to: list[TextIO] = []
"""Standard output, while a verb with `--json` runs."""

_DETAIL_EVERY = 0.5
"""Seconds between two looks at how unfinished work goes."""

P = ParamSpec("P")
R = TypeVar("R")


def handled(verb: Callable[P, R]) -> Callable[P, R]:
    """Turn what a user can mend into one line on standard error and the right exit code.

    With `--json`, what code of the user's prints goes to standard error, for standard output is the JSON's.
    """

    @functools.wraps(verb)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        from sightline.base import SightlineError

        try:
            if not kwargs.get("json"):
                return verb(*args, **kwargs)
            _json_to.append(sys.stdout)
            try:
                with contextlib.redirect_stdout(sys.stderr):
                    return verb(*args, **kwargs)
            finally:
                _json_to.pop()
        except SightlineError as error:
            _close_moving()
            text = " ".join(str(error).split())
            print(f"sightline: {text}", file=sys.stderr)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            _close_moving()
            print("sightline: interrupted", file=sys.stderr)
            raise typer.Exit(130) from None
        except BrokenPipeError:  # whoever read our output has read enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        finally:
            _close_moving()

    return wrapper


def uncollected(verb: Callable[P, R]) -> Callable[P, R]:
    """Leave Python's collector of cycles off while a short verb runs.

    Going through all of PyTorch's own objects again and again takes a tenth of two seconds' work.
    """

    @functools.wraps(verb)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        collects = gc.isenabled()
        gc.disable()
        try:
            return verb(*args, **kwargs)
        finally:
            if collects:
                gc.enable()

    return wrapper


def _close_moving() -> None:
    for reporter in _moving:
        reporter.close()
    _moving.clear()


def print_json(content: Mapping[str, Any] | list[Any]) -> None:
    """One JSON object, or a list, on one line of standard output."""
    print(json.dumps(content, ensure_ascii=False), file=_json_to[-1] if _json_to else None, flush=True)


def make_reporter() -> Any:
    """A reporter for standard error: a moving line on a terminal, plain lines elsewhere."""
    from sightline.training import PlainReporter

    if not sys.stderr.isatty():
        return PlainReporter()
    _moving.append(TerminalReporter())
    return _moving[-1]


class TerminalReporter:
    """Lines as they come, and under them one that moves.

    Args:
        console: Where to; the terminal of standard error where None.
    """

    def __init__(self, console: Console | None = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
            TextColumn("{task.fields[detail]}", style="dim"),
            console=console or Console(stderr=True), transient=True,
        )  # fmt: skip
        self._task: Any = None
        self._what, self._detailed_at = "", 0.0

    def note(self, text: str) -> None:
        """Print it above the moving line."""
        self._progress.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def keep(self, text: str) -> None:
        """Nothing: there is no log."""

    def progress(self, what: str, done: int, total: int, detail: Callable[[], str] | None = None) -> None:
        """Move the line; it goes when the work is done."""
        if what != self._what:
            self.close()
            self._what = what
            self._progress.start()
            self._task = self._progress.add_task(what, total=total, detail="")
        self._progress.update(self._task, completed=done, total=total)
        if detail is not None and time.monotonic() - self._detailed_at > _DETAIL_EVERY:
            self._progress.update(self._task, detail=detail())  # may make an accelerator wait
            self._detailed_at = time.monotonic()
        if done >= total:
            self.close()

    def epoch(
        self, rows: Sequence[Mapping[str, Any]], total: int, seconds_left: float, select: str | None
    ) -> None:
        """Print the epoch's line."""
        from sightline.training import epoch_line

        self.note(epoch_line(rows, total, seconds_left, select))

    def close(self) -> None:
        """Take the moving line away and give the cursor back."""
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._progress.stop()
        self._task, self._what = None, ""
