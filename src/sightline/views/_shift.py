"""Equivariance and invariance, measured: an image moved before the network, and its maps moved after it."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sightline.base import INK, SERIES, ArgumentError, DataError, Finding
from sightline.blueprint import Call, Field, Node, execute, fields
from sightline.data import Progress
from sightline.imaging import Source, Values
from sightline.views._colour import plotted
from sightline.views._evidence import own_temperature, probabilities
from sightline.views._layers import find_layer, maps_of
from sightline.views._movements import Border, Family, families, sampled
from sightline.views._pass import classifier_layer
from sightline.views._registry import How, Request
from sightline.views._subject import Subject
from sightline.views._view import Panel, Pixels, View

_MOST = 32
_BATCH = 8
_LAYERS = 6
_THUMBS = 5
_EXACT = 1e-3
_GRID = 32
"""Sides of an input that every usual network takes are multiples of it."""
_SMALL = 64
"""Images for a network that takes smaller ones than this are filled by their object: a crop would cut it."""


@dataclasses.dataclass(frozen=True)
class _Looks:
    """Where the elements of a map look, in input pixels: (rows, columns)."""

    jump: tuple[float, float]
    centre: tuple[float, float]
    """Of the first element."""
    size: tuple[int, ...] | None
    """Of the receptive field; None where it cannot be told, as of circular padding."""


@dataclasses.dataclass(frozen=True, eq=False)
class _Place:
    """A layer of maps, and where its elements look."""

    node: Node
    looks: _Looks
    rows: tuple[int, int]
    """First and last that are compared."""
    columns: tuple[int, int]
    interior: bool
    """Whether none of those sees the border of the image."""

    @property
    def jump(self) -> float:
        """Input pixels from one column to the next."""
        return self.looks.jump[1]


@dataclasses.dataclass(frozen=True, eq=False)
class Curves:
    """What one kind of movement does."""

    by: tuple[float, ...]
    """How far, in pixels, times, or degrees."""
    error: Mapping[str, list[float]]
    """By layer: ||f(t x) - t f(x)|| / ||t f(x)||, on the places compared."""
    distance: Mapping[str, list[float]]
    """By layer: ||f(t x) - f(x)|| / ||f(x)||, on all of it."""
    probability: list[float]
    """Of the class; empty where the network gives none."""


def shift(
    subject: Subject,
    image: str | Source | Values,
    *,
    layer: str | None = None,
    target: str | int | None = None,
    most: int | None = None,
    border: Border | None = None,
    progress: Progress | None = None,
) -> View:
    """How far a network is equivariant, f[t[x]] = t[f[x]], and invariant, f[t[x]] = f[x].

    The image is shifted, scaled and turned; for maps, the error is the length of f[t[x]] - t[f[x]] over that
    of t[f[x]], on the places whose receptive field lies within the image before and after, where a layer has
    such; for a shift that is no multiple of a layer's jump its maps are moved by interpolation. Invariance is
    the distance of f[t[x]] from f[x], and the class's probability.

    Args:
        subject: The network; left as it was.
        image: As of `Subject.picture`.
        layer: One layer of maps; else the first convolution, and the last maps of each size.
        target: The class; the most probable where None.
        most: The largest shift in pixels; a quarter of the width, at most 32, where None.
        border: `crop` moves a window over a picture that is larger than the network's input, so that real
            pixels come in; `edge` moves the picture as the network is given it, and its edge is repeated;
            `circular` brings in on one side what leaves on the other (shifts only). None for `crop`, and for
            `edge` where the network takes images of less than 64 pixels.
        progress: Told how far it is.

    Raises:
        ArgumentError: if there is no such image, layer or class, the network gives no logits for a class that
            is asked for, or the shift is larger than the image.
        DataError: if the image cannot be read, or what a layer gives is not finite.

    Source:
        Zeiler and Fergus 2014, "Visualizing and Understanding Convolutional Networks", figure 5.
    """
    width = subject.input_shape[2]
    most = min(_MOST, max(1, width // 4)) if most is None else most
    if not 1 <= most <= width:
        raise ArgumentError(f"--steps {most}: a shift is of 1 to {width} pixels, the width of the input")
    border = border or ("edge" if width < _SMALL else "crop")
    kinds = families(subject, image, most, border)
    places = _places(subject, layer, most, border)
    watched = _watched(subject, places)
    total, done = sum(len(family.by) for family in kinds), 0
    curves: dict[str, Curves] = {}
    index: int | None = None
    for family in kinds:
        curves[family.name], index = _measured(subject, family, places, watched, target, index)
        done += len(family.by)
        if progress is not None:
            progress("moving the image", done, total)
    shown = _shown(subject, image, places, watched, curves, index, border, most)
    return _view(subject, kinds, places, curves, index, border, shown)


def _shown(
    subject: Subject,
    image: str | Source | Values,
    places: Sequence[_Place],
    watched: _Watched,
    curves: Mapping[str, Curves],
    index: int | None,
    border: Border,
    most: int,
) -> list[str]:
    """Notes on the picture that is moved, and how it differs from that of other views."""
    picture = subject.picture(image)
    if border != "crop" or subject.preprocessing.fit == "pad":
        return list(picture.notes)
    height, width = subject.input_shape[1:]
    text = (
        f"moved is a window of {height}x{width} over the picture framed at {height + most}x{width + most}, "
        "so that real pixels come in; other views show it framed at the window's size"
    )
    if index is not None:
        logits = _passed(subject, picture.x, places, watched)[2]
        assert logits is not None
        there, here = float(probabilities(subject, logits.float())[0, index]), curves["shift"].probability[0]
        text += f", where '{subject.class_name(index)}' has {there:.3g}; unmoved it has {here:.3g} here"
    return [text]


def _places(subject: Subject, layer: str | None, most: int, border: Border) -> list[_Place]:
    """The layers whose maps are compared, and which of their elements."""
    blueprint = subject.blueprint
    known = fields(blueprint)
    looks = {
        node.id: found
        for k, node in enumerate(blueprint.nodes)
        if (found := _looks(node, known.get(k), subject.input_shape)) is not None
    }
    if layer is not None:
        chosen = [find_layer(blueprint, layer, needs="maps")]
        if chosen[0].id not in looks:
            raise ArgumentError(f"--layer {layer}: nobody can say where the places of its maps look")
    else:
        able = [node for node in blueprint.nodes if node.id in looks]
        first = next((node for node in able if node.kind == "conv2d"), None)
        last_of_size = {(m[1], m[2]): node for node in able if (m := maps_of(node)) is not None}
        chosen = [*([first] if first is not None else []), *last_of_size.values()]
        chosen = list({node.id: node for node in chosen}.values())
        order = {node.id: k for k, node in enumerate(blueprint.nodes)}
        chosen.sort(key=lambda node: order[node.id])
        if len(chosen) > _LAYERS:
            kept = np.unique(np.linspace(0, len(chosen) - 1, _LAYERS).round().astype(int))
            chosen = [chosen[k] for k in kept]
    return [_place(node, looks[node.id], subject.input_shape, most, border) for node in chosen]


def _looks(node: Node, field: Field | None, input_shape: tuple[int, int, int]) -> _Looks | None:
    """Where a layer's elements look: by its receptive field, else evenly over the image; None of no maps."""
    maps = maps_of(node)
    if maps is None or maps[1] * maps[2] < 2:
        return None
    if field is not None:
        if None in field.centre or not all(jump > 0 for jump in field.jump):
            return None
        jump, centre = ([float(v) for v in values if v is not None] for values in (field.jump, field.centre))
        return _Looks((jump[0], jump[1]), (centre[0], centre[1]), field.size)
    if input_shape[1] % maps[1] or input_shape[2] % maps[2]:
        return None
    rows, columns = input_shape[1] / maps[1], input_shape[2] / maps[2]
    return _Looks((rows, columns), ((rows - 1) / 2, (columns - 1) / 2), None)


def _place(node: Node, looks: _Looks, input_shape: tuple[int, int, int], most: int, border: Border) -> _Place:
    """Those elements of a layer that do not see the border; all, where too few do not."""
    maps = maps_of(node)
    assert maps is not None
    whole = ((0, maps[1] - 1), (0, maps[2] - 1))
    if border == "circular" or looks.size is None:
        return _Place(node, looks, *whole, interior=False)
    inner = []
    for axis in range(2):
        centre, jump, reach = looks.centre[axis], looks.jump[axis], (looks.size[axis] - 1) / 2
        low = math.ceil((reach - centre) / jump - 1e-9)
        high = math.floor((input_shape[1 + axis] - 1 - reach - centre) / jump + 1e-9)
        inner.append((max(low, 0), min(high, maps[1 + axis] - 1)))
    enough = inner[0][1] >= inner[0][0] and inner[1][1] - inner[1][0] >= most / looks.jump[1]
    rows, columns = inner if enough else whole
    return _Place(node, looks, rows, columns, interior=enough)


@dataclasses.dataclass(frozen=True)
class _Watched:
    """What is kept of a pass beside the maps."""

    first: str | None
    """The first convolution."""
    classifier: str | None
    """The layer whose input is the last features."""


def _watched(subject: Subject, places: Sequence[_Place]) -> _Watched:
    first = next((node.id for node in subject.blueprint.nodes if node.kind == "conv2d"), None)
    try:
        return _Watched(first, classifier_layer(subject.blueprint).id)
    except ArgumentError:
        return _Watched(first, None)


def _passed(
    subject: Subject, x: Tensor, places: Sequence[_Place], watched: _Watched
) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor | None]:
    """Maps of the places, what invariance is measured on, and logits."""
    given: list[Tensor] = []

    def into(call: Call) -> Any:
        given.append((call.args[0] if call.args else call.kwargs["input"]).detach().clone())
        return call.run()

    wanted = {place.node.id for place in places} | ({watched.first} if watched.first is not None else set())
    rules = {} if watched.classifier is None else {watched.classifier: into}
    with torch.no_grad():
        run = execute(subject.network, x, capture=sorted(wanted), rules=rules)
    maps = {place.node.id: run.captured[place.node.id].float() for place in places}
    seen: dict[str, Tensor] = {}
    if watched.first is not None:
        seen[watched.first] = run.captured[watched.first].float()
    if given:
        features = given[-1].float()
        seen["last features"] = features.flatten(2).mean(2) if features.dim() > 2 else features
    logits = run.output if isinstance(run.output, Tensor) and run.output.dim() == 2 else None
    if logits is not None:
        seen["logits"] = logits.float()
    for name, values in (*maps.items(), *seen.items()):
        if not torch.isfinite(values).all():
            raise DataError(f"{name}: its values are not finite; nothing can be said of how they move")
    return maps, seen, logits


def _measured(
    subject: Subject,
    family: Family,
    places: Sequence[_Place],
    watched: _Watched,
    target: str | int | None,
    index: int | None,
) -> tuple[Curves, int | None]:
    """The curves of one kind of movement, and the class."""
    maps, seen, logits = _passed(subject, family.inputs[family.still][None], places, watched)
    if logits is None and target is not None:
        raise ArgumentError(f"--target {target}: {subject.name} gives no logits of classes")
    if logits is not None and index is None:
        index = subject.class_index(target, logits[0])
    error: dict[str, list[float]] = {place.node.id: [] for place in places}
    distance: dict[str, list[float]] = {name: [] for name in seen}
    distance |= {f"{place.node.id}, all": [] for place in places}
    probability: list[float] = []
    for start in range(0, len(family.by), _BATCH):
        new_maps, new_seen, new_logits = _passed(
            subject, family.inputs[start : start + _BATCH], places, watched
        )
        for k, amount in enumerate(family.by[start : start + _BATCH]):
            for place in places:
                name = place.node.id
                error[name].append(_error(maps[name], new_maps[name][k : k + 1], place, family, amount))
                distance[f"{name}, all"].append(_relative(new_maps[name][k] - maps[name][0], maps[name][0]))
            for name, values in new_seen.items():
                distance[name].append(_relative(values[k] - seen[name][0], seen[name][0]))
            if new_logits is not None and index is not None:
                probability.append(float(probabilities(subject, new_logits[k : k + 1].float())[0, index]))
    return Curves(family.by, error, distance, probability), index


def _error(still: Tensor, new: Tensor, place: _Place, family: Family, amount: float) -> float:
    """||f(t x) - t f(x)|| / ||t f(x)|| on the places that are compared."""
    jump, centre = place.looks.jump, place.looks.centre
    rows, columns = (np.arange(low, high + 1, dtype=float) for low, high in (place.rows, place.columns))
    r, c = np.meshgrid(rows, columns, indexing="ij")
    from_r, from_c = family.back(amount, centre[0] + jump[0] * r, centre[1] + jump[1] * c)
    from_r, from_c = (from_r - centre[0]) / jump[0], (from_c - centre[1]) / jump[1]
    if family.wraps:
        width = still.shape[3]
        expected = sampled(torch.cat([still, still[..., :1]], 3), from_r, from_c % width)
        inside = np.ones(r.shape, dtype=bool)
    else:
        expected = sampled(still, from_r, from_c)
        (top, bottom), (left, right) = place.rows, place.columns
        slack = 1e-6
        inside = (from_r >= top - slack) & (from_r <= bottom + slack)
        inside &= (from_c >= left - slack) & (from_c <= right + slack)
    if not inside.any():
        return math.nan
    mask = torch.from_numpy(inside).to(still.device)
    got = new[..., place.rows[0] : place.rows[1] + 1, place.columns[0] : place.columns[1] + 1]
    return _relative((got - expected)[..., mask], expected[..., mask])


def _relative(difference: Tensor, whole: Tensor) -> float:
    """Its length as a share of another's; nan where that has none."""
    length = float(whole.double().norm())
    return float(difference.double().norm()) / length if length > 0 else math.nan


def _view(
    subject: Subject,
    kinds: Sequence[Family],
    places: Sequence[_Place],
    curves: Mapping[str, Curves],
    index: int | None,
    border: Border,
    shown: Sequence[str],
) -> View:
    panels = [_strip(subject, family) for family in kinds]
    panels.append(
        plotted(
            functools.partial(_draw, kinds, places, curves, _class(subject, index)),
            964,
            40 + 280 * len(kinds),
            rows=len(kinds),
            columns=3,
        )
    )
    notes = [*_said(subject, kinds, places, curves, border), *shown, _bordered(subject, places, border)]
    findings = []
    flat = [
        place.node.id for place in places if all(math.isnan(e) for e in curves["shift"].error[place.node.id])
    ]
    if flat:
        findings.append(
            Finding(
                level="warning",
                where=flat[0],
                what=f"the maps of {', '.join(flat)} are zero everywhere that is compared",
                why="there is nothing that could move: no error is shown",
                do="another image or layer; a network whose layers are silent",
            )
        )
    numbers: dict[str, NDArray[Any]] = {}
    told: dict[str, Any] = {}
    for name, found in curves.items():
        numbers[f"{name}/by"] = np.array(found.by)
        for id_, values in found.error.items():
            numbers[f"{name}/error/{id_}"] = np.array(values)
        for id_, values in found.distance.items():
            numbers[f"{name}/distance/{id_}"] = np.array(values)
        numbers[f"{name}/probability"] = np.array(found.probability)
        told[name] = {
            "by": list(found.by),
            "error": {key: [_number(v) for v in values] for key, values in found.error.items()},
            "distance": {key: [_number(v) for v in values] for key, values in found.distance.items()},
            "probability": found.probability,
        }
    layers = [
        {
            "layer": place.node.id,
            "jump": place.jump,
            "receptive_field": None if place.looks.size is None else list(place.looks.size),
            "interior": place.interior,
            "equivariant": _verdict(place, kinds[0], curves["shift"], border),
        }
        for place in places
    ]
    return View(
        how="shift",
        title=f"Equivariance f[t[x]] = t[f[x]] and invariance f[t[x]] = f[x], {subject.name}",
        notes=tuple(notes),
        panels=tuple(panels),
        arrays=numbers,
        figures={
            "class": _class(subject, index),
            **({} if index is None else {"target": subject.class_name(index), "target_index": index}),
            "temperature": own_temperature(subject),
            "border": border,
            "layers": layers,
            "curves": told,
        },
        findings=tuple(findings),
    )


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _class(subject: Subject, index: int | None) -> str:
    return "" if index is None else subject.class_name(index)


def _at_jumps(place: _Place, family: Family, curves: Curves) -> tuple[list[float], list[float]]:
    """Errors of shifts by multiples of a layer's jump, and of those between; without what is not known."""
    values = [
        (d, v) for d, v in zip(family.by, curves.error[place.node.id], strict=True) if not math.isnan(v)
    ]
    return [v for d, v in values if d and d % place.jump == 0], [v for d, v in values if d % place.jump]


def _verdict(place: _Place, family: Family, curves: Curves, border: Border) -> bool | None:
    """Whether a layer is equivariant to shifts by its jump; None where what is compared sees the border."""
    at, _ = _at_jumps(place, family, curves)
    if not at:
        return None
    if max(at) < _EXACT:
        return True
    return False if place.interior or border == "circular" else None


def _said(
    subject: Subject,
    kinds: Sequence[Family],
    places: Sequence[_Place],
    curves: Mapping[str, Curves],
    border: Border,
) -> list[str]:
    """What the curves of shifts say, in words: a line a verdict."""
    told: dict[bool | None, list[str]] = {True: [], False: [], None: []}
    for place in places:
        at, between = _at_jumps(place, kinds[0], curves["shift"])
        if at:
            text = f"{place.node.id} /{place.jump:g} ({max(at):.2g}"
            text += f"; between, {max(between):.2g})" if between else ")"
            told[_verdict(place, kinds[0], curves["shift"], border)].append(text)
    own = "x".join(str(side) for side in subject.input_shape[1:])
    found = []
    if told[True]:
        found.append(f"equivariant at multiples of the jump, /jump (largest error): {', '.join(told[True])}")
    if told[False]:
        found.append(f"not equivariant, not even at multiples of the jump: {', '.join(told[False])}")
    if told[None]:
        unsure = [place for place in places if _verdict(place, kinds[0], curves["shift"], border) is None]
        text = f"cannot be told at {own}, where every place sees the border: {', '.join(told[None])}"
        side = _enough(subject, unsure)
        found.append(f"{text}; try --input {side}" if side is not None else text)
    return found


def _enough(subject: Subject, places: Sequence[_Place]) -> int | None:
    """A side of the input at which all of some layers have places that do not see the border, if any."""
    adapts = subject.model is not None and subject.header is None
    sizes = [place.looks.size for place in places]
    if not adapts or any(size is None for size in sizes):
        return None
    needed = 0
    for place in places:
        assert place.looks.size is not None
        reach = max(place.looks.size) + 2 * max(place.looks.jump)
        needed = max(needed, math.ceil(min(reach * 4 / 3, reach + _MOST)))
    return -(-needed // _GRID) * _GRID


def _bordered(subject: Subject, places: Sequence[_Place], border: Border) -> str:
    """How the border was dealt with."""
    if border == "circular":
        return "what leaves the image on the right comes in on the left; errors are over whole maps"
    edge = border == "edge" or subject.preprocessing.fit == "pad"
    comes = "its edge, repeated" if edge else "the larger picture, and beyond that its edge, repeated"
    text = f"at the border of the image there comes in {comes}; "
    text += "a full line is over the places that do not see the border"
    if any(not place.interior for place in places):
        text += ", a dashed one over all of them"
    return text


def _strip(subject: Subject, family: Family) -> Panel:
    """Some of the moved images."""
    chosen = np.unique(np.linspace(0, len(family.by) - 1, _THUMBS).round().astype(int))
    preprocessing = subject.preprocessing
    images: list[Pixels] = []
    for k in chosen:
        scaled = family.inputs[k] * preprocessing.std[0] + preprocessing.mean[0]
        images.append(subject.shown(scaled))
    gap = np.full((images[0].shape[0], max(1, images[0].shape[1] // 30), 3), 255, dtype=np.uint8)
    row = [part for image in images for part in (image, gap)][:-1]
    said = ", ".join(f"{family.by[k]:g}" for k in chosen)
    return Panel(
        pixels=np.concatenate(row, axis=1), title=family.name, caption=f"{said} {family.unit}", width=304
    )


def _draw(
    kinds: Sequence[Family],
    places: Sequence[_Place],
    curves: Mapping[str, Curves],
    class_name: str,
    grid: Any,
) -> None:
    """Three plots a kind of movement: equivariance, invariance, the probability."""
    grid = np.asarray(grid).reshape(len(kinds), 3)
    shades = [SERIES[k % len(SERIES)] for k in range(max(len(places), 3))]
    for row, family in zip(grid, kinds, strict=True):
        found = curves[family.name]
        for k, (place, colour) in enumerate(zip(places, shades, strict=False)):
            values = found.error[place.node.id]
            style = "-" if place.interior or family.wraps else "--"
            row[0].plot(
                found.by, values, style, color=colour, label=f"{place.node.id} /{place.jump:g}",
                linewidth=1.3, marker="o", markersize=4.5, markevery=(k, len(places)),  # seen beneath others
            )  # fmt: skip
        for k, (name, values) in enumerate(found.distance.items()):
            if not name.endswith(", all"):
                row[1].plot(found.by, values, color=SERIES[k % len(SERIES)], linewidth=1.3, label=name)
        if found.probability:
            row[2].plot(found.by, found.probability, color=SERIES[1], linewidth=1.3)
        row[0].set_ylabel(family.name)
        row[2].set_ylim(-0.03, 1.03)
        for axes in row:
            axes.set_xlabel(family.unit, fontsize=9)
            axes.tick_params(labelsize=8)
            axes.grid(color=INK, alpha=0.2)
        for axes in row[:2]:
            axes.set_ylim(bottom=-0.03)
    grid[0, 0].set_title("|f(t x) - t f(x)| / |t f(x)|, maps /jump", fontsize=10)
    grid[0, 1].set_title("|f(t x) - f(x)| / |f(x)|", fontsize=10)
    grid[0, 2].set_title(f"probability of {class_name[:28]}" if class_name else "no classes", fontsize=10)
    for axes in grid[0, :2]:
        if axes.lines:
            axes.set_ylim(top=1.6 * axes.get_ylim()[1])
            axes.legend(fontsize=7, loc="upper center", ncols=2, columnspacing=1.0)


def _make(subject: Subject, request: Request) -> View:
    assert request.image is not None
    return shift(
        subject,
        request.image,
        layer=request.layer,
        target=request.target,
        most=request.steps,
        progress=request.progress,
    )


VIEWS = (
    How(
        name="shift",
        about="equivariance and invariance, layer by layer, of shifts, scales and rotations",
        make=_make,
        needs="image",
        options=frozenset({"layer", "target", "steps"}),
    ),
)
