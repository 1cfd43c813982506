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
    if isinstance(call.module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
        return _batch_norm(call.module, shapes[0])
    if isinstance(call.module, nn.GroupNorm) and len(shapes[0]) > 1:
        return _group_norm(call.module, shapes[0][1])
    if call.kind in ("add", "sub", "mul", "div") and len(shapes) == 2:
        return _broadcast(shapes[0], shapes[1])
    if call.kind == "cat":
        return _concatenate(shapes, call.args[1] if len(call.args) > 1 else call.kwargs.get("dim", 0))
    if call.kind in ("view", "reshape"):
        return _reshape(call, shapes[0])
    return ""


def _linear(wanted: int, outputs: int, shape: Sequence[int], fits: Callable[[int], bool] | None) -> str:
    got = shape[-1]
    if got == wanted:
        return ""
    text = f"it takes {wanted:,} numbers and is given {got:,}"
    if math.prod(shape[1:]) == wanted:
        return f"{text}; {_by_x(shape[1:])} = {wanted:,}, so nn.Flatten() before it fits"
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
        images = f"images of {module.in_channels} channels"
        repair = images if channels % module.groups else f"in_channels={channels} fits, or {images}"
        return f"its filters take {module.in_channels} channels and are given {channels}; {repair}"
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
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    needed = [max(p, -(-(r - n) // 2)) for p, r, n in zip(padding, reach, sizes, strict=True)]
    most = [(n + 2 * p - 1) // d + 1 for n, p, d in zip(sizes, padding, dilation, strict=True)]
    for k, size in enumerate(sizes):
        told = window_output(size, kernel[k], stride[k], padding[k], dilation[k])
        if told.value < 1:
            return (
                f"the window reaches over {reach[k]} and there are {size} + 2*{padding[k]}: {told.text}; "
                f"padding={_setting(needed)} fits, or a larger input, or a kernel of at most {_setting(most)}"
            )
    return ""


def _setting(numbers: Sequence[int]) -> str:
    """One number an axis, as one writes it: once where they are alike."""
    return str(numbers[0]) if len(set(numbers)) == 1 else f"({', '.join(map(str, numbers))})"


def _broadcast(a: Sequence[int], b: Sequence[int]) -> str:
    unlike = [k for k in range(1, min(len(a), len(b)) + 1) if a[-k] != b[-k] and 1 not in (a[-k], b[-k])]
    if not unlike:
        return ""
    text = f"{_by_x(a)} and {_by_x(b)} are taken element by element"
    if len(a) != 4 or len(b) != 4 or a[0] != b[0]:
        return f"{text}; make their shapes equal"
    large, small = (a, b) if tuple(a[2:]) >= tuple(b[2:]) else (b, a)
    for stride in range(1, max(large[2:]) + 1):
        if all((n - 1) // stride + 1 == m for n, m in zip(large[2:], small[2:], strict=True)):
            step = f", stride {stride}" if stride > 1 else ""
            return f"{text}; a 1x1 convolution of {small[1]} filters{step} on {_by_x(large)} makes them alike"
    least = [min(n, m) for n, m in zip(a[2:], b[2:], strict=True)]
    channels = "" if a[1] == b[1] else ", and bring both to the same channels"
    return f"{text}; crop or resize both to {_by_x(least)}, or pad the convolutions before{channels}"


def _concatenate(shapes: Sequence[Sequence[int]], dim: int) -> str:
    texts = " and ".join(map(_by_x, shapes[:4]))
    maps = all(len(s) == 4 for s in shapes) and len({s[0] for s in shapes}) == 1
    if maps and dim in (1, -3):
        least = [min(s[axis] for s in shapes) for axis in (2, 3)]
        return (
            f"{texts} differ in more than their channels; crop or resize them to {_by_x(least)}, "
            "or pad the convolutions before"
        )
    return f"{texts} must be alike but for the axis they are joined along"


def _batch_norm(module: nn.Module, shape: Sequence[int]) -> str:
    wanted, axes = int(module.num_features), int(type(module).__name__[-2])  # type: ignore[arg-type]
    if len(shape) not in ((2, 3) if axes == 1 else (axes + 2,)) or shape[1] == wanted:
        return ""
    return f"it normalises {wanted} channels and is given {shape[1]}; num_features={shape[1]} fits"


def _group_norm(module: nn.GroupNorm, got: int) -> str:
    if got == module.num_channels:
        return ""
    text = f"it normalises {module.num_channels} channels and is given {got}"
    return text if got % module.num_groups else f"{text}; num_channels={got} fits"


def _reshape(call: Call, shape: Sequence[int]) -> str:
    given = call.args[1] if len(call.args) > 1 and isinstance(call.args[1], list | tuple) else call.args[1:]
    wanted = [n for n in given if isinstance(n, int)]
    count, known = math.prod(shape), math.prod(n for n in wanted if n != -1)
    if known and count == (count // known * known if -1 in wanted else known):
        return f"{_by_x(shape)} does not lie in memory as a view must; reshape fits, or contiguous() before"
    text = f"{_by_x(shape)} = {count:,} numbers do not fill {_by_x(wanted)}"
    if shape and wanted:
        return f"{text}; view({shape[0]}, {count // max(shape[0], 1)}) or flatten(1) fits"
    return text


def _by_x(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
