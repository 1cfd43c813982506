"""The effective receptive field: where in the input a change really moves a unit, measured by gradients.

The theoretical field says which pixels can matter; most of those at its border hardly do, because few paths
lead there. What is said here is the width, along each axis, between the 2.3 % and the 97.7 % quantile of the
gradient's magnitude: two standard deviations to each side, if it is bell-shaped.

Source: Luo, Li, Urtasun and Zemel 2016, "Understanding the effective receptive field in deep convolutional
neural networks".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sightline.base import ArgumentError
from sightline.blueprint._execute import execute

_TAIL = 0.0228
"""Of a normal distribution beyond two standard deviations, on one side."""


@dataclasses.dataclass(frozen=True, eq=False)
class EffectiveField:
    """How far the unit in the middle of a map sees."""

    size: tuple[float, ...]
    """Rows and columns, between quantiles; parts of a pixel are interpolated."""
    weights: Tensor
    """Root mean square of the gradient at each pixel, over images and channels; sums to 1. (H, W) or (L,)."""


def effective_fields(
    network: nn.Module, images: Tensor, nodes: Sequence[str], *, seed: int = 0
) -> dict[str, EffectiveField]:
    """Measure the field of the middle unit of some nodes' outputs.

    The gradient is that of a random mixture of the unit's channels, so that none cancels another.

    Args:
        network: In evaluation mode while it runs; it is left as it was.
        images: (N, C, *spatial), preprocessed; more of them make it smoother.
        nodes: Ids, as of `record`, of nodes with spatial outputs.
        seed: Of the mixtures.

    Raises:
        ArgumentError: if a node is not met, or its first output has no spatial axes.
    """
    given = images.detach().clone().requires_grad_(True)
    generator = torch.Generator().manual_seed(seed)
    with torch.enable_grad():
        captured = execute(network, given, capture=set(nodes)).captured
    found = {}
    for k, node in enumerate(nodes):
        output = captured[node]
        if not isinstance(output, Tensor) or output.dim() != images.dim() or output.dim() < 3:
            raise ArgumentError(f"node {node} has no map of which a unit could be in the middle")
        place: tuple[slice | int, ...] = (slice(None), slice(None), *(n // 2 for n in output.shape[2:]))
        unit = output[place]
        mixture = torch.randn(unit.shape, generator=generator).to(unit)
        (gradient,) = torch.autograd.grad(
            (unit * mixture).sum(), given, retain_graph=k + 1 < len(nodes), allow_unused=True
        )
        energy = torch.zeros_like(given) if gradient is None else gradient.square()
        weights = energy.double().mean(dim=(0, 1)).sqrt()
        total = weights.sum()
        if total > 0:
            weights = weights / total
        axes = range(weights.dim())
        size = tuple(
            _width(weights.sum(dim=tuple(a for a in axes if a != axis)) if weights.dim() > 1 else weights)
            for axis in axes
        )
        found[node] = EffectiveField(size, weights)
    return found


def _width(weights: Tensor) -> float:
    """Rows between the two quantiles of a distribution over rows."""
    sums = torch.cat([weights.new_zeros(1), weights.cumsum(0)])
    if not sums[-1] > 0:
        return 0.0
    sums = sums / sums[-1]

    def quantile(q: float) -> float:
        after = int(torch.searchsorted(sums, q, right=False).clamp(1, len(sums) - 1))
        before, step = float(sums[after - 1]), float(sums[after] - sums[after - 1])
        return after - 1 + (q - before) / step if step else float(after)

    return quantile(1 - _TAIL) - quantile(_TAIL)
