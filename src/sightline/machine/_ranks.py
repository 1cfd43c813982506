"""The processes that train one network together, as `torchrun` starts them.

Each has a rank. They hold the same network, take different images of every step, and add up their gradients;
the first one alone writes, and tells the others what it found out.
"""

from __future__ import annotations

import dataclasses
import datetime
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist

# It keeps the group there is when it is first imported, as its functions' default. Imported later, it would
# keep ours after we have parted, whose threads then want the interpreter while it ends: the process aborts.
import torch.distributed.nn.functional
from numpy.typing import NDArray
from torch import Tensor
from torch._C._distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from sightline.base import Finding, TrainingError

Thing = TypeVar("Thing")

_PATIENCE = datetime.timedelta(hours=12)
"""How long one process waits for another: the first may judge for hours; a dead one is noticed at once."""


@dataclasses.dataclass(frozen=True)
class Ranks:
    """Who this process is among those that train together.

    Example:
        >>> Ranks(rank=1, count=2).share(np.arange(5)).tolist()
        [1, 3]
    """

    rank: int = 0
    """Its number, from 0."""
    count: int = 1
    """How many there are."""

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    def share(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """This process's images of a step: every `count`-th."""
        return ids[self.rank :: self.count]

    def part(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """This process's part of some images to be measured: those of all in rank order are `ids`."""
        return np.array_split(ids, self.count)[self.rank]

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Set each tensor, in place, to its sum over all processes; those of one type travel as one.

        Raises:
            TrainingError: if another process has died.
        """
        if self.count == 1:
            return
        by_type: dict[torch.dtype, list[Tensor]] = {}
        for tensor in tensors:
            by_type.setdefault(tensor.dtype, []).append(tensor)
        for alike in by_type.values():
            flat = torch.cat([tensor.reshape(-1) for tensor in alike])
            with _told():
                dist.all_reduce(flat)
            places = torch.split(flat, [tensor.numel() for tensor in alike])
            for tensor, place in zip(alike, places, strict=True):
                tensor.copy_(place.view(tensor.shape))

    def gather(self, thing: Thing) -> list[Thing]:
        """What every process has of something, in rank order.

        Raises:
            TrainingError: if another process has died.
        """
        if self.count == 1:
            return [thing]
        everyones: list[Any] = [None] * self.count
        with _told():
            dist.all_gather_object(everyones, thing)
        return everyones

    def from_first(self, thing: Thing | None) -> Thing:
        """What the first process has of something; the others' is not looked at.

        Raises:
            TrainingError: if another process has died.
        """
        holder: list[Any] = [thing]
        if self.count > 1:
            with _told():
                dist.broadcast_object_list(holder, src=0)
        return holder[0]  # type: ignore[no-any-return]

    def wait(self) -> None:
        """Until all are here.

        Raises:
            TrainingError: if another process has died.
        """
        if self.count > 1:
            self.gather(None)


ALONE = Ranks()
"""A process that trains by itself."""


def ranks_here() -> Ranks:
    """This process among those `torchrun` started, without a word to the others; `ALONE` without torchrun."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return ALONE
    return Ranks(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))


@contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """Meet the other processes, and part from them at the end; alone where `torchrun` started none.

    Args:
        device: What they compute on, as the user says it: it decides how they talk.

    Raises:
        TrainingError: if they do not meet.
    """
    ranks = ranks_here()
    if ranks.count == 1 or dist.is_initialized():
        yield ranks
        return
    accelerated = device != "cpu" and torch.accelerator.is_available()
    backend = "cpu:gloo,cuda:nccl" if accelerated and torch.cuda.is_available() else "gloo"
    with _told():
        store, rank, count = next(rendezvous("env://", timeout=_PATIENCE))
        # torchrun's static rendezvous keeps its store over a restart, with addresses of the dead in it
        store = PrefixStore(f"start-{restarts()}", store)
        dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=_PATIENCE)
    try:
        yield ranks
    finally:
        dist.destroy_process_group()


def restarts() -> int:
    """How often `torchrun` has started these processes anew after one of them died."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def group_name() -> str:
    """What tells this group of processes from others on this machine, and stays when it is restarted."""
    return f"{os.environ.get('TORCHELASTIC_RUN_ID', '')}-{os.getppid()}"


def _shortened(text: str) -> str:
    """The first sentence of another library's words, without where in its source they stand."""
    words = re.sub(r"\[[^\]]*\.cc:\d+\]\s*", "", " ".join(text.split()))
    return words.partition(". ")[0][:120]


@contextmanager
def _told() -> Iterator[None]:
    """One line instead of a stack of another library's words."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        raise TrainingError(
            Finding(
                level="error",
                where="torchrun",
                what="another process of this training is gone",
                why=f"waiting for it ended with: {_shortened(str(error))}",
                do="see what it said last; torchrun --max-restarts N starts all of them again from the last "
                "checkpoint",
            )
        ) from error
