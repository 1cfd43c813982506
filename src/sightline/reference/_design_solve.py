"""What `?` stands for: paddings, kernels, strides and input sizes for which a layer comes out."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sightline.base import ArgumentError
from sightline.reference._arithmetic import Sum, transposed_output, window_output
from sightline.reference._design_words import Axis, Shape, Word

LARGEST_INPUT = 2048
"""The largest input size tried."""
_TOLD = 8
"""Of many solutions, as many are told."""


@dataclass(frozen=True)
class Fixed:
    """A window with every number known, one an axis."""

    text: str
    kind: str
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    output_padding: tuple[int, ...]
    ceil: bool

    def output(self, n: int, axis: int) -> Sum:
        """The size that an input of `n` along an axis becomes."""
        kernel, stride, dilation = self.kernel[axis], self.stride[axis], self.dilation[axis]
        pads = self.padding[axis]
        if self.kind == "tconv":
            return transposed_output(n, kernel, stride, pads[0], self.output_padding[axis], dilation)
        return window_output(n, kernel, stride, pads, dilation, ceil=self.ceil)

    def span(self, n: int, axis: int) -> int:
        """How far the window can move; negative where it is larger than the padded input."""
        return n + sum(self.padding[axis]) - self.dilation[axis] * (self.kernel[axis] - 1) - 1

    def comes_out(self, n: int, axis: int) -> bool:
        """Whether the stride fits."""
        if self.kind == "tconv":
            return self.output(n, axis).value >= 1
        return self.span(n, axis) >= 0 and self.span(n, axis) % self.stride[axis] == 0


def same_padding(n: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """The padding of `same`: the output is the input divided by the stride, rounded up.

    The odd one goes to the end, as in TensorFlow and, at stride 1, in PyTorch.

    Example:
        >>> same_padding(32, 5, 2, 1)
        (1, 2)
    """
    extent = dilation * (kernel - 1) + 1
    total = max(0, ((n - 1) // stride) * stride + extent - n)
    return total // 2, total - total // 2


def solve(where: str, word: Word, size: Sequence[int]) -> tuple[Fixed, str]:
    """Give every axis its numbers, and find the one that `?` stands for.

    Returns:
        The window, and what was found, in words; empty where nothing was asked.

    Raises:
        ArgumentError: if nothing fits, or there are more numbers than axes.
    """
    fixed, unknown = _fixed(where, word, size), _unknown(word)
    if not unknown:
        return fixed, ""
    wanted = _per_axis(where, word.wanted, len(size), "wanted size")
    choices = [_choices(fixed, unknown, n, axis, wanted and wanted[axis]) for axis, n in enumerate(size)]
    goal = f"makes {' x '.join(map(str, wanted))}" if wanted else "makes the stride come out"
    for axis, found in enumerate(choices):
        if not found:
            raise ArgumentError(f"{where}: no {unknown} {goal} of an input of {size[axis]}")
    common = [choice for choice in choices[0] if all(choice in other for other in choices)]
    chosen = [common[0]] * len(size) if common else [found[0] for found in choices]
    texts = [_text(choice) for choice in chosen]
    text = texts[0] if len(set(texts)) == 1 else "x".join(texts)
    others = common[1:] if common else []
    solved = f"{unknown} {text}"
    if others:
        told = ", ".join(map(_text, others[: _TOLD - 1]))
        solved += f" (also fit: {told}{', ...' if len(others) >= _TOLD else ''})"
    elif common:
        solved += " (the only one that fits)"
    if unknown == "padding" and "/" in text:
        solved += "; before/after, as none alike on both sides fits"
        if wanted and (near := _rounding(fixed, size, wanted)):
            solved += f" (PyTorch's habit: {near}, which gives it by rounding down)"
    exact = all(_with(fixed, unknown, chosen[axis], axis).comes_out(n, axis) for axis, n in enumerate(size))
    if not exact:
        solved += "; by rounding down, as none fits exactly"
    for axis, choice in enumerate(chosen):
        fixed = _with(fixed, unknown, choice, axis)
    filled = re.sub(r"(?<=[:,ksp])[?_](?=[,=]|$)", text, word.text)
    return dataclasses.replace(fixed, text=filled), solved


def _rounding(fixed: Fixed, size: Sequence[int], wanted: Sequence[int]) -> int | None:
    """The smallest padding, alike on all sides, that gives the wanted size by rounding down."""
    for padding in range(max(fixed.kernel)):
        tried = dataclasses.replace(fixed, padding=((padding, padding),) * len(size))
        if all(tried.output(n, axis).value == wanted[axis] for axis, n in enumerate(size)):
            return padding
    return None


def fix(fixed: Fixed, n: int, axis: int, wanted: int | None = None) -> str:
    """What would make a window fit an input of `n`, or give the size wanted."""
    if wanted is not None:
        ways = [
            f"{unknown} {_text(found[0])}"
            for unknown in ("padding", "kernel", "stride")
            if (found := _choices(fixed, unknown, n, axis, wanted))
        ]
        return f"{' or '.join(ways)} gives it" if ways else "no padding, kernel or stride alone gives it"
    if fixed.kind == "tconv":
        return "use a smaller padding"
    missing = -fixed.span(n, axis)
    kernel = (n + sum(fixed.padding[axis]) - 1) // fixed.dilation[axis] + 1
    ways = [f"use padding {fixed.padding[axis][0] + -(-missing // 2)}"]
    if kernel >= 1:
        ways.append(f"a kernel of {kernel} or less")
    return f"{', '.join(ways)}, or an input of {n + missing} or more instead of {n}"


def solve_input(shape: Shape, words: Sequence[Word]) -> tuple[tuple[int, ...], str]:
    """The smallest input for which every stride comes out and every wanted size is met.

    Raises:
        ArgumentError: if there is none up to `LARGEST_INPUT`.
    """
    if any(_unknown(word) for word in words):
        raise ArgumentError("either the input or numbers of layers can be solved for, not both")
    axes = len(shape.size)
    for exact in (True, False):
        found = [n for n in range(1, LARGEST_INPUT + 1) if _passes(n, axes, words, exact)]
        if found:
            break
    else:
        raise ArgumentError(f"no input up to {LARGEST_INPUT} x {LARGEST_INPUT} gives the sizes wanted")
    told = ", ".join(map(str, found[1:_TOLD]))
    solved = f"input size {found[0]}" + (
        f" (also fit: {told}{', ...' if len(found) > _TOLD else ''})" * bool(told)
    )
    return (found[0],) * axes, solved + ("" if exact else "; by rounding down, as none fits exactly")


def _passes(n: int, axes: int, words: Sequence[Word], exact: bool) -> bool:
    sides = [n] * axes
    for number, word in enumerate(words, 1):
        if word.kind in ("flatten", "fc"):
            return True
        if word.kind == "gap":
            sides = [1] * axes
        if word.kind not in ("conv", "depthwise", "tconv", "pool", "avgpool"):
            continue
        where = f"layer {number}, {word.text}"
        fixed = _fixed(where, word, sides)
        wanted = _per_axis(where, word.wanted, axes, "wanted size")
        for axis, side in enumerate(sides):
            if not fixed.comes_out(side, axis) and (exact or fixed.span(side, axis) < 0):
                return False
            sides[axis] = fixed.output(side, axis).value
            if wanted is not None and sides[axis] != wanted[axis]:
                return False
    return True


def _fixed(where: str, word: Word, size: Sequence[int]) -> Fixed:
    """A window for `size`; a number still unknown is 1, or no padding."""
    axes = len(size)
    kernel = _known(_per_axis(where, word.kernel, axes, "kernel"))
    stride = _known(_per_axis(where, word.stride, axes, "stride"))
    dilation = _per_axis(where, word.dilation, axes, "dilation")
    if word.padding is None:
        padding = tuple(same_padding(n, kernel[a], stride[a], dilation[a]) for a, n in enumerate(size))
    else:
        padding = tuple(pad or (0, 0) for pad in _per_axis(where, word.padding, axes, "padding"))
    extra = _per_axis(where, word.output_padding, axes, "output padding")
    if word.kind == "tconv":
        for axis in range(axes):
            if extra[axis] and extra[axis] >= max(stride[axis], dilation[axis]):
                raise ArgumentError(
                    f"{where}: an output padding of {extra[axis]} must be smaller than the stride or the "
                    f"dilation, {stride[axis]} and {dilation[axis]}"
                )
    return Fixed(word.text, word.kind, kernel, stride, padding, dilation, extra, word.ceil)


def _unknown(word: Word) -> str:
    if None in word.kernel:
        return "kernel"
    if None in word.stride:
        return "stride"
    return "padding" if word.padding is not None and None in word.padding else ""


def _known(values: tuple[Axis, ...]) -> tuple[int, ...]:
    return tuple(1 if value is None else value for value in values)


def _per_axis(where: str, values: Any, axes: int, what: str) -> Any:
    """One value an axis."""
    if values is None or len(values) == axes:
        return values
    if len(values) == 1:
        return tuple(values) * axes
    raise ArgumentError(f"{where}: the {what} has {len(values)} numbers; a signal has one axis")


def _choices(fixed: Fixed, unknown: str, n: int, axis: int, wanted: int | None) -> list[Any]:
    """What the unknown may be, smallest first: exactly fitting, or else by rounding down to `wanted`."""

    def good(choice: Any, exact: bool) -> bool:
        tried = _with(fixed, unknown, choice, axis)
        if fixed.kind != "tconv" and tried.span(n, axis) < 0:
            return False
        comes_out = tried.comes_out(n, axis) or not exact
        return comes_out and (wanted is None or tried.output(n, axis).value == wanted)

    for candidates in _candidates(fixed, unknown, n, axis):
        if found := [choice for choice in candidates if good(choice, True)]:
            return found
    if wanted is not None:
        for candidates in _candidates(fixed, unknown, n, axis):
            if found := [choice for choice in candidates if good(choice, False)]:
                return found
    return []


def _candidates(fixed: Fixed, unknown: str, n: int, axis: int) -> Iterator[list[Any]]:
    """Values to try, in groups; a later group is for when nothing of an earlier one fits."""
    extent = fixed.dilation[axis] * (fixed.kernel[axis] - 1) + 1
    if unknown == "padding":
        most = extent // 2 if fixed.kind in ("pool", "avgpool") else extent - 1
        yield [(p, p) for p in range(most + 1)]
        if fixed.kind != "tconv":
            yield [(p, p + 1) for p in range(most)]
    elif unknown == "kernel":
        least = 2 if fixed.kind != "tconv" else fixed.stride[axis]
        yield list(range(least, min(n + sum(fixed.padding[axis]), LARGEST_INPUT) + 1))
        yield [1]
    else:
        yield list(range(1, extent + 1))
        yield list(range(extent + 1, min(n, LARGEST_INPUT) + 1))


def _with(fixed: Fixed, unknown: str, choice: Any, axis: int) -> Fixed:
    values: Any = list(getattr(fixed, unknown))
    values[axis] = choice
    changed: dict[str, Any] = {unknown: tuple(values)}
    return dataclasses.replace(fixed, **changed)


def _text(choice: Any) -> str:
    if isinstance(choice, tuple):
        return str(choice[0]) if choice[0] == choice[1] else f"{choice[0]}/{choice[1]}"
    return str(choice)
