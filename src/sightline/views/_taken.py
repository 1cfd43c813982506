"""What one layer is given, its weights as they are at that moment, and what it makes of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from sightline.base import ArgumentError, DataError
from sightline.blueprint import Blueprint, Call, Node, execute
from sightline.views._layers import maps_of
from sightline.views._subject import Subject

Array = NDArray[np.float64]

_CONVOLUTIONS = ("convolution", "_convolution", "convolution_overrideable")
_MAX = ("max_pool2d_with_indices", "max_pool2d", "mkldnn_max_pool2d")
_ADAPTIVE = {"_adaptive_avg_pool2d": "mean", "adaptive_avg_pool2d": "mean", "adaptive_max_pool2d": "max"}
_MEANS = ("mean",)
_PRODUCTS = ("addmm", "mm", "_addmm_activation")
_PADS = ("constant_pad_nd", "reflection_pad2d", "replication_pad2d", "_pad_circular")
_KNOWN = {*_CONVOLUTIONS, *_MAX, "avg_pool2d", *_ADAPTIVE, *_MEANS, *_PRODUCTS, *_PADS}
_AFTER = frozenset(
    {
        "batch_norm", "relu", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "celu", "selu", "silu", "gelu",
        "sigmoid", "tanh", "hardswish", "hardsigmoid", "hardtanh", "softplus", "mish", "dropout", "dropout2d",
        "identity", "clamp", "clamp_min", "softsign", "logsigmoid", "mul", "add", "sub", "div",
    }
)  # fmt: skip
"""What follows a sum and changes each value alone; arithmetic with constants is."""
RECTIFIERS = frozenset({"relu", "relu6", "clamp_min"})
"""Of these, those whose result is 0 where nothing is found."""
_PASSING = frozenset({"dropout", "dropout2d", "identity", "contiguous"})
_FLATTENING = frozenset({"flatten", "reshape", "view", "dropout", "identity", "contiguous", "squeeze"})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Taken:
    """A layer in the middle of one pass, as windows over maps."""

    kind: Literal["sum", "max", "mean"]
    """Products added up; the largest of a window; its mean."""
    x: Array
    """(C, H, W) as the windows slide over it: what was padded before is in it."""
    output: Array
    """(K, rows, columns)."""
    weight: Array | None = None
    """(K, C / groups, kernel height, kernel width), of a sum."""
    bias: Array | None = None
    """(K,)."""
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    padded: tuple[int, int] = (0, 0)
    """Rows and columns that were put before the first one in `x`, by other than zeros perhaps."""
    adaptive: bool = False
    """Windows of unequal size, so that `output` has its size whatever that of `x`."""
    count_padding: bool = True
    """Of a mean: whether padding counts."""
    divisor: int | None = None
    """Of a mean: what the sum is divided by, if not by how many there are."""
    vector: bool = False
    """Whether what it is given is no map but a vector, an entry a channel."""

    def rows(self, row: int, column: int) -> tuple[list[int], list[int]]:
        """Rows and columns of `x` under the window of a position; outside of it where there is padding."""
        if self.adaptive:
            sizes = [(self.x.shape[a + 1], self.output.shape[a + 1]) for a in (0, 1)]
            low, high = (
                [i * n // m, -(-(i + 1) * n // m)] for i, (n, m) in zip((row, column), sizes, strict=True)
            )
            return list(range(*low)), list(range(*high))
        found = [
            [i * self.stride[a] - self.padding[a] + k * self.dilation[a] for k in range(self.kernel[a])]
            for a, i in enumerate((row, column))
        ]
        return found[0], found[1]

    def channels(self, unit: int) -> range:
        """Channels of `x` that a unit reads."""
        if self.kind != "sum":
            return range(unit, unit + 1)
        assert self.weight is not None
        many = self.weight.shape[1]
        first = unit // (self.weight.shape[0] // self.groups) * many
        return range(first, first + many)

    def patch(self, unit: int, row: int, column: int) -> tuple[Array, NDArray[np.bool_]]:
        """What lies under the window. -> (channels, h, w), 0 outside; and (h, w), True outside."""
        rows, columns = self.rows(row, column)
        height, width = self.x.shape[1:]
        outside = np.array([[not (0 <= r < height and 0 <= c < width) for c in columns] for r in rows])
        inside = self.x[self.channels(unit)][:, np.clip(rows, 0, height - 1)][
            :, :, np.clip(columns, 0, width - 1)
        ]
        return np.where(outside, 0.0, inside), outside


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps the operations that a layer is made of, with copies of what they were given."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.done: list[tuple[str, tuple[Any, ...], Any]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = func.overloadpacket.__name__
        kept: tuple[Any, ...] = ()
        if name in _KNOWN:
            kept = tuple(a.detach().clone() if isinstance(a, Tensor) else a for a in args)
        output = func(*args, **(kwargs or {}))
        if name in _KNOWN:
            first = output[0] if isinstance(output, tuple) else output
            self.done.append((name, kept, first.detach().clone()))
        return output


def take(
    subject: Subject, node: Node, x: Tensor, capture: Collection[str] = ()
) -> tuple[Taken, Mapping[str, Tensor]]:
    """Run a network and look over one layer's shoulder.

    Args:
        subject: The network; left as it was.
        node: A convolution, a linear layer, or a pooling.
        x: (1, C, H, W).
        capture: Other nodes whose outputs are wanted.

    Returns:
        The layer, and outputs by id.

    Raises:
        ArgumentError: if it does something else than these.
        DataError: if what it makes is not finite.
    """
    watching = _Operations()

    def rule(call: Call) -> Any:
        with watching:
            return call.run()

    # in full single precision: a product of rounded factors is not the sum that is written out
    with torch.no_grad(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        execution = execute(subject.network, x, capture=[node.id, *capture], rules={node.id: rule})
    done = [entry for entry in watching.done if entry[0] not in _PADS]
    convolutions = [entry for entry in done if entry[0] in _CONVOLUTIONS]
    done = convolutions or done
    said = (
        f"{node.id} is {node.kind}; what is shown is one value of a convolution, a linear layer or a pooling"
    )
    if len(done) != 1:
        raise ArgumentError(said)
    name, args, output = done[0]
    if not torch.isfinite(output).all():
        raise DataError(f"{node.id}: its output holds values that are not finite")
    before = [entry for entry in watching.done if entry[0] in _PADS]
    padded = (
        (int(before[0][1][1][2]), int(before[0][1][1][0])) if before and len(before[0][1][1]) >= 4 else (0, 0)
    )
    found = _read(subject.blueprint, node, name, args, output, padded)
    if found is None:
        raise ArgumentError(said)
    return found, execution.captured


def _read(
    blueprint: Blueprint,
    node: Node,
    name: str,
    args: tuple[Any, ...],
    output: Tensor,
    padded: tuple[int, int],
) -> Taken | None:
    if name in _PRODUCTS:
        return _linear(
            blueprint, node, args[-1] if name == "mm" else args[2], args[:2] if name == "mm" else args, output
        )
    given = args[0]
    if given.dim() != 4 or given.shape[0] != 1:
        return None
    if name in _MEANS:
        axes = args[1] if len(args) > 1 else None
        if axes is None or {axis % 4 for axis in axes} != {2, 3}:
            return None
        output = output.reshape(1, -1, 1, 1)
    x, made = _array(given)[0], _array(output)[0]
    if name in _CONVOLUTIONS:
        _, weight, bias, stride, padding, dilation, transposed, _, groups = args[:9]
        if transposed or weight.dim() != 4:
            return None
        return Taken(
            kind="sum", x=x, output=made, weight=_array(weight), bias=None if bias is None else _array(bias),
            kernel=_pair(weight.shape[2:]), stride=_pair(stride), padding=_pair(padding),
            dilation=_pair(dilation), groups=groups, padded=padded,
        )  # fmt: skip
    if name in _ADAPTIVE or name in _MEANS:
        kind: Literal["max", "mean"] = "max" if _ADAPTIVE.get(name) == "max" else "mean"
        return Taken(kind=kind, x=x, output=made, adaptive=True)
    more = (*args[1:], *(None,) * 6)
    kernel = _pair(more[0])
    stride, padding = _pair(more[1] or kernel), _pair(more[2] or 0)
    if name in _MAX:
        return Taken(
            kind="max", x=x, output=made, kernel=kernel, stride=stride, padding=padding,
            dilation=_pair(more[3] or 1),
        )  # fmt: skip
    return Taken(
        kind="mean", x=x, output=made, kernel=kernel, stride=stride, padding=padding,
        count_padding=more[4] is None or bool(more[4]), divisor=more[5],
    )  # fmt: skip


def _linear(
    blueprint: Blueprint, node: Node, transposed: Tensor, args: tuple[Any, ...], output: Tensor
) -> Taken | None:
    """A product with a matrix, as one window as large as the maps that were made a vector."""
    bias, given = (args[0], args[1]) if len(args) > 2 else (None, args[0])
    if given.dim() != 2 or given.shape[0] != 1:
        return None
    x, weight = _array(given)[0], _array(transposed).T
    maps = _before_flattening(blueprint, node)
    vector = maps is None or maps[0] * maps[1] * maps[2] != x.size
    channels, height, width = (x.size, 1, 1) if vector or maps is None else maps
    made = _array(output).reshape(-1, 1, 1)
    return Taken(
        kind="sum", x=x.reshape(channels, height, width), output=made,
        weight=weight.reshape(-1, channels, height, width),
        bias=None if bias is None else np.broadcast_to(_array(bias).reshape(-1), (len(made),)),
        kernel=(height, width), vector=vector or height * width == 1,
    )  # fmt: skip


def _before_flattening(blueprint: Blueprint, node: Node) -> tuple[int, int, int] | None:
    """The maps that a linear layer's input was before it was made a vector, if it was."""
    at = node
    while at.sources:
        if at.sources[0] < 0:
            shape = blueprint.input_shapes[0]
            return (shape[1], shape[2], shape[3]) if len(shape) == 4 else None
        at = blueprint.nodes[at.sources[0]]
        maps = maps_of(at)
        if maps is not None:
            return maps
        if at.kind not in _FLATTENING:
            return None
    return None


def after(blueprint: Blueprint, node: Node) -> list[Node]:
    """What follows a layer and changes each value alone, as batch norm and ReLU do, with no other reader."""
    chain: list[Node] = []
    at = blueprint.index[node.id]
    while True:
        readers = blueprint.readers[at]
        if len(readers) != 1 or blueprint.nodes[readers[0]].kind not in _AFTER:
            return chain
        following = blueprint.nodes[readers[0]]
        if following.output_shapes != node.output_shapes or len(following.sources) != 1:
            return chain
        at = readers[0]
        if following.kind not in _PASSING:
            chain.append(following)


def _array(tensor: Tensor) -> Array:
    return tensor.double().cpu().numpy()


def _pair(number: Any) -> tuple[int, int]:
    entries = (number,) if isinstance(number, int) else tuple(number)
    return (entries[0], entries[-1])
