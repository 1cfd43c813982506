"""GoogLeNet's recipe."""

from __future__ import annotations

from sightline.imaging import Augmentation
from sightline.training._recipe import Phase, Recipe, Schedule
from sightline.training.recipes._parts import (
    average_over,
    is_small,
    mirrored,
    sgd,
    shifts,
    steps_of_epoch,
    views_said,
    windows,
)

EPOCHS = 250
BATCH = 32
AUXILIARY = 0.3


def googlenet_2014(
    *,
    num_images: int,
    channels: int,
    size: tuple[int, int],
    epochs: int | None = None,
    objective: str = "cross_entropy",
) -> Recipe:
    """SGD whose rate falls by 4 % every 8 epochs, auxiliary losses, windows of 8 to 100 % of the area.

    Source: Szegedy et al. 2014, "Going deeper with convolutions", sections 5 and 6.

    **Taken**: momentum 0.9; times 0.96 every 8 epochs; the auxiliary heads' losses at 0.3 each; windows of 8
    to 100 % of the area at ratios from 3/4 to 4/3; photometric distortions (brightness, contrast and
    saturation from half to one and a half); the average of the weights for the final network, as a moving
    one over the last tenth of the steps. The paper gives neither rate, batch, weight decay nor length: here
    those of the replication that came with Caffe, 0.01, 32, 2e-4 and 250 epochs.

    **Not taken**: asynchronous SGD on many machines; interpolation methods drawn at random; seven networks.
    Biases do not decay; the paper does not say.
    A network without auxiliary heads is trained without their losses. Images of up to 64 pixels are shifted
    by up to an eighth instead of cut.

    Args:
        num_images: Images to train on.
        channels: 1 or 3; grey images are not mirrored.
        size: (height, width) the network is given.
        epochs: How long it will be, if that is chosen already.
        objective: The name of the network's objective.
    """
    epochs = epochs or EPOCHS
    colour = mirrored(channels)
    heads = objective == "cross_entropy_auxiliary"
    augmentation = Augmentation(
        area=(0.08, 1.0),
        aspect=4 / 3,
        flip="horizontal" if colour else "none",
        colour=0.5 if colour else 0.0,
    )
    drops = tuple(epoch / epochs for epoch in range(8, epochs, 8))
    schedule = Schedule(kind="step", warm_up=0.0, drop=0.96, milestones=drops)
    return Recipe(
        name="googlenet_2014",
        why="; ".join(
            [
                f"{epochs} epochs, the rate times 0.96 after every 8",
                f"auxiliary losses at {AUXILIARY} each"
                if heads
                else "no auxiliary heads, so without their losses",
                views_said(size, "windows of 8 to 100 % of the area"),
            ]
        ),
        phases=(Phase(epochs=epochs, schedule=schedule),),
        optimizers=sgd(0.01, 2e-4),
        batch_size=BATCH,
        objective={"auxiliary_weights": [AUXILIARY, AUXILIARY]} if heads else {},
        ema_decay=average_over(0.1, epochs * steps_of_epoch(num_images, BATCH)),
        select=None,
        **(shifts(channels) if is_small(size) else windows(channels, augmentation)),
    )
