"""The recipe a user names, or the default."""

from __future__ import annotations

import inspect

from sightline.base import ArgumentError, did_you_mean
from sightline.training._recipe import Recipe
from sightline.training.recipes._default import default
from sightline.zoo import load_object

_RECIPES = {"default": default}


def choose_recipe(spec: str | None, *, num_images: int, channels: int, size: tuple[int, int]) -> Recipe:
    """The recipe of this name.

    Args:
        spec: A name, `FILE.py:NAME` of a function that returns a `Recipe`, or None for the default.
        num_images: Images to train on.
        channels: 1 or 3.
        size: (height, width) the network is given.

    Raises:
        ArgumentError: if there is no such recipe, or the user's function does not return one.
    """
    known = {"num_images": num_images, "channels": channels, "size": size}
    if spec is None or spec in _RECIPES:
        return _RECIPES[spec or "default"](num_images=num_images, channels=channels, size=size)
    file, colon, _ = spec.rpartition(":")
    if not (colon and file.endswith(".py")):
        raise ArgumentError(f"no recipe named {spec!r}; {did_you_mean(spec, _RECIPES)}, or FILE.py:NAME")
    function, _ = load_object(spec)
    if not callable(function):
        raise ArgumentError(f"{spec} is {type(function).__name__}; expected a function that returns a Recipe")
    taken = {name: value for name, value in known.items() if name in inspect.signature(function).parameters}
    try:
        recipe = function(**taken)
    except Exception as error:  # whatever the user's code does wrong
        raise ArgumentError(
            f"{spec} fails: {type(error).__name__}: {' '.join(str(error).split())}"
        ) from error
    if not isinstance(recipe, Recipe):
        raise ArgumentError(f"{spec} returns {type(recipe).__name__}, not a Recipe")
    return recipe
