"""Which input rows a row of a tensor sees: the algebra of one axis.

An `Axis` says, for every index along one axis of a tensor, the first and the last row of the input that an
element there can depend on. Layers repeat themselves, so a few entries and an advance say it for every index,
inside the tensor and beyond its borders: padding counts as if the image went on.
"""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction

Span = tuple[int, int]
"""First and last row, both included."""


@dataclasses.dataclass(frozen=True, slots=True)
class Axis:
    """Spans of every index along one axis of a tensor."""

    source: int
    """Which axis of the input: counted over the spatial axes of all inputs."""
    spans: tuple[Span | None, ...]
    """Of indices 0 .. len - 1; None where an element depends on no pixel."""
    advance: int
    """Rows the spans move by as the index grows by `len(spans)`; 0 where every index sees the same."""

    def __getitem__(self, index: int) -> Span | None:
        times, phase = divmod(index, len(self.spans))
        span = self.spans[phase]
        return None if span is None else (span[0] + times * self.advance, span[1] + times * self.advance)

    @property
    def jump(self) -> Fraction:
        """Rows of the input from one index to the next."""
        return Fraction(self.advance, len(self.spans))

    @property
    def size(self) -> int:
        """Rows an element sees, at most."""
        return max((hi - lo + 1 for lo, hi in (s for s in self.spans if s is not None)), default=0)

    @property
    def centre(self) -> Fraction | None:
        """Middle of what index 0 sees, in rows of the input; 0 is the middle of its first pixel."""
        span = self.spans[0]
        return None if span is None else Fraction(span[0] + span[1], 2)

    def over(self, length: int) -> Span | None:
        """What all indices below `length` see together."""
        if length <= 0:
            return None
        ends = {*range(min(length, len(self.spans))), *range(max(0, length - len(self.spans)), length)}
        return hull(*(self[i] for i in ends))


def identity(source: int) -> Axis:
    """The axis of the input itself."""
    return Axis(source, ((0, 0),), 1)


def constant(source: int, span: Span | None) -> Axis:
    """An axis along which every index sees the same."""
    return Axis(source, (span,), 0)


def hull(*spans: Span | None) -> Span | None:
    """The span from the first of all rows to the last."""
    there = [s for s in spans if s is not None]
    return (min(lo for lo, _ in there), max(hi for _, hi in there)) if there else None


def _simplest(source: int, spans: list[Span | None], advance: int) -> Axis:
    """The same axis with the shortest period."""
    n = len(spans)
    for period in (d for d in range(1, n) if n % d == 0 and advance * d % n == 0):
        step = advance * period // n
        if all(_shifted(spans[i - period], step) == spans[i] for i in range(period, n)):
            return Axis(source, tuple(spans[:period]), step)
    return Axis(source, tuple(spans), advance)


def _shifted(span: Span | None, by: int) -> Span | None:
    return None if span is None else (span[0] + by, span[1] + by)


def window(axis: Axis, kernel: int, stride: int, padding: int, dilation: int = 1) -> Axis:
    """After a window slides over it: convolution, pooling, slicing, padding (a window of 1)."""
    n = len(axis.spans)
    period = n // math.gcd(n, stride)
    spans = [
        hull(*(axis[i * stride - padding + dilation * tap] for tap in range(kernel))) for i in range(period)
    ]
    return _simplest(axis.source, spans, axis.advance * (stride * period) // n)


def transposed_window(axis: Axis, kernel: int, stride: int, padding: int, dilation: int = 1) -> Axis:
    """After a transposed convolution: o is reached from i where o = i*stride - padding + dilation*tap."""
    n = len(axis.spans)
    spans = []
    for o in range(n * stride):
        reached = [(o + padding - dilation * tap) for tap in range(kernel)]
        spans.append(hull(*(axis[r // stride] for r in reached if r % stride == 0)))
    return _simplest(axis.source, spans, axis.advance)


def resampled(axis: Axis, length: int, new_length: int, *, rows: list[tuple[int, ...]]) -> Axis:
    """After index i reads `rows[i]`, given for one period.

    Args:
        axis: Of what is read.
        length: Indices after which the reading repeats, in what is read.
        new_length: Indices after which it repeats, in the result; as many as `rows` has entries.
        rows: Indices read.
    """
    n = len(axis.spans)
    repeats = n // math.gcd(n, length)
    spans = [
        hull(*(axis[i + r * length] for i in rows[k])) for r in range(repeats) for k in range(new_length)
    ]
    return _simplest(axis.source, spans, axis.advance * (length * repeats) // n)


def union(first: Axis, second: Axis, length: int) -> Axis:
    """What either sees, index by index; all rows together where one sees the same everywhere.

    Where they do not advance alike (a resize that aligns corners beside a skip), every index of the axis is
    listed, and beyond its ends it goes on at the first's pace: there, sizes may be a row too large.

    Args:
        first: Of one source, as the other.
        second: The other.
        length: Indices of the axis.
    """
    if first == second:
        return first
    if first.advance and second.advance and first.jump != second.jump:
        spans = [hull(first[i], second[i]) for i in range(length)]
        return Axis(first.source, tuple(spans), round(first.jump * length))
    if first.jump != second.jump:
        return constant(first.source, hull(first.over(length), second.over(length)))
    n = math.lcm(len(first.spans), len(second.spans))
    spans = [hull(first[i], second[i]) for i in range(n)]
    return _simplest(first.source, spans, first.advance * n // len(first.spans))
