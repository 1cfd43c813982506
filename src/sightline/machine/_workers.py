"""Processes that work for this one, and end with it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import connection, get_context, parent_process, set_forkserver_preload

from sightline.machine._memory import return_large_blocks
from sightline.machine._threads import usable_cores

START_METHOD = "forkserver" if sys.platform != "win32" else "spawn"
"""How workers begin. Not by fork: torch's threads are running in this process."""


_GRACE_SECONDS = 10.0


@contextlib.contextmanager
def worker_pool() -> Iterator[ProcessPoolExecutor]:
    """One worker a core. When the block fails, what has not begun is given up at once."""
    with starting_workers():
        pool = ProcessPoolExecutor(
            usable_cores(), mp_context=get_context(START_METHOD), initializer=serve_parent
        )
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        pool.shutdown()


def serve_parent(*_: object) -> None:
    """Make this worker leave signals to its parent, which saves its work, and end when its parent is gone.

    A worker that is told to terminate does so a little later: until then the parent may need it. What it
    frees goes back to the system.
    """
    return_large_blocks()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: threading.Timer(_GRACE_SECONDS, os._exit, (0,)).start())
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def starting_workers() -> Iterator[None]:
    """While it is entered, processes begin as workers of ours should.

    They are in a group of their own, and do not run the user's script again: Python imports the main script
    into every new process, for functions that are defined there; ours are not, and a script without
    `if __name__ == "__main__":` would start itself over.
    """
    if START_METHOD == "forkserver":
        set_forkserver_preload(["sightline.machine._preload"])
    main = sys.modules["__main__"]
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    main.__spec__ = None
    if file is not None:
        del main.__file__
    try:
        yield
    finally:
        main.__spec__ = spec
        if file is not None:
            main.__file__ = file
