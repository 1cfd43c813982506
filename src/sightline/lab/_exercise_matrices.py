"""Exercises on small matrices: pooling and convolution."""

from __future__ import annotations

from typing import Any

import numpy as np

from sightline.lab._exercise import Dice, Exercise, Grid, Maker, Number, Rows, plain
from sightline.reference import (
    Slide,
    correlate,
    global_average_pool,
    kernel,
    max_pool_backward,
    relu,
    slide_kernel,
    slide_pool,
)

Matrix = Any
"""(rows, columns), of NumPy."""

_LAY = "Lay the kernel over the input:"
_ASKED = "What is the output?"


def _rows(matrix: Matrix) -> Rows:
    """Whole numbers as such."""
    return tuple(tuple(map(_whole, row)) for row in matrix.tolist())


def _whole(value: float) -> Number:
    return int(value) if value == int(value) else value


def _lines(slide: Slide) -> list[str]:
    """A line for each cell of the output, counted from 1."""
    return [f"row {step.row + 1}, column {step.column + 1}: {step.text}" for step in slide.steps()]


def _size(matrix: Matrix) -> str:
    return f"{matrix.shape[0]}x{matrix.shape[1]}"


def _slid(text: str, slide: Slide, *given: Grid) -> Exercise:
    return Exercise(text=text, given=given, answer=_rows(slide.output()), sum="\n".join(_lines(slide)))


# Pooling


def _pool(
    dice: Dice,
    sizes: tuple[tuple[int, int], ...],
    kind: str,
    window: tuple[int, int],
    stride: tuple[int, int],
) -> Exercise:
    most = 9 if window[0] * window[1] < 9 else 30  # of many numbers up to 9, the largest is 9
    source = np.array(dice.rows(*dice.of(sizes), 0, most))
    slide = slide_pool(source, kind, window, stride)
    how = {"max": "Max pooling", "avg": "Average pooling"}[kind]
    steps = f"stride {stride[0]}" if stride[0] == stride[1] else f"stride {stride[0]}x{stride[1]}"
    fits = all("->" not in text for _, text in slide.sums)
    rounded = "" if fits else "; it does not fit, and what is over at the end is left out"
    return _slid(
        f"{how} with a window of {window[0]}x{window[1]} and {steps}{rounded}. {_ASKED}",
        slide,
        Grid(title="input", rows=_rows(source)),
    )


def _max_2(dice: Dice) -> Exercise:
    return _pool(dice, ((4, 4), (4, 6), (6, 4)), "max", (2, 2), (2, 2))


def _average_2(dice: Dice) -> Exercise:
    return _pool(dice, ((4, 4), (4, 6), (2, 6)), "avg", (2, 2), (2, 2))


def _max_overlapping(dice: Dice) -> Exercise:
    return _pool(dice, ((5, 5), (5, 7), (7, 5)), "max", (3, 3), (2, 2))


def _stride_1(dice: Dice) -> Exercise:
    return _pool(dice, ((3, 3), (3, 4), (4, 4)), dice.of(("max", "avg")), (2, 2), (1, 1))


def _rectangle(dice: Dice) -> Exercise:
    window = dice.of(((1, 2), (2, 1), (2, 4), (4, 2)))
    return _pool(dice, ((4, 4), (4, 8), (8, 4)), dice.of(("max", "avg")), window, window)


def _does_not_fit(dice: Dice) -> Exercise:
    size, side = dice.of((((5, 5), 2), ((5, 7), 2), ((7, 7), 3), ((8, 7), 3)))
    kind = dice.of(("max", "avg")) if side == 2 else "max"
    return _pool(dice, (size,), kind, (side, side), (side, side))


def _global_average(dice: Dice) -> Exercise:
    height, width = dice.of(((2, 2), (2, 4), (4, 2), (2, 5)))
    maps = [np.array(dice.rows(height, width, 0, 9)) for _ in range(dice.between(2, 3))]
    means = global_average_pool(np.stack(maps)[None])[0].tolist()
    sums = [next(slide_pool(one, "avg", (height, width)).steps()).text for one in maps]
    return Exercise(
        text=f"Global average pooling of {len(maps)} channels. {_ASKED}",
        given=tuple(Grid(title=f"channel {i}", rows=_rows(one)) for i, one in enumerate(maps, 1)),
        answer={f"channel {i}": _whole(mean) for i, mean in enumerate(means, 1)},
        sum="\n".join(f"channel {i}: {text}" for i, text in enumerate(sums, 1)),
    )


def _max_backward(dice: Dice) -> Exercise:
    """Windows without ties, so that the gradient has one place to go."""
    height, width = dice.of(((4, 4), (2, 4), (4, 2), (2, 6)))
    windows = [dice.some(4, range(10)) for _ in range(height * width // 4)]
    # (rows of windows, columns of windows, 2, 2) -> (height, width)
    source = np.array(windows).reshape(height // 2, width // 2, 2, 2).swapaxes(1, 2).reshape(height, width)
    slide = slide_pool(source, "max", (2, 2))
    gradient = np.array(dice.rows(height // 2, width // 2, 1, 9))
    back = max_pool_backward(gradient[None, None], source[None, None], 2)[0, 0]
    lines = [
        f"row {step.row + 1}, column {step.column + 1}: {step.text}, which takes "
        f"{plain(gradient[step.row, step.column].item())}"
        for step in slide.steps()
    ]
    return Exercise(
        text="Max pooling with a window of 2x2 and stride 2, backwards: the input and the gradient of the "
        "output are given. What is the gradient of the input?",
        given=(Grid(title="input", rows=_rows(source)), Grid(title="gradient", rows=_rows(gradient))),
        answer=_rows(back),
        sum="\n".join(["the largest value of a window takes all of its gradient, the others none", *lines]),
    )


# Convolution


def _source(dice: Dice, height: int, width: int, most: int = 4) -> Matrix:
    return np.array(dice.rows(height, width, 0, most))


def _weights(dice: Dice, height: int, width: int) -> Matrix:
    """Small, and not all 0."""
    weights = np.array(dice.rows(height, width, -1, 2))
    weights.flat[dice.below(weights.size)] = dice.of((-2, -1, 1, 2))
    return weights


def _laid(
    text: str,
    source: Matrix,
    weights: Matrix,
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    flip: bool = False,
) -> Exercise:
    slide = slide_kernel(
        source, weights, stride=(stride, stride), padding=padding, dilation=(dilation, dilation), flip=flip
    )
    exercise = _slid(
        f"{text} {_ASKED}",
        slide,
        Grid(title="input", rows=_rows(source)),
        Grid(title="kernel", rows=_rows(weights)),
    )
    if not flip:
        return exercise
    assert slide.kernel is not None
    turned = f"turned by half a turn the kernel is {_inline(slide.kernel)}"
    return Exercise(
        text=exercise.text, given=exercise.given, answer=exercise.answer, sum=f"{turned}\n{exercise.sum}"
    )


def _inline(matrix: Matrix) -> str:
    return "; ".join(" ".join(map(plain, row)) for row in matrix.tolist())


def _kernel_2(dice: Dice) -> Exercise:
    source = _source(dice, *dice.of(((3, 3), (3, 4), (4, 3))))
    return _laid(f"{_LAY} stride 1, no padding.", source, _weights(dice, 2, 2))


def _binary(dice: Dice) -> Exercise | None:
    weights = np.array(dice.rows(3, 3, 0, 1))
    if not 3 <= weights.sum() <= 6:
        return None
    return _laid(f"{_LAY} stride 1, no padding.", _source(dice, 5, 5, 1), weights)


def _line(dice: Dice) -> Exercise:
    source = _source(dice, 1, dice.between(6, 9), 9)
    stride = dice.of((1, 1, 2))
    text = f"{_LAY} stride {stride}, no padding"
    if (source.shape[1] - 3) % stride:
        text += "; what is over at the end is left out"
    return _laid(f"{text}.", source, _weights(dice, 1, 3), stride=stride)


def _padded(dice: Dice) -> Exercise:
    return _laid(f"{_LAY} stride 1, padding 1.", _source(dice, 3, 3), _weights(dice, 3, 3), padding=1)


def _strided(dice: Dice) -> Exercise:
    side, padding = dice.of(((5, 0), (7, 0), (3, 1), (5, 1)))
    text = f"{_LAY} stride 2, padding {padding}."
    return _laid(text, _source(dice, side, side, 2), _weights(dice, 3, 3), stride=2, padding=padding)


def _named(dice: Dice) -> Exercise:
    name = dice.of(("edge-1", "edge-2", "edge-3", "sharpen", "sobel-x", "sobel-y", "prewitt-x", "prewitt-y"))
    source = np.array(dice.rows(*dice.of(((4, 4), (4, 5), (5, 4))), 0, 9))
    return _laid(f"The kernel is {name}. {_LAY} stride 1, no padding.", source, kernel(name).matrix)


def _true(dice: Dice) -> Exercise | None:
    weights = _weights(dice, 2, 2)
    if np.array_equal(weights, weights[::-1, ::-1]):
        return None
    return _laid(
        "The true convolution of the formula, which turns the kernel by half a turn first: stride 1, no "
        "padding.",
        _source(dice, *dice.of(((3, 3), (3, 4), (4, 3)))),
        weights,
        flip=True,
    )


def _dilated(dice: Dice) -> Exercise:
    side = dice.of((4, 5))
    return _laid(
        f"{_LAY} stride 1, no padding, dilation 2.",
        _source(dice, side, side),
        _weights(dice, 2, 2),
        dilation=2,
    )


def _cell(dice: Dice) -> Exercise:
    height, width, stride, padding = dice.of((5, 6, 7)), dice.of((5, 6, 7)), dice.of((1, 2)), dice.of((0, 1))
    source, weights = _source(dice, height, width), _weights(dice, 3, 3)
    slide = slide_kernel(source, weights, stride=(stride, stride), padding=padding)
    step = dice.of(list(slide.steps()))
    return Exercise(
        text=f"{_LAY} stride {stride}, padding {padding}. Which number is in row {step.row + 1}, column "
        f"{step.column + 1} of the output?",
        given=(Grid(title="input", rows=_rows(source)), Grid(title="kernel", rows=_rows(weights))),
        answer={"number": int(step.value)},
        sum=step.text,
    )


def _channels(dice: Dice) -> Exercise:
    height, width = dice.of(((3, 3), (2, 3), (3, 2)))
    sources = [_source(dice, height, width) for _ in range(2)]
    weights = [_weights(dice, 2, 2) for _ in range(2)]
    bias = dice.of((-3, -2, -1, 1, 2, 3))
    output = correlate(np.stack(sources)[None], np.stack(weights)[None], [bias])[0, 0]
    parts = [slide_kernel(*pair).output().tolist() for pair in zip(sources, weights, strict=True)]
    lines = []
    for i, row in enumerate(output.tolist()):
        for j, value in enumerate(row):
            terms = " + ".join(_signed(part[i][j]) for part in parts)
            lines.append(f"row {i + 1}, column {j + 1}: {terms} + {_signed(bias)} = {value}")
    names = [f"channel {i}: {_inline(np.array(part))}" for i, part in enumerate(parts, 1)]
    return Exercise(
        text=f"One filter over two channels, stride 1, no padding, bias {bias}. {_ASKED}",
        given=tuple(
            Grid(title=f"{what}, channel {i}", rows=_rows(matrix))
            for what, matrices in (("input", sources), ("kernel", weights))
            for i, matrix in enumerate(matrices, 1)
        ),
        answer=_rows(output),
        sum="\n".join([*names, *lines]),
    )


def _block(dice: Dice) -> Exercise | None:
    source, weights = _source(dice, *dice.of(((5, 5), (3, 5), (5, 3))), 3), _weights(dice, 2, 2)
    mapped = slide_kernel(source, weights).output()
    if mapped.min() >= 0:
        return None
    rectified = relu(mapped)
    pooled = slide_pool(rectified, "max", (2, 2))
    steps = [f"convolution: {_inline(mapped)}", f"ReLU: {_inline(rectified)}", "max pooling:"]
    return Exercise(
        text="A convolution with stride 1 and no padding, a ReLU, and max pooling with a window of 2x2 and "
        f"stride 2. {_ASKED}",
        given=(Grid(title="input", rows=_rows(source)), Grid(title="kernel", rows=_rows(weights))),
        answer=_rows(pooled.output()),
        sum="\n".join([*steps, *_lines(pooled)]),
    )


def _signed(number: int) -> str:
    return f"({number})" if number < 0 else str(number)


MAKERS: dict[str, tuple[Maker, ...]] = {
    "pooling": (
        _max_2, _average_2, _stride_1, _max_overlapping, _rectangle, _does_not_fit, _global_average,
        _max_backward,
    ),
    "convolution": (
        _cell, _line, _kernel_2, _binary, _named, _padded, _strided, _dilated, _true, _channels, _block,
    ),
}  # fmt: skip
