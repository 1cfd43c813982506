"""From trained weights: the head alone, then everything, the slower the nearer to the images."""

from __future__ import annotations

import dataclasses

from sightline.base import ArgumentError
from sightline.training._recipe import Phase, Recipe, Schedule
from sightline.training.recipes._default import default

BODY = 0.1
"""Rate of the last stage in the second phase, as a factor of the head's in the first."""

FALLS = 2.6
"""So many times slower is each stage than the one after it."""


def fine_tune(
    *,
    num_images: int,
    channels: int,
    size: tuple[int, int],
    epochs: int | None = None,
    weights: bool = False,
    head: str = "",
    stages: tuple[tuple[str, ...], ...] = (),
) -> Recipe:
    """The head alone for a fifth of the epochs, then all at rates that fall towards the images.

    Source: Howard, Ruder 2018, "Universal language model fine-tuning for text classification", section 3.2.

    **Taken**: the head first, so that a random one spoils nothing below it, while everything else stays in
    evaluation mode, its batch norm too; then discriminative rates, those of a stage 2.6 times lower than
    those of the one after it, the last stage's a tenth of the head's; a short way up and a long way down in
    each phase. Optimizer, batches and augmentation are those of `default` from trained weights.

    **Not taken**: letting the stages loose one after the other; a straight way down (here a cosine). Stages
    are those of the network's record; one of your own has none, and its body has one rate.

    Args:
        num_images: Images to train on.
        channels: 1 or 3.
        size: (height, width) the network is given.
        epochs: How long it will be, if that is chosen already.
        weights: Whether the network starts from trained weights.
        head: The module that gives the logits, if it is known.
        stages: Of each stage from the images on, the modules that hold its parameters.

    Raises:
        ArgumentError: if there are no weights to start from, or no head is known.
    """
    if not weights:
        raise ArgumentError("recipe fine_tune starts from trained weights; add --weights, or use default")
    if not head:
        raise ArgumentError(
            "recipe fine_tune trains the head first, and this network's is not known; use default"
        )
    base = default(
        num_images=num_images, channels=channels, size=size, epochs=epochs, weights=True, head=head
    )
    alone = min(max(1, round(base.epochs / 5)), base.epochs - 1)
    schedule = Schedule(kind="one_cycle", warm_up=0.1)
    rates = {"*": BODY}
    for before_last, modules in enumerate(reversed(stages)):
        rates |= dict.fromkeys(modules, BODY / FALLS**before_last)
    rates[head] = 1.0
    first = Phase(epochs=max(1, alone), trainable=(head,), schedule=schedule)
    second = Phase(epochs=base.epochs - alone, rates=rates, schedule=schedule)
    lowest = min(rates.values())
    how = (
        f"the head alone for {alone} of {base.epochs} epochs, then all, down to {lowest:.2g} of its rate "
        "near the images"
    )
    return dataclasses.replace(
        base,
        name="fine_tune",
        why=f"{how}; {num_images} images to train on, so batches of at most {base.batch_size}",
        phases=(first, second) if alone else (second,),
    )
