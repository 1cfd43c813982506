"""The recipe a user names, or the default."""

from __future__ import annotations

import inspect

from sightline.base import ArgumentError, did_you_mean
from sightline.training._recipe import Recipe
from sightline.training.recipes._default import default
from sightline.zoo import load_object

_RECIPES = {"default": default}


def choose_recipe(
    spec: str | None,
    *,
    num_images: int,
    channels: int,
    size: tuple[int, int],
    epochs: int | None = None,
    weights: bool = False,
    head: str = "",
) -> Recipe:
    """The recipe of this name.

    Args:
        spec: A name, `FILE.py:NAME` of a function that returns a `Recipe`, or None for the default.
        num_images: Images to train on.
        channels: 1 or 3.
        size: (height, width) the network is given.
        epochs: How long it will be, if that is chosen already.
        weights: Whether the network starts from trained weights.
        head: The module that gives the logits, if it is known.

    A function of the user's is called with those of these that it takes.

    Raises:
        ArgumentError: if there is no such recipe, or the user's function does not return one.
    """
    known = {
        "num_images": num_images, "channels": channels, "size": size, "epochs": epochs, "weights": weights,
        "head": head,
    }  # fmt: skip
    if spec is None or spec in _RECIPES:
        function = _RECIPES[spec or "default"]
        return function(
            num_images=num_images, channels=channels, size=size, epochs=epochs, weights=weights, head=head
        )
    file, colon, _ = spec.rpartition(":")
    if not (colon and file.endswith(".py")):
        raise ArgumentError(f"no recipe named {spec!r}; {did_you_mean(spec, _RECIPES)}, or FILE.py:NAME")
    given, _ = load_object(spec)
    if not callable(given):
        raise ArgumentError(f"{spec} is {type(given).__name__}; expected a function that returns a Recipe")
    taken = {name: value for name, value in known.items() if name in inspect.signature(given).parameters}
    try:
        recipe = given(**taken)
    except Exception as error:  # whatever the user's code does wrong
        raise ArgumentError(
            f"{spec} fails: {type(error).__name__}: {' '.join(str(error).split())}"
        ) from error
    if not isinstance(recipe, Recipe):
        raise ArgumentError(f"{spec} returns {type(recipe).__name__}, not a Recipe")
    return recipe
