"""The mean and deviation of a training split."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sightline.data._batches import BatchSource

MAX_DECODED = 10_000
"""Where images are decoded as needed, statistics are those of at most this many, evenly chosen."""

_BATCH = 256


def channel_statistics(
    source: BatchSource, indices: NDArray[np.int64], value_range: tuple[float, float] = (0.0, 255.0)
) -> tuple[list[float], list[float]]:
    """Per-channel mean and standard deviation of images scaled to [0, 1].

    Sums are of whole numbers, so neither batch nor order changes the result.

    Args:
        source: Where the images come from.
        indices: The training split.
        value_range: Stored values that become 0 and 1.

    Returns:
        Means and deviations; a deviation is 1 where a channel is constant.
    """
    if source.path == "workers" and len(indices) > MAX_DECODED:
        indices = indices[np.linspace(0, len(indices) - 1, MAX_DECODED).round().astype(np.int64)]
    chunks = np.array_split(indices, -(-len(indices) // _BATCH))
    channels = source.canvas.channels
    count, total, squares = 0, np.zeros(channels, np.int64), np.zeros(channels, np.int64)
    for batch in source.batches(chunks):
        values = batch.images.long()
        count += values.numel() // values.shape[1]
        total += values.sum(dim=(0, 2, 3)).numpy()
        squares += (values * values).sum(dim=(0, 2, 3)).numpy()
    low, high = value_range
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0.0)) / (high - low)
    deviation = np.where(deviation > 1e-6, deviation, 1.0)
    return ((mean - low) / (high - low)).tolist(), deviation.tolist()
