"""A transposed convolution as the convolution that it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sightline.base import ArgumentError, DataError
from sightline.blueprint import Call, Node, execute
from sightline.views._subject import Subject
from sightline.views._taken import Array, Taken

TURNED = (
    "it is a transposed convolution, written as the convolution that it is: over its input with stride - 1 "
    "zeros between its values, by each filter turned half round"
)
_ARGUMENTS = ("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation")
"""Of the function, in their order."""


def take_transposed(
    subject: Subject, node: Node, x: Tensor, capture: Collection[str] = ()
) -> tuple[Taken, Mapping[str, Tensor]]:
    """What a transposed convolution is given and makes, as `take` gives a convolution.

    Between the values of its input lie stride - 1 zeros, and each filter is turned half round.

    Args:
        subject: The network; left as it was.
        node: A transposed convolution over images.
        x: (1, C, H, W).
        capture: Other nodes whose outputs are wanted.

    Raises:
        DataError: if what it makes is not finite.

    Source: Dumoulin and Visin 2016, "A guide to convolution arithmetic for deep learning", section 4.
    """
    met: list[Taken] = []

    def rule(call: Call) -> Any:
        given = _arguments(call)
        values = given["input"].detach().clone()
        output = call.run()
        if not torch.isfinite(output).all():
            raise DataError(f"{node.id}: its output holds values that are not finite")
        if values.dim() != 4 or len(values) != 1:
            raise ArgumentError(f"{node.id} is given {tuple(values.shape)}, no maps of one image")
        met.append(_as_convolution({**given, "input": values}, output))
        return output

    with torch.no_grad(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        execution = execute(subject.network, x, capture=[node.id, *capture], rules={node.id: rule})
    return met[0], execution.captured


def _arguments(call: Call) -> dict[str, Any]:
    """Of a layer or of the function, by name."""
    defaults = {"bias": None, "stride": 1, "padding": 0, "groups": 1, "dilation": 1}
    if isinstance(call.module, nn.ConvTranspose2d):
        own = {name: getattr(call.module, name) for name in _ARGUMENTS[1:]}
        return {"input": call.args[0] if call.args else call.kwargs["input"], **own}
    return {**defaults, **dict(zip(_ARGUMENTS, call.args, strict=False)), **call.kwargs}


def _as_convolution(given: Mapping[str, Any], output: Tensor) -> Taken:
    x, made = _array(given["input"])[0], _array(output)[0]
    weight, groups = _array(given["weight"]), given["groups"]  # (C, K / groups, h, w)
    stride, padding, dilation = (
        (v, v) if isinstance(v, int) else (v[0], v[-1])
        for v in (given["stride"], given["padding"], given["dilation"])
    )
    many, kernel = weight.shape[1], weight.shape[2:]
    turned = weight[:, :, ::-1, ::-1].reshape(groups, -1, many, *kernel)
    apart = np.zeros((len(x), *((n - 1) * s + 1 for n, s in zip(x.shape[1:], stride, strict=True))))
    apart[:, :: stride[0], :: stride[1]] = x
    return Taken(
        kind="sum", x=apart, output=made, kernel=(kernel[0], kernel[1]), dilation=dilation, groups=groups,
        weight=turned.swapaxes(1, 2).reshape(groups * many, -1, *kernel),
        bias=None if given["bias"] is None else _array(given["bias"]),
        padding=(dilation[0] * (kernel[0] - 1) - padding[0], dilation[1] * (kernel[1] - 1) - padding[1]),
    )  # fmt: skip


def _array(tensor: Tensor) -> Array:
    return tensor.detach().double().cpu().numpy()
