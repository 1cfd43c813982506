"""The classic kernels, matrices as text, and a filter fast enough for a photograph."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.base import ArgumentError, did_you_mean

Matrix = NDArray[Any]

_ROWS_AT_ONCE = 32
"""Rows filtered together: so few that what is added up stays in the processor's cache."""
_NUMPY_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
_LARGEST = 1e12
"""The largest number of a matrix: beyond it sums of products are no longer exact in float64."""


@dataclass(frozen=True)
class Kernel:
    """A kernel with its name."""

    name: str
    matrix: Matrix
    """(rows, columns), as it is laid on the image: whole numbers, or float64."""
    what: str
    """What it does, in a few words."""
    divisor: int = 1
    """The matrix is `matrix * divisor` in whole numbers, where that is nicer to print."""

    @property
    def text(self) -> str:
        """The matrix as one writes it: `1/9 * [[1,1,1],[1,1,1],[1,1,1]]`."""
        if self.divisor == 1:
            return matrix_text(self.matrix)
        whole = np.rint(self.matrix * self.divisor).astype(np.int64)
        return f"1/{self.divisor} * {matrix_text(whole)}"

    @property
    def is_symmetric(self) -> bool:
        """Whether a half turn leaves it as it is, so that convolution and cross-correlation agree."""
        return bool(np.array_equal(self.matrix, self.matrix[::-1, ::-1]))


# The table of the lecture, "Simple Kernels / Filters", row by row. Its three edge kernels share one label;
# sharpen stands among them without a label of its own.
LECTURE_KERNELS = ("identity", "edge-1", "edge-2", "edge-3", "sharpen", "box", "gaussian")

_TABLE = {
    "identity": ([[0, 0, 0], [0, 1, 0], [0, 0, 0]], 1, "leaves the image as it is"),
    "edge-1": ([[1, 0, -1], [0, 0, 0], [-1, 0, 1]], 1, "edges: diagonal corners against each other"),
    "edge-2": ([[0, 1, 0], [1, -4, 1], [0, 1, 0]], 1, "edges: four neighbours against the middle"),
    "edge-3": ([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]], 1, "edges: the middle against eight neighbours"),
    "sharpen": ([[0, -1, 0], [-1, 5, -1], [0, -1, 0]], 1, "identity minus edge-2"),
    "box": ([[1, 1, 1], [1, 1, 1], [1, 1, 1]], 9, "blur: the mean of the window; box:5, box:2x4"),
    "gaussian": ([[1, 2, 1], [2, 4, 2], [1, 2, 1]], 16, "blur, nearer pixels more; gaussian:5, gaussian:4"),
    "sobel-x": ([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], 1, "rise from left to right"),
    "sobel-y": ([[-1, -2, -1], [0, 0, 0], [1, 2, 1]], 1, "rise from top to bottom"),
    "prewitt-x": ([[-1, 0, 1], [-1, 0, 1], [-1, 0, 1]], 1, "rise from left to right, rows alike"),
    "prewitt-y": ([[-1, -1, -1], [0, 0, 0], [1, 1, 1]], 1, "rise from top to bottom, columns alike"),
    "laplacian": ([[0, 1, 0], [1, -4, 1], [0, 1, 0]], 1, "sum of second differences; it is edge-2"),
    "emboss": ([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]], 1, "light from the top left"),
}

KERNEL_NAMES = tuple(_TABLE)

# What the lecture works by hand: an input, and the kernel on its slide. Of `lecture-8x8` the slide gives the
# sizes alone (8x8, kernel 3x3, padding valid): a vertical edge stands in.
EXAMPLES: dict[str, tuple[list[list[int]], list[list[int]] | None]] = {
    "lecture-5x5": (
        [[1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0]],
        [[1, 0, 1], [0, 1, 0], [1, 0, 1]],
    ),
    "lecture-pool": ([[4, 3, 1, 5], [1, 3, 4, 8], [4, 5, 4, 3], [6, 5, 9, 4]], None),
    "lecture-8x8": ([[0, 0, 0, 0, 9, 9, 9, 9]] * 8, [[-1, 0, 1]] * 3),
}


def kernel(text: str) -> Kernel:
    """A kernel by its name, or from a matrix as text.

    Args:
        text: One of `KERNEL_NAMES`; `box:5`, `box:2x4` (the mean) or `gaussian:5` (binomial) of any size; or
            a matrix as `read_matrix` takes it.

    Raises:
        ArgumentError: if it is neither.

    Example:
        >>> kernel("gaussian:2").text
        '1/4 * [[1,1],[1,1]]'
        >>> kernel("1/2*1,1;-1,-1").matrix.tolist()
        [[0.5, 0.5], [-0.5, -0.5]]
    """
    name, colon, size_text = text.strip().lower().partition(":")
    if colon and name in ("box", "gaussian"):
        return _sized(name, size_text, text)
    if text.strip().lower() in _TABLE:
        rows, divisor, what = _TABLE[name]
        whole = np.array(rows)
        return Kernel(name, whole / divisor if divisor > 1 else whole, what, divisor)
    if looks_like_matrix(text):
        given = read_matrix(text, "KERNEL")
        return Kernel("matrix", given, "as given", _divisor(given))
    hint = did_you_mean(name, _TABLE)
    raise ArgumentError(f"KERNEL is {text!r}; it must be a name, or a matrix as '1,2;3,4'; {hint}")


def looks_like_matrix(text: str) -> bool:
    """Whether a text is meant as a matrix rather than as a name or a path."""
    return bool(re.fullmatch(r"[\d\s.,;:\[\]()/*+eE-]+|.*;.*|\s*\[.*", text)) and any(
        c in text for c in "0123456789[;"
    )


def read_matrix(text: str, argument: str) -> Matrix:
    r"""Read a matrix: `1,2,3;4,5,6` or `[[1,2,3],[4,5,6]]`, fractions allowed, a factor before it.

    Args:
        text: What came.
        argument: What it is called in an error.

    Returns:
        (rows, columns), int64 where every number is whole, else float64.

    Raises:
        ArgumentError: if it is no matrix of finite numbers.

    Example:
        >>> read_matrix("1,2;3,4", "INPUT").tolist()
        [[1, 2], [3, 4]]
        >>> read_matrix("1/2 * [[1, 3]]", "INPUT").tolist()
        [[0.5, 1.5]]
    """
    factor_text, star, body = text.rpartition("*")
    factor = _number(factor_text.strip(), argument) if star else Fraction(1)
    body = body.strip()
    row_texts = _bracketed(body, argument) if body.startswith("[") else body.strip(";").split(";")
    rows = [
        [_number(cell.strip(), argument) * factor for cell in re.split(r"\s*,\s*|\s+", row.strip())]
        for row in row_texts
    ]
    for number, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise ArgumentError(
                f"{argument} is no matrix: row 1 has {len(rows[0])} numbers and row {number} has {len(row)}"
            )
    if all(value.denominator == 1 for row in rows for value in row):
        return np.array([[int(value) for value in row] for row in rows], dtype=np.int64)
    return np.array([[float(value) for value in row] for row in rows])


def matrix_text(matrix: Matrix) -> str:
    """A matrix as one line of text: `[[1,2],[3,4]]`; a number that is not whole has up to 6 digits.

    Example:
        >>> matrix_text(np.array([[1.0, 2.5]]))
        '[[1,2.5]]'
    """
    return "[" + ",".join(f"[{','.join(map(number_text, row))}]" for row in matrix.tolist()) + "]"


def number_text(value: float) -> str:
    """A number as one writes it by hand: up to 6 digits behind the point where it is not whole."""
    return f"{value:.6g}" if value != int(value) and abs(value) < 1e5 else f"{value:.12g}"


def filter_image(
    image: NDArray[Any], kernel: Matrix, *, padding: str = "reflect", flip: bool = False
) -> NDArray[np.float32]:
    """Lay a kernel on every pixel of an image, each channel for itself.

    Computed in float32: a shifted copy of the image is added for each weight that is not 0; where the matrix
    is a column times a row, the column first and then the row.

    Args:
        image: The pixels.
        kernel: The weights. Of an even size, the pixel lies under the last weight before the middle.
        padding: What is beyond the image: `zeros`, `reflect`, `replicate` or `circular`, as in `pad`; `valid`
            keeps to the image, and gives a smaller one.
        flip: Convolve, rather than correlate: turn the kernel by half a turn.

    Shape:
        (H, W) or (H, W, C), (rows, columns) -> as the image; with `valid` smaller by the kernel less 1.

    Raises:
        ArgumentError: if the kernel is larger than the image, or the padding is unknown.

    Example:
        >>> filter_image(np.array([[0, 9, 0]]), np.array([[1, 0, 0]]), padding="zeros").tolist()
        [[0.0, 0.0, 9.0]]
    """
    weights = np.asarray(kernel, np.float64)
    if flip:
        weights = weights[::-1, ::-1]
    rows, columns = weights.shape
    if rows > image.shape[0] or columns > image.shape[1]:
        raise ArgumentError(
            f"the kernel, {rows}x{columns}, is larger than the image, {image.shape[0]}x{image.shape[1]}"
        )
    if padding not in _NUMPY_MODES and padding != "valid":
        raise ArgumentError(
            f"padding is {padding!r}; it must be one of {', '.join([*_NUMPY_MODES, 'valid'])}"
        )
    if padding != "valid":
        pads = [((k - 1) // 2, k // 2) for k in weights.shape]
        mode = _NUMPY_MODES[padding]
        image = np.pad(image, [*pads, *[(0, 0)] * (image.ndim - 2)], mode=mode)  # type: ignore[call-overload]
    return _laid(image, weights)


def _laid(padded: NDArray[Any], weights: NDArray[np.float64]) -> NDArray[np.float32]:
    """The kernel at every position inside the padded image, a few rows at a time."""
    rows, columns = weights.shape
    height, width = padded.shape[0] - rows + 1, padded.shape[1] - columns + 1
    step = math.prod(padded.shape[2:])  # from one pixel to the next in a row of numbers
    lines = np.ascontiguousarray(padded).reshape(padded.shape[0], -1)
    output = np.empty((height, width * step), np.float32)
    column, row = _separated(weights)
    scratch = np.empty((_ROWS_AT_ONCE, lines.shape[1]), np.float32)
    for top in range(0, height, _ROWS_AT_ONCE):
        count = min(_ROWS_AT_ONCE, height - top)
        block = lines[top : top + count + rows - 1].astype(np.float32)
        if column is not None and row is not None:
            block = _added([(block[i : i + count], w) for i, w in enumerate(column)], scratch[:count])
            taps = [(block[:, j * step : (j + width) * step], w) for j, w in enumerate(row)]
        else:
            taps = [
                (block[i : i + count, j * step : (j + width) * step], weights[i, j])
                for i in range(rows)
                for j in range(columns)
            ]
        output[top : top + count] = _added(taps, scratch[:count, : width * step])
    return output.reshape(height, width, *padded.shape[2:])


def _added(
    taps: list[tuple[NDArray[np.float32], float]], scratch: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The sum of arrays, each times its weight."""
    total = np.zeros_like(scratch)
    for values, weight in taps:
        if weight == 1:
            total += values
        elif weight != 0:
            np.multiply(values, np.float32(weight), out=scratch)
            total += scratch
    return total


def _separated(weights: NDArray[np.float64]) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """A column and a row whose product is the matrix; None where there is none, or it would not pay."""
    largest = np.unravel_index(np.abs(weights).argmax(), weights.shape)
    if min(weights.shape) == 1 or weights[largest] == 0:
        return None, None
    column, row = weights[:, largest[1]], weights[largest[0]] / weights[largest]
    exact = np.allclose(np.outer(column, row), weights, rtol=1e-12, atol=1e-12 * abs(weights[largest]))
    pays = np.count_nonzero(column) + np.count_nonzero(row) < np.count_nonzero(weights)
    return (column, row) if exact and pays else (None, None)


def _sized(name: str, size_text: str, text: str) -> Kernel:
    if not re.fullmatch(r"\d{1,3}(x\d{1,3})?", size_text) or "0" in size_text.split("x"):
        raise ArgumentError(f"KERNEL is {text!r}; a size is a number from 1 to 999, or two as {name}:3x5")
    sizes = [int(part) for part in size_text.split("x")]
    if min(sizes) < 1 or (name == "gaussian" and max(sizes) > 31):
        most = 31 if name == "gaussian" else 999
        raise ArgumentError(f"KERNEL is {text!r}; a {name} has a size from 1 to {most}")
    lines = [
        [math.comb(n - 1, i) if name == "gaussian" else 1 for i in range(n)] for n in (sizes[0], sizes[-1])
    ]
    whole = np.outer(*map(np.array, lines))
    divisor = int(whole.sum())
    return Kernel(text.strip().lower(), whole / divisor, _TABLE[name][2].partition(";")[0], divisor)


def _divisor(matrix: Matrix) -> int:
    """The smallest number up to 1024 that makes a matrix whole; 1 where there is none."""
    for divisor in range(1, 1025):
        if np.allclose(matrix * divisor, np.rint(matrix * divisor), rtol=0, atol=1e-9):
            return divisor
    return 1


def _bracketed(body: str, argument: str) -> list[str]:
    """The rows of `[[1,2],[3,4]]`, or the one of `[1,2]`."""
    compact = re.sub(r"\s*([\[\],])\s*", r"\1", body)
    if re.fullmatch(r"\[[^\[\]]+\]", compact):
        return [compact[1:-1]]
    if not re.fullmatch(r"\[\[[^\[\]]+\](,\[[^\[\]]+\])*,?\]", compact):
        raise ArgumentError(
            f"{argument} is no matrix: its brackets do not fit; write [[1,2],[3,4]] or '1,2;3,4'"
        )
    return compact.rstrip(",]").removeprefix("[[").split("],[")


def _number(text: str, argument: str) -> Fraction:
    """A whole number, a decimal one, or a fraction, exactly."""
    if not re.fullmatch(r"[+-]?(\d+/\d+|(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,2})?)", text):
        if re.fullmatch(r"[+-]?(nan|inf(inity)?)", text, re.IGNORECASE):
            raise ArgumentError(f"{argument} has a {text}; its numbers must be finite")
        shown = repr(text) if text else "an empty place"
        raise ArgumentError(
            f"{argument} is no matrix: {shown} is no number; write [[1,2],[3,4]] or '1,2;3,4'"
        )
    if re.search(r"/0+$", text):
        raise ArgumentError(f"{argument} has {text!r}, a division by zero")
    value = Fraction(text)
    if abs(value) > _LARGEST:
        raise ArgumentError(f"{argument} has {text!r}; its numbers must lie within ±1e12")
    return value
