"""Parts of an image painted over, and images mixed with others of their batch."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import betaincinv
from torch import Tensor

from sightline.base import Draws
from sightline.imaging._augmentation import Augmentation


@dataclasses.dataclass(frozen=True, eq=False)
class Mixture:
    """What a batch's images were mixed with: others of the same batch."""

    partners: Tensor
    """(N,) int64 place in the batch of the image that was mixed in."""
    own: Tensor
    """(N,) float32 share of the image that is still its own, in [0, 1]."""


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


def erase(images: Tensor, probability: float, u: NDArray[np.float64]) -> Tensor:
    """Paint a rectangle of some images with their own mean.

    Args:
        images: (N, C, H, W).
        probability: Of each image.
        u: (N, 5) numbers in [0, 1).

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
