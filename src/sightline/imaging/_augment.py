"""Augmentation of whole batches, each image by draws of its own.

Geometry is one composed 3x3 matrix an image, so that boxes and masks can follow; then colour; erasing comes
last. Images are float32 in [0, 1], between the two halves of `Preprocessing`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sightline.base import ArgumentError, Draws
from sightline.imaging._augmentation import Augmentation, Fill
from sightline.imaging._colour import recolour, shift_colours
from sightline.imaging._geometry import by_whole_pixels, geometry
from sightline.imaging._mix import erase
from sightline.imaging._trivial import trivial_colours


def augment(
    images: Tensor,
    settings: Augmentation,
    draws: Draws,
    ids: NDArray[np.int64],
    *,
    size: tuple[int, int] | None = None,
    mean: Tensor | Sequence[float] | None = None,
) -> tuple[Tensor, NDArray[np.float64]]:
    """Augment a batch.

    An image goes from the canvas to the network's size in one interpolation, or in none where only whole
    pixels move. One that shrinks by 1.5 or more on that way is averaged first (`warp`, antialias).

    Args:
        images: Values in [0, 1], on the canvas.
        settings: What may change.
        draws: The epoch's random numbers.
        ids: The images' ids, which say which numbers are theirs.
        size: (height, width) the network is given; None for that of the images.
        mean: Of the training images, one number a channel, in [0, 1]: for `fill` mean.

    Shape:
        images (N, C, H, W) -> (N, C, *size), and the (N, 3, 3) matrices that take a point (x, y, 1) of an
        input image to where it went; pixel i covers [i, i + 1).

    Raises:
        ArgumentError: if images that are not square are to be transposed, or a mean or axes of colour that
            the settings need are missing.
    """
    canvas = (images.shape[2], images.shape[3])
    size = size or canvas
    matrices = geometry(settings, canvas, draws, ids, given=size)
    if settings.moves or size != canvas:
        images = warp(
            images,
            matrices,
            whole_pixels=by_whole_pixels(settings, canvas, size),
            size=size,
            fill=settings.fill,
            mean=mean,
            antialias=settings.cuts or size != canvas,
        )
    if settings.trivial:
        images = trivial_colours(images, draws, ids)
    if settings.colour and images.shape[1] == 3:
        images = recolour(images, settings.colour, draws.uniform("colour", ids, 3))
    if settings.pca and images.shape[1] == 3:
        images = shift_colours(images, settings.pca_axes, settings.pca * draws.normal("pca", ids, 3))
    if settings.erase:
        images = erase(images, settings.erase, draws.uniform("erase", ids, 5))
    return images, matrices


def warp(
    images: Tensor,
    matrices: NDArray[np.float64],
    *,
    whole_pixels: bool = False,
    size: tuple[int, int] | None = None,
    fill: Fill = "edge",
    mean: Tensor | Sequence[float] | None = None,
    antialias: bool = False,
) -> Tensor:
    """Move each image by its matrix.

    Args:
        images: The images.
        matrices: (N, 3, 3), taking input points to output points.
        whole_pixels: The matrices are mirrors, transpositions and whole shifts: move pixels, interpolate
            nothing.
        size: (height, width) of what comes out; None for that of the images.
        fill: What an image shows beyond its border: as of `Augmentation`.
        mean: Of the training images, one number a channel: for `fill` mean.
        antialias: Average an image that shrinks by 1.5 or more (by the root of the areas) over squares of so
            many whole pixels, to the nearest number, before the one interpolation.

    Shape:
        (N, C, H, W) -> (N, C, *size).

    Raises:
        ArgumentError: if `fill` is mean and there is none.
    """
    size = (images.shape[2], images.shape[3]) if size is None else size
    level = None
    if fill == "mean":
        if mean is None:
            raise ArgumentError("augmentation: fill is mean, and no mean of the training images is given")
        level = torch.as_tensor(mean, dtype=images.dtype, device=images.device).reshape(1, -1, 1, 1)
    if whole_pixels:
        return _moved(images, matrices, size, fill, level)
    if antialias:
        shrinks = np.abs(np.linalg.det(matrices[:, :2, :2])) ** -0.5
        squares = np.maximum(np.rint(shrinks), 1).astype(int)
        if (squares > 1).any():
            return _averaged(images, matrices, squares, size, fill, level)
    return _interpolated(images, matrices, size, fill, level)


def _averaged(
    images: Tensor,
    matrices: NDArray[np.float64],
    squares: NDArray[np.int64],
    size: tuple[int, int],
    fill: Fill,
    mean: Tensor | None,
) -> Tensor:
    """Each image made smaller by its own whole number first, those of one number together."""
    height, width = images.shape[2:]
    out = images.new_empty(len(images), images.shape[1], *size)
    for side in np.unique(squares).tolist():
        chosen = np.flatnonzero(squares == side)
        places = torch.from_numpy(chosen).to(images.device)
        part, back = images[places], np.eye(3)
        if side > 1:
            small = max(1, height // side), max(1, width // side)
            part = F.interpolate(part, small, mode="area")
            back = np.diag([width / small[1], height / small[0], 1.0])
        out[places] = _interpolated(part, matrices[chosen] @ back, size, fill, mean)
    return out


def _interpolated(
    images: Tensor, matrices: NDArray[np.float64], size: tuple[int, int], fill: Fill, mean: Tensor | None
) -> Tensor:
    inverse: NDArray[np.float64] = np.linalg.inv(matrices).astype(np.float64)
    height, width = images.shape[2:]
    corners = fill == "reflect"  # -1 and 1 are then the centres of the outermost pixels, not the borders
    if corners:
        x, y = 2 / max(width - 1, 1), 2 / max(height - 1, 1)
        from_pixels = np.array([[x, 0, -x / 2 - 1], [0, y, -y / 2 - 1], [0, 0, 1]])
    else:
        from_pixels = np.linalg.inv(_to_pixels(height, width))
    theta = (from_pixels @ inverse @ _to_pixels(*size))[:, :2]
    grid = _affine_grid(torch.from_numpy(theta).to(images.device, images.dtype), *size)
    if mean is not None:
        moved = F.grid_sample(images - mean, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        return moved.add_(mean)
    padding = "reflection" if corners else "border"
    return F.grid_sample(images, grid, mode="bilinear", padding_mode=padding, align_corners=corners)


def _to_pixels(height: int, width: int) -> NDArray[np.float64]:
    """From -1 and 1 at the borders to pixels."""
    return np.array([[width / 2, 0, width / 2], [0, height / 2, height / 2], [0, 0, 1]])


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


def _moved(
    images: Tensor, matrices: NDArray[np.float64], size: tuple[int, int], fill: Fill, mean: Tensor | None
) -> Tensor:
    height, width = images.shape[2:]
    inverse: NDArray[np.float64] = np.linalg.inv(matrices).astype(np.float64)
    turned = inverse[:, 0, 0] == 0  # then what comes out is a square
    across = np.where(turned, inverse[:, 0, 1], inverse[:, 0, 0])  # one of the two is 0
    down = np.where(turned, inverse[:, 1, 0], inverse[:, 1, 1])
    columns, in_columns = _sources(across, inverse[:, 0, 2], size[1], width, fill)
    rows, in_rows = _sources(down, inverse[:, 1, 2], size[0], height, fill)
    column, row = _placed(columns, rows, turned, images.device)
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    moved = images.permute(0, 2, 3, 1)[batch, row, column].permute(0, 3, 1, 2)  # b h w c -> b c h w
    if mean is None:
        return moved
    column, row = _placed(in_columns, in_rows, turned, images.device)
    return torch.where((column & row)[:, None], moved, mean)


def _placed(
    columns: NDArray[Any], rows: NDArray[Any], turned: NDArray[np.bool_], device: torch.device
) -> tuple[Tensor, Tensor]:
    """What is known of columns and rows, for each output pixel. -> both as (N, 1, W) or (N, H, 1)."""
    column = torch.from_numpy(columns).to(device)[:, None, :]
    row = torch.from_numpy(rows).to(device)[:, :, None]
    if turned.any():
        swap = torch.from_numpy(turned).to(device)[:, None, None]
        column, row = torch.where(swap, column.mT, column), torch.where(swap, row.mT, row)
    return column, row


def _sources(
    slope: NDArray[np.float64], start: NDArray[np.float64], count: int, length: int, fill: Fill
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """For each output pixel of a row or column, the input pixel it takes, and whether there is one.

    Shape:
        -> (N, count) twice.
    """
    centres = slope[:, None] * (np.arange(count) + 0.5)[None] + start[:, None]
    places = np.floor(centres)
    if fill == "reflect" and length > 1:
        there = length - 1 - np.abs(np.mod(places, 2 * (length - 1)) - (length - 1))
    else:
        there = np.clip(places, 0, length - 1)
    return there.astype(np.int64), places == there
