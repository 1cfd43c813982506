"""How long training will take, and how much of it fits into some minutes."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import numpy as np

from sightline.base import ArgumentError
from sightline.data import ImageSet, Split
from sightline.imaging import Canvas, read_framed
from sightline.machine import PlanChoice, usable_cores
from sightline.training._recipe import Recipe

SMALLER = (160, 128, 96, 64)
"""Sides of input that are tried, one after the other, where the network's own takes too long."""

FEWEST_EPOCHS = 10
"""So many epochs must fit into the time, or a smaller input is taken."""

MOST_TIMES = 3
"""However much time there is: so many times the recipe's own epochs."""

_RESERVE = 1.15
"""The plan's times are the shortest of several: what a step takes in the long run is more."""
_JUDGING = 0.5
"""Seconds per second of a training pass that judging takes at the end, in fp32."""
_PROBED = 16
"""Images decoded to time decoding."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pace:
    """Seconds that things take on this machine, by estimate."""

    image: float
    """Of an image in training: forward, backward, step, and decoding where that is done each time."""

    def epoch(self, split: Split) -> float:
        """Of an epoch with its validation, whose forward pass alone is a third."""
        return self.image * (len(split.indices("train")) + len(split.indices("val")) / 3)

    def judging(self, split: Split) -> float:
        """Of judging the test and validation images in fp32."""
        return self.image * _JUDGING * (len(split.indices("test")) + len(split.indices("val")))


def pace_of(choice: PlanChoice, recipe: Recipe, num_images: int, decoding: float) -> Pace:
    """The pace under a timed plan.

    Args:
        choice: The plan with its seconds a step.
        recipe: Says how many images a step has.
        num_images: Images to train on.
        decoding: Seconds an image is decoded, if it is each time it is used.
    """
    steps = -(-num_images // recipe.batch_size)
    step = choice.seconds_per_step[choice.plan.short()]
    return Pace(image=_RESERVE * step * steps / num_images + decoding / usable_cores())


def decoding_seconds(images: ImageSet, canvas: Canvas) -> float:
    """Seconds to decode and frame an image, from a few evenly chosen; 0 of what is in memory."""
    if images.root is None:
        return 0.0
    chosen = np.unique(np.linspace(0, len(images) - 1, _PROBED).round().astype(int))
    began = time.perf_counter()
    for index in chosen:
        read_framed(images.source_of(int(index)), canvas, reduced=True)
    return (time.perf_counter() - began) / len(chosen)


def epochs_that_fit(seconds: float, pace: Pace, split: Split, recipe: Recipe) -> int:
    """How many epochs, with judging after them, fit into some seconds; 0 if none does."""
    epochs = int((seconds - pace.judging(split)) / pace.epoch(split))
    return max(0, min(epochs, MOST_TIMES * recipe.epochs))


def fitted(remade: Callable[[int], Recipe], own: Recipe, epochs: int, minutes: float) -> Recipe:
    """The recipe over as many epochs as fit, and why; over the fewest it can have, if too few do.

    Args:
        remade: The recipe over so many epochs; it raises `ArgumentError` where it cannot be so short.
        own: The recipe as long as it is by itself.
        epochs: How many fit.
        minutes: The time there is.
    """
    number = max(1, epochs)
    while True:
        try:
            changed = remade(number)
        except ArgumentError:
            if number >= own.epochs:
                raise
            number += 1
        else:
            break
    word = f"{number} epochs fit into {minutes:g} minutes"
    if number > epochs:
        word = f"{minutes:g} minutes are too few for {number} epochs, the fewest there can be"
    elif number == MOST_TIMES * own.epochs:
        word = f"{number} epochs, {MOST_TIMES} times its own, take less than {minutes:g} minutes"
    why = f"{changed.why}; {word}" if changed.why else word
    return dataclasses.replace(changed, why=why)
