"""A chain of layers as volumes: height and width by the map's size, thickness by the number of maps."""

from __future__ import annotations

import dataclasses
import itertools
import math

from sightline.base import INK
from sightline.blueprint._graph import Shape
from sightline.blueprint.draw._boxes import Box, Sketch
from sightline.blueprint.draw._canvas import SMALL, Canvas, Point, text_width
from sightline.blueprint.draw._kinds import COLOURS, by_x, channels, spatial

_TALLEST, _THICKEST, _BAR = 150.0, 46.0, 150.0
"""Pixels of the largest map's side, of the most maps, of the longest fully connected layer."""
_SLANT = (0.40, 0.26)
"""How far, right and up, a pixel of depth is drawn."""
_SEPARATE = 13
"""Volumes up to which each stands alone; more, and those of one size stand together."""
_LINE = 13.0


def num_weighted(found: Sketch) -> int:
    """Convolutions and linear layers."""
    return sum(box.group in ("convolution", "linear") for box in found.boxes.values())


def why_no_chain(found: Sketch) -> str:
    """Why a network is not one chain of maps and vectors; empty if it is."""
    if len(found.blueprint.input_shapes) != 1:
        return f"it has {len(found.blueprint.input_shapes)} inputs"
    if len(found.outputs) != 1:
        return f"it has {len(found.outputs)} outputs"
    if not found.boxes:
        return "it does nothing"
    before = -1
    for key, box in found.boxes.items():
        if len(box.sources) != 1:
            return f"{box.path} reads {len(box.sources)} things"
        if box.sources[0] != before:
            return f"{box.path} does not read what was made just before it"
        if not 2 <= len(box.shape) <= 5:
            return f"{box.path} makes a tensor of {len(box.shape)} axes"
        if box.group == "linear" and len(box.shape) != 2:
            return f"{box.path} works on sequences"
        before = key
    return "" if found.outputs == [before] else "its output is not the last thing made"


@dataclasses.dataclass(slots=True)
class _Volume:
    """One thing to draw: a volume of maps or the bar of a vector."""

    box: Box | None
    """What makes it; None for the input."""
    shape: Shape
    tall: float = 0.0
    thick: float = 0.0
    deep: float = 0.0
    x: float = 0.0

    @property
    def flat(self) -> bool:
        """Whether it is a vector."""
        return len(self.shape) < 3

    @property
    def label(self) -> str:
        """As `6@28x28`."""
        if self.flat:
            return str(self.shape[-1])
        return f"{channels(self.shape)}@{by_x(spatial(self.shape))}"

    @property
    def colour(self) -> str:
        return COLOURS[self.box.group if self.box is not None else "input"]

    def corner(self, along: float, down: float) -> Point:
        """A point of the face that looks right."""
        dx, dy = self.deep * _SLANT[0], self.deep * _SLANT[1]
        return self.x + self.thick + along * dx, -self.tall / 2 + down * self.tall - along * dy + dy / 2

    @property
    def width(self) -> float:
        return self.thick + self.deep * _SLANT[0]


def draw_volumes(canvas: Canvas, found: Sketch, width: float) -> list[str]:
    """Draw a chain; returns the scale, for the caption.

    Args:
        canvas: Drawn on about the line y = 0.
        found: Boxes of a chain.
        width: Pixels to fill.
    """
    volumes = [_Volume(None, found.blueprint.input_shapes[0])]
    volumes += [_Volume(box, box.shape) for box in found.boxes.values()]
    notes = _scale(volumes)
    groups = _together(volumes)
    if len(groups) < len(volumes):
        notes += _within_boxes(found)
    for _ in range(5):
        if _set_apart(groups, width) <= width:
            break
        for v in volumes:
            v.thick = v.thick if v.flat else max(3.0, 0.85 * v.thick)
    floor = max(v.tall / 2 + v.deep * _SLANT[1] / 2 for v in volumes) + 20
    for group in groups:
        for volume in group:
            if volume.box is None:
                _paint(canvas, volume)
                continue
            with canvas.node(volume.box.path, volume.box.holds(found.blueprint)):
                _paint(canvas, volume)
    for before, group in itertools.pairwise(groups):
        _connect(canvas, before[-1], group[0])
    for group in groups:
        _label(canvas, group, floor, grouped=len(groups) < len(volumes))
    return notes


def _scale(volumes: list[_Volume]) -> list[str]:
    """Sizes in pixels, in proportion where the smallest stays visible, else by square roots."""
    maps = [v for v in volumes if not v.flat]
    vectors = [v for v in volumes if v.flat]
    notes = []
    if maps:
        sides = [n for v in maps for n in (spatial(v.shape)[-2:] or (1,))]
        counts = [channels(v.shape) for v in maps]
        side_power = 1.0 if max(sides) <= 8 * min(sides) else 0.5
        count_power = 1.0 if max(counts) <= 8 * min(counts) else 0.5
        for v in maps:
            size = spatial(v.shape)[-2:] or (1,)
            tall, deep = (size[0], size[-1]) if len(size) == 2 else (size[0], 1)
            v.tall = max(4.0, _TALLEST * (tall / max(sides)) ** side_power)
            v.deep = max(4.0, _TALLEST * (deep / max(sides)) ** side_power)
            v.thick = max(3.0, _THICKEST * (channels(v.shape) / max(counts)) ** count_power)
        notes.append(
            f"side of a map drawn in proportion to {_root(side_power, 'its size')}, "
            f"thickness to {_root(count_power, 'the number of maps')}"
        )
    if vectors:
        most = max(v.shape[-1] for v in vectors)
        for v in vectors:
            v.thick, v.tall, v.deep = 11.0, max(12.0, _BAR * math.sqrt(v.shape[-1] / most)), 0.0
        notes.append("length of a bar to the square root of the number of units")
    return notes


def _root(power: float, of: str) -> str:
    return of if power == 1.0 else f"the square root of {of}"


def _together(volumes: list[_Volume]) -> list[list[_Volume]]:
    """Each alone; of a long chain, those of one size next to each other."""
    if len(volumes) <= _SEPARATE:
        return [[v] for v in volumes]
    groups: list[list[_Volume]] = []
    for v in volumes:
        last = groups[-1][-1] if groups else None
        same = (
            last is not None
            and last.box is not None
            and not v.flat
            and spatial(last.shape) == spatial(v.shape)
        )
        if same:
            groups[-1].append(v)
        else:
            groups.append([v])
    return groups


def _steps(group: list[_Volume], *, grouped: bool) -> list[tuple[str, bool]]:
    """Lines below a group, and whether each is bold: what was done, and what came of it."""
    lines: list[tuple[str, bool]] = []
    n = 0
    while n < len(group):
        volume = group[n]
        box = volume.box
        times = 1
        while box is not None and n + times < len(group) and _same(volume, group[n + times]):
            times += 1
        n += times
        if box is None:
            lines.append(("input", False))
        else:
            lines.append((f"{times} x {box.name}" if times > 1 else box.name, False))
            if len(box.steps) and not grouped:
                lines += [(_spelt(step), False) for step in box.steps]
            elif box.steps:
                lines[-1] = (f"{lines[-1][0]}, {', '.join(box.steps)}", False)
        lines.append((volume.label, True))
        if box is not None and box.notes and not grouped:
            lines.append((", ".join(box.notes), False))
        if box is not None and box.shared:
            lines.append(("same weights", False))
    return lines


def _spelt(step: str) -> str:
    return f"stride {step[1:]}" if step.startswith("/") else step


def _same(a: _Volume, b: _Volume) -> bool:
    assert a.box is not None
    return b.box is not None and (a.box.title, a.shape, a.box.notes) == (b.box.title, b.shape, b.box.notes)


def _within_boxes(found: Sketch) -> list[str]:
    """What is in the boxes without being drawn."""
    every: dict[str, int] = {}
    having: dict[str, dict[str, int]] = {}
    for box in found.boxes.values():
        name = box.name.split(" ")[0]
        every[name] = every.get(name, 0) + 1
        for note in dict.fromkeys(box.notes):
            counts = having.setdefault(note, {})
            counts[name] = counts.get(name, 0) + 1
    return [
        f"{note} after " + " and ".join(f"{n} of {every[name]} {name}" for name, n in counts.items())
        for note, counts in having.items()
    ]


def _set_apart(groups: list[list[_Volume]], width: float) -> float:
    """Columns as wide as the widest of volume and words; what is left of the width goes between them."""
    grouped = any(len(g) > 1 for g in groups)
    spans = []
    for group in groups:
        words = max(text_width(t, SMALL, bold=bold) for t, bold in _steps(group, grouped=grouped))
        body = sum(v.thick for v in group) + 3 * (len(group) - 1) + group[-1].deep * _SLANT[0]
        gap = 8.0 if group[-1].flat else 16.0
        spans.append((body, max(body, words), gap))
    spare = max(0.0, width - 28 - sum(s + g for _, s, g in spans)) / max(1, len(spans) - 1)
    x = 0.0
    for group, (body, span, gap) in zip(groups, spans, strict=True):
        at = x + (span - body) / 2
        for v in group:
            v.x = at
            at += v.thick + 3
        x += span + gap + min(spare, 26.0)
    return x + 20


def _paint(canvas: Canvas, v: _Volume) -> None:
    """Top, right side, front."""
    dx, dy = v.deep * _SLANT[0], v.deep * _SLANT[1]
    x0, x1 = v.x, v.x + v.thick
    y0, y1 = -v.tall / 2 + dy / 2, v.tall / 2 + dy / 2
    if v.flat:
        canvas.rect(
            x0,
            y0,
            v.thick,
            v.tall,
            v.colour,
            name=f"bar {v.box.group if v.box else 'input'}",
            radius=2,
            solid=0.3,
        )
        return
    name = v.box.group if v.box is not None else "input"
    canvas.polygon(
        [(x0, y0), (x0 + dx, y0 - dy), (x1 + dx, y0 - dy), (x1, y0)],
        v.colour,
        name=f"face {name}",
        solid=0.12,
    )
    canvas.polygon(
        [(x1, y0), (x1 + dx, y0 - dy), (x1 + dx, y1 - dy), (x1, y1)],
        v.colour,
        name=f"face {name}",
        solid=0.22,
    )
    canvas.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], v.colour, name=f"face front {name}", solid=0.34)


def _connect(canvas: Canvas, a: _Volume, b: _Volume) -> None:
    """From a volume to what is made of it: the window and its pyramid, or everything to everything."""
    box = b.box
    assert box is not None
    colour = b.colour
    kernel = _kernel(box)
    if a.flat or b.flat or not kernel:
        ends = _ends(a)
        for (x, y), down in zip(ends, (-0.5, 0.5), strict=True):
            canvas.line(
                [(x, y), (b.x, _front(b, down + 0.5)[1])], name="fan", arrow=False, thick=0.8, colour=INK
            )
        return
    size = spatial(a.shape)[-2:]
    tall, deep = (size[0], size[-1]) if len(size) == 2 else (size[0], 1)
    down = min(1.0, max(kernel[0] / tall, 5.0 / a.tall))
    along = min(1.0, max(kernel[-1] / deep, 8.0 / a.deep)) if len(size) == 2 else 1.0
    left, top = 0.5 * (1 - along), 0.55 * (1 - down)
    right, low = left + along, top + down
    corners = [a.corner(left, top), a.corner(right, top), a.corner(right, low), a.corner(left, low)]
    canvas.polygon(corners, colour, name="window", solid=0.5, opaque=False)
    tip = _front(b, 0.62)
    for corner in corners:
        canvas.line([corner, tip], name="pyramid", arrow=False, thick=0.7, colour=colour)


def _kernel(box: Box) -> tuple[int, ...]:
    """Window of a convolution or pooling, as its name has it."""
    last = box.name.rsplit(" ", 1)[-1]
    if box.group not in ("convolution", "pooling") or not all(part.isdigit() for part in last.split("x")):
        return ()
    return tuple(int(part) for part in last.split("x"))[-2:]


def _front(v: _Volume, down: float) -> Point:
    """A point on the left edge of the front."""
    return v.x, -v.tall / 2 + down * v.tall + v.deep * _SLANT[1] / 2


def _ends(v: _Volume) -> tuple[Point, Point]:
    """Top and bottom of what looks right."""
    if v.flat:
        return (v.x + v.thick, -v.tall / 2), (v.x + v.thick, v.tall / 2)
    return v.corner(1, 0), v.corner(0, 1)


def _label(canvas: Canvas, group: list[_Volume], floor: float, *, grouped: bool) -> None:
    left, right = group[0].x, group[-1].x + group[-1].width
    y = floor
    for text, bold in _steps(group, grouped=grouped):
        canvas.text((left + right) / 2, y, text, SMALL, bold=bold, dim=not bold)
        y += _LINE
