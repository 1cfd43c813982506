"""How many cores this process may really use."""

from __future__ import annotations

import os
from pathlib import Path


def usable_cores(cgroup: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Cores this process may use.

    The smallest of the machine's, the affinity's, the container's and `OMP_NUM_THREADS`. Of several
    processes that torchrun started on this machine, each may use its share; there, `OMP_NUM_THREADS` 1 does
    not count, for torchrun itself sets it.

    Args:
        cgroup: The file in which Linux states a container's share of the processors.
    """
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        cores = os.cpu_count() or 1
    try:
        quota, period = cgroup.read_text().split()
        if quota != "max":
            cores = min(cores, max(1, int(quota) // int(period)))
    except (OSError, ValueError):
        pass
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    processes = os.environ.get("LOCAL_WORLD_SIZE", "1")
    if processes.isdigit() and int(processes) > 1:
        cores = max(1, cores // int(processes))
        wanted = "" if wanted == "1" else wanted
    return min(cores, max(1, int(wanted))) if wanted.isdigit() else cores
