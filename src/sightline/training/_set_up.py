"""Everything before the first step, for a new run and for one that goes on."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from sightline._version import __version__
from sightline.base import ArgumentError, DataError, Draws, did_you_mean, duration
from sightline.blueprint import run_once
from sightline.data import (
    DEFAULT_BUDGET_MB,
    ImageSet,
    Split,
    channel_statistics,
    choose_sizes,
    open_batches,
    open_images,
    recorded_split,
    split_images,
)
from sightline.imaging import Canvas, Preprocessing, choose_fit
from sightline.inference import resolve, starting_weights
from sightline.machine import Plan, PlanChoice, choose_device, choose_plan, device_name, usable_cores
from sightline.records import ArchitectureReference, ModelHeader, RunFolder, SplitReference, versions
from sightline.tasks import Objective, Task, make_objective
from sightline.tasks.classification import ClassificationTask
from sightline.training._fit import Job, epoch_steps, prepare, set_rates, take_step
from sightline.training._logged import LoggedReporter
from sightline.training._optimizers import check_patterns, make_optimizers
from sightline.training._recipe import Recipe, recipe_from
from sightline.training._reporter import Reporter
from sightline.training.recipes import choose_recipe
from sightline.zoo import Architecture, foreign_architecture, get_architecture

TASK: Task = ClassificationTask()
"""What is asked of a network: the one task there is so far."""

CHECKPOINT_SECONDS = 60.0
"""Longest time between two checkpoints, unless chosen otherwise."""

_BUILD, _PLAN = -2, -3
"""Steps before the first, whose random numbers build the network and time the plan."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What a user can choose of a run; each field as the argument of `train`."""

    data: str
    model: str | None = None
    recipe: str | Recipe | None = None
    weights: str | None = None
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    img_size: int | None = None
    select: str | None = None
    seed: int = 0
    split_seed: int = 0
    allow_unreadable: bool = False
    device: str = "auto"
    precision: str = "auto"
    output: Path | str | None = None
    exist_ok: bool = False
    cache_mb: int = DEFAULT_BUDGET_MB
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    checkpoint_steps: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Setup:
    """A run that is ready to begin or to go on."""

    job: Job
    images: ImageSet
    split: Split
    log: LoggedReporter


def set_up(options: Options, reporter: Reporter) -> Setup:
    """Everything before the first step: images, split, network, recipe, statistics, plan, run folder.

    Args:
        options: What the user chose.
        reporter: Is told what will happen, and how long it will take.

    Raises:
        SightlineError: whatever a user can mend.
    """
    if options.precision not in ("auto", "fp32", "bf16"):
        raise ArgumentError(f"--precision is {options.precision!r}; there are auto, fp32, bf16")
    torch_device = choose_device(options.device)
    images = open_images(options.data, allow_unreadable=options.allow_unreadable, progress=reporter.progress)
    split = split_images(images, options.split_seed)
    resolved = resolve(options.model or _default_model(images))
    canvas, size = choose_sizes(
        images, resolved.architecture.input_shape[1:], resolved.architecture.input_sizes, options.img_size
    )
    num_images = len(split.indices("train"))
    recipe = options.recipe
    if not isinstance(recipe, Recipe):
        recipe = choose_recipe(recipe, num_images=num_images, channels=images.channels, size=size)
    chosen = _overridden(
        recipe,
        epochs=options.epochs, batch_size=options.batch_size, lr=options.lr, select=options.select,
        start=options.weights or (resolved.spec if resolved.weights is not None else None),
    )  # fmt: skip
    if chosen.select is not None and chosen.select not in TASK.selectors:
        raise ArgumentError(f"--select is {chosen.select!r}; {did_you_mean(chosen.select, TASK.selectors)}")
    objective = make_objective(resolved.architecture.objective, chosen.objective)
    network = _build(resolved.architecture, images, size, options.seed)
    _check_steps(network, chosen, images, size, resolved.architecture.name, num_images)
    starts = {
        phase.start: starting_weights(phase.start) for phase in chosen.phases if phase.start is not None
    }

    name = f"{resolved.architecture.name}-{_short(options.data)}"
    output = Path(options.output) if options.output is not None else None
    run = RunFolder.create(TASK.name, name, output, options.exist_ok)
    log = LoggedReporter(reporter, run, fresh=True)
    try:
        source = open_batches(images, canvas, budget_mb=options.cache_mb, progress=log.progress)
        mean, std = channel_statistics(source, split.indices("train"))
        fit_rule = choose_fit((canvas.height, canvas.width), size)
        preprocessing = Preprocessing(size=size, fit=fit_rule, mean=mean, std=std).to(torch_device)
        job = Job(
            network=network,
            architecture=resolved.architecture,
            objective=objective,
            task=TASK,
            recipe=chosen,
            plan=Plan(device=str(torch_device), threads=usable_cores()),
            seed=options.seed,
            preprocessing=preprocessing,
            source=source,
            train=split.indices("train"),
            val=split.indices("val"),
            make_metric=TASK.make_metric,
            header=_header(resolved.architecture, images, split, canvas, preprocessing, objective),
            run=run,
            reporter=log,
            starts=starts,
            checkpoint_seconds=options.checkpoint_seconds,
            checkpoint_steps=options.checkpoint_steps,
        )
        choice = _time_plan(job, options.precision)
        job = dataclasses.replace(job, plan=choice.plan, network=choice.plan.place(network))
        run.clear()
        _announce(job, images, split, choice)
        split.save(run.split, images)
        run.write_args(_args(job, images, split, choice, options))
    except BaseException:
        _remove_if_unused(run)
        raise
    return Setup(job=job, images=images, split=split, log=log)


def set_up_again(
    run_folder: Path,
    reporter: Reporter,
    *,
    epochs: int | None = None,
    model: str | None = None,
    device: str | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    checkpoint_steps: int | None = None,
) -> Setup:
    """The same from what a run recorded; arguments and errors as `resume`."""
    run = RunFolder.open(Path(run_folder))
    log = LoggedReporter(reporter, run)
    args = run.read_args()
    recipe = recipe_from(args["recipe"])
    data = args["data"]
    images = open_images(data["location"], allow_unreadable=data["allow_unreadable"], progress=log.progress)
    images = dataclasses.replace(images, source=data["source"])
    split = split_images(images, args["split_seed"])
    _check_unchanged(run, images, split)
    architecture = _recorded_architecture(args["model"], model)
    recorded = Plan(**args["plan"])
    plan = _recorded_plan(recorded, device, log)
    size = (args["model"]["input_size"][0], args["model"]["input_size"][1])
    preprocessing = Preprocessing(**args["preprocessing"]).to(plan.device)
    canvas = Canvas(data["canvas"][0], data["canvas"][1], images.channels)
    if epochs is not None and epochs != recipe.epochs:
        recipe = _extended(recipe, epochs, run, log)
        run.write_args(args | {"recipe": recipe.settings()})
    objective = make_objective(architecture.objective, recipe.objective)
    job = Job(
        network=plan.place(_build(architecture, images, size, args["seed"])),
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
        make_metric=TASK.make_metric,
        header=_header(architecture, images, split, canvas, preprocessing, objective),
        run=run,
        reporter=log,
        checkpoint_seconds=checkpoint_seconds,
        checkpoint_steps=checkpoint_steps,
    )
    if plan.device != recorded.device:
        choice = _time_plan(job, "auto")
        job = dataclasses.replace(job, plan=choice.plan, network=choice.plan.place(job.network))
        log.note(f"plan: {choice.describe()}")
    _note_differences(args, job, log)
    return Setup(job=job, images=images, split=split, log=log)


def _default_model(images: ImageSet) -> str:
    side = max(images.one_size) if images.one_size else 224
    if side <= 16:
        return "lenet5"
    if side <= 40 and images.channels == 1:
        return "lecture_cnn"
    return "resnet20" if side <= 64 else "resnet18"


def _overridden(
    recipe: Recipe,
    *,
    epochs: int | None,
    batch_size: int | None,
    lr: float | None,
    select: str | None,
    start: str | None,
) -> Recipe:
    """A recipe with what the user chose instead, checked again."""
    if epochs is not None:
        recipe = recipe.with_epochs(epochs)
    if lr is not None:
        recipe = recipe.with_lr(lr)
    if batch_size is not None:
        recipe = dataclasses.replace(recipe, batch_size=batch_size)
    if select is not None:
        recipe = dataclasses.replace(recipe, select=select)
    if start is not None:
        if Path(start).exists():
            start = str(Path(start).resolve())
        first = dataclasses.replace(recipe.phases[0], start=start)
        recipe = dataclasses.replace(recipe, phases=(first, *recipe.phases[1:]))
    return recipe_from(recipe.settings())


def _build(architecture: Architecture, images: ImageSet, size: tuple[int, int], seed: int) -> nn.Module:
    """The network for a set, with the seed's initial weights; checked with one input."""
    torch.manual_seed(Draws(seed).torch_seed(_BUILD))
    classes = len(images.classes)
    network = architecture.build(num_classes=classes, in_channels=images.channels, input_size=size)
    output = run_once(network, (images.channels, *size), architecture.name)
    TASK.check_output(output, classes, architecture.name)
    return network


def _check_steps(
    network: nn.Module, recipe: Recipe, images: ImageSet, size: tuple[int, int], name: str, num_images: int
) -> None:
    """Whether every step of a recipe can be taken: its patterns, its optimizers, its smallest batch."""
    check_patterns(network, recipe)
    for phase in recipe.phases:
        make_optimizers(network, recipe.optimizers, phase)
    smallest = num_images // -(-num_images // recipe.batch_size) // recipe.accumulate
    run_once(network, (images.channels, *size), name, batch=max(1, smallest), training=True)


def _header(
    architecture: Architecture,
    images: ImageSet,
    split: Split,
    canvas: Canvas,
    preprocessing: Preprocessing,
    objective: Objective,
) -> ModelHeader:
    return ModelHeader(
        architecture=ArchitectureReference(
            name=architecture.name,
            num_classes=len(images.classes),
            in_channels=images.channels,
            input_size=preprocessing.size,
            arguments=dict(architecture.arguments),
            source=architecture.source,
            source_digest=architecture.source_digest,
        ),
        classes=images.classes,
        canvas=(canvas.height, canvas.width),
        preprocessing=preprocessing.settings(),
        objective=objective.name,
        objective_settings=objective.settings(),
        split=SplitReference(digest=split.digest(images), seed=split.seed, rule=split.rule),
        data=images.source,
        versions=versions(),
    )


def _time_plan(job: Job, precision: str) -> PlanChoice:
    """Choose the plan by timing this run's own step on this run's own first batch."""
    draws = Draws(job.seed)
    ids = np.array_split(epoch_steps(job.train, draws, job.recipe.batch_size)[0], job.recipe.accumulate)
    stored = list(job.source.batches([micro for micro in ids if len(micro)], training=True))

    def make_step(network: nn.Module, plan: Plan) -> Any:
        trial = dataclasses.replace(job, network=network, plan=plan)
        optimizers = make_optimizers(network, job.recipe.optimizers, job.recipe.phases[0])
        set_rates(optimizers, job.recipe, 1e-3)
        network.train()
        torch.manual_seed(draws.torch_seed(_PLAN))
        return lambda: take_step(
            trial, network, [prepare(batch, trial, draws) for batch in stored], optimizers, draws, check=False
        )

    shapes = [tuple(batch.images.shape) for batch in stored]
    key = f"{job.network!r}\n{shapes}\n{job.recipe.optimizers}\n{job.recipe.augmentation}"
    return choose_plan(
        job.network, make_step, key=key, device=torch.device(job.plan.device), precision=precision
    )


def _announce(job: Job, images: ImageSet, split: Split, choice: PlanChoice) -> None:
    """Say what will happen, and how long it will take, before it does."""
    note, recipe, size = job.reporter.note, job.recipe, job.preprocessing.size
    for finding in (*images.findings, *split.findings):
        note(
            f"{finding.where}: {finding.what}"
            if finding.level == "info"
            else f"{finding.level}: {finding.line()}"
        )
    counts = ", ".join(f"{len(split.indices(part))} {part}" for part in ("train", "val", "test"))
    note(f"{images.source}: {len(images)} images, {len(images.classes)} classes; {counts} ({split.rule})")
    canvas, own = job.source.canvas, images.one_size
    stored = f"{canvas.width}x{canvas.height}x{images.channels}"
    if own != (canvas.height, canvas.width):
        stored = f"{f'{own[1]}x{own[0]}' if own else 'of many sizes'}, scaled to fit {stored}"
    elif job.preprocessing.fit == "none":
        stored += ", as they are"
    given = {"none": "", "pad": ", centred on ", "resize": ", resized to "}[job.preprocessing.fit]
    given += f"{size[1]}x{size[0]}" if given else ""
    parameters = sum(p.numel() for p in job.network.parameters())
    note(f"{job.architecture.name}: {parameters:,} parameters; images {stored}{given}")
    note(f"recipe {recipe.name}: {recipe.epochs} epochs{'; ' + recipe.why if recipe.why else ''}")
    note(f"plan: {choice.describe()}")
    if choice.seconds_per_step:
        seconds = choice.seconds_per_step[choice.plan.short()]
        steps = -(-len(job.train) // recipe.batch_size)
        per_image = seconds * steps / len(job.train)
        total = recipe.epochs * (seconds * steps + per_image * len(job.val) / 3)  # forward alone: a third
        note(f"about {duration(total)} of training; run folder {job.run.path}")


def _args(job: Job, images: ImageSet, split: Split, choice: PlanChoice, options: Options) -> dict[str, Any]:
    """Everything a run is made of, for `args.yaml`."""
    architecture = job.architecture
    return {
        "sightline": __version__,
        "task": "classification",
        "data": {
            "source": images.source,
            "location": str(images.root.resolve()) if images.root else images.source,
            "images": len(images),
            "classes": list(images.classes),
            "channels": images.channels,
            "left_out": list(images.left_out),
            "allow_unreadable": options.allow_unreadable,
            "canvas": [job.source.canvas.height, job.source.canvas.width],
            "path": job.source.path,
            "cache_mb": options.cache_mb,
        },
        "model": {
            "name": architecture.name,
            "source": architecture.source,
            "source_digest": architecture.source_digest,
            "paper": architecture.paper,
            "num_classes": len(images.classes),
            "in_channels": images.channels,
            "input_size": list(job.preprocessing.size),
            "parameters": sum(p.numel() for p in job.network.parameters()),
        },
        "preprocessing": job.preprocessing.settings(),
        "recipe": job.recipe.settings(),
        "seed": job.seed,
        "split_seed": split.seed,
        "split": {
            "rule": split.rule,
            "digest": split.digest(images),
            **{part: len(split.indices(part)) for part in ("train", "val", "test")},
        },
        "plan": dataclasses.asdict(choice.plan),
        "plan_origin": choice.describe(),
        "versions": versions(),
        "machine": _machine(choice.plan),
    }


def _machine(plan: Plan) -> dict[str, Any]:
    return {"device": device_name(torch.device(plan.device)), "cores": usable_cores()}


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
    if device is None or str(choose_device(device)) == recorded.device:
        return recorded
    return Plan(device=str(choose_device(device)), threads=usable_cores())


def _note_differences(args: dict[str, Any], job: Job, reporter: Reporter) -> None:
    """Say it where going on cannot be exact."""
    now = {
        "machine": _machine(job.plan),
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


def _short(data: str) -> str:
    return Path(data).resolve().name if Path(data).exists() else data


def _remove_if_unused(run: RunFolder) -> None:
    """A run that failed before it began leaves no folder."""
    with contextlib.suppress(OSError):
        if not run.args.exists():
            for leftover in (run.log, run.split):
                leftover.unlink(missing_ok=True)
            run.path.rmdir()
