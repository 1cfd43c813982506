"""The filters of a layer as images, and while they learn."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sightline.base import ArgumentError
from sightline.blueprint import Node
from sightline.views._colour import signed
from sightline.views._layers import convolutions, find_layer
from sightline.views._registry import How, Request
from sightline.views._subject import Subject
from sightline.views._view import Panel, Pixels, Scale, View

_SHOWN = 256
_GAP = 1


def kernels(subject: Subject, *, layer: str | None = None, unit: int | None = None, top: int = 64) -> View:
    """The filters of a convolution as images.

    A layer with three input channels shows each filter in their colours, all on one signed scale: mid grey is
    0. Any other shows, of one filter, each input channel's part; of all filters, the first input channel's.

    Args:
        subject: The network.
        layer: As `find_layer`; the first convolution where None.
        unit: One filter, by its output channel; all where None.
        top: At most so many pictures.

    Raises:
        ArgumentError: if there is no such convolution or filter.
    """
    node, weight = _weight(subject, layer)
    count, channels, height, width = weight.shape
    if unit is not None and not 0 <= unit < count:
        raise ArgumentError(f"--unit {unit}: {node.id} has filters 0 to {count - 1}")
    most = float(np.abs(weight).max())
    if channels == 3:
        chosen = range(count) if unit is None else [unit]
        tiles = [_coloured(weight[k], most) for k in chosen][:top]
        titles = [f"{k}" for k in chosen][:top]
        what = "in the colours of its three inputs; mid grey is 0"
    else:
        parts = weight[:, 0] if unit is None else weight[unit]
        tiles = [signed(part, most)[0] for part in parts[:top]]
        titles = [f"{k}" for k in range(len(tiles))]
        what = "the part on input channel 0" if unit is None else f"filter {unit}, a picture an input channel"
    left_out = (count if unit is None else 1 if channels == 3 else channels) - len(tiles)
    more = f"; {left_out} more are not shown (--top)" if left_out else ""
    scale = Scale("signed", -most, most)
    panel = Panel(
        pixels=grid(tiles),
        title=f"{titles[0]} to {titles[-1]}, by rows" if len(tiles) > 1 else titles[0],
        caption=f"weights from {weight.min():.4g} to {weight.max():.4g}",
        scale=None if channels == 3 else scale,
        smooth=False,
        width=grid(tiles).shape[1] * max(1, min(24, 960 // grid(tiles).shape[1])),
    )
    shapes = f"{count}x{channels}x{height}x{width} (Keras {height}x{width}x{channels}x{count})"
    return View(
        how="kernels",
        title=f"Filters of {node.id}, {subject.name}: {shapes}",
        notes=(f"{what}; one scale for all, from {-most:.4g} to {most:.4g}{more}",),
        panels=(panel,),
        arrays={"weight": weight},
        figures={
            "layer": node.id,
            "shape": list(weight.shape),
            "keras_shape": [height, width, channels, count],
            "range": [float(weight.min()), float(weight.max())],
        },
    )


def grid(tiles: list[Pixels], columns: int | None = None) -> Pixels:
    """Pictures of one size in rows, with a line between."""
    height, width = tiles[0].shape[:2]
    columns = columns or min(len(tiles), max(1, math.ceil(math.sqrt(len(tiles) * 2))))
    rows = -(-len(tiles) // columns)
    page = np.full((rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 3), 255, np.uint8)
    for k, tile in enumerate(tiles):
        top, left = k // columns * (height + _GAP), k % columns * (width + _GAP)
        page[top : top + height, left : left + width] = tile
    return page


def _weight(subject: Subject, layer: str | None) -> tuple[Node, NDArray[np.float32]]:
    """The convolution asked for, or the first, and its filters (out, in, height, width)."""
    every = convolutions(subject.blueprint)
    node = every[0] if layer is None else find_layer(subject.blueprint, layer)
    if node not in every:
        raise ArgumentError(f"--layer {layer}: {node.id} is {node.kind}; filters are those of a convolution")
    name = next((n for n in (*node.parameters, *node.shared) if n.rpartition(".")[2] == "weight"), None)
    tensors = dict(subject.network.named_parameters())
    if name is None or name not in tensors or tensors[name].dim() != 4:
        candidates = [n for n in (*node.parameters, *node.shared) if n in tensors and tensors[n].dim() == 4]
        if not candidates:
            raise ArgumentError(f"{node.id}: its filters are made while it runs, and are no parameter")
        name = candidates[0]
    return node, tensors[name].detach().float().cpu().numpy()


def _coloured(weight: NDArray[np.float32], most: float) -> Pixels:
    """A filter (3, h, w) as a colour picture about mid grey."""
    values = 127.5 + 127.5 * weight.transpose(1, 2, 0) / (most or 1.0)
    colours: Pixels = np.rint(values).astype(np.uint8)
    return colours


def _make(subject: Subject, request: Request) -> View:
    top = _SHOWN if request.top is None else request.top
    return kernels(subject, layer=request.layer, unit=request.unit, top=top)


VIEWS = (
    How(
        name="kernels",
        about="the filters of a layer as images",
        make=_make,
        needs="nothing",
        options=frozenset({"layer", "unit", "top"}),
    ),
)
