"""One piece of work at a time, in a thread, whose progress can be asked for."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from sightline.base import ArgumentError, SightlineError
from sightline.studio._settings import WORK

Progress = Callable[[str, int, int], None]

_EVERY, _YIELD = 0.5, 0.02
"""Seconds after which work lets others in, and for which."""


class _StoppedError(Exception):
    """Somebody asked for it."""


class Runner:
    """Runs work, one at a time, and remembers how the last one of each name ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._name = ""
        """Of what runs; nothing does where empty."""
        self._began = 0.0
        self._stopping = False
        self._progress: dict[str, Any] = {}
        self._ended: dict[str, dict[str, Any]] = {}

    def start(self, name: str, work: Callable[[Progress], dict[str, Any]]) -> threading.Thread:
        """Start it.

        Raises:
            ArgumentError: if something runs.
        """
        with self._lock:
            if self._name:
                raise ArgumentError(f"{self._name} is running; wait for it, or stop it")
            self._name, self._began, self._stopping, self._progress = name, time.monotonic(), False, {}
            self._ended.pop(name, None)
        thread = threading.Thread(target=self._run, args=(name, work), daemon=True)
        thread.start()
        return thread

    def finish(self, name: str, work: Callable[[Progress], dict[str, Any]]) -> dict[str, Any]:
        """Start it, and wait for its result.

        Raises:
            ArgumentError: if something runs, or it fails.
        """
        self.start(name, work).join()
        result = self.result(name)
        if result is None:
            state = self.state(name)
            raise ArgumentError(f"{name}: {state.get('error') or state['state']}")
        return result

    def stop(self) -> None:
        """Ask what runs to end; it does so when it next says how far it is."""
        self._stopping = True

    def state(self, name: str) -> dict[str, Any]:
        """`state`: idle, running, done, stopped, failed; with progress, the result, or the error."""
        with self._lock:
            if self._name == name:
                seconds = time.monotonic() - self._began
                return {"state": "running", "seconds": round(seconds, 1), **self._progress}
            return self._ended.get(name, {"state": "idle"})

    def result(self, name: str) -> dict[str, Any] | None:
        """What the last run of that name came to."""
        found: dict[str, Any] | None = self._ended.get(name, {}).get("result")
        return found

    def _run(self, name: str, work: Callable[[Progress], dict[str, Any]]) -> None:
        yielded = time.monotonic()

        def progress(what: str, done: int, total: int, *more: Any) -> None:
            if self._stopping:
                raise _StoppedError
            self._progress = {"what": what, "done": done, "total": total}
            nonlocal yielded
            if time.monotonic() - yielded > _EVERY:  # others may work in between
                WORK.release()
                time.sleep(_YIELD)
                WORK.acquire()
                yielded = time.monotonic()

        ended: dict[str, Any]
        try:
            with WORK:
                ended = {"state": "done", "result": work(progress)}
        except _StoppedError:
            ended = {"state": "stopped"}
        except SightlineError as error:
            ended = {"state": "failed", "error": " ".join(str(error).split())}
        except Exception as error:
            traceback.print_exc()
            ended = {"state": "failed", "error": f"a fault ({type(error).__name__}); the terminal says more"}
        with self._lock:
            ended["seconds"] = round(time.monotonic() - self._began, 1)
            self._ended[name], self._name = ended, ""
