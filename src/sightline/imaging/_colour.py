"""Colour: brightness, contrast and saturation; AlexNet's shift along the axes of the training colours."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sightline.base import ArgumentError

Axes = tuple[tuple[float, float, float], ...]


def recolour(images: Tensor, strength: float, u: NDArray[np.float64]) -> Tensor:
    """Brightness, contrast about the image's mean, saturation, as one matrix an image.

    Args:
        images: (N, 3, H, W).
        strength: As of `Augmentation.colour`.
        u: (N, 3) numbers in [0, 1).
    """
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


def colour_axes(batches: Iterable[Tensor]) -> Axes:
    """The directions in which training colours vary, for `Augmentation.pca_axes`.

    One pass over the pixels: their moments are summed in double precision.

    Args:
        batches: Training images, values in [0, 1].

    Returns:
        The eigenvectors of the covariance of RGB values over all pixels, the largest eigenvalue's first, each
        times its eigenvalue. Of a vector and its opposite, the one whose largest component is positive.

    Shape:
        each batch (N, 3, H, W) -> three of three.

    Raises:
        ArgumentError: if images are not of three channels, or there are none.

    Source:
        Krizhevsky, Sutskever, Hinton 2012, "ImageNet classification with deep convolutional neural networks",
        section 4.1.
    """
    count, total, products = 0, torch.zeros(3).double(), torch.zeros(3, 3).double()
    for images in batches:
        if images.dim() != 4 or images.shape[1] != 3:
            raise ArgumentError(f"colour axes are of RGB images; these are of shape {tuple(images.shape)}")
        pixels = images.double().permute(0, 2, 3, 1).reshape(-1, 3) - 0.5  # b c h w -> (b h w) c
        count += len(pixels)
        total += pixels.sum(0).cpu()
        products += (pixels.T @ pixels).cpu()
    if not count:
        raise ArgumentError("colour axes: there are no images to take them from")
    mean = total / count
    variances, vectors = np.linalg.eigh((products / count - torch.outer(mean, mean)).numpy())
    axes = []
    for variance, vector in zip(variances[::-1], vectors.T[::-1], strict=True):
        sign = np.sign(vector[np.abs(vector).argmax()])
        r, g, b = (float(value) for value in max(variance, 0.0) * sign * vector)
        axes.append((r, g, b))
    return tuple(axes)


def shift_colours(images: Tensor, axes: Axes, amounts: NDArray[np.float64]) -> Tensor:
    """Add to every pixel of an image the sum of the axes, each times the image's own amount; not clamped.

    Args:
        images: The images.
        axes: As of `colour_axes`.
        amounts: (N, 3).

    Shape:
        (N, 3, H, W) -> the same.

    Raises:
        ArgumentError: if there are not three axes.
    """
    if len(axes) != 3:
        raise ArgumentError(
            f"augmentation: pca needs the three pca_axes of the training colours; it has {len(axes)}"
        )
    return images + torch.from_numpy(amounts @ np.array(axes)).to(images)[:, :, None, None]
