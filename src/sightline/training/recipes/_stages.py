"""Which modules hold the parameters of each stage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import nn


def stage_modules(network: nn.Module, paths: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Of each stage from the images on, the modules that hold its parameters, as patterns of a recipe.

    A stage is what lies after the one before it, up to the module of its path and with it, in the order in
    which modules were made. What follows the last is of none.

    Args:
        network: Says what there is.
        paths: The module at the end of each stage, from the images on.

    Example:
        >>> body = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 3), nn.ReLU())
        >>> stage_modules(nn.Sequential(body, nn.Linear(2, 2)), ("0.1", "0.3"))
        (('0.0',), ('0.2',))
    """
    order = {name: place for place, (name, _) in enumerate(network.named_modules())}
    ends = [max(place for name, place in order.items() if _below(name, path)) for path in paths]

    def stage_of(parameter: str) -> int:
        place = order[parameter.rpartition(".")[0]]
        return next((stage for stage, end in enumerate(ends) if place <= end), len(ends))

    stages = {name: stage_of(name) for name, _ in network.named_parameters()}
    return tuple(tuple(_cover(network, "", stages, number)) for number in range(len(ends)))


def _below(name: str, path: str) -> bool:
    return name == path or name.startswith(f"{path}.")


def _cover(module: nn.Module, path: str, stages: dict[str, int], number: int) -> Iterator[str]:
    """The largest modules below a path whose parameters are all of one stage."""
    inside = {stage for name, stage in stages.items() if not path or _below(name, path)}
    if number not in inside:
        return
    if path and inside == {number}:
        yield path
        return
    prefix = f"{path}." if path else ""
    for name, _ in module.named_parameters(recurse=False):
        if stages.get(prefix + name) == number:
            yield prefix + name
    for name, child in module.named_children():
        yield from _cover(child, prefix + name, stages, number)
