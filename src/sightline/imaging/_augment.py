"""Augmentation of whole batches, each image by draws of its own.

Geometry is one composed 3x3 matrix an image, so that boxes and masks can follow; colour is one 3x4 matrix
an image; erasing comes last. Images are float32 in [0, 1], between the two halves of `Preprocessing`.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal

import numpy as np
import pydantic
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.special import betaincinv
from torch import Tensor

from sightline.base import ArgumentError, Draws


@pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=pydantic.ConfigDict(extra="forbid"))
class Augmentation:
    """Which random changes a training image gets; all off by default."""

    crop: float = pydantic.Field(default=0.0, ge=0.0, lt=1.0)
    """Largest shift in each direction, as a fraction of the side, in whole pixels: a random crop of the
    image with its edge repeated beyond it."""
    flip: Literal["none", "horizontal", "both"] = "none"
    """Mirror left-right with probability 1/2; `both` also up-down."""
    transpose: bool = False
    """Swap rows and columns with probability 1/2; with `flip` both, all eight symmetries of a square.
    Only square images can be."""
    rotate: float = pydantic.Field(default=0.0, ge=0.0, le=180.0)
    """Largest rotation either way, degrees."""
    zoom: float = pydantic.Field(default=0.0, ge=0.0, lt=1.0)
    """Largest change of size either way, as a fraction (0.1: from 1/1.1 to 1.1 times)."""
    colour: float = pydantic.Field(default=0.0, ge=0.0, le=1.0)
    """Largest change of brightness, contrast and saturation, as a fraction; of RGB images only."""
    erase: float = pydantic.Field(default=0.0, ge=0.0, le=1.0)
    """Probability that a rectangle of 2 to 25 % of the image is painted with the image's mean."""
    mixup: float = pydantic.Field(default=0.0, ge=0.0)
    """Both parameters of the beta distribution that shares of two images are drawn from; 0 for none."""
    cutmix: float = pydantic.Field(default=0.0, ge=0.0)
    """Likewise, of the area that stays when a rectangle of another image is pasted. With both, each image
    gets one of the two."""

    @property
    def moves_by_whole_pixels(self) -> bool:
        """Whether geometry is only shifts and mirrors, which need no interpolation."""
        return self.rotate == 0.0 and self.zoom == 0.0

    @property
    def moves(self) -> bool:
        """Whether there is any geometry."""
        return bool(self.crop) or self.flip != "none" or self.transpose or not self.moves_by_whole_pixels

    @property
    def mixes(self) -> bool:
        """Whether images are mixed with others."""
        return self.mixup > 0 or self.cutmix > 0


@dataclasses.dataclass(frozen=True, eq=False)
class Mixture:
    """What a batch's images were mixed with: others of the same batch."""

    partners: Tensor
    """(N,) int64 place in the batch of the image that was mixed in."""
    own: Tensor
    """(N,) float32 share of the image that is still its own, in [0, 1]."""


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
    if settings.moves:
        images = warp(images, matrices, whole_pixels=settings.moves_by_whole_pixels)
    if settings.colour and images.shape[1] == 3:
        images = _recolour(images, settings.colour, draws.uniform("colour", ids, 3))
    if settings.erase:
        images = _erase(images, settings.erase, draws.uniform("erase", ids, 5))
    return images, matrices


def geometry(
    settings: Augmentation, size: tuple[int, int], draws: Draws, ids: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The matrix of each image: transpose, rotate and zoom about the centre, mirror, shift. -> (N, 3, 3).

    Raises:
        ArgumentError: if images that are not square are to be transposed.
    """
    height, width = size
    if settings.transpose and height != width:
        raise ArgumentError(
            f"augmentation: images of {width}x{height} cannot be transposed; give them a square"
        )
    u = draws.uniform("geometry", ids, 7)
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
    if settings.transpose:
        turned = u[:, 6] < 0.5
        matrices[turned, :2, :2] = matrices[turned, :2, 1::-1]
    centre = np.array([width / 2, height / 2])
    matrices[:, :2, 2] = centre - matrices[:, :2, :2] @ centre + np.stack([shift_x, shift_y], axis=1)
    matrices[:, 2, 2] = 1.0
    return matrices


def warp(images: Tensor, matrices: NDArray[np.float64], *, whole_pixels: bool = False) -> Tensor:
    """Move each image by its matrix; beyond its border an image repeats its edge.

    Args:
        images: The images.
        matrices: (N, 3, 3), taking input points to output points.
        whole_pixels: The matrices are mirrors, transpositions and whole shifts: move pixels, interpolate
            nothing.

    Shape:
        (N, C, H, W) -> the same.
    """
    height, width = images.shape[2:]
    inverse: NDArray[np.float64] = np.linalg.inv(matrices).astype(np.float64)
    if whole_pixels:
        turned = inverse[:, 0, 0] == 0
        across = np.where(turned, inverse[:, 0, 1], inverse[:, 0, 0])  # one of the two is 0
        down = np.where(turned, inverse[:, 1, 0], inverse[:, 1, 1])
        columns = _sources(across, inverse[:, 0, 2], width, images.device)[:, None, :]
        rows = _sources(down, inverse[:, 1, 2], height, images.device)[:, :, None]
        if turned.any():
            swap = torch.from_numpy(turned).to(images.device)[:, None, None]
            columns, rows = (
                torch.where(swap, columns.mT, columns), torch.where(swap, rows.mT, rows)
            )  # fmt: skip
        batch = torch.arange(len(images), device=images.device)[:, None, None]
        moved = images.permute(0, 2, 3, 1)[batch, rows, columns]
        return moved.permute(0, 3, 1, 2)  # b h w c -> b c h w
    to_pixels = np.array([[width / 2, 0, width / 2], [0, height / 2, height / 2], [0, 0, 1]])
    theta = (np.linalg.inv(to_pixels) @ inverse @ to_pixels)[:, :2]
    grid = _affine_grid(torch.from_numpy(theta).to(images.device, images.dtype), height, width)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _affine_grid(theta: Tensor, height: int, width: int) -> Tensor:
    """`F.affine_grid` without a matrix product for each pixel. (N, 2, 3) -> (N, height, width, 2)."""
    options: dict[str, Any] = {"device": theta.device, "dtype": theta.dtype}
    x = (2 * torch.arange(width, **options) + 1) / width - 1  # centres of pixels; -1 and 1 are the borders
    y = (2 * torch.arange(height, **options) + 1) / height - 1
    grid = torch.empty(len(theta), height, width, 2, **options)
    for axis in (0, 1):
        along, down, shift = theta[:, axis].unbind(1)
        rows = down[:, None] * y + shift[:, None]
        torch.add((along[:, None] * x)[:, None, :], rows[:, :, None], out=grid[..., axis])
    return grid


def _sources(
    slope: NDArray[np.float64], start: NDArray[np.float64], length: int, device: torch.device
) -> Tensor:
    """For each output pixel of a row or column, the input pixel it takes. -> (N, length)."""
    centres = slope[:, None] * (np.arange(length) + 0.5)[None] + start[:, None]
    return torch.from_numpy(np.clip(np.floor(centres), 0, length - 1).astype(np.int64)).to(device)


def _recolour(images: Tensor, strength: float, u: NDArray[np.float64]) -> Tensor:
    """Brightness, contrast about the image's mean, saturation, as one matrix an image."""
    brightness, contrast, saturation = (torch.from_numpy((1 + strength) ** (2 * u - 1))).unbind(1)
    luma = torch.tensor([[0.299, 0.587, 0.114]])
    grey = luma.expand(3, 3).double()
    identity = torch.eye(3, dtype=torch.float64)
    s = saturation[:, None, None]
    matrix = (brightness * contrast)[:, None, None] * (s * identity + (1 - s) * grey)
    matrix = matrix.to(images)
    mean = images.mean(dim=(2, 3)) @ luma[0].to(images)  # (N,)
    offset = (brightness * (1 - contrast)).to(images) * mean
    out = torch.einsum("nij,njhw->nihw", matrix, images) + offset[:, None, None, None]
    return out.clamp_(0.0, 1.0)


def mix(
    images: Tensor, settings: Augmentation, draws: Draws, ids: NDArray[np.int64]
) -> tuple[Tensor, Mixture | None]:
    """Mix each image of a batch with the one before it.

    Source: Zhang, Cisse, Dauphin, Lopez-Paz 2018, "mixup: beyond empirical risk minimization"; Yun, Han, Oh,
    Chun, Choe, Yoo 2019, "CutMix: regularization strategy to train strong classifiers". There a batch has
    one share; here each image draws its own.

    Args:
        images: A batch, augmented.
        settings: Says how much; nothing happens if neither `mixup` nor `cutmix` is set.
        draws: The epoch's random numbers.
        ids: The images' ids. The partner depends on the batch, all other draws on the id alone.

    Shape:
        images (N, C, H, W) -> the same, and what was mixed, or None.
    """
    if not settings.mixes or len(images) < 2:
        return images, None
    height, width = images.shape[2:]
    u = draws.uniform("mix", ids, 4)
    pastes = u[:, 0] < (0.0 if not settings.cutmix else 0.5 if settings.mixup else 1.0)
    share = np.ones(len(ids))
    for chosen, alpha in ((~pastes, settings.mixup), (pastes, settings.cutmix)):
        if alpha:
            share[chosen] = betaincinv(alpha, alpha, u[chosen, 1])  # the inverse of the beta distribution
    side = np.sqrt(1.0 - share)
    rows = np.abs((np.arange(height) + 0.5) / height - u[:, 2:3]) < side[:, None] / 2
    columns = np.abs((np.arange(width) + 0.5) / width - u[:, 3:4]) < side[:, None] / 2
    pasted = rows[:, :, None] & columns[:, None, :]  # cut at the border, as in the paper
    kept = np.where(pastes[:, None, None], ~pasted, share[:, None, None]).astype(np.float32)
    weight = torch.from_numpy(kept)[:, None].to(images.device)
    mixed = torch.lerp(images.roll(1, dims=0), images, weight)
    own = torch.from_numpy(kept.mean(axis=(1, 2))).to(images.device)
    return mixed, Mixture(partners=torch.arange(len(ids), device=images.device).roll(1), own=own)


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
