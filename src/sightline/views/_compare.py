"""Two networks side by side, or one while it learns: filters, maps and probabilities."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from sightline.base import SERIES, ArgumentError
from sightline.blueprint import Node
from sightline.views._against import labels, side_by_side
from sightline.views._colour import plotted
from sightline.views._drawn import beside, coloured, highest, labelled, scale_kind, stacked, written
from sightline.views._evidence import probabilities
from sightline.views._kernels import filters_of, filters_panel, find_convolution, learning, snapshots
from sightline.views._kernels import strip as filters_strip
from sightline.views._layers import find_layer
from sightline.views._maps import captured, said_of, stages, strongest
from sightline.views._maps import strip as maps_strip
from sightline.views._registry import How, Request
from sightline.views._softmax import answer, cut, logits_of
from sightline.views._subject import Picture, Subject, open_subject, snapshot
from sightline.views._view import Panel, Pixels, View
from sightline.views._window import spread_evenly

_HALF = 456
_SIDE, _IN_ROW = 108, 100
_FILTERS = 32
_EPOCHS = 12
_CLASSES = 5


def compare(
    first: Subject,
    second: Subject,
    image: str | None = None,
    *,
    layer: str | None = None,
    top: int | None = None,
) -> View:
    """Two networks side by side: filters, and of an image maps of the first and the last stage, and answers.

    Pairs are on one scale.

    Args:
        first: A network.
        second: Another.
        image: As of `Subject.picture`; each is given it as it needs it. None for the filters alone.
        layer: The layer of filters and maps, of both; first convolution and first and last stage where None.
        top: So many filters; 32 where None.

    Raises:
        ArgumentError: if one has no convolution, or no such layer.
    """
    top = _FILTERS if top is None else top
    names = labels(first, second)
    a, b = (_portrait(subject, image, layer, top) for subject in (first, second))
    joined = side_by_side(first, second, a, b)
    of = "" if image is None else f", for {image.rpartition('/')[2] or image}"
    return View(
        how="compare",
        title=f"{names[0]} and {names[1]}{of}",
        notes=("each pair is on one scale, but where it says otherwise", *joined.notes),
        panels=joined.panels,
        columns=2,
        arrays=joined.arrays,
        figures=joined.figures,
    )


def epochs(subject: Subject, picture: Picture | None = None, *, layer: str | None = None) -> View:
    """One network while it learns: its filters, and of an image its answers and maps, epoch by epoch.

    Args:
        subject: From a run whose recipe kept snapshots (`snapshot_every`).
        picture: What it sees; None for the filters alone.
        layer: The layer of filters and maps; the first convolution and the last stage where None.

    Raises:
        ArgumentError: if there are no snapshots.
    """
    files = snapshots(subject)
    if len(files) < 2:
        raise ArgumentError(
            f"compare needs --against MODEL, or a run that kept snapshots, and of {subject.name} there are "
            f"{len(files)}; train with a recipe that sets snapshot_every, as snapshot_every=1"
        )
    files = spread_evenly(files, _EPOCHS)
    panels: list[Panel] = []
    arrays: dict[str, NDArray[Any]] = {}
    convolution = _convolution(subject, layer)
    kept = learning(subject, convolution)
    if kept:
        panels.append(filters_strip(kept))
        arrays["filters"] = np.stack([weight for _, weight in kept])
    figures: dict[str, Any] = {"epochs": [name for name, _ in files], "layer": convolution.id}
    if picture is not None:
        node = (
            stages(subject.blueprint)[-1]
            if layer is None
            else find_layer(subject.blueprint, layer, needs="maps")
        )
        logits, seen = [], []
        for _, file in files:
            then = snapshot(subject, file)
            logits.append(logits_of(then, picture))
            seen.append(captured(then, picture, [node])[0])
        arrays |= {"logits": np.stack(logits), "maps": np.stack(seen)}
        names = [name for name, _ in files]
        panels += [_learned(subject, np.stack(logits), names), _maps_learned(node, np.stack(seen), names)]
        figures["maps_of"] = node.id
    return View(
        how="compare",
        title=f"{subject.name} while it learned{'' if picture is None else f', for {picture.title}'}",
        notes=(
            f"{len(files)} snapshots of its run, from {files[0][0]} to {files[-1][0]}",
            *(() if picture is None else picture.notes),
        ),
        panels=tuple(panels),
        arrays=arrays,
        figures=figures,
    )


def _convolution(subject: Subject, layer: str | None) -> Node:
    """The convolution of a layer asked for; the first, if that layer is none and its maps are meant."""
    if layer is None:
        return find_convolution(subject, None)
    try:
        return find_convolution(subject, layer)
    except ArgumentError:
        find_layer(subject.blueprint, layer, needs="maps")
        return find_convolution(subject, None)


def _portrait(subject: Subject, image: str | None, layer: str | None, top: int) -> View:
    """One network: filters, maps, answers; each half a page wide."""
    node = _convolution(subject, layer)
    weight = filters_of(subject, node)
    page, what = filters_panel(weight, None, top, _HALF)
    shape = "x".join(map(str, weight.shape))
    panels = [_titled(page, f"filters of {node.id}, {shape}")]
    arrays: dict[str, NDArray[Any]] = {"weight": weight}
    figures: dict[str, Any] = {"layer": node.id, "shape": list(weight.shape)}
    notes = [f"filters: {what}"]
    if image is not None:
        picture = subject.picture(image)
        notes += picture.notes
        if layer is None:
            every = stages(subject.blueprint)
            nodes = [every[0], every[-1]] if len(every) > 1 else every
        else:
            nodes = [find_layer(subject.blueprint, layer, needs="maps")]
        for shown, values in zip(nodes, captured(subject, picture, nodes), strict=True):
            title = f"{shown.id}: {len(values)} maps of {values.shape[1]} x {values.shape[2]}"
            panels.append(
                maps_strip(
                    values, strongest(values, 8), title=title, caption=said_of(values), columns=4, side=_SIDE
                )
            )
        logits = logits_of(subject, picture)
        arrays["logits"] = logits
        panels.append(answer(subject, logits, _HALF))
    return View(
        how="compare", title=subject.name, notes=tuple(notes), panels=tuple(panels), arrays=arrays,
        figures=figures,
    )  # fmt: skip


def _titled(panel: Panel, title: str) -> Panel:
    """The same with another title, on whatever scale."""
    draw = panel.on_scale
    again = None if draw is None else lambda high: _titled(draw(high), title)
    return dataclasses.replace(panel, title=title, on_scale=again)


def _learned(subject: Subject, logits: NDArray[np.float64], names: list[str]) -> Panel:
    """What the answer was at each epoch."""
    shares = probabilities(subject, torch.from_numpy(logits)).numpy()
    best = np.argsort(-shares.max(0), kind="stable")[:_CLASSES]

    def draw(axes: Any) -> None:
        numbers = [int(name.removeprefix("epoch ")) for name in names]
        for colour, k in zip(SERIES, best, strict=False):
            axes.plot(
                numbers,
                100 * shares[:, k],
                marker=".",
                color=colour,
                label=cut(subject.class_name(int(k)), 24),
            )
        axes.set_ylim(0, 101)
        axes.set_xlabel("epoch")
        axes.set_ylabel("probability in %")
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))

    panel = plotted(draw, 940, 280)
    return Panel(pixels=panel.pixels, width=panel.width, title="Its answer")


def _maps_learned(node: Node, values: NDArray[np.float32], names: list[str]) -> Panel:
    """Maps of one layer, an epoch a row: those strongest at last."""
    units = strongest(values[-1], 8)
    kind, high = scale_kind(values), highest(values)
    rows = []
    for name, maps in zip(names, values, strict=True):
        tiles: list[tuple[Pixels | str, str]] = []
        for k in units:
            shown = coloured(maps[k], kind, high)[0] if maps[k].any() else "never fires here"
            tiles.append((shown, f"{k}: {maps[k].max():.3g}"))
        row = labelled(tiles, _IN_ROW, len(units), smooth=values.shape[-1] > _IN_ROW)
        rows.append(beside([written(name, width=88), Image.fromarray(row)]))
    scale = coloured(values[0, 0], kind, high)[1]
    pixels = stacked(rows, 6)
    return Panel(
        pixels=pixels, title=f"Maps of {node.id}, an epoch a row; beneath, unit and largest value",
        caption=f"one scale for all epochs, from {values.min():.4g} to {values.max():.4g}", scale=scale,
        smooth=False, width=pixels.shape[1],
    )  # fmt: skip


def _make(subject: Subject, request: Request) -> View:
    if request.against is None:
        picture = None if request.image is None else subject.picture(request.image)
        return epochs(subject, picture, layer=request.layer)
    other = open_subject(
        request.against,
        device=request.device,
        classes=request.classes or (),
        input_size=request.input_size,
    )
    return compare(subject, other, request.image, layer=request.layer, top=request.top)


VIEWS = (
    How(
        name="compare",
        about="two networks side by side (--against), or one while it learned: filters, maps, answers",
        make=_make,
        needs="image",
        optional=True,
        options=frozenset({"against", "layer", "top"}),
    ),
)
