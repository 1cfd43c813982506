"""From one activation back to the pixels: the deconvolutional network, on any graph.

The network runs forward as it is, and the signal runs back through it by rules of its own:

- a convolution, or a linear layer, by its transposed filters, without bias, whatever its stride and groups;
- max pooling by its switches: to the place where each window found its maximum; where windows overlap, what
  they send to one place adds;
- a function that rectifies (ReLU, and the smooth and leaky ones that stand for it) by rectifying the signal;
- contrast normalisation (local response, group, layer, instance), and functions that saturate (tanh,
  sigmoid), let the signal through as it is;
- batch norm by its factor, a part of the filters before it; average pooling spreads evenly; an addition sends
  the signal both ways, a concatenation to each its part; dropout is not there;
- of a product of maps with a smaller tensor (the gate of squeeze and excitation), the gate is held as it was;
- anything else by its gradient, which `by_gradient` tells.

Source: Zeiler and Fergus 2014, "Visualizing and understanding convolutional networks", section 2; the rules
for layers they did not have are ours.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sightline.base import ArgumentError, DataError
from sightline.blueprint import Blueprint, Call
from sightline.views._pass import up_to

RECTIFIERS = frozenset(
    {
        "relu", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "celu", "selu", "gelu", "silu", "mish",
        "hardswish", "softplus", "threshold", "clamp", "clamp_min", "clip",
    }
)  # fmt: skip
"""Kinds of functions that rectify; a clamp does where its lower bound is 0."""
_CLAMPS = frozenset({"clamp", "clamp_min", "clip"})
_PASSED = frozenset(
    {
        "local_response_norm", "cross_map_lrn2d", "group_norm", "layer_norm", "instance_norm", "rms_norm",
        "tanh", "sigmoid", "hardsigmoid", "hardtanh", "softsign",
    }
)  # fmt: skip
_LINEAR = frozenset(
    {
        "linear", "batch_norm", "add", "sub", "neg", "mean", "sum", "cat", "stack", "dropout", "dropout1d",
        "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout", "identity", "clone", "contiguous",
        "to", "float", "flatten", "unflatten", "view", "reshape", "permute", "transpose", "movedim", "t", "T",
        "mT", "squeeze", "unsqueeze", "expand", "chunk", "split", "unbind", "getitem", "slice", "select",
        "narrow", "roll", "flip", "pad", "zero_pad2d", "constant_pad2d", "reflection_pad2d",
        "replication_pad2d", "interpolate", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle",
    }
)  # fmt: skip
_LINEAR_STARTS = ("conv", "max_pool", "avg_pool", "adaptive_avg_pool", "adaptive_max_pool", "fold", "unfold")
_WHERE_ONE_IS_FIXED = frozenset({"mul", "div", "matmul", "addmm", "setitem"})
"""Linear where only one of what they combine comes from the image."""


@dataclasses.dataclass(frozen=True, eq=False)
class Projection:
    """Some activations, and what they come back as."""

    values: Tensor
    """(N,) the activations. What is not above 0 does not fire: nothing comes back of it."""
    pixels: Tensor
    """(N, C, H, W), in units of the network's input, of the sign that would raise the activation."""


def project(network: nn.Module, x: Tensor, node: str, units: Sequence[tuple[int, ...]]) -> Projection:
    """Take single activations of a layer back to the pixels; every other activation of the layer is 0.

    Args:
        network: In evaluation mode while it runs; it is left as it was.
        x: (1, C, H, W), of which every unit is taken back; or one image a unit.
        node: Id of the layer, as of `record`.
        units: Of its output, without the batch: (channel, row, column), or (channel,) of a vector.

    Raises:
        ArgumentError: if there is no such layer or unit, or the network cannot be gone through backward.
        DataError: if an activation, or what comes back of it, is not finite.

    Shape:
        (1, C, H, W) -> (units, C, H, W); (N, C, H, W) with N units -> the same.
    """
    leaf = x.detach().clone().requires_grad_(True)
    values, back = [], []
    try:
        with torch.inference_mode(False), torch.enable_grad():
            output = up_to(network, leaf.clone(), node, rules=RULES)
            output = output if isinstance(output, Tensor) else output[0]
            several = len(x) > 1
            _check(node, output, units)
            for k, unit in enumerate(units):
                row = k if several else 0
                value = output[(row, *unit)].detach()
                values.append(value)
                if not several:
                    back.append(_back(output, leaf, [(row, *unit)], keep=k + 1 < len(units)))
            if several:
                back.append(_back(output, leaf, [(k, *unit) for k, unit in enumerate(units)], keep=False))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise ArgumentError(f"{node} cannot be taken back to the pixels: {reason}") from error
    found = Projection(torch.stack(values), torch.cat(back).detach())
    if not (torch.isfinite(found.values).all() and torch.isfinite(found.pixels).all()):
        raise DataError(f"{node}: its activation, or what comes back of it, is not finite")
    return found


def _check(node: str, output: Tensor, units: Sequence[tuple[int, ...]]) -> None:
    shape = tuple(output.shape[1:])
    for unit in units:
        if len(unit) != len(shape) or any(not 0 <= i < n for i, n in zip(unit, shape, strict=True)):
            raise ArgumentError(f"unit {unit} is outside the output of {node}, {shape}")


def _back(output: Tensor, leaf: Tensor, places: list[tuple[int, ...]], *, keep: bool) -> Tensor:
    """The signal at the input, of the activations at some places; each in an image of its own."""
    signal = torch.zeros_like(output)
    for place in places:
        signal[place] = output[place].detach().clamp_min(0)
    if not output.requires_grad:  # nothing of the image reaches it
        return torch.zeros_like(leaf)
    (back,) = torch.autograd.grad(output, leaf, signal, retain_graph=keep, allow_unused=True)
    return torch.zeros_like(leaf) if back is None else back


class _Through(torch.autograd.Function):
    """Forward as given; backward the signal, rectified or as it is."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, function: Callable[[Tensor], Tensor], rectify: bool) -> Tensor:
        ctx.rectify = rectify
        return function(x.clone())

    @staticmethod
    def backward(ctx: Any, *signals: Tensor) -> tuple[Tensor, None, None]:
        return (signals[0].clamp_min(0) if ctx.rectify else signals[0]), None, None


def _through(call: Call, *, rectify: bool) -> Any:
    """Run a function of one tensor, so that the signal comes back by our rule and not by its gradient.

    It runs on a copy; if it wrote into that, the result is written into the tensor it was given, too.
    """
    given = [a for a in (*call.args, *call.kwargs.values()) if isinstance(a, Tensor)]
    if not given or not given[0].requires_grad:
        return call.run()
    x, wrote = given[0], []

    def function(copy: Tensor) -> Any:
        before = copy._version
        args = tuple(copy if a is x else a for a in call.args)
        kwargs = {key: copy if a is x else a for key, a in call.kwargs.items()}
        result = call.function(*args, **kwargs)
        wrote.append(copy._version > before)
        return result

    result: Tensor = _Through.apply(x, function, rectify)  # type: ignore[no-untyped-call]
    if wrote[0]:
        x.copy_(result)
        return x
    return result


def _rectified(call: Call) -> Any:
    if call.kind in _CLAMPS and not _is_zero(_bound(call)):
        return call.run()
    return _through(call, rectify=True)


def _bound(call: Call) -> Any:
    return call.kwargs.get("min", call.args[1] if len(call.args) > 1 else None)


def _is_zero(bound: Any) -> bool:
    return bound is not None and not isinstance(bound, Tensor) and bound == 0


def _normalised(call: Call) -> Any:
    """Batch norm by stored statistics is linear; by those of the batch it is contrast normalisation."""
    if call.module is not None:
        own = getattr(call.module, "running_mean", None) is None
    else:
        own = bool(call.kwargs.get("training", call.args[5] if len(call.args) > 5 else False))
    return _through(call, rectify=False) if own else call.run()


def _gated(call: Call) -> Any:
    """A product: the smaller of two tensors is held."""
    pair = call.args[:2]
    if len(pair) == 2 and all(isinstance(a, Tensor) and a.requires_grad for a in pair):
        a, b = pair
        if a.numel() < b.numel():
            return call.function(a.detach(), b, *call.args[2:], **call.kwargs)
        if b.numel() < a.numel():
            return call.function(a, b.detach(), *call.args[2:], **call.kwargs)
    return call.run()


_BY_KIND: dict[str, Callable[[Call], Any]] = {
    **dict.fromkeys(RECTIFIERS, _rectified),
    **dict.fromkeys(_PASSED, lambda call: _through(call, rectify=False)),
    "batch_norm": _normalised,
    "mul": _gated,
}


def _ruled(call: Call) -> Any:
    """By its kind: a layer of another kind may be called `relu`."""
    rule = _BY_KIND.get(call.kind)
    return call.run() if rule is None else rule(call)


RULES: dict[str, Callable[[Call], Any]] = dict.fromkeys(_BY_KIND, _ruled)
"""What is done otherwise than by the gradient, by kind; for `execute`."""


def upstream(blueprint: Blueprint, node: str) -> set[int]:
    """A node and all nodes it depends on, by index."""
    found: set[int] = set()
    pending = [blueprint.index[node]]
    while pending:
        k = pending.pop()
        if k >= 0 and k not in found:
            found.add(k)
            pending += blueprint.nodes[k].sources
    return found


def by_gradient(blueprint: Blueprint, node: str) -> list[str]:
    """Kinds of functions before a layer that are not linear, and for which there is no rule."""
    kinds: dict[str, None] = {}
    for k in sorted(upstream(blueprint, node) - {blueprint.index[node]}):
        found = blueprint.nodes[k]
        several = len(found.sources) > 1
        known = found.kind in RULES and (found.kind != "mul" or _is_gate(blueprint, k) or not several)
        linear = found.kind in _LINEAR or found.kind.startswith(_LINEAR_STARTS)
        fixed = found.kind in _WHERE_ONE_IS_FIXED and not several
        if not (known or linear or fixed):
            kinds[found.kind] = None
    return list(kinds)


def _is_gate(blueprint: Blueprint, k: int) -> bool:
    sizes = [torch.Size(shape).numel() for shape in blueprint.nodes[k].input_shapes]
    return len(sizes) == 2 and sizes[0] != sizes[1]
