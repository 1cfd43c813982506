"""What a user did not choose is chosen here; what was chosen goes into the recipe."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any, Literal, get_args

from torch import nn

from sightline.base import ArgumentError
from sightline.data import DEFAULT_BUDGET_MB, ImageSet, Split
from sightline.tasks import Objective, make_objective
from sightline.training._recipe import Recipe, recipe_from
from sightline.training.recipes import choose_recipe, stage_modules
from sightline.zoo import Architecture

CHECKPOINT_SECONDS = 60.0
"""Longest time between two checkpoints, unless chosen otherwise."""

Balance = Literal["none", "weights", "sampling"]
Symmetry = Literal["none", "mirror", "all"]
_FLIPS: dict[str, Literal["none", "horizontal", "both"]] = {
    "none": "none",
    "mirror": "horizontal",
    "all": "both",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What a user can choose of a run; each field as the argument of `train`."""

    data: str
    source: str | None = None
    """What the images are called, if not `data`."""
    model: str | None = None
    recipe: str | Recipe | None = None
    weights: str | None = None
    epochs: int | None = None
    minutes: float | None = None
    batch_size: int | None = None
    lr: float | None = None
    img_size: int | None = None
    group_by: str | None = None
    fold: tuple[int, int] | None = None
    """Which fold is the test part, from 1, and of how many."""
    balance: str | None = None
    select: str | None = None
    symmetry: str | None = None
    seed: int = 0
    split_seed: int = 0
    allow_unreadable: bool = False
    pages: str = ""
    examine: bool = True
    """Whether the data doctor looks at the images first: of a series, before its first run alone."""
    device: str = "auto"
    precision: str = "auto"
    output: Path | str | None = None
    exist_ok: bool = False
    cache_mb: int = DEFAULT_BUDGET_MB
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    checkpoint_steps: int | None = None

    def check(self) -> None:
        """Whether they can be what they are, and be together.

        Raises:
            ArgumentError: if not; it names the first.
        """
        for name, value, allowed in (
            ("precision", self.precision, ("auto", "fp32", "bf16")),
            ("balance", self.balance, (None, *get_args(Balance))),
            ("symmetry", self.symmetry, (None, *get_args(Symmetry))),
        ):
            if value not in allowed:
                there = ", ".join(one for one in allowed if one)
                raise ArgumentError(f"--{name} is {value!r}; there are {there}")
        output, data = self.output, Path(self.data)
        if output is not None and data.is_dir() and Path(output).resolve() == data.resolve():
            raise ArgumentError(f"--output {output} is the folder of the images; give the run one of its own")
        if self.minutes is not None and not 0 < self.minutes < math.inf:
            raise ArgumentError(f"--minutes must be above 0, and end; it is {self.minutes:g}")
        if self.minutes is not None and self.epochs is not None:
            raise ArgumentError("--minutes and --epochs exclude each other")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Again:
    """What a user can choose of a run that goes on; each field as the argument of `resume`."""

    epochs: int | None = None
    model: str | None = None
    device: str | None = None
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    checkpoint_steps: int | None = None


def run_name(architecture: str, data: str) -> str:
    """What a run is called where nobody says."""
    return f"{architecture}-{Path(data).resolve().name if Path(data).exists() else data}"


def default_model(images: ImageSet) -> str:
    """The network for images of this size and colour, where none is named."""
    side = max(images.one_size) if images.one_size else 224
    if side <= 16:
        return "lenet5"
    if side <= 40 and images.channels == 1:
        return "lecture_cnn"
    return "resnet20" if side <= 64 else "resnet18"


def chosen_recipe(
    options: Options,
    images: ImageSet,
    split: Split,
    architecture: Architecture,
    network: nn.Module,
    size: tuple[int, int],
    start: str | None,
) -> Recipe:
    """The recipe named, or the one that suits, with what the user chose instead; checked again.

    Args:
        options: What the user chose; `epochs` beside `minutes` are how many fit.
        images: The set.
        split: Its division.
        architecture: Of the network: its name, stem, head and stages.
        network: Is looked at for which of its modules hold parameters.
        size: (height, width) the network is given.
        start: Weights it starts from.

    Raises:
        ArgumentError: if there is no such recipe, or what is chosen does not go with it.
    """
    recipe = options.recipe
    if not isinstance(recipe, Recipe):
        recipe = choose_recipe(
            recipe,
            num_images=len(split.indices("train")), channels=images.channels, size=size,
            epochs=options.epochs, weights=start is not None, minutes=options.minutes,
            head=_holding(network, architecture.head), stem=_holding(network, architecture.stem),
            stages=stage_modules(network, [stage.path for stage in architecture.stages]),
            probe=_could_probe(options, network, architecture),
            model=architecture.name, depth=architecture.depth, objective=architecture.objective,
        )  # fmt: skip
    changed: dict[str, Any] = {}
    instead: list[str] = []
    if options.epochs is not None:
        recipe = recipe.with_epochs(options.epochs)
        if options.minutes is None:
            instead.append(f"{options.epochs} epochs")
    if options.lr is not None:
        recipe = recipe.with_lr(options.lr)
        instead.append(f"learning rate {options.lr:g}")
    if options.batch_size is not None:
        changed |= {"batch_size": options.batch_size, "max_steps": None}  # steps of other batches
        instead.append(f"batches of at most {options.batch_size}")
    if options.select is not None:
        changed |= {"select": options.select, "holdout": True}
        if not recipe.holdout:
            instead.append(f"images are held out to select by {options.select}")
    if options.balance is not None:
        changed["balance"] = options.balance
    augmentation = recipe.augmentation
    if options.symmetry is not None:
        square = size[0] == size[1]
        augmentation = dataclasses.replace(
            augmentation,
            flip=_FLIPS[options.symmetry],
            transpose=options.symmetry == "all" and square,
        )
        turned = "by quarters" if square else "by halves, for the input is not square"
        words = {"none": "never mirrored", "mirror": "mirrored", "all": f"mirrored and turned {turned}"}
        instead.append(words[options.symmetry])
    if augmentation.colour and (images.channels != 3 or images.depth != "uint8"):
        augmentation = dataclasses.replace(augmentation, colour=0.0)
        instead.append("no colour jitter, for the images are not 8-bit RGB")
    if augmentation.pca and images.channels != 3:
        augmentation = dataclasses.replace(augmentation, pca=0.0)
        instead.append("no change along the axes of colour, for the images have none")
    if start is not None:
        if Path(start).exists():
            start = str(Path(start).resolve())
        first = dataclasses.replace(recipe.phases[0], start=start)
        changed["phases"] = (first, *recipe.phases[1:])
    chosen = f"instead, {', '.join(instead)}" if instead else ""
    why = "; ".join(part for part in (recipe.why, chosen) if part)
    changed |= {"augmentation": augmentation, "why": why}
    return recipe_from(dataclasses.replace(recipe, **changed).settings())


def _holding(network: nn.Module, path: str) -> str:
    """A module's path if it is known and holds parameters, else nothing."""
    owns = path and any(name.startswith(f"{path}.") for name, _ in network.named_parameters())
    return path if owns else ""


def _could_probe(options: Options, network: nn.Module, architecture: Architecture) -> bool:
    """Whether a linear probe could be chosen for a user: it takes no steps, and replaces a linear layer."""
    steps = (options.lr, options.batch_size, options.balance, options.select, options.symmetry)
    head = network.get_submodule(architecture.head)
    return all(one is None for one in steps) and isinstance(head, nn.Linear)


def chosen_objective(architecture: Architecture, recipe: Recipe, images: ImageSet, split: Split) -> Objective:
    """The architecture's objective with the recipe's arguments, classes weighted where it says so."""
    settings = dict(recipe.objective)
    if recipe.balance == "weights":
        counts = images.counts(split.indices("train"))
        settings["class_weights"] = [float(w) for w in counts.sum() / (len(counts) * counts)]
    return make_objective(architecture.objective, settings)


def imbalance(images: ImageSet, split: Split, recipe: Recipe) -> str:
    """A word on classes of very unequal size, if nothing is done about it; else nothing."""
    counts = images.counts(split.indices("train"))
    if recipe.balance != "none" or counts.max() < _UNEQUAL * counts.min():
        return ""
    rare, common = images.classes[int(counts.argmin())], images.classes[int(counts.argmax())]
    return (
        f"classes are unequal: {counts.max()} images of {common} to train on, {counts.min()} of {rare}; "
        f"see --balance weights, --balance sampling and --select balanced_accuracy"
    )


_UNEQUAL = 10
"""How many times as large a class is unequal to another."""
