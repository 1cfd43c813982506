"""Answers of a kernel as grey levels, and the rule by which they are shown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightline.reference._kernels import Matrix


@dataclass(frozen=True)
class Levels:
    """Answers as they are shown."""

    pixels: NDArray[np.uint8]
    low: float
    """The least answer."""
    high: float
    scale: str
    """`clip`: as they are, cut to 0 to 255; `signed`: mid grey is 0."""
    text: str
    """The rule, with its numbers."""


def grey_levels(response: NDArray[np.float32], kernel: Matrix, *, signed: bool = False) -> Levels:
    """Show what a kernel answers as grey levels 0 to 255.

    Where there are negative answers, the scale is signed, unless the weights add up to 1: then the answer is
    an image again, and what lies outside 0 to 255 is cut.

    Args:
        response: As `filter_image` gives it.
        kernel: The weights.
        signed: Show negative answers on a signed scale in any case.

    Example:
        >>> grey_levels(np.array([[-2.0, 0.0, 1.0]], np.float32), np.array([[1, -1]])).pixels.tolist()
        [[1, 128, 192]]
    """
    low, high = float(response.min()), float(response.max())
    keeps = abs(float(kernel.sum()) - 1) < 1e-6 and not signed
    if low < -0.5 and not keeps:  # less is rounding
        most = max(-low, high)
        levels = response * np.float32(127 / most)
        levels += 128.5
        text = f"signed grey scale: mid grey (128) is 0, black {-most:.6g}, white {most:.6g}"
        return Levels(levels.astype(np.uint8), low, high, "signed", text)
    levels = np.clip(response, 0, 255)
    levels += 0.5
    below, above = int((response < -0.5).sum()), int((response > 255.5).sum())
    text = "shown as they are, 0 to 255"
    if below or above:
        text += f": {below:,} values below are cut to 0, {above:,} above to 255"
    return Levels(levels.astype(np.uint8), low, high, "clip", text)
