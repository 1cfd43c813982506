"""The lecture's memory table: a line for each convolution, pooling and fully connected layer.

Memory there is counted in values, not in bytes, and parameters without biases.
"""

from __future__ import annotations

import math

from sightline.blueprint._graph import Blueprint, Node, Shape
from sightline.blueprint._table import megabytes

_VGG16_VALUES = 15_237_608
_VGG16_PRINTED = "24M values, 93 MB an image"


def slide_text(blueprint: Blueprint) -> str:
    """The table, line by line, with its totals in values and in bytes.

    Activations and norms have no line of their own on the slide; values are those of one image.

    Args:
        blueprint: Of a recorded pass.

    Source: the lecture's slide "VGGNet"; the total it is usually printed with is from the notes of Stanford's
    CS231n.
    """
    first = blueprint.input_shapes[0][1:]
    lines = [_line("INPUT", first, "0")]
    values, weights, biases = math.prod(first), 0, 0
    for node in blueprint.nodes:
        kind, sum_text, count, extra = _parameters(blueprint, node)
        if not kind or not node.output_shapes:
            continue
        shape = node.output_shapes[0][1:]
        lines.append(_line(kind, shape, sum_text))
        values += math.prod(shape)
        weights += count
        biases += extra
    lines += [
        "",
        f"TOTAL memory: {values:,} values; in float32, 4 bytes each: {megabytes(4 * values)} an image, "
        "forward only",
        f"TOTAL params: {weights:,} without biases, {weights + biases:,} with {biases:,} biases: "
        f"{megabytes(4 * (weights + biases))}",
    ]
    if values == _VGG16_VALUES:
        lines.append(
            f"This table is often printed with a total of {_VGG16_PRINTED}: its own lines add up to what is "
            "said here."
        )
    return "\n".join(lines)


def _parameters(blueprint: Blueprint, node: Node) -> tuple[str, str, int, int]:
    """The slide's name of a node, the sum of its weights, them, and its biases."""
    if node.kind.startswith("conv") and "kernel_size" in node.settings:
        kernel, groups = node.settings["kernel_size"], node.settings["groups"]
        given, made = node.input_shapes[0][1], node.output_shapes[0][1]
        if not node.num_parameters:
            return f"CONV{kernel[0]}-{made}", "shared", 0, 0
        count = math.prod(kernel) * given // groups * made
        factors = "*".join([*map(str, kernel), f"{given}" if groups == 1 else f"{given}/{groups}"])
        return (
            f"CONV{kernel[0]}-{made}",
            f"({factors})*{made} = {count:,}",
            count,
            node.num_parameters - count,
        )
    if "pool" in node.kind and "kernel_size" in node.settings:
        return f"POOL{node.settings['kernel_size'][0]}", "0", 0, 0
    if node.kind == "linear" and node.input_shapes:
        given, made = node.input_shapes[0][-1], node.output_shapes[0][-1]
        count = given * made if node.num_parameters else 0
        factors = _flattened(blueprint, node) or str(given)
        return "FC", f"{factors}*{made} = {count:,}", count, node.num_parameters - count
    return "", "", 0, 0


def _flattened(blueprint: Blueprint, node: Node) -> str:
    """The map a fully connected layer reads, as height*width*channels; empty where it reads a vector."""
    while node.sources and node.sources[0] >= 0:
        node = blueprint.nodes[node.sources[0]]
        shape = node.output_shapes[0][1:]
        if len(shape) > 1:
            return "*".join(map(str, [*shape[1:], shape[0]]))
        if node.kind not in ("flatten", "dropout", "view", "reshape"):
            return ""
    return ""


def _line(kind: str, shape: Shape, parameters: str) -> str:
    if len(shape) > 1:  # height x width x channels, as the lecture writes
        sizes = [*shape[1:], shape[0]]
        memory = "*".join(map(str, sizes))
        size = f"[{'x'.join(map(str, sizes))}]"
    else:
        size, memory = f"[1x1x{shape[0]}]", str(shape[0])
    product = math.prod(shape)
    told = memory if len(shape) == 1 else f"{memory} = {_short(product)}"
    return f"{kind + ':':<10} {size:<14} memory: {told:<22} params: {parameters}"


def _short(count: int) -> str:
    """A number of values as the slide rounds it.

    Example:
        >>> _short(150_528), _short(3_211_264), _short(802_816)
        ('150K', '3.2M', '800K')
    """
    if count >= 1_000_000:
        return f"{count / 1e6:.1f}M"
    if count < 10_000:
        return str(count)
    return f"{count // 1000 if count >= 100_352 and count % 100_352 else _rounded(count)}K"


def _rounded(count: int) -> int:
    """Thousands, to two digits: 802,816 is printed 800K, 25,088 25K."""
    thousands = count / 1000
    digits = 10 ** (len(str(int(thousands))) - 1)
    return int(thousands // digits * digits) if thousands >= 100 else int(thousands)
