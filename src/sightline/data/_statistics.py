"""The range, mean and deviation of a training split."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sightline.data._batches import BatchSource
from sightline.imaging import PERCENTILES, percentile_range, spread

MAX_DECODED = 10_000
"""Where images are decoded as needed, statistics are those of at most this many, evenly chosen."""

_BATCH = 256
_MAX_SAMPLED = 50_000_000
"""Of floating-point values, percentiles are those of at most about this many in all, evenly chosen."""


def value_ranges(source: BatchSource, indices: NDArray[np.int64]) -> list[tuple[float, float]]:
    """For each channel, the stored values that become 0 and 1.

    Of 8-bit images 0 and 255. Of deeper ones the percentiles `PERCENTILES` of the channel: by all values of
    16 bits, and of floating-point images by every n-th pixel where there are very many. Values beyond are not
    cut: they become less than 0 or more than 1.

    Args:
        source: Where the images come from.
        indices: The training split.
    """
    canvas = source.canvas
    if canvas.depth == "uint8":
        return [(0.0, 255.0)] * canvas.channels
    indices = _decoded_at_most(source, indices)
    if canvas.depth == "uint16":
        counts = np.zeros((canvas.channels, 65536), dtype=np.int64)
        for images in _images(source, indices):
            for channel, values in zip(counts, images.transpose(0, 1).flatten(1).int(), strict=True):
                channel += np.bincount(values.numpy(), minlength=65536)
        return [spread(*_percentiles(channel)) for channel in counts]
    step = max(1, len(indices) * canvas.channels * canvas.height * canvas.width // _MAX_SAMPLED)
    parts = [
        images.transpose(0, 1).flatten(1)[:, ::step].numpy().copy() for images in _images(source, indices)
    ]
    return percentile_range(np.concatenate(parts, axis=1))


def _percentiles(counts: NDArray[np.int64]) -> tuple[float, float]:
    """The values at `PERCENTILES` of a histogram: the least that so many are not above."""
    below = np.cumsum(counts)
    low, high = (int(np.searchsorted(below, share / 100 * below[-1])) for share in PERCENTILES)
    return float(low), float(high)


def channel_statistics(
    source: BatchSource,
    indices: NDArray[np.int64],
    value_range: list[tuple[float, float]] | None = None,
) -> tuple[list[float], list[float]]:
    """Per-channel mean and standard deviation of images scaled by their range.

    Sums are of whole numbers, or of doubles in the order of the set, so batches do not change the result.

    Args:
        source: Where the images come from.
        indices: The training split.
        value_range: For each channel, the stored values that become 0 and 1; None for 0 and 255.

    Returns:
        Means and deviations; a deviation is 1 where a channel is constant.
    """
    indices = _decoded_at_most(source, indices)
    channels = source.canvas.channels
    whole = source.canvas.depth != "float32"
    count = 0
    total, squares = (np.zeros(channels, np.int64 if whole else np.float64) for _ in range(2))
    for images in _images(source, indices):
        values = images.long() if whole else images.double()
        count += values.numel() // values.shape[1]
        total += values.sum(dim=(0, 2, 3)).numpy()
        squares += (values * values).sum(dim=(0, 2, 3)).numpy()
    low, high = np.array(value_range or [(0.0, 255.0)] * channels).T
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0.0)) / (high - low)
    deviation = np.where(deviation > 1e-6, deviation, 1.0)
    return ((mean - low) / (high - low)).tolist(), deviation.tolist()


def _decoded_at_most(source: BatchSource, indices: NDArray[np.int64]) -> NDArray[np.int64]:
    if source.path != "workers" or len(indices) <= MAX_DECODED:
        return indices
    return indices[np.linspace(0, len(indices) - 1, MAX_DECODED).round().astype(np.int64)]


def _images(source: BatchSource, indices: NDArray[np.int64]) -> Iterator[Tensor]:
    for batch in source.batches(np.array_split(indices, -(-len(indices) // _BATCH))):
        yield batch.images
