"""Augmentation of whole batches, each image by draws of its own.

Geometry is one composed 3x3 matrix an image, so that boxes and masks can follow; colour is one 3x4 matrix
an image; erasing comes last. Images are float32 in [0, 1], between the two halves of `Preprocessing`.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pydantic
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sightline.base import Draws


@pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=pydantic.ConfigDict(extra="forbid"))
class Augmentation:
    """Which random changes a training image gets; all off by default."""

    crop: float = pydantic.Field(default=0.0, ge=0.0, lt=1.0)
    """Largest shift in each direction, as a fraction of the side, in whole pixels: a random crop of the
    image with its edge repeated beyond it."""
    flip: Literal["none", "horizontal", "both"] = "none"
    """Mirror left-right with probability 1/2; `both` also up-down."""
    rotate: float = pydantic.Field(default=0.0, ge=0.0, le=180.0)
    """Largest rotation either way, degrees."""
    zoom: float = pydantic.Field(default=0.0, ge=0.0, lt=1.0)
    """Largest change of size either way, as a fraction (0.1: from 1/1.1 to 1.1 times)."""
    colour: float = pydantic.Field(default=0.0, ge=0.0, le=1.0)
    """Largest change of brightness, contrast and (of colour images) saturation, as a fraction."""
    erase: float = pydantic.Field(default=0.0, ge=0.0, le=1.0)
    """Probability that a rectangle of 2 to 25 % of the image is painted with the image's mean."""

    @property
    def moves_by_whole_pixels(self) -> bool:
        """Whether geometry is only shifts and mirrors, which need no interpolation."""
        return self.rotate == 0.0 and self.zoom == 0.0


def augment(
    images: Tensor, settings: Augmentation, draws: Draws, ids: NDArray[np.int64]
) -> tuple[Tensor, NDArray[np.float64]]:
    """Augment a batch.

    Args:
        images: Values in [0, 1].
        settings: What may change.
        draws: The epoch's random numbers.
        ids: The images' ids, which say which numbers are theirs.

    Shape:
        images (N, C, H, W) -> the same, and the (N, 3, 3) matrices that take a point (x, y, 1) of an
        input image to where it went; pixel i covers [i, i + 1).
    """
    matrices = geometry(settings, (images.shape[2], images.shape[3]), draws, ids)
    if settings.crop or settings.flip != "none" or not settings.moves_by_whole_pixels:
        images = warp(images, matrices, whole_pixels=settings.moves_by_whole_pixels)
    if settings.colour:
        images = _recolour(images, settings.colour, draws.uniform("colour", ids, 3))
    if settings.erase:
        images = _erase(images, settings.erase, draws.uniform("erase", ids, 5))
    return images, matrices


def geometry(
    settings: Augmentation, size: tuple[int, int], draws: Draws, ids: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The matrix of each image: rotate and zoom about the centre, mirror, then shift. -> (N, 3, 3)."""
    height, width = size
    u = draws.uniform("geometry", ids, 6)
    signed = 2.0 * u - 1.0
    angle = np.radians(settings.rotate) * signed[:, 0]
    zoom = (1.0 + settings.zoom) ** signed[:, 1]
    mirror_x = np.where((settings.flip != "none") & (u[:, 2] < 0.5), -1.0, 1.0)
    mirror_y = np.where((settings.flip == "both") & (u[:, 3] < 0.5), -1.0, 1.0)
    reach_x, reach_y = math.floor(settings.crop * width), math.floor(settings.crop * height)
    shift_x = np.floor(u[:, 4] * (2 * reach_x + 1)) - reach_x
    shift_y = np.floor(u[:, 5] * (2 * reach_y + 1)) - reach_y

    matrices = np.zeros((len(ids), 3, 3))
    matrices[:, 0, 0], matrices[:, 0, 1] = mirror_x * zoom * np.cos(angle), -mirror_x * zoom * np.sin(angle)
    matrices[:, 1, 0], matrices[:, 1, 1] = mirror_y * zoom * np.sin(angle), mirror_y * zoom * np.cos(angle)
    centre = np.array([width / 2, height / 2])
    matrices[:, :2, 2] = centre - matrices[:, :2, :2] @ centre + np.stack([shift_x, shift_y], axis=1)
    matrices[:, 2, 2] = 1.0
    return matrices


def warp(images: Tensor, matrices: NDArray[np.float64], *, whole_pixels: bool = False) -> Tensor:
    """Move each image by its matrix; beyond its border an image repeats its edge.

    Args:
        images: The images.
        matrices: (N, 3, 3), taking input points to output points.
        whole_pixels: The matrices are mirrors and whole shifts: move pixels, interpolate nothing.

    Shape:
        (N, C, H, W) -> the same.
    """
    height, width = images.shape[2:]
    inverse: NDArray[np.float64] = np.linalg.inv(matrices).astype(np.float64)
    if whole_pixels:
        columns = _sources(inverse[:, 0, 0], inverse[:, 0, 2], width, images.device)
        rows = _sources(inverse[:, 1, 1], inverse[:, 1, 2], height, images.device)
        batch = torch.arange(len(images), device=images.device)
        moved = images.permute(0, 2, 3, 1)[batch[:, None, None], rows[:, :, None], columns[:, None, :]]
        return moved.permute(0, 3, 1, 2)  # b h w c -> b c h w
    to_pixels = np.array([[width / 2, 0, width / 2], [0, height / 2, height / 2], [0, 0, 1]])
    theta = (np.linalg.inv(to_pixels) @ inverse @ to_pixels)[:, :2]
    grid = F.affine_grid(
        torch.from_numpy(theta).to(images.device, images.dtype), list(images.shape), align_corners=False
    )
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _sources(
    slope: NDArray[np.float64], start: NDArray[np.float64], length: int, device: torch.device
) -> Tensor:
    """For each output pixel of a row or column, the input pixel it takes. -> (N, length)."""
    centres = slope[:, None] * (np.arange(length) + 0.5)[None] + start[:, None]
    return torch.from_numpy(np.clip(np.floor(centres), 0, length - 1).astype(np.int64)).to(device)


def _recolour(images: Tensor, strength: float, u: NDArray[np.float64]) -> Tensor:
    """Brightness, contrast about the image's mean, saturation, as one matrix an image."""
    channels = images.shape[1]
    brightness, contrast, saturation = (torch.from_numpy((1 + strength) ** (2 * u - 1))).unbind(1)
    luma = torch.tensor([[0.299, 0.587, 0.114]] if channels == 3 else [[1.0 / channels] * channels])
    grey = luma.expand(channels, channels).double()
    identity = torch.eye(channels, dtype=torch.float64)
    if channels == 1:
        saturation = torch.ones_like(saturation)
    s = saturation[:, None, None]
    matrix = (brightness * contrast)[:, None, None] * (s * identity + (1 - s) * grey)
    matrix = matrix.to(images)
    mean = images.mean(dim=(2, 3)) @ luma[0].to(images)  # (N,)
    offset = (brightness * (1 - contrast)).to(images) * mean
    out = torch.einsum("nij,njhw->nihw", matrix, images) + offset[:, None, None, None]
    return out.clamp_(0.0, 1.0)


def _erase(images: Tensor, probability: float, u: NDArray[np.float64]) -> Tensor:
    """Paint a rectangle of some images with their own mean.

    Source: Zhong, Zheng, Kang, Li, Yang 2017, "Random erasing data augmentation".
    """
    height, width = images.shape[2:]
    area = 0.02 + 0.23 * u[:, 1]
    aspect = np.exp((2 * u[:, 2] - 1) * np.log(3.0))
    tall = np.minimum(np.sqrt(area * aspect), 1.0)
    wide = np.minimum(area / tall, 1.0)
    top, left = u[:, 3] * (1 - tall), u[:, 4] * (1 - wide)
    y, x = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
    rows = (y >= top[:, None]) & (y < (top + tall)[:, None])
    columns = (x >= left[:, None]) & (x < (left + wide)[:, None])
    inside = rows[:, :, None] & columns[:, None, :] & (u[:, 0] < probability)[:, None, None]
    mask = torch.from_numpy(inside)[:, None].to(images.device)
    return torch.where(mask, images.mean(dim=(2, 3), keepdim=True), images)
