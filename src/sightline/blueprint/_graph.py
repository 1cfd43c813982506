"""What was recorded of a forward pass: values, operations, nodes, module calls."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import torch

Shape = tuple[int, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Value:
    """One tensor of the pass."""

    shape: Shape
    dtype: torch.dtype
    storage: int
    """Number of the memory it lies in; views and in-place results share one."""
    storage_bytes: int
    from_input: bool
    """Whether it depends on an input of the network; weights, and what is made of weights alone, do not."""
    parameter: str = ""
    """The parameter or buffer it is, by name."""

    @property
    def num_bytes(self) -> int:
        """Of its elements, whether or not it owns their memory."""
        count = 1
        for n in self.shape:
            count *= n
        return count * self.dtype.itemsize


@dataclasses.dataclass(frozen=True, slots=True)
class Ref:
    """Where an operation's argument is a tensor: which of `Blueprint.values`."""

    value: int


@dataclasses.dataclass(frozen=True, slots=True)
class Operation:
    """One operation as PyTorch's dispatcher sees it: what a layer or a function is made of."""

    name: str
    """As `aten.convolution`."""
    node: int
    """Index of the node it belongs to; -1 where it makes something of weights alone."""
    arguments: tuple[Any, ...]
    """By the operation's own signature; tensors as `Ref`."""
    keywords: Mapping[str, Any]
    inputs: tuple[int, ...]
    """Values it reads."""
    outputs: tuple[int, ...]
    """Values it makes; where it works in place, a new value in the old memory."""
    macs: int
    mutates: bool
    counted: bool
    """Whether its multiply-adds are known, if only to be none."""


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """One layer or one functional operation, called once."""

    id: str
    """Module path, `:` and the function for an operation that is no module, `#n` from the second call on."""
    kind: str
    """As PyTorch names the function: `conv2d`, `relu`, `add`, `cat`; the same for a module and a function."""
    module: str
    """Path of the module that is, or ran, it; empty for the network itself."""
    module_type: str
    """Class of that module."""
    is_module: bool
    """Whether it is a layer of its own rather than a function called by one."""
    sources: tuple[int, ...]
    """Nodes whose outputs it reads; -1 - k stands for input k of the network."""
    input_shapes: tuple[Shape, ...]
    output_shapes: tuple[Shape, ...]
    settings: Mapping[str, Any]
    """`kernel_size`, `stride`, `padding`, `dilation`, `groups` and the like, one entry an axis."""
    parameters: tuple[str, ...]
    """Parameters first read here."""
    shared: tuple[str, ...]
    """Parameters read here that an earlier node has counted."""
    num_parameters: int
    """Elements of `parameters`."""
    macs: int
    inputs: tuple[int, ...]
    """Values that come from outside."""
    outputs: tuple[int, ...]
    operations: tuple[int, int]
    """First of its operations, and one past its last."""
    in_place: bool
    """Whether it writes into the memory of what it was given."""


@dataclasses.dataclass(frozen=True, slots=True)
class ModuleCall:
    """A module that ran, with what it ran within."""

    path: str
    id: str
    """Path, and `#n` from the second call on."""
    type: str
    parent: int
    """Index of the call it ran within; -1 for the network."""
    depth: int
    nodes: tuple[int, int]
    """First node within, and one past the last."""
    input_shapes: tuple[Shape, ...]
    output_shapes: tuple[Shape, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Blueprint:
    """What a network is: its nodes and edges in one forward pass, with shapes.

    Made by `record`; read by everything that tells something about a network.
    """

    name: str
    inputs: tuple[int, ...]
    """Values given to the network, in order."""
    outputs: tuple[int, ...]
    values: tuple[Value, ...]
    operations: tuple[Operation, ...]
    nodes: tuple[Node, ...]
    calls: tuple[ModuleCall, ...]
    parameters: Mapping[str, int]
    """Elements by name, each parameter once, whether or not it was read."""
    trainable: frozenset[str]
    """Names of the parameters that ask for a gradient."""
    buffers: Mapping[str, int]
    """Elements by name."""
    parameter_bytes: int
    buffer_bytes: int
    how: str
    """`meta` where no number was computed; `real` where a forward pass with numbers was needed."""
    why_real: str = ""
    """What `meta` could not do."""
    data_dependent: tuple[str, ...] = ()
    """Nodes whose outcome decided what ran next, or how large it was: only one branch was seen."""
    training: bool = False
    """The mode it was recorded in."""

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        """Of each input, with the batch."""
        return tuple(self.values[v].shape for v in self.inputs)

    @property
    def output_shapes(self) -> tuple[Shape, ...]:
        """Of each output, with the batch."""
        return tuple(self.values[v].shape for v in self.outputs)

    @property
    def batch(self) -> int:
        """Length of the first axis of the first input."""
        shape = self.values[self.inputs[0]].shape if self.inputs else ()
        return shape[0] if shape else 1

    @functools.cached_property
    def num_parameters(self) -> int:
        """Elements of all parameters, shared ones once."""
        return sum(self.parameters.values())

    @functools.cached_property
    def macs(self) -> int:
        """Multiplies of convolutions and matrix products, without bias, for the inputs recorded."""
        return sum(operation.macs for operation in self.operations)

    @property
    def flops(self) -> int:
        """Twice `macs`."""
        return 2 * self.macs

    @functools.cached_property
    def macs_by_kind(self) -> dict[str, int]:
        """`macs` by the kind of the node, largest first."""
        found: dict[str, int] = {}
        for node in self.nodes:
            if node.macs:
                found[node.kind] = found.get(node.kind, 0) + node.macs
        rest = self.macs - sum(found.values())
        if rest:
            found["on weights alone"] = rest
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    @functools.cached_property
    def uncounted(self) -> tuple[str, ...]:
        """Operations that multiply in a way not counted here, as `NODE: OPERATION`; each once."""
        found = {
            f"{self.nodes[o.node].id if o.node >= 0 else 'weights'}: {o.name}": None
            for o in self.operations
            if not o.counted
        }
        return tuple(found)

    @functools.cached_property
    def unread(self) -> tuple[str, ...]:
        """Parameters no operation read."""
        read = {name for node in self.nodes for name in node.parameters}
        return tuple(name for name in self.parameters if name not in read)

    @functools.cached_property
    def index(self) -> dict[str, int]:
        """Node indices by id."""
        return {node.id: k for k, node in enumerate(self.nodes)}

    def _repr_svg_(self) -> str:
        from sightline.blueprint.draw import repr_svg

        return repr_svg(self)

    @functools.cached_property
    def readers(self) -> tuple[tuple[int, ...], ...]:
        """For each node, the nodes that read it."""
        found: list[list[int]] = [[] for _ in self.nodes]
        for k, node in enumerate(self.nodes):
            for source in node.sources:
                if source >= 0 and k not in found[source]:
                    found[source].append(k)
        return tuple(map(tuple, found))
