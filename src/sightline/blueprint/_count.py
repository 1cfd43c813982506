"""Multiply-adds of PyTorch's operations, from shapes alone.

A multiply-add is one multiply of a convolution or of a matrix product; biases, norms, pooling and activations
are not counted, positions in the padding are. `torch.utils.flop_counter` counts twice as many.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_Counter = Callable[[tuple[Any, ...], Any], int]


def _convolution(args: tuple[Any, ...], output: Any) -> int:
    given, weight, transposed = args[0], args[1], bool(args[6])
    positions = given.shape if transposed else output.shape
    per_position = math.prod(weight.shape[1:])  # (Cin/groups or Cout/groups) * kernel
    return int(math.prod(positions) * per_position)


def _mm(args: tuple[Any, ...], output: Any) -> int:
    return int(math.prod(args[0].shape) * args[1].shape[-1])


def _mv(args: tuple[Any, ...], output: Any) -> int:
    return int(math.prod(args[0].shape))


def _addmm(args: tuple[Any, ...], output: Any) -> int:
    return _mm(args[1:], output)


def _addmv(args: tuple[Any, ...], output: Any) -> int:
    return _mv(args[1:], output)


def _linear(args: tuple[Any, ...], output: Any) -> int:
    return int(math.prod(args[0].shape) * args[1].shape[0])


def _matmul(args: tuple[Any, ...], output: Any) -> int:
    return int(math.prod(output.shape) * args[0].shape[-1])


def _attention(args: tuple[Any, ...], output: Any) -> int:
    query, key, value = args[0], args[1], args[2]  # (..., heads, length, width)
    rows = math.prod(query.shape[:-1])
    return int(rows * key.shape[-2] * (query.shape[-1] + value.shape[-1]))


def _rnn(args: tuple[Any, ...], output: Any) -> int:
    given, into, again = args[0], args[1], args[2]  # (time, batch, width), two weights
    return int(given.shape[0] * given.shape[1] * (into.numel() + again.numel()))


_COUNTERS: dict[str, _Counter] = {
    "convolution": _convolution, "_convolution": _convolution, "convolution_overrideable": _convolution,
    "mm": _mm, "bmm": _mm, "addmm": _addmm, "baddbmm": _addmm, "addbmm": _addmm, "_addmm_activation": _addmm,
    "mv": _mv, "addmv": _addmv, "dot": _mv, "vdot": _mv, "linear": _linear, "matmul": _matmul,
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
    "_scaled_dot_product_flash_attention": _attention,
    "_scaled_dot_product_efficient_attention": _attention,
    "_scaled_dot_product_cudnn_attention": _attention,
    "_scaled_dot_product_attention_math": _attention,
    "mkldnn_rnn_layer": _rnn,
}  # fmt: skip

_NO_MULTIPLY_ADDS = frozenset(
    {
        # norms, pooling, resizing, dropout: arithmetic, but neither a convolution nor a matrix product
        "_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "_batch_norm_no_update", "_batch_norm_with_update",
        "_embedding_bag", "_embedding_bag_forward_only", "_fused_rms_norm", "_native_batch_norm_legit",
        "_native_batch_norm_legit_no_training", "_pad_circular", "_upsample_bicubic2d_aa",
        "_upsample_bilinear2d_aa", "_upsample_nearest_exact1d", "_upsample_nearest_exact2d",
        "_upsample_nearest_exact3d", "adaptive_avg_pool2d", "adaptive_max_pool2d", "adaptive_max_pool3d",
        "affine_grid_generator", "avg_pool1d", "avg_pool2d", "avg_pool3d", "batch_norm_elemt",
        "batch_norm_stats", "channel_shuffle", "col2im", "constant_pad_nd", "cudnn_batch_norm", "embedding",
        "fractional_max_pool2d", "grid_sampler_2d", "grid_sampler_3d", "im2col", "max_pool1d", "max_pool2d",
        "max_pool2d_with_indices", "max_pool3d", "max_pool3d_with_indices", "max_unpool2d", "max_unpool3d",
        "meshgrid", "mkldnn_max_pool2d", "native_batch_norm", "native_dropout", "native_group_norm",
        "native_layer_norm", "pad", "pixel_shuffle", "pixel_unshuffle", "reflection_pad1d",
        "reflection_pad2d", "reflection_pad3d", "replication_pad1d", "replication_pad2d",
        "replication_pad3d", "rms_norm", "upsample_bicubic2d", "upsample_bilinear2d", "upsample_linear1d",
        "upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "upsample_trilinear3d",
        # reductions, softmax, losses, sorting
        "_log_softmax", "_safe_softmax", "_softmax", "all", "amax", "amin", "aminmax", "any", "argmax",
        "argmin", "argsort", "binary_cross_entropy", "binary_cross_entropy_with_logits", "bincount",
        "count_nonzero", "cumprod", "cumsum", "glu", "kthvalue", "linalg_vector_norm", "logsumexp", "max",
        "mean", "median", "min", "mse_loss", "nll_loss2d_forward", "nll_loss_forward", "nonzero", "norm",
        "prod", "searchsorted", "smooth_l1_loss", "softmax", "sort", "std", "std_mean", "sum", "topk",
        "unique", "var", "var_mean",
        # moving, making, asking
        "_assert_async", "_assert_tensor_metadata", "_local_scalar_dense", "_prelu_kernel",
        "_reshape_alias", "_reshape_copy", "_to_copy", "_unsafe_view", "alias", "arange", "as_strided",
        "bernoulli", "bucketize", "cat", "clone", "contiguous", "copy", "detach", "empty", "empty_like",
        "empty_strided", "equal", "eye", "fill", "flip", "full", "full_like", "gather", "hardsigmoid",
        "hardswish", "index", "index_add", "index_put", "index_select", "is_same_size", "lift_fresh",
        "lift_fresh_copy", "linspace", "masked_fill", "masked_select", "new_empty", "new_empty_strided",
        "new_full", "new_ones", "new_zeros", "normal", "one_hot", "ones", "ones_like", "rand", "rand_like",
        "randint", "randn", "randn_like", "random", "randperm", "repeat", "repeat_interleave", "resize",
        "roll", "rot90", "rrelu_with_noise", "scalar_tensor", "scatter", "scatter_add", "select_scatter",
        "set", "slice_scatter", "split_with_sizes_copy", "stack", "tril", "triu", "unbind_copy", "uniform",
        "unsafe_chunk", "unsafe_split", "unsafe_split_with_sizes", "zero", "zeros", "zeros_like",
    }
)  # fmt: skip


class _Known:
    """What is known of each operation, worked out once."""

    def __init__(self) -> None:
        self._counters: dict[Any, _Counter | bool | None] = {}

    def __call__(self, function: Any) -> _Counter | bool | None:
        """Its counter; None where it has nothing to count; False where nobody knows."""
        if function not in self._counters:
            self._counters[function] = self._find(function)
        return self._counters[function]

    @staticmethod
    def _find(function: Any) -> _Counter | bool | None:
        space, _, name = function._schema.name.partition("::")
        name = name[:-1] if name.endswith("_") else name
        if space == "aten" and name in _COUNTERS:
            return _COUNTERS[name]
        if space == "aten" and (name in _NO_MULTIPLY_ADDS or torch.Tag.pointwise in function.tags):
            return None
        if space == "aten" and all(
            r.alias_info is not None and not r.alias_info.is_write for r in function._schema.returns
        ):
            return None  # a view
        return False


_known = _Known()


def multiply_adds(function: Any, args: tuple[Any, ...], output: Any) -> tuple[int, bool]:
    """Multiply-adds of one operation, and whether they are known.

    Args:
        function: As PyTorch's dispatcher hands it over.
        args: Its arguments, with tensors.
        output: What it returned.
    """
    counter = _known(function)
    if counter is None:
        return 0, True
    if counter is False:
        made = (o for o in _flat(output) if isinstance(o, Tensor))
        return 0, not any(o.is_floating_point() or o.is_complex() for o in made)
    assert callable(counter)
    return counter(args, output), True


def _flat(output: Any) -> tuple[Any, ...]:
    return tuple(output) if isinstance(output, list | tuple) else (output,)
