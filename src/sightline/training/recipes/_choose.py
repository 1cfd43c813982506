"""The recipe a user names, or the one that suits."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

from sightline.base import ArgumentError, SightlineError, did_you_mean
from sightline.machine import ranks_here
from sightline.training._recipe import Recipe
from sightline.training.recipes._airbench94 import PEAKS, airbench94
from sightline.training.recipes._alexnet_2012 import alexnet_2012
from sightline.training.recipes._default import default
from sightline.training.recipes._fine_tune import fine_tune
from sightline.training.recipes._googlenet_2014 import googlenet_2014
from sightline.training.recipes._lenet_1998 import lenet_1998
from sightline.training.recipes._linear_probe import linear_probe
from sightline.training.recipes._modern import modern
from sightline.training.recipes._parts import is_small
from sightline.training.recipes._prelu_2015 import prelu_2015
from sightline.training.recipes._resnet_2015 import resnet_2015
from sightline.training.recipes._vgg_2014 import vgg_2014
from sightline.zoo import load_object

_RECIPES: dict[str, Callable[..., Recipe]] = {
    "airbench94": airbench94,
    "alexnet_2012": alexnet_2012,
    "default": default,
    "fine_tune": fine_tune,
    "googlenet_2014": googlenet_2014,
    "lenet_1998": lenet_1998,
    "linear_probe": linear_probe,
    "modern": modern,
    "prelu_2015": prelu_2015,
    "resnet_2015": resnet_2015,
    "vgg_2014": vgg_2014,
}

_FEW_IMAGES = 5_000
"""Fewer do not teach a network its lower layers anew: from trained weights these move slowly."""

_FEW_EPOCHS = 3
"""Fewer leave no time for the head alone."""

_FEW_MINUTES = 2.0
"""In no more, only a head on finished features is trained."""


def choose_recipe(
    spec: str | None,
    *,
    num_images: int,
    channels: int,
    size: tuple[int, int],
    epochs: int | None = None,
    weights: bool = False,
    head: str = "",
    stages: tuple[tuple[str, ...], ...] = (),
    stem: str = "",
    model: str = "",
    depth: int = 0,
    objective: str = "cross_entropy",
    minutes: float | None = None,
    probe: bool = True,
) -> Recipe:
    """The recipe of this name.

    Args:
        spec: A name, with `_` or `-`; `FILE.py:NAME` of a function that returns a `Recipe`; None for the one
            that suits images, weights and time.
        num_images: Images to train on.
        channels: 1 or 3.
        size: (height, width) the network is given.
        epochs: How long it will be, if that is chosen already.
        weights: Whether the network starts from trained weights.
        head: The module that gives the logits, if it is known.
        stages: Of each stage from the images on, the modules that hold its parameters, as patterns.
        stem: The first module with parameters, if it is known.
        model: The network's name.
        depth: Its layers that have weights; 0 where that is not known.
        objective: The name of its objective.
        minutes: The time there is, if it is limited.
        probe: Whether a linear probe may be the one that suits.

    A recipe is called with those of all but the first and the last that it takes, ours and a user's alike.

    Raises:
        ArgumentError: if there is no such recipe, it is for other images or other networks, or the user's
            function does not return one.
    """
    known = {
        "num_images": num_images, "channels": channels, "size": size, "epochs": epochs, "weights": weights,
        "head": head, "stages": stages, "stem": stem, "model": model, "depth": depth, "objective": objective,
        "minutes": minutes,
    }  # fmt: skip
    if spec is None:
        name, reason = _suits(known, probe)
        recipe: Recipe = _call(_RECIPES[name], known)
        return dataclasses.replace(recipe, why=f"{reason}; {recipe.why}") if reason else recipe
    name = spec.replace("-", "_")
    if name in _RECIPES:
        named: Recipe = _call(_RECIPES[name], known)
        return named
    file, colon, _ = spec.rpartition(":")
    if not (colon and file.endswith(".py")):
        raise ArgumentError(f"no recipe named {spec!r}; {did_you_mean(name, _RECIPES)}, or FILE.py:NAME")
    given, _ = load_object(spec)
    if not callable(given):
        raise ArgumentError(f"{spec} is {type(given).__name__}; expected a function that returns a Recipe")
    try:
        made = _call(given, known)
    except SightlineError as error:
        raise ArgumentError(f"{spec}: {error}") from error
    except (Exception, SystemExit) as error:  # whatever the user's code does wrong
        raise ArgumentError(
            f"{spec} fails: {type(error).__name__}: {' '.join(str(error).split())}"
        ) from error
    if not isinstance(made, Recipe):
        raise ArgumentError(f"{spec} returns {type(made).__name__}, not a Recipe")
    return made


def _call(function: Callable[..., Any], known: dict[str, Any]) -> Any:
    """What a recipe returns, given what it takes of what is known."""
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return function(**known)
    taken = {parameter.name for parameter in parameters}
    return function(**{name: value for name, value in known.items() if name in taken})


def _suits(known: dict[str, Any], probe: bool) -> tuple[str, str]:
    """The name of the recipe that suits, and why; no reason for `default`, which gives its own."""
    images, epochs, minutes = known["num_images"], known["epochs"], known["minutes"]
    if known["weights"] and known["head"]:
        short = minutes is not None and minutes <= _FEW_MINUTES
        if probe and short and epochs is None and ranks_here().count == 1:
            return "linear_probe", f"from trained weights in {minutes:g} minutes, so a linear probe"
        if images < _FEW_IMAGES and (epochs is None or epochs >= _FEW_EPOCHS):
            return "fine_tune", f"from trained weights, and fewer than {_FEW_IMAGES:,} images, so fine-tuned"
    if (
        not known["weights"]
        and known["model"] in PEAKS
        and known["channels"] == 3
        and is_small(known["size"])
    ):
        return "airbench94", f"{known['model']} on small colour images, so by its own recipe"
    return "default", ""
