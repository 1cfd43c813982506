"""What is drawn of a node: its group, its colour, the words on it."""

from __future__ import annotations

import math

from sightline.base import SERIES
from sightline.blueprint._graph import Node, Shape

COLOURS = {
    "convolution": SERIES[0],
    "pooling": SERIES[1],
    "linear": SERIES[2],
    "merge": SERIES[3],
    "norm": SERIES[4],
    "activation": SERIES[5],
    "module": SERIES[6],
    "other": SERIES[6],
    "input": SERIES[6],
}
"""Colour of a box by what it does: the one table of them."""

WORDS = {
    "convolution": "convolution",
    "pooling": "pooling, resizing",
    "linear": "fully connected, attention",
    "merge": "add, concat, product",
    "norm": "normalisation",
    "activation": "activation",
    "module": "folded module",
    "other": "other",
    "input": "input, output",
}
"""How the legend calls them."""

_ACTIVATIONS = {
    "relu": "ReLU", "relu6": "ReLU6", "leaky_relu": "leaky ReLU", "prelu": "PReLU", "rrelu": "RReLU",
    "elu": "ELU", "celu": "CELU", "selu": "SELU", "gelu": "GELU", "glu": "GLU", "silu": "SiLU",
    "mish": "Mish", "sigmoid": "sigmoid", "tanh": "tanh", "softmax": "softmax",
    "log_softmax": "log-softmax", "softplus": "softplus", "hardtanh": "hard tanh",
    "hardswish": "hard swish", "hardsigmoid": "hard sigmoid", "logsigmoid": "log-sigmoid",
    "softsign": "softsign", "threshold": "threshold", "softmin": "softmin", "tanhshrink": "tanh shrink",
}  # fmt: skip
_NORMS = {
    "batch_norm": "BN", "layer_norm": "LN", "group_norm": "GN", "instance_norm": "IN",
    "rms_norm": "RMS norm", "local_response_norm": "LRN", "normalize": "normalise",
}  # fmt: skip
_MERGES = {
    "add": "add", "cat": "concat", "stack": "stack", "mul": "multiply", "sub": "subtract", "div": "divide",
    "matmul": "matrix product", "bmm": "matrix product", "einsum": "einsum", "where": "where",
    "maximum": "maximum", "baddbmm": "matrix product", "addmm": "matrix product",
}  # fmt: skip
_LINEAR = {
    "linear": "fc", "bilinear": "bilinear", "multi_head_attention": "attention",
    "scaled_dot_product_attention": "attention", "embedding": "embedding", "lstm": "LSTM", "gru": "GRU",
    "rnn": "RNN",
}  # fmt: skip
_RESIZING = {
    "interpolate": "upsample", "pixel_shuffle": "pixel shuffle", "pixel_unshuffle": "pixel unshuffle",
    "grid_sample": "grid sample", "fold": "fold", "unfold": "unfold",
}  # fmt: skip
_PASSED = frozenset(
    {
        "identity", "dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout",
        "feature_alpha_dropout", "flatten", "unflatten", "view", "reshape", "contiguous", "getitem",
        "narrow", "detach", "clone", "to", "float", "half", "squeeze", "unsqueeze", "permute", "transpose",
        "movedim", "expand", "chunk", "split", "unbind", "type_as", "T", "mT", "pad", "stochastic_depth",
        "view_as", "reshape_as", "center_crop", "select", "zero_pad2d", "zero_pad1d", "zero_pad3d",
        "reflection_pad2d", "reflection_pad1d", "replication_pad2d", "constant_pad2d", "swapaxes", "roll",
        "flip", "swapdims", "channel_shuffle",
    }
)  # fmt: skip
"""Kinds that make nothing new of the numbers: drawn as part of the line."""


def spatial(shape: Shape) -> Shape:
    """Sizes behind batch and channels.

    Example:
        >>> spatial((1, 64, 56, 28)), spatial((1, 1000))
        ((56, 28), ())
    """
    return shape[2:]


def channels(shape: Shape) -> int:
    """Length of the axis after the batch; 1 where there is none."""
    return shape[1] if len(shape) > 1 else 1


def by_x(sizes: Shape) -> str:
    """Sizes as written in the pictures.

    Example:
        >>> by_x((5, 5))
        '5x5'
    """
    return "x".join(map(str, sizes))


def out_shape(node: Node) -> Shape:
    """Of the first thing a node makes; empty where it makes none."""
    return node.output_shapes[0] if node.output_shapes else ()


def in_shape(node: Node) -> Shape:
    """Of the first thing it is given."""
    return node.input_shapes[0] if node.input_shapes else ()


def is_convolution(node: Node) -> bool:
    """Whether it slides a kernel of weights, transposed or not."""
    return (
        node.kind.startswith(("conv1d", "conv2d", "conv3d", "conv_transpose")) or node.kind == "convolution"
    )


def is_passed(node: Node) -> bool:
    """Whether a node is drawn as part of the line: it makes nothing new."""
    if node.kind in _PASSED:
        return True
    return "adaptive" in node.kind and in_shape(node) == out_shape(node)


def group(node: Node) -> str:
    """Which entry of `COLOURS` a node has."""
    kind = node.kind
    if is_convolution(node):
        return "convolution"
    if "pool" in kind or kind in _RESIZING or _is_global_mean(node):
        return "pooling"
    if kind in _LINEAR:
        return "linear"
    if kind in _NORMS:
        return "norm"
    if kind in _ACTIVATIONS:
        return "activation"
    if kind in _MERGES or len(set(node.sources)) > 1:
        return "merge"
    return "other"


def _is_global_mean(node: Node) -> bool:
    return node.kind in ("mean", "amax") and len(in_shape(node)) >= 3


def short_word(node: Node) -> str:
    """One word, for what is written behind another operation: `BN`, `ReLU`."""
    return (
        _NORMS.get(node.kind)
        or _ACTIVATIONS.get(node.kind)
        or node.kind.removeprefix("aten.").replace("_", " ")
    )


def name_words(node: Node) -> str:
    """The operation and its window.

    Example:
        `conv 5x5`, `up-conv 2x2`, `max pool 3x3`, `fc`.
    """
    settings = node.settings
    kernel = by_x(tuple(settings.get("kernel_size", ())))
    if is_convolution(node):
        word = "up-conv" if "transpose" in node.kind else "conv"
        if settings.get("groups", 1) == channels(in_shape(node)) > 1:
            word = "depthwise " + word
        return f"{word} {kernel}".strip()
    if "pool" in node.kind:
        word = "max pool" if "max" in node.kind else "avg pool" if "avg" in node.kind else "pool"
        size = spatial(out_shape(node))
        if "adaptive" in node.kind:
            return f"global {word}" if math.prod(size) == 1 else f"{word} to {by_x(size)}"
        return f"{word} {kernel}".strip()
    if _is_global_mean(node):
        return "global avg pool" if node.kind == "mean" else "global max pool"
    if node.kind == "linear" and len(out_shape(node)) > 2:
        return "linear"
    for table in (_LINEAR, _RESIZING, _MERGES, _NORMS, _ACTIVATIONS):
        if node.kind in table:
            return table[node.kind]
    return node.kind.removeprefix("aten.").replace("_", " ")


def step_words(node: Node) -> list[str]:
    """What else there is to say of a window.

    Example:
        `/2` of a stride, `x2` of a transposed one, `2 groups`, `dilated 2`.
    """
    settings = node.settings
    if group(node) not in ("convolution", "pooling"):
        return []
    words = []
    stride = tuple(settings.get("stride", ()))
    if any(s != 1 for s in stride):
        mark = "x" if "transpose" in node.kind else "/"
        words.append(mark + (str(stride[0]) if len(set(stride)) == 1 else by_x(stride)))
    if any(d != 1 for d in settings.get("dilation", ())):
        words.append(f"dilated {max(settings['dilation'])}")
    groups = settings.get("groups", 1)
    if groups > 1 and groups != channels(in_shape(node)):
        words.append(f"{groups} groups")
    return words


def num_outputs(node: Node) -> int:
    """Maps a convolution makes, or features a linear layer makes; 0 for the others."""
    shape = out_shape(node)
    if is_convolution(node):
        return channels(shape)
    return shape[-1] if node.kind in ("linear", "embedding") and shape else 0
