"""Small trials: a few thin networks on a few images, over some seeds, by a loop short enough to read."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sightline.base import DataError, Draws
from sightline.data import open_batches, open_images, split_images
from sightline.imaging import Canvas

Progress = Callable[[str, int, int], None]
Row = dict[str, str | int | float]
"""One epoch of one network and one seed: `COLUMNS`."""

COLUMNS = (
    "model", "seed", "epoch", "steps", "train_loss", "train_accuracy", "test_loss", "test_accuracy",
)  # fmt: skip
BATCH = 64
RATE = 0.1
MOMENTUM = 0.9
DECAY = 5e-4
WARM = 0.2
"""Share of the steps in which the rate rises from 0 to `RATE`; in the others it falls back to 0."""
HOW = (
    f"SGD in batches of {BATCH}, Nesterov momentum {MOMENTUM}, weight decay {DECAY}, rate up to {RATE} and "
    "back to 0, no augmentation, float32"
)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SmallSet:
    """Images in memory: some to learn from, others to be judged by."""

    train_images: Tensor
    """(N, C, H, W) float32, each channel with mean 0 and deviation 1 over these images."""
    train_targets: Tensor
    """(N,)"""
    test_images: Tensor
    """(M, C, H, W), by the same mean and deviation."""
    test_targets: Tensor
    classes: tuple[str, ...]
    said: str
    """What they are, for a note on a page."""
    mean: tuple[float, ...]
    """Of each channel, as stored."""
    deviation: tuple[float, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trial:
    """A network that is tried."""

    name: str
    build: Callable[[int], nn.Module]
    """From the number of classes."""


def small_set(source: str | Path, *, side: int = 32, channels: int = 3, train: int, test: int) -> SmallSet:
    """Some images of a set, framed to a square; the same ones whenever it is asked for.

    Trained on are those of its part `train`, or what `split_images` makes of a set without parts; judged by
    are those of `test`, or of `val` where there are none.

    Args:
        source: As of `open_images`.
        side: Of the square.
        channels: 3 for colour, 1 for grey.
        train: At most so many to learn from, drawn at random.
        test: At most so many to be judged by.

    Raises:
        ArgumentError: if there is no such set.
        DataError: if it has fewer than two classes, neither grey nor colour, or nothing to be judged by.
    """
    images = open_images(source)
    split = split_images(images, holdout=False)
    judged = split.indices("test")
    judged = judged if len(judged) else split.indices("val")
    if not len(judged):
        raise DataError(f"{source} has no images to be judged by; give it a folder `test`")
    draws = Draws(seed=0)
    chosen = [
        np.sort(draws.permutation("lab", ids)[:most])
        for ids, most in ((split.indices("train"), train), (judged, test))
    ]
    if images.channels not in (1, 3):
        raise DataError(f"{source} has {images.channels} channels; what is tried here takes grey or colour")
    canvas = Canvas(side, side, channels, images.depth, images.pages)
    tensors = []
    for ids in chosen:
        some = images.subset(ids)
        batches = open_batches(some, canvas, budget_mb=0, workers=0).batches([np.arange(len(some))])
        tensors.append(next(iter(batches)).images.float())
    mean = tensors[0].mean(dim=(0, 2, 3), keepdim=True)
    deviation = tensors[0].std(dim=(0, 2, 3), keepdim=True).clamp_min(1e-6)
    learned, judging = ((x - mean) / deviation for x in tensors)
    targets = [torch.from_numpy(images.targets[ids]) for ids in chosen]
    return SmallSet(
        train_images=learned,
        train_targets=targets[0],
        test_images=judging,
        test_targets=targets[1],
        classes=images.classes,
        said=f"{len(targets[0]):,} images of {images.source} to learn from and {len(targets[1]):,} others to "
        f"be judged by, {len(images.classes)} classes, framed to {side}x{side}",
        mean=tuple(mean.flatten().tolist()),
        deviation=tuple(deviation.flatten().tolist()),
    )


def learn(
    network: nn.Module,
    images: SmallSet,
    *,
    epochs: int,
    seed: int,
    rate: float = RATE,
    batch: int = BATCH,
) -> Iterator[Row]:
    """Train a network, and say after each epoch what it has come to.

    Args:
        network: In any mode; it is left in evaluation mode after each epoch.
        images: What it learns from, and is judged by.
        epochs: How often it sees each image.
        seed: Of the order of the images.
        rate: The largest learning rate.
        batch: Images a step.

    Yields:
        Rows without a model's name and a seed.
    """
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(
        network.parameters(), lr=rate, momentum=MOMENTUM, weight_decay=DECAY, nesterov=True
    )
    count = len(images.train_targets)
    total = epochs * -(-count // batch)
    steps = 0
    for epoch in range(epochs):
        order = torch.from_numpy(Draws(seed=seed, epoch=epoch).permutation("order", np.arange(count)))
        network.train()
        loss_sum, right = 0.0, 0
        for first in range(0, count, batch):
            ids = order[first : first + batch]
            done = (steps + 1) / (total + 1)
            optimizer.param_groups[0]["lr"] = rate * min(done / WARM, (1 - done) / (1 - WARM))
            x, targets = images.train_images[ids], images.train_targets[ids]
            logits = network(x.contiguous(memory_format=torch.channels_last))
            loss = F.cross_entropy(logits, targets)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            steps += 1
            loss_sum += float(loss.detach()) * len(ids)
            right += int((logits.argmax(1) == targets).sum())
        test_loss, test_accuracy = judge(network, images.test_images, images.test_targets)
        yield {
            "epoch": epoch + 1, "steps": steps, "train_loss": loss_sum / count,
            "train_accuracy": right / count, "test_loss": test_loss, "test_accuracy": test_accuracy,
        }  # fmt: skip


def judge(network: nn.Module, images: Tensor, targets: Tensor) -> tuple[float, float]:
    """The mean loss in nats, and the share that is right, in evaluation mode.

    Shape:
        (N, C, H, W), (N,) -> two numbers.
    """
    network.eval()
    with torch.no_grad():
        logits = torch.cat([network(x.contiguous(memory_format=torch.channels_last)) for x in _parts(images)])
    return float(F.cross_entropy(logits, targets)), float((logits.argmax(1) == targets).float().mean())


def _parts(images: Tensor, size: int = 256) -> list[Tensor]:
    return [images[first : first + size] for first in range(0, len(images), size)]


def try_all(
    trials: Sequence[Trial],
    images: SmallSet,
    *,
    epochs: int,
    seeds: Sequence[int],
    progress: Progress,
    batch: int = BATCH,
) -> Iterator[Row]:
    """Train each network with each seed, all of one seed before the next.

    Args:
        trials: The networks.
        images: What they learn from, and are judged by.
        epochs: How often each sees each image.
        seeds: Of the weights and of the order of the images.
        progress: Told how many epochs of all are done.
        batch: Images a step.

    Yields:
        A row an epoch, by `COLUMNS`.
    """
    done, total = 0, len(trials) * len(seeds) * epochs
    for seed in seeds:
        for trial in trials:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                network = trial.build(len(images.classes))
            for row in learn(network, images, epochs=epochs, seed=seed, batch=batch):
                done += 1
                progress(f"training {trial.name}", done, total)
                yield {"model": trial.name, "seed": seed, **row}
