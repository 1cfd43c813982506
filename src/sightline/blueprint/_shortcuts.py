"""Shapes of some operations without PyTorch's own `meta` kernels, where those are slow.

Those kernels are Python here, and their first call imports a symbolic algebra or a compiler: seconds, for
what is one line of arithmetic. What is not plain (another layout or type, numbers that do not fit) goes to
PyTorch, whose errors are the ones to be told. A test holds every shortcut to PyTorch's own answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from sightline.reference import transposed_output, window_output

_Shortcut = Callable[..., Any]


def run(function: Any, args: tuple[Any, ...], kwargs: Any) -> Any:
    """What an operation returns: by a shortcut on `meta`, else by PyTorch.

    Args:
        function: As PyTorch's dispatcher hands it over.
        args: Its arguments.
        kwargs: Its keywords.
    """
    shortcut: Any = _FOUND.get(function, False)
    if shortcut is False:
        shortcut = _FOUND[function] = _SHORTCUTS.get(function.name().removeprefix("aten::"))
    if shortcut is not None and all(key in _IDLE and value in _IDLE[key] for key, value in kwargs.items()):
        output = shortcut(*args)
        if output is not None:
            return output
    return function(*args, **kwargs)


_IDLE = {"pin_memory": (False, None), "memory_format": (torch.preserve_format,)}
"""Keywords that ask for nothing."""


def _plain(*tensors: Any) -> bool:
    """Whether all are floats of one type on `meta`, laid out in order."""
    there = [t for t in tensors if t is not None]
    return all(
        isinstance(t, Tensor) and t.is_meta and t.is_contiguous() and t.dtype == there[0].dtype
        and t.is_floating_point() and t.numel() > 0
        for t in there
    )  # fmt: skip


def _new(like: Tensor, shape: Sequence[int], dtype: torch.dtype | None = None) -> Tensor:
    return torch.empty(tuple(shape), dtype=dtype or like.dtype, device="meta")


def _alike(given: Tensor, *more: Any) -> Tensor | None:
    """Of an operation that changes numbers alone."""
    return _new(given, given.shape) if _plain(given) or _expanded(given) else None


def _expanded(given: Tensor) -> bool:
    """Whether it is a plain tensor with some axes repeated."""
    strides = [s for s in given.stride() if s]
    return (
        given.is_meta and given.is_floating_point() and given.numel() > 0 and 0 in given.stride()
        and strides == sorted(strides, reverse=True)
    )  # fmt: skip


def _itself(given: Tensor, *more: Any) -> Tensor | None:
    """Of the same in place."""
    return given if _plain(given) else None


def _like_second(gradient: Tensor, given: Tensor, *more: Any) -> Tensor | None:
    """Of a gradient through an operation that changes numbers alone."""
    return _new(given, given.shape) if _plain(gradient, given) else None


def _binary(first: Tensor, second: Any, *more: Any) -> Tensor | None:
    """Of two tensors, or a tensor and a number, element by element."""
    if isinstance(second, Tensor):
        if not _plain(first, second) or bool(first.dim()) != bool(second.dim()):
            return None
        shape = _broadcast(first.shape, second.shape)
        return None if shape is None else _new(first, shape)
    return _new(first, first.shape) if _plain(first) and isinstance(second, int | float) else None


def _binary_in_place(first: Tensor, second: Any, *more: Any) -> Tensor | None:
    if isinstance(second, Tensor):
        fits = _plain(first, second) and _broadcast(first.shape, second.shape) == tuple(first.shape)
        return first if fits else None
    return first if _plain(first) and isinstance(second, int | float) else None


def _broadcast(a: Sequence[int], b: Sequence[int]) -> tuple[int, ...] | None:
    n = max(len(a), len(b))
    pairs = zip((1,) * (n - len(a)) + tuple(a), (1,) * (n - len(b)) + tuple(b), strict=True)
    found = []
    for x, y in pairs:
        if x != y and 1 not in (x, y):
            return None
        found.append(max(x, y))
    return tuple(found)


def _allowed(positive: Sequence[int], padding: Sequence[int]) -> bool:
    """Whether a window can have these settings at all."""
    return min(positive) > 0 and min(padding) >= 0


def _windows(
    given: Tensor, kernel: list[int], stride: list[int], padding: list[int], dilation: list[int], ceil: bool
) -> tuple[int, ...] | None:
    if given.dim() != 4 or not _plain(given):
        return None
    kernel, padding, dilation = (s * 2 if len(s) == 1 else s for s in (kernel, padding, dilation))
    stride = (stride * 2 if len(stride) == 1 else stride) or kernel
    if any(2 * p > k for p, k in zip(padding, kernel, strict=True)) or not _allowed(
        (*kernel, *stride, *dilation), padding
    ):
        return None
    axes = zip(given.shape[2:], kernel, stride, padding, dilation, strict=True)
    out = [window_output(n, k, s, p, d, ceil=ceil).value for n, k, s, p, d in axes]
    return None if min(out) < 1 else (*given.shape[:2], *out)


def _max_pool(
    given: Tensor, kernel: list[int], stride: list[int] = [], padding: list[int] = [0],  # noqa: B006
    dilation: list[int] = [1], ceil: bool = False,  # noqa: B006
) -> tuple[Tensor, Tensor] | None:  # fmt: skip
    shape = _windows(given, kernel, stride, padding, dilation, ceil)
    return None if shape is None else (_new(given, shape), _new(given, shape, torch.int64))


def _average_pool(
    given: Tensor, kernel: list[int], stride: list[int] = [], padding: list[int] = [0], ceil: bool = False,  # noqa: B006
    *more: Any,
) -> Tensor | None:  # fmt: skip
    shape = _windows(given, kernel, stride, padding, [1], ceil)
    return None if shape is None else _new(given, shape)


def _reduced(given: Tensor, dims: list[int] | None = None, keep: bool = False) -> Tensor | None:
    if not _plain(given) or not dims or not given.dim():
        return None
    gone = {d % given.dim() for d in dims if -given.dim() <= d < given.dim()}
    if len(gone) != len(dims):
        return None
    sizes = enumerate(given.shape)
    return _new(given, [1 if d in gone else n for d, n in sizes if keep or d not in gone])


def _joined(tensors: list[Tensor], dim: int = 0) -> Tensor | None:
    if not tensors or not _plain(*tensors) or len({t.dim() for t in tensors}) != 1 or not tensors[0].dim():
        return None
    if not -tensors[0].dim() <= dim < tensors[0].dim():
        return None
    dim %= tensors[0].dim()
    others = {tuple(n for d, n in enumerate(t.shape) if d != dim) for t in tensors}
    if len(others) != 1:
        return None
    shape = list(tensors[0].shape)
    shape[dim] = sum(t.shape[dim] for t in tensors)
    return _new(tensors[0], shape)


def _matrix(t: Any, dims: int) -> bool:
    return isinstance(t, Tensor) and t.is_meta and t.dim() == dims and t.is_floating_point() and t.numel() > 0


def _product(first: Tensor, second: Tensor) -> Tensor | None:
    if isinstance(first, Tensor) and first.is_meta and first.dtype != second.dtype:
        raise RuntimeError(
            f"expected m1 and m2 to have the same dtype, but got: {first.dtype} != {second.dtype}"
        )
    if not _matrix(first, 2) or not _matrix(second, 2):
        return None
    return _new(first, (first.shape[0], second.shape[1])) if first.shape[1] == second.shape[0] else None


def _added_product(bias: Tensor, first: Tensor, second: Tensor) -> Tensor | None:
    if bias.is_meta and bias.dtype != second.dtype:
        raise RuntimeError(f"self and mat2 must have the same dtype, but got {bias.dtype} and {second.dtype}")
    product = _product(first, second)
    if product is None or bias.dtype != first.dtype or not bias.is_meta:
        return None
    if _broadcast(bias.shape, product.shape) != tuple(product.shape):
        raise RuntimeError(f"a bias of size {list(bias.shape)} cannot be added to {list(product.shape)}")
    return product


def _batched_product(first: Tensor, second: Tensor) -> Tensor | None:
    if not _matrix(first, 3) or not _matrix(second, 3) or first.dtype != second.dtype:
        return None
    fits = first.shape[0] == second.shape[0] and first.shape[2] == second.shape[1]
    return _new(first, (*first.shape[:2], second.shape[2])) if fits else None


def _softmax(given: Tensor, dim: int, half_to_float: bool) -> Tensor | None:
    last = max(given.dim(), 1)
    if given.is_meta and not -last <= dim < last:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-last}, {last - 1}], but got {dim})"
        )
    return _new(given, given.shape) if _plain(given) and not half_to_float else None


def _softmax_backward(gradient: Tensor, output: Tensor, dim: int, dtype: torch.dtype) -> Tensor | None:
    return _new(output, output.shape) if _plain(gradient, output) and dtype == output.dtype else None


def _nll_loss(
    given: Tensor, target: Tensor, weight: Tensor | None, reduction: int, ignore: int
) -> tuple[Tensor, Tensor] | None:
    if not _plain(given) or given.dim() != 2 or weight is not None or reduction == 0:
        return None
    if tuple(target.shape) != (given.shape[0],):
        return None
    return _new(given, ()), _new(given, ())


def _refuse_convolution(
    given: Tensor, weight: Tensor, bias: Tensor | None, stride: list[int], padding: list[int],
    dilation: list[int], transposed: bool, more: list[int], groups: int,
) -> None:  # fmt: skip
    """Raise for what PyTorch's `meta` kernel lets through and its real ones refuse, in their words."""
    if not given.is_meta or given.dim() != weight.dim() or not given.numel():
        return
    for what, other in (("weight", weight), ("bias", bias)):
        if other is not None and other.dtype != given.dtype:
            raise RuntimeError(
                f"Input type ({given.dtype}) and {what} type ({other.dtype}) should be the same"
            )
    if min(stride) < 1:
        raise RuntimeError("non-positive stride is not supported")
    if min(padding) < 0:
        raise RuntimeError("negative padding is not supported")
    if min(dilation) < 1:
        raise RuntimeError("dilation should be greater than zero")
    if transposed and given.shape[1] != weight.shape[0]:
        raise RuntimeError(
            f"Given transposed=1, weight of size {list(weight.shape)}, expected input{list(given.shape)} "
            f"to have {weight.shape[0]} channels, but got {given.shape[1]} channels instead"
        )
    made = weight.shape[1] * groups if transposed else weight.shape[0]
    if bias is not None and tuple(bias.shape) != (made,):
        raise RuntimeError(
            f"Given weight of size {list(weight.shape)}, expected bias to be 1-dimensional with "
            f"{made} elements, but got bias of size {list(bias.shape)} instead"
        )
    if transposed and any(m >= max(s, d) for m, s, d in zip(more, stride, dilation, strict=False)):
        raise RuntimeError("output padding must be smaller than either stride or dilation")


def _convolution(
    given: Tensor, weight: Tensor, bias: Tensor | None, stride: list[int], padding: list[int],
    dilation: list[int], transposed: bool, output_padding: list[int], groups: int,
) -> Tensor | None:  # fmt: skip
    axes = weight.dim() - 2
    _refuse_convolution(given, weight, bias, stride, padding, dilation, transposed, output_padding, groups)
    if not _plain(given, weight, bias) or given.dim() != weight.dim():
        return None
    stride, padding, dilation = (s * axes if len(s) == 1 else s for s in (stride, padding, dilation))
    more = output_padding * axes if len(output_padding) == 1 else output_padding
    sizes, kernel = given.shape[2:], weight.shape[2:]
    if not _allowed((*stride, *dilation), padding):
        return None
    if transposed:
        channels = weight.shape[1] * groups
        fits = given.shape[1] == weight.shape[0] and given.shape[1] % groups == 0
        windows = zip(sizes, kernel, stride, padding, more, dilation, strict=True)
        out = [transposed_output(n, k, s, p, o, d).value for n, k, s, p, o, d in windows]
        fits = fits and all(o < max(s, d) for o, s, d in zip(more, stride, dilation, strict=True))
    else:
        channels = weight.shape[0]
        fits = given.shape[1] == weight.shape[1] * groups and channels % groups == 0
        windows = zip(sizes, kernel, stride, padding, dilation, strict=True)
        out = [window_output(n, k, s, p, d).value for n, k, s, p, d in windows]
    fits = fits and (bias is None or tuple(bias.shape) == (channels,))
    if not fits or min(out) < 1 or min(given.shape) < 1:
        return None
    return _new(given, (given.shape[0], channels, *out))


def _convolution_backward(
    gradient: Tensor, given: Tensor, weight: Tensor, bias_sizes: list[int] | None, stride: list[int],
    padding: list[int], dilation: list[int], transposed: bool, output_padding: list[int], groups: int,
    wanted: list[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None] | None:  # fmt: skip
    if not _plain(given, weight):
        return None
    channels = weight.shape[1] * groups if transposed else weight.shape[0]
    return (
        _new(given, given.shape) if wanted[0] else None,
        _new(weight, weight.shape) if wanted[1] else None,
        _new(gradient, (channels,)) if wanted[2] else None,
    )


def _batch_norm(
    given: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor | None, var: Tensor | None,
    training: bool, momentum: float, eps: float,
) -> tuple[Tensor, Tensor, Tensor] | None:  # fmt: skip
    if not _plain(given, weight, bias, mean, var) or given.dim() < 2 or given.dtype != torch.float32:
        return None
    if not training and (mean is None or var is None):
        return None
    channels = given.shape[1]
    if any(t is not None and tuple(t.shape) != (channels,) for t in (weight, bias, mean, var)):
        return None
    statistics = (channels,) if training else (0,)
    return _new(given, given.shape), _new(given, statistics), _new(given, statistics)


def _batch_norm_backward(
    gradient: Tensor, given: Tensor, weight: Tensor | None, mean: Any, var: Any, save_mean: Any,
    save_invstd: Any, training: bool, eps: float, wanted: list[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None] | None:  # fmt: skip
    if not _plain(given, weight):
        return None
    channels = (given.shape[1],)
    return (
        _new(given, given.shape) if wanted[0] else None,
        _new(given, channels) if wanted[1] else None,
        _new(given, channels) if wanted[2] else None,
    )


def _adaptive_average(given: Tensor, size: list[int]) -> Tensor | None:
    if not _plain(given) or given.dim() != 4 or min(given.shape) < 1 or min(size) < 1:
        return None
    return _new(given, (*given.shape[:2], *size))


def _layer_norm(
    given: Tensor, shape: list[int], weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor] | None:
    if not _plain(given, weight, bias) or given.dtype != torch.float32 or not shape:
        return None
    if tuple(given.shape[-len(shape) :]) != tuple(shape):
        return None
    if any(t is not None and tuple(t.shape) != tuple(shape) for t in (weight, bias)):
        return None
    statistics = (*given.shape[: -len(shape)], *(1 for _ in shape))
    return _new(given, given.shape), _new(given, statistics), _new(given, statistics)


_SHORTCUTS: dict[str, _Shortcut] = {
    **dict.fromkeys(
        (
            "relu",
            "silu",
            "gelu",
            "sigmoid",
            "tanh",
            "leaky_relu",
            "elu",
            "hardtanh",
            "hardswish",
            "hardsigmoid",
            "neg",
            "exp",
            "sqrt",
            "rsqrt",
            "pow.Tensor_Scalar",
            "add.Scalar",
            "mul.Scalar",
            "div.Scalar",
            "clone",
            "empty_like",
            "ones_like",
            "zeros_like",
        ),
        _alike,
    ),
    **dict.fromkeys(
        (
            "relu_",
            "silu_",
            "hardtanh_",
            "hardswish_",
            "leaky_relu_",
            "bernoulli_.float",
            "div_.Scalar",
            "mul_.Scalar",
            "add_.Scalar",
            "fill_.Scalar",
            "zero_",
        ),
        _itself,
    ),
    **dict.fromkeys(
        (
            "threshold_backward",
            "hardtanh_backward",
            "silu_backward",
            "gelu_backward",
            "leaky_relu_backward",
            "max_pool2d_with_indices_backward",
            "avg_pool2d_backward",
            "_adaptive_avg_pool2d_backward",
            "sigmoid_backward",
            "tanh_backward",
            "nll_loss_backward",
        ),
        _like_second,
    ),
    **dict.fromkeys(("add.Tensor", "sub.Tensor", "mul.Tensor", "div.Tensor"), _binary),
    **dict.fromkeys(("add_.Tensor", "sub_.Tensor", "mul_.Tensor", "div_.Tensor"), _binary_in_place),
    "convolution": _convolution,
    "convolution_backward": _convolution_backward,
    "native_batch_norm": _batch_norm,
    "native_batch_norm_backward": _batch_norm_backward,
    "_adaptive_avg_pool2d": _adaptive_average,
    "native_layer_norm": _layer_norm,
    "max_pool2d_with_indices": _max_pool,
    "avg_pool2d": _average_pool,
    "mean.dim": _reduced,
    "sum.dim_IntList": _reduced,
    "cat": _joined,
    "mm": _product,
    "addmm": _added_product,
    "bmm": _batched_product,
    "_softmax": _softmax,
    "_log_softmax": _softmax,
    "_log_softmax_backward_data": _softmax_backward,
    "_softmax_backward_data": _softmax_backward,
    "nll_loss_forward": _nll_loss,
}
_FOUND: dict[Any, _Shortcut | None] = {}
