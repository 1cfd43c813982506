"""What the plays of the Lecture tab draw, computed by `reference`: numbers come with their text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sightline.base import ArgumentError

if TYPE_CHECKING:
    from sightline.reference import Design, DesignLayer, Slide

_CELLS = 400
"""Of an input, at most."""
_STEPS = 400
_SUMS = (
    # of a design's layer, and what each is called
    ("height", "rows"),
    ("width", "columns"),
    ("length", "length"),
    ("flatten", "flatten"),
    ("parameters", "parameters"),
    ("macs", "macs"),
    ("memory", "memory"),
    ("receptive_field", "field"),
)


def slide_values(given: Mapping[str, Any]) -> dict[str, Any]:
    """A kernel over a matrix: every position with its products and its sum.

    Args:
        given: input, kernel; stride, pad (numbers, 1 and 0), flip (whether the kernel is turned).

    Raises:
        ArgumentError: if something is no matrix, out of range, or does not fit.
    """
    from sightline.reference import slide_kernel

    source = matrix_of(given.get("input"), "the input", _CELLS)
    kernel = matrix_of(given.get("kernel"), "the kernel", 81)
    stride, pad = _whole(given, "stride", 1, 9, 1), _whole(given, "pad", 0, 9, 0)
    flip = bool(given.get("flip"))
    slide = slide_kernel(source, kernel, stride=(stride, stride), padding=pad, flip=flip)
    symmetric = bool((kernel == kernel[::-1, ::-1]).all())
    return {
        **_slide(slide),
        "given": {"stride": stride, "pad": pad, "flip": flip},
        "kernel": _texts(slide.kernel),
        "computed": computed_words(flip, symmetric),
    }


def pool_values(given: Mapping[str, Any]) -> dict[str, Any]:
    """A pooling window over a matrix: every position.

    Args:
        given: input; pool (max or avg), size (2), stride (the size).

    Raises:
        ArgumentError: as `slide_values`.
    """
    from sightline.reference import slide_pool

    source = matrix_of(given.get("input"), "the input", _CELLS)
    size = _whole(given, "size", 1, 9, 2)
    stride = _whole(given, "stride", 1, 9, size)
    pool = str(given.get("pool", "max"))
    slide = slide_pool(source, pool, (size, size), (stride, stride))
    return {
        **_slide(slide),
        "given": {"pool": pool, "size": size, "stride": stride},
        "computed": "the largest number of each window" if pool == "max" else "the mean of each window",
    }


def computed_words(flip: bool, symmetric: bool) -> str:
    """Which of the two operations it was, and whether that matters."""
    what = (
        "convolution: the kernel is turned by half a turn" if flip else "cross-correlation, as layers compute"
    )
    return f"{what}; a half turn leaves this kernel as it is, so both agree" if symmetric else what


def _slide(slide: Slide) -> dict[str, Any]:
    from sightline.reference import number_text, window_lost

    (rows, row_sum), (columns, column_sum) = slide.sums
    if rows * columns > _STEPS:
        raise ArgumentError(f"the output would have {rows * columns:,} cells; {_STEPS} are drawn at most")
    lost = [
        list(window_lost(n, slide.size[axis], slide.stride[axis], slide.pads[axis]))
        for axis, n in enumerate(slide.source.shape)
    ]
    (top, bottom), (left, right) = slide.pads
    padded = [
        [""] * (slide.source.shape[1] + left + right) for _ in range(slide.source.shape[0] + top + bottom)
    ]
    for i, line in enumerate(_texts(slide.source)):
        padded[top + i][left : left + len(line)] = line
    steps = []
    for one in slide.steps():
        step = {
            "row": one.row,
            "column": one.column,
            "top": one.row * slide.stride[0],
            "left": one.column * slide.stride[1],
            "value": one.value,
            "shown": number_text(one.value),
            "sum": one.text,
        }
        if one.products is not None:
            step["products"] = _texts(one.products)
        elif slide.pool == "max":
            step["taken"] = [
                [int(i), int(j)] for i, j in zip(*(one.window == one.value).nonzero(), strict=True)
            ]
        steps.append(step)
    return {
        "input": padded,
        "pads": [[top, bottom], [left, right]],
        "filling": "0" if slide.mode == "zeros" else slide.mode,
        "size": list(slide.size),
        "stride": list(slide.stride),
        "shape": [rows, columns],
        "sums": [["rows", row_sum], ["columns", column_sum]],
        "lost_rows": lost[0],
        "lost_columns": lost[1],
        "fit": _fit(slide, lost),
        "steps": steps,
    }


def _fit(slide: Slide, lost: list[list[int]]) -> str:
    """What does not come out, in a sentence; empty where everything does."""
    rest = [
        (n + sum(slide.pads[axis]) - slide.size[axis]) % slide.stride[axis]
        for axis, n in enumerate(slide.source.shape)
    ]
    unseen = [
        f"{name}{'s' if len(which) > 1 else ''} {', '.join(map(str, which))}"
        for name, which in (("row", lost[0]), ("column", lost[1]))
        if which
    ]
    if not any(rest) and not unseen:
        return ""
    reason = "the stride does not fit" if any(rest) else "the stride is larger than the window"
    if not unseen:
        return f"{reason}, but only padding is left out"
    return f"{reason}: {' and '.join(unseen)} of the input are never looked at"


def design_values(given: Mapping[str, Any]) -> dict[str, Any]:
    """A network from a line: a row a layer with its sums, totals, findings.

    Args:
        given: line, as `sightline design` takes it: `32x32x3 conv:10,k5,p2 relu`; strict.

    Raises:
        ArgumentError: if a word is not understood, or does not fit.
    """
    from sightline.reference import design

    words = str(given.get("line", "")).removeprefix("sightline design").split()
    if len(words) < 2:
        raise ArgumentError("a line has an input and a layer at least, as 32x32x3 conv:10,k5,p2")
    if len(words) > 200:
        raise ArgumentError(f"the line has {len(words)} words; 200 are drawn at most")
    network = design(words[0], words[1:], strict=bool(given.get("strict")))
    memory = network.memory
    return {
        "input": _shape(network, network.input_shape),
        "reading": network.shape.reading,
        "solved": network.solved,
        "columns": ["layer", "output", "parameters", "macs", "memory", "field"],
        "layers": [_layer(network, layer) for layer in network.layers],
        "total": [
            "total",
            "",
            f"{network.parameters:,}",
            f"{network.macs:,}",
            _bytes(memory["output_bytes"]),
            "",
        ],
        "words": f"{network.parameters:,} parameters, {_bytes(memory['parameter_bytes'])} in float32; "
        f"{network.macs:,} multiply-adds (macs) = {2 * network.macs:,} flops for one image",
        "findings": [finding.to_dict() for finding in network.findings],
    }


def _layer(network: Design, layer: DesignLayer) -> dict[str, Any]:
    field = "x".join(map(str, dict.fromkeys(layer.receptive_field))) or "-"
    sums = layer.sums
    alike = sums.get("height", "") == sums.get("width")
    named = [
        ("size" if alike and key == "height" else name, sums[key])
        for key, name in _SUMS
        if key in sums and not (alike and key == "width")
    ]
    return {
        "cells": [
            layer.layer,
            _shape(network, layer.output_shape),
            f"{layer.parameters:,}",
            f"{layer.macs:,}",
            _bytes(layer.output_bytes),
            field,
        ],
        "sums": [*([("solved", layer.solved)] if layer.solved else []), *named],
    }


def _shape(network: Design, shape: tuple[int, ...]) -> str:
    """As the input was written."""
    if network.shape.channels_first:
        return ",".join(map(str, shape))
    return "x".join(map(str, [*shape[1:], shape[0]]))


def _bytes(count: int) -> str:
    return f"{count / 1e6:.2f} MB" if count >= 10_000 else f"{count:,} B"


def softmax_values(given: Mapping[str, Any]) -> dict[str, Any]:
    """Scores to probabilities, with the sum.

    Args:
        given: logits; names; temperature (1), by which scores are divided first.

    Raises:
        ArgumentError: if something is out of range.
    """
    import numpy as np

    from sightline.reference import softmax

    logits = matrix_of([given.get("logits") or []], "the logits", 20)[0].astype(float)
    names = [str(name) for name in given.get("names") or range(len(logits))]
    if len(names) != len(logits):
        raise ArgumentError(f"there are {len(logits)} logits and {len(names)} names")
    temperature = _number(given.get("temperature", 1), "the temperature", 0.05, 20)
    if np.abs(logits).max() > 30:
        raise ArgumentError("a logit lies from -30 to 30")
    scaled = logits / temperature
    powers = np.exp(scaled)
    probabilities = softmax(scaled)
    total = f"{powers.sum():.4g}"
    return {
        "temperature": temperature,
        "rows": [
            {
                "name": name,
                "logit": float(logit),
                "power": f"exp({logit:.3g}/{temperature:.3g}) = {power:.4g}",
                "share": f"{power:.4g} / {total} = {probability:.4f}",
                "probability": float(probability),
                "percent": f"{100 * probability:.1f} %",
            }
            for name, logit, power, probability in zip(names, logits, powers, probabilities, strict=True)
        ],
        "sum": f"{' + '.join(f'{power:.4g}' for power in powers)} = {total}",
        "words": f"The largest is {names[int(probabilities.argmax())]}, {100 * probabilities.max():.1f} %; "
        f"entropy {_entropy(probabilities):.3f} of at most {np.log(len(names)):.3f} nats.",
    }


def _entropy(probabilities: Any) -> float:
    import numpy as np

    some = probabilities[probabilities > 0]
    return float(-(some * np.log(some)).sum()) + 0.0


def matrix_of(value: Any, name: str, most: int) -> Any:
    """Rows of numbers, or text as `1,2;3,4`.

    Raises:
        ArgumentError: if it is neither, or has too many numbers.
    """
    from sightline.reference import read_matrix

    if (
        isinstance(value, list | tuple)
        and value
        and all(isinstance(row, list | tuple) and row for row in value)
    ):
        value = ";".join(",".join(str(cell).strip() for cell in row) for row in value)
    if not isinstance(value, str) or not value.strip():
        raise ArgumentError(f"{name} is missing; write it as 1,2;3,4")
    if len(value) > 20_000:
        raise ArgumentError(f"{name} has {len(value):,} characters; that is no matrix to look at")
    matrix = read_matrix(value, name)
    if matrix.size > most:
        raise ArgumentError(f"{name} has {matrix.size:,} numbers; {most} are drawn at most")
    return matrix


def _texts(matrix: Any) -> list[list[str]]:
    from sightline.reference import number_text

    return [[number_text(value) for value in row] for row in matrix.tolist()]


def _whole(given: Mapping[str, Any], name: str, least: int, most: int, usual: int) -> int:
    value = given.get(name, usual)
    text = str(value).strip()
    if (
        isinstance(value, bool)
        or not text.isascii()
        or not text.isdigit()
        or not least <= int(text[:9]) <= most
    ):
        raise ArgumentError(f"{name} is {text!r}; it is a whole number from {least} to {most}")
    return int(text)


def _number(value: Any, name: str, least: float, most: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not least <= number <= most:
        raise ArgumentError(f"{name} is {value!r}; it lies from {least:g} to {most:g}")
    return number
