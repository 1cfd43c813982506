"""Weights into a network that may have another head or stem."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from torch import Tensor, nn

from sightline.base import ModelFileError
from sightline.zoo._registry import Architecture
from sightline.zoo._translate import find_translation


@dataclasses.dataclass(frozen=True)
class WeightsLoaded:
    """What came of loading weights."""

    kept: int
    """Tensors taken from the file."""
    new: tuple[str, ...]
    """Names of tensors that stay as they were initialised, because their shape differs."""

    def describe(self) -> str:
        """One line for people."""
        fresh = f"; new: {', '.join(self.new)}" if self.new else ""
        return f"{self.kept} tensors kept{fresh}"


def load_weights(
    network: nn.Module,
    state: Mapping[str, Tensor],
    architecture: Architecture,
    *,
    adapt: bool,
    origin: str,
    taken: Mapping[str, str] | None = None,
) -> WeightsLoaded:
    """Load weights by name.

    Args:
        network: Is changed.
        state: Weights by name.
        architecture: Says which layers are head and stem.
        adapt: Whether head and stem may stay new where their shape differs (another number of classes or
            channels); otherwise everything must fit.
        origin: Where the weights come from, for messages.
        taken: Only these modules, by their path in the network and their path in `state`; all else stays as
            it is. Everything, under the same names, where empty or None.

    Raises:
        ModelFileError: if a module to be taken is not there, or a name is missing, left over, or of another
            shape; it names them, and nothing is loaded.
    """
    translation = find_translation(architecture.name, state)
    if translation is not None:
        state = translation.rename(state)
    own = network.state_dict()
    if taken:
        state = _only(state, taken, origin)
    free = _ends(network, architecture) if adapt else ()
    new: list[str] = []
    missing: list[str] = []
    other: list[str] = []
    for name, tensor in own.items():
        given = state.get(name)
        if given is None and name.endswith("num_batches_tracked"):
            continue  # older files have none; it only counts
        if given is not None and given.shape == tensor.shape:
            continue
        if (free and name.startswith(free)) or (taken and given is None):
            new.append(name)
        elif given is None:
            missing.append(name)
        else:
            other.append(f"{name} is {_shape(given)}, the network's is {_shape(tensor)}")
    unknown = [name for name in state if name not in own]
    wrong = [
        f"{len(found)} {what} ({_some(found)})"
        for what, found in (("missing", missing), ("left over", unknown), ("of another shape", other))
        if found
    ]
    if wrong:
        raise ModelFileError(f"{origin} does not fit {architecture.name}: {', '.join(wrong)}")
    kept = {name: tensor for name, tensor in state.items() if name not in new}
    network.load_state_dict(kept, strict=False)
    return WeightsLoaded(len(kept), tuple(new))


def _only(state: Mapping[str, Tensor], taken: Mapping[str, str], origin: str) -> dict[str, Tensor]:
    """What lies below some modules, under the names it is to have."""
    chosen: dict[str, Tensor] = {}
    for own, theirs in taken.items():
        below = {name: tensor for name, tensor in state.items() if name.startswith(f"{theirs}.")}
        if not below:
            raise ModelFileError(f"{origin} has no {theirs}, which {own} is to be taken from")
        chosen |= {own + name.removeprefix(theirs): tensor for name, tensor in below.items()}
    return chosen


def _ends(network: nn.Module, architecture: Architecture) -> tuple[str, ...]:
    """What the names of the stem's and the head's parameters begin with.

    Of a user's own network, whose record does not say it, the modules of the first and last parameter.
    """
    if architecture.head and architecture.stem:
        ends = (architecture.head, *architecture.auxiliary_heads, architecture.stem)
        return tuple(f"{path}." for path in ends)
    names = [name for name, _ in network.named_parameters()]
    return tuple(f"{name.rpartition('.')[0]}." for name in (*names[:1], *names[-1:]))


def _some(names: list[str], most: int = 6) -> str:
    shown = ", ".join(
        name if name.isprintable() and len(name) <= 80 else ascii(name[:80]) for name in names[:most]
    )
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _shape(tensor: Tensor) -> str:
    return "x".join(str(n) for n in tensor.shape) or "a single number"
