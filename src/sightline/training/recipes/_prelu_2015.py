"""The PReLU networks' recipe."""

from __future__ import annotations

from sightline.training._recipe import Phase, Recipe
from sightline.training.recipes._parts import (
    divided_when_stuck,
    is_small,
    scaled,
    sgd,
    shifts,
    views_said,
)

EPOCHS = 80


def prelu_2015(*, channels: int, size: tuple[int, int], epochs: int | None = None) -> Recipe:
    """VGG's recipe from random weights, with batches of 128; the slopes of the PReLUs do not decay.

    Source: He, Zhang, Ren, Sun 2015, "Delving deep into rectifiers", sections 2.1 and 3; batch, rates and
    length are from memory of it.

    **Taken**: batches of 128, momentum 0.9, weight decay 5e-4 but not of the slopes; 0.01, divided by 10
    twice, when validation stops improving; 80 epochs; scale jitter from 256 to 512 from the start, windows of
    224, mirrored, AlexNet's change of colour. Dropout 0.5 and He's random weights are the network's.

    **Not taken**: the mean of each pixel; several GPUs; "stops improving" by eye. Biases do not decay either.
    Images of up to 64 pixels are shifted by up to an eighth instead of cut, and keep their colours.

    Args:
        channels: 1 or 3; grey images are not mirrored.
        size: (height, width) the network is given.
        epochs: How long it will be, if that is chosen already.
    """
    epochs = epochs or EPOCHS
    return Recipe(
        name="prelu_2015",
        why="; ".join(
            [
                f"{epochs} epochs, the rate divided by 10 when validation stops improving",
                views_said(size, "windows of 224 out of 256 to 512"),
            ]
        ),
        phases=(Phase(epochs=epochs, schedule=divided_when_stuck(epochs, EPOCHS, times=2)),),
        optimizers=sgd(0.01, 5e-4),
        batch_size=128,
        **(shifts(channels) if is_small(size) else scaled(channels, 256, 512)),
    )
