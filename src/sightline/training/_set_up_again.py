"""Everything before the next step of a run that goes on."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch

from sightline.base import ArgumentError, DataError
from sightline.data import ImageSet, Split, open_batches, read_learned, recorded_split
from sightline.imaging import Canvas, Preprocessing
from sightline.machine import Plan, choose_device, ranks_here, usable_cores
from sightline.records import RunFolder, versions
from sightline.training._choices import Again, chosen_objective
from sightline.training._job import Job
from sightline.training._logged import LoggedReporter
from sightline.training._recipe import Recipe, recipe_from
from sightline.training._reporter import Reporter
from sightline.training._set_up import (
    TASK,
    Setup,
    balanced,
    build,
    header,
    machine,
    open_split,
    time_plan,
)
from sightline.zoo import Architecture, foreign_architecture, get_architecture


def set_up_again(run_folder: Path, reporter: Reporter, again: Again) -> Setup:
    """A run's set-up from what it recorded; errors as `resume`."""
    run = RunFolder.open(run_folder)
    ranks = ranks_here()
    log = LoggedReporter(reporter, run, writes=ranks.first)
    args = run.read_args()
    recipe = recipe_from(args["recipe"])
    data = args["data"]
    fold = args["split"].get("fold")
    images, split = open_split(
        data["location"],
        allow_unreadable=data["allow_unreadable"],
        pages=data.get("pages", ""),
        group_by=data.get("group_by"),
        fold=(fold[0], fold[1]) if fold else None,
        split_seed=args["split_seed"],
        reporter=log,
        source=data["source"],
        holdout=recipe.holdout,
    )
    _check_unchanged(run, images, split)
    architecture = _recorded_architecture(args["model"], again.model)
    recorded = Plan(**args["plan"])
    plan = _recorded_plan(recorded, again.device, log)
    size = (args["model"]["input_size"][0], args["model"]["input_size"][1])
    preprocessing = Preprocessing(**args["preprocessing"]).to(plan.device)
    height, width = data["canvas"]
    framing = data.get("framing", "whole")
    canvas = Canvas(height, width, images.channels, images.depth, images.pages, framing)
    if again.epochs is not None and recipe.probe is not None:
        raise ArgumentError(f"{run_folder} is a linear probe, which has no epochs; leave --epochs out")
    if again.epochs is not None and again.epochs != recipe.epochs:
        recipe = _extended(recipe, again.epochs, run, log)
        if ranks.first:
            run.write_args(args | {"recipe": recipe.settings()})
    objective = chosen_objective(architecture, recipe, images, split)
    before = read_learned(run.before)
    job = Job(
        network=plan.place(build(architecture, images, size, args["seed"])),
        architecture=architecture,
        objective=objective,
        task=TASK,
        recipe=recipe,
        plan=plan,
        seed=args["seed"],
        preprocessing=preprocessing,
        source=open_batches(images, canvas, path=data["path"], progress=log.progress),
        train=split.indices("train"),
        val=split.indices("val"),
        balanced=balanced(recipe, images, split),
        make_metric=TASK.make_metric if len(split.indices("val")) else None,
        header=header(architecture, images, split, canvas, preprocessing, objective, recipe, before),
        before=before,
        run=run,
        reporter=log,
        checkpoint_seconds=again.checkpoint_seconds,
        checkpoint_steps=again.checkpoint_steps,
        ranks=ranks,
    )
    if torch.device(plan.device).type != torch.device(recorded.device).type:
        choice = time_plan(job, "auto")
        job = dataclasses.replace(job, plan=choice.plan, network=choice.plan.place(job.network))
        log.note(f"plan: {choice.describe()}")
    _note_differences(args, job, log)
    return Setup(job=job, images=images, split=split, log=log)


def _recorded_architecture(recorded: dict[str, Any], given: str | None) -> Architecture:
    """The architecture a run was started with; a user's own code is run only if it is named again."""
    if not recorded["source"]:
        return get_architecture(recorded["name"])
    if given is None:
        raise ArgumentError(
            f"the run's network is {recorded['source']}, and a user's code is not run unasked; "
            f"add --model {recorded['source']}"
        )
    architecture = foreign_architecture(given)
    if architecture.source_digest != recorded["source_digest"]:
        raise DataError(f"{given} has changed since the run began; give the file as it was")
    return architecture


def _check_unchanged(run: RunFolder, images: ImageSet, split: Split) -> None:
    """The images and their parts must be what the run recorded."""
    recorded = recorded_split(run.split)
    now = {name: (split.parts[i], images.digests[i]) for i, name in enumerate(images.names)}
    if recorded == now:
        return
    for name in sorted(recorded.keys() | now.keys()):
        if recorded.get(name) != now.get(name):
            what = "is new" if name not in recorded else "is gone" if name not in now else "has changed"
            raise DataError(
                f"{images.source} is not what it was when the run began: {name} {what}; "
                f"bring the images back, or start a new run"
            )


def _recorded_plan(recorded: Plan, device: str | None, reporter: Reporter) -> Plan:
    """The run's own plan; on another device where that is asked for, or there is no such device here."""
    if device is None:
        try:
            choose_device(recorded.device)
        except ArgumentError:
            device = "auto"
            reporter.note(f"the run's device {recorded.device} is not here")
    chosen = choose_device(recorded.device if device is None else device)
    if chosen.type == torch.device(recorded.device).type:  # under torchrun, each process has its own
        return dataclasses.replace(recorded, device=str(chosen))
    return Plan(device=str(chosen), threads=usable_cores())


def _note_differences(args: dict[str, Any], job: Job, reporter: Reporter) -> None:
    """Say it where going on cannot be exact."""
    now = {
        "machine": machine(job.plan),
        "versions": versions(),
        "data": {"path": job.source.path},
        "plan": dataclasses.asdict(job.plan),
    }
    differences = [
        f"{key} {args.get(group, {}).get(key)} then, {value} now"
        for group, values in now.items()
        for key, value in values.items()
        if args.get(group, {}).get(key) != value
    ]
    if differences:
        reporter.note(f"going on, but not exactly as one run would have: {'; '.join(differences)}")
    else:
        reporter.note("going on exactly as one run would have")


def _extended(recipe: Recipe, epochs: int, run: RunFolder, reporter: Reporter) -> Recipe:
    """A recipe of another length, and a word on what that does to the learning rate."""
    done = len(run.read_results())
    if epochs < done:
        raise ArgumentError(f"--epochs is {epochs}; the run has done {done} already")
    longer = recipe.with_epochs(epochs)
    index, phase_epoch = longer.phase_of(min(done, epochs - 1))
    phase, before = longer.phases[index], recipe.phases[index]
    old = before.schedule.factor(min(phase_epoch, before.epochs), before.epochs + 1)
    new = phase.schedule.factor(phase_epoch, phase.epochs + 1)
    reporter.note(
        f"extended from {recipe.epochs} to {epochs} epochs: the schedule is as if it had been {epochs} from "
        f"the start, so the learning rate goes on at {new:.2g} of its peak (it had come to {old:.2g})"
    )
    return longer
