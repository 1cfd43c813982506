"""The end of an epoch: its row, its weights, and whether to go on."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from sightline.base import TrainingError
from sightline.records import save_model_file
from sightline.training._average import Follower
from sightline.training._job import Job, Position
from sightline.training._recipe import Phase, Recipe
from sightline.training._step import diverged


def close_epoch(
    job: Job,
    position: Position,
    running: Mapping[str, Tensor],
    average: Follower | None,
    phase_index: int,
    scores: Mapping[str, float],
) -> None:
    """Write the epoch's row and weights, and count it as done; of several processes, the first one writes."""
    select = selects(job)
    _check_finite(job, position, average, scores)
    is_best = select is None or job.task.better(select, scores, position.best)
    position.epoch += 1
    position.since_best = 0 if is_best else position.since_best + 1
    if is_best:
        position.best, position.best_epoch = dict(scores), position.epoch
    phase = job.recipe.phases[phase_index]
    _, phase_epoch = job.recipe.phase_of(position.epoch - 1)
    in_all = job.recipe.phase_steps(phase_index, job.epoch_length)
    done = min((phase_epoch + 1) * job.epoch_length, in_all)
    factor = phase.schedule.factor(done - 1, in_all, position.drops)
    _wait_at_plateau(job, position, phase, scores)
    rates = {f"lr_{name}": chosen.lr * factor for name, chosen in job.recipe.optimizers.items()}
    row: dict[str, Any] = {"epoch": position.epoch, "phase": phase_index}
    row |= {f"train_{name}": float(total) / position.seen for name, total in running.items()}
    row |= {f"val_{name}": value for name, value in scores.items()}
    row |= {"best": int(is_best)} | rates
    row |= {
        "images_per_second": round(position.seen / position.seconds, 1),
        "seconds": round(position.seconds, 3),
    }
    position.rows.append(row)
    position.step, position.seen, position.seconds = 0, 0, 0.0
    position.waits_ever += position.waits
    position.waiting_ever += position.waiting
    position.waits, position.waiting = 0, 0.0

    if not job.ranks.first:
        return
    header = dataclasses.replace(
        job.header, epoch=position.epoch, scores=dict(scores), averaged=average is not None
    )
    weights = (average.network if average else job.network).state_dict()
    save_model_file(job.run.last, weights, header)
    if is_best:
        save_model_file(job.run.best, weights, header)
    every = job.recipe.snapshot_every
    if every and position.epoch % every == 0:
        save_model_file(job.run.snapshots / f"epoch-{position.epoch}.safetensors", weights, header)
    job.run.write_results(position.rows)


def selects(job: Job) -> str | None:
    """The metric that chooses the best epoch, if any does."""
    return job.recipe.select if job.make_metric else None


def _wait_at_plateau(job: Job, position: Position, phase: Phase, scores: Mapping[str, float]) -> None:
    """Count an epoch without a better score, and lower the rate where there were enough."""
    if phase.schedule.kind != "plateau" or not scores:
        return
    if job.task.better(job.recipe.select or "loss", scores, position.plateau_best):
        position.plateau_best, position.waited = dict(scores), 0
        return
    position.waited += 1
    if position.waited >= phase.schedule.wait:
        position.drops, position.waited = position.drops + 1, 0


def patience_ended(recipe: Recipe, position: Position) -> bool:
    return recipe.patience is not None and position.since_best >= recipe.patience


def _check_finite(
    job: Job, position: Position, average: Follower | None, scores: Mapping[str, float]
) -> None:
    """Stop before weights are kept that hold, or lead to, what is not finite.

    The loss is looked at before each step, so the last step of an epoch can still have gone wrong.
    """
    state = (average.network if average else job.network).state_dict()
    wrong = [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]
    wrong += [f"the validation {name}" for name, value in scores.items() if not math.isfinite(value)]
    if wrong:
        raise TrainingError(diverged(wrong[0], f"not finite after epoch {position.epoch + 1}", job))
