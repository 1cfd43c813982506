"""Where in the input a unit looks: its window, and pictures cut to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from sightline.base import SERIES, ArgumentError
from sightline.blueprint import Blueprint, Field, Node, fields, reach
from sightline.views._colour import rgb, signed
from sightline.views._layers import check_unit, convolutions, find_layer, maps_of
from sightline.views._project import RECTIFIERS
from sightline.views._subject import Subject
from sightline.views._view import Pixels

_T = TypeVar("_T")

FRAME = rgb(SERIES[2])
"""The colour of the line about a window."""
OUTSIDE = 200
"""The grey of what a window has beyond the image."""
_FEW = 8
"""So many convolutions are each a layer of their own; of more, stages are looked at."""


@dataclasses.dataclass(frozen=True, eq=False)
class Window:
    """What a unit looks at."""

    top: int
    """First row; negative where it begins above the image."""
    left: int
    height: int
    width: int
    mask: NDArray[np.bool_]
    """(H, W) of the input: the pixels that reach the unit."""
    exact: bool
    """False where some are marked that may not reach it."""

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Top, left, bottom, right of what lies in the image; the last two one beyond."""
        h, w = self.mask.shape
        bottom, right = min(self.top + self.height, h), min(self.left + self.width, w)
        return max(self.top, 0), max(self.left, 0), bottom, right


def maps_or_vector(node: Node) -> tuple[int, int, int]:
    """(channels, height, width) of a layer's output; a vector is as maps of one place.

    Raises:
        ArgumentError: if it is neither.
    """
    maps = maps_of(node)
    if maps is not None:
        return maps
    shape = node.output_shapes[0] if node.output_shapes else ()
    if len(shape) == 2:
        return shape[1], 1, 1
    raise ArgumentError(f"--layer {node.id}: its output is {shape}, neither maps of an image nor a vector")


def checked_at(node: Node, at: tuple[int, int] | None) -> tuple[int, int] | None:
    """A position in a layer's maps.

    Raises:
        ArgumentError: if it lies outside.
    """
    _, height, width = maps_or_vector(node)
    if at is not None and not (0 <= at[0] < height and 0 <= at[1] < width):
        raise ArgumentError(
            f"--at {at[0]},{at[1]}: the maps of {node.id} are {height}x{width}: rows 0 to {height - 1}, "
            f"columns 0 to {width - 1}"
        )
    return at


def unit_index(node: Node, unit: int, at: tuple[int, int]) -> tuple[int, ...]:
    """A unit as an index of the layer's output, without the batch."""
    return (unit, *at) if maps_of(node) is not None else (unit,)


class Windows:
    """The windows of units of one network.

    Args:
        blueprint: Of one image.
    """

    def __init__(self, blueprint: Blueprint) -> None:
        self._blueprint = blueprint
        self._fields = fields(blueprint)
        shape = blueprint.input_shapes[0]
        self._size = (shape[2], shape[3])
        self._known: dict[tuple[str, int | None, tuple[int, int]], tuple[NDArray[np.bool_], bool]] = {}

    def field(self, node: Node) -> Field | None:
        """Size, jump and centre of a node's field; None where that cannot be told."""
        return self._fields.get(self._blueprint.index[node.id])

    def of(self, node: Node, unit: int | None, at: tuple[int, int], *, whole: bool = True) -> Window:
        """The window of a unit: as large as its field, whether or not it lies in the image.

        Some channels of a layer may see less than others (those of joined branches); each has its own. Where
        neighbours see other sizes, it is the smallest box about the pixels that reach the unit.

        Args:
            node: Its layer.
            unit: Its channel; None for all channels together.
            at: Its row and column.
            whole: Along an axis on which the field is as long as the image, or longer, take the whole image.
        """
        mask, exact = self._reached(node, unit, at)
        spans = [self._span(node, unit, axis, at[axis], _box(mask, axis), whole) for axis in range(2)]
        (top, height), (left, width) = spans
        return Window(top, left, height, width, mask, exact)

    def _reached(self, node: Node, unit: int | None, at: tuple[int, int]) -> tuple[NDArray[np.bool_], bool]:
        """(H, W) of the input, and whether it is exact."""
        key = (node.id, unit, at)
        if key not in self._known:
            index = (unit, *at) if maps_of(node) is not None else (unit,)
            reached = reach(self._blueprint, node.id, index)
            mask = reached.masks[self._blueprint.inputs[0]][0].any(axis=0)
            self._known[key] = (np.asarray(mask, dtype=np.bool_), reached.exact)
        return self._known[key]

    def _span(
        self, node: Node, unit: int | None, axis: int, place: int, box: tuple[int, int], whole: bool
    ) -> tuple[int, int]:
        """First row and length along an axis, given the rows that reach the unit."""
        own, length = self._theory(node, axis, place), self._size[axis]
        if own is None:
            return box[0], box[1] - box[0]
        first, size = own
        _, *sides = maps_or_vector(node)
        middle = (sides[0] // 2, sides[1] // 2)
        central, usual = (
            self._theory(node, axis, middle[axis]),
            _box(self._reached(node, unit, middle)[0], axis),
        )
        if central is not None and 0 < usual[0] < usual[1] < length:  # the border hides nothing there
            first, size = first + usual[0] - central[0], usual[1] - usual[0]
        if whole and size >= length:
            return 0, length
        if box[0] < box[1] and not first <= box[0] <= box[1] <= first + size:
            return box[0], box[1] - box[0]
        return first, size

    def _theory(self, node: Node, axis: int, place: int) -> tuple[int, int] | None:
        """First row and length of the layer's field, as if the image went on; None where it varies."""
        field = self.field(node)
        centre = None if field is None else field.centre[axis]
        if field is None or centre is None or not field.jump[axis]:
            return None
        start = centre + field.jump[axis] * place - Fraction(field.size[axis] - 1, 2)
        return (int(start), field.size[axis]) if start.denominator == 1 else None


def _box(mask: NDArray[np.bool_], axis: int) -> tuple[int, int]:
    """First row marked, and one past the last."""
    rows = np.flatnonzero(mask.any(axis=1 - axis))
    return (int(rows[0]), int(rows[-1]) + 1) if len(rows) else (0, 0)


def cropped(values: NDArray[Any], window: Window, outside: float) -> NDArray[Any]:
    """A picture cut to a window; what lies beyond the image has one value. (H, W, ...)."""
    top, left, bottom, right = window.box
    cut = np.full((window.height, window.width, *values.shape[2:]), outside, dtype=values.dtype)
    inside = values[top:bottom, left:right]
    cut[top - window.top : bottom - window.top, left - window.left : right - window.left] = inside
    return cut


def signal_picture(values: NDArray[np.float32], most: float | None = None) -> Pixels:
    """Signed values of an input as a picture.

    Args:
        values: (C, H, W). Of three channels, each is a colour about mid grey; of any other number, their sum
            is blue below zero, white at zero, orange above.
        most: The value of the last colour; None for the largest magnitude.
    """
    if len(values) != 3:
        return signed(values.sum(axis=0), most)[0]
    most = float(np.abs(values).max(initial=0.0)) if most is None else most
    shown = 127.5 + 127.5 * np.clip(values.transpose(1, 2, 0) / (most or 1.0), -1.0, 1.0)
    pixels: Pixels = np.rint(shown).astype(np.uint8)
    return pixels


def outlined(pixels: Pixels, window: Window, wanted: int) -> Pixels:
    """A picture with a line about a window; a small picture is enlarged first, so that no pixel is hidden.

    Args:
        pixels: (H, W, 3).
        window: Whose part in the image is framed.
        wanted: About how many screen pixels wide it is shown.
    """
    times = max(1, wanted // pixels.shape[1])
    thick = max(1, 2 * times * pixels.shape[1] // wanted)
    drawn = pixels.repeat(times, axis=0).repeat(times, axis=1)
    top, left, bottom, right = (times * edge for edge in window.box)
    if bottom <= top or right <= left:
        return drawn
    above, before = max(top - thick, 0), max(left - thick, 0)
    kept = drawn[top:bottom, left:right].copy()
    drawn[above : bottom + thick, before : right + thick] = FRAME
    inside = (slice(top or thick, min(bottom, len(drawn) - thick)),
              slice(left or thick, min(right, drawn.shape[1] - thick)))  # fmt: skip
    shift = (inside[0].start - top, inside[1].start - left)
    drawn[inside] = kept[
        shift[0] : shift[0] + inside[0].stop - inside[0].start,
        shift[1] : shift[1] + inside[1].stop - inside[1].start,
    ]
    return drawn


def chosen_layers(
    subject: Subject,
    layer: str | None,
    unit: int | None = None,
    at: tuple[int, int] | None = None,
    most: int = 5,
) -> list[Node]:
    """The layer of a name, or where None is said those of `layers_through`.

    Raises:
        ArgumentError: if there is no such layer, unit or position; or one of these without a layer.
    """
    if layer is None and (unit is not None or at is not None):
        raise ArgumentError(f"--{'at' if unit is None else 'unit'} is of one layer; say which by --layer")
    nodes = layers_through(subject, most) if layer is None else [find_layer(subject.blueprint, layer)]
    for node in nodes:
        maps_or_vector(node)
        check_unit(node, unit)
        checked_at(node, at)
    return nodes


def layers_through(subject: Subject, most: int = 5) -> list[Node]:
    """The layers a network is told by, from the first to the last: each convolution, or each stage.

    Of a network with few convolutions these are the convolutions, of one whose stages are known its first
    convolution and its stages (these alone, where they are enough), of any other its convolutions; each where
    it is rectified. Of more than `most`, some are taken evenly, with the first and the last.

    Args:
        subject: The network.
        most: At most so many.

    Raises:
        ArgumentError: if it has no convolution.
    """
    blueprint = subject.blueprint
    every = convolutions(blueprint)
    architecture = subject.model.architecture if subject.model is not None else None
    stages = architecture.stages if architecture is not None else ()
    if len(every) > _FEW and stages:
        found = [feature_maps(blueprint, every[0])] if len(stages) < most else []
        found += [find_layer(blueprint, stage.path, needs="maps") for stage in stages]
    else:
        chosen = spread_evenly(every, most) if len(every) > _FEW else every
        found = [feature_maps(blueprint, node) for node in chosen]
    return spread_evenly(list({node.id: node for node in found}.values()), most)


def spread_evenly(items: Sequence[_T], most: int) -> list[_T]:
    """At most so many of some things, evenly, with the first and the last."""
    if len(items) <= most:
        return list(items)
    return [items[round(k * (len(items) - 1) / max(1, most - 1))] for k in range(most)]


def feature_maps(blueprint: Blueprint, node: Node) -> Node:
    """Where what a convolution made is rectified: right after it, after batch norm or after a pooling.

    The convolution itself where nothing of the kind follows.
    """
    k = blueprint.index[node.id]
    while len(blueprint.readers[k]) == 1:
        k = blueprint.readers[k][0]
        if blueprint.nodes[k].kind in RECTIFIERS:
            return blueprint.nodes[k]
        if blueprint.nodes[k].kind not in ("batch_norm", "max_pool2d"):
            break
    return node
