"""Kernel, stride, padding and the like, as the dispatcher was given them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sightline.blueprint._graph import Operation, Ref, Value

CONVOLUTIONS = frozenset({"aten.convolution", "aten._convolution", "aten.convolution_overrideable"})
POOLS = {
    "aten.max_pool1d": 1, "aten.max_pool2d_with_indices": 2, "aten.max_pool2d": 2,
    "aten.mkldnn_max_pool2d": 2, "aten.max_pool3d_with_indices": 3, "aten.max_pool3d": 3,
    "aten.avg_pool1d": 1, "aten.avg_pool2d": 2, "aten.avg_pool3d": 3,
}  # fmt: skip
"""Pooling operations, and over how many axes."""
PADS = {
    "aten.constant_pad_nd": 0, "aten.reflection_pad1d": 1, "aten.reflection_pad2d": 2,
    "aten.reflection_pad3d": 3, "aten.replication_pad1d": 1, "aten.replication_pad2d": 2,
    "aten.replication_pad3d": 3,
}  # fmt: skip
"""Padding operations."""


def per_axis(number: Any, axes: int, default: int | None = None) -> tuple[int, ...]:
    """A setting with one entry an axis.

    Example:
        >>> per_axis((2,), 2), per_axis((), 2, 1)
        ((2, 2), (1, 1))
    """
    entries = (number,) if isinstance(number, int) else tuple(number)
    if not entries:
        assert default is not None
        return (default,) * axes
    return entries * axes if len(entries) == 1 else entries


def pool_settings(operation: Operation) -> dict[str, Any]:
    """Of a pooling operation; an average has no dilation."""
    axes = POOLS[operation.name]
    given = (*operation.arguments[1:], *(() for _ in range(6)))
    kernel = per_axis(given[0], axes)
    stride = per_axis(given[1], axes) if given[1] != () else kernel
    padding = per_axis(given[2], axes, 0)
    if "max_pool" in operation.name:
        dilation, ceil = per_axis(given[3], axes, 1), given[4]
    else:
        dilation, ceil = (1,) * axes, given[3]
    return {
        "kernel_size": kernel, "stride": stride, "padding": padding, "dilation": dilation,
        "ceil_mode": bool(ceil) if ceil != () else False,
    }  # fmt: skip


def convolution_settings(operation: Operation, values: Sequence[Value]) -> dict[str, Any]:
    """Of a convolution or a transposed one."""
    weight = operation.arguments[1]
    assert isinstance(weight, Ref)
    kernel = values[weight.value].shape[2:]
    axes = len(kernel)
    _, _, bias, stride, padding, dilation, transposed, output_padding, groups = operation.arguments[:9]
    return {
        "kernel_size": kernel, "stride": per_axis(stride, axes), "padding": per_axis(padding, axes),
        "dilation": per_axis(dilation, axes), "groups": groups, "bias": bias is not None,
        "transposed": bool(transposed), "output_padding": per_axis(output_padding, axes),
    }  # fmt: skip


def read_settings(operations: Sequence[Operation], values: Sequence[Value]) -> Mapping[str, Any]:
    """Settings of a node, from the operations it is made of; empty where it slides no window."""
    found: dict[str, Any] = {}
    before: tuple[tuple[int, int], ...] | None = None
    for operation in operations:
        if operation.name in PADS:
            axes = len(operation.arguments[1]) // 2
            before = tuple(
                (int(operation.arguments[1][2 * k]), int(operation.arguments[1][2 * k + 1]))
                for k in reversed(range(axes))
            )
            continue
        if operation.name in CONVOLUTIONS:
            found = convolution_settings(operation, values)
            if not found["transposed"]:
                del found["transposed"], found["output_padding"]
        elif operation.name in POOLS:
            found = pool_settings(operation)
        else:
            continue
        if before is not None and len(before) == len(found["padding"]):
            found["padding"] = tuple(
                (a + p, b + p) if a != b else a + p
                for (a, b), p in zip(before, found["padding"], strict=True)
            )
        before = None
    if not found and before is not None:
        found = {"padding": before}
    return found
