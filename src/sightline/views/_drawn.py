"""Pictures with words in them: maps with labels, numbers in coloured cells, boxes on maps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from sightline.base import SERIES
from sightline.views._colour import positive, rgb, signed
from sightline.views._render import font_of
from sightline.views._view import Panel, Pixels, Scale

INK, PALE, PAPER, BLANK = (28, 32, 38), (96, 104, 114), (255, 255, 255), (236, 238, 241)
MARK = rgb(SERIES[2])
"""Of boxes: told apart from every colour of a scale."""

_LABEL = 13
_LEAST_CELL = 30
"""Of a number in a cell."""

Box = tuple[float, float, float, float]
"""(top, left, bottom, right) in the map's own pixels, 0 the edge of the first."""


def coloured(values: NDArray[np.floating], kind: str, high: float | None = None) -> tuple[Pixels, Scale]:
    """(H, W) on a `positive` or a `signed` scale."""
    return positive(values, high) if kind == "positive" else signed(values, high)


def scale_kind(values: NDArray[np.floating]) -> str:
    """`positive` of what has nothing below zero, else `signed`."""
    return "signed" if values.size and values.min() < 0 else "positive"


def highest(values: NDArray[np.floating]) -> float:
    """The last value of its scale: the largest magnitude."""
    return float(np.abs(values).max(initial=0.0))


def enlarged(pixels: Pixels, width: int, boxes: Sequence[Box] = (), *, smooth: bool = False) -> Pixels:
    """A picture at a width, or near it by a whole factor where its pixels are to be seen, with boxes."""
    height, wide = pixels.shape[:2]
    if not smooth and wide <= width:
        width = max(1, width // wide) * wide
    size = (width, max(1, round(height * width / wide)))
    how = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
    picture = Image.fromarray(pixels).resize(size, how)
    draw = ImageDraw.Draw(picture)
    down, across = size[1] / height, size[0] / wide
    for top, left, bottom, right in boxes:
        edges = (
            max(0, round(left * across) - 2), max(0, round(top * down) - 2),
            min(size[0] - 1, round(right * across) + 1), min(size[1] - 1, round(bottom * down) + 1),
        )  # fmt: skip
        if edges[0] < edges[2] and edges[1] < edges[3]:
            draw.rectangle(edges, outline=MARK, width=2)
    return np.array(picture)


def labelled(tiles: Sequence[tuple[Pixels | str, str]], side: int, columns: int, *, smooth: bool) -> Pixels:
    """Maps in rows, a line of text beneath each.

    Args:
        tiles: Each a picture, or what stands in its place; and its line.
        side: Width of each, in pixels.
        columns: A row.
        smooth: Whether they are interpolated.
    """
    first = next((pixels for pixels, _ in tiles if not isinstance(pixels, str)), None)
    height = side if first is None else max(1, round(side * first.shape[0] / first.shape[1]))
    rows = -(-len(tiles) // columns)
    gap, line = 8, int(_LABEL * 1.5)
    columns = min(columns, len(tiles))
    page = Image.new("RGB", (columns * (side + gap) - gap, rows * (height + line + gap) - gap), PAPER)
    draw = ImageDraw.Draw(page)
    for k, (pixels, text) in enumerate(tiles):
        left, top = k % columns * (side + gap), k // columns * (height + line + gap)
        if isinstance(pixels, str):
            draw.rectangle((left, top, left + side - 1, top + height - 1), fill=BLANK)
            _centred(draw, (left, top, side, height), pixels, 12, PALE)
        else:
            how = Image.Resampling.BICUBIC if smooth or pixels.shape[1] > side else Image.Resampling.NEAREST
            page.paste(Image.fromarray(pixels).resize((side, height), how), (left, top))
        fits = next((n for n in (_LABEL, 11, 9) if font_of(n).getlength(text) <= side), 8)
        draw.text((left, top + height + 1), text, fill=PALE, font=font_of(fits))
    return np.array(page)


def cells(
    values: NDArray[np.floating],
    colours: Pixels,
    side: int,
    *,
    outside: NDArray[np.bool_] | None = None,
    marked: tuple[int, int] | None = None,
    numbers: bool = True,
    padding_says: str = "0",
    largest: float | None = None,
) -> Image.Image:
    """Numbers in coloured cells.

    Args:
        values: (H, W).
        colours: (H, W, 3).
        side: Of a cell, in pixels.
        outside: Where there is nothing: cells of padding, hatched.
        marked: One cell to frame.
        numbers: Whether they are written, where there is room.
        padding_says: What is written in cells of padding.
        largest: The largest magnitude of all cells that are to be written alike; None for that of these.
    """
    height, width = values.shape
    write = alike(highest(values) if largest is None else largest)
    page = Image.new("RGB", (width * side + 1, height * side + 1), (205, 209, 214))
    draw = ImageDraw.Draw(page)
    line = 1 if side >= 8 else 0
    for r in range(height):
        for c in range(width):
            left, top = c * side + line, r * side + line
            right, bottom = (c + 1) * side - 1, (r + 1) * side - 1
            colour = tuple(int(v) for v in colours[r, c])
            padding = outside is not None and outside[r, c]
            draw.rectangle((left, top, right, bottom), fill=BLANK if padding else colour)
            if padding and side >= 8:
                draw.line((left, bottom, right, top), fill=(200, 204, 209))
            if numbers and side >= _LEAST_CELL:
                dark = not padding and 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] < 140
                text = padding_says if padding else write(float(values[r, c]))
                ink = PAPER if dark else INK
                _centred(draw, (left, top, side - line, side - line), text, 11 if side < 44 else 13, ink)
    if marked is not None:
        r, c = marked
        draw.rectangle((c * side, r * side, (c + 1) * side, (r + 1) * side), outline=MARK, width=3)
    return page


def short(value: float) -> str:
    """A number in at most six characters, as a cell holds.

    Example:
        >>> short(0.1234), short(-12.345), short(1234567.0), short(0.0), short(-0.00012)
        ('0.12', '-12.3', '1e+06', '0', '-1e-4')
    """
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 99999.5:
        return f"{value:.0e}"
    if size >= 99.95:
        return f"{value:.0f}"
    if size >= 9.995:
        return f"{value:.1f}"
    if size >= 0.00995:
        return f"{value:.2f}"
    return f"{value:.0e}".replace("e-0", "e-")


def alike(largest: float) -> Callable[[float], str]:
    """How numbers up to a magnitude are written, all alike: so many places behind the point for each.

    Two places where the largest is 0.1 to 10; what is 0 is written 0, and what is only rounded to it 0.00.

    Example:
        >>> [alike(2.9)(x) for x in (2.87, 0.0099, -0.0004, 0.0)]
        ['2.87', '0.01', '0.00', '0']
        >>> alike(0.02)(0.0049), alike(250.0)(17.34), alike(3e-6)(-2.4e-7)
        ('0.005', '17', '-2e-7')
    """
    if not 0.001 <= largest < 99999.5:
        return short
    places = max(0, 1 - math.floor(math.log10(largest))) if largest < 0.1 or largest >= 10 else 2

    def write(value: float) -> str:
        text = f"{value:.{places}f}"
        return "0" if value == 0 else text if float(text) else text.lstrip("-")

    return write


def stacked(rows: Sequence[Image.Image], gap: int = 10) -> Pixels:
    """Pictures under each other."""
    page = Image.new("RGB", (max(r.width for r in rows), sum(r.height + gap for r in rows) - gap), PAPER)
    top = 0
    for row in rows:
        page.paste(row, (0, top))
        top += row.height + gap
    return np.array(page)


def beside(parts: Sequence[Image.Image | str], gap: int = 12) -> Image.Image:
    """Pictures and words in a line, on one middle; words wrap where they hold a line break."""
    sized = [written(part) if isinstance(part, str) else part for part in parts]
    height = max(part.height for part in sized)
    page = Image.new("RGB", (sum(part.width + gap for part in sized) - gap, height), PAPER)
    left = 0
    for part in sized:
        page.paste(part, (left, (height - part.height) // 2))
        left += part.width + gap
    return page


def written(text: str, size: int = 15, colour: tuple[int, int, int] = INK, width: int = 0) -> Image.Image:
    """Words as a picture, at least so wide."""
    lines, line = text.split("\n"), int(size * 1.4)
    wide = max(width, 1, *(int(font_of(size).getlength(text)) + 2 for text in lines))
    page = Image.new("RGB", (wide, line * len(lines)), PAPER)
    draw = ImageDraw.Draw(page)
    for k, text in enumerate(lines):
        draw.text((0, k * line), text, fill=colour, font=font_of(size))
    return page


def map_panel(
    values: NDArray[np.floating],
    *,
    title: str,
    caption: str,
    width: int,
    boxes: Sequence[Box] = (),
    kind: str | None = None,
    high: float | None = None,
) -> Panel:
    """One map (H, W) as a panel, enlarged by a whole factor, with its range, and boxes on it."""
    kind = kind or scale_kind(values)

    def draw(high: float | None) -> Panel:
        pixels, scale = coloured(values, kind, high)
        big = enlarged(pixels, width, boxes)
        return Panel(
            pixels=big, title=title, caption=caption, scale=scale, smooth=False, width=big.shape[1],
            on_scale=draw,
        )  # fmt: skip

    return draw(high)


def _centred(
    draw: ImageDraw.ImageDraw,
    where: tuple[int, int, int, int],
    text: str,
    size: int,
    ink: tuple[int, int, int],
) -> None:
    left, top, width, height = where
    lines, font = _fitting(text, size, width), font_of(size)
    line = int(size * 1.3)
    y = top + (height - line * len(lines)) / 2
    for words in lines:
        draw.text((left + (width - draw.textlength(words, font=font)) / 2, y), words, fill=ink, font=font)
        y += line


def _fitting(text: str, size: int, width: int) -> list[str]:
    lines: list[str] = []
    for word in text.split(" "):
        if lines and font_of(size).getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
