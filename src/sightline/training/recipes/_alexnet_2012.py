"""AlexNet's recipe."""

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

EPOCHS = 90


def alexnet_2012(*, channels: int, size: tuple[int, int], epochs: int | None = None) -> Recipe:
    """SGD at 0.01, divided by 10 when validation stops improving; windows, mirrors, colour along its axes.

    Source: Krizhevsky, Sutskever, Hinton 2012, "ImageNet classification with deep convolutional neural
    networks", sections 4 and 5.

    **Taken**: batches of 128, momentum 0.9, weight decay 5e-4; 0.01, divided by 10 up to three times when the
    validation accuracy stops improving; 90 epochs; the central square at 256, of which random windows of 224
    are shown, mirrored with probability 1/2; in colour, a change along the principal axes of the training
    pixels' colours with deviation 0.1. Dropout 0.5 is the network's.

    **Not taken**: the mean of each pixel (here: of each channel); two GPUs; "stops improving" by eye (here:
    five epochs of 90 without a better score). Biases do not decay; the paper does not say. Momentum as torch
    has it: its velocity is not multiplied by the rate, which differs only just after the rate falls. Images
    of up to 64 pixels are shifted by up to an eighth instead of cut, and keep their colours.

    Args:
        channels: 1 or 3; grey images are not mirrored.
        size: (height, width) the network is given.
        epochs: How long it will be, if that is chosen already.
    """
    epochs = epochs or EPOCHS
    return Recipe(
        name="alexnet_2012",
        why="; ".join(
            [
                f"{epochs} epochs, the rate divided by 10 when validation stops improving",
                views_said(size, "windows of 224 out of 256"),
            ]
        ),
        phases=(Phase(epochs=epochs, schedule=divided_when_stuck(epochs, EPOCHS)),),
        optimizers=sgd(0.01, 5e-4),
        batch_size=128,
        **(shifts(channels) if is_small(size) else scaled(channels)),
    )
