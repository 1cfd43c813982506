"""Work that takes a while: one at a time, watched, stopped if it is no longer wanted."""

from __future__ import annotations

import copy
import dataclasses
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sightline.base import ArgumentError, SightlineError
from sightline.studio._models import Kept
from sightline.studio._settings import WORK

if TYPE_CHECKING:
    from sightline.views import Subject

_KEPT = 24
_YIELD = 0.002
"""Seconds in which others may take the lock, between two passes."""


class _StoppedError(SightlineError):
    """Nobody wants the result any more."""


@dataclasses.dataclass
class Job:
    """One piece of work."""

    number: int
    what: str
    expected: float
    """Seconds, about."""
    began: float
    ended: float | None = None
    images: int = 0
    """That went through the network so far."""
    state: str = "running"
    """Or `done`, `failed`, `stopped`."""
    error: str = ""
    result: Any = None
    unwanted: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As the page is told it."""
        return {
            "number": self.number,
            "what": self.what,
            "state": self.state,
            "seconds": (time.monotonic() if self.ended is None else self.ended) - self.began,
            "expected": self.expected,
            "images": self.images,
            "error": self.error,
            "result": self.result,
        }


class Jobs:
    """Runs one at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: Job | None = None
        self._kept: Kept[Job] = Kept(_KEPT)
        self._number = 0

    def start(self, what: str, expected: float, subject: Subject, make: Callable[[Subject], Any]) -> Job:
        """Begin.

        Args:
            what: In a few words.
            expected: Seconds it will take, about.
            subject: The network; the work is done with a copy, so that others can use it meanwhile.
            make: The work.

        Raises:
            ArgumentError: if another job is running.
        """
        with self._lock:
            other = self._running
            if other is not None:
                raise ArgumentError(f"one at a time: {other.what} is still at work; wait, or stop it")
            self._number += 1
            job = Job(self._number, what, expected, time.monotonic())
            self._running = job
            self._kept.keep(job.number, job)
        threading.Thread(target=self._run, args=(job, subject, make), daemon=True).start()
        return job

    def find(self, number: int) -> Job | None:
        """A job by its number."""
        return self._kept.find(number)

    def stop(self, number: int) -> None:
        """Stop it at its next pass; nothing of one that has ended."""
        job = self.find(number)
        if job is not None:
            job.unwanted = True

    def _run(self, job: Job, subject: Subject, make: Callable[[Subject], Any]) -> None:
        try:
            with WORK:
                job.result = make(_watched(subject, job))
            job.state = "done"
        except _StoppedError:
            job.state = "stopped"
        except SightlineError as error:
            job.state, job.error = "failed", " ".join(str(error).split())
        except Exception as error:
            job.state, job.error = "failed", f"a fault of the studio ({type(error).__name__}: {error})"
        finally:
            job.ended = time.monotonic()
            with self._lock:
                self._running = None


def _watched(subject: Subject, job: Job) -> Subject:
    """The same with a copy of the network that tells its passes, and lets others at work between them."""
    from torch import nn

    network = copy.deepcopy(subject.network)
    call = nn.Module.__call__

    def before(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if inputs and not inputs[0].is_meta:
            job.images += len(inputs[0])
        if job.unwanted:
            raise _StoppedError("stopped")
        if nn.Module.__call__ is call:  # not while a pass is watched, which is one of the whole process
            WORK.release()
            time.sleep(_YIELD)
            WORK.acquire()

    network.register_forward_pre_hook(before)
    return dataclasses.replace(subject, network=network)
