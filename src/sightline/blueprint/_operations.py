"""PyTorch's operations by what they do to the places of things: shared by all that follows pixels."""

from __future__ import annotations

import dataclasses
import functools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import torch

from sightline.blueprint._graph import Operation, Ref
from sightline.blueprint._settings import PADS as PADS
from sightline.blueprint._settings import POOLS as POOLS

ADAPTIVE = {
    "aten._adaptive_avg_pool2d": 2, "aten.adaptive_avg_pool2d": 2, "aten._adaptive_avg_pool3d": 3,
    "aten.adaptive_avg_pool1d": 1, "aten.adaptive_max_pool1d": 1, "aten.adaptive_max_pool2d": 2,
    "aten.adaptive_max_pool3d": 3,
}  # fmt: skip
"""Pooling to a size, and over how many axes."""
REDUCTIONS = {
    "aten.mean": 1, "aten.sum": 1, "aten.amax": 1, "aten.amin": 1, "aten.max": 1, "aten.min": 1,
    "aten.var": 1, "aten.std": 1, "aten.var_mean": 1, "aten.std_mean": 1, "aten.prod": 1,
    "aten.logsumexp": 1, "aten.any": 1, "aten.all": 1, "aten.argmax": 1, "aten.argmin": 1,
    "aten.linalg_vector_norm": 2, "aten.norm": 2, "aten.median": 1,
}  # fmt: skip
"""What makes one number of many, and which argument names the axes."""
CONTRACTIONS = {
    "aten.mm": 0, "aten.bmm": 0, "aten.mv": 0, "aten.dot": 0, "aten.addmm": 1, "aten.baddbmm": 1,
    "aten.addmv": 1, "aten._addmm_activation": 1,
}  # fmt: skip
"""Matrix products, and which argument is the first factor."""
ATTENTION = {
    "aten._scaled_dot_product_flash_attention_for_cpu": 4, "aten._scaled_dot_product_flash_attention": 4,
    "aten._scaled_dot_product_efficient_attention": 6, "aten._scaled_dot_product_cudnn_attention": 6,
    "aten._scaled_dot_product_attention_math": 5,
}  # fmt: skip
"""Attention in one operation, and which argument says that it is causal."""
NORMS = frozenset(
    {
        "aten.native_batch_norm", "aten._native_batch_norm_legit",
        "aten._native_batch_norm_legit_no_training", "aten._batch_norm_with_update",
        "aten._batch_norm_no_update", "aten.cudnn_batch_norm", "aten.native_layer_norm",
        "aten.native_group_norm", "aten._fused_rms_norm", "aten.native_dropout",
    }
)  # fmt: skip
"""What changes a tensor value by value, but for statistics that are not followed."""
VIEWS = frozenset(
    {
        "aten.permute", "aten.transpose", "aten.t", "aten.numpy_T", "aten.unsqueeze", "aten.squeeze",
        "aten.expand", "aten.slice", "aten.narrow", "aten.select", "aten.unbind", "aten.split",
        "aten.split_with_sizes", "aten.chunk",
    }
)  # fmt: skip
"""Views that rename, add, drop or cut axes."""
RESHAPES = frozenset(
    {"aten.view", "aten._unsafe_view", "aten.reshape", "aten._reshape_alias", "aten._reshape_copy"}
)
ALONG = frozenset({"aten._softmax", "aten._log_softmax", "aten._safe_softmax", "aten.cumsum", "aten.cumprod"})
"""What lets every element see the whole of one axis, which argument 1 names."""
DROPPING = frozenset(
    {
        "aten.zeros_like", "aten.ones_like", "aten.full_like", "aten.empty_like", "aten.rand_like",
        "aten.randn_like", "aten.new_zeros", "aten.new_ones", "aten.new_full", "aten.new_empty",
        "aten.zero_", "aten.fill_", "aten.bernoulli_", "aten.uniform_", "aten.normal_",
    }
)  # fmt: skip
"""What takes a shape and no numbers."""
_UNCHANGED = frozenset(
    {
        "aten.clone", "aten._to_copy", "aten.contiguous", "aten.alias", "aten.detach", "aten.lift_fresh",
        "aten.lift_fresh_copy", "aten.native_dropout", "aten._prelu_kernel", "aten.hardswish",
        "aten.hardsigmoid", "aten.masked_fill", "aten.rrelu_with_noise", "aten.glu_jvp", "aten.view_as_real",
        "aten.bernoulli",
    }
)  # fmt: skip


@functools.cache
def is_pointwise(name: str) -> bool:
    """Whether an operation works element by element, with broadcasting.

    Example:
        >>> is_pointwise("aten.relu_"), is_pointwise("aten.mm")
        (True, False)
    """
    if name in _UNCHANGED:
        return True
    packet = getattr(torch.ops.aten, name.removeprefix("aten."), None)
    if packet is None or not name.startswith("aten."):
        return False
    return any(torch.Tag.pointwise in getattr(packet, overload).tags for overload in packet.overloads())


def argument_values(operation: Operation) -> list[int]:
    """The values an operation was given as arguments, in order."""
    found: list[int] = []

    def look(content: Any) -> None:
        if isinstance(content, Ref):
            found.append(content.value)
        elif isinstance(content, tuple):
            for item in content:
                look(item)

    look(operation.arguments)
    look(tuple(operation.keywords.values()))
    return found


def reduced_axes(operation: Operation, ndim: int) -> set[int]:
    """Axes that a reduction runs over."""
    position = REDUCTIONS[operation.name]
    given = (
        operation.arguments[position]
        if len(operation.arguments) > position
        else operation.keywords.get("dim")
    )
    if given is None or given == ():
        return set(range(ndim))
    return {d % ndim for d in ((given,) if isinstance(given, int) else given)}


def is_causal(operation: Operation) -> bool:
    """Whether row i of an attention reads the keys 0 .. i alone."""
    position = ATTENTION[operation.name]
    if len(operation.arguments) > position:
        return bool(operation.arguments[position])
    return bool(operation.keywords.get("is_causal", False))


def keeps_places(operation: Operation, shape: tuple[int, ...]) -> bool:
    """Whether an `as_strided_` is the one that ends global pooling: another layout of a map of one pixel."""
    return tuple(operation.arguments[1]) == shape and all(n == 1 for n in shape[2:])


def cut(operation: Operation, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Axis, first index and step of a slice."""
    given = (*operation.arguments[1:], None, None, None, None)
    dim = (given[0] or 0) % len(shape)
    start = given[1] or 0
    start = max(start + shape[dim], 0) if start < 0 else min(start, shape[dim])
    return dim, start, (given[3] or 1) if operation.name == "aten.slice" else 1


def dropped_by_squeeze(operation: Operation, shape: tuple[int, ...]) -> set[int]:
    """Axes a squeeze takes away."""
    ndim = len(shape)
    if len(operation.arguments) == 1:
        return {d for d in range(ndim) if shape[d] == 1}
    dims = operation.arguments[1]
    return {d % ndim for d in ((dims,) if isinstance(dims, int) else dims) if shape[d % ndim] == 1}


def adaptive_rows(n: int, m: int) -> list[tuple[int, ...]]:
    """Which of `n` rows each of `m` rows is pooled from.

    Example:
        >>> adaptive_rows(5, 2)
        [(0, 1, 2), (2, 3, 4)]
    """
    return [tuple(range(i * n // m, -(-(i + 1) * n // m))) for i in range(m)]


def shape_groups(shape: tuple[int, ...], wanted: tuple[int, ...]) -> list[tuple[list[int], list[int]]]:
    """Which axes of one shape become which of another, in runs of equal size.

    Example:
        >>> shape_groups((2, 3, 4), (6, 4))
        [([0, 1], [0]), ([2], [1])]
    """
    found: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(shape) or j < len(wanted):
        old, new = [i][: len(shape) - i], [j][: len(wanted) - j]
        left, right = math.prod(shape[k] for k in old), math.prod(wanted[k] for k in new)
        i, j = i + len(old), j + len(new)
        while left != right:
            if left < right and i < len(shape):
                left *= shape[i]
                old.append(i)
                i += 1
            elif left > right and j < len(wanted):
                right *= wanted[j]
                new.append(j)
                j += 1
            else:
                break
        found.append((old, new))
    return found


@dataclasses.dataclass(frozen=True)
class Resize:
    """How an image is resized."""

    axes: int
    kind: str
    """nearest, nearest_exact, linear or cubic."""
    align_corners: bool
    antialias: bool

    @classmethod
    def of(cls, operation: Operation, n: tuple[int, ...], m: tuple[int, ...]) -> Resize | None:
        """Read an `upsample` operation; None for a scale that does not bring these sizes about exactly.

        Args:
            operation: It.
            n: Sizes before, of the axes resized.
            m: Sizes after.
        """
        name = operation.name.removeprefix("aten.").removeprefix("_")
        kind = next(
            (
                k
                for k, word in (
                    ("nearest_exact", "nearest_exact"), ("nearest", "nearest"), ("cubic", "cubic"),
                    ("linear", "linear"),
                )
                if word in name
            ),
            None,
        )  # fmt: skip
        if kind is None:
            return None
        smooth = kind in ("linear", "cubic")
        more = operation.arguments[2:]
        align = bool(more[0]) if smooth and more else False
        scales = [s for s in more[1 if smooth else 0 :] if s is not None]
        axes = len(operation.arguments[1])
        if any(abs(a * s - b) > 1e-6 for a, b, s in zip(n[-axes:], m[-axes:], scales, strict=False)):
            return None
        return cls(axes, kind, align, name.endswith("_aa"))

    def rows(self, n: int, m: int) -> tuple[int, int, list[tuple[int, ...]]]:
        """What is read along one axis of `n` rows that become `m`, without borders.

        Returns:
            After how many rows read, and how many made, it repeats; and the rows read for each made.
        """
        whole = self.align_corners and self.kind in ("linear", "cubic")
        common = 1 if whole else math.gcd(n, m)
        length, made = n // common, m // common
        return length, made, [self._read(o, n, m) for o in range(made)]

    def every(self, n: int, m: int) -> list[tuple[int, ...]]:
        """Rows read for each of `m`, as PyTorch rounds them; those outside stand for the border."""
        if self.kind not in ("nearest", "nearest_exact"):
            length, made, rows = self.rows(n, m)
            return [tuple(r + o // made * length for r in rows[o % made]) for o in range(m)]
        places = np.arange(m, dtype=np.float32) + np.float32(0.5 if self.kind == "nearest_exact" else 0)
        read = np.floor(places * (np.float32(n) / np.float32(m)))  # single precision, at times a row off
        return [(int(r),) for r in read]

    def _read(self, o: int, n: int, m: int) -> tuple[int, ...]:
        scale = Fraction(n, m)
        if self.kind == "nearest":
            return (math.floor(o * scale),)
        if self.kind == "nearest_exact":
            return (math.floor((o + Fraction(1, 2)) * scale),)
        reach = 1 if self.kind == "linear" else 2
        if self.antialias:
            stretch = max(scale, Fraction(1))
            middle, support = (o + Fraction(1, 2)) * scale, reach * stretch
            first, last = (
                math.floor(middle - support + Fraction(1, 2)),
                math.floor(middle + support + Fraction(1, 2)),
            )
            away = {r: abs((r + Fraction(1, 2) - middle) / stretch) for r in range(first, last)}
            return tuple(r for r, t in away.items() if t < reach and t != 1)  # a cubic is 0 at 1
        place = (o + Fraction(1, 2)) * scale - Fraction(1, 2)
        if self.align_corners:
            place = Fraction(o * (n - 1), m - 1) if m > 1 else Fraction(0)
        low = math.floor(place)
        if place == low:
            return (low,)
        return tuple(range(low - reach + 1, low + reach + 1))
