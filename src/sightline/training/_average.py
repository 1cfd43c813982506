"""Weights that follow a network's: their exponential moving average, or lookahead's slow weights."""

from __future__ import annotations

import copy
from typing import Protocol

import torch
from torch import nn

from sightline.training._recipe import Lookahead, Recipe


class Follower(Protocol):
    """A second network with weights made of those that training goes through."""

    network: nn.Module

    def update(self, network: nn.Module, step: int, steps: int) -> None:
        """Follow one step, the `step`-th from 0 of `steps`; it may change `network`."""


def follower(network: nn.Module, recipe: Recipe) -> Follower | None:
    """What follows a network by a recipe, if anything does."""
    if recipe.lookahead is not None:
        return SlowWeights(network, recipe.lookahead)
    return WeightAverage(network, recipe.ema_decay) if recipe.ema_decay is not None else None


class WeightAverage:
    """Follows a network: parameters and floating buffers are averaged, the rest is copied.

    Args:
        network: The network to follow.
        decay: Share of the old average that stays at each step; early on (1 + t) / (10 + t), if smaller.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.decay = decay

    def update(self, network: nn.Module, step: int, steps: int) -> None:
        """Follow one step, the `step`-th from 0."""
        _follow(self.network, network, 1 - min(self.decay, (1 + step) / (10 + step)))


class SlowWeights:
    """Lookahead's slow weights: met every few steps, when the network is set to them.

    Args:
        network: The network to follow.
        settings: How often and how closely.
    """

    def __init__(self, network: nn.Module, settings: Lookahead) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.settings = settings

    def update(self, network: nn.Module, step: int, steps: int) -> None:
        """Follow one step, the `step`-th from 0 of `steps`; after the last the slow weights are taken."""
        done = step + 1
        meet = done % self.settings.every == 0
        if meet:
            _follow(self.network, network, 1 - self.settings.decay * (done / steps) ** self.settings.power)
        if meet or done == steps:
            _follow(network, self.network, 1.0)


def _follow(follower: nn.Module, followed: nn.Module, weight: float) -> None:
    """Move floating tensors by a share of the way; copy the others."""
    theirs, mine = _tensors(followed), _tensors(follower)
    floating = [name for name, tensor in mine.items() if tensor.is_floating_point()]
    with torch.no_grad():
        torch._foreach_lerp_([mine[n] for n in floating], [theirs[n] for n in floating], weight)
        for name in mine.keys() - set(floating):
            mine[name].copy_(theirs[name])


def _tensors(network: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers by name, a shared one once."""
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}
