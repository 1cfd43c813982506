"""The training loop."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sightline.base import ArgumentError, Draws, Finding, TrainingError
from sightline.blueprint import first_non_finite
from sightline.data import Batch, BatchSource
from sightline.imaging import Preprocessing, augment, mix
from sightline.inference import Predictor, starting_weights
from sightline.machine import Plan, StopRequest
from sightline.records import ModelHeader, RunFolder, load_checkpoint, save_checkpoint, save_model_file
from sightline.tasks import Metric, Objective, Task
from sightline.training._average import WeightAverage
from sightline.training._optimizers import load_optimizer_state, make_optimizers, optimizer_state
from sightline.training._recipe import Phase, Recipe
from sightline.training._reporter import Reporter
from sightline.training._waiting import Waits, timed, waited
from sightline.zoo import Architecture, load_weights

FIRST_LOOK = 5_000
"""Training images shown to a network that has `initialise(images)`."""

_CHECK_EVERY = 25
"""Steps between looks at the loss where looking makes an accelerator wait."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """What a run is made of; nothing here changes while it runs but the network's weights."""

    network: nn.Module
    architecture: Architecture
    objective: Objective
    recipe: Recipe
    plan: Plan
    seed: int
    preprocessing: Preprocessing
    source: BatchSource
    train: NDArray[np.int64]
    """Images to train on."""
    val: NDArray[np.int64]
    """Images to select by."""
    balanced: NDArray[np.int64] | None = None
    """(len(train),) the class of each image to train on, where an epoch shows each class equally often."""
    task: Task
    make_metric: Callable[[], Metric] | None
    """None where nothing is measured between epochs."""
    header: ModelHeader
    """Of the model files to be written, but for epoch and scores."""
    run: RunFolder
    reporter: Reporter
    starts: Mapping[str, tuple[Mapping[str, Tensor], str]] = dataclasses.field(default_factory=dict)
    """Weights that phases start from and where they are from, read before anything is replaced."""
    checkpoint_seconds: float = 60.0
    checkpoint_steps: int | None = None
    """Checkpoint after so many steps as well; changes nothing else."""
    clock: Callable[[], float] = time.monotonic
    """Seconds since any moment."""


@dataclasses.dataclass
class Position:
    """Where a run is."""

    epoch: int = 0
    """Epochs finished."""
    step: int = 0
    """Steps done of the epoch that is not."""
    steps_ever: int = 0
    best: dict[str, float] | None = None
    """The scores of the best epoch."""
    best_epoch: int = 0
    since_best: int = 0
    drops: int = 0
    """How often the learning rate was lowered at a plateau of this phase."""
    waited: int = 0
    """Epochs of this plateau."""
    plateau_best: dict[str, float] | None = None
    """The best scores of this phase."""
    seen: int = 0
    """Images trained on in the unfinished epoch."""
    seconds: float = 0.0
    """Spent training in the unfinished epoch."""
    waits: int = 0
    """Steps of the unfinished epoch that waited for data."""
    waiting: float = 0.0
    """Of `seconds`, those until a batch came."""
    waits_ever: int = 0
    """Steps of the finished epochs that waited for data."""
    waiting_ever: float = 0.0
    rows: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    """Of `results.csv`."""


def fit(job: Job, *, resume: bool = False) -> Position:
    """Train until the recipe's epochs are done, patience ends, or somebody asks to stop.

    Args:
        job: What to train, and how.
        resume: Go on from the run's newest checkpoint.

    Raises:
        Interrupted: on SIGINT or SIGTERM, after a checkpoint.
        TrainingError: if the loss is not finite; the checkpoint before it stays.
        StorageError: if the disk refuses; the checkpoint before it stays.
    """
    recipe, network = job.recipe, job.network
    job.plan.apply()
    if resume:
        position, running, average, optimizers, phase_index = _restore(job)
    else:
        position, running, optimizers, phase_index = Position(), {}, {}, -1
        _first_look(job)
        average = WeightAverage(network, recipe.ema_decay) if recipe.ema_decay else None
    forward = job.plan.forward_of(network)
    clock = job.clock
    began_at = saved_at = clock()
    began_with = position.epoch

    def save() -> None:
        nonlocal saved_at
        _save(job, position, running, average, optimizers, phase_index)
        saved_at = clock()

    with StopRequest() as stop:

        def stop_if_asked(_: int = 0) -> None:
            if stop.signal_number is not None:
                save()
                where = f"epoch {position.epoch + 1}, step {position.step}"
                raise stop.interrupted(
                    f"stopped at {where}; go on with: sightline train --resume {job.run.path}"
                )

        while position.epoch < recipe.epochs and not _patience_ended(recipe, position):
            index, phase_epoch = recipe.phase_of(position.epoch)
            phase = recipe.phases[index]
            if index != phase_index:
                phase_index, average = index, _begin_phase(job, phase, average)
                optimizers = make_optimizers(network, recipe.optimizers, phase)
                forward = job.plan.forward_of(network)
                position.drops, position.waited, position.plateau_best = 0, 0, None
                save()
            _set_trainable(network, phase, phase_epoch)
            draws = Draws(job.seed, position.epoch)
            steps = epoch_steps(job.train, draws, recipe.batch_size, job.balanced)
            batches = timed(_micro_batches(job, steps[position.step :]), clock)
            started = clock()

            for step, (micro, waiting) in enumerate(batches, start=position.step):
                done, in_all = phase_epoch * len(steps) + step, phase.epochs * len(steps)
                set_rates(optimizers, recipe, phase.schedule.factor(done, in_all, position.drops))
                torch.manual_seed(draws.torch_seed(step))
                prepared = [prepare(batch, job, draws) for batch in micro]
                check = job.plan.device == "cpu" or step % _CHECK_EVERY == 0
                logs = take_step(job, forward, prepared, optimizers, draws, check)
                if average is not None:
                    average.update(network, position.steps_ever)
                for name, total in logs.items():
                    running[name] = running.get(name, 0.0) + total
                position.step, position.steps_ever = step + 1, position.steps_ever + 1
                position.seen += sum(len(batch) for batch in micro)
                now = clock()
                position.waits += waited(waiting, now - started)
                position.waiting += waiting
                position.seconds, started = position.seconds + now - started, now
                what = f"epoch {position.epoch + 1}/{recipe.epochs}"
                so_far = functools.partial(_so_far, position, running)
                job.reporter.progress(what, step + 1, len(steps), so_far)
                stop_if_asked()
                if now - saved_at > job.checkpoint_seconds or _due(job.checkpoint_steps, position.steps_ever):
                    save()
                    started = clock()

            scores = _validate(job, average, stop_if_asked)
            waits = Waits(
                waits=position.waits, steps=len(steps), waiting=position.waiting, seconds=position.seconds
            )
            _close_epoch(job, position, running, average, index, scores)
            running = {}
            pace = (clock() - began_at) / (position.epoch - began_with)
            left = pace * (recipe.epochs - position.epoch)
            job.reporter.epoch(position.rows, recipe.epochs, left, _selects(job))
            if waits.many:
                job.reporter.keep(waits.describe(f"epoch {position.epoch}"))
            if clock() - saved_at > job.checkpoint_seconds:
                save()
            stop_if_asked()
        save()
    if position.epoch > began_with:
        _tell_waits(job, position)
    return position


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
    stored = job.preprocessing.transform(batch.images.shape[2], batch.images.shape[3])
    x = job.preprocessing.scale(batch.images.to(job.plan.device, non_blocking=True))
    x, matrices = augment(x, job.recipe.augmentation, draws, batch.draw_ids)
    x, mixed = mix(x, job.recipe.augmentation, draws, batch.draw_ids)
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
) -> dict[str, Tensor]:
    """One step of every optimizer that the objective names, on micro-batches that together are a batch.

    The objective's generators, one a micro-batch, advance together: each yields a loss for the same
    optimizer, the gradients add up, the optimizer steps, and only then is any of them resumed.

    Args:
        job: The run.
        forward: What is called for the network.
        micro: Prepared batches.
        optimizers: By name.
        draws: The epoch's random numbers.
        check: Whether to stop at a loss that is not finite.

    Returns:
        What was logged, summed over images.
    """
    images = sum(len(batch) for batch in micro)
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
                raise TrainingError(_not_finite(job, loss, batch, draws))
            if name in optimizers:  # else it is idle in this phase
                (loss * (len(batch) / images)).backward()  # type: ignore[no-untyped-call]
            for key, value in logged.items():
                logs[key] = logs.get(key, 0.0) + value.detach().double() * len(batch)
        assert len(names) == 1, f"micro-batches of one step named different optimizers: {names}"
        chosen = names.pop()
        if chosen is None:
            return logs
        if chosen not in job.recipe.optimizers:
            known = ", ".join(job.recipe.optimizers)
            raise ArgumentError(f"the objective names optimizer {chosen!r}; the recipe has {known}")
        if chosen not in optimizers:
            continue
        if job.recipe.clip_norm is not None:
            moved = [p for group in optimizers[chosen].param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(moved, job.recipe.clip_norm)
        optimizers[chosen].step()
        job.network.zero_grad(set_to_none=True)


def set_rates(optimizers: Mapping[str, torch.optim.Optimizer], recipe: Recipe, factor: float) -> None:
    """Set every group's learning rate: the recipe's peak, times the group's own rate, times the schedule."""
    for name, optimizer in optimizers.items():
        for group in optimizer.param_groups:
            group["lr"] = recipe.optimizers[name].lr * group["rate"] * factor


def _tell_waits(job: Job, position: Position) -> None:
    """Keep in the log how much of the run was waiting for data; where that is too much, say what to do."""
    waits = Waits(
        waits=position.waits_ever,
        steps=position.steps_ever,
        waiting=position.waiting_ever,
        seconds=sum(row["seconds"] for row in position.rows),
    )
    job.reporter.keep(waits.describe("training"))
    if what := waits.advice(job.source, len(job.train) + len(job.val)):
        job.reporter.note(what)


def _micro_batches(job: Job, steps: list[NDArray[np.int64]]) -> Iterator[list[Batch]]:
    """The batches of each step, loaded in order."""
    divided = [np.array_split(step, min(job.recipe.accumulate, len(step))) for step in steps]
    keys = [micro for step in divided for micro in step]
    batches: Iterator[Batch] = job.source.batches([micro & 0xFFFFFFFF for micro in keys], training=True)
    if job.balanced is not None:
        batches = (
            dataclasses.replace(batch, turns=micro >> 32) for batch, micro in zip(batches, keys, strict=True)
        )
    for step in divided:
        yield list(itertools.islice(batches, len(step)))


def _so_far(position: Position, running: Mapping[str, Tensor]) -> str:
    """An unfinished epoch in a few words."""
    shown = [
        f"{name} {float(total) / position.seen:.3f}" for name, total in running.items() if name == "loss"
    ]
    return "  ".join([*shown, f"{position.seen / position.seconds:.0f} images/s"])


def _begin_phase(job: Job, phase: Phase, average: WeightAverage | None) -> WeightAverage | None:
    """Bring in the weights a phase starts from."""
    if phase.start is None:
        return average
    weights, origin = job.starts[phase.start] if phase.start in job.starts else starting_weights(phase.start)
    loaded = load_weights(job.network, weights, job.architecture, adapt=True, origin=origin)
    job.reporter.note(f"weights from {phase.start}: {loaded.describe()}")
    return WeightAverage(job.network, average.decay) if average is not None else None


def _set_trainable(network: nn.Module, phase: Phase, phase_epoch: int) -> None:
    """Let move what moves in this epoch; a module that holds only frozen parameters evaluates."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(phase.trains(name, phase_epoch))
    network.train()
    for module in network.modules():
        parameters = list(module.parameters())
        if parameters and not any(p.requires_grad for p in parameters):
            module.eval()


def _first_look(job: Job) -> None:
    """Show training images to a network that wants to see some before it starts."""
    initialise = getattr(job.network, "initialise", None)
    if initialise is None or job.recipe.phases[0].start is not None:
        return
    ids = Draws(job.seed).permutation("first look", job.train)[:FIRST_LOOK]
    (batch,) = job.source.batches([ids])
    torch.manual_seed(Draws(job.seed).torch_seed(-1))
    with torch.no_grad():
        initialise(job.plan.place_images(job.preprocessing(batch.images.to(job.plan.device))))


def _validate(
    job: Job, average: WeightAverage | None, stop_if_asked: Callable[[int], None]
) -> dict[str, float]:
    if job.make_metric is None:
        return {}
    predictor = Predictor(average.network if average else job.network, job.header, job.plan)
    metric = job.make_metric()
    predictor.measure(job.source, job.val, metric, each=stop_if_asked)
    return dict(metric.compute())


def _close_epoch(
    job: Job,
    position: Position,
    running: Mapping[str, Tensor],
    average: WeightAverage | None,
    phase_index: int,
    scores: Mapping[str, float],
) -> None:
    """Write the epoch's row and weights, and count it as done."""
    select = _selects(job)
    _check_finite(job, position, average, scores)
    is_best = select is None or job.task.better(select, scores, position.best)
    position.epoch += 1
    position.since_best = 0 if is_best else position.since_best + 1
    if is_best:
        position.best, position.best_epoch = dict(scores), position.epoch
    phase = job.recipe.phases[phase_index]
    steps = -(-len(job.train) // job.recipe.batch_size)
    _, phase_epoch = job.recipe.phase_of(position.epoch - 1)
    factor = phase.schedule.factor((phase_epoch + 1) * steps - 1, phase.epochs * steps, position.drops)
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


def _selects(job: Job) -> str | None:
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


def _patience_ended(recipe: Recipe, position: Position) -> bool:
    return recipe.patience is not None and position.since_best >= recipe.patience


def _due(every: int | None, steps: int) -> bool:
    return every is not None and steps % every == 0


def _save(
    job: Job,
    position: Position,
    running: Mapping[str, Tensor],
    average: WeightAverage | None,
    optimizers: Mapping[str, torch.optim.Optimizer],
    phase_index: int,
) -> None:
    for name, total in running.items():
        if not math.isfinite(float(total)):  # an accelerator's loss is looked at only now and then
            raise TrainingError(_diverged(f"the running {name}", f"is {float(total)}", job))
    state = {
        "position": dataclasses.asdict(position),
        "phase": phase_index,
        "running": dict(running),
        "network": dict(job.network.state_dict()),
        "average": dict(average.network.state_dict()) if average else None,
        "optimizers": {name: optimizer_state(o) for name, o in optimizers.items()},
    }
    save_checkpoint(job.run.resume, state, {path.name: path for path in (job.run.last, job.run.best)})


def _restore(
    job: Job,
) -> tuple[Position, dict[str, Any], WeightAverage | None, dict[str, torch.optim.Optimizer], int]:
    """The state of the newest checkpoint, and the run's files cut back to it."""
    state, folder = load_checkpoint(job.run.resume)
    job.network.load_state_dict(state["network"])
    average = None
    if job.recipe.ema_decay:
        average = WeightAverage(job.network, job.recipe.ema_decay)
        average.network.load_state_dict(state["average"])
    position = Position(**state["position"])
    optimizers: dict[str, torch.optim.Optimizer] = {}
    if state["phase"] >= 0:
        phase = job.recipe.phases[state["phase"]]
        optimizers = make_optimizers(job.network, job.recipe.optimizers, phase)
        for name, memory in state["optimizers"].items():
            load_optimizer_state(optimizers[name], memory)
    job.run.cut_back(folder, position.epoch)
    job.run.write_results(position.rows)
    running = {name: total.to(job.plan.device) for name, total in state["running"].items()}
    return position, running, average, optimizers, state["phase"]


def _check_finite(
    job: Job, position: Position, average: WeightAverage | None, scores: Mapping[str, float]
) -> None:
    """Stop before weights are kept that hold, or lead to, what is not finite.

    The loss is looked at before each step, so the last step of an epoch can still have gone wrong.
    """
    state = (average.network if average else job.network).state_dict()
    wrong = [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]
    wrong += [f"the validation {name}" for name, value in scores.items() if not math.isfinite(value)]
    if wrong:
        raise TrainingError(_diverged(wrong[0], f"is not finite after epoch {position.epoch + 1}", job))


def _not_finite(job: Job, loss: Tensor, batch: Batch, draws: Draws) -> Finding:
    where = first_non_finite(job.network, batch.images)
    what = f"the loss is {loss.item()} in epoch {draws.epoch + 1}; this is the first value that is not finite"
    return _diverged(where, what, job)


def _diverged(where: str, what: str, job: Job) -> Finding:
    return Finding(
        level="error",
        where=where,
        what=what,
        why="no step from here means anything, and training has stopped; the checkpoint before it is whole",
        do=f"lower --lr, set clip_norm in the recipe, or try --precision fp32 (this run: {job.plan.dtype})",
    )
