"""Which device to compute on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import torch

from sightline.base import ArgumentError


def choose_device(wanted: str = "auto") -> torch.device:
    """The device to compute on; of several processes that `torchrun` started, each gets its own.

    Args:
        wanted: `auto` (an accelerator if there is one), or a torch device such as `cpu` or `cuda:0`.

    Raises:
        ArgumentError: if there is no such device on this machine.
    """
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if wanted == "auto":
        wanted = accelerator.type if accelerator else "cpu"
    here = ["cpu"] + ([accelerator.type] if accelerator else [])
    try:
        device = torch.device(wanted)
    except RuntimeError:
        device = None
    if device is None or device.type not in here:
        raise ArgumentError(f"--device is {wanted!r}; this machine has auto, {', '.join(here)}")
    if device.type != "cpu" and device.index is not None and device.index >= torch.accelerator.device_count():
        raise ArgumentError(f"--device is {wanted!r}; this machine has {torch.accelerator.device_count()}")
    rank = os.environ.get("LOCAL_RANK")
    if device.type != "cpu" and ":" not in wanted and rank is not None:
        return torch.device(device.type, int(rank) % torch.accelerator.device_count())
    return device


def device_name(device: torch.device) -> str:
    """The device as its maker calls it, e.g. `AMD EPYC 9B14`; the architecture where that is unknown."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        try:
            for line in Path("/proc/cpuinfo").read_text().splitlines():
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
        except OSError:
            pass
    return f"{device.type} {platform.machine()}"
