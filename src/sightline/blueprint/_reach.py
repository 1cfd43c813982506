"""Which values of the input a set of outputs depends on: exactly, backward through the graph.

Masks are boolean arrays with the axes of the tensor they are of; an axis of length 1 stands for one along
which all are alike. Unlike `fields`, borders count as they are, holes of dilation are holes, and statistics
of layer and group norm are followed.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Container, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.base import ArgumentError, did_you_mean
from sightline.blueprint._graph import Blueprint, Operation, Ref, Shape
from sightline.blueprint._operations import (
    ADAPTIVE,
    ALONG,
    ATTENTION,
    CONTRACTIONS,
    DROPPING,
    PADS,
    POOLS,
    REDUCTIONS,
    RESHAPES,
    VIEWS,
    Resize,
    adaptive_rows,
    argument_values,
    cut,
    dropped_by_squeeze,
    is_causal,
    is_pointwise,
    keeps_places,
    reduced_axes,
)
from sightline.blueprint._settings import CONVOLUTIONS, convolution_settings, pool_settings

Mask = NDArray[np.bool_]


def _any(mask: Mask, axis: int | tuple[int, ...], *, keep: bool = True) -> Mask:
    """Whether any is set along an axis."""
    return np.asarray(mask.any(axis=axis, keepdims=keep), dtype=bool)


@dataclasses.dataclass(frozen=True)
class Reach:
    """What outputs depend on."""

    masks: Mapping[int, Mask]
    """For each input of the network, as a value: which of its elements; in full shape."""
    exact: bool
    """False where an operation was met that is not followed, and everything before it was taken as seen, or
    attention hides some scores; then this is more than what is seen, never less."""


def reach(blueprint: Blueprint, node: str | None = None, unit: tuple[int | None, ...] | None = None) -> Reach:
    """The elements of the input that reach an output.

    Args:
        blueprint: Of one recorded pass.
        node: Id of a node; all outputs of the network where None.
        unit: Index of elements in the node's first output, without the batch and from the left: (channel,
            row, column), (channel,), or () for all; None stands for all along an axis.

    Raises:
        ArgumentError: if there is no such node, or the unit lies outside its output.
    """
    wanted: dict[int, Mask] = {}
    if node is None:
        for value in blueprint.outputs:
            wanted[value] = np.ones((1,) * len(blueprint.values[value].shape), bool)
    else:
        if node not in blueprint.index:
            raise ArgumentError(
                f"no node {node!r} in {blueprint.name}; {did_you_mean(node, blueprint.index)}"
            )
        value = blueprint.nodes[blueprint.index[node]].outputs[0]
        shape = blueprint.values[value].shape
        mask = np.zeros(shape, bool)
        place: tuple[Any, ...] = (slice(None), *(slice(None) if i is None else i for i in unit or ()))
        if len(place) > len(shape) or any(
            i is not None and not 0 <= i < n for i, n in zip(unit or (), shape[1:], strict=False)
        ):
            raise ArgumentError(f"unit {unit} is outside the output of {node}, {shape[1:]}")
        mask[place] = True
        wanted[value] = mask
    return _Backward(blueprint).from_outputs(wanted)


class _Backward:
    """One walk from outputs to inputs."""

    def __init__(self, blueprint: Blueprint) -> None:
        self._blueprint = blueprint
        self.values = blueprint.values
        self._wanted: dict[int, Mask] = {}
        self._exact = True
        self._masked = _masked(blueprint)

    def from_outputs(self, wanted: Mapping[int, Mask]) -> Reach:
        """Follow all operations backward."""
        self._wanted = dict(wanted)
        for operation in reversed(self._blueprint.operations):
            masks = [(k, self._wanted.pop(o)) for k, o in enumerate(operation.outputs) if o in self._wanted]
            if operation.name in DROPPING:
                continue
            for k, mask in masks:
                if mask.any():
                    self._follow(operation, k, mask)
        found = {}
        for value in self._blueprint.inputs:
            shape = self.values[value].shape
            mask = self._wanted.get(value, np.zeros((1,) * len(shape), bool))
            found[value] = np.broadcast_to(mask, shape)
        return Reach(found, self._exact)

    def shape(self, value: int) -> Shape:
        """Of a value."""
        return self.values[value].shape

    def want(self, value: int, mask: Mask) -> None:
        """Mark elements of a value."""
        if self.values[value].from_input:
            there = self._wanted.get(value)
            self._wanted[value] = mask if there is None else there | mask

    def want_all(self, value: int) -> None:
        """Mark all of a value, for want of a rule."""
        self._exact = self._exact and not self.values[value].from_input
        self.want(value, np.ones((1,) * len(self.shape(value)), bool))

    def maybe_masked(self, value: int) -> None:
        """Take note that a softmax reads a value; some of it may be -inf, and so reach nothing."""
        self._exact = self._exact and value not in self._masked

    def _follow(self, operation: Operation, k: int, mask: Mask) -> None:
        arguments = argument_values(operation)
        rule = _rule(operation.name)
        if rule is None or rule(self, operation, k, mask) is False:
            for value in arguments:
                self.want_all(value)
        for value in operation.inputs:
            if value in arguments:
                continue  # what follows was written, through a view, into memory this operation reads
            if self.shape(value) == self.shape(operation.outputs[k]):
                self.want(value, mask)
            else:
                self.want_all(value)


def _masked(blueprint: Blueprint) -> set[int]:
    """Values that hold -inf here or there, which only numbers could tell: scores that are hidden."""
    found: set[int] = set()
    for operation in blueprint.operations:
        if operation.name in ALONG:
            continue
        hides = any(isinstance(a, float) and a == -math.inf for a in operation.arguments[:3])
        if hides or not found.isdisjoint(operation.inputs):
            found.update(operation.outputs)
    return found


Rule = Callable[[_Backward, Operation, int, Mask], "bool | None"]
"""(walk, operation, which output, its mask); False where the operation is not followed."""


def _first(operation: Operation) -> int:
    given = operation.arguments[0]
    assert isinstance(given, Ref)
    return given.value


def _fitted(mask: Mask, shape: Shape) -> Mask:
    """A mask brought back to what was broadcast."""
    extra = mask.ndim - len(shape)
    if extra > 0:
        mask = _any(mask, tuple(range(extra)), keep=False)
    alone = tuple(d for d, n in enumerate(shape) if n == 1 and mask.shape[d] != 1)
    return _any(mask, alone) if alone else mask


def _pointwise(b: _Backward, operation: Operation, k: int, mask: Mask) -> None:
    for value in argument_values(operation):
        shape = b.shape(value)
        b.want(value, _fitted(mask, shape) if len(shape) <= mask.ndim else mask)


def _restrided(b: _Backward, operation: Operation, k: int, mask: Mask) -> bool | None:
    if not keeps_places(operation, b.shape(_first(operation))):
        return False
    b.want(_first(operation), mask)
    return None


def _copied(b: _Backward, operation: Operation, k: int, mask: Mask) -> None:
    source = operation.arguments[1]
    if isinstance(source, Ref):
        b.want(source.value, _fitted(mask, b.shape(source.value)))


def _spread(mask: Mask, dim: int, out: int, into: int, pairs: Callable[[Any], Any], taps: int) -> Mask:
    """Along one axis, mark index `pairs(tap)[1]` of the input for index `pairs(tap)[0]` of the output."""
    if mask.shape[dim] == 1 and out != 1:
        mask = np.broadcast_to(mask, (*mask.shape[:dim], out, *mask.shape[dim + 1 :]))
    moved = np.moveaxis(mask, dim, -1)
    found = np.zeros((*moved.shape[:-1], into), bool)
    for tap in range(taps):
        o, i = pairs(tap)
        found[..., i] |= moved[..., o]
    return np.moveaxis(found, -1, dim)


def _window_pairs(out: int, into: int, stride: int, padding: int, dilation: int) -> Callable[[int], Any]:
    def pairs(tap: int) -> tuple[Any, Any]:
        o = np.arange(out)
        i = o * stride - padding + dilation * tap
        inside = (i >= 0) & (i < into)
        return o[inside], i[inside]

    return pairs


def _transposed_pairs(out: int, into: int, stride: int, padding: int, dilation: int) -> Callable[[int], Any]:
    def pairs(tap: int) -> tuple[Any, Any]:
        i = np.arange(into)
        o = i * stride - padding + dilation * tap
        inside = (o >= 0) & (o < out)
        return o[inside], i[inside]

    return pairs


def _slid(
    mask: Mask, settings: Mapping[str, Any], shape: Shape, out_shape: Shape, *, transposed: bool
) -> Mask:
    count = len(settings["kernel_size"])
    for k in range(count):
        dim = len(shape) - count + k
        make = _transposed_pairs if transposed else _window_pairs
        pairs = make(
            out_shape[dim], shape[dim], settings["stride"][k], settings["padding"][k], settings["dilation"][k]
        )
        mask = _spread(mask, dim, out_shape[dim], shape[dim], pairs, settings["kernel_size"][k])
    return mask


def _convolution(b: _Backward, operation: Operation, k: int, mask: Mask) -> bool | None:
    given = _first(operation)
    settings = convolution_settings(operation, b.values)
    shape, out_shape = b.shape(given), b.shape(operation.outputs[0])
    count = len(settings["kernel_size"])
    channel = len(shape) - count - 1
    groups = settings["groups"]
    if mask.shape[channel] != 1:
        if groups == 1:
            mask = _any(mask, channel)
        else:
            parts = np.stack(
                [p.any(axis=channel) for p in np.split(mask, groups, axis=channel)], axis=channel
            )
            mask = np.repeat(parts, shape[channel] // groups, axis=channel)
    b.want(given, _slid(mask, settings, shape, out_shape, transposed=settings["transposed"]))
    for more in operation.arguments[1:3]:
        if isinstance(more, Ref) and b.values[more.value].from_input:
            b.want_all(more.value)
    return None


def _pool(b: _Backward, operation: Operation, k: int, mask: Mask) -> None:
    given = _first(operation)
    shape, out_shape = b.shape(given), b.shape(operation.outputs[0])
    b.want(given, _slid(mask, pool_settings(operation), shape, out_shape, transposed=False))


def _by_rows(mask: Mask, dim: int, rows: list[tuple[int, ...]], into: int) -> Mask:
    """Along one axis, output index `o` reads `rows[o]`."""
    most = max(len(r) for r in rows)
    padded = np.array([(*r, *(r[-1],) * (most - len(r))) for r in rows])
    where = np.clip(padded, 0, into - 1)
    moved = np.moveaxis(
        np.broadcast_to(mask, (*mask.shape[:dim], len(rows), *mask.shape[dim + 1 :])), dim, -1
    )
    found = np.zeros((*moved.shape[:-1], into), bool)
    for o in range(len(rows)):
        found[..., where[o]] |= moved[..., o, None]
    return np.moveaxis(found, -1, dim)


def _adaptive(b: _Backward, operation: Operation, k: int, mask: Mask) -> None:
    given = _first(operation)
    shape, out_shape = b.shape(given), b.shape(operation.outputs[0])
    for dim in range(len(shape) - ADAPTIVE[operation.name], len(shape)):
        if out_shape[dim] == 1:
            continue  # of length 1: all alike
        mask = _by_rows(mask, dim, adaptive_rows(shape[dim], out_shape[dim]), shape[dim])
    b.want(given, mask)


def _resize(b: _Backward, operation: Operation, k: int, mask: Mask) -> bool | None:
    given = _first(operation)
    shape, out_shape = b.shape(given), b.shape(operation.outputs[0])
    how = Resize.of(operation, shape, out_shape)
    if how is None:
        return False
    for dim in range(len(shape) - how.axes, len(shape)):
        mask = _by_rows(mask, dim, how.every(shape[dim], out_shape[dim]), shape[dim])
    b.want(given, mask)
    return None


def _padded(b: _Backward, operation: Operation, k: int, mask: Mask) -> None:
    given, amounts = _first(operation), operation.arguments[1]
    shape, out_shape = b.shape(given), b.shape(operation.outputs[0])
    for back in range(1, len(amounts) // 2 + 1):
        dim, before = len(shape) - back, int(amounts[2 * (back - 1)])
        n = shape[dim]
        places = np.arange(out_shape[dim]) - before
        if "constant" in operation.name:
            inside = (places >= 0) & (places < n)
            o, i = np.flatnonzero(inside), places[inside]
            mask = _spread(mask, dim, out_shape[dim], n, lambda tap, o=o, i=i: (o, i), 1)  # type: ignore[misc]
            continue
        if "reflection" in operation.name:
            places = np.abs(places)
            places = np.where(places >= n, 2 * (n - 1) - places, places)
        mask = _by_rows(mask, dim, [(int(p),) for p in places], n)
    b.want(given, mask)


def _reduced(b: _Backward, operation: Operation, k: int, mask: Mask) -> None:
    given = _first(operation)
    shape = b.shape(given)
    dims = reduced_axes(operation, len(shape))
    if mask.ndim != len(shape):
        kept = iter(mask.shape)
        mask = mask.reshape([1 if d in dims else next(kept) for d in range(len(shape))])
    b.want(given, mask)


def _along(b: _Backward, operation: Operation, k: int, mask: Mask) -> None:
    b.maybe_masked(_first(operation))
    b.want(_first(operation), _any(mask, operation.arguments[1]))


def _contracted(b: _Backward, operation: Operation, k: int, mask: Mask) -> bool | None:
    position = CONTRACTIONS[operation.name]
    refs = operation.arguments[position : position + 2]
    if not all(isinstance(r, Ref) for r in refs):
        return False
    first, second = (r.value for r in refs)
    if len(b.shape(second)) == 1:  # by a vector
        b.want(
            first, mask[..., None] if len(b.shape(first)) > mask.ndim else _any(mask, tuple(range(mask.ndim)))
        )
        b.want(second, np.ones(1, bool))
    else:
        b.want(first, _any(mask, -1))
        b.want(second, _any(mask, -2))
    if position and isinstance(operation.arguments[0], Ref):
        added = operation.arguments[0].value
        b.want(added, _fitted(mask, b.shape(added)))
    return None


def _attention(b: _Backward, operation: Operation, k: int, mask: Mask) -> bool | None:
    if k > 0:
        return False
    query, *others = (r for r in operation.arguments[:3] if isinstance(r, Ref))
    rows = _any(mask, -1)
    b.want(query.value, rows)
    keys = _any(rows, -2)
    if is_causal(operation):  # row i reads keys 0 .. i: key j is read where a row from j on is
        rows = np.broadcast_to(rows, (*rows.shape[:-2], b.shape(query.value)[-2], 1))
        later = np.flip(np.logical_or.accumulate(np.flip(rows, -2), axis=-2), -2)
        count = b.shape(others[0].value)[-2]
        keys = np.zeros((*rows.shape[:-2], count, 1), bool)
        keys[..., : rows.shape[-2], :] = later[..., :count, :]
    for other in others:
        b.want(other.value, keys)
    return None


def _normalised(b: _Backward, operation: Operation, k: int, mask: Mask) -> bool | None:
    given = _first(operation)
    ndim = len(b.shape(given))
    if k > 0:
        return False
    name = operation.name
    if name == "aten.native_layer_norm" or name == "aten._fused_rms_norm":
        mask = _any(mask, tuple(range(ndim - len(operation.arguments[1]), ndim)))
    elif name == "aten.native_group_norm":
        groups, channels = operation.arguments[6], b.shape(given)[1]
        mask = _any(mask, tuple(range(2, ndim)))
        if groups != 1 and mask.shape[1] != 1:
            parts = np.stack([p.any(axis=1) for p in np.split(mask, groups, axis=1)], axis=1)
            mask = np.repeat(parts, channels // groups, axis=1)
        elif groups == 1:
            mask = _any(mask, 1)
    elif _uses_batch(operation):
        mask = _any(mask, (0, *range(2, ndim)))
    b.want(given, mask)
    return None


def _uses_batch(operation: Operation) -> bool:
    """Whether a batch norm takes its statistics from the batch."""
    if operation.name in ("aten.native_batch_norm", "aten.cudnn_batch_norm"):
        return bool(operation.arguments[5])
    if operation.name == "aten._native_batch_norm_legit":
        return bool(next((a for a in operation.arguments if isinstance(a, bool)), True))
    return operation.name == "aten._batch_norm_with_update"


def _concatenated(b: _Backward, operation: Operation, k: int, mask: Mask) -> None:
    refs, *more = operation.arguments
    dim = (more[0] if more else operation.keywords.get("dim", 0)) % mask.ndim
    start = 0
    for ref in refs:
        n = b.shape(ref.value)[dim] if len(b.shape(ref.value)) == mask.ndim else 0
        part = mask if mask.shape[dim] == 1 else mask[(slice(None),) * dim + (slice(start, start + n),)]
        if n:
            b.want(ref.value, part)
        start += n


def _stacked(b: _Backward, operation: Operation, k: int, mask: Mask) -> None:
    refs, *more = operation.arguments
    dim = (more[0] if more else operation.keywords.get("dim", 0)) % mask.ndim
    for index, ref in enumerate(refs):
        b.want(ref.value, np.take(mask, 0 if mask.shape[dim] == 1 else index, axis=dim))


def _viewed(b: _Backward, operation: Operation, k: int, mask: Mask) -> None:
    given = _first(operation)
    shape = b.shape(given)
    if mask.size == 1:
        b.want(given, mask.reshape((1,) * len(shape)))
    else:
        b.want(given, np.broadcast_to(mask, b.shape(operation.outputs[0])).reshape(shape))


def _moved(b: _Backward, operation: Operation, k: int, mask: Mask) -> None:
    given = _first(operation)
    shape, name = b.shape(given), operation.name.removeprefix("aten.")
    ndim, more = len(shape), operation.arguments[1:]

    def placed(dim: int, places: Any, length: int) -> Mask:
        """The mask within an axis of its old length."""
        full = np.broadcast_to(mask, (*mask.shape[:dim], length, *mask.shape[dim + 1 :]))
        found = np.zeros((*mask.shape[:dim], shape[dim], *mask.shape[dim + 1 :]), bool)
        found[(slice(None),) * dim + (places,)] = full
        return found

    if name == "permute":
        mask = np.transpose(mask, np.argsort([d % ndim for d in more[0]]))
    elif name == "transpose":
        mask = np.swapaxes(mask, more[0], more[1])
    elif name in ("t", "numpy_T"):
        mask = mask.T
    elif name == "unsqueeze":
        mask = _any(mask, more[0], keep=False)
    elif name == "squeeze":
        mask = np.expand_dims(mask, tuple(sorted(dropped_by_squeeze(operation, shape))))
    elif name == "expand":
        mask = _fitted(mask, shape)
    elif name in ("slice", "narrow"):
        dim, start, step = cut(operation, shape)
        length = b.shape(operation.outputs[0])[dim]
        mask = placed(dim, np.arange(length) * step + start, length)
    elif name in ("select", "unbind"):
        dim = (more[0] if more else 0) % ndim
        index = more[1] % shape[dim] if name == "select" else k
        mask = np.expand_dims(mask, dim)
        mask = placed(dim, np.array([index]), 1)
    else:  # split, split_with_sizes, chunk
        dim = (more[1] if len(more) > 1 else 0) % ndim
        start = sum(b.shape(o)[dim] for o in operation.outputs[:k])
        length = b.shape(operation.outputs[k])[dim]
        mask = placed(dim, np.arange(start, start + length), length)
    b.want(given, mask)


def _shuffled(b: _Backward, operation: Operation, k: int, mask: Mask) -> None:
    given, factor = _first(operation), int(operation.arguments[1])
    shape, out_shape = b.shape(given), b.shape(operation.outputs[0])
    full = np.broadcast_to(mask, out_shape)
    *front, channels, height, width = shape
    if operation.name == "aten.pixel_shuffle":
        split = full.reshape(*front, channels // factor**2, height, factor, width, factor)
        order = (-5, -3, -1, -4, -2)
    else:
        split = full.reshape(*front, channels, factor, factor, height // factor, width // factor)
        order = (-5, -2, -4, -1, -3)
    axes = (*range(len(front)), *(split.ndim + o for o in order))
    b.want(given, split.transpose(axes).reshape(shape))


def _turned(b: _Backward, operation: Operation, k: int, mask: Mask) -> None:
    given = _first(operation)
    full = np.broadcast_to(mask, b.shape(operation.outputs[0]))
    if operation.name == "aten.flip":
        b.want(given, np.flip(full, operation.arguments[1]))
    else:
        shifts, dims = operation.arguments[1], operation.arguments[2] if len(operation.arguments) > 2 else ()
        if dims:
            b.want(given, np.roll(full, tuple(-s for s in shifts), dims))
        else:
            b.want(given, np.roll(full.reshape(-1), -math.prod(shifts)).reshape(full.shape))


_NORMALISING = frozenset(
    {
        "aten.native_batch_norm", "aten._native_batch_norm_legit",
        "aten._native_batch_norm_legit_no_training", "aten._batch_norm_with_update",
        "aten._batch_norm_no_update", "aten.cudnn_batch_norm", "aten.native_layer_norm",
        "aten.native_group_norm", "aten._fused_rms_norm",
    }
)  # fmt: skip


def _rule(name: str) -> Rule | None:
    for names, rule in _RULES:
        if name in names:
            return rule
    if name.startswith(("aten.upsample_", "aten._upsample_")):
        return _resize
    return _pointwise if is_pointwise(name) else None


_RULES: tuple[tuple[Container[str], Rule], ...] = (
    (CONVOLUTIONS, _convolution), (POOLS, _pool), (ADAPTIVE, _adaptive), (PADS, _padded),
    (REDUCTIONS, _reduced), (CONTRACTIONS, _contracted), (ATTENTION, _attention), (_NORMALISING, _normalised),
    (VIEWS, _moved), (RESHAPES, _viewed), (ALONG, _along), (("aten.cat",), _concatenated),
    (("aten.stack",), _stacked), (("aten.copy_", "aten.copy"), _copied),
    (("aten.pixel_shuffle", "aten.pixel_unshuffle"), _shuffled), (("aten.flip", "aten.roll"), _turned),
    (("aten.as_strided_",), _restrided),
)  # fmt: skip
