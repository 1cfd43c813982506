"""How values become a picture for people: one rule, wherever a picture is shown."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightline.imaging._decode import decode_any, flat, is_grey
from sightline.imaging._deep import Values
from sightline.imaging._frame import Source, read_channels

PERCENTILES = (0.1, 99.9)
"""Of the values of a channel: what becomes 0 and 1 where 8 bits are not the range."""

_BLOCK = 1 << 22
"""Values that are stretched at a time: a picture may be as large as a file is allowed to be."""
_MOST_SAMPLED = 1 << 24
"""Values of a channel that percentiles go by."""

ValueRange = Sequence[tuple[float, float]]
"""For each channel, the values that become 0 and 1."""


def percentile_range(values: NDArray[np.float32] | Values) -> list[tuple[float, float]]:
    """The range of each channel by `PERCENTILES`. (C, H, W) or (C, N) -> C pairs, low below high.

    Of more than 16 million values of a channel, by every n-th.
    """
    flat = values.reshape(len(values), -1)
    flat = flat[:, :: -(-flat.shape[1] // _MOST_SAMPLED)]
    return [spread(*np.percentile(channel, PERCENTILES).tolist()) for channel in flat]


def spread(low: float, high: float) -> tuple[float, float]:
    """A range that is never empty, in float32 either: of one value alone, it and one above."""
    return (low, high) if np.float32(high) > np.float32(low) else (low, low + max(1.0, 1e-6 * abs(low)))


def display(values: Values, value_range: ValueRange | None = None) -> NDArray[np.uint8]:
    """Stored values as a picture.

    Eight bits are shown as they are. Deeper values are stretched from their range to 0..255, each channel by
    its own, and cut there. One channel is grey, three are red, green and blue; any other number are colours
    of evenly spaced hue, added.

    Args:
        values: (C, H, W), as stored.
        value_range: What becomes black and full; None for 0 to 255 of 8 bits, and by the picture's own
            percentiles of deeper values.

    Returns:
        (H, W, 3).
    """
    stretched = _stretched(values, value_range)
    return np.repeat(stretched, 3, axis=2) if stretched.shape[2] == 1 else stretched


def _stretched(values: Values, value_range: ValueRange | None) -> NDArray[np.uint8]:
    """As `display`, but of one channel (H, W, 1)."""
    if value_range is None and values.dtype != np.uint8:
        value_range = percentile_range(values)
    channels, height, width = values.shape
    if value_range is None and channels in (1, 3):
        return np.ascontiguousarray(values.transpose(1, 2, 0))
    pixels = np.empty((height, width, 1 if channels == 1 else 3), dtype=np.uint8)
    rows, columns = max(1, _BLOCK // (channels * width)), max(1, _BLOCK // channels)
    for top in range(0, height, rows):
        for left in range(0, width, columns):
            block = np.s_[top : top + rows, left : left + columns]
            pixels[block] = _shown(values[:, *block], value_range)
    return pixels


def _shown(values: Values, value_range: ValueRange | None) -> NDArray[np.uint8]:
    """A part of a picture. (C, H, W) -> (H, W, 1 or 3)."""
    shown: NDArray[np.float32] = values.astype(np.float32)
    if value_range is not None:
        low, high = np.array(value_range, dtype=np.float64).T[:, :, None, None]
        shown = np.clip((shown - low.astype(np.float32)) * (255.0 / (high - low)), 0.0, 255.0)
    if len(shown) not in (1, 3):
        hues = [colorsys.hsv_to_rgb(k / len(shown) + 1 / 3, 1.0, 1.0) for k in range(len(shown))]
        shown = np.einsum("chw,cr->rhw", shown, np.array(hues, dtype=np.float32))
    pixels: NDArray[np.uint8] = np.rint(np.clip(shown, 0.0, 255.0)).astype(np.uint8).transpose(1, 2, 0)
    return pixels


def as_picture(values: Values, value_range: ValueRange | None = None) -> Image.Image:
    """Stored values (C, H, W) as a picture: as `display`, of mode `L` where there is one channel."""
    shown = _stretched(values, value_range)
    return Image.fromarray(shown[:, :, 0] if len(values) == 1 else shown)


def picture(
    source: Source,
    *,
    at_least: tuple[int, int] | None = None,
    pages: str = "",
    value_range: ValueRange | None = None,
) -> Image.Image:
    """A file as a picture for people, whatever its depth and channels. -> mode `L` or `RGB`.

    Args:
        source: A file, a file's content, or one file a channel.
        at_least: As of `decode`.
        pages: As of `decode_array`; the first where nothing is said.
        value_range: As of `display`.

    Raises:
        UnreadableImageError: if it cannot be decoded.
    """
    pages = pages or "first"
    if not isinstance(source, Path | bytes):
        image: Image.Image | Values = read_channels(source, None, pages)
    else:
        image = decode_any(source, at_least, pages)
    if isinstance(image, Image.Image):
        return flat(image, "L" if is_grey(image) else "RGB")
    return as_picture(image.transpose(2, 0, 1), value_range)
