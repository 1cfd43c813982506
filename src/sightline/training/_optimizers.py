"""Torch optimizers as a recipe names them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sightline.base import ArgumentError, did_you_mean
from sightline.training._recipe import Optimizer, Phase, Recipe, matches


def make_optimizers(
    network: nn.Module, settings: Mapping[str, Optimizer], phase: Phase
) -> dict[str, torch.optim.Optimizer]:
    """One torch optimizer for each named one, over the parameters it moves in a phase.

    Args:
        network: The network.
        settings: The recipe's optimizers.
        phase: Says what moves, and with which rate factor (kept in each group as `rate`).

    Raises:
        ArgumentError: if a parameter that the phase trains is moved by no optimizer, or by two, or there is
            none. An optimizer that has nothing to move in the phase is left out.
    """
    owner: dict[str, str] = {}
    optimizers = {}
    for optimizer_name, chosen in settings.items():
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in network.named_parameters():
            if not phase.trains(name, 0) or not any(matches(name, p) for p in chosen.parameters):
                continue
            if name in owner:
                raise ArgumentError(f"recipe: optimizers {owner[name]} and {optimizer_name} both move {name}")
            owner[name] = optimizer_name
            rate = phase.rate(name)
            decay = chosen.weight_decay if chosen.decay_all or parameter.ndim > 1 else 0.0
            if not chosen.scale_decay and rate > 0:
                decay /= rate
            groups.setdefault((rate, decay), []).append(parameter)
        if not groups:
            continue  # idle in this phase
        optimizers[optimizer_name] = _make(
            chosen,
            [
                {"params": params, "weight_decay": decay, "rate": rate, "lr": chosen.lr * rate}
                for (rate, decay), params in groups.items()
            ],
        )
    for name, _ in network.named_parameters():
        if phase.trains(name, 0) and name not in owner:
            raise ArgumentError(f"recipe: no optimizer moves {name}, which a phase trains")
    if not optimizers:
        raise ArgumentError(f"recipe: trainable {', '.join(phase.trainable)} leaves nothing to train")
    return optimizers


def check_patterns(network: nn.Module, recipe: Recipe) -> None:
    """Whether every pattern of a recipe names a parameter of a network: a typing error freezes nothing.

    Raises:
        ArgumentError: if one does not; it names close modules.
    """
    names = [name for name, _ in network.named_parameters()]
    paths = {
        path for path, module in network.named_modules() if path and any(True for _ in module.parameters())
    }
    patterns = [pattern for chosen in recipe.optimizers.values() for pattern in chosen.parameters]
    for phase in recipe.phases:
        patterns += [*phase.trainable, *phase.rates, *phase.frozen_after]
    for pattern in patterns:
        if not any(matches(name, pattern) for name in names):
            raise ArgumentError(f"recipe: {pattern!r} names no parameter; {did_you_mean(pattern, paths)}")


def _make(chosen: Optimizer, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    if chosen.kind == "adamw":
        return torch.optim.AdamW(groups, lr=chosen.lr, betas=(chosen.momentum, chosen.beta2), fused=True)
    nesterov = chosen.nesterov and chosen.momentum > 0
    return torch.optim.SGD(groups, lr=chosen.lr, momentum=chosen.momentum, nesterov=nesterov, fused=True)


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, dict[str, Tensor]]:
    """What an optimizer remembers of each parameter, by its place; hyper-parameters are the recipe's."""
    state = optimizer.state_dict()["state"]
    return {
        str(index): {key: value for key, value in memory.items() if isinstance(value, Tensor)}
        for index, memory in state.items()
    }


def load_optimizer_state(optimizer: torch.optim.Optimizer, state: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Give an optimizer back what it remembered, in the memory format of its parameters."""
    full = optimizer.state_dict()
    full["state"] = {int(index): dict(memory) for index, memory in state.items()}
    optimizer.load_state_dict(full)
    for parameter, memory in optimizer.state.items():
        for key, value in memory.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                memory[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
