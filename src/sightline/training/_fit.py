"""The training loop."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from sightline.base import Draws, Interrupted
from sightline.inference import Predictor, starting_weights
from sightline.machine import StopRequest
from sightline.training._average import Follower, follower
from sightline.training._epoch import close_epoch, patience_ended, selects
from sightline.training._job import Job, Position
from sightline.training._optimizers import make_optimizers
from sightline.training._recipe import Phase
from sightline.training._state import restore, save_state
from sightline.training._step import agree, epoch_steps, micro_batches, prepare, set_rates, take_step
from sightline.training._waiting import Waits, timed, waited
from sightline.zoo import load_weights

FIRST_LOOK = 5_000
"""Training images shown to a network that has `initialise(images)`."""

_CHECK_EVERY = 25
"""Steps between looks at the loss where looking makes an accelerator wait."""


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
        position, running, average, optimizers, phase_index = restore(job)
    else:
        position, running, optimizers, phase_index = Position(), {}, {}, -1
        _first_look(job)
        average = follower(network, recipe)
    forward = job.plan.forward_of(network)
    clock = job.clock
    began_at = saved_at = clock()
    began_with = position.epoch

    def save() -> None:
        nonlocal saved_at
        save_state(job, position, running, average, optimizers, phase_index)
        saved_at = clock()

    with StopRequest() as stop:

        def stop_if(number: int | None) -> None:
            if number is not None:
                save()
                where = f"epoch {position.epoch + 1}, step {position.step}"
                raise Interrupted(
                    f"stopped at {where}; go on with: sightline train --resume {job.run.path}", number
                )

        while position.epoch < recipe.epochs and not patience_ended(recipe, position):
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
            first, in_all = phase_epoch * len(steps), recipe.phase_steps(index, len(steps))
            steps = steps[: in_all - first]
            batches = timed(micro_batches(job, steps[position.step :]), clock)
            started = clock()

            for step, (micro, waiting) in enumerate(batches, start=position.step):
                set_rates(optimizers, recipe, phase.schedule.factor(first + step, in_all, position.drops))
                torch.manual_seed(draws.torch_seed(step, job.ranks.rank))
                prepared = [prepare(batch, job, draws) for batch in micro]
                check = job.plan.device == "cpu" or step % _CHECK_EVERY == 0
                logs = take_step(job, forward, prepared, optimizers, draws, check, len(steps[step]))
                if average is not None:
                    average.update(network, position.steps_ever, job.steps)
                for name, total in logs.items():
                    running[name] = running.get(name, 0.0) + total
                position.step, position.steps_ever = step + 1, position.steps_ever + 1
                position.seen += len(steps[step])
                now = clock()
                position.waits += waited(waiting, now - started)
                position.waiting += waiting
                position.seconds, started = position.seconds + now - started, now
                what = f"epoch {position.epoch + 1}/{recipe.epochs}"
                so_far = functools.partial(_so_far, position, running)
                job.reporter.progress(what, step + 1, len(steps), so_far)
                stop_if(agree(job.ranks, stop.signal_number))
                if now - saved_at > job.checkpoint_seconds or _due(job.checkpoint_steps, position.steps_ever):
                    save()
                    started = clock()

            scores = _validate(job, average, lambda _: stop_if(stop.signal_number))
            waits = Waits(
                waits=position.waits, steps=len(steps), waiting=position.waiting, seconds=position.seconds
            )
            close_epoch(job, position, running, average, index, scores)
            running = {}
            pace = (clock() - began_at) / (position.epoch - began_with)
            left = pace * (recipe.epochs - position.epoch)
            job.reporter.epoch(position.rows, recipe.epochs, left, selects(job))
            if waits.many:
                job.reporter.keep(waits.describe(f"epoch {position.epoch}"))
            if clock() - saved_at > job.checkpoint_seconds:
                save()
            stop_if(agree(job.ranks, stop.signal_number))
        save()
    if position.epoch > began_with:
        _tell_waits(job, position)
    return position


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


def _so_far(position: Position, running: Mapping[str, Tensor]) -> str:
    """An unfinished epoch in a few words."""
    shown = [
        f"{name} {float(total) / position.seen:.3f}" for name, total in running.items() if name == "loss"
    ]
    return "  ".join([*shown, f"{position.seen / position.seconds:.0f} images/s"])


def _begin_phase(job: Job, phase: Phase, average: Follower | None) -> Follower | None:
    """Bring in the weights a phase starts from."""
    if phase.start is None:
        return average
    weights, origin = job.starts[phase.start] if phase.start in job.starts else starting_weights(phase.start)
    loaded = load_weights(
        job.network, weights, job.architecture, adapt=True, origin=origin, taken=phase.taken
    )
    job.reporter.note(f"weights from {phase.start}: {loaded.describe()}")
    return follower(job.network, job.recipe)


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


def _validate(job: Job, average: Follower | None, each: Callable[[int], None]) -> dict[str, float]:
    """The scores on the validation images, of which each process measures its part."""
    if job.make_metric is None:
        return {}
    predictor = Predictor(average.network if average else job.network, job.header, job.plan)
    metric = job.make_metric()
    alone = job.ranks.count == 1
    predictor.measure(job.source, job.ranks.part(job.val), metric, each=each if alone else None)
    if not alone:
        metric.merge(job.ranks.gather(metric))
    return dict(metric.compute())


def _due(every: int | None, steps: int) -> bool:
    return every is not None and steps % every == 0
