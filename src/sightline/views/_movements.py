"""An image moved before a network: shifted, scaled, turned."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sightline.imaging import Preprocessing, Source, Values
from sightline.views._subject import Subject

Border = Literal["crop", "edge", "circular"]

_SCALES = (0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8)
_DEGREES = tuple(range(0, 361, 15))


@dataclasses.dataclass(frozen=True, eq=False)
class Family:
    """One kind of movement, in steps of which one does nothing."""

    name: str
    unit: str
    """What its steps are counted in."""
    by: tuple[float, ...]
    inputs: Tensor
    """(steps, C, H, W): t[x] of each."""
    still: int
    """The step that does nothing."""
    back: Callable[[float, NDArray[np.float64], NDArray[np.float64]], tuple[Any, Any]]
    """Takes (row, column) of a moved image to where that was, in input pixels."""
    wraps: bool = False
    """Whether what leaves on the right comes in on the left."""


def families(subject: Subject, image: str | Source | Values, most: int, border: Border) -> list[Family]:
    """The moved images."""
    _, height, width = subject.input_shape
    if border == "circular":
        x = subject.picture(image).x
        rolled = torch.cat([torch.roll(x, d, 3) for d in range(most + 1)])
        return [
            Family("shift", "pixels to the right", tuple(range(most + 1)), rolled, 0,
                    lambda d, r, c: (r, c - d), wraps=True)
        ]  # fmt: skip
    if border == "edge":
        wide, up, centre = F.pad(subject.picture(image).x, (most, 0, 0, 0), mode="replicate"), 0, most
    else:
        wide, up, centre = wide_input(subject, image, most), most // 2, most // 2
    windows = [wide[:, :, up : up + height, most - d : most - d + width] for d in range(most + 1)]
    shifted = Family(
        "shift", "pixels to the right", tuple(range(most + 1)), torch.cat(windows), 0,
        lambda d, r, c: (r, c - d),
    )  # fmt: skip
    middle = ((height - 1) / 2, (width - 1) / 2)

    def scaled(s: float, r: NDArray[np.float64], c: NDArray[np.float64]) -> tuple[Any, Any]:
        return middle[0] + (r - middle[0]) / s, middle[1] + (c - middle[1]) / s

    def turned(degrees: float, r: NDArray[np.float64], c: NDArray[np.float64]) -> tuple[Any, Any]:
        cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        y, x = r - middle[0], c - middle[1]
        return middle[0] + cos * y + sin * x, middle[1] - sin * y + cos * x

    rows, columns = np.meshgrid(np.arange(height, dtype=float), np.arange(width, dtype=float), indexing="ij")

    def warped(back: Callable[..., tuple[Any, Any]], by: Sequence[float]) -> Tensor:
        found = []
        for amount in by:
            r, c = back(amount, rows, columns)
            found.append(sampled(wide, r + up, c + centre))
        return torch.cat(found)

    return [
        shifted,
        Family("scale", "times as large", _SCALES, warped(scaled, _SCALES), _SCALES.index(1.0), scaled),
        Family("rotation", "degrees", _DEGREES, warped(turned, _DEGREES), 0, turned),
    ]


def wide_input(subject: Subject, image: str | Source | Values, more: int) -> Tensor:
    """The image as a network that is larger by so many pixels would be given it. -> (1, C, H + n, W + n)."""
    _, height, width = subject.input_shape
    settings = subject.preprocessing.settings()
    canvas = subject.canvas
    if subject.preprocessing.fit != "pad":
        canvas = dataclasses.replace(
            canvas,
            height=round(canvas.height * (height + more) / height),
            width=round(canvas.width * (width + more) / width),
        )
    settings["size"] = [height + more, width + more]
    larger = dataclasses.replace(
        subject,
        input_shape=(subject.input_shape[0], height + more, width + more),
        preprocessing=Preprocessing(**settings).to(subject.device),
        canvas=canvas,
    )
    return larger.picture(image).x


def sampled(x: Tensor, rows: Any, columns: Any) -> Tensor:
    """Values at (row, column), interpolated bilinearly; beyond the border, the border's.

    Shape:
        (1, C, H, W), (h, w), (h, w) -> (1, C, h, w).
    """
    height, width = x.shape[2:]
    grid = np.stack([2 * columns / max(width - 1, 1) - 1, 2 * rows / max(height - 1, 1) - 1], axis=-1)
    places = torch.from_numpy(grid).to(x.device)[None]
    sampled = F.grid_sample(x.double(), places, mode="bilinear", padding_mode="border", align_corners=True)
    return sampled.to(x.dtype)
