"""A blueprint as the checks read it: chains of layers, what lies between two, what reaches the output."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Sequence
from typing import Literal

from torch import nn

from sightline.base import Finding
from sightline.blueprint._graph import Blueprint, Operation

Level = Literal["info", "warning", "error"]

CONVOLUTIONS = frozenset({"conv1d", "conv2d", "conv3d"})
TRANSPOSED = frozenset({"conv_transpose1d", "conv_transpose2d", "conv_transpose3d"})
LINEAR = CONVOLUTIONS | TRANSPOSED | {"linear"}
"""Layers with weights that are linear in what they are given."""
CENTRING = frozenset({"batch_norm", "instance_norm"})
"""Norms that subtract each channel's mean."""
NORMS = CENTRING | {"layer_norm", "group_norm"}
DROPOUTS = frozenset(
    {"dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"}
)
PASSING = DROPOUTS | {"identity", "contiguous", "clone"}
"""What changes no number, in evaluation."""
RESHAPING = frozenset({"flatten", "view", "reshape", "squeeze", "unsqueeze", "unflatten"})
AVERAGES = frozenset(
    {"avg_pool1d", "avg_pool2d", "avg_pool3d"}
    | {"adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "mean"}
)
MAXIMA = frozenset(
    {"max_pool1d", "max_pool2d", "max_pool3d"}
    | {"adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d"}
)
POSITIVE = frozenset({"relu", "relu6", "sigmoid", "softmax", "hardsigmoid", "softplus"})
"""What gives no negative number."""
ACTIVATIONS = POSITIVE - {"softmax"} | {
    "tanh", "leaky_relu", "prelu", "elu", "selu", "celu", "gelu", "silu", "mish", "hardswish", "softsign",
}  # fmt: skip
_SHOWN = 3
"""Names told before the rest is counted."""


class Graph:
    """Who reads whom in a recorded network.

    Args:
        blueprint: Of one recorded pass.
        network: The module it is of, for what a pass does not show (the share that a dropout drops).
    """

    def __init__(self, blueprint: Blueprint, network: nn.Module) -> None:
        self.blueprint = blueprint
        self.nodes = blueprint.nodes
        self._modules = dict(network.named_modules())

    @functools.cached_property
    def ends(self) -> tuple[int, ...]:
        """The nodes that make the network's outputs."""
        maker = {value: k for k, node in enumerate(self.nodes) for value in node.outputs}
        return tuple(dict.fromkeys(maker[v] for v in self.blueprint.outputs if v in maker))

    @functools.cached_property
    def alive(self) -> frozenset[int]:
        """The nodes that an output depends on."""
        found: set[int] = set()
        waiting = list(self.ends)
        while waiting:
            k = waiting.pop()
            if k >= 0 and k not in found:
                found.add(k)
                waiting.extend(self.nodes[k].sources)
        return frozenset(found)

    def module(self, k: int) -> nn.Module | None:
        """The layer a node is; None of a function."""
        return self._modules.get(self.nodes[k].module) if self.nodes[k].is_module else None

    def operations(self, k: int) -> tuple[Operation, ...]:
        """What PyTorch ran for a node."""
        first, last = self.nodes[k].operations
        return self.blueprint.operations[first:last]

    def next(self, k: int, through: Collection[str] = PASSING) -> int | None:
        """The one node that reads a node, behind nodes of some kinds; None where others read it, too."""
        while True:
            readers = [r for r in self.blueprint.readers[k] if r in self.alive]
            if len(readers) != 1 or k in self.ends or len(self.nodes[readers[0]].sources) != 1:
                return None
            k = readers[0]
            if self.nodes[k].kind not in through:
                return k

    def before(self, k: int, through: Collection[str] = PASSING) -> int | None:
        """The one node that a node reads, behind nodes of some kinds; None at an input or a join."""
        while True:
            if len(self.nodes[k].sources) != 1 or self.nodes[k].sources[0] < 0:
                return None
            k = self.nodes[k].sources[0]
            if self.nodes[k].kind not in through:
                return k

    def pairs(
        self, first: Collection[str], second: Collection[str], through: Collection[str] = PASSING
    ) -> list[tuple[int, int]]:
        """A node of one kind and the only one that reads it, of another."""
        found = []
        for k, node in enumerate(self.nodes):
            if node.kind in first and k in self.alive:
                other = self.next(k, through)
                if other is not None and self.nodes[other].kind in second:
                    found.append((k, other))
        return found

    def bias(self, k: int) -> int:
        """Elements of a layer's bias; 0 without one."""
        node = self.nodes[k]
        names = [self.blueprint.values[v].parameter for v in node.inputs]
        if node.kind in CONVOLUTIONS | TRANSPOSED and not node.settings.get("bias"):
            return 0
        return sum(self.blueprint.parameters.get(n, 0) for n in names if n.rpartition(".")[2] == "bias")


def finding(level: Level, where: str, what: str, why: str, do: str) -> Finding:
    """A finding, in the order it is read; a network that is one layer has no path."""
    return Finding(level=level, where=where or "the network itself", what=what, why=why, do=do)


def per_image(shape: Sequence[int]) -> int:
    """Elements of a tensor, without the batch."""
    count = 1
    for n in shape[1:]:
        count *= n
    return count


def named(names: Sequence[str]) -> str:
    """Some names, and how many more.

    Example:
        >>> named(["a"]), named(["a", "b"]), named(["a", "b", "c", "d", "e"])
        ('a', 'a and b', 'a, b, c and 2 more')
    """
    if len(names) > _SHOWN:
        return f"{', '.join(names[:_SHOWN])} and {len(names) - _SHOWN} more"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]


class Notes:
    """Findings of one kind, those alike told once.

    Args:
        level: Of each.
        why: What it does to the result.
        do: What would mend it.
    """

    def __init__(self, level: Level, why: str, do: str) -> None:
        self._level: Level = level
        self._why, self._do = why, do
        self._where: dict[str, list[str]] = {}
        self._amount: dict[str, int] = {}
        self._text: dict[str, Callable[[int], str]] = {}

    def add(self, where: str, what: str, amount: int = 0, text: Callable[[int], str] | None = None) -> None:
        """Note it.

        Args:
            where: A node's id.
            what: Those with the same are told together.
            amount: Added up.
            text: Says the sum of the amounts, behind `what`.
        """
        self._where.setdefault(what, []).append(where)
        self._amount[what] = self._amount.get(what, 0) + amount
        if text is not None:
            self._text[what] = text

    def findings(self) -> list[Finding]:
        """One for all that are alike, in the order first met."""
        found = []
        for what, where in self._where.items():
            more = self._text[what](self._amount[what]) if what in self._text else ""
            found.append(finding(self._level, named(where), what + more, self._why, self._do))
        return found
