"""Images of a set as pictures for people."""

from __future__ import annotations

import contextlib
import weakref

import numpy as np
from PIL import Image

from sightline.data._image_set import ImageSet
from sightline.imaging import (
    UnreadableImageError,
    ValueRange,
    Values,
    as_picture,
    decode_array,
    percentile_range,
    picture,
    read_channels,
)

_SAMPLED = 16
_PIXELS = 100_000


def picture_of(images: ImageSet, index: int, at_least: tuple[int, int] | None = None) -> Image.Image:
    """An image as a picture for people: 8 bits as they are, deeper ones by one range for the whole set.

    Args:
        images: The set.
        index: Which image.
        at_least: As of `imaging.decode`.

    Raises:
        UnreadableImageError: if its file cannot be read any more.
    """
    value_range = display_range(images)
    if images.pixels is not None:
        return as_picture(images.pixels[index], value_range)
    return picture(images.source_of(index), at_least=at_least, pages=images.pages, value_range=value_range)


def display_range(images: ImageSet) -> ValueRange | None:
    """For each channel, the values shown as black and full: by some images of the set, evenly chosen.

    Args:
        images: The set.

    Returns:
        None of 8-bit images, which are shown as they are; as of `imaging.display`.
    """
    if images.depth == "uint8":
        return None
    if images not in _RANGES:
        _RANGES[images] = _measured_range(images)
    return _RANGES[images]


_RANGES: weakref.WeakKeyDictionary[ImageSet, ValueRange | None] = weakref.WeakKeyDictionary()


def _measured_range(images: ImageSet) -> ValueRange | None:
    parts: list[Values] = []
    for index in np.unique(np.linspace(0, len(images) - 1, _SAMPLED).round().astype(int)).tolist():
        with contextlib.suppress(UnreadableImageError):
            values = _values(images, index)
            flat = values.reshape(images.channels, -1)
            parts.append(flat[:, :: max(1, flat.shape[1] // _PIXELS)])
    return percentile_range(np.concatenate(parts, axis=1)) if parts else None


def _values(images: ImageSet, index: int) -> Values:
    """An image as stored. -> (C, H, W)."""
    if images.pixels is not None:
        values: Values = images.pixels[index]
        return values
    source = images.source_of(index)
    if isinstance(source, tuple):
        return read_channels(source, images.depth, images.pages).transpose(2, 0, 1)
    return decode_array(source, images.channels, images.depth, images.pages).transpose(2, 0, 1)
