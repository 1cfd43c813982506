"""The embedded digits, and a small loop that trains a network on them in seconds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from sightline.base import Draws

Progress = Callable[[str, int, int], None]


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """Some of the digits."""

    images: Tensor
    """(N, 1, 8, 8) in [0, 1]: white ink on black."""
    targets: Tensor
    """(N,)."""
    ids: NDArray[np.int64]
    """(N,) their places among the 1,797."""


def digit_parts(split_seed: int = 0) -> tuple[Part, Part, Part]:
    """Train, val and test, as `sightline train digits` divides them: 70/15/15 of each class."""
    from sightline.data import open_images, split_images
    from sightline.imaging import digits

    split = split_images(open_images("digits"), split_seed)
    images, targets = digits()

    def part(ids: NDArray[np.int64]) -> Part:
        return Part(torch.from_numpy(images[ids]).float() / 255, torch.from_numpy(targets[ids]), ids)

    return part(split.indices("train")), part(split.indices("val")), part(split.indices("test"))


def seeded(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """A network whose first weights depend on the seed alone; torch's own state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def train(
    network: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    epochs: int,
    rate: float,
    seed: int,
    batch: int = 64,
    change: Callable[[Tensor, NDArray[np.int64], int], Tensor] | None = None,
    each: Callable[[int], None] | None = None,
) -> None:
    """Adam on cross-entropy, its rate falling to nothing along a cosine; no dropout, so nothing else random.

    Args:
        network: Learns in place, and is left evaluating.
        images: (N, C, H, W).
        targets: (N,).
        epochs: Passes over them.
        rate: The first learning rate.
        seed: Of the order.
        batch: Images a step.
        change: What is done to a batch first: given its images, their places, and the epoch.
        each: Told the epochs done.
    """
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * -(-len(images) // batch))
    network.train()
    for epoch in range(epochs):
        order = Draws(seed, epoch).permutation("order", np.arange(len(images)))
        for start in range(0, len(order), batch):
            ids = order[start : start + batch]
            x = images[ids] if change is None else change(images[ids], ids, epoch)
            optimizer.zero_grad()
            F.cross_entropy(network(x), targets[ids]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        if each is not None:
            each(epoch + 1)
    network.eval()


def logits_of(network: nn.Module, images: Tensor, batch: int = 1024) -> Tensor:
    """What a network says of images. -> (N, classes)."""
    with torch.no_grad():
        return torch.cat([network(part) for part in torch.split(images, batch)])


def count_parameters(network: nn.Module) -> int:
    """Numbers that are learned."""
    return sum(parameter.numel() for parameter in network.parameters())
