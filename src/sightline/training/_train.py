"""From a folder of images to a judged network: the whole way, and going on with it."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from sightline._version import __version__
from sightline.base import ArgumentError, DataError, Draws, Finding
from sightline.blueprint import output_shape
from sightline.data import (
    DEFAULT_BUDGET_MB,
    ImageSet,
    Part,
    Split,
    channel_statistics,
    choose_sizes,
    open_batches,
    open_images,
    recorded_split,
    split_images,
)
from sightline.evaluation import Evaluation, judge, write_report
from sightline.imaging import Canvas, Preprocessing, choose_fit
from sightline.inference import ResolvedModel, load_predictor, resolve
from sightline.machine import Plan, PlanChoice, choose_device, choose_plan, device_name, usable_cores
from sightline.records import ArchitectureReference, ModelHeader, RunFolder, SplitReference, versions
from sightline.tasks import make_objective
from sightline.tasks.classification import ClassificationMetric
from sightline.training._fit import Job, Position, epoch_steps, fit, prepare, set_rates, take_step
from sightline.training._logged import LoggedReporter
from sightline.training._optimizers import make_optimizers
from sightline.training._recipe import Recipe, recipe_from
from sightline.training._reporter import PlainReporter, Reporter, duration
from sightline.training.recipes import choose_recipe
from sightline.zoo import Architecture, foreign_architecture, get_architecture

_BUILD, _PLAN = -2, -3
"""Steps before the first, whose random numbers build the network and time the plan."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class TrainingResult:
    """What a run came to."""

    run: Path
    model: str
    metric: str
    value: float
    """Of `metric`, on the test split if there is one, else on the validation split; computed in fp32."""
    epochs: int
    seconds: float
    """Of training, without setting up and judging."""
    images_per_second: float
    """Over all epochs, data and augmentation included."""
    evaluations: tuple[Evaluation, ...]
    """The headline first."""

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of `train`."""
        return {
            "run": str(self.run),
            "model": self.model,
            "metric": self.metric,
            "value": self.value,
            "epochs": self.epochs,
            "seconds": self.seconds,
            "images_per_second": self.images_per_second,
            "interval": list(self.evaluations[0].scores.interval),
            "part": self.evaluations[0].part,
        }


def train(
    data: str,
    *,
    model: str | None = None,
    recipe: str | Recipe | None = None,
    weights: str | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    img_size: int | None = None,
    select: str | None = None,
    seed: int = 0,
    split_seed: int = 0,
    allow_unreadable: bool = False,
    device: str = "auto",
    precision: str = "auto",
    output: Path | None = None,
    exist_ok: bool = False,
    cache_mb: int = DEFAULT_BUDGET_MB,
    checkpoint_seconds: float = 60.0,
    checkpoint_steps: int | None = None,
    reporter: Reporter | None = None,
) -> TrainingResult:
    """Train a classifier on labelled images, judge it, and write its report.

    Args:
        data: A folder of class folders, with or without train, val and test; or `digits`.
        model: A zoo name, `FILE.py:NAME`, or either with `@FILE`; chosen by the images where None.
        recipe: A recipe, its name, or `FILE.py:NAME`; the default one where None.
        weights: A run, model file or weights file to start from.
        epochs: Instead of the recipe's.
        batch_size: Instead of the recipe's.
        lr: Peak learning rate, instead of the recipe's.
        img_size: Side of the square the network is given.
        select: The metric that chooses the best epoch, instead of the recipe's.
        seed: Of everything random in training.
        split_seed: Of the split, where the folder does not say it.
        allow_unreadable: Leave out unreadable files, however many.
        device: `auto`, or a torch device.
        precision: `auto` to choose by timing, or the number format.
        output: The run folder; `runs/classification/...` where None.
        exist_ok: Whether `output` may exist, and what is in it be replaced.
        cache_mb: Megabytes of decoded images that may be kept; more are decoded as needed.
        checkpoint_seconds: Longest time between two checkpoints.
        checkpoint_steps: Checkpoint after so many steps as well.
        reporter: Is told what happens; plain lines on standard error where None.

    Raises:
        SightlineError: whatever a user can mend; see its tree.
    """
    reporter = reporter or PlainReporter()
    if precision not in ("auto", "fp32", "bf16"):
        raise ArgumentError(f"--precision is {precision!r}; there are auto, fp32, bf16")
    torch_device = choose_device(device)
    images = open_images(data, allow_unreadable=allow_unreadable, progress=reporter.progress)
    split = split_images(images, split_seed)
    resolved = resolve(model or _default_model(images))
    canvas, size = choose_sizes(
        images, resolved.architecture.input_shape[1:], resolved.architecture.input_sizes, img_size
    )
    num_images = len(split.indices("train"))
    if not isinstance(recipe, Recipe):
        recipe = choose_recipe(recipe, num_images=num_images, channels=images.channels, size=size)
    chosen = _overridden(
        recipe,
        epochs=epochs, batch_size=batch_size, lr=lr, select=select,
        start=weights or (resolved.spec if resolved.weights is not None else None),
    )  # fmt: skip
    network = _build(resolved.architecture, images, size, seed)

    run = RunFolder.create("classification", f"{resolved.architecture.name}-{_short(data)}", output, exist_ok)
    reporter = LoggedReporter(reporter, run)
    try:
        source = open_batches(images, canvas, budget_mb=cache_mb, progress=reporter.progress)
        mean, std = channel_statistics(source, split.indices("train"))
        fit_rule = choose_fit((canvas.height, canvas.width), size)
        preprocessing = Preprocessing(size=size, fit=fit_rule, mean=mean, std=std).to(torch_device)
        job = Job(
            network=network,
            architecture=resolved.architecture,
            objective=make_objective(
                resolved.architecture.objective, {"label_smoothing": chosen.label_smoothing}
            ),
            recipe=chosen,
            plan=Plan(device=str(torch_device), threads=usable_cores()),
            seed=seed,
            preprocessing=preprocessing,
            source=source,
            train=split.indices("train"),
            val=split.indices("val"),
            make_metric=ClassificationMetric,
            header=_header(resolved.architecture, images, split, canvas, preprocessing, chosen),
            run=run,
            reporter=reporter,
            checkpoint_seconds=checkpoint_seconds,
            checkpoint_steps=checkpoint_steps,
        )
        choice = _time_plan(job, precision)
        job = dataclasses.replace(job, plan=choice.plan, network=choice.plan.place(network))
        _announce(job, images, split, choice)
        split.save(run.split, images)
        run.write_args(_args(job, images, split, choice, allow_unreadable, cache_mb))
    except BaseException:
        _remove_if_unused(run)
        raise
    position = fit(job)
    return _finish(job, position, images, split)


def resume(
    run_folder: Path | str,
    *,
    epochs: int | None = None,
    model: str | None = None,
    checkpoint_seconds: float = 60.0,
    checkpoint_steps: int | None = None,
    reporter: Reporter | None = None,
) -> TrainingResult:
    """Go on with a run that was stopped, or extend one that was finished.

    The run's own settings, split and plan are used. On the machine that started it the result is, bit for
    bit, that of a run that was never stopped. An extended run's learning rates are those of a schedule that
    was as long from the start, so that the rate goes up at the seam.

    Args:
        run_folder: The run.
        epochs: A new total.
        model: `FILE.py:NAME`, if the run's network is a user's own.
        checkpoint_seconds: Longest time between two checkpoints.
        checkpoint_steps: Checkpoint after so many steps as well.
        reporter: Is told what happens; plain lines on standard error where None.

    Raises:
        DataError: if the folder is no run, has no checkpoint, or its images are not what they were.
        SightlineError: whatever else a user can mend.
    """
    run = RunFolder.open(Path(run_folder))
    reporter = LoggedReporter(reporter or PlainReporter(), run)
    args = run.read_args()
    recipe = recipe_from(args["recipe"])
    data = args["data"]
    images = open_images(
        data["location"], allow_unreadable=data["allow_unreadable"], progress=reporter.progress
    )
    images = dataclasses.replace(images, source=data["source"])
    split = split_images(images, args["split_seed"])
    _check_unchanged(run, images, split)
    architecture = _recorded_architecture(args["model"], model)
    plan = Plan(**args["plan"])
    choose_device(plan.device)
    _note_machine(args, reporter)

    size = (args["model"]["input_size"][0], args["model"]["input_size"][1])
    preprocessing = Preprocessing(**args["preprocessing"]).to(plan.device)
    canvas = Canvas(data["canvas"][0], data["canvas"][1], images.channels)
    if epochs is not None and epochs != recipe.epochs:
        recipe = _extended(recipe, epochs, run, reporter)
        run.write_args(args | {"recipe": recipe.settings()})
    job = Job(
        network=plan.place(_build(architecture, images, size, args["seed"])),
        architecture=architecture,
        objective=make_objective(architecture.objective, {"label_smoothing": recipe.label_smoothing}),
        recipe=recipe,
        plan=plan,
        seed=args["seed"],
        preprocessing=preprocessing,
        source=open_batches(images, canvas, budget_mb=data["cache_mb"], progress=reporter.progress),
        train=split.indices("train"),
        val=split.indices("val"),
        make_metric=ClassificationMetric,
        header=_header(architecture, images, split, canvas, preprocessing, recipe),
        run=run,
        reporter=reporter,
        checkpoint_seconds=checkpoint_seconds,
        checkpoint_steps=checkpoint_steps,
    )
    position = fit(job, resume=True)
    return _finish(job, position, images, split)


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
        first = dataclasses.replace(recipe.phases[0], start=start)
        recipe = dataclasses.replace(recipe, phases=(first, *recipe.phases[1:]))
    return recipe_from(recipe.settings())


def _build(architecture: Architecture, images: ImageSet, size: tuple[int, int], seed: int) -> nn.Module:
    """The network for a set, with the seed's initial weights; checked with one input."""
    torch.manual_seed(Draws(seed).torch_seed(_BUILD))
    classes = len(images.classes)
    network = architecture.build(num_classes=classes, in_channels=images.channels, input_size=size)
    shape = output_shape(network, (images.channels, *size), architecture.name)
    if shape != (classes,):
        raise ArgumentError(
            f"{architecture.name} returns {'x'.join(map(str, shape)) or 'one number'} for an image; "
            f"{images.source} has {classes} classes, and a classifier returns one logit for each"
        )
    return network


def _header(
    architecture: Architecture,
    images: ImageSet,
    split: Split,
    canvas: Canvas,
    preprocessing: Preprocessing,
    recipe: Recipe,
) -> ModelHeader:
    return ModelHeader(
        architecture=ArchitectureReference(
            name=architecture.name,
            num_classes=len(images.classes),
            in_channels=images.channels,
            input_size=preprocessing.size,
            source=architecture.source,
            source_digest=architecture.source_digest,
        ),
        classes=images.classes,
        canvas=(canvas.height, canvas.width),
        preprocessing=preprocessing.settings(),
        objective=architecture.objective,
        objective_settings={"label_smoothing": recipe.label_smoothing},
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
    stored = f"{job.source.canvas.width}x{job.source.canvas.height}x{images.channels}"
    fit_rule = {"none": "as they are", "pad": "centred on", "resize": "resized to"}[job.preprocessing.fit]
    given = "" if job.preprocessing.fit == "none" else f" {size[1]}x{size[0]}"
    parameters = sum(p.numel() for p in job.network.parameters())
    note(f"{job.architecture.name}: {parameters:,} parameters; images {stored}, {fit_rule}{given}")
    note(f"recipe {recipe.name}: {recipe.epochs} epochs{'; ' + recipe.why if recipe.why else ''}")
    note(f"plan: {choice.describe()}")
    if choice.seconds_per_step:
        plan = choice.plan
        seconds = choice.seconds_per_step[f"{plan.dtype} {plan.memory_format} x{plan.threads}"]
        steps = -(-len(job.train) // recipe.batch_size)
        per_image = seconds * steps / len(job.train)
        total = recipe.epochs * (seconds * steps + per_image * len(job.val) / 3)  # forward alone: a third
        note(f"about {duration(total)} of training; run folder {job.run.path}")


def _args(
    job: Job, images: ImageSet, split: Split, choice: PlanChoice, allow_unreadable: bool, cache_mb: int
) -> dict[str, Any]:
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
            "allow_unreadable": allow_unreadable,
            "canvas": [job.source.canvas.height, job.source.canvas.width],
            "path": job.source.path,
            "cache_mb": cache_mb,
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


def _finish(job: Job, position: Position, images: ImageSet, split: Split) -> TrainingResult:
    """Judge the best weights, in fp32, on test if there is one and on validation; write the report."""
    plan = dataclasses.replace(job.plan, dtype="fp32", compile=False)
    resolved = _best_of(job)
    predictor = load_predictor(resolved, plan)
    scored: tuple[Part, ...] = ("test", "val")
    parts = [part for part in scored if len(split.indices(part))]
    evaluations = tuple(
        judge(predictor, images, split.indices(part), part, source=job.source) for part in parts
    )
    findings: tuple[Finding, ...] = (*images.findings, *split.findings)
    write_report(job.run.report, run=job.run, split=split, evaluations=evaluations, findings=findings)
    seconds = sum(row["seconds"] for row in position.rows)
    trained = len(job.train) * len(position.rows)
    for evaluation in evaluations:
        job.reporter.note(evaluation.describe())
    job.reporter.note(f"report: {job.run.report}")
    return TrainingResult(
        run=job.run.path,
        model=job.architecture.name,
        metric="accuracy",
        value=evaluations[0].scores.top1,
        epochs=position.epoch,
        seconds=seconds,
        images_per_second=round(trained / seconds, 1) if seconds else 0.0,
        evaluations=evaluations,
    )


def _best_of(job: Job) -> ResolvedModel:
    """The best weights a run has written, with the network that it was given."""
    spec = f"{job.architecture.source}@{job.run.best}" if job.architecture.source else str(job.run.best)
    return resolve(spec)


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


def _note_machine(args: dict[str, Any], reporter: Reporter) -> None:
    """Say it where going on cannot be exact."""
    plan = Plan(**args["plan"])
    differences = [
        f"{key} {args[group].get(key)} then, {value} now"
        for group, now in (("machine", _machine(plan)), ("versions", versions()))
        for key, value in now.items()
        if args[group].get(key) != value
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
