"""Every image onto one canvas, and the way back.

The whole image is kept: it is scaled to fit, never cut, and what the canvas has beyond it repeats its
outermost pixels, so that no foreign colour enters.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightline.imaging._decode import decode


@dataclasses.dataclass(frozen=True)
class Canvas:
    """The one size to which images are framed."""

    height: int
    width: int
    channels: int
    """1 or 3."""


@dataclasses.dataclass(frozen=True)
class Framed:
    """An image on a canvas."""

    pixels: NDArray[np.uint8]
    """(C, H, W) of the canvas."""
    size: tuple[int, int]
    """(height, width) of the image before framing."""
    transform: NDArray[np.float32]
    """(3, 3): takes (x, y, 1) of the image to the canvas; pixel i covers [i, i + 1)."""


def frame(image: Image.Image, canvas: Canvas) -> Framed:
    """Scale an image to fit a canvas, centred; the rest repeats its edge.

    Args:
        image: Mode `L` or `RGB`, agreeing with `canvas.channels`.
        canvas: Where it goes.
    """
    scale = min(canvas.width / image.width, canvas.height / image.height)
    width = max(1, min(canvas.width, round(image.width * scale)))
    height = max(1, min(canvas.height, round(image.height * scale)))
    resized = image
    if (width, height) != image.size:
        resized = image.resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(resized)
    pixels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    top, left = (canvas.height - height) // 2, (canvas.width - width) // 2
    if (height, width) != (canvas.height, canvas.width):
        rows, columns = (top, canvas.height - height - top), (left, canvas.width - width - left)
        pixels = np.pad(pixels, ((0, 0), rows, columns), mode="edge")
    transform = np.array(
        [[width / image.width, 0, left], [0, height / image.height, top], [0, 0, 1]], dtype=np.float32
    )
    return Framed(np.ascontiguousarray(pixels), (image.height, image.width), transform)


def read_framed(source: Path | bytes, canvas: Canvas, *, reduced: bool = False) -> Framed:
    """Decode a file and frame it.

    Args:
        source: A file, or a file's content.
        canvas: Where it goes.
        reduced: Allow a JPEG to be decoded at a reduced scale, at least twice the canvas. Faster, and for
            training only: evaluation, prediction and export must see the same pixels.

    Raises:
        UnreadableImageError: as `decode`.
    """
    at_least = (2 * canvas.width, 2 * canvas.height) if reduced else None
    image = decode(source, canvas.channels, at_least)
    return frame(image, canvas)
