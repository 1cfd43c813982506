"""Images found by optimisation: what they are made of, how they are moved about, how they are improved.

An image is not searched by its pixels but by its spectrum, with every frequency on one footing, and in
colours that are as independent as those of photographs; and each step sees it moved a little. Both keep out
the fine noise that excites a network and shows nothing.

Source: Olah, Mordvintsev, Schubert 2017, "Feature Visualization"; Mordvintsev et al. 2018, "Differentiable
Image Parameterizations".
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

RATE = 0.05
"""Of Adam."""
START = 0.01
"""Deviation of the spectrum a search begins with: a flat grey, nearly."""
ALIKE = 1.0
"""What images that are alike cost, as a share of what they reach."""

# The root of the covariance of a photograph's colours, over ImageNet. Source: as above, its published code.
_COLOURS = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))


@dataclasses.dataclass(frozen=True)
class Moves:
    """How far an image is moved at each step, at random."""

    shift: float = 0.06
    """Of its side, each way."""
    scale: float = 0.1
    """Larger or smaller by at most this share."""
    degrees: float = 10.0

    def said(self) -> str:
        """In words."""
        turned = f"turned by {self.degrees:g} degrees"
        return f"shifted by {self.shift:.0%} of its side, scaled by {self.scale:.0%}, {turned}, or less"


def frequencies(height: int, width: int) -> Tensor:
    """How fast each entry of an image's spectrum waves, in cycles a pixel. -> (height, width // 2 + 1)."""
    rows, columns = torch.fft.fftfreq(height), torch.fft.rfftfreq(width)
    return torch.hypot(rows[:, None], columns[None])


def colour_matrix() -> Tensor:
    """Takes independent colours to red, green and blue; its largest column has length 1. -> (3, 3)."""
    matrix = torch.tensor(_COLOURS)
    longest: Tensor = torch.linalg.vector_norm(matrix, dim=0).max()
    return matrix / longest


def logits_of(spectrum: Tensor, size: tuple[int, int]) -> Tensor:
    """What a spectrum is an image of, before it is brought into [0, 1].

    Every entry is divided by its frequency, as in photographs, so that all of them are learned equally fast.

    Args:
        spectrum: Its real and imaginary parts.
        size: (height, width) of the image, which half a spectrum does not say.

    Shape:
        (N, C, height, width // 2 + 1, 2) -> (N, C, height, width).
    """
    height, width = size
    scale = 1.0 / frequencies(height, width).clamp(min=1.0 / max(height, width)).to(spectrum.device)
    image: Tensor = torch.fft.irfft2(torch.view_as_complex(spectrum) * scale, s=size, norm="ortho") / 4
    if image.shape[1] == 3:
        image = torch.einsum("dc,nchw->ndhw", colour_matrix().to(image), image)
    return image


def image_of(spectrum: Tensor, size: tuple[int, int]) -> Tensor:
    """The image of a spectrum, with values in (0, 1). Shapes as `logits_of`."""
    return torch.sigmoid(logits_of(spectrum, size))


def random_spectrum(
    count: int, channels: int, size: tuple[int, int], generator: torch.Generator, deviation: float = START
) -> Tensor:
    """Normal numbers. -> (count, channels, height, width // 2 + 1, 2)."""
    shape = (count, channels, size[0], size[1] // 2 + 1, 2)
    return deviation * torch.randn(shape, generator=generator)


def moved(x: Tensor, moves: Moves, generator: torch.Generator) -> Tensor:
    """Images shifted, scaled and turned at random, each by its own numbers, in one interpolation.

    Args:
        x: As the network is given them: what comes in from beyond the border is 0, the mean.
        moves: How far.
        generator: Of the random numbers.

    Shape:
        (N, C, H, W) -> the same.
    """
    n, _, height, width = x.shape
    u = 2 * torch.rand((n, 4), generator=generator) - 1
    angle = math.radians(moves.degrees) * u[:, 0]
    scale = 1 + moves.scale * u[:, 1]
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    theta = torch.empty(n, 2, 3)  # output to input, in coordinates from -1 to 1
    theta[:, 0, 0], theta[:, 0, 1], theta[:, 0, 2] = cos, -sin * height / width, 2 * moves.shift * u[:, 2]
    theta[:, 1, 0], theta[:, 1, 1], theta[:, 1, 2] = sin * width / height, cos, 2 * moves.shift * u[:, 3]
    grid = F.affine_grid(theta, list(x.shape), align_corners=False).to(x)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def alike(maps: Tensor) -> Tensor:
    """How alike the images of a batch are: the mean cosine between the Gram matrices of their maps.

    Shape:
        (N, C, H, W), or (N, values) whose own cosine is taken -> a number; 0 of one image.
    """
    if len(maps) < 2:
        return maps.new_zeros(())
    if maps.dim() == 4:
        flat = maps.flatten(2)
        described = (flat @ flat.mT).flatten(1)
    else:
        described = maps.flatten(1)
    directions = F.normalize(described, dim=1)
    cosines = directions @ directions.mT
    n = len(maps)
    return (cosines.sum() - cosines.diagonal().sum()) / (n * (n - 1))


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
    """What a search came to."""

    images: Tensor
    """(N, C, H, W) in (0, 1)."""
    path: Tensor
    """(steps + 1, N): what was to be made large, at each step on the image as it was moved; the last entry on
    the image as it is."""
    start: Tensor
    """(N,) on the first images, unmoved."""
    reached: Tensor
    """(N,) on the last, unmoved."""
    alike: float | None
    """How alike the images are at the end, as `alike`; None where they need not differ."""


Value = Callable[[Tensor, int], tuple[Tensor, Tensor | None]]
"""Given inputs of a network and the step (-1 where nothing is learned), what is to be large of each (N,), and
maps by which two images are compared, if they are to differ."""


def search(
    value: Value,
    prepared: Callable[[Tensor], Tensor],
    *,
    count: int,
    channels: int,
    size: tuple[int, int],
    steps: int,
    seed: int,
    moves: Moves | None,
    device: torch.device,
    each: Callable[[int], None] | None = None,
) -> Found:
    """Images that make a value large, by gradient ascent.

    Args:
        value: What is to be large.
        prepared: Takes images in (0, 1) to the network's inputs.
        count: How many images.
        channels: Of an image.
        size: (height, width) of an image.
        steps: Of Adam.
        seed: Of the first images, and of how they are moved.
        moves: How far images are moved at each step; None for not at all.
        device: Where to compute.
        each: Called after each step with how many are done.
    """
    generator = torch.Generator().manual_seed(seed)
    spectrum = random_spectrum(count, channels, size, generator).to(device).requires_grad_(True)
    optimizer = torch.optim.Adam([spectrum], lr=RATE)
    with torch.no_grad():
        start, _ = value(prepared(image_of(spectrum, size)), -1)
    path = []
    for step in range(steps):
        with torch.enable_grad():
            x = prepared(image_of(spectrum, size))
            reached, maps = value(x if moves is None else moved(x, moves, generator), step)
            loss = -reached.sum()
            if maps is not None:
                loss = loss + ALIKE * reached.detach().abs().sum() * alike(maps)
            (spectrum.grad,) = torch.autograd.grad(loss, [spectrum])
        path.append(reached.detach())
        optimizer.step()
        if each is not None:
            each(step + 1)
    with torch.no_grad():
        images = image_of(spectrum, size)
        last, maps = value(prepared(images), -1)
        still = None if maps is None else float(alike(maps))
    return Found(images, torch.stack([*path, last]).cpu(), start.cpu(), last.cpu(), still)


class Unblocked(torch.autograd.Function):
    """ReLU; backward, of an image of whose gradient it would stop all, what would raise its input passes.

    Without it a unit that does not fire for grey never begins to.

    Source: as the module; its published code calls it a redirected ReLU.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, in_place: bool) -> Tensor:
        """The positive part; written into what it is given where `in_place`."""
        ctx.save_for_backward(x.clone())
        if in_place:
            ctx.mark_dirty(x)
            return x.clamp_(min=0)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """What is let through."""
        x: Tensor = ctx.saved_tensors[0]
        passed = gradient * (x > 0)
        stopped = (passed.flatten(1).abs().amax(1) == 0).view(-1, *[1] * (x.dim() - 1))
        raising = (x > 0) | (gradient < 0)  # the loss is to fall
        return torch.where(stopped, gradient * raising, passed), None
