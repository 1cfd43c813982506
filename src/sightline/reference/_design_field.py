"""How much of the input one value sees, carried from layer to layer."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from sightline.reference._arithmetic import field_after

Reach = list[tuple[int, int] | None]
"""For every position along an axis, the first and the last input row it sees."""


class Field:
    """The receptive field and the jump, in input rows (and columns), behind the layers so far.

    Behind windows it is the formula, which counts rows of padding too. Behind a transposed convolution
    positions differ, so there the rows are counted, and the position that sees most of them is told.

    Args:
        size: Of the input, a number an axis.
        counted: Whether a transposed convolution will come.
    """

    def __init__(self, size: Sequence[int], *, counted: bool) -> None:
        self.value = tuple(1 for _ in size)
        self.jump = tuple(Fraction(1) for _ in size)
        self.text = ""
        """How the value comes about; empty where the layer leaves it."""
        self._reach: list[Reach] = [[(row, row) for row in range(n)] for n in size] if counted else []
        self._transposed = False
        self._flattened: tuple[int, ...] = ()

    def keep(self) -> None:
        """Pass a layer that works on each position alone."""
        self.text = ""

    def slide(
        self,
        size: Sequence[int],
        output: Sequence[int],
        kernel: Sequence[int],
        stride: Sequence[int],
        padding: Sequence[tuple[int, int]],
        dilation: Sequence[int],
    ) -> None:
        """Pass a window."""
        if self._reach:
            for axis, n in enumerate(size):
                taken = [
                    [
                        o * stride[axis] - padding[axis][0] + dilation[axis] * tap
                        for tap in range(kernel[axis])
                    ]
                    for o in range(output[axis])
                ]
                self._reach[axis] = [self._joined(axis, [i for i in t if 0 <= i < n]) for t in taken]
        if self._transposed:
            self._count()
        else:
            sums = [
                field_after(self.value[a], int(self.jump[a]), kernel[a], dilation[a])
                for a in range(len(size))
            ]
            self.value = tuple(s.value for s in sums)
            self.text = "; ".join(dict.fromkeys(s.text for s in sums))
        self.jump = tuple(j * s for j, s in zip(self.jump, stride, strict=True))

    def transpose(
        self,
        size: Sequence[int],
        output: Sequence[int],
        kernel: Sequence[int],
        stride: Sequence[int],
        padding: Sequence[tuple[int, int]],
        dilation: Sequence[int],
    ) -> None:
        """Pass a transposed convolution."""
        for axis, n in enumerate(size):
            given: list[list[int]] = [[] for _ in range(output[axis])]
            for i in range(n):
                for tap in range(kernel[axis]):
                    o = i * stride[axis] - padding[axis][0] + dilation[axis] * tap
                    if 0 <= o < output[axis]:
                        given[o].append(i)
            self._reach[axis] = [self._joined(axis, rows) for rows in given]
        self._transposed = True
        self._count()
        self.jump = tuple(j / s for j, s in zip(self.jump, stride, strict=True))

    def flatten(self, size: Sequence[int]) -> None:
        """Pass `flatten`: every value still sees what it saw; a fully connected layer will see all."""
        self._flattened = tuple(size) or self._flattened

    def take_whole(self, size: Sequence[int]) -> None:
        """Pass a layer that sees the whole map at once: a window as large as the map."""
        size, self._flattened = size or self._flattened, ()
        if size:
            nothing = [(0, 0)] * len(size)
            ones = [1] * len(size)
            self.slide(size, ones, size, ones, nothing, ones)

    def _joined(self, axis: int, rows: Sequence[int]) -> tuple[int, int] | None:
        seen = [reach for row in rows if (reach := self._reach[axis][row]) is not None]
        return (min(first for first, _ in seen), max(last for _, last in seen)) if seen else None

    def _count(self) -> None:
        self.value = tuple(
            max((r[1] - r[0] + 1 for r in reach if r is not None), default=0) for reach in self._reach
        )
        counts = " x ".join(dict.fromkeys(map(str, self.value)))
        self.text = f"{counts}, counted at the position that sees most of the input"
