"""Feature maps of an image: of one layer, or of every stage on the way through."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from sightline.base import ArgumentError, DataError, Finding
from sightline.blueprint import Blueprint, Node, execute
from sightline.views._colour import FLAT
from sightline.views._drawn import coloured, enlarged, highest, labelled, map_panel, scale_kind, short
from sightline.views._layers import check_unit, convolutions, find_layer, maps_of
from sightline.views._registry import How, Request
from sightline.views._softmax import answer, logits_of
from sightline.views._subject import Picture, Subject
from sightline.views._taken import RECTIFIERS, after
from sightline.views._view import Panel, Pixels, View

_SHOWN, _A_STAGE = 64, 8
_COLUMNS = 8
_SIDE = 113
_LARGER = 150
"""Of a map, where there are few."""
_MOST_STAGES = 8

Maps = NDArray[np.float32]


def maps(
    subject: Subject,
    picture: Picture,
    *,
    layer: str | None = None,
    unit: int | None = None,
    top: int | None = None,
) -> View:
    """Feature maps of an image, the strongest first; maps that never fire are marked.

    All maps of a layer are on one scale, so that a weak one looks weak.

    Args:
        subject: The network.
        picture: What it sees.
        layer: As `find_layer`; None for a strip a stage, the whole way through.
        unit: One map alone.
        top: So many maps; 64 of a layer, 8 a stage where None.

    Raises:
        ArgumentError: if there is no such layer or unit, or its output is no maps.
        DataError: if a map is not finite.

    Example:
        >>> import numpy as np, torch
        >>> from sightline.views import Subject
        >>> subject = Subject.of(torch.nn.Conv2d(1, 4, 3), (1, 8, 8), name="one layer")
        >>> view = maps(subject, subject.picture(np.zeros((8, 8), np.uint8)), layer="conv1")
        >>> view.arrays["maps"].shape
        (4, 6, 6)
    """
    if layer is not None:
        return _of_layer(subject, picture, layer, unit, _SHOWN if top is None else top)
    if unit is not None:
        raise ArgumentError(f"--unit {unit} is of one layer; name it by --layer")
    return _all_the_way(subject, picture, _A_STAGE if top is None else top)


def stages(blueprint: Blueprint) -> list[Node]:
    """The layers shown where none is named.

    Each convolution with what follows it, if there are eight at most; else the last of every size of map.

    Raises:
        ArgumentError: if there is no convolution.
    """
    every = convolutions(blueprint)
    inner = [node for node in every if (m := maps_of(node)) is not None and m[1] * m[2] > 1] or every
    ends = [(after(blueprint, node) or [node])[-1] for node in inner]
    ends = [node for node in ends if maps_of(node) is not None]
    ends = [_joined(blueprint, node) for node in ends]
    if len({node.id for node in ends}) <= _MOST_STAGES:
        return list({node.id: node for node in ends}.values())
    first = blueprint.index[every[0].id]
    by_size: dict[tuple[int, int], Node] = {}
    for node in blueprint.nodes[first:]:
        found = maps_of(node)
        if found is not None and found[1] * found[2] > 1:
            by_size.pop(found[1:], None)  # a size that comes again stands where it came last
            by_size[found[1:]] = node
    return list(by_size.values())


def _joined(blueprint: Blueprint, node: Node) -> Node:
    """What `cat` makes of maps and others, with what follows that; else the maps themselves."""
    readers = blueprint.readers[blueprint.index[node.id]]
    if len(readers) != 1 or blueprint.nodes[readers[0]].kind != "cat":
        return node
    together = blueprint.nodes[readers[0]]
    end = (after(blueprint, together) or [together])[-1]
    return end if maps_of(end) is not None else node


def captured(subject: Subject, picture: Picture, nodes: Sequence[Node]) -> list[Maps]:
    """What layers make of an image, (C, h, w) each.

    Args:
        subject: The network.
        picture: What it sees.
        nodes: Layers whose outputs are maps.

    Raises:
        DataError: if a value is not finite.
    """
    with torch.no_grad():
        execution = execute(subject.network, picture.x, capture=[node.id for node in nodes])
    found = []
    for node in nodes:
        values: Maps = execution.captured[node.id][0].float().cpu().numpy()
        if not np.isfinite(values).all():
            raise DataError(f"{node.id}: its maps hold values that are not finite")
        found.append(values)
    return found


def strongest(values: Maps, top: int | None = None) -> list[int]:
    """Units by the largest value of their maps, of equal ones the lower number first."""
    return [int(k) for k in np.argsort(-values.max(axis=(1, 2)), kind="stable")[:top]]


def dead(values: Maps) -> NDArray[np.bool_]:
    """Which maps are 0 everywhere. (K, H, W) -> (K,)."""
    silent: NDArray[np.bool_] = np.logical_not(values.any(axis=(1, 2)))
    return silent


def strip(
    values: Maps,
    units: Sequence[int],
    *,
    title: str,
    caption: str,
    columns: int = _COLUMNS,
    side: int = _SIDE,
) -> Panel:
    """Some maps in rows, all on one scale, dead ones marked.

    Args:
        values: (K, H, W): all maps of the layer, which make the scale.
        units: Those that are shown.
        title: Above.
        caption: Below.
        columns: Maps a row.
        side: Width of each, in pixels.
    """
    kind, silent = scale_kind(values), dead(values)
    smooth = values.shape[2] > side

    def draw(high: float | None) -> Panel:
        high = highest(values) if high is None else high
        tiles: list[tuple[Pixels | str, str]] = []
        scale = coloured(values[0], kind, high)[1]
        for k in units:
            pixels = coloured(values[k], kind, high)[0]
            low = f"{short(float(values[k].min()))} .. " if kind == "signed" else ""
            said = f"{k}: {low}{short(float(values[k].max()))}"
            tiles.append(("never fires here", f"{k}: 0") if silent[k] else (pixels, said))
        page = labelled(tiles, side, columns, smooth=smooth)
        return Panel(
            pixels=page, title=title, caption=caption, scale=scale, smooth=False, width=page.shape[1],
            on_scale=draw,
        )  # fmt: skip

    return draw(None)


def said_of(values: Maps) -> str:
    """Raw range, zeros and dead maps of a layer, in words."""
    text = f"raw range {values.min():.4g} to {values.max():.4g}; {100 * (values == 0).mean():.0f} % are 0"
    silent = np.flatnonzero(dead(values))
    if len(silent):
        named = ", ".join(map(str, silent[:12])) + (", ..." if len(silent) > 12 else "")
        text += f"; {len(silent)} of {len(values)} never fire here: {named}"
    return text


def _shape(values: Maps) -> str:
    return f"{len(values)} maps of {values.shape[1]} x {values.shape[2]}"


def _of_layer(subject: Subject, picture: Picture, layer: str, unit: int | None, top: int) -> View:
    node = find_layer(subject.blueprint, layer, needs="maps")
    check_unit(node, unit)
    values = captured(subject, picture, [node])[0]
    units = [unit] if unit is not None else strongest(values, top)
    notes = [said_of(values)]
    if unit is None:
        ends = "its least and largest value" if scale_kind(values) == "signed" else "its largest value"
        notes.append(
            f"{len(units)} of {len(values)} maps, the strongest first; beneath each its number and {ends}; "
            "one scale for all"
        )
    rectifier = next((n for n in after(subject.blueprint, node) if n.kind in RECTIFIERS), None)
    if rectifier is not None and node.kind not in RECTIFIERS:
        notes.append(
            f"this is before the ReLU: what is below 0 is not passed on; that is --layer {rectifier.id}"
        )
    if unit is None:
        columns = -(-len(units) // -(-len(units) // _COLUMNS))  # rows of one length
        side = min(_LARGER, (_COLUMNS * (_SIDE + 8)) // columns - 8)
        maps_of_all = strip(
            values, units, title=f"{node.id}: {_shape(values)}", caption="", columns=columns, side=side
        )
        panels = [_input(picture), maps_of_all]
    else:
        own = values[unit]
        caption = f"from {own.min():.4g} to {own.max():.4g}; {100 * (own == 0).mean():.0f} % are 0"
        caption += "; never fires here" if dead(values)[unit] else ""
        panel = map_panel(
            own,
            title=f"{node.id}, unit {unit}",
            caption=caption,
            width=460,
            kind=scale_kind(values),
            high=highest(values),
        )
        panels = [_input(picture, 460), panel]
    return View(
        how="maps",
        title=f"Feature maps of {node.id}, {subject.name}, for {picture.title}",
        notes=(*notes, *picture.notes),
        panels=tuple(panels),
        arrays={"maps": values if unit is None else values[unit : unit + 1]},
        figures={"layer": node.id, "units": units, **_figures(values)},
        findings=_faults(node, values, unit),
    )


def _all_the_way(subject: Subject, picture: Picture, top: int) -> View:
    nodes = stages(subject.blueprint)
    every = captured(subject, picture, nodes)
    panels = [_input(picture)]
    with contextlib.suppress(ArgumentError):  # what it gives may be no classes
        panels.append(answer(subject, logits_of(subject, picture), 560))
    for node, values in zip(nodes, every, strict=True):
        units = strongest(values, top)
        panels.append(strip(values, units, title=f"{node.id}: {_shape(values)}", caption=said_of(values)))
    channels, height, width = subject.input_shape
    return View(
        how="maps",
        title=f"Through {subject.name}, {picture.title} from {channels}x{height}x{width} to {len(every[-1])}x"
        f"{every[-1].shape[1]}x{every[-1].shape[2]}",
        notes=(
            f"of each of {len(nodes)} stages the {top} strongest maps, with the unit's number and its "
            "largest value; a stage has one scale, stages do not share theirs",
            *picture.notes,
        ),
        panels=tuple(panels),
        arrays={
            node.id.replace(":", ".").lstrip("."): values for node, values in zip(nodes, every, strict=True)
        },
        figures={
            "stages": [
                {"layer": node.id, "units": strongest(values, top), **_figures(values)}
                for node, values in zip(nodes, every, strict=True)
            ]
        },
        findings=tuple(
            f for node, values in zip(nodes, every, strict=True) for f in _faults(node, values, None)
        ),
    )


def _input(picture: Picture, width: int = 240) -> Panel:
    height, wide = picture.pixels.shape[:2]
    pixels = enlarged(picture.pixels, width, smooth=wide > 64)
    low, high = float(picture.x.min()), float(picture.x.max())
    shape = f"{picture.x.shape[1]} x {height} x {wide}"
    return Panel(
        pixels=pixels, title=f"{picture.title}: {shape}", width=pixels.shape[1],
        caption=f"as the network is given it: {low:.3g} to {high:.3g}",
    )  # fmt: skip


def _figures(values: Maps) -> dict[str, object]:
    return {
        "shape": list(values.shape),
        "range": [float(values.min()), float(values.max())],
        "zeros": float((values == 0).mean()),
        "never_fire": [int(k) for k in np.flatnonzero(dead(values))],
    }


def _faults(node: Node, values: Maps, unit: int | None) -> tuple[Finding, ...]:
    """That there is nothing to see."""
    seen = values if unit is None else values[unit : unit + 1]
    if not seen.any():
        what = "no unit fires in this image" if unit is None else f"unit {unit} never fires in this image"
        why = "every value is 0, and so nothing of the image is passed on by this way"
    elif float(np.ptp(seen, axis=(1, 2)).max()) <= FLAT * highest(seen):
        what = "every map is the same everywhere" if unit is None else f"unit {unit} is the same everywhere"
        why = "it tells no place of the image from another"
    else:
        return ()
    return (
        Finding(level="info", where=node.id, what=what, why=why, do="look at another image, unit or layer"),
    )


def _make(subject: Subject, request: Request) -> View:
    assert request.image is not None
    picture = subject.picture(request.image)
    return maps(subject, picture, layer=request.layer, unit=request.unit, top=request.top)


VIEWS = (
    How(
        name="maps",
        about="feature maps of an image at a layer; without one, of every stage on one page",
        make=_make,
        needs="image",
        options=frozenset({"layer", "unit", "top"}),
    ),
)
