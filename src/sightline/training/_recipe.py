"""The recipe: every choice of a training run, checked when it is made, written to `args.yaml`."""

from __future__ import annotations

import dataclasses
import fnmatch
import math
from typing import Annotated, Any, Literal

import pydantic

from sightline.base import ArgumentError
from sightline.imaging import Augmentation

_FORBID = pydantic.ConfigDict(extra="forbid")


@pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=_FORBID)
class Schedule:
    """The learning rate over a phase, as a factor of its peak.

    Every kind goes up over `warm_up` first: `one_cycle` along a cosine, the others in a straight line.
    """

    kind: Literal["one_cycle", "cosine", "linear", "step", "plateau", "constant"] = "one_cycle"
    """What comes after. `one_cycle` (Smith 2018; the momentum is not cycled) and `cosine` (Loshchilov and
    Hutter 2017, one period): a cosine down to `end`. `linear`: a straight line down to `end`. `step`: times
    `drop` at each of `milestones`. `plateau`: times `drop` after `wait` epochs without a better score on the
    validation images. `constant`: nothing."""
    warm_up: float = pydantic.Field(default=0.25, ge=0.0, lt=1.0)
    """Fraction of the phase's steps spent going up."""
    start: float = pydantic.Field(default=0.04, ge=0.0, le=1.0)
    """Factor at the first step, where there is a warm-up."""
    end: float = pydantic.Field(default=1e-4, ge=0.0, le=1.0)
    """Factor at the last step; of `plateau`, the smallest."""
    milestones: tuple[Annotated[float, pydantic.Field(gt=0.0, lt=1.0)], ...] = (0.5, 0.75)
    """Of `step`: fractions of the phase's steps."""
    drop: float = pydantic.Field(default=0.1, gt=0.0, lt=1.0)
    """Of `step` and `plateau`."""
    wait: int = pydantic.Field(default=5, ge=1)
    """Of `plateau`: epochs. The score is the recipe's `select`, or the loss where it selects nothing."""

    def factor(self, step: int, steps: int, drops: int = 0) -> float:
        """The factor at a step.

        Args:
            step: From 0.
            steps: Steps of the phase.
            drops: How often a `plateau` was met so far.

        Example:
            >>> Schedule(warm_up=0.5, end=0.0).factor(5, 11)
            1.0
        """
        position = step / max(1, steps - 1)
        if position < self.warm_up:
            up = position / self.warm_up
            if self.kind == "one_cycle":
                up = (1 - math.cos(math.pi * up)) / 2
            return self.start + (1 - self.start) * up
        if self.kind == "constant":
            return 1.0
        if self.kind == "plateau":
            return max(self.end, self.drop**drops)
        if self.kind == "step":
            return self.drop ** sum(position >= milestone for milestone in self.milestones)
        down = (position - self.warm_up) / (1 - self.warm_up)
        left = 1 - down if self.kind == "linear" else (1 + math.cos(math.pi * down)) / 2
        return self.end + (1 - self.end) * left


@pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=_FORBID)
class Optimizer:
    """One named optimizer: what it moves, and how."""

    kind: Literal["adamw", "sgd"] = "adamw"
    lr: float = pydantic.Field(default=1e-3, gt=0.0)
    """Peak learning rate, per mean loss of a batch."""
    weight_decay: float = pydantic.Field(default=0.01, ge=0.0)
    """Decoupled for AdamW, added to the gradient for SGD."""
    decay_all: bool = False
    """Whether biases and normalisation (parameters with at most one axis) decay as well."""
    momentum: float = pydantic.Field(default=0.9, ge=0.0, lt=1.0)
    """SGD's momentum, AdamW's first beta."""
    beta2: float = pydantic.Field(default=0.999, ge=0.0, lt=1.0)
    """AdamW's second beta."""
    nesterov: bool = True
    """SGD only."""
    parameters: tuple[str, ...] = ("*",)
    """Patterns of the parameters it moves; a module's path means all below it."""


@pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=_FORBID)
class Phase:
    """Some epochs with one set of trainable parameters and one pass of the schedule."""

    epochs: int = pydantic.Field(ge=1)
    trainable: tuple[str, ...] = ("*",)
    """Patterns of the parameters that move; modules with none that do stay in evaluation mode."""
    rates: dict[str, float] = dataclasses.field(default_factory=dict)
    """Learning-rate factors by pattern; the last pattern that matches counts."""
    frozen_after: dict[str, int] = dataclasses.field(default_factory=dict)
    """Patterns of parameters that stop moving after so many epochs of this phase."""
    start: str | None = None
    """Where the weights come from when the phase begins: a run, a model file, a weights file. Head and
    stem stay as they are where they do not fit."""
    schedule: Schedule = Schedule()

    def trains(self, name: str, epoch: int) -> bool:
        """Whether a parameter moves in an epoch of this phase, from 0."""
        stopped = any(matches(name, pattern) and epoch >= n for pattern, n in self.frozen_after.items())
        return not stopped and any(matches(name, pattern) for pattern in self.trainable)

    def rate(self, name: str) -> float:
        """The learning-rate factor of a parameter."""
        found = [factor for pattern, factor in self.rates.items() if matches(name, pattern)]
        return found[-1] if found else 1.0


@pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=_FORBID)
class Recipe:
    """How a network is trained. Single values are checked when it is made, the whole by `recipe_from`."""

    name: str = "custom"
    why: str = ""
    """For a person: why these choices."""
    phases: tuple[Phase, ...] = pydantic.Field(min_length=1)
    optimizers: dict[str, Optimizer] = dataclasses.field(default_factory=lambda: {"main": Optimizer()})
    """By the names that the objective yields."""
    batch_size: int = pydantic.Field(default=128, ge=1)
    """Images of one optimizer step, at most: an epoch is divided into equal batches."""
    accumulate: int = pydantic.Field(default=1, ge=1)
    """Micro-batches a step's images are divided into, one in memory at a time."""
    augmentation: Augmentation = Augmentation()
    balance: Literal["none", "weights", "sampling"] = "none"
    """For classes of unequal size. `weights`: the loss of an image counts by the inverse of its class's
    share of the training images, on average 1. `sampling`: an epoch shows each class equally often, images
    of a rare class more than once, and as many images in all."""
    objective: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Arguments of the architecture's objective, e.g. `{"label_smoothing": 0.1}`."""
    ema_decay: float | None = pydantic.Field(default=None, gt=0.0, lt=1.0)
    """Per step; early steps use (1 + t) / (10 + t) where that is smaller. None for no average."""
    clip_norm: float | None = pydantic.Field(default=None, gt=0.0)
    """Largest norm of an optimizer's gradients together."""
    select: str | None = "accuracy"
    """The metric that chooses `best`; None for the last epoch."""
    patience: int | None = pydantic.Field(default=None, ge=1)
    """Stop after so many epochs without a better `select`."""
    snapshot_every: int = pydantic.Field(default=0, ge=0)
    """Keep the weights of every so many epochs in `snapshots/`; 0 for none."""

    @property
    def epochs(self) -> int:
        """Epochs of all phases."""
        return sum(phase.epochs for phase in self.phases)

    def phase_of(self, epoch: int) -> tuple[int, int]:
        """The phase of an epoch, and its epoch within it, all from 0."""
        for index, phase in enumerate(self.phases):
            if epoch < phase.epochs:
                return index, epoch
            epoch -= phase.epochs
        raise ArgumentError(f"epoch {epoch} is beyond the recipe's {self.epochs}")

    def with_epochs(self, epochs: int) -> Recipe:
        """The same with another total: the last phase gets longer or shorter.

        Raises:
            ArgumentError: if the earlier phases alone are that long.
        """
        before = self.epochs - self.phases[-1].epochs
        if epochs <= before:
            raise ArgumentError(f"--epochs is {epochs}; recipe {self.name} needs more than {before}")
        last = dataclasses.replace(self.phases[-1], epochs=epochs - before)
        return dataclasses.replace(self, phases=(*self.phases[:-1], last))

    def with_lr(self, lr: float) -> Recipe:
        """The same with another peak rate for every optimizer.

        Raises:
            ArgumentError: if the rate is not above 0.
        """
        if not lr > 0:
            raise ArgumentError(f"--lr must be above 0; it is {lr}")
        changed = {name: dataclasses.replace(o, lr=lr) for name, o in self.optimizers.items()}
        return dataclasses.replace(self, optimizers=changed)

    def settings(self) -> dict[str, Any]:
        """All of it as JSON; `recipe_from(settings)` is the same recipe."""
        return pydantic.TypeAdapter(Recipe).dump_python(self, mode="json")  # type: ignore[no-any-return]


def recipe_from(settings: dict[str, Any]) -> Recipe:
    """A recipe from its settings.

    Raises:
        ArgumentError: if a setting is unknown or not allowed; it names the first.
    """
    try:
        recipe = pydantic.TypeAdapter(Recipe).validate_python(settings)
    except pydantic.ValidationError as error:
        raise ArgumentError(f"recipe: {explain(error)}") from error
    if recipe.patience is not None and recipe.select is None:
        raise ArgumentError("recipe: patience needs a metric to wait for; set select")
    if recipe.balance == "weights" and "class_weights" in recipe.objective:
        raise ArgumentError(
            "recipe: balance weights and the objective's own class_weights exclude each other"
        )
    return recipe


def explain(error: pydantic.ValidationError) -> str:
    """The first thing that is wrong with some settings, in one line."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}, not {first.get('input')!r}"


def matches(name: str, pattern: str) -> bool:
    """Whether a parameter's name is a pattern's, or lies below a module's path.

    Example:
        >>> matches("layer1.0.conv1.weight", "layer1"), matches("layer10.bias", "layer1")
        (True, False)
    """
    return fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(name, f"{pattern}.*")
