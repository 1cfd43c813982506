"""From stored pixels to what a network is given: one module, in every place a network is used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from sightline.base import ArgumentError

Fit = Literal["none", "pad", "resize", "crop"]


def choose_fit(canvas: tuple[int, int], size: tuple[int, int]) -> Fit:
    """How a canvas becomes a network's input size.

    An image that is at most the input's size and more than half of it is centred and its edge repeated,
    so that no pixel is invented (28x28 digits in LeNet-5's 32x32); any other is resized.

    Args:
        canvas: (height, width) of the stored images.
        size: (height, width) the network is given.
    """
    if canvas == size:
        return "none"
    if all(s // 2 < c <= s for c, s in zip(canvas, size, strict=True)):
        return "pad"
    return "resize"


class Preprocessing(nn.Module):
    """Range, size, mean and standard deviation, in that order.

    It has no weights and learns nothing: its statistics are measured on the training split, or belong to
    the weights, and travel in the model file.

    Args:
        size: (height, width) the network is given.
        fit: How the stored size becomes `size`: not at all, centred and padded with the edge, resized
            (bilinear, antialiased), or `crop`: the window at its centre is cut out and, unless it is of that
            size, resized likewise.
        mean: Per channel, of values scaled to [0, 1].
        std: Per channel; 1 where a channel is constant.
        value_range: Stored values that become 0 and 1: one pair, or one a channel.
        window: For `crop`: the share of each side that is cut out, above 0 and at most 1, in whole pixels.

    Raises:
        ArgumentError: if `fit` is unknown, a deviation is not positive, a range is empty, or the window is
            none.

    Shape:
        (N, C, h, w), as stored -> (N, C, height, width) float32.
    """

    mean: Tensor
    std: Tensor
    low: Tensor
    scaling: Tensor

    def __init__(
        self,
        *,
        size: tuple[int, int],
        fit: Fit,
        mean: Sequence[float],
        std: Sequence[float],
        value_range: tuple[float, float] | Sequence[tuple[float, float]] = (0.0, 255.0),
        window: float = 0.875,
    ) -> None:
        super().__init__()
        if fit not in get_args(Fit):
            raise ArgumentError(f"preprocessing: fit is {fit!r}; there are {', '.join(get_args(Fit))}")
        if not all(value > 0 for value in std):
            raise ArgumentError(f"preprocessing: std must be positive; it is {list(std)}")
        if not 0.0 < window <= 1.0:
            raise ArgumentError(
                f"preprocessing: window is {window}; it takes a share of the sides above 0 to 1"
            )
        self.window = float(window)
        self.size = (int(size[0]), int(size[1]))
        self.fit = fit
        self.value_range = _pairs(value_range)
        if len(self.value_range) not in (1, len(mean)) or any(low >= high for low, high in self.value_range):
            raise ArgumentError(f"preprocessing: value_range {value_range} is empty, or not one a channel")
        lows = [low for low, _ in self.value_range]
        scaling = [1.0 / (high - low) for low, high in self.value_range]
        for name, values in (("mean", mean), ("std", std), ("low", lows), ("scaling", scaling)):
            self.register_buffer(name, torch.tensor(list(values)).view(1, -1, 1, 1), persistent=False)

    @property
    def channels(self) -> int:
        """Channels of the images it takes."""
        return self.mean.shape[1]

    def forward(self, images: Tensor) -> Tensor:
        """Stored images to network inputs."""
        return self.normalise(self.scale(images))

    def scale(self, images: Tensor) -> Tensor:
        """The first half: values to [0, 1] and images to `size`; augmentation comes after it.

        Where a window is cut out, augmentation cuts its own, and comes after `values` instead.
        """
        x = self.values(images)
        if self.fit == "pad":
            rows, columns = self.size[0] - x.shape[2], self.size[1] - x.shape[3]
            sides = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
            return F.pad(x, sides, mode="replicate")
        if self.fit == "crop":
            top, left, rows, columns = self._cut(x.shape[2], x.shape[3])
            x = x[:, :, top : top + rows, left : left + columns]
        if self.fit == "resize" or (self.fit == "crop" and x.shape[2:] != self.size):
            return F.interpolate(x, self.size, mode="bilinear", antialias=True, align_corners=False)
        return x

    def values(self, images: Tensor) -> Tensor:
        """Stored values to [0, 1]; images stay of their size."""
        return (images - self.low).mul_(self.scaling)

    def _cut(self, height: int, width: int) -> tuple[int, int, int, int]:
        """The window of a stored image. -> top, left, height, width."""
        rows, columns = (max(1, round(self.window * side)) for side in (height, width))
        return (height - rows) // 2, (width - columns) // 2, rows, columns

    def normalise(self, x: Tensor) -> Tensor:
        """The second half: values in [0, 1] to zero mean and unit deviation."""
        return (x - self.mean).div_(self.std)

    def transform(self, height: int, width: int) -> NDArray[np.float64]:
        """The matrix that takes points (x, y, 1) of a stored image to its input. -> (3, 3)."""
        matrix = np.eye(3)
        if self.fit == "pad":
            matrix[0, 2], matrix[1, 2] = (self.size[1] - width) // 2, (self.size[0] - height) // 2
        elif self.fit == "resize":
            matrix[0, 0], matrix[1, 1] = self.size[1] / width, self.size[0] / height
        elif self.fit == "crop":
            top, left, rows, columns = self._cut(height, width)
            matrix[0, 0], matrix[1, 1] = self.size[1] / columns, self.size[0] / rows
            matrix[0, 2], matrix[1, 2] = -left * matrix[0, 0], -top * matrix[1, 1]
        return matrix

    def settings(self) -> dict[str, Any]:
        """All there is to know, as JSON; `Preprocessing(**settings)` is the same module."""
        return {
            "size": list(self.size),
            "fit": self.fit,
            "mean": self.mean.flatten().tolist(),
            "std": self.std.flatten().tolist(),
            "value_range": [list(pair) for pair in self.value_range]
            if len(self.value_range) > 1
            else list(self.value_range[0]),
            **({"window": self.window} if self.fit == "crop" else {}),
        }


def _pairs(value_range: Any) -> tuple[tuple[float, float], ...]:
    """One pair, or one a channel; one where all are the same."""
    pairs = [value_range] if np.ndim(value_range) == 1 else list(value_range)
    unique = list(dict.fromkeys((float(low), float(high)) for low, high in pairs))
    return tuple(unique) if len(unique) == 1 else tuple((float(low), float(high)) for low, high in pairs)
