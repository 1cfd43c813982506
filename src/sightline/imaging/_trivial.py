"""TrivialAugment Wide: one operation for each image, of random strength.

Operations and strengths are those of torchvision: of each of 14 operations 31 strengths, from none to

| operation | strongest | |
|---|---|---|
| shear x, shear y | 0.99 | pixels a pixel, about the corner above on the left, either way |
| translate x, translate y | 32 | whole pixels whatever the image's size, either way |
| rotate | 135 | degrees about the centre, either way |
| brightness, saturation, contrast, sharpness | 0.99 | times 1 plus or minus this |
| posterize | 2 | bits that are left of 8 |
| solarize | 0 | level of 255 from which on values are inverted |
| identity, autocontrast, equalize | | without a strength |

Values are those of RGB images in [0, 1]; what speaks of levels means multiples of 1/255 and rounds to them.
Different from there: moves are composed with all others into one interpolation, bilinear, and what comes in
at the border is the settings' `fill`; brightness and its kin compute with fractions of a level. An operation
that makes no sense of an image leaves it as it is: saturation of a grey one, and of one with neither one nor
three channels all that are no moves. Values outside of [0, 1], as deep images have them, are clamped by an
operation that is no move.

Source: Mueller, Hutter 2021, "TrivialAugment: tuning-free yet state-of-the-art data augmentation", table 5.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sightline.base import Draws

OPERATIONS = (
    "shear x",
    "shear y",
    "translate x",
    "translate y",
    "rotate",
    "brightness",
    "saturation",
    "contrast",
    "sharpness",
    "posterize",
    "solarize",
    "autocontrast",
    "equalize",
    "identity",
)
_MOVES = 5
STRENGTHS = 31
_LUMA = (0.299, 0.587, 0.114)


def choose_operations(draws: Draws, ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """For each image the place in `OPERATIONS`, and the share of the strongest, in [-1, 1]. -> (N,), (N,)."""
    u = draws.uniform("trivial", ids, 3)
    strengths = np.floor(u[:, 1] * STRENGTHS) / (STRENGTHS - 1)
    return np.floor(u[:, 0] * len(OPERATIONS)).astype(np.int64), np.where(
        u[:, 2] < 0.5, -strengths, strengths
    )


def trivial_matrices(draws: Draws, ids: NDArray[np.int64], size: tuple[int, int]) -> NDArray[np.float64]:
    """The moves of the images that get one, the identity for all others. -> (N, 3, 3)."""
    chosen, strengths = choose_operations(draws, ids)
    return move_matrices(chosen, strengths, size)


def move_matrices(
    chosen: NDArray[np.int64], strengths: NDArray[np.float64], size: tuple[int, int]
) -> NDArray[np.float64]:
    """As `trivial_matrices`, of operations and strengths already chosen."""
    matrices = np.tile(np.eye(3), (len(chosen), 1, 1))
    for operation, (row, column), most in ((0, (0, 1), 0.99), (1, (1, 0), 0.99)):
        matrices[chosen == operation, row, column] = most * strengths[chosen == operation]
    for operation, row in ((2, 0), (3, 1)):
        matrices[chosen == operation, row, 2] = np.trunc(32 * strengths[chosen == operation])
    turned = chosen == 4
    angle = np.radians(135.0) * strengths[turned]
    matrices[turned, 0, 0] = matrices[turned, 1, 1] = np.cos(angle)
    matrices[turned, 1, 0] = np.sin(angle)
    matrices[turned, 0, 1] = -np.sin(angle)
    centre = np.array([size[1] / 2, size[0] / 2])
    matrices[turned, :2, 2] = centre - matrices[turned, :2, :2] @ centre
    return matrices


def trivial_colours(images: Tensor, draws: Draws, ids: NDArray[np.int64]) -> Tensor:
    """Change the images whose operation is no move, those of one operation together.

    Shape:
        (N, C, H, W) -> the same.
    """
    chosen, strengths = choose_operations(draws, ids)
    return colour_operations(images, chosen, strengths)


def colour_operations(images: Tensor, chosen: NDArray[np.int64], strengths: NDArray[np.float64]) -> Tensor:
    """As `trivial_colours`, of operations and strengths already chosen."""
    if images.shape[1] not in (1, 3):
        return images
    images = images.clone()
    for place, name in enumerate(OPERATIONS[_MOVES:-1], _MOVES):
        rows = np.flatnonzero(chosen == place)
        if not len(rows):
            continue
        places = torch.from_numpy(rows).to(images.device)
        strength = torch.from_numpy(strengths[rows]).to(images)[:, None, None, None]
        images[places] = _COLOURS[name](images[places].clamp_(0.0, 1.0), strength).clamp_(0.0, 1.0)
    return images


def _grey(images: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, 1, H, W)."""
    if images.shape[1] == 1:
        return images
    return (images * torch.tensor(_LUMA).to(images)[:, None, None]).sum(1, keepdim=True)


def _between(images: Tensor, other: Tensor, strength: Tensor) -> Tensor:
    """From another image (at -1) through the image itself (at 0) to as much beyond it."""
    return other + (images - other) * (1 + 0.99 * strength)


def _smoothed(images: Tensor) -> Tensor:
    """Weights of 1 around 5, over 13; the outermost pixels stay."""
    out = images.clone()
    if min(images.shape[2:]) > 2:
        around = F.avg_pool2d(images, 3, stride=1) * 9
        inner = images[:, :, 1:-1, 1:-1]
        out[:, :, 1:-1, 1:-1] = (around + 4 * inner) / 13
    return out


def _levels(images: Tensor) -> Tensor:
    return (images * 255).round_().to(torch.int64)


def _posterized(images: Tensor, strength: Tensor) -> Tensor:
    dropped = (strength.abs() * 6).round().to(torch.int64)  # 6 of 8 bits at most
    return (_levels(images) >> dropped << dropped).to(images.dtype) / 255


def _solarized(images: Tensor, strength: Tensor) -> Tensor:
    threshold = 255 - (510 * strength.abs()).round() / 2  # all 31 are halves
    return torch.where(_levels(images) >= threshold, 1 - images, images)


def _stretched(images: Tensor, strength: Tensor) -> Tensor:
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    reach = high - low
    return torch.where(reach > 0, (images - low) / torch.where(reach > 0, reach, 1.0), images)


def _equalized(images: Tensor, strength: Tensor) -> Tensor:
    """Each channel's levels spread so that each is about as frequent, as Pillow does it."""
    levels = _levels(images)
    n, channels = images.shape[:2]
    rows = levels.reshape(n * channels, -1)
    offsets = 256 * torch.arange(len(rows), device=rows.device)[:, None]
    counts = torch.bincount((rows + offsets).flatten(), minlength=256 * len(rows)).view(len(rows), 256)
    last = counts.gather(1, rows.amax(1, keepdim=True))
    step = (rows.shape[1] - last) // 255
    before = counts.cumsum(1) - counts
    spread = ((before + step // 2) // step.clamp(min=1)).clamp(max=255)
    identity = torch.arange(256, device=rows.device).expand_as(spread)
    table = torch.where(step > 0, spread, identity)
    return table.gather(1, rows).view_as(levels).to(images.dtype) / 255


_COLOURS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "brightness": lambda x, s: x * (1 + 0.99 * s),
    "saturation": lambda x, s: _between(x, _grey(x), s),
    "contrast": lambda x, s: _between(x, _grey(x).mean((2, 3), keepdim=True), s),
    "sharpness": lambda x, s: _between(x, _smoothed(x), s),
    "posterize": _posterized,
    "solarize": _solarized,
    "autocontrast": _stretched,
    "equalize": _equalized,
}
