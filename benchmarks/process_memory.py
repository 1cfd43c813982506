"""Memory of a process and all that it started, for the benchmarks that measure it. Linux only.

Not a benchmark itself.
"""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from pathlib import Path


def tree(root: int) -> list[int]:
    """A process and its descendants."""
    children: dict[int, list[int]] = defaultdict(list)
    for entry in os.listdir("/proc"):  # noqa: PTH208
        if entry.isdigit():
            with contextlib.suppress(OSError):  # it ended
                stat = Path(f"/proc/{entry}/stat").read_text()
                children[int(stat.rpartition(")")[2].split()[1])].append(int(entry))
    found, pending = [], [root]
    while pending:
        found.append(pending.pop())
        pending += children[found[-1]]
    return found


def tree_megabytes(root: int) -> tuple[float, int]:
    """Megabytes (10^6 bytes) of a process and its descendants, and how many processes these are.

    The sum of Pss: a page that several processes share counts once in all, so that nothing counts twice.
    """
    total, processes = 0, 0
    for pid in tree(root):
        with contextlib.suppress(OSError):  # it ended
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
                    processes += 1
    return total / 1e6, processes
