"""Where each pixel of a training image goes: one 3x3 matrix an image."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.base import ArgumentError, Draws
from sightline.imaging._augmentation import Augmentation
from sightline.imaging._trivial import trivial_matrices


def geometry(
    settings: Augmentation,
    size: tuple[int, int],
    draws: Draws,
    ids: NDArray[np.int64],
    *,
    given: tuple[int, int] | None = None,
) -> NDArray[np.float64]:
    """The matrix of each image: cut a window; transpose, rotate, zoom about the centre; mirror, shift.

    Args:
        settings: What may change.
        size: (height, width) of the images.
        draws: The epoch's random numbers.
        ids: The images' ids.
        given: (height, width) the network is given; None for `size`. Without `scale` and `area` the whole
            image becomes it.

    Shape:
        -> (N, 3, 3).

    Raises:
        ArgumentError: if images that are not square are to be transposed.
    """
    height, width = given or size
    if settings.transpose and height != width:
        raise ArgumentError(
            f"augmentation: images of {width}x{height} cannot be transposed; give them a square"
        )
    u = draws.uniform("geometry", ids, 7)
    signed = 2.0 * u - 1.0
    angle = np.radians(settings.rotate) * signed[:, 0]
    zoom = (1.0 + settings.zoom) ** signed[:, 1]
    mirrored = _mirrored(draws, ids) if settings.flip == "alternating" else u[:, 2] < 0.5
    mirror_x = np.where((settings.flip != "none") & mirrored, -1.0, 1.0)
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
    if settings.cuts or (height, width) != size:
        matrices = matrices @ _windows(settings, size, (height, width), draws, ids)
    if settings.trivial:
        matrices = trivial_matrices(draws, ids, (height, width)) @ matrices
    return matrices


def _mirrored(draws: Draws, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which images are mirrored where mirroring alternates.

    Source: Jordan 2024, "94% on CIFAR-10 in 3.29 seconds on a single GPU", section 3.6.
    """
    first: NDArray[np.bool_] = Draws(draws.seed).uniform("mirror", ids, 1)[:, 0] < 0.5
    return first ^ bool(draws.epoch % 2)


def _windows(
    settings: Augmentation,
    size: tuple[int, int],
    given: tuple[int, int],
    draws: Draws,
    ids: NDArray[np.int64],
) -> NDArray[np.float64]:
    """The matrices that take a window of each image to the network's size. -> (N, 3, 3)."""
    (height, width), (rows, columns) = size, given
    matrices = np.zeros((len(ids), 3, 3))
    matrices[:, 2, 2] = 1.0
    if settings.scale is not None:
        share, _, x, y = draws.uniform("window", ids, 4).T
        low, high = settings.scale
        factor = _covering(size, given) * (low + (high - low) * share)
        scaled_height, scaled_width = _scaled(factor, size, given)
        matrices[:, 0, 0], matrices[:, 1, 1] = scaled_width / width, scaled_height / height
        matrices[:, 0, 2] = -np.floor(x * (scaled_width - columns + 1))
        matrices[:, 1, 2] = -np.floor(y * (scaled_height - rows + 1))
    elif settings.area is not None:
        share, ratio, x, y = draws.uniform("window", ids, 4).T
        low, high = settings.area
        area = (low + (high - low) * share) * (height * width)
        wide = np.minimum(np.sqrt(area * settings.aspect ** (2 * ratio - 1)), width)
        tall = np.minimum(area / wide, height)
        wide = area / tall
        matrices[:, 0, 0], matrices[:, 1, 1] = columns / wide, rows / tall
        matrices[:, 0, 2] = -x * (width - wide) * matrices[:, 0, 0]
        matrices[:, 1, 2] = -y * (height - tall) * matrices[:, 1, 1]
    else:
        matrices[:, 0, 0], matrices[:, 1, 1] = columns / width, rows / height
    return matrices


def _covering(size: tuple[int, int], given: tuple[int, int]) -> float:
    """The factor by which an image just covers the network's size."""
    return max(given[0] / size[0], given[1] / size[1])


def _scaled(factor: Any, size: tuple[int, int], given: tuple[int, int]) -> tuple[Any, Any]:
    """Sides of an image scaled by a factor, in whole pixels, not below the network's. -> height, width."""
    return np.maximum(np.rint(factor * size[0]), given[0]), np.maximum(np.rint(factor * size[1]), given[1])


def by_whole_pixels(settings: Augmentation, size: tuple[int, int], given: tuple[int, int]) -> bool:
    """Whether every matrix of `geometry` moves whole pixels, so that nothing is interpolated.

    That is a matter of settings and sizes alone: an image is moved alike whatever others are in its batch.
    """
    if not settings.moves_by_whole_pixels or settings.area is not None:
        return False
    if settings.scale is None:
        return given == size
    low, high = settings.scale
    return low == high and _scaled(_covering(size, given) * low, size, given) == size
