"""How much of an image's detail a smaller size loses: measured, not guessed.

An image is made smaller (bilinear, antialiased, as framing does) and enlarged again (bicubic); what is then
missing is lost. It is compared with the image's detail: what differs from a picture of it 16 pixels across,
so that light and shade count for nothing. Both are summed over blocks of 16x16 pixels that hold more than
noise, and the noise itself is taken off: it is estimated by the median of the finest diagonal details, and
losing it costs nothing. A small object on an empty ground is so judged by itself.

Source: D. Donoho and I. Johnstone 1994, "Ideal spatial adaptation by wavelet shrinkage" (the noise).
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

BLOCK = 16
"""Side in pixels of the blocks that detail is summed over."""

_COARSE = 16
"""Pixels across of the picture that holds no detail."""

_ABOVE_NOISE = 1.5
"""A block holds more than noise if its mean square is so many times the noise's: 1 and six deviations of the
mean of 256 squares."""

_FAINT = 1.0
"""Mean square, of 255, below which a block holds nothing a person would see."""

_MEDIAN_OF_NORMAL = 0.6745
_HALF = 0.5
_CLOSE = 1.05


@dataclasses.dataclass(frozen=True, eq=False)
class Detail:
    """The detail of one image, by blocks."""

    grey: NDArray[np.float32]
    """(H, W), sides divisible by `BLOCK`."""
    blocks: NDArray[np.float64]
    """(H / 16, W / 16): mean square of the detail without noise; 0 of blocks without any."""
    noise: float
    """Its variance."""

    @classmethod
    def of(cls, grey: NDArray[np.float32]) -> Detail | None:
        """That of an image (H, W); None where it is smaller than a few blocks, or holds none."""
        height, width = (side // BLOCK * BLOCK for side in grey.shape)
        if min(height, width) < 2 * BLOCK:
            return None
        grey = np.ascontiguousarray(grey[:height, :width])
        details = (grey[::2, ::2] - grey[1::2, ::2] - grey[::2, 1::2] + grey[1::2, 1::2]) / 2
        noise = float(np.median(np.abs(details)) / _MEDIAN_OF_NORMAL) ** 2
        found = _by_blocks(grey - _ground(grey))
        held = found > max(_ABOVE_NOISE * noise, _FAINT)
        if not held.any():
            return None
        return cls(grey, np.where(held, found - noise, 0.0), noise)

    def lost(self, scale: float) -> float:
        """The share of the detail that is gone where the image is made `scale` times as large; 0 to 1."""
        if scale >= 1:
            return 0.0
        height, width = (max(1, round(side * scale)) for side in self.grey.shape)
        gone = _by_blocks(self.grey - _there_and_back(self.grey, height, width))
        gone = np.maximum(gone - self.noise * (1 - scale**2), 0.0)[self.blocks > 0]
        return float(min(1.0, gone.sum() / self.blocks.sum()))

    def typical(self) -> float:
        """The size of the structures that hold half of the detail: a pixel of that many pixels loses it."""
        low, high = 1.0, float(max(self.grey.shape))  # pixels
        while high / low > _CLOSE:
            middle = math.sqrt(low * high)
            low, high = (low, middle) if self.lost(1 / middle) > _HALF else (middle, high)
        return math.sqrt(low * high)

    def centre(self) -> tuple[int, int]:
        """(row, column) in pixels of the middle of the block with most detail."""
        row, column = np.unravel_index(int(self.blocks.argmax()), self.blocks.shape)
        return int(row) * BLOCK + BLOCK // 2, int(column) * BLOCK + BLOCK // 2


def _ground(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """The image without detail; beyond its borders it goes on as it came, so that a slope is one there."""
    cell = -(-max(grey.shape) // _COARSE)
    edge = min(cell, min(grey.shape) - 1)
    wide = np.pad(grey, edge, mode="reflect", reflect_type="odd")
    smooth = _there_and_back(wide, max(2, round(wide.shape[0] / cell)), max(2, round(wide.shape[1] / cell)))
    return smooth[edge : edge + grey.shape[0], edge : edge + grey.shape[1]]


def _there_and_back(grey: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    small = Image.fromarray(grey).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(small.resize((grey.shape[1], grey.shape[0]), Image.Resampling.BICUBIC))


def _by_blocks(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean squares of blocks. (H, W) -> (H / 16, W / 16)."""
    height, width = values.shape
    squares = (values**2).reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    return np.asarray(squares.mean(axis=(1, 3), dtype=np.float64))
