"""A batch: images as stored, their targets, and who they are."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


@dataclasses.dataclass(frozen=True, eq=False)
class Batch:
    """Some images of a set, on one canvas."""

    images: Tensor
    """(N, C, H, W) uint8, as stored."""
    targets: Tensor
    """(N,) int64 class indices; other tasks put their own type here."""
    ids: NDArray[np.int64]
    """(N,) places in the image set: the ids that draws are made for."""
    sizes: Tensor
    """(N, 2) int32: height and width before framing."""
    transforms: Tensor
    """(N, 3, 3) float32: image points (x, y, 1) to canvas points."""

    def __len__(self) -> int:
        return len(self.ids)
