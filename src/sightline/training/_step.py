"""One step of training: which images, how they are prepared, what is done with them."""

from __future__ import annotations

import dataclasses
import itertools
import math
import signal
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sightline.base import ArgumentError, Draws, Finding, TrainingError
from sightline.blueprint import first_non_finite
from sightline.data import Batch
from sightline.imaging import augment, mix
from sightline.machine import Ranks
from sightline.training._job import Job
from sightline.training._recipe import Recipe


def epoch_steps(
    indices: NDArray[np.int64], draws: Draws, batch_size: int, classes: NDArray[np.int64] | None = None
) -> list[NDArray[np.int64]]:
    """The images of each step of an epoch, in equal batches of at most `batch_size`.

    Every image comes once; or, where `classes` are given, every class equally often and as many images in
    all: of a large class some, of a small class each one several times. The n-th turn of image i in the
    epoch, from 0, is written i + n * 2**32.

    Args:
        indices: The images to train on.
        draws: The epoch's random numbers.
        batch_size: Images of a step, at most.
        classes: (len(indices),) the class of each image.
    """
    keys = indices if classes is None else _equally_often(indices, classes, draws)
    order = draws.permutation("order", keys)
    return np.array_split(order, -(-len(order) // batch_size))


def _equally_often(indices: NDArray[np.int64], classes: NDArray[np.int64], draws: Draws) -> NDArray[np.int64]:
    """As many keys as images: of each class equally many, each of its images before any comes again."""
    present = draws.permutation("larger classes", np.unique(classes))  # they share what cannot be divided
    quotas = np.full(len(present), len(indices) // len(present))
    quotas[: len(indices) % len(present)] += 1
    keys = []
    for chosen, quota in zip(present, quotas, strict=True):
        members = indices[classes == chosen]
        turns = [
            draws.permutation(f"turn {turn}", members) + (turn << 32)
            for turn in range(-(-int(quota) // len(members)))
        ]
        keys.append(np.concatenate(turns)[:quota])
    return np.concatenate(keys)


def prepare(batch: Batch, job: Job, draws: Draws) -> Batch:
    """A batch as stored to a batch as trained on: on the device, augmented, normalised."""
    settings, given = job.recipe.augmentation, job.preprocessing
    x = batch.images.to(job.plan.device, non_blocking=True)
    if settings.cuts:  # windows of the canvas
        x, stored = given.values(x), np.eye(3)
    else:
        x, stored = given.scale(x), given.transform(batch.images.shape[2], batch.images.shape[3])
    x, matrices = augment(x, settings, draws, batch.draw_ids, size=given.size, mean=given.mean.flatten())
    x, mixed = mix(x, settings, draws, batch.draw_ids)
    return dataclasses.replace(
        batch.moved(matrices @ stored),
        images=job.plan.place_images(job.preprocessing.normalise(x)),
        targets=batch.targets.to(job.plan.device, non_blocking=True),
        mixed=mixed,
    )


def take_step(
    job: Job,
    forward: nn.Module,
    micro: list[Batch],
    optimizers: Mapping[str, torch.optim.Optimizer],
    draws: Draws,
    check: bool = True,
    images: int | None = None,
) -> dict[str, Tensor]:
    """One step of every optimizer that the objective names, on micro-batches that together are a batch.

    The objective's generators, one a micro-batch, advance together: each yields a loss for the same
    optimizer, the gradients add up, over all processes too, the optimizer steps, and only then is any of them
    resumed. The running statistics of batch norm become the mean of the processes'.

    Args:
        job: The run.
        forward: What is called for the network.
        micro: Prepared batches.
        optimizers: By name.
        draws: The epoch's random numbers.
        check: Whether to stop at a loss that is not finite.
        images: Of the whole step, over all processes; those of `micro` where None.

    Returns:
        What was logged, summed over images, of all processes.
    """
    images = images or sum(len(batch) for batch in micro)
    generators = [job.objective.losses(forward, batch, draws) for batch in micro]
    logs: dict[str, Tensor] = {}
    while True:
        names: set[str | None] = set()
        for generator, batch in zip(generators, micro, strict=True):
            with job.plan.autocast():
                item = next(generator, None)
            names.add(item[0] if item else None)
            if item is None:
                continue
            name, loss, logged = item
            if check and not math.isfinite(loss.item()):
                raise TrainingError(not_finite(job, loss, batch, draws))
            if name in optimizers:  # else it is idle in this phase
                (loss * (len(batch) / images)).backward()  # type: ignore[no-untyped-call]
            for key, value in logged.items():
                logs[key] = logs.get(key, 0.0) + value.detach().double() * len(batch)
        assert len(names) == 1, f"micro-batches of one step named different optimizers: {names}"
        chosen = names.pop()
        if chosen is None:
            _level_buffers(job)
            job.ranks.add_up([*logs.values()])
            return logs
        if chosen not in job.recipe.optimizers:
            known = ", ".join(job.recipe.optimizers)
            raise ArgumentError(f"the objective names optimizer {chosen!r}; the recipe has {known}")
        if chosen not in optimizers:
            continue
        moved = [p for group in optimizers[chosen].param_groups for p in group["params"]]
        job.ranks.add_up([p.grad for p in moved if p.grad is not None])
        if job.recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(moved, job.recipe.clip_norm)
        optimizers[chosen].step()
        job.network.zero_grad(set_to_none=True)


def _level_buffers(job: Job) -> None:
    """Set floating buffers to their mean over all processes, so that these stay the same network."""
    if job.ranks.count == 1:
        return
    floating = [buffer for buffer in job.network.buffers() if buffer.is_floating_point()]
    job.ranks.add_up(floating)
    for buffer in floating:
        buffer.div_(job.ranks.count)


def agree(ranks: Ranks, asked: int | None) -> int | None:
    """The signal by which any process was asked to stop, if one was: all stop after the same step."""
    if ranks.count == 1:
        return asked
    votes = torch.tensor([float(asked == one) for one in (signal.SIGINT, signal.SIGTERM)])
    ranks.add_up([votes])
    interrupted, terminated = votes.tolist()
    return signal.SIGTERM if terminated else signal.SIGINT if interrupted else None


def set_rates(optimizers: Mapping[str, torch.optim.Optimizer], recipe: Recipe, factor: float) -> None:
    """Set every group's learning rate: the recipe's peak, times the group's own rate, times the schedule."""
    for name, optimizer in optimizers.items():
        for group in optimizer.param_groups:
            group["lr"] = recipe.optimizers[name].lr * group["rate"] * factor


def micro_batches(job: Job, steps: list[NDArray[np.int64]]) -> Iterator[list[Batch]]:
    """This process's batches of each step, loaded in order."""
    shares = [job.ranks.share(step) for step in steps]
    divided = [np.array_split(step, min(job.recipe.accumulate, len(step))) for step in shares]
    keys = [micro for step in divided for micro in step]
    batches: Iterator[Batch] = job.source.batches([micro & 0xFFFFFFFF for micro in keys], training=True)
    if job.balanced is not None:
        batches = (
            dataclasses.replace(batch, turns=micro >> 32) for batch, micro in zip(batches, keys, strict=True)
        )
    for step in divided:
        yield list(itertools.islice(batches, len(step)))


def not_finite(job: Job, loss: Tensor, batch: Batch, draws: Draws) -> Finding:
    where = first_non_finite(job.network, batch.images)
    what = f"the loss is {loss.item()} in epoch {draws.epoch + 1}; this is the first value that is not finite"
    return diverged(where, what, job)


def diverged(where: str, what: str, job: Job) -> Finding:
    return Finding(
        level="error",
        where=where,
        what=what,
        why="no step from here means anything, and training has stopped; the checkpoint before it is whole",
        do=f"lower --lr, set clip_norm in the recipe, or try --precision fp32 (this run: {job.plan.dtype})",
    )
