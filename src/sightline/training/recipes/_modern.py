"""The ingredients of today's long recipes."""

from __future__ import annotations

from sightline.imaging import Augmentation
from sightline.training._recipe import Phase, Recipe, Schedule
from sightline.training.recipes._parts import (
    FULL,
    average_over,
    is_small,
    mirrored,
    sgd,
    steps_of_epoch,
    windows,
)

STEPS = 20_000
"""Optimizer steps that a set of medium size is given."""


def modern(*, num_images: int, channels: int, size: tuple[int, int], epochs: int | None = None) -> Recipe:
    """SGD up in a line and down a cosine, with everything that keeps a long training from learning by heart.

    Source: Vryniotis 2021, "How to train state-of-the-art models using TorchVision's latest primitives".

    **Taken**: a rate of 0.5 for 1,024 images, for fewer as much less; up in a straight line from a hundredth
    in the first five epochs of 600, and as large a part of fewer, then a cosine to 0; momentum 0.9, weight
    decay 2e-5 but not of normalisation; TrivialAugment, erasing with probability 0.1, label smoothing 0.1,
    mixup 0.2 or cutmix 1.0 for each image; windows of 8 to 100 % of the area, the centre of 232 pixels when
    judged; a moving average of the weights over about the last 4 % of the steps, as theirs comes to.

    **Not taken**: 600 epochs (here about 20,000 steps, in 50 to 300 epochs: it is a recipe for days, and too
    long a one for a network that is to be ready in minutes); batches of 1,024 on eight GPUs; a smaller input
    in training than in judging; each image four times in an epoch. Biases do not decay either. Images of up
    to 64 pixels are shifted by up to an eighth instead of cut.

    Args:
        num_images: Images to train on.
        channels: 1 or 3; grey images are not mirrored.
        size: (height, width) the network is given.
        epochs: How long it will be, if that is chosen already.
    """
    small = is_small(size)
    batch_size = 32 if num_images < 2_000 else 64 if num_images < 10_000 else 128
    an_epoch = steps_of_epoch(num_images, batch_size)
    usual = max(50, min(300, round(STEPS / an_epoch)))
    epochs = epochs or usual
    augmentation = Augmentation(
        crop=0.125 if small else 0.0,
        fill="mean",
        area=None if small else (0.08, 1.0),
        flip="horizontal" if mirrored(channels) else "none",
        trivial=True,
        erase=0.1,
        mixup=0.2,
        cutmix=1.0,
    )
    return Recipe(
        name="modern",
        why=f"{num_images} images to train on, so batches of at most {batch_size} and {usual} epochs; "
        + ("shifted by up to an eighth" if small else "windows of 8 to 100 % of the area"),
        phases=(
            Phase(epochs=epochs, schedule=Schedule(kind="cosine", warm_up=5 / 600, start=0.01, end=0.0)),
        ),
        optimizers=sgd(0.5 * batch_size / 1024, 2e-5),
        batch_size=batch_size,
        objective={"label_smoothing": 0.1},
        ema_decay=average_over(0.04, epochs * an_epoch),
        **({"augmentation": augmentation} if small else windows(channels, augmentation, FULL / 232)),
    )
