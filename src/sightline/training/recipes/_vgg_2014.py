"""VGG's recipe."""

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

EPOCHS = 74

# The convolutions conv1_1, conv2_1, conv3_1 and conv3_2 in `features`: in A, and in every deeper column
PLAIN_A, PLAIN = (0, 3, 6, 8), (0, 5, 10, 12)
NORMED_A, NORMED = (0, 4, 8, 11), (0, 7, 14, 17)  # a batch norm follows each
FULLY_CONNECTED = (0, 3, 6)

DEEPER = ("vgg_b", "vgg_c", "vgg_d", "vgg_e", "vgg13", "vgg16", "vgg19")
DEEPER_NORMED = ("vgg13_bn", "vgg16_bn", "vgg19_bn")


def vgg_2014(
    *, channels: int, size: tuple[int, int], epochs: int | None = None, weights: bool = False, model: str = ""
) -> Recipe:
    """AlexNet's recipe with batches of 256 and scale jitter; a deep network may start from a shallow one.

    Source: Simonyan, Zisserman 2014, "Very deep convolutional networks for large-scale image recognition",
    section 3.1.

    **Taken**: batches of 256, momentum 0.9, weight decay 5e-4; 0.01, divided by 10 up to three times when the
    validation accuracy stops improving; 74 epochs; windows of 224 out of an image whose shorter side is drawn
    from 256 to 512, mirrored, AlexNet's change of colour. With `--weights`, a network deeper than A takes
    the first four convolutions and the three fully connected layers of A, at the full rate, and the rest is
    random. Which are the first four is not said of a network that has other layers between them: here those
    of the same place in their stage, conv1_1, conv2_1, conv3_1 and conv3_2. Of the `_bn` networks, A is
    `vgg11_bn`, and each convolution's batch norm comes with it. Dropout 0.5 is the network's.

    **Not taken**: jitter as fine-tuning of a network trained at 384 (here: from the start); the mean of each
    pixel; several GPUs; "stops improving" by eye. Random weights are the network's own. Biases do not
    decay; the paper does not say. Images of up to 64
    pixels are shifted by up to an eighth instead of cut, and keep their colours.

    Args:
        channels: 1 or 3; grey images are not mirrored.
        size: (height, width) the network is given.
        epochs: How long it will be, if that is chosen already.
        weights: Whether the network starts from trained weights.
        model: The network's name.
    """
    epochs = epochs or EPOCHS
    taken = layers_of_a(model) if weights else {}
    start = "the first four convolutions and the fully connected layers are those of A"
    return Recipe(
        name="vgg_2014",
        why="; ".join(
            [
                f"{epochs} epochs, the rate divided by 10 when validation stops improving",
                views_said(size, "windows of 224 out of 256 to 512"),
                *([start] if taken else []),
            ]
        ),
        phases=(Phase(epochs=epochs, taken=taken, schedule=divided_when_stuck(epochs, EPOCHS)),),
        optimizers=sgd(0.01, 5e-4),
        batch_size=256,
        **(shifts(channels) if is_small(size) else scaled(channels, 256, 512)),
    )


def layers_of_a(model: str) -> dict[str, str]:
    """Which modules of a VGG take which modules of A; empty for A itself and for any other network."""
    if model in DEEPER_NORMED:
        places = {own + k: theirs + k for own, theirs in zip(NORMED, NORMED_A, strict=True) for k in (0, 1)}
    elif model in DEEPER:
        places = dict(zip(PLAIN, PLAIN_A, strict=True))
    else:
        return {}
    convolutions = {f"features.{own}": f"features.{theirs}" for own, theirs in places.items()}
    return convolutions | {f"classifier.{i}": f"classifier.{i}" for i in FULLY_CONNECTED}
