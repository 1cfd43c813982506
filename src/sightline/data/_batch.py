"""A batch: images as stored, their targets, and who they are."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sightline.imaging import Mixture


@dataclasses.dataclass(frozen=True, eq=False)
class Batch:
    """Some images of a set, on one canvas."""

    images: Tensor
    """(N, C, H, W) as stored: uint8, or float32, also of 16 bits; float32 once preprocessed."""
    targets: Tensor
    """(N,) int64 class indices; other tasks put their own type here."""
    ids: NDArray[np.int64]
    """(N,) places in the image set."""
    sizes: Tensor
    """(N, 2) int32: height and width before framing."""
    transforms: Tensor
    """(N, 3, 3) float32: points (x, y, 1) of the image as it was to points of `images`: the canvas, and once
    they are preprocessed (and augmented) the network's input."""
    turns: NDArray[np.int64] | None = None
    """(N,) how often each image came before in the epoch; None where none comes twice."""
    mixed: Mixture | None = None
    """What each image was mixed with, if it was; `targets` are its own."""

    def moved(self, matrices: NDArray[np.float64]) -> Batch:
        """The same batch, its points taken on by (3, 3) or (N, 3, 3) matrices.

        Args:
            matrices: What was done to the images since `transforms`.
        """
        further = torch.from_numpy(np.asarray(matrices, dtype=np.float32))
        return dataclasses.replace(self, transforms=further @ self.transforms)

    @property
    def draw_ids(self) -> NDArray[np.int64]:
        """(N,) the ids that draws are made for: an image that comes again gets other numbers."""
        return self.ids if self.turns is None else self.ids + (self.turns << 32)

    def __len__(self) -> int:
        return len(self.ids)
