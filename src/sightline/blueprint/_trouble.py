"""Why an input does not go through a layer: the sum that does not come out, and what would mend it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch import nn

from sightline.blueprint._calls import Call, tensors_in
from sightline.blueprint._settings import per_axis
from sightline.reference import window_output

_USUAL = (28, 32, 48, 64, 96, 112, 128, 160, 192, 224, 227, 256, 299, 320, 384, 448, 512)
_MOST_TRIED = 40


def explain(call: Call, fits: Callable[[int], bool] | None = None) -> str:
    """The sum of a failed call and a repair, as one clause; empty where nothing is known of it.

    Args:
        call: The layer or function that failed.
        fits: Says whether a square input of a size goes through, to look for one.
    """
    shapes = [tuple(t.shape) for t in tensors_in((call.args, call.kwargs))]
    if not shapes:
        return ""
    if isinstance(call.module, nn.Linear):
        return _linear(call.module.in_features, call.module.out_features, shapes[0], fits)
    if call.kind == "linear" and len(shapes) > 1 and len(shapes[1]) == 2:
        return _linear(shapes[1][1], shapes[1][0], shapes[0], fits)
    if call.kind.startswith("conv"):
        return _convolution(call, shapes)
    if "pool" in call.kind and isinstance(call.module, nn.Module):
        return _pool(call.module, shapes[0])
    wanted = getattr(call.module, "num_features", None)
    if call.kind == "batch_norm" and len(shapes[0]) > 1 and wanted not in (None, shapes[0][1]):
        got = shapes[0][1]
        return f"it normalises {wanted} channels and is given {got}; num_features={got} fits"
    if call.kind in ("add", "sub", "mul", "div") and len(shapes) == 2:
        return _broadcast(shapes[0], shapes[1])
    if call.kind == "cat":
        return _concatenate(shapes)
    if call.kind in ("view", "reshape"):
        return _reshape(call, shapes[0])
    return ""


def _linear(wanted: int, outputs: int, shape: Sequence[int], fits: Callable[[int], bool] | None) -> str:
    got = shape[-1]
    if got == wanted:
        return ""
    text = f"it takes {wanted:,} numbers and is given {got:,}"
    sizes = _fitting(fits) if fits is not None else []
    repair = f"nn.Linear({got}, {outputs}) fits this input"
    if sizes:
        repair = f"an input of {' or '.join(f'{s}x{s}' for s in sizes)} gives {wanted:,}; {repair}"
    return f"{text}; {repair}"


def _fitting(fits: Callable[[int], bool], near: Iterable[int] = ()) -> list[int]:
    found: list[int] = []
    for tried, size in enumerate([*near, *_USUAL]):
        if tried >= _MOST_TRIED or len(found) == 2:
            break
        if size not in found and fits(size):
            found.append(size)
    return sorted(found)


def _convolution(call: Call, shapes: Sequence[Sequence[int]]) -> str:
    module: Any = call.module
    if not hasattr(module, "in_channels"):
        if len(shapes) < 2 or len(shapes[0]) != len(shapes[1]) or shapes[0][1] == shapes[1][1]:
            return ""
        return f"its filters take {shapes[1][1]} channels and are given {shapes[0][1]}"
    axes = len(module.kernel_size)
    given = shapes[0]
    if len(given) not in (axes + 1, axes + 2):
        return f"it takes (batch, channels, {axes} sizes) and is given {len(given)} axes"
    channels = given[-axes - 1]
    if channels != module.in_channels:
        return (
            f"its filters take {module.in_channels} channels and are given {channels}; "
            f"in_channels={channels} fits, or images of {module.in_channels} channels"
        )
    if isinstance(module.padding, str) or "transpose" in call.kind:
        return ""
    return _too_large(given[-axes:], module.kernel_size, module.stride, module.padding, module.dilation)


def _pool(module: nn.Module, shape: Sequence[int]) -> str:
    kernel = getattr(module, "kernel_size", None)
    if kernel is None:
        return ""
    axes = int(type(module).__name__[-2]) if type(module).__name__[-2].isdigit() else 2
    settings = [
        per_axis(getattr(module, n, d) or d, axes)
        for n, d in (("stride", kernel), ("padding", 0), ("dilation", 1))
    ]
    return _too_large(shape[-axes:], per_axis(kernel, axes), *settings)


def _too_large(
    sizes: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> str:
    for k, size in enumerate(sizes):
        told = window_output(size, kernel[k], stride[k], padding[k], dilation[k])
        if told.value < 1:
            reach = dilation[k] * (kernel[k] - 1) + 1
            more = -(-(reach - size) // 2)
            return (
                f"the window reaches over {reach} and there are {size} + 2*{padding[k]}: {told.text}; "
                f"padding={more} fits, or a larger input, or a kernel of at most {size + 2 * padding[k]}"
            )
    return ""


def _broadcast(a: Sequence[int], b: Sequence[int]) -> str:
    unlike = [k for k in range(1, min(len(a), len(b)) + 1) if a[-k] != b[-k] and 1 not in (a[-k], b[-k])]
    if not unlike:
        return ""
    text = f"{_by_x(a)} and {_by_x(b)} are taken element by element"
    if len(a) != 4 or len(b) != 4:
        return f"{text}; make their shapes equal"
    large, small = (a, b) if a[2] >= b[2] else (b, a)
    stride = large[2] // small[2] if small[2] else 1
    strided = f", stride {stride}" if stride > 1 else ""
    return f"{text}; a 1x1 convolution of {small[1]} filters{strided} on the larger makes them alike"


def _concatenate(shapes: Sequence[Sequence[int]]) -> str:
    texts = " and ".join(map(_by_x, shapes[:4]))
    sizes = sorted({tuple(s[2:]) for s in shapes})
    if len(sizes) > 1 and all(len(s) == 4 for s in shapes):
        return (
            f"{texts} differ in more than their channels; crop or resize them to {_by_x(sizes[0])}, "
            "or pad the convolutions before"
        )
    return f"{texts} must be alike but for the axis they are joined along"


def _reshape(call: Call, shape: Sequence[int]) -> str:
    given = call.args[1] if len(call.args) > 1 and isinstance(call.args[1], list | tuple) else call.args[1:]
    wanted = [n for n in given if isinstance(n, int)]
    count = math.prod(shape)
    text = f"{_by_x(shape)} = {count:,} numbers do not fill {_by_x(wanted)}"
    if shape and wanted:
        return f"{text}; view({shape[0]}, {count // max(shape[0], 1)}) or flatten(1) fits"
    return text


def _by_x(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
