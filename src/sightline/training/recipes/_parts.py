"""What several recipes are made of."""

from __future__ import annotations

from typing import Any

from sightline.imaging import Augmentation
from sightline.training._recipe import Optimizer, Schedule

SMALL = 64
"""Longest side of small images: those that the papers on CIFAR-10 shift, where those on ImageNet cut."""

FULL = 224
"""Side of the network's input in the papers on ImageNet."""

SHORTER = 256
"""Shorter side of an image there when a window of 224 is judged."""


def is_small(size: tuple[int, int]) -> bool:
    """Whether an input is small.

    Args:
        size: (height, width).
    """
    return max(size) <= SMALL


def steps_of_epoch(num_images: int, batch_size: int) -> int:
    """Steps of an epoch of equal batches of at most `batch_size`."""
    return -(-num_images // batch_size)


def mirrored(channels: int) -> bool:
    """Whether images are mirrored: grey ones are not, for they may be writing."""
    return channels == 3


def shifts(channels: int) -> dict[str, Any]:
    """Settings for small images, as of the papers on CIFAR-10: 4 pixels of 32 either way, mirrored."""
    augmentation = Augmentation(crop=0.125, fill="mean", flip="horizontal" if mirrored(channels) else "none")
    return {"augmentation": augmentation}


def windows(channels: int, augmentation: Augmentation, judged: float = FULL / SHORTER) -> dict[str, Any]:
    """Settings for images that windows are cut out of, as of the papers on ImageNet.

    Args:
        channels: Of an image.
        augmentation: Says which window is cut out.
        judged: Share of the canvas's sides that is shown when the network is judged.
    """
    return {"augmentation": augmentation, "window": judged, "framing": "cover"}


def scaled(channels: int, least: int = SHORTER, largest: int = SHORTER) -> dict[str, Any]:
    """Settings for windows of 224 out of images whose shorter side is drawn from a range of pixels.

    Mirrored, and with AlexNet's change of colour, where images are in colour.
    """
    colour = mirrored(channels)
    augmentation = Augmentation(
        scale=(least / FULL, largest / FULL),
        flip="horizontal" if colour else "none",
        pca=0.1 if colour else 0.0,
    )
    return windows(channels, augmentation)


def views_said(size: tuple[int, int], cut: str) -> str:
    """For `why`: how images are shown."""
    if is_small(size):
        return f"at {size[1]}x{size[0]} no windows are cut; images are shifted by up to an eighth"
    return cut


def sgd(lr: float, weight_decay: float, *, decay_all: bool = False) -> dict[str, Optimizer]:
    """The papers' optimizer: momentum 0.9, without Nesterov's correction."""
    chosen = Optimizer(
        kind="sgd", lr=lr, momentum=0.9, nesterov=False, weight_decay=weight_decay, decay_all=decay_all
    )
    return {"main": chosen}


def divided_when_stuck(epochs: int, usual: int, times: int = 3) -> Schedule:
    """A tenth of the rate where validation stops improving, so many times at most.

    The papers did it by hand. Here five epochs of their `usual` number without a better score (on a tie, a
    lower loss) count as stuck, and in another number of epochs as large a part.
    """
    wait = max(1, round(5 * epochs / usual))
    return Schedule(kind="plateau", warm_up=0.0, drop=0.1, wait=wait, end=10.0**-times)


def average_over(share: float, steps: int) -> float:
    """The decay of a moving average that reaches back over a share of all steps, ten at least."""
    return 1 - 1 / max(10.0, share * steps)
