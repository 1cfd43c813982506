"""What single activations rest on: taken back to the pixels, of one image or of the nine strongest of a set.

Source: Zeiler and Fergus 2014, "Visualizing and understanding convolutional networks", section 2, figure 2.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from sightline.base import ArgumentError, Finding
from sightline.blueprint import Node
from sightline.data import EMBEDDED, ImageSet, Progress
from sightline.views._evolution import learned
from sightline.views._layers import maps_of
from sightline.views._pass import open_set, set_name, up_to
from sightline.views._project import by_gradient, project
from sightline.views._registry import How, Request
from sightline.views._shown import Shown, shown_activation, strongest_shown
from sightline.views._strongest import strongest
from sightline.views._subject import Picture, Subject
from sightline.views._view import Panel, Pixels, Scale, View
from sightline.views._window import (
    OUTSIDE,
    Windows,
    chosen_layers,
    maps_or_vector,
    outlined,
    signal_picture,
    unit_index,
)

_SMALL = 32
"""Pictures up to this many pixels wide are enlarged by whole numbers, so that pixels are seen."""
_LINE = 4
_ENDINGS_OF_SETS = (".csv", ".tsv", ".npz", ".gz", ".bin")

_CONTRAST = (
    "each has its own contrast, as in the paper, so that brightness says nothing between pictures; the "
    "strongest half per cent of its values have full colour"
)


def deconvnet(
    subject: Subject,
    picture: Picture,
    *,
    layer: str | None = None,
    unit: int | None = None,
    at: tuple[int, int] | None = None,
    top: int | None = None,
) -> View:
    """What in an image excites a unit: its activation taken back to the pixels.

    Args:
        subject: The network.
        picture: The image.
        layer: As `find_layer`; up to five layers, from the first to the last, where None.
        unit: A channel of maps, or an output of a vector; the strongest in this image where None.
        at: (row, column) of the activation in the maps; where it is strongest where None.
        top: How many units where none is said: 8 of one layer, 4 of each of several.

    Raises:
        ArgumentError: if there is no such layer, unit or position, or the network cannot be gone through
            backward.
    """
    windows = Windows(subject.blueprint)
    nodes = chosen_layers(subject, layer, unit, at)
    wanted = (4 if len(nodes) > 1 else 8) if top is None else top
    told: list[tuple[Node, int, Shown]] = []
    for node in nodes:
        places = _places(subject, picture, node, unit, at, wanted)
        units = [unit_index(node, u, place) for u, place in places]
        back = project(subject.network, picture.x, node.id, units)
        for k, (u, place) in enumerate(places):
            told.append((node, u, shown_activation(windows, node, u, place, picture, back, k)))
    one = len(told) == 1 and unit is not None
    panels = _panels_of_one(windows, nodes[0], told[0][2]) if one else _pairs(told, nodes)
    what = nodes[0].id if len(nodes) == 1 else f"{len(nodes)} layers"
    which = _which(unit, wanted, len(nodes))
    findings = [
        _silent(node.id, u, s, f"in {picture.title}") for node, u, s in told if s.value <= 0 or s.nothing
    ]
    return View(
        how="deconvnet",
        title=f"Deconvnet of {what}, {which}, {subject.name}, for {picture.title}",
        notes=(
            *(_of_unit(node, u, s, at) for node, u, s in told[:1] if one),
            _meaning(subject),
            *picture.notes,
            *_of_layers(subject, windows, nodes),
        ),
        panels=tuple(panels),
        columns=4 if one else 8,
        arrays={f"{n.id}.{u}.projection": s.pixels for n, u, s in told}
        | {f"{n.id}.{u}.window": np.array(s.window.box) for n, u, s in told},
        figures={
            "image": picture.name,
            "layers": [
                {"layer": node.id, "units": [_figures(u, [s]) for n, u, s in told if n is node]}
                for node in nodes
            ],
        },
        findings=tuple(findings),
    )


def deconvnet_of_set(
    subject: Subject,
    images: ImageSet,
    *,
    layer: str | None = None,
    unit: int | None = None,
    top: int | None = None,
    progress: Progress | None = None,
) -> View:
    """The nine images of a set that excite a unit most: what each activation rests on, beside what was seen.

    Of a run that kept snapshots (`snapshot_every`), and one unit, also the strongest activation of each.

    Args:
        subject: The network.
        images: The set; of each image a unit's strongest place counts.
        layer: As `find_layer`; up to five layers, from the first to the last, where None.
        unit: A channel of maps, or an output of a vector; the strongest in the set where None.
        top: How many units where none is said: 4 of one layer, 2 of each of several.
        progress: Told how far it is.

    Raises:
        ArgumentError: if there is no such layer or unit, or the network cannot be gone through backward.
        DataError: if an image cannot be read.
    """
    windows = Windows(subject.blueprint)
    nodes = chosen_layers(subject, layer, unit)
    found = strongest(subject, images, nodes, progress=progress)
    while_it_learned = None if unit is None else learned(subject, images, nodes[0], unit, progress)
    wide = 232 if unit is None else 480 if while_it_learned is None else 460  # two beside each other
    wanted = (2 if len(nodes) > 1 else 4) if top is None else top
    panels: list[Panel] = []
    arrays: dict[str, Any] = {}
    figures, findings, dead = [], [], []
    for k, node in enumerate(nodes):
        index = found[node.id]
        never = int((index.values[:, 0] <= 0).sum())
        units = [unit] if unit is not None else [int(u) for u in index.order()[:wanted]]
        in_layer = []
        for u in units:
            shown = strongest_shown(subject, images, windows, node, u, index)
            label = f"L{k + 1} " if len(nodes) > 1 else ""
            panels += _two_grids(f"{label}unit {u}", shown, index.values[u], wide)
            in_layer.append(_figures(u, shown))
            name = f"{node.id}.{u}"
            arrays |= {f"{name}.values": index.values[u], f"{name}.images": index.images[u]}
            arrays[f"{name}.places"] = index.places[u]
            if shown:
                arrays[f"{name}.projections"] = np.stack([s.pixels for s in shown])
            else:
                findings.append(_never(node.id, u, len(images), float(index.values[u, 0])))
        panels += [_blank()] * (2 * (wanted - len(units)) if len(nodes) > 1 else 0)
        count = len(index.values)
        figures.append({"layer": node.id, "units": in_layer, "never_fire": never, "of": count})
        if never and unit is None:
            dead.append(f"{never} of {count} units of {node.id}")
    notes: list[str] = []
    if while_it_learned is not None:
        panels.append(while_it_learned.panel)
        notes.append(while_it_learned.note)
        arrays |= while_it_learned.arrays
        figures[0]["epochs"] = while_it_learned.figures
    if dead:
        findings.append(_some_never(subject.name, dead, len(images)))
    what = nodes[0].id if len(nodes) == 1 else f"{len(nodes)} layers"
    which = _which(unit, wanted, len(nodes))
    return View(
        how="deconvnet",
        title=f"Deconvnet of {what}, {which}, {subject.name}, over {set_name(images)}",
        notes=(
            f"of {len(images)} images, those in which the unit is strongest, each by its strongest place, "
            "the strongest first; left, what an activation comes back as; right, what the unit saw"
            + _cut(windows, nodes, subject),
            _meaning(subject),
            *_of_layers(subject, windows, nodes),
            *notes,
        ),
        panels=tuple(panels),
        columns=4 if unit is None else 2 if while_it_learned is None else None,
        arrays=arrays,
        figures={"images": len(images), "layers": figures},
        findings=tuple(findings),
    )


# ---------------------------------------------------------------------- which activations


def _places(
    subject: Subject, picture: Picture, node: Node, unit: int | None, at: tuple[int, int] | None, top: int
) -> list[tuple[int, tuple[int, int]]]:
    """(unit, position) of the activations to take back."""
    with torch.no_grad():
        output = up_to(subject.network, picture.x, node.id)
    maps = (output if isinstance(output, Tensor) else output[0])[0].float()
    units, height, width = maps_or_vector(node)
    maps = maps.reshape(units, height, width).cpu()
    values = maps.flatten(1) if at is None else maps[:, at[0], at[1]][:, None]
    best, place = values.max(dim=1)
    chosen = [unit] if unit is not None else best.argsort(descending=True, stable=True)[:top].tolist()
    return [(u, at if at is not None else divmod(int(place[u]), width)) for u in chosen]


# ---------------------------------------------------------------------- how they are drawn


def _panel(pixels: Pixels, wanted: int, **more: Any) -> Panel:
    """A picture of about a width; a small one enlarged by a whole number."""
    own = pixels.shape[1]
    sharp = own <= _SMALL
    return Panel(
        pixels=pixels, smooth=not sharp, width=max(1, wanted // own) * own if sharp else wanted, **more
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _range(low: float, high: float) -> str:
    return f"{_number(low)} to {_number(high)}"


def _which(unit: int | None, count: int, layers: int) -> str:
    if unit is not None:
        return f"unit {unit}"
    units = "strongest unit" if count == 1 else f"{count} strongest units"
    return f"the {units} of each" if layers > 1 else f"the {units}"


def _panels_of_one(windows: Windows, node: Node, shown: Shown) -> list[Panel]:
    """The image, what comes back, and both cut to the window."""
    most = shown.most()
    scale = None if len(shown.pixels) == 3 else Scale("signed", -most, most)
    row, column = shown.at
    own, field = (shown.window.height, shown.window.width), windows.field(node)
    size = f"{own[0]}x{own[1]} pixels"
    if field is not None and field.size != own and all(field.size):
        reason = "the image is no larger" if shown.window.mask.shape == own else "this one sees less"
        size += f" ({reason}; units of the layer see up to {field.size[0]}x{field.size[1]})"
    cut = shown.patch().shape != shown.picture.pixels.shape
    panels = [
        _panel(
            outlined(shown.picture.pixels, shown.window, 226), 226, title="the image",
            caption=f"framed: what the unit at {row},{column} sees, {size}",
        ),
        _panel(
            signal_picture(shown.pixels, most), 226, title="what comes back", scale=scale,
            caption=f"values from {_range(float(shown.pixels.min()), float(shown.pixels.max()))}",
        ),
        _panel(shown.patch(), 226, title="cut to the field"),
        _panel(signal_picture(shown.crop(), most), 226, title="what comes back, cut", scale=scale),
    ]  # fmt: skip
    return panels if cut else panels[:2]


def _pairs(told: Sequence[tuple[Node, int, Shown]], nodes: Sequence[Node]) -> list[Panel]:
    """What comes back beside what was seen, of one unit after the other, four a row."""
    panels: list[Panel] = []
    for k, node in enumerate(nodes):
        label = f"L{k + 1} " if len(nodes) > 1 else ""
        own = [(u, s) for n, u, s in told if n is node]
        for u, s in own:
            place = f" at {s.at[0]},{s.at[1]}" if maps_of(node) is not None else ""
            said = f"{_number(s.value)}{place}\n{_range(float(s.pixels.min()), float(s.pixels.max()))}"
            back = signal_picture(s.crop(), s.most())
            panels.append(_panel(back, 104, title=f"{label}unit {u}", caption=said))
            panels.append(_panel(s.patch(), 104, title=" "))
        panels += [_blank(104)] * (-2 * len(own) % 8)
    return panels


def _two_grids(title: str, shown: Sequence[Shown], values: NDArray[np.float32], wanted: int) -> list[Panel]:
    """Three by three projections, and three by three patches."""
    if not shown:
        said = f"it never fires; at most {float(values[0]):.3g}: nothing to see"
        return [dataclasses.replace(_blank(wanted), title=title, caption=said), _blank(wanted)]
    least = min(float(s.pixels.min()) for s in shown)
    most = max(float(s.pixels.max()) for s in shown)
    said = f"activations {_range(shown[0].value, shown[-1].value)}; pixels {_range(least, most)}"
    line = 255 if len(shown[0].pixels) == 3 else 140  # neither is the grey of a projection's zero
    backs = [signal_picture(s.crop(), s.most()) for s in shown]
    patches = [s.patch() for s in shown]
    return [
        _three_by_three(backs, wanted, line, title=title, caption=said),
        _three_by_three(patches, wanted, line, title=" ", caption=f"{len(shown)} images"),
    ]


def _three_by_three(tiles: Sequence[Pixels], wanted: int, line: int, **more: Any) -> Panel:
    """Pictures in rows of three, each on the size of the largest, about so wide together, lines between."""
    height, width = max(t.shape[0] for t in tiles), max(t.shape[1] for t in tiles)
    room = (wanted - 2 * _LINE) // 3
    if width <= _SMALL:
        size = (room // width * height, room // width * width)
        how = Image.Resampling.NEAREST
    else:
        size = (max(1, round(room * height / width)), room)
        how = Image.Resampling.LANCZOS if width > room else Image.Resampling.BICUBIC
    page = np.full((3 * (size[0] + _LINE) - _LINE, 3 * (size[1] + _LINE) - _LINE, 3), line, dtype=np.uint8)
    for k, tile in enumerate(tiles):
        whole = np.full((height, width, 3), OUTSIDE, dtype=np.uint8)
        whole[: tile.shape[0], : tile.shape[1]] = tile
        top, left = k // 3 * (size[0] + _LINE), k % 3 * (size[1] + _LINE)
        drawn = Image.fromarray(whole).resize((size[1], size[0]), how)
        page[top : top + size[0], left : left + size[1]] = np.asarray(drawn)
    return Panel(pixels=page, width=page.shape[1], **more)


def _blank(width: int = 232) -> Panel:
    return Panel(pixels=np.full((1, width, 3), 255, dtype=np.uint8), title=" ", width=width, smooth=False)


# ---------------------------------------------------------------------- what is said


def _of_layers(subject: Subject, windows: Windows, nodes: Sequence[Node]) -> list[str]:
    """What each layer is: its maps, its field, and what has no rule."""
    said = []
    for k, node in enumerate(nodes):
        units, height, width = maps_or_vector(node)
        field = windows.field(node)
        sees = "" if field is None else f", a unit sees up to {field.size[0]}x{field.size[1]} pixels"
        if field is not None and all(field.jump):
            sees += f", {field.jump[0]} from one to the next"
        label = f"L{k + 1}: " if len(nodes) > 1 else ""
        said.append(f"{label}{node.id}, {units} maps of {height}x{width}{sees}")
    others = by_gradient(subject.blueprint, nodes[-1].id)
    if others:
        said.append(
            f"no rule of the paper's kind is known for {', '.join(others)}: the signal takes its gradient"
        )
    return said


def _meaning(subject: Subject) -> str:
    channels = subject.input_shape[0]
    if channels == 3:
        colours = "mid grey is 0, and colours are those of the three inputs"
    else:
        colours = "white is 0, orange raises the activation, blue lowers it"
        colours += f" (the sum of {channels} channels)" if channels > 1 else ""
    return f"what comes back: {colours}; {_CONTRAST}"


def _of_unit(node: Node, unit: int, shown: Shown, at: tuple[int, int] | None) -> str:
    if maps_of(node) is None:
        return f"unit {unit} is {shown.value:.4g}"
    where = "the place asked for" if at is not None else "the strongest place of its map"
    return f"unit {unit} is {shown.value:.4g} at row {shown.at[0]}, column {shown.at[1]}, {where}"


def _cut(windows: Windows, nodes: Sequence[Node], subject: Subject) -> str:
    """How much of an image is shown."""
    sides = subject.input_shape[1:]
    cuts = []
    for node in nodes:
        field = windows.field(node)
        cuts.append(
            field is not None and any(0 < size < side for size, side in zip(field.size, sides, strict=True))
        )
    if not any(cuts):
        return ", the whole image"
    said = ", cut to its receptive field" + ("" if all(cuts) else " where that is smaller than the image")
    return f"{said}; flat grey lies beyond the image"


def _figures(unit: int, shown: Sequence[Shown]) -> dict[str, Any]:
    return {
        "unit": unit,
        "strongest": [
            {
                "image": s.picture.name,
                "value": s.value,
                "at": list(s.at),
                "window": list(s.window.box),
                "range": [float(s.pixels.min()), float(s.pixels.max())],
            }
            for s in shown
        ],
    }


def _silent(layer: str, unit: int, shown: Shown, where: str) -> Finding:
    if shown.value > 0:
        return Finding(
            level="warning",
            where=f"{layer} unit {unit}",
            what=f"it fires {where} ({shown.value:.4g}), and nothing of it comes back to the pixels",
            why="the rectified signal dies on the way: there is nothing to see",
            do="choose another unit or position",
        )
    return Finding(
        level="warning",
        where=f"{layer} unit {unit}",
        what=f"it does not fire {where}: it is {shown.value:.4g} at {shown.at[0]},{shown.at[1]}",
        why="there is no activation to take back: there is nothing to see",
        do="choose another unit, position or image",
    )


def _never(layer: str, unit: int, count: int, largest: float) -> Finding:
    return Finding(
        level="warning",
        where=f"{layer} unit {unit}",
        what=f"it never fires on {_these(count)}: at most it is {largest:.4g}",
        why="there is no activation to take back: there is nothing to see",
        do="choose another unit, or images that it may fire on",
    )


def _some_never(name: str, dead: Sequence[str], count: int) -> Finding:
    return Finding(
        level="info",
        where=name,
        what=f"on {_these(count)}, {', '.join(dead)} never fire",
        why="what they stand for is not among the images, or they are dead",
        do="look at more images, or at the learning rate of the training",
    )


def _these(count: int) -> str:
    return "this one image" if count == 1 else f"these {count} images"


def _is_set(source: str) -> bool:
    """Whether what a user named is a set of images rather than one."""
    path = Path(source)
    if not path.exists():
        return source in EMBEDDED
    return path.is_dir() or path.suffix.lower() in _ENDINGS_OF_SETS or "ubyte" in path.name


def _make(subject: Subject, request: Request) -> View:
    assert request.image is not None
    if not _is_set(request.image):
        picture = subject.picture(request.image)
        return deconvnet(
            subject, picture, layer=request.layer, unit=request.unit, at=request.at, top=request.top
        )
    if request.at is not None:
        raise ArgumentError(
            "--at is for one image; over a set, each image is seen where the unit is strongest"
        )
    images = open_set(request.image, subject, request.progress)
    return deconvnet_of_set(
        subject, images, layer=request.layer, unit=request.unit, top=request.top, progress=request.progress
    )


VIEWS = (
    How(
        name="deconvnet",
        about="what an activation rests on, taken back to the pixels; the nine strongest of a set",
        make=_make,
        needs="image",
        options=frozenset({"layer", "unit", "at", "top"}),
    ),
)
