"""The receptive field of every node, on any graph: size, jump and centre, from the operations alone.

What is said is the theoretical field, as it would be in the middle of an image that goes on at every side.
Statistics of group, instance and layer norm over an image are not followed: they are taken pixel by pixel, as
batch norm is in evaluation.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Container, Mapping
from fractions import Fraction
from typing import Any

from sightline.blueprint._axes import (
    Axis,
    Span,
    constant,
    hull,
    identity,
    resampled,
    transposed_window,
    union,
    window,
)
from sightline.blueprint._graph import Blueprint, Operation, Ref, Shape
from sightline.blueprint._operations import (
    ADAPTIVE,
    ALONG,
    ATTENTION,
    CONTRACTIONS,
    DROPPING,
    NORMS,
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
    is_pointwise,
    keeps_places,
    reduced_axes,
    shape_groups,
)
from sightline.blueprint._settings import CONVOLUTIONS, convolution_settings, pool_settings


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """What an element of a tensor can see of an input."""

    size: tuple[int, ...]
    """Rows and columns, one entry a spatial axis."""
    jump: tuple[Fraction, ...]
    """Input pixels from one element to the next; 0 where all see the same."""
    centre: tuple[Fraction | None, ...]
    """Middle of what the first element sees; 0 is the middle of the input's first pixel."""


@dataclasses.dataclass(frozen=True, slots=True)
class Mixed:
    """An axis made of several, along which nobody says who sees what; together they see this."""

    spans: tuple[tuple[int, Span | None], ...]
    """(axis of the input, rows)."""


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """What the elements of one tensor see: along its axes, and wherever they are."""

    axes: tuple[Axis | Mixed | None, ...]
    """For each axis of the tensor."""
    everywhere: tuple[tuple[int, Span | None], ...] = ()
    """(axis of the input, rows) that every element sees."""
    known: bool = True
    """Whether it is exact; where it is not, it says at least all that is seen."""

    @property
    def rest(self) -> dict[int, Span | None]:
        """`everywhere` as a dictionary."""
        return dict(self.everywhere)


_OF_TOKENS = frozenset(
    {"multi_head_attention", "scaled_dot_product_attention", "lstm", "gru", "rnn", "layer_norm"}
)
"""Kinds of nodes by which an input of three axes is known for tokens and their features, not a signal."""


def fields(blueprint: Blueprint) -> dict[int, Field | None]:
    """The receptive field of every node's first output on the first input, by node.

    A node without one does not depend on the input's pixels; no node has one where the input is a vector, or
    tokens. None is given where the field cannot be told (an index computed from data, windows cut by
    reshaping).

    Args:
        blueprint: Of one recorded pass.
    """
    spatial = max(len(blueprint.values[blueprint.inputs[0]].shape) - 2, 0) if blueprint.inputs else 0
    kinds = {node.kind for node in blueprint.nodes}
    if not spatial or (spatial == 1 and kinds & _OF_TOKENS and not any(k.startswith("conv") for k in kinds)):
        return {}
    seen = everything_seen(blueprint)
    found: dict[int, Field | None] = {}
    for k, node in enumerate(blueprint.nodes):
        value = next((v for v in node.outputs if v in seen), None)
        if value is None:
            continue
        found[k] = _field(seen[value], blueprint.values[value].shape, spatial)
    return found


def _field(seen: Seen, shape: Shape, spatial: int) -> Field | None:
    if not seen.known or any(isinstance(a, Mixed) for a in seen.axes):
        return None
    rest = seen.rest
    size, jump, centre = [], [], []
    for source in range(spatial):
        axes = [a for a in seen.axes if isinstance(a, Axis) and a.source == source]
        if len(axes) > 1:
            return None
        if not axes:
            axes = [constant(source, rest.get(source))]
        elif source in rest:
            length = shape[seen.axes.index(axes[0])]
            axes = [union(axes[0], constant(source, rest[source]), length)]
        size.append(axes[0].size)
        jump.append(axes[0].jump)
        centre.append(axes[0].centre)
    return Field(tuple(size), tuple(jump), tuple(centre))


def everything_seen(blueprint: Blueprint) -> dict[int, Seen]:
    """What each value sees, for the values that see anything."""
    follower = _Follower(blueprint)
    for operation in blueprint.operations:
        follower.follow(operation)
    return follower.seen


class _Follower:
    """Follows what is seen from operation to operation."""

    def __init__(self, blueprint: Blueprint) -> None:
        self._values = blueprint.values
        self.seen: dict[int, Seen] = {}
        source = 0
        for value in blueprint.inputs:
            axes: list[Axis | Mixed | None] = []
            for dim in range(len(self._values[value].shape)):
                axes.append(identity(source) if dim >= 2 else None)
                source += dim >= 2
            if any(axes):
                self.seen[value] = Seen(tuple(axes))

    def shape(self, value: int) -> Shape:
        """Of a value."""
        return self._values[value].shape

    def follow(self, operation: Operation) -> None:
        """Work out what the outputs of an operation see."""
        sighted = [v for v in operation.inputs if v in self.seen]
        if not sighted or operation.name in DROPPING:
            return
        rule = _rule(operation.name)
        given = sighted[0]
        for k, output in enumerate(operation.outputs):
            result = rule(self, operation, given, output, k) if rule is not None else None
            extra = [v for v in sighted if v not in argument_values(operation)]
            if result is None:
                result = self.everything(sighted, len(self.shape(output)), known=False)
            elif extra:  # memory written to since
                result = self.together(
                    [result, *(self.aligned(v, output) for v in extra)], self.shape(output)
                )
            self.seen[output] = _settled(result)

    # ------------------------------------------------------------------ helpers of the rules

    def over(self, value: int, dims: set[int]) -> dict[int, Span | None]:
        """What is seen everywhere once these axes of a value are run over."""
        seen = self.seen[value]
        rest = seen.rest
        for dim in dims:
            for source, span in _over(seen.axes[dim], self.shape(value)[dim]):
                rest[source] = hull(rest.get(source), span)
        return rest

    def everything(self, values: list[int], ndim: int, *, known: bool) -> Seen:
        """Every element sees all that these values see."""
        rest: dict[int, Span | None] = {}
        for value in values:
            for source, span in self.over(value, set(range(len(self.seen[value].axes)))).items():
                rest[source] = hull(rest.get(source), span)
        known = known and all(self.seen[v].known for v in values)
        return Seen((None,) * ndim, tuple(rest.items()), known)

    def aligned(self, value: int, output: int) -> Seen:
        """A value broadcast to the shape of an output, axes matched from the right."""
        seen, shape, wanted = self.seen[value], self.shape(value), self.shape(output)
        axes: list[Axis | Mixed | None] = [None] * len(wanted)
        rest = seen.rest
        for back in range(1, len(shape) + 1):
            if back <= len(wanted) and shape[-back] == wanted[-back]:
                axes[-back] = seen.axes[-back]
            else:
                for source, span in _over(seen.axes[-back], shape[-back]):
                    rest[source] = hull(rest.get(source), span)
        return Seen(tuple(axes), tuple(rest.items()), seen.known)

    def together(self, several: list[Seen], shape: Shape) -> Seen:
        """What any of several tensors of one shape sees, element by element."""
        if len(several) == 1:
            return several[0]
        axes: list[Axis | Mixed | None] = []
        rest: dict[int, Span | None] = {}
        for seen in several:
            for source, span in seen.everywhere:
                rest[source] = hull(rest.get(source), span)
        for dim, length in enumerate(shape):
            there = [s.axes[dim] for s in several if s.axes[dim] is not None]
            alike = [a for a in there if isinstance(a, Axis)]
            if len({a.source for a in alike}) == 1 and len(alike) == len(there):
                axes.append(functools.reduce(lambda a, b: union(a, b, length), alike))
            elif there:
                axes.append(_mixed([pair for a in there for pair in _over(a, length)]))
            else:
                axes.append(None)
        return Seen(tuple(axes), tuple(rest.items()), all(s.known for s in several))


def _settled(seen: Seen) -> Seen:
    """The same, without the mixed axes along which nothing is seen but what every element sees."""
    if not any(isinstance(a, Mixed) for a in seen.axes):
        return seen
    rest = seen.rest

    def adds(axis: Axis | Mixed | None) -> bool:
        pairs = axis.spans if isinstance(axis, Mixed) else ()
        return isinstance(axis, Axis) or any(hull(rest.get(s), span) != rest.get(s) for s, span in pairs)

    return dataclasses.replace(seen, axes=tuple(a if adds(a) else None for a in seen.axes))


def _over(axis: Axis | Mixed | None, length: int) -> tuple[tuple[int, Span | None], ...]:
    """What all elements along an axis see together."""
    if isinstance(axis, Axis):
        return ((axis.source, axis.over(length)),)
    return axis.spans if isinstance(axis, Mixed) else ()


def _mixed(pairs: list[tuple[int, Span | None]]) -> Mixed:
    found: dict[int, Span | None] = {}
    for source, span in pairs:
        found[source] = hull(found.get(source), span)
    return Mixed(tuple(found.items()))


Rule = Callable[[_Follower, Operation, int, int, int], Seen | None]
"""(follower, operation, first sighted input, output, which output) -> what it sees; None where unknown."""


def _same(f: _Follower, operation: Operation, given: int, output: int, k: int) -> Seen | None:
    sighted = [v for v in argument_values(operation) if v in f.seen]
    return f.together([f.aligned(v, output) for v in sighted], f.shape(output))


def _first_only(f: _Follower, operation: Operation, given: int, output: int, k: int) -> Seen | None:
    return f.seen[given] if len(f.shape(given)) == len(f.shape(output)) else None


def _restrided(f: _Follower, operation: Operation, given: int, output: int, k: int) -> Seen | None:
    return f.seen[given] if keeps_places(operation, f.shape(given)) else None


def _copied(f: _Follower, operation: Operation, given: int, output: int, k: int) -> Seen | None:
    source = operation.arguments[1]
    return f.aligned(source.value, output) if isinstance(source, Ref) and source.value in f.seen else None


def _windowed(f: _Follower, value: int, settings: Mapping[str, Any], *, transposed: bool = False) -> Seen:
    seen = f.seen[value]
    count = len(settings["kernel_size"])
    axes = list(seen.axes)
    for k in range(count):
        dim = len(axes) - count + k
        axis = axes[dim]
        if isinstance(axis, Axis):
            slide = transposed_window if transposed else window
            axes[dim] = slide(
                axis, settings["kernel_size"][k], settings["stride"][k], settings["padding"][k],
                settings["dilation"][k],
            )  # fmt: skip
    return Seen(tuple(axes), seen.everywhere, seen.known)


def _convolution(f: _Follower, operation: Operation, given: int, output: int, k: int) -> Seen | None:
    first, weight = operation.arguments[0], operation.arguments[1]
    if not isinstance(first, Ref) or first.value not in f.seen:
        return None
    settings = convolution_settings(operation, f._values)
    result = _windowed(f, first.value, settings, transposed=settings["transposed"])
    if isinstance(weight, Ref) and weight.value in f.seen:  # a kernel made from the image
        whole = f.everything([weight.value], len(result.axes), known=True)
        result = f.together([result, whole], f.shape(output))
    return result


def _pool(f: _Follower, operation: Operation, given: int, output: int, k: int) -> Seen | None:
    return _windowed(f, given, pool_settings(operation))


def _adaptive(f: _Follower, operation: Operation, given: int, output: int, k: int) -> Seen | None:
    seen, shape, wanted = f.seen[given], f.shape(given), f.shape(output)
    axes = list(seen.axes)
    rest = seen.rest
    for back in range(1, ADAPTIVE[operation.name] + 1):
        axis, n, m = axes[-back], shape[-back], wanted[-back]
        if m == 1:
            axes[-back] = None
            for source, span in _over(axis, n):
                rest[source] = hull(rest.get(source), span)
        elif isinstance(axis, Axis):
            common = math.gcd(n, m)
            rows = adaptive_rows(n, m)[: m // common]
            axes[-back] = resampled(axis, n // common, m // common, rows=rows)
    return Seen(tuple(axes), tuple(rest.items()), seen.known)


def _resize(f: _Follower, operation: Operation, given: int, output: int, k: int) -> Seen | None:
    seen, shape, wanted = f.seen[given], f.shape(given), f.shape(output)
    how = Resize.of(operation, shape, wanted)
    if how is None:
        return None
    axes = list(seen.axes)
    for back in range(1, how.axes + 1):
        axis = axes[-back]
        if isinstance(axis, Axis):
            length, made, rows = how.rows(shape[-back], wanted[-back])
            axes[-back] = resampled(axis, length, made, rows=rows)
    return Seen(tuple(axes), seen.everywhere, seen.known)


def _padded(f: _Follower, operation: Operation, given: int, output: int, k: int) -> Seen | None:
    seen, amounts = f.seen[given], operation.arguments[1]
    axes = list(seen.axes)
    for back in range(1, len(amounts) // 2 + 1):
        axis = axes[-back]
        if isinstance(axis, Axis):
            axes[-back] = window(axis, 1, 1, int(amounts[2 * (back - 1)]))
    return Seen(tuple(axes), seen.everywhere, seen.known)


def _reduced(f: _Follower, operation: Operation, given: int, output: int, k: int) -> Seen | None:
    ndim = len(f.shape(given))
    dims = reduced_axes(operation, ndim)
    rest = f.over(given, dims)
    left = [a for d, a in enumerate(f.seen[given].axes) if d not in dims]
    if len(f.shape(output)) == ndim:
        left = [None if d in dims else a for d, a in enumerate(f.seen[given].axes)]
    if len(left) != len(f.shape(output)):
        return None
    return Seen(tuple(left), tuple(rest.items()), f.seen[given].known)


def _along(f: _Follower, operation: Operation, given: int, output: int, k: int) -> Seen | None:
    """Softmax and the like: each element sees the whole of one axis."""
    dim = operation.arguments[1]
    if not isinstance(dim, int):
        return None
    dim %= len(f.shape(given))
    seen = f.seen[given]
    axes = [None if d == dim else a for d, a in enumerate(seen.axes)]
    return Seen(tuple(axes), tuple(f.over(given, {dim}).items()), seen.known)


def _contracted(f: _Follower, operation: Operation, given: int, output: int, k: int) -> Seen | None:
    """Matrix products: rows of the first, columns of the second, all of what is summed over."""
    arguments = operation.arguments[CONTRACTIONS[operation.name] :]
    a, b = arguments[0], arguments[1]
    if not isinstance(a, Ref) or not isinstance(b, Ref):
        return None
    ndim = len(f.shape(output))
    several: list[Seen] = []
    if a.value in f.seen:
        last = len(f.shape(a.value)) - 1
        axes = list(f.seen[a.value].axes[:-1])
        axes += [None] * (ndim - len(axes))
        several.append(
            Seen(tuple(axes[:ndim]), tuple(f.over(a.value, {last}).items()), f.seen[a.value].known)
        )
    if b.value in f.seen:
        count = len(f.shape(b.value))
        columns = f.seen[b.value].axes
        summed = count - 2 if count > 1 else 0
        axes = [None] * ndim
        if count > 1:
            axes[-1] = columns[-1]
        if count == 3 and ndim == 3:
            axes[0] = columns[0]
        several.append(Seen(tuple(axes), tuple(f.over(b.value, {summed}).items()), f.seen[b.value].known))
    if CONTRACTIONS[operation.name] and isinstance(operation.arguments[0], Ref):
        added = operation.arguments[0].value
        if added in f.seen:
            several.append(f.aligned(added, output))
    return f.together(several, f.shape(output)) if several else None


def _attention(f: _Follower, operation: Operation, given: int, output: int, k: int) -> Seen | None:
    if k > 0:
        return None
    query = operation.arguments[0]
    others = [a.value for a in operation.arguments[1:3] if isinstance(a, Ref) and a.value in f.seen]
    several = [f.everything(others, len(f.shape(output)), known=True)] if others else []
    if isinstance(query, Ref) and query.value in f.seen:
        several.append(f.seen[query.value])
    return f.together(several, f.shape(output)) if several else None


def _concatenated(f: _Follower, operation: Operation, given: int, output: int, k: int) -> Seen | None:
    refs, *more = operation.arguments
    dim = (more[0] if more else operation.keywords.get("dim", 0)) % len(f.shape(output))
    several = [f.seen[r.value] for r in refs if isinstance(r, Ref) and r.value in f.seen]
    if any(len(s.axes) != len(f.shape(output)) for s in several):
        return None
    if any(isinstance(s.axes[dim], Axis) for s in several):
        return None  # joined along rows or columns
    return f.together(several, f.shape(output))


def _viewed(f: _Follower, operation: Operation, given: int, output: int, k: int) -> Seen | None:
    """Reshaping: axes that stay whole keep what they see."""
    seen, shape, wanted = f.seen[given], f.shape(given), f.shape(output)
    axes: list[Axis | Mixed | None] = [None] * len(wanted)
    rest, known = seen.rest, seen.known
    for old, new in shape_groups(shape, wanted):
        there = [d for d in old if seen.axes[d] is not None]
        long_old, long_new = [d for d in old if shape[d] != 1], [d for d in new if wanted[d] != 1]
        pairs = [pair for d in there for pair in _over(seen.axes[d], shape[d])]
        if len(there) == 1 and long_old == there and len(long_new) == 1:
            axes[long_new[0]] = seen.axes[there[0]]
        elif pairs and len(long_new) == 1 and any(shape[d] != 1 for d in there):
            axes[long_new[0]] = _mixed(pairs)
        elif pairs:
            known = known and all(shape[d] == 1 for d in there)  # an axis cut into pieces
            for source, span in pairs:
                rest[source] = hull(rest.get(source), span)
    return Seen(tuple(axes), tuple(rest.items()), known)


def _moved(f: _Follower, operation: Operation, given: int, output: int, k: int) -> Seen | None:
    """Views that only rename, drop, add or cut axes."""
    seen, shape = f.seen[given], f.shape(given)
    name, ndim = operation.name.removeprefix("aten."), len(shape)
    more = operation.arguments[1:]
    axes = list(seen.axes)
    rest, known = seen.rest, seen.known

    def taken(dim: int, index: int) -> None:
        """One index of an axis is left, without the axis."""
        axis = axes.pop(dim)
        pairs = ((axis.source, axis[index]),) if isinstance(axis, Axis) else _over(axis, shape[dim])
        for source, span in pairs:
            rest[source] = hull(rest.get(source), span)

    def moved(dim: int, start: int, step: int) -> bool:
        axis = axes[dim]
        if isinstance(axis, Axis):
            axes[dim] = window(axis, 1, step, -start)
        return known and not isinstance(axis, Mixed)

    if name == "permute":
        axes = [seen.axes[d % ndim] for d in more[0]]
    elif name == "transpose":
        a, b = more[0] % ndim, more[1] % ndim
        axes[a], axes[b] = axes[b], axes[a]
    elif name in ("t", "numpy_T"):
        axes.reverse()
    elif name == "unsqueeze":
        axes.insert(more[0] % (ndim + 1), None)
    elif name == "squeeze":
        gone = dropped_by_squeeze(operation, shape)
        rest = f.over(given, gone)
        axes = [a for d, a in enumerate(axes) if d not in gone]
    elif name == "expand":
        return f.aligned(given, output)
    elif name in ("slice", "narrow"):
        dim, start, step = cut(operation, shape)
        known = moved(dim, start, step)
    elif name == "select":
        taken(more[0] % ndim, more[1] % shape[more[0]])
    elif name == "unbind":
        taken((more[0] if more else 0) % ndim, k)
    else:  # split, split_with_sizes, chunk
        dim = (more[1] if len(more) > 1 else 0) % ndim
        known = moved(dim, sum(f.shape(o)[dim] for o in operation.outputs[:k]), 1)
    return Seen(tuple(axes), tuple(rest.items()), known) if len(axes) == len(f.shape(output)) else None


def _shuffled(f: _Follower, operation: Operation, given: int, output: int, k: int) -> Seen | None:
    seen, factor = f.seen[given], int(operation.arguments[1])
    axes = list(seen.axes)
    for back in (1, 2):
        axis = axes[-back]
        if not isinstance(axis, Axis):
            continue
        if operation.name == "aten.pixel_shuffle":
            axes[-back] = resampled(axis, 1, factor, rows=[(0,)] * factor)
        else:
            axes[-back] = window(axis, factor, factor, 0)
    return Seen(tuple(axes), seen.everywhere, seen.known)


@functools.cache
def _rule(name: str) -> Rule | None:
    for names, rule in _RULES:
        if name in names:
            return rule
    if name.startswith(("aten.upsample_", "aten._upsample_")):
        return _resize
    return _same if is_pointwise(name) else None


_RULES: tuple[tuple[Container[str], Rule], ...] = (
    (CONVOLUTIONS, _convolution), (POOLS, _pool), (ADAPTIVE, _adaptive), (PADS, _padded),
    (REDUCTIONS, _reduced), (CONTRACTIONS, _contracted), (ATTENTION, _attention), (NORMS, _first_only),
    (VIEWS, _moved), (RESHAPES, _viewed), (ALONG, _along), (("aten.cat",), _concatenated),
    (("aten.copy_", "aten.copy"), _copied), (("aten.pixel_shuffle", "aten.pixel_unshuffle"), _shuffled),
    (("aten.as_strided_",), _restrided),
)  # fmt: skip
