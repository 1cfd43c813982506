"""Everything before the first step, for a new run and for one that goes on."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sightline._version import __version__
from sightline.base import ArgumentError, Draws
from sightline.blueprint import run_once
from sightline.data import (
    BatchSource,
    ImageSet,
    Learned,
    Split,
    channel_statistics,
    choose_sizes,
    examine_before_training,
    fold_images,
    group_images,
    open_batches,
    open_images,
    save_learned,
    split_images,
    value_ranges,
)
from sightline.imaging import Axes, Canvas, Preprocessing, choose_fit, colour_axes
from sightline.inference import resolve
from sightline.machine import (
    ALONE,
    Plan,
    PlanChoice,
    choose_device,
    choose_plan,
    device_name,
    ranks_here,
    usable_cores,
)
from sightline.records import ArchitectureReference, ModelHeader, RunFolder, SplitReference, versions
from sightline.tasks import Objective, Task
from sightline.tasks.classification import ClassificationTask
from sightline.training._announce import announce
from sightline.training._choices import (
    Options,
    chosen_objective,
    chosen_recipe,
    default_model,
    run_name,
)
from sightline.training._duration import (
    FEWEST_EPOCHS,
    SMALLER,
    decoding_seconds,
    epochs_that_fit,
    fitted,
    pace_of,
)
from sightline.training._job import Job
from sightline.training._logged import LoggedReporter
from sightline.training._optimizers import check_patterns, make_optimizers
from sightline.training._probe import check_probe
from sightline.training._recipe import Recipe
from sightline.training._reporter import Reporter, SilentReporter
from sightline.training._starts import (
    Starts,
    check_folds,
    check_starts,
    learned_before,
    read_starts,
)
from sightline.training._step import epoch_steps, prepare, set_rates, take_step
from sightline.zoo import Architecture

TASK: Task = ClassificationTask()
"""What is asked of a network: the one task there is so far."""

_EXAMINED_SECONDS, _EXAMINED_SHARE = 20.0, 0.1
"""How long looking at each image may take before training: so many seconds, or this share of training."""

_COLOURS, _AT_ONCE = 10_000, 128
"""Images whose pixels say in which directions colours vary, and how many of them are held at once."""

_BUILD, _PLAN = -2, -3
"""Steps before the first, whose random numbers build the network and time the plan."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Setup:
    """A run that is ready to begin or to go on."""

    job: Job
    images: ImageSet
    split: Split
    log: LoggedReporter


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Draft:
    """A run at one input size, before its images are decoded."""

    canvas: Canvas
    size: tuple[int, int]
    recipe: Recipe
    objective: Objective
    network: nn.Module


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Decided:
    """What a run will be, before its images are decoded."""

    images: ImageSet
    split: Split
    architecture: Architecture
    start: str | None
    """The weights it starts from."""
    draft: _Draft
    starts: Starts
    """The weights that phases start from."""
    before: Learned
    """What these have learned from."""
    unknown: tuple[str, ...]
    """Where that is not known."""


def decide(options: Options, reporter: Reporter) -> Decided:
    """All that can be known to be wrong before a run folder is made, or one that is there replaced.

    Args:
        options: What the user chose.
        reporter: Is told how far reading the images is.

    Raises:
        SightlineError: whatever a user can mend.
    """
    began = time.monotonic()
    options.check()
    choose_device(options.device)  # an error before the images are read
    images, split = open_split(
        options.data,
        allow_unreadable=options.allow_unreadable,
        pages=options.pages,
        group_by=options.group_by,
        fold=options.fold,
        split_seed=options.split_seed,
        reporter=reporter,
        source=options.source,
    )
    resolved = resolve(options.model or default_model(images))
    start = options.weights or (resolved.spec if resolved.weights is not None else None)
    if start == "public":
        start = f"{resolved.architecture.name}@public"
    architecture = resolved.architecture
    draft = _draft(options, images, split, architecture, start, options.img_size)
    if not draft.recipe.holdout:
        split = split_images(images, options.split_seed, options.fold, holdout=False)
        if not len(split.indices("test")) and not len(split.indices("val")):
            raise ArgumentError(
                f"recipe {draft.recipe.name} holds nothing out, and {images.source} has no images to judge by"
            )
        draft = _draft(options, images, split, architecture, start, options.img_size)
    if options.minutes is not None and draft.recipe.probe is None:
        draft = _in_time(options, images, split, architecture, start, draft, began)
    starts = read_starts(draft.recipe)
    check_starts(draft.network, architecture, draft.recipe, starts)
    before, unknown = learned_before(starts, images)
    if options.fold is not None:
        check_folds(images, before)
    return Decided(
        images=images, split=split, architecture=architecture, start=start, draft=draft, starts=starts,
        before=before, unknown=unknown,
    )  # fmt: skip


def set_up(options: Options, reporter: Reporter) -> Setup:
    """Everything before the first step: images, split, network, recipe, statistics, plan, run folder.

    Args:
        options: What the user chose.
        reporter: Is told what will happen, and how long it will take.

    Raises:
        SightlineError: whatever a user can mend.
    """
    began = time.monotonic()
    decided = decide(options, reporter)
    images, split, architecture, start, draft = (
        decided.images, decided.split, decided.architecture, decided.start, decided.draft
    )  # fmt: skip

    name = run_name(architecture.name, options.data)
    output = Path(options.output) if options.output is not None else None
    run = RunFolder.create(TASK.name, name, output, options.exist_ok)
    log = LoggedReporter(reporter, run, fresh=True)
    try:
        source = open_batches(images, draft.canvas, budget_mb=options.cache_mb, progress=log.progress)
        what = (images, split, architecture, draft, source)
        job = _job(options, *what, split.indices("train"), run, log, decided.before)
        job = dataclasses.replace(job, starts=decided.starts)
        if job.recipe.probe is not None:
            check_probe(job)
            choice, seconds = PlanChoice(plan=job.plan, origin="not timed", seconds_per_step={}), 0.0
        else:
            choice = time_plan(job, options.precision, fresh_pace=options.minutes is not None)
            job = dataclasses.replace(job, plan=choice.plan, network=choice.plan.place(job.network))
            decoding = decoding_seconds(images, draft.canvas) if source.path == "workers" else 0.0
            pace = pace_of(choice, job.recipe, len(job.train), decoding)
            if options.minutes is not None:
                left = 60 * options.minutes - (time.monotonic() - began)
                epochs = epochs_that_fit(left, pace, split, job.recipe)

                def remade(epochs: int) -> Recipe:
                    """The recipe made anew: what it does may depend on how long it is."""
                    named = options.recipe if options.recipe is not None else draft.recipe.name
                    again = dataclasses.replace(options, recipe=named, epochs=epochs)
                    given = (images, split, architecture, draft.network, draft.size, start)
                    return chosen_recipe(again, *given)

                recipe = fitted(remade, draft.recipe, epochs, options.minutes)
                job = dataclasses.replace(job, recipe=_with_axes(recipe, job.recipe.augmentation.pca_axes))
            seconds = job.recipe.epochs * pace.epoch(split)
        warnings = _examined(options, images, split, seconds, log)
        run.clear()
        for line in (*warnings, *decided.unknown):
            log.note(line)
        announce(job, images, split, choice, seconds)
        split.save(run.split, images)
        if decided.before:
            save_learned(run.before, decided.before)
        run.write_args(_args(job, images, split, choice, options))
    except BaseException:
        _remove_if_unused(run)
        raise
    return Setup(job=job, images=images, split=split, log=log)


def open_split(
    data: str,
    *,
    allow_unreadable: bool,
    pages: str,
    group_by: str | None,
    fold: tuple[int, int] | None,
    split_seed: int,
    reporter: Reporter,
    source: str | None = None,
    holdout: bool = True,
) -> tuple[ImageSet, Split]:
    """The images of a run, under the name `source` if one is given, and what each is for."""
    images = open_images(data, allow_unreadable=allow_unreadable, pages=pages, progress=reporter.progress)
    if source is not None:
        images = dataclasses.replace(images, source=source)
    images = group_images(images if fold is None else fold_images(images), group_by)
    return images, split_images(images, split_seed, fold, holdout=holdout)


def _draft(
    options: Options,
    images: ImageSet,
    split: Split,
    architecture: Architecture,
    start: str | None,
    side: int | None,
) -> _Draft:
    """Everything that follows from an input size; `side` is that of a square, None for the usual one."""
    sizes = (images, architecture.input_shape[1:], architecture.input_sizes, side)
    canvas, size = choose_sizes(*sizes)
    network = build(architecture, images, size, options.seed)
    recipe = chosen_recipe(options, images, split, architecture, network, size, start)
    if recipe.canvas_ratio != 1.0 or recipe.framing != "whole":
        canvas, size = choose_sizes(*sizes, ratio=recipe.canvas_ratio, framing=recipe.framing)
    if recipe.select is not None:
        TASK.check_selector(recipe.select, images.targets[split.indices("val")])
    _check_steps(network, recipe, images, size, architecture.name, len(split.indices("train")))
    objective = chosen_objective(architecture, recipe, images, split)
    return _Draft(canvas=canvas, size=size, recipe=recipe, objective=objective, network=network)


def _in_time(
    options: Options,
    images: ImageSet,
    split: Split,
    architecture: Architecture,
    start: str | None,
    draft: _Draft,
    began: float,
) -> _Draft:
    """The draft, or one of a smaller input where too few epochs of it fit into the time."""
    assert options.minutes is not None
    smaller = [side for side in SMALLER if side < max(draft.size)]
    if options.img_size is not None or architecture.input_sizes != "adapts" or images.one_size == draft.size:
        smaller = []  # the user's choice, the network's own, or the images as they are
    for side in [*smaller, None]:
        source = open_batches(images, draft.canvas, path="workers", workers=0)
        few = epoch_steps(split.indices("train"), Draws(options.seed), draft.recipe.batch_size)[0]
        job = _job(
            options, images, split, architecture, draft, source, few, RunFolder(Path()), SilentReporter()
        )
        choice = time_plan(job, options.precision, fresh_pace=options.minutes is not None)
        decoding = decoding_seconds(images, draft.canvas)
        pace = pace_of(choice, draft.recipe, len(job.train), decoding)
        left = 60 * options.minutes - (time.monotonic() - began)
        if side is None or epochs_that_fit(left, pace, split, draft.recipe) >= FEWEST_EPOCHS:
            break
        draft = _draft(options, images, split, architecture, start, side)
    return draft


def _job(
    options: Options,
    images: ImageSet,
    split: Split,
    architecture: Architecture,
    draft: _Draft,
    source: BatchSource,
    measured: NDArray[np.int64],
    run: RunFolder,
    reporter: Reporter,
    before: Learned = frozenset(),
) -> Job:
    """A new run under the plainest plan; mean and deviation are those of the images `measured`."""
    device = choose_device(options.device)
    ranges = value_ranges(source, measured)
    mean, std = channel_statistics(source, measured, ranges)
    recipe = draft.recipe
    fit_rule = choose_fit((draft.canvas.height, draft.canvas.width), draft.size)
    preprocessing = Preprocessing(
        size=draft.size, mean=mean, std=std, value_range=ranges,
        **({"fit": fit_rule} if recipe.window is None else {"fit": "crop", "window": recipe.window}),
    )  # fmt: skip
    if recipe.augmentation.pca:
        recipe = _with_axes(recipe, _colour_axes(source, measured, preprocessing, options.seed))
    preprocessing.to(device)
    return Job(
        network=draft.network,
        architecture=architecture,
        objective=draft.objective,
        task=TASK,
        recipe=recipe,
        plan=Plan(device=str(device), threads=usable_cores()),
        seed=options.seed,
        preprocessing=preprocessing,
        source=source,
        train=split.indices("train"),
        val=split.indices("val"),
        balanced=balanced(recipe, images, split),
        make_metric=TASK.make_metric if len(split.indices("val")) else None,
        header=header(
            architecture, images, split, draft.canvas, preprocessing, draft.objective, recipe, before
        ),
        before=before,
        run=run,
        reporter=reporter,
        checkpoint_seconds=options.checkpoint_seconds,
        checkpoint_steps=options.checkpoint_steps,
        ranks=ranks_here(),
    )


def _colour_axes(
    source: BatchSource, measured: NDArray[np.int64], preprocessing: Preprocessing, seed: int
) -> Axes:
    """The axes of colour of some training images."""
    chosen = Draws(seed).permutation("colour axes", measured)[:_COLOURS]
    order = np.array_split(chosen, -(-len(chosen) // _AT_ONCE))
    return colour_axes(preprocessing.values(batch.images) for batch in source.batches(order))


def _with_axes(recipe: Recipe, axes: Axes) -> Recipe:
    """The recipe with the axes that training colours vary along."""
    return dataclasses.replace(recipe, augmentation=dataclasses.replace(recipe.augmentation, pca_axes=axes))


def balanced(recipe: Recipe, images: ImageSet, split: Split) -> NDArray[np.int64] | None:
    """The classes to balance an epoch by, if the recipe says so."""
    return images.targets[split.indices("train")] if recipe.balance == "sampling" else None


def build(architecture: Architecture, images: ImageSet, size: tuple[int, int], seed: int) -> nn.Module:
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
    for index, phase in enumerate(recipe.phases):
        make_optimizers(network, recipe.optimizers, phase)
        recipe.phase_steps(index, -(-num_images // recipe.batch_size))
    step, ranks = num_images // -(-num_images // recipe.batch_size), ranks_here()
    if step < ranks.count:
        raise ArgumentError(f"a step has {step} images; {ranks.count} processes cannot share them")
    smallest = step // ranks.count // recipe.accumulate
    run_once(network, (images.channels, *size), name, batch=max(1, smallest), training=True)


def header(
    architecture: Architecture,
    images: ImageSet,
    split: Split,
    canvas: Canvas,
    preprocessing: Preprocessing,
    objective: Objective,
    recipe: Recipe,
    before: Learned,
) -> ModelHeader:
    """What a run's model files will say, but for epoch and scores."""
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
        framing_rule=canvas.framing,
        depth=canvas.depth,
        pages=canvas.pages,
        channel_names=images.channel_names,
        preprocessing=preprocessing.settings(),
        objective=objective.name,
        objective_settings=objective.settings(),
        split=SplitReference(
            digest=split.digest(images),
            seed=split.seed,
            rule=split.rule,
            fold=split.fold,
            group_by=images.grouped_by,
            holdout=recipe.holdout,
            before=bool(before),
        ),
        data=images.source,
        versions=versions(),
    )


def time_plan(job: Job, precision: str, *, fresh_pace: bool = False) -> PlanChoice:
    """Choose the plan by timing this run's own step on this run's own first batch.

    Args:
        job: The run.
        precision: `auto`, or the number format to use.
        fresh_pace: Whether a plan that was chosen earlier is timed again.
    """
    draws = Draws(job.seed)
    first = job.ranks.share(epoch_steps(job.train, draws, job.recipe.batch_size)[0])
    ids = np.array_split(first, job.recipe.accumulate)
    stored = list(job.source.batches([micro for micro in ids if len(micro)], training=True))

    def make_step(network: nn.Module, plan: Plan) -> Any:
        trial = dataclasses.replace(job, network=network, plan=plan, ranks=ALONE)
        optimizers = make_optimizers(network, job.recipe.optimizers, job.recipe.phases[0])
        set_rates(optimizers, job.recipe, 1e-3)
        network.train()
        torch.manual_seed(draws.torch_seed(_PLAN))
        return lambda: take_step(
            trial, network, [prepare(batch, trial, draws) for batch in stored], optimizers, draws, check=False
        )

    shapes = [tuple(batch.images.shape) for batch in stored]
    what = (job.network, shapes, job.preprocessing.size, job.recipe.optimizers, job.recipe.augmentation)
    key = "\n".join(map(repr, what))
    return choose_plan(
        job.network, make_step, key=key, device=torch.device(job.plan.device), precision=precision,
        fresh_pace=fresh_pace,
    )  # fmt: skip


def _examined(
    options: Options, images: ImageSet, split: Split, training: float, reporter: Reporter
) -> list[str]:
    """What the data doctor warns of; it may take a small share of the seconds of training."""
    if not options.examine:
        return []
    seconds = max(_EXAMINED_SECONDS, _EXAMINED_SHARE * training)
    if options.minutes is not None:
        seconds = _EXAMINED_SHARE / 2 * 60 * options.minutes
    return examine_before_training(images, split.parts, seconds=seconds, progress=reporter.progress)


def _args(job: Job, images: ImageSet, split: Split, choice: PlanChoice, options: Options) -> dict[str, Any]:
    """Everything a run is made of, for `args.yaml`."""
    architecture = job.architecture
    return {
        "sightline": __version__,
        "task": "classification",
        "data": {
            "source": images.source,
            "location": images.location,
            "images": len(images),
            "classes": list(images.classes),
            "channels": images.channels,
            "left_out": list(images.left_out),
            "group_by": images.grouped_by,
            "allow_unreadable": options.allow_unreadable,
            "depth": images.depth,
            "pages": images.pages,
            "canvas": [job.source.canvas.height, job.source.canvas.width],
            "framing": job.source.canvas.framing,
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
            "fold": list(split.fold) if split.fold else None,
            **{part: len(split.indices(part)) for part in ("train", "val", "test")},
        },
        "plan": dataclasses.asdict(choice.plan),
        "plan_origin": choice.describe(),
        "versions": versions(),
        "machine": machine(choice.plan),
    }


def machine(plan: Plan) -> dict[str, Any]:
    """What a run is computed on."""
    return {
        "device": device_name(torch.device(plan.device)),
        "cores": usable_cores(),
        "processes": ranks_here().count,
    }


def _remove_if_unused(run: RunFolder) -> None:
    """A run that failed before it began leaves no folder."""
    with contextlib.suppress(OSError):
        if not run.args.exists():
            for leftover in (run.log, run.split):
                leftover.unlink(missing_ok=True)
            run.path.rmdir()
