"""A kernel or a pooling window, sliding over one matrix, step by step and all at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from sightline.base import ArgumentError
from sightline.reference._arithmetic import window_output
from sightline.reference._design_solve import same_padding
from sightline.reference._kernels import Matrix, number_text
from sightline.reference._padding import pad as pad_maps

Pair = tuple[int, int]

_LARGEST_EXACT = 2.0**62
"""Sums of whole numbers that may come above it are computed in float64."""


@dataclass(frozen=True)
class Step:
    """One position of a window."""

    row: int
    """Of the output."""
    column: int
    window: Matrix
    """What lies under the window, padding included."""
    products: Matrix | None
    """Window times kernel; None of a pooling."""
    value: float
    text: str
    """As `1*1 + 1*0 + 1*1 = 2`."""


@dataclass(frozen=True)
class Slide:
    """A window that slides over a matrix: a kernel, or a pooling."""

    source: Matrix
    """(rows, columns), before padding."""
    size: Pair
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    pads: tuple[Pair, Pair] = ((0, 0), (0, 0))
    """Before and after, of rows and of columns."""
    mode: str = "zeros"
    """What is in the padding, as in `pad`."""
    kernel: Matrix | None = None
    """As it is laid on the matrix: already turned, for convolution."""
    pool: str = ""
    """`max` or `avg`, without a kernel."""

    def __post_init__(self) -> None:
        for positions, text in self.sums:
            if positions < 1:
                what = "kernel" if self.kernel is not None else "window"
                raise ArgumentError(
                    f"the {what}, {self.size[0]}x{self.size[1]}, is larger than the input, "
                    f"{self.source.shape[0]}x{self.source.shape[1]}"
                    f"{' with its padding' if any(map(any, self.pads)) else ''}: {text}"
                )

    @property
    def sums(self) -> tuple[tuple[int, str], tuple[int, str]]:
        """The number of rows and of columns of the output, each with its sum."""
        found = [
            window_output(n, self.size[a], self.stride[a], self.pads[a], self.dilation[a])
            for a, n in enumerate(self.source.shape)
        ]
        return (found[0].value, found[0].text), (found[1].value, found[1].text)

    def windows(self) -> Matrix:
        """Every window: (output rows, output columns, window rows, window columns), a view."""
        padded = (
            pad_maps(self.source[None, None], self.pads, self.mode)[0, 0]
            if any(map(any, self.pads))
            else self.source
        )
        reach = tuple(d * (k - 1) + 1 for k, d in zip(self.size, self.dilation, strict=True))
        every = sliding_window_view(padded, reach)
        return every[:: self.stride[0], :: self.stride[1], :: self.dilation[0], :: self.dilation[1]]

    def output(self) -> Matrix:
        """What the window makes of the matrix: (output rows, output columns); whole numbers stay whole."""
        windows = self.windows()
        if self.kernel is not None:
            laid: Matrix = np.einsum("ijkl,kl->ij", windows, self.kernel)
            return laid
        result: Matrix = windows.max(axis=(2, 3)) if self.pool == "max" else windows.mean(axis=(2, 3))
        return result

    def steps(self) -> Iterator[Step]:
        """Every position, row by row."""
        windows = self.windows()
        for row in range(windows.shape[0]):
            for column in range(windows.shape[1]):
                yield self._step(row, column, windows[row, column])

    def _step(self, row: int, column: int, window: Matrix) -> Step:
        cells = [number_text(v) for v in window.ravel().tolist()]
        if self.kernel is not None:
            products = window * self.kernel
            value = products.sum().item()
            weights = [number_text(v) for v in self.kernel.ravel().tolist()]
            terms = [f"{_bracket(c)}*{_bracket(w)}" for c, w in zip(cells, weights, strict=True)]
            return Step(row, column, window, products, value, f"{' + '.join(terms)} = {number_text(value)}")
        if self.pool == "max":
            value = window.max().item()
            return Step(row, column, window, None, value, f"max({', '.join(cells)}) = {number_text(value)}")
        value = window.mean().item()
        total = " + ".join(map(_bracket, cells))
        return Step(row, column, window, None, value, f"({total})/{len(cells)} = {number_text(value)}")


def slide_kernel(
    source: Matrix,
    kernel: Matrix,
    *,
    stride: Pair = (1, 1),
    dilation: Pair = (1, 1),
    padding: str | int | Pair = 0,
    flip: bool = False,
) -> Slide:
    """A kernel over a matrix, as a convolutional layer has it, or turned, as the formula has it.

    Args:
        source: (rows, columns).
        kernel: (rows, columns).
        stride: Rows and columns from one position to the next.
        dilation: Rows and columns from one tap to the next.
        padding: A number, one for rows and one for columns, `valid`, `same` (with zeros), or a mode of `pad`
            (`reflect`, `replicate`, `circular`, `zeros`), which is `same` with that in it; `reflect:2` is a
            padding of 2.
        flip: Convolve, rather than correlate: turn the kernel by half a turn.

    Raises:
        ArgumentError: if the kernel does not fit, or the padding is unknown.

    Example:
        >>> slide_kernel(np.array([[1, 2, 4]]), np.array([[1, 0]])).output().tolist()
        [[1, 2]]
    """
    size = (kernel.shape[0], kernel.shape[1])
    mode, pads = _pads(padding, source.shape, size, stride, dilation)
    laid = kernel[::-1, ::-1] if flip else kernel
    if float(np.abs(source).max()) * float(np.abs(kernel).sum()) > _LARGEST_EXACT:
        source, laid = source.astype(np.float64), laid.astype(np.float64)
    return Slide(source, size, stride, dilation, pads, mode, kernel=laid)


def slide_pool(source: Matrix, kind: str, size: Pair, stride: Pair | None = None) -> Slide:
    """A pooling window over a matrix.

    Args:
        source: (rows, columns).
        kind: `max` or `avg`.
        size: Rows and columns of the window.
        stride: From one position to the next. None: the size, so that windows do not overlap.

    Raises:
        ArgumentError: if the window does not fit, or the kind is unknown.

    Example:
        >>> slide_pool(np.array([[4, 3], [1, 3]]), "max", (2, 2)).output().tolist()
        [[4]]
    """
    if kind not in ("max", "avg"):
        raise ArgumentError(f"a pooling is max or avg; it is {kind!r}")
    return Slide(source, size, stride or size, pool=kind)


def _pads(
    padding: str | int | Pair, shape: Sequence[int], size: Pair, stride: Pair, dilation: Pair
) -> tuple[str, tuple[Pair, Pair]]:
    """What is in the padding, and how much of it on each side."""
    if not isinstance(padding, str):
        rows, columns = (padding, padding) if isinstance(padding, int) else padding
        return "zeros", ((rows, rows), (columns, columns))
    mode, colon, amount = padding.partition(":")
    modes = ("zeros", "reflect", "replicate", "circular")
    if mode == "valid" and not colon:
        return "zeros", ((0, 0), (0, 0))
    if (mode != "same" or colon) and (mode not in modes or (colon and not amount.isdigit())):
        raise ArgumentError(
            f"--pad is {padding!r}; it must be a number, valid, same, or {', '.join(modes)} (same, with that "
            "in it; reflect:2 is 2 of it)"
        )
    if colon:
        return mode, ((int(amount), int(amount)), (int(amount), int(amount)))
    same = [same_padding(n, size[a], stride[a], dilation[a]) for a, n in enumerate(shape)]
    return mode if mode in modes else "zeros", (same[0], same[1])


def _bracket(number: str) -> str:
    return f"({number})" if number.startswith("-") else number
