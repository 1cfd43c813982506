"""The same network as a program: PyTorch, or Keras 3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sightline.base import ArgumentError
from sightline.reference._design_solve import same_padding

if TYPE_CHECKING:
    from sightline.reference._design import Design, DesignLayer

_TORCH = {
    "relu": "nn.ReLU()", "sigmoid": "nn.Sigmoid()", "tanh": "nn.Tanh()", "gelu": "nn.GELU()",
    "silu": "nn.SiLU()", "softmax": "nn.Softmax(dim=1)", "flatten": "nn.Flatten()",
}  # fmt: skip
_KERAS = {
    "relu": "layers.ReLU()", "sigmoid": 'layers.Activation("sigmoid")', "tanh": 'layers.Activation("tanh")',
    "gelu": 'layers.Activation("gelu")', "silu": 'layers.Activation("silu")', "softmax": "layers.Softmax()",
    "flatten": "layers.Flatten()",
}  # fmt: skip

_KERAS_PAD = '''
class Pad(layers.Layer):
    """Pad before a maximum: with what can never be one."""

    def __init__(self, pads, **kwargs):
        super().__init__(**kwargs)
        self.pads = pads

    def call(self, x):
        return ops.pad(x, [(0, 0), *self.pads, (0, 0)], constant_values=float("-inf"))

'''
_KERAS_LRN = '''
class LocalResponseNorm(layers.Layer):
    """x / (1 + alpha/size * the sum of squares over neighbouring channels)^beta, as torch.nn has it."""

    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        self.size = size

    def call(self, x):
        before, channels = self.size // 2, x.shape[-1]
        around = [(0, 0)] * (len(x.shape) - 1) + [(before, self.size - 1 - before)]
        squares = ops.pad(ops.square(x), around)
        total = sum(squares[..., i : i + channels] for i in range(self.size))
        return x / ops.power(1 + 1e-4 / self.size * total, 0.75)

'''


def torch_source(design: Design) -> str:
    """A program that builds the network as an `nn.Sequential`, and runs it once.

    Example:
        >>> from sightline.reference import design
        >>> print(torch_source(design("7", "fc:2")).splitlines()[4])
            nn.Linear(7, 2),  # -> 2
    """
    lines = ["import torch", "from torch import nn", "", "network = nn.Sequential("]
    for layer in design.layers:
        made = _torch_layer(layer)
        shape = ",".join(map(str, layer.output_shape))
        lines += [f"    {text}," for text in made[:-1]]
        lines.append(f"    {made[-1]},  # -> {shape}")
    shape = ", ".join(map(str, design.input_shape))
    lines += [
        ")",
        "",
        'if __name__ == "__main__":',
        "    network.eval()",
        f"    print(tuple(network(torch.zeros(1, {shape})).shape))",
        f"    print(sum(p.numel() for p in network.parameters()))  # {design.parameters}",
    ]
    return "\n".join(lines) + "\n"


def _torch_layer(layer: DesignLayer) -> list[str]:
    """The modules of a layer."""
    axes, channels = len(layer.input_shape) - 1, layer.input_shape[0]
    if layer.kind == "fc":
        inputs = _count(layer.input_shape)
        bias = "" if layer.bias else ", bias=False"
        return (["nn.Flatten()"] if axes else []) + [f"nn.Linear({inputs}, {layer.output_shape[0]}{bias})"]
    if layer.kind == "gap":
        return [f"nn.AdaptiveAvgPool{axes}d(1)"]
    if layer.kind == "bn":
        return [f"nn.BatchNorm{max(1, axes)}d({channels})"]
    if layer.kind == "dropout":
        return [f"nn.Dropout({layer.main:g})"]
    if layer.kind == "lrn":
        return [f"nn.LocalResponseNorm({int(layer.main)})"]
    if layer.padding is None:
        return [_TORCH[layer.kind]]
    assert layer.kernel_size is not None
    assert layer.stride is not None
    assert layer.dilation is not None
    before, padding = [], layer.padding
    if any(a != b for a, b in padding):
        value = 'float("-inf")' if layer.kind == "pool" else "0.0"
        sides = ", ".join(f"{a}, {b}" for a, b in reversed(padding))
        before = [f"nn.ConstantPad{axes}d(({sides}), {value})"]
        padding = tuple((0, 0) for _ in padding)
    arguments = [_one(layer.kernel_size)]
    same_stride = layer.stride == (layer.kernel_size if "pool" in layer.kind else (1,) * axes)
    if not same_stride:
        arguments.append(f"stride={_one(layer.stride)}")
    if any(a for a, _ in padding):
        arguments.append(f"padding={_one([a for a, _ in padding])}")
    if layer.output_padding and any(layer.output_padding):
        arguments.append(f"output_padding={_one(layer.output_padding)}")
    if set(layer.dilation) != {1}:
        arguments.append(f"dilation={_one(layer.dilation)}")
    if layer.groups > 1:
        arguments.append(f"groups={layer.groups}")
    if not layer.bias:
        arguments.append("bias=False")
    if layer.ceil:
        arguments.append("ceil_mode=True")
    name = {"pool": "MaxPool", "avgpool": "AvgPool", "tconv": "ConvTranspose"}.get(layer.kind, "Conv")
    if "pool" not in layer.kind:
        arguments = [str(channels), str(layer.output_shape[0]), *arguments]
    return [*before, f"nn.{name}{axes}d({', '.join(arguments)})"]


def keras_source(design: Design) -> str:
    """A program that builds the network as a Keras 3 `Sequential`, channels last, and prints its summary.

    Raises:
        ArgumentError: if Keras has no such layer.

    Example:
        >>> from sightline.reference import design
        >>> print(keras_source(design("7", "fc:2")).splitlines()[6])
                layers.Dense(2),  # -> 2
    """
    body = []
    for number, layer in enumerate(design.layers, 1):
        made = _keras_layer(f"layer {number}, {layer.layer}", layer)
        channels, *size = layer.output_shape
        body += [f"        {text}," for text in made[:-1]]
        body.append(f"        {made[-1]},  # -> {','.join(map(str, [*size, channels]))}")
    channels, *size = design.input_shape
    shape = ", ".join(map(str, [*size, channels])) + ("" if size else ",")
    text = "\n".join(body)
    helpers = (_KERAS_PAD if "Pad(" in text.replace("ZeroPad", "") else "") + (
        _KERAS_LRN if "LocalResponseNorm(" in text else ""
    )
    imports = "from keras import layers, ops" if helpers else "from keras import layers"
    return (
        f"import keras\n{imports}\n{helpers}\n"
        f"network = keras.Sequential(\n    [\n        keras.Input(({shape})),\n{text}\n    ]\n)\n\n"
        f'if __name__ == "__main__":\n    network.summary()  # {design.parameters:,} trainable parameters\n'
    )


def _keras_layer(where: str, layer: DesignLayer) -> list[str]:
    axes = len(layer.input_shape) - 1
    if layer.kind == "fc":
        bias = "" if layer.bias else ", use_bias=False"
        return (["layers.Flatten()"] if axes else []) + [f"layers.Dense({layer.output_shape[0]}{bias})"]
    if layer.kind == "gap":
        return [f"layers.GlobalAveragePooling{axes}D(keepdims=True)"]
    if layer.kind == "bn":
        return ["layers.BatchNormalization(momentum=0.9, epsilon=1e-5)"]
    if layer.kind == "dropout":
        return [f"layers.Dropout({layer.main:g})"]
    if layer.kind == "lrn":
        return [f"LocalResponseNorm({int(layer.main)})"]
    if layer.padding is None:
        return [_KERAS[layer.kind]]
    if layer.kind == "tconv":
        return _keras_transposed(where, layer, axes)
    if "pool" in layer.kind:
        return _keras_pooling(where, layer, axes)
    before, padding = _keras_padding(layer, axes)
    assert layer.kernel_size is not None
    assert layer.stride is not None
    assert layer.dilation is not None
    if max(layer.stride) > 1 and max(layer.dilation) > 1:
        raise ArgumentError(f"{where}: Keras has no convolution with both a stride and a dilation")
    arguments = [_one(layer.kernel_size)]
    if layer.kind == "depthwise":
        if len(set(layer.stride)) > 1:
            raise ArgumentError(f"{where}: Keras has no depthwise convolution with two strides")
        multiplier = layer.output_shape[0] // layer.input_shape[0]
        arguments += [f"depth_multiplier={multiplier}"] * (multiplier > 1)
    else:
        arguments.insert(0, str(layer.output_shape[0]))
    if max(layer.stride) > 1:
        arguments.append(f"strides={_one(layer.stride)}")
    arguments += [padding] * bool(padding)
    if max(layer.dilation) > 1:
        arguments.append(f"dilation_rate={_one(layer.dilation)}")
    if layer.kind == "conv" and layer.groups > 1:
        arguments.append(f"groups={layer.groups}")
    if not layer.bias:
        arguments.append("use_bias=False")
    name = "DepthwiseConv" if layer.kind == "depthwise" else "Conv"
    return [*before, f"layers.{name}{axes}D({', '.join(arguments)})"]


def _keras_pooling(where: str, layer: DesignLayer, axes: int) -> list[str]:
    assert layer.kernel_size is not None
    assert layer.stride is not None
    assert layer.padding is not None
    if layer.dilation is not None and max(layer.dilation) > 1:
        raise ArgumentError(f"{where}: Keras has no pooling with a dilation")
    pads = list(layer.padding)
    if layer.ceil:  # as many rows at the end as the last window needs
        for axis, (n, output) in enumerate(zip(layer.input_shape[1:], layer.output_shape[1:], strict=True)):
            needed = (output - 1) * layer.stride[axis] + layer.kernel_size[axis] - n - pads[axis][0]
            if layer.kind == "avgpool" and needed > pads[axis][1]:
                raise ArgumentError(f"{where}: Keras has no average pooling that rounds up")
            pads[axis] = (pads[axis][0], max(pads[axis][1], needed))
    arguments = [_one(layer.kernel_size)]
    if layer.stride != layer.kernel_size:
        arguments.append(f"strides={_one(layer.stride)}")
    before = []
    if any(a or b for a, b in pads):
        sides = ", ".join(f"({a}, {b})" for a, b in pads)
        before = [f"Pad([{sides}])"] if layer.kind == "pool" else [_zero_padding(pads)]
    name = "MaxPooling" if layer.kind == "pool" else "AveragePooling"
    return [*before, f"layers.{name}{axes}D({', '.join(arguments)})"]


def _keras_transposed(where: str, layer: DesignLayer, axes: int) -> list[str]:
    """Keras gives the whole output, from which the padding is cut."""
    assert layer.kernel_size is not None
    assert layer.stride is not None
    assert layer.padding is not None
    assert layer.dilation is not None
    assert layer.output_padding is not None
    if layer.groups > 1 or max(layer.dilation) > 1:
        raise ArgumentError(
            f"{where}: Keras has no transposed convolution with groups or a dilation like this"
        )
    cut = []
    for axis, (before, after) in enumerate(layer.padding):
        longer = max(0, layer.stride[axis] - layer.kernel_size[axis])  # Keras fills the last stride
        end = after - layer.output_padding[axis] + longer
        if end < 0:
            raise ArgumentError(
                f"{where}: Keras has no output padding beyond what the padding cuts; use o{after} or less"
            )
        cut.append((before, end))
    bias = "" if layer.bias else ", use_bias=False"
    stride = f", strides={_one(layer.stride)}" if max(layer.stride) > 1 else ""
    made = [f"layers.Conv{axes}DTranspose({layer.output_shape[0]}, {_one(layer.kernel_size)}{stride}{bias})"]
    if any(a or b for a, b in cut):
        sides = ", ".join(f"({a}, {b})" for a, b in cut)
        made.append(f"layers.Cropping{axes}D({sides if axes == 1 else f'({sides})'})")
    return made


def _keras_padding(layer: DesignLayer, axes: int) -> tuple[list[str], str]:
    """A layer that pads before, or the argument that does."""
    assert layer.kernel_size is not None
    assert layer.stride is not None
    assert layer.padding is not None
    assert layer.dilation is not None
    if not any(a or b for a, b in layer.padding):
        return [], ""
    same = tuple(
        same_padding(n, layer.kernel_size[a], layer.stride[a], layer.dilation[a])
        for a, n in enumerate(layer.input_shape[1:])
    )
    return ([], 'padding="same"') if same == layer.padding else ([_zero_padding(layer.padding)], "")


def _zero_padding(pads: Sequence[tuple[int, int]]) -> str:
    if len(pads) == 1:
        return f"layers.ZeroPadding1D(({pads[0][0]}, {pads[0][1]}))"
    if all(a == b == pads[0][0] for a, b in pads):
        return f"layers.ZeroPadding2D({pads[0][0]})"
    return f"layers.ZeroPadding2D(({', '.join(f'({a}, {b})' for a, b in pads)}))"


def _one(numbers: Sequence[int]) -> str:
    """`5` where all are alike, `(3, 5)` where not."""
    return str(numbers[0]) if len(set(numbers)) == 1 else f"({', '.join(map(str, numbers))})"


def _count(shape: Sequence[int]) -> int:
    count = 1
    for side in shape:
        count *= side
    return count
