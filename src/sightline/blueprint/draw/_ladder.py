"""Networks that go down in size and up again, with skips between: drawn as the letter U."""

from __future__ import annotations

import dataclasses
import itertools
import math

from sightline.base import INK, SERIES
from sightline.blueprint._graph import Blueprint, Shape
from sightline.blueprint.draw._boxes import Box, Sketch
from sightline.blueprint.draw._canvas import SMALL, Canvas, text_width
from sightline.blueprint.draw._kinds import COLOURS, by_x, channels, spatial

_TALLEST, _WIDEST, _STEP = 120.0, 44.0, 26.0
"""Pixels of the largest map's side, of the most maps, of the gap between two bars."""
_ROW = 50.0
"""Pixels from row to row, beside the bars."""
_LETTERS = 9.0


@dataclasses.dataclass(slots=True)
class _Bar:
    """A set of maps."""

    key: int
    shape: Shape
    level: int
    """How often the size was halved."""
    box: Box | None
    way: str
    """How it comes from the bar before: `along`, `down`, `up`."""
    words: str
    """What was done to make it."""
    colour: str
    copied: int = 0
    """Maps that come from a skip, drawn as the left part."""
    skip: int | None = None
    """Bar that they come from."""
    cropped: bool = False
    x: float = 0.0
    y: float = 0.0
    width: float = 0.0
    height: float = 0.0


@dataclasses.dataclass(slots=True)
class Ladder:
    """Bars in order."""

    bars: list[_Bar]


def find_ladder(found: Sketch) -> Ladder | None:
    """Read a network as one path, down and up again, with skips from rung to rung; None if it is not that."""
    if len(found.blueprint.input_shapes) != 1 or len(found.outputs) != 1 or len(found.boxes) > 80:
        return None
    first = found.blueprint.input_shapes[0]
    if len(first) not in (3, 4, 5):
        return None
    bars = [_Bar(-1, first, 0, None, "along", "input", COLOURS["input"])]
    place = {-1: 0}
    boxes = list(found.boxes.values())
    for box in boxes:
        bar = _bar(box, bars, place)
        if bar is None:
            return None
        rise = _rise(bars) if bar.skip is not None else 0
        if rise:  # its maps are the right part of what they are joined with
            bar.way, bar.words = "up", " + ".join(b.words for b in bars[-rise:])
            for gone in bars[-rise:]:
                place.pop(gone.key)
            del bars[-rise:]
        place[box.key] = len(bars)
        bars.append(bar)
    skips = [bar for bar in bars if bar.skip is not None]
    deepest = max(bar.level for bar in bars)
    bottom = next(n for n, bar in enumerate(bars) if bar.level == deepest)
    falls = all(bar.way != "up" for bar in bars[:bottom])
    rises = all(bar.way != "down" for bar in bars[bottom + 1 :])
    if deepest < 2 or not skips or not falls or not rises or found.outputs != [boxes[-1].key]:
        return None
    if any(bar.skip is None or bar.skip > bottom or bars[bar.skip].level != bar.level for bar in skips):
        return None
    for n, bar in enumerate(bars):  # a skip starts at the last bar of its rung, so that nothing is in its way
        if bar.skip is not None and (bars[bar.skip + 1].level == bar.level or bars[n - 1].level == bar.level):
            return None
    return Ladder(bars)


def _rise(bars: list[_Bar]) -> int:
    """How many bars, the last ones, are a step up: one, or one and a convolution behind it."""
    for count in (1, 2):
        if len(bars) > count and bars[-count].skip is None and bars[-count].way == "up":
            return count
    return 0


def _bar(box: Box, bars: list[_Bar], place: dict[int, int]) -> _Bar | None:
    """The bar a box makes; None if it does not go on from the bar before."""
    before = bars[-1]
    if before.key not in box.sources or len(box.shape) != len(bars[0].shape):
        return None
    others = [s for s in box.sources if s != before.key]
    side, last = max(spatial(box.shape)), max(spatial(before.shape))
    way = "down" if side * 1.5 <= last else "up" if side >= last * 1.5 else "along"
    level = before.level + {"down": 1, "up": -1, "along": 0}[way]
    words = ", ".join([box.name, *box.notes])
    bar = _Bar(box.key, box.shape, level, box, way, words, "")
    if others:
        if len(others) > 1 or others[0] not in place or way != "along":
            return None
        bar.skip, bar.cropped = place[others[0]], others[0] in box.cropped
        if box.name == "concat":
            bar.copied = channels(bars[bar.skip].shape)
    return bar


def draw_ladder(canvas: Canvas, ladder: Ladder, blueprint: Blueprint) -> list[str]:
    """Draw it; returns the scale, for the caption."""
    bars = ladder.bars
    colours = _colours(bars)
    most = max(channels(bar.shape) for bar in bars)
    largest = max(max(spatial(bar.shape)) for bar in bars)
    for bar in bars:
        bar.height = max(6.0, _TALLEST * math.sqrt(spatial(bar.shape)[0] / largest))
        bar.width = max(5.0, _WIDEST * math.sqrt(channels(bar.shape) / most))
        bar.colour = colours[bar.words]
    _place(bars)
    for bar in bars:
        if bar.skip is not None:
            _paint_skip(canvas, bars[bar.skip], bar)
    for before, bar in itertools.pairwise(bars):
        _paint_step(canvas, before, bar)
    for bar in bars:
        if bar.box is None:
            _paint_bar(canvas, bar)
            continue
        with canvas.node(bar.box.path, bar.box.holds(blueprint)):
            _paint_bar(canvas, bar)
    _paint_legend(canvas, bars, colours)
    return [
        "height of a bar to the square root of the map's side, width to the square root of the number of maps"
    ]


def _colours(bars: list[_Bar]) -> dict[str, str]:
    """A colour for each operation: the one of its kind to the first, then those nobody has."""
    found: dict[str, str] = {"input": COLOURS["input"]}
    taken: set[str] = set()
    for bar in bars:
        if bar.words in found:
            continue
        kind = "convolution" if bar.box is None else bar.box.group
        wanted = COLOURS["linear"] if bar.way == "up" else COLOURS[kind]
        free = [c for c in (wanted, *SERIES) if c not in taken] or [wanted]
        found[bar.words] = free[0]
        taken.add(free[0])
    return found


def _place(bars: list[_Bar]) -> None:
    """Left to right, a row a level; down and up go straight."""
    rows = {level: max(b.height for b in bars if b.level == level) for level in {b.level for b in bars}}
    middle: dict[int, float] = {}
    y = 0.0
    for level in sorted(rows):
        middle[level] = y + rows[level] / 2
        y += rows[level] + _ROW
    for n, bar in enumerate(bars):
        bar.y = middle[bar.level] - bar.height / 2
        if n == 0:
            continue
        before = bars[n - 1]
        center = before.x + before.width / 2
        if bar.way == "along":
            words = (_words_width(before) + _words_width(bar)) / 2
            bar.x = center + max(before.width / 2 + _STEP, words + 4 - bar.width / 2)
        elif bar.way == "down":
            bar.x = center - bar.width / 2
        else:
            row = [b for b in bars[:n] if b.level == bar.level]
            free = max((b.x + b.width + _STEP + 14 for b in row), default=0.0)
            bar.x = max(free, center - (_join_x(bar) - bar.x))
            shift = bar.x + (_join_x(bar) - bar.x) - center
            if shift > 0.5:  # no room above: what is below moves right, from where it went down
                _make_room(bars, n, shift)
                bar.x = max(free, before.x + before.width / 2 - (_join_x(bar) - bar.x))


def _make_room(bars: list[_Bar], n: int, shift: float) -> None:
    """Move the bars of the lower rows, so that the way up from them is straight."""
    for k in range(n - 1, -1, -1):
        if bars[k].level <= bars[n].level or bars[k].way == "down":
            break
        bars[k].x += shift
        if bars[k].way == "up":
            break


def _words_width(bar: _Bar) -> float:
    return max(
        text_width(by_x(spatial(bar.shape)), _LETTERS), text_width(str(channels(bar.shape)), SMALL, bold=True)
    )


def _join_x(bar: _Bar) -> float:
    """Where what is not copied stands."""
    copied = bar.width * bar.copied / channels(bar.shape) if bar.copied else 0.0
    return bar.x + copied + (bar.width - copied) / 2


def _paint_skip(canvas: Canvas, source: _Bar, bar: _Bar) -> None:
    y = source.y + source.height / 2
    hint = "copied, cropped" if bar.cropped else "copied"
    canvas.line(
        [(source.x + source.width + 2, y), (bar.x - 2, y)], name="edge skip", colour=INK, thick=2.0, hint=hint
    )


def _paint_step(canvas: Canvas, before: _Bar, bar: _Bar) -> None:
    if bar.way == "along":
        y = bar.y + bar.height / 2
        points = [(before.x + before.width + 2, y), (bar.x - 2, y)]
    else:
        start, end = before.x + before.width / 2, _join_x(bar)
        if bar.way == "down":
            low, high = before.y + before.height + 15, bar.y - 14
        else:
            low, high = before.y - 14, bar.y + bar.height + 15
        points = [(start, low), (end, high)]
        if end > before.x + before.width + 6:  # out of the side, and up
            y = before.y + before.height / 2
            points = [(before.x + before.width + 2, y), (end, y), (end, high)]
    canvas.line(points, name="edge", colour=bar.colour, thick=2.0)


def _paint_bar(canvas: Canvas, bar: _Bar) -> None:
    middle = bar.x + bar.width / 2
    box = bar.box
    hint = "input" if box is None else f"{box.path}: {bar.words}, makes {by_x(bar.shape)}"
    name = "input" if box is None else box.group
    canvas.rect(
        bar.x, bar.y, bar.width, bar.height, bar.colour, name=f"box {name}", radius=1, solid=0.45, hint=hint
    )
    if bar.copied:
        part = bar.width * bar.copied / channels(bar.shape)
        low, edge = bar.y + bar.height, bar.x + part
        corners = [(bar.x, bar.y), (edge, bar.y), (edge, low), (bar.x, low)]
        canvas.polygon(corners, INK, name="copied", solid=0.12)
    canvas.text(middle, bar.y - 4, str(channels(bar.shape)), SMALL, bold=True)
    canvas.text(middle, bar.y + bar.height + 10, by_x(spatial(bar.shape)), _LETTERS, dim=True)


def _paint_legend(canvas: Canvas, bars: list[_Bar], colours: dict[str, str]) -> None:
    """What each arrow does, in rows below."""
    shown = [
        (words, colour)
        for words, colour in colours.items()
        if words != "input" and any(b.words == words for b in bars[1:])
    ]
    cropped = any(bar.cropped for bar in bars)
    joined = {bar.box.name for bar in bars if bar.skip is not None and bar.box is not None}
    shown.append((f"skip: copy{' and crop' if cropped else ''}, {', '.join(sorted(joined))}", INK))
    left, right = canvas.left, canvas.right
    x, y = left, canvas.bottom + 26
    for words, colour in shown:
        wide = text_width(words, SMALL) + 48
        if x > left and x + wide > right:
            x, y = left, y + 17
        canvas.line([(x, y - 3), (x + 22, y - 3)], name="key", colour=colour, thick=2.0)
        canvas.text(x + 28, y, words, SMALL, anchor="start", dim=True)
        x += wide
