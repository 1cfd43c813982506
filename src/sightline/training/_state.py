"""The state of a run on disk: checkpoints, and going on from one."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from sightline.base import DataError, TrainingError
from sightline.records import load_checkpoint, save_checkpoint
from sightline.training._average import Follower, follower
from sightline.training._job import Job, Position
from sightline.training._optimizers import load_optimizer_state, make_optimizers, optimizer_state
from sightline.training._step import diverged


def save_state(
    job: Job,
    position: Position,
    running: Mapping[str, Tensor],
    average: Follower | None,
    optimizers: Mapping[str, torch.optim.Optimizer],
    phase_index: int,
) -> None:
    """Write a checkpoint; of several processes, the first one does."""
    if not job.ranks.first:
        return
    for name, total in running.items():
        if not math.isfinite(float(total)):  # an accelerator's loss is looked at only now and then
            raise TrainingError(diverged(f"the running {name}", f"is {float(total)}", job))
    state = {
        "position": dataclasses.asdict(position),
        "phase": phase_index,
        "running": dict(running),
        "network": dict(job.network.state_dict()),
        "average": dict(average.network.state_dict()) if average else None,
        "optimizers": {name: optimizer_state(o) for name, o in optimizers.items()},
    }
    save_checkpoint(job.run.resume, state, {path.name: path for path in (job.run.last, job.run.best)})


def restore(
    job: Job,
) -> tuple[Position, dict[str, Any], Follower | None, dict[str, torch.optim.Optimizer], int]:
    """The state of the newest checkpoint, and the run's files cut back to it."""
    state, folder = load_checkpoint(job.run.resume)
    try:
        job.network.load_state_dict(state["network"])
        average = follower(job.network, job.recipe)
        if average is not None:
            average.network.load_state_dict(state["average"])
    except (RuntimeError, TypeError) as error:  # args.yaml was changed since
        raise DataError(
            f"the checkpoint of {job.run.path} is not one of {job.architecture.name}, which its "
            f"{job.run.args.name} names; give it back as it was"
        ) from error
    position = Position(**state["position"])
    optimizers: dict[str, torch.optim.Optimizer] = {}
    if state["phase"] >= 0:
        phase = job.recipe.phases[state["phase"]]
        optimizers = make_optimizers(job.network, job.recipe.optimizers, phase)
        for name, memory in state["optimizers"].items():
            load_optimizer_state(optimizers[name], memory)
    job.ranks.wait()  # until all have read it
    if job.ranks.first:
        job.run.cut_back(folder, position.epoch)
        job.run.write_results(position.rows)
    running = {name: total.to(job.plan.device) for name, total in state["running"].items()}
    return position, running, average, optimizers, state["phase"]
