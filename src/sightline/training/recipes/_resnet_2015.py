"""ResNet's two recipes."""

from __future__ import annotations

from sightline.training._recipe import Phase, Recipe, Schedule
from sightline.training.recipes._parts import (
    divided_when_stuck,
    is_small,
    scaled,
    sgd,
    shifts,
    steps_of_epoch,
)

EPOCHS = 120
"""Of the form for ImageNet: 600,000 steps of 256 images."""

STEPS, BATCH = 64_000, 128
"""Of the form for small images."""

DEEP, SLOW_STEPS = 110, 400
"""From so many layers on, so many steps come first at a tenth of the rate."""


def resnet_2015(
    *, num_images: int, channels: int, size: tuple[int, int], epochs: int | None = None, depth: int = 0
) -> Recipe:
    """SGD at 0.1; for small images the form of CIFAR-10, for others that of ImageNet.

    Source: He, Zhang, Ren, Sun 2015, "Deep residual learning for image recognition", sections 3.4 and 4.2.

    **Taken**, of images up to 64 pixels: batches of 128, momentum 0.9, weight decay 1e-4 of all parameters;
    64,000 steps, the rate divided by 10 at one half and three quarters of them; images shifted by up to an
    eighth (4 of 32 pixels), the mean beyond their border, mirrored; the last epoch is kept. From 110 layers
    on, the first 400 steps are at 0.01, in whole epochs.

    **Taken**, of larger ones: batches of 256, the same momentum and decay; 0.1, divided by 10 when
    validation stops improving (here three times at most); 120 epochs; windows of 224 out of an image whose
    shorter side is drawn from 256 to 480, mirrored, AlexNet's change of colour.

    **Not taken**: the mean of each pixel; two or eight GPUs; all 50,000 images of CIFAR-10 to train on (here
    a tenth is held out, for the curve); 0.01 until the training error is below 80 % (about 400 steps in the
    paper); "stops improving" by eye. Small images keep their colours, as in the paper.

    Args:
        num_images: Images to train on.
        channels: 1 or 3; grey images are not mirrored.
        size: (height, width) the network is given.
        epochs: How long it will be, if that is chosen already.
        depth: Layers of the network that have weights; 0 where that is not known.
    """
    if is_small(size):
        return _small(num_images, channels, epochs, depth)
    epochs = epochs or EPOCHS
    return Recipe(
        name="resnet_2015",
        why=f"the form for ImageNet: {epochs} epochs, the rate divided by 10 when validation stops "
        "improving; windows of 224 out of 256 to 480",
        phases=(Phase(epochs=epochs, schedule=divided_when_stuck(epochs, EPOCHS)),),
        optimizers=sgd(0.1, 1e-4, decay_all=True),
        batch_size=256,
        **scaled(channels, 256, 480),
    )


def _small(num_images: int, channels: int, epochs: int | None, depth: int) -> Recipe:
    an_epoch = steps_of_epoch(num_images, BATCH)
    max_steps = STEPS if epochs is None else None
    epochs = epochs or -(-STEPS // an_epoch)
    steps = max_steps or epochs * an_epoch
    slow = max(1, round(SLOW_STEPS / an_epoch)) if depth >= DEEP else 0
    if 2 * slow >= epochs:
        slow = 0
    constant = Schedule(kind="constant", warm_up=0.0)
    first = (Phase(epochs=slow, rates={"*": 0.1}, schedule=constant),) if slow else ()
    word = f", the first {slow * an_epoch:,} at a tenth of it" if slow else ""
    return Recipe(
        name="resnet_2015",
        why=f"the form for small images: {steps:,} steps, the rate divided by 10 after a half and three "
        f"quarters of them{word}",
        phases=(*first, Phase(epochs=epochs - slow, schedule=_halves(steps, slow * an_epoch))),
        optimizers=sgd(0.1, 1e-4, decay_all=True),
        batch_size=BATCH,
        max_steps=max_steps,
        select=None,
        **shifts(channels),
    )


def _halves(steps: int, before: int) -> Schedule:
    """A tenth after a half, and again after three quarters of all steps, `before` of which are another's."""
    milestones = (0.5, 0.75)
    if before:
        last = steps - before - 1
        milestones = ((steps / 2 - before - 0.5) / last, (0.75 * steps - before - 0.5) / last)
    return Schedule(kind="step", warm_up=0.0, drop=0.1, milestones=milestones)
