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
    scale_decay: bool = True
    """Whether weight decay grows with a phase's rate of a parameter, as torch's does; if not, `lr` times
    `weight_decay` is what a step takes off at every rate."""
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
    taken: dict[str, str] = dataclasses.field(default_factory=dict)
    """Of `start`, only these modules, by their path here and their path there; the others keep their random
    weights. Empty for all, under the same names."""
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
class Lookahead:
    """Slow weights that follow the network, and that the network is set back to.

    Source: Zhang, Lucas, Hinton, Ba 2019, "Lookahead optimizer: k steps forward, 1 step back"; the growing
    decay is that of Jordan 2024, "94% on CIFAR-10 in 3.29 seconds".
    """

    every: int = pydantic.Field(default=5, ge=1)
    """Steps from one meeting to the next; there is one after the last step as well."""
    decay: float = pydantic.Field(default=0.95**5, ge=0.0, lt=1.0)
    """Share of the slow weights that stays at a meeting, at the end of training."""
    power: float = pydantic.Field(default=3.0, ge=0.0)
    """After a share t of all steps the decay is `decay` times t to this power."""


@pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=_FORBID)
class Probe:
    """A head alone, by logistic regression on what the trained network gives it: no step is taken.

    What is minimised is the mean cross-entropy of the training images plus `strength` / 2 times the sum of
    the squared weights, those of features brought to zero mean and unit deviation; biases are free.
    """

    strengths: tuple[Annotated[float, pydantic.Field(gt=0.0, allow_inf_nan=False)], ...] = pydantic.Field(
        default=(1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6), min_length=1
    )
    """Of the L2 penalty; the one with the best `select` on the validation images is taken."""


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
    max_steps: int | None = pydantic.Field(default=None, ge=1)
    """Stop after so many steps, within the last epoch; the schedule ends there. None for whole epochs."""
    augmentation: Augmentation = Augmentation()
    window: float | None = pydantic.Field(default=None, gt=0.0, le=1.0)
    """Share of the canvas's sides that the network is shown of an image when it is judged, from its centre:
    224 of 256 is 0.875. None: the whole canvas, which is then the network's size."""
    framing: Literal["whole", "cover"] = "whole"
    """How an image lies on the canvas: all of it, or its central square as in the papers on ImageNet."""
    holdout: bool = True
    """Whether some of train is held out for validation where a set has none. Without, a recipe learns from
    all of it, and nothing can be selected by it."""
    balance: Literal["none", "weights", "sampling"] = "none"
    """For classes of unequal size. `weights`: the loss of an image counts by the inverse of its class's
    share of the training images, on average 1. `sampling`: an epoch shows each class equally often, images
    of a rare class more than once, and as many images in all."""
    objective: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Arguments of the architecture's objective, e.g. `{"label_smoothing": 0.1}`."""
    ema_decay: float | None = pydantic.Field(default=None, gt=0.0, lt=1.0)
    """Per step; early steps use (1 + t) / (10 + t) where that is smaller. None for no average."""
    lookahead: Lookahead | None = None
    """Slow weights instead of an average."""
    clip_norm: float | None = pydantic.Field(default=None, gt=0.0)
    """Largest norm of an optimizer's gradients together."""
    select: str | None = "accuracy"
    """The metric that chooses `best`; None for the last epoch."""
    patience: int | None = pydantic.Field(default=None, ge=1)
    """Stop after so many epochs without a better `select`."""
    snapshot_every: int = pydantic.Field(default=0, ge=0)
    """Keep the weights of every so many epochs in `snapshots/`; 0 for none."""
    probe: Probe | None = None
    """Fit the head alone to the features of the trained network, instead of training; None to train."""

    @property
    def epochs(self) -> int:
        """Epochs of all phases."""
        return sum(phase.epochs for phase in self.phases)

    @property
    def canvas_ratio(self) -> float:
        """Sides of the canvas as a multiple of the network's, so that every window has its pixels."""
        if self.augmentation.scale is not None:
            return self.augmentation.scale[1]
        return 1.0 if self.window is None else 1.0 / self.window

    def phase_of(self, epoch: int) -> tuple[int, int]:
        """The phase of an epoch, and its epoch within it, all from 0."""
        for index, phase in enumerate(self.phases):
            if epoch < phase.epochs:
                return index, epoch
            epoch -= phase.epochs
        raise ArgumentError(f"epoch {epoch} is beyond the recipe's {self.epochs}")

    def phase_steps(self, index: int, steps_an_epoch: int) -> int:
        """Steps of a phase, given those of a whole epoch.

        Raises:
            ArgumentError: if `max_steps` are over before the last epoch begins.
        """
        whole = self.phases[index].epochs * steps_an_epoch
        if self.max_steps is None or index < len(self.phases) - 1:
            return whole
        missing = self.epochs * steps_an_epoch - self.max_steps
        if missing >= steps_an_epoch:
            needed = -(-self.max_steps // steps_an_epoch)
            raise ArgumentError(
                f"recipe: max_steps {self.max_steps} are over after {needed} epochs of {steps_an_epoch} "
                f"steps; its epochs are {self.epochs}"
            )
        return whole - max(0, missing)

    def with_epochs(self, epochs: int) -> Recipe:
        """The same with another total, in whole epochs: the last phase gets longer or shorter.

        Raises:
            ArgumentError: if the earlier phases alone are that long.
        """
        if self.probe is not None:
            return self  # it shows the network each image once
        before = self.epochs - self.phases[-1].epochs
        if epochs <= before:
            raise ArgumentError(f"--epochs is {epochs}; recipe {self.name} needs more than {before}")
        last = dataclasses.replace(self.phases[-1], epochs=epochs - before)
        return dataclasses.replace(self, phases=(*self.phases[:-1], last), max_steps=None)

    def with_lr(self, lr: float) -> Recipe:
        """The same with another peak rate for every optimizer.

        Raises:
            ArgumentError: if the rate is not above 0.
        """
        if not lr > 0:
            raise ArgumentError(f"--lr must be above 0; it is {lr}")
        if self.probe is not None:
            raise ArgumentError(f"--lr is {lr:g}; recipe {self.name} takes no steps: leave it out")
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
    if recipe.ema_decay is not None and recipe.lookahead is not None:
        raise ArgumentError("recipe: ema_decay and lookahead exclude each other")
    if not recipe.holdout and (recipe.select is not None or recipe.patience is not None):
        raise ArgumentError("recipe: without holdout there is nothing to select by; set select to None")
    if not recipe.holdout and any(phase.schedule.kind == "plateau" for phase in recipe.phases):
        raise ArgumentError("recipe: without holdout there is no score whose plateau a schedule can meet")
    if recipe.probe is not None:
        _check_probe(recipe)
    if recipe.balance == "weights" and "class_weights" in recipe.objective:
        raise ArgumentError(
            "recipe: balance weights and the objective's own class_weights exclude each other"
        )
    return recipe


def _check_probe(recipe: Recipe) -> None:
    """Whether nothing is asked of a probe that only training can do."""
    if len(recipe.phases) != 1 or recipe.epochs != 1:
        raise ArgumentError("recipe: a probe shows each image once: one phase of one epoch")
    if recipe.augmentation != Augmentation():
        raise ArgumentError(
            "recipe: a probe shows each image once, as it is; leave out augmentation, --symmetry"
        )
    for name in ("max_steps", "ema_decay", "lookahead", "clip_norm", "patience"):
        if getattr(recipe, name) is not None:
            raise ArgumentError(f"recipe: a probe takes no steps; leave out {name}")
    if recipe.objective.get("label_smoothing"):
        raise ArgumentError("recipe: a probe is fitted to the labels as they are; leave out label_smoothing")


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
