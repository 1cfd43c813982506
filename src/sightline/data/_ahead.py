"""Work in pieces, by workers where there is enough of it, and only a few pieces ahead of their use."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from typing import TypeVar

from sightline.machine import usable_cores, worker_pool

Job = TypeVar("Job")
Result = TypeVar("Result")

PARALLEL_FROM = 2_000
"""Fewer images than this are read by this process: workers take a second to begin."""

CHUNK = 256
"""Images a piece."""

_AHEAD = 4


def mapped(
    function: Callable[[Job], Result], jobs: Iterable[Job], *, parallel: bool
) -> Generator[Result, None, None]:
    """The results in the order of the jobs; of a million jobs only a few are there at a time.

    Args:
        function: Of a module, so that a worker can find it.
        jobs: Asked for one at a time, as results are used.
        parallel: Whether there is enough to do for workers, which is also a matter of cores.
    """
    if not parallel or usable_cores() == 1:
        yield from map(function, jobs)
        return
    waiting: deque[Future[Result]] = deque()
    with worker_pool() as pool:
        for job in jobs:
            waiting.append(pool.submit(function, job))
            if len(waiting) >= _AHEAD * usable_cores():
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
