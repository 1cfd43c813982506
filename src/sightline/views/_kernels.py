"""The filters of a layer as images, and while they learn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from sightline.base import ArgumentError, Finding
from sightline.blueprint import Node
from sightline.records import read_weights
from sightline.views._colour import signed
from sightline.views._drawn import beside, stacked, written
from sightline.views._layers import convolutions, find_layer
from sightline.views._registry import How, Request
from sightline.views._subject import Subject
from sightline.views._taken import take
from sightline.views._view import Panel, Pixels, Scale, View
from sightline.views._window import spread_evenly

_SHOWN, _ALL = 64, 128
"""Filters shown where nothing is said: all, if they are no more than these, else so many."""
_ROWS = 24
"""Of these where each is a row."""
_ACROSS = 32
"""Input channels beside each other, where filters are shown by them."""
_IN_STRIP, _EPOCHS = 16, 16
_GAP = 6
_FRAME = 205
_LARGEST = 24
"""Screen pixels of a weight."""
_WIDTH = 960

Filters = NDArray[np.float32]


def kernels(
    subject: Subject, *, layer: str | None = None, unit: int | None = None, top: int | None = None
) -> View:
    """The filters of a convolution as images, and of a run that kept snapshots, while they learn.

    A layer with three input channels shows each filter in their colours: mid grey is 0. One with a single
    input channel shows each filter; any other, a filter a row and an input channel a column; one filter
    alone, its input channels. All are on one signed scale. What is shown is what the network convolves with:
    weights that are computed, as normalised ones, as they come out.

    Args:
        subject: The network.
        layer: As `find_layer`; the first convolution where None.
        unit: One filter, by its output channel; all where None.
        top: At most so many filters, or input channels of one; where None all of 128, else 64, and 24 where
            each is a row.

    Raises:
        ArgumentError: if there is no such convolution or filter.

    Example:
        >>> import torch
        >>> from sightline.views import Subject
        >>> view = kernels(Subject.of(torch.nn.Conv2d(3, 8, 5), (3, 16, 16)))
        >>> view.figures["shape"], view.figures["keras_shape"]
        ([8, 3, 5, 5], [5, 5, 3, 8])
    """
    node = find_convolution(subject, layer)
    weight = filters_of(subject, node)
    count, channels, height, width = weight.shape
    if unit is not None and not 0 <= unit < count:
        raise ArgumentError(f"--unit {unit}: {node.id} has filters 0 to {count - 1}")
    shapes = f"{count}x{channels}x{height}x{width} (Keras {height}x{width}x{channels}x{count})"
    page, what = filters_panel(weight, unit, top)
    most = float(np.abs(weight).max())
    epochs = learning(subject, node)
    panels = [page]
    if len(epochs) > 1:
        panels.append(strip(epochs))
    return View(
        how="kernels",
        title=f"Filters of {node.id}, {subject.name}: {shapes}",
        notes=(f"{what}; one scale for all, from {-most:.4g} to {most:.4g}",),
        panels=tuple(panels),
        arrays={"weight": weight, **{name.replace(" ", "_"): w for name, w in epochs}},
        figures={
            "layer": node.id,
            "shape": list(weight.shape),
            "keras_shape": [height, width, channels, count],
            "range": [float(weight.min()), float(weight.max())],
            "epochs": [name for name, _ in epochs],
        },
        findings=_faults(node, weight),
        frames=_frames(epochs, unit, top) if len(epochs) > 1 else (),
    )


def find_convolution(subject: Subject, layer: str | None) -> Node:
    """The convolution of a name, the last of a module's, or the first of all where None.

    Raises:
        ArgumentError: if there is none.
    """
    every = convolutions(subject.blueprint)
    if layer is None:
        return every[0]
    inside = [node for node in every if node.id.startswith((f"{layer}.", f"{layer}:"))]
    if inside and layer not in subject.blueprint.index:
        return inside[-1]
    node = find_layer(subject.blueprint, layer)
    if node not in every:
        raise ArgumentError(f"--layer {layer}: {node.id} is {node.kind}; filters are those of a convolution")
    return node


def filters_of(subject: Subject, node: Node) -> Filters:
    """What a convolution convolves with. -> (out, in / groups, height, width)."""
    taken, _ = take(subject, node, torch.zeros((1, *subject.input_shape), device=subject.device))
    assert taken.weight is not None
    return taken.weight.astype(np.float32)


def learning(subject: Subject, node: Node) -> list[tuple[str, Filters]]:
    """A convolution's filters in the snapshots of its run, by epoch; empty where none were kept."""
    files = snapshots(subject)
    name = _parameter(subject, node)
    if not files or name is None:
        return []
    chosen = spread_evenly(files, _EPOCHS)
    return [(epoch, read_weights(file)[name].float().numpy()) for epoch, file in chosen]


def snapshots(subject: Subject) -> list[tuple[str, Path]]:
    """The snapshots that the run of a model file kept, as (`epoch N`, file)."""
    path = None if subject.model is None else subject.model.path
    if path is None or subject.header is None:
        return []
    found = {}
    for file in (path.parent / "snapshots").glob("epoch-*.safetensors"):
        number = file.stem.removeprefix("epoch-")
        if number.isdecimal():
            found[int(number)] = file
    return [(f"epoch {number}", found[number]) for number in sorted(found)]


def strip(epochs: Sequence[tuple[str, Filters]], count: int = _IN_STRIP) -> Panel:
    """The first filters while they learn: a row an epoch, one scale for all."""
    most = max(float(np.abs(w).max()) for _, w in epochs)
    count = min(count, len(epochs[0][1]))

    def draw(high: float) -> Panel:
        rows = []
        for name, weight in epochs:
            tiles = [_tile(weight[k], high) for k in range(count)]
            rows.append((name, grid(tiles, len(tiles), min(_WIDTH - 100, 90 * len(tiles)))))
        lines = [beside([written(name, width=88), Image.fromarray(picture)]) for name, picture in rows]
        pixels = stacked(lines, 4)
        coloured = epochs[0][1].shape[1] == 3
        what = "" if coloured or epochs[0][1].shape[1] == 1 else ", their part on input channel 0"
        return Panel(
            pixels=pixels,
            title=f"While they learn: filters 0 to {count - 1}{what}, a row an epoch",
            caption=f"one scale for all epochs, from {-high:.4g} to {high:.4g}",
            scale=Scale("grey" if coloured else "signed", -high, high),
            smooth=False,
            width=pixels.shape[1],
            on_scale=draw,
        )

    return draw(most)


def grid(tiles: list[Pixels], columns: int | None, width: int) -> Pixels:
    """Pictures of one size in rows, framed, enlarged by one whole factor to about a width in all."""
    columns = columns or across(len(tiles))
    factor = max(1, min(_LARGEST, ((width + _GAP) // columns - _GAP) // tiles[0].shape[1]))
    tall, wide = (n * factor + _GAP for n in tiles[0].shape[:2])
    rows = -(-len(tiles) // columns)
    page = np.full((rows * tall, columns * wide, 3), 255, np.uint8)
    for k, tile in enumerate(tiles):
        top, left = k // columns * tall, k % columns * wide
        page[top : top + tall - _GAP + 2, left : left + wide - _GAP + 2] = _FRAME
        inner = np.kron(tile, np.ones((factor, factor, 1), np.uint8))
        page[top + 1 : top + 1 + inner.shape[0], left + 1 : left + 1 + inner.shape[1]] = inner
    return page


def across(count: int) -> int:
    """How many stand in a row, for a page twice as wide as high: so that no row is ragged, where that can be.

    Example:
        >>> across(96), across(64), across(6), across(7), across(37)
        (12, 8, 3, 7, 9)
    """
    wanted = math.sqrt(2 * count)
    even = [c for c in range(1, count + 1) if count % c == 0 and wanted / 2 <= c <= 2 * wanted]
    return min(even, key=lambda c: abs(c - wanted), default=min(count, math.ceil(wanted)))


def filters_panel(
    weight: Filters, unit: int | None, top: int | None, width: int = _WIDTH
) -> tuple[Panel, str]:
    """The filters as one panel, and how they lie on it."""
    count, channels = weight.shape[:2]
    asked, rows = top, unit is None and channels not in (1, 3)
    if top is None:
        there = count if unit is None else channels
        top = _ROWS if rows else there if there <= _ALL else _SHOWN
    columns: int | None = None
    if channels == 3:
        chosen = list(range(count))[:top] if unit is None else [unit]
        parts = [weight[k] for k in chosen]
        title = _span("filter", chosen)
        what = (
            f"{len(chosen)} of {count} filters, by rows, in the colours of their three inputs; mid grey is 0"
        )
    elif channels == 1 or unit is not None:
        whole = weight[:, 0] if unit is None else weight[unit]
        parts = list(whole[:top, None])
        title = _span("filter" if unit is None else "input channel", range(len(parts)))
        many = f"{len(parts)} of {len(whole)}"
        what = (
            f"{many} filters, by rows" if unit is None else f"filter {unit}, {many} input channels, by rows"
        )
    else:
        columns = min(channels, _ACROSS)
        parts = [part[None] for kernel in weight[:top] for part in kernel[:columns]]
        title = (
            f"{_span('filter', range(min(top, count)))}, a row each; {_span('input channel', range(columns))}"
        )
        what = f"{min(top, count)} of {count} filters, {columns} of {channels} input channels"

    if asked is None and len(parts) < (count if unit is None else channels) and not rows:
        what += "; --top N shows more"
    if asked is None and rows and top < count:
        what += "; --top N shows more"

    def draw(high: float) -> Panel:
        pixels = grid([_tile(part, high) for part in parts], columns, width)
        return Panel(
            pixels=pixels,
            title=title,
            caption=f"weights from {weight.min():.4g} to {weight.max():.4g}",
            scale=Scale("grey" if channels == 3 else "signed", -high, high),
            smooth=False,
            width=pixels.shape[1],
            on_scale=draw,
        )

    return draw(float(np.abs(weight).max())), what


def _span(word: str, numbers: Sequence[int]) -> str:
    return f"{word} {numbers[0]}" if len(numbers) == 1 else f"{word}s {numbers[0]} to {numbers[-1]}"


def _tile(part: Filters, most: float) -> Pixels:
    """(C, h, w): three channels as colours about mid grey, else the first on the signed scale."""
    if len(part) != 3:
        return signed(part[0], most)[0]
    values = 127.5 + 127.5 * np.clip(part.transpose(1, 2, 0) / (most or 1.0), -1, 1)
    colours: Pixels = np.rint(values).astype(np.uint8)
    return colours


def _parameter(subject: Subject, node: Node) -> str | None:
    """The parameter that is a convolution's filters; None where they are computed from others."""
    shapes = {name: p.shape for name, p in subject.network.named_parameters()}
    names = [n for n in (*node.parameters, *node.shared) if n in shapes and len(shapes[n]) == 4]
    return names[0] if len(names) == 1 and "parametrizations" not in names[0] else None


def _frames(epochs: Sequence[tuple[str, Filters]], unit: int | None, top: int | None) -> tuple[Panel, ...]:
    most = max(float(np.abs(w).max()) for _, w in epochs)
    frames = []
    for name, weight in epochs:
        page, _ = filters_panel(weight, unit, top)
        assert page.on_scale is not None
        drawn = page.on_scale(most)
        frames.append(
            Panel(
                pixels=drawn.pixels,
                title=name,
                caption=f"one scale for all epochs, to {most:.4g}",
                scale=drawn.scale,
                smooth=False,
                width=drawn.width,
            )
        )
    return tuple(frames)


def _faults(node: Node, weight: Filters) -> tuple[Finding, ...]:
    if weight.any():
        return ()
    return (
        Finding(
            level="warning",
            where=node.id,
            what="every weight is 0",
            why="the layer passes on nothing of what it is given",
            do="load trained weights, or see how it was initialised",
        ),
    )


def _make(subject: Subject, request: Request) -> View:
    found = kernels(subject, layer=request.layer, unit=request.unit, top=request.top)
    moving = request.output is not None and request.output.suffix.lower() == ".gif"
    if moving and not found.frames:
        raise ArgumentError(
            f"-o {request.output}: filters move from snapshot to snapshot of a run, and {subject.name} has "
            f"{len(snapshots(subject))}; train it with a recipe that sets snapshot_every=1"
        )
    return found


VIEWS = (
    How(
        name="kernels",
        about="the filters of a layer as images; of a run with snapshots, while they learn",
        make=_make,
        needs="nothing",
        options=frozenset({"layer", "unit", "top"}),
    ),
)
