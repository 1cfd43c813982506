"""A view as a file: a picture with its words, a page, the numbers, an animation."""

from __future__ import annotations

import base64
import functools
import html
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from sightline.base import ArgumentError, write_text, write_with
from sightline.views._colour import grey, positive, signed
from sightline.views._view import Panel, Pixels, Scale, View

ENDINGS = (".png", ".html", ".npz", ".gif")

_WIDTH = 1000
_GAP = 18
_TEXT, _SMALL, _HEAD = 15, 13, 20
_INK, _PALE, _PAPER = (28, 32, 38), (96, 104, 114), (255, 255, 255)
_FAULT = (176, 66, 0)
_BAR = 10
_LEAST, _MOST = 96, 460
_LINES = 4
"""Of notes above the pictures; what goes beyond stands beneath them."""


def save(view: View, path: Path) -> Path:
    """As `View.save`."""
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise ArgumentError(f"-o {path}: a view is written as {', '.join(ENDINGS)}")
    if ending == ".gif" and not view.frames:
        raise ArgumentError(f"-o {path}: this view does not move; write .png, .html or .npz")
    if ending == ".html":
        write_text(path, page(view))
    elif ending == ".npz":
        named: Any = {"about": json.dumps(view.to_dict(), default=str), **view.arrays}
        write_with(path, lambda partial: _savez(partial, named))
    elif ending == ".gif":
        write_with(path, lambda partial: _animate(view, partial))
    else:
        picture = sheet(view)
        write_with(path, lambda partial: picture.save(partial, format="PNG", optimize=True))
    return path


def _savez(path: Path, arrays: dict[str, Any]) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)


@functools.cache
def font_of(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name, size)


def sheet(view: View) -> Image.Image:
    """The whole view as one picture, 1,000 pixels wide or as its widest panel needs."""
    panels = [shown(panel, view) for panel in view.panels]
    rows = _rows(panels, view.columns)
    many = max(map(len, rows), default=0)
    wide = [max(row[k].width for row in rows if k < len(row)) for k in range(many)]  # of a column
    widths = [wide if view.columns else [panel.width for panel in row] for row in rows]
    width = max([560, *(_GAP + sum(w + _GAP for w in own) for own in widths)])
    above, below = _parted(view.notes, width - 2 * _GAP)
    head = _heading(view, above, width - 2 * _GAP)
    foot = _words(_lines(below, font_of(_TEXT), _PALE, width - 2 * _GAP), width - 2 * _GAP)
    height = head.height + 2 * _GAP + sum(max(p.height for p in row) + _GAP for row in rows)
    height += foot.height + _GAP if below else 0
    page = Image.new("RGB", (width, height), _PAPER)
    page.paste(head, (_GAP, _GAP))
    top = head.height + 2 * _GAP
    for row, own in zip(rows, widths, strict=True):
        left = _GAP
        for panel, across in zip(row, own, strict=False):
            page.paste(panel, (left, top))
            left += across + _GAP
        top += max(p.height for p in row) + _GAP
    page.paste(foot, (_GAP, top))
    return page


def _rows(panels: list[Image.Image], columns: int | None) -> list[list[Image.Image]]:
    """So many a row, in columns; where None, as many as fit beside each other.

    Where one would be left over for the last row, rows are shorter, as long as there are no more of them.
    """
    if columns is not None:
        return [panels[i : i + columns] for i in range(0, len(panels), columns)]
    rows = _filled(panels, _WIDTH)
    if len(rows) > 1 and len(rows[-1]) == 1 and len(rows[-2]) > 2:
        used = sorted({_GAP + sum(p.width + _GAP for p in row[:-1]) for row in rows if len(row) > 1})
        shorter = (_filled(panels, width) for width in used)
        rows = next((r for r in shorter if len(r) == len(rows) and len(r[-1]) > 1), rows)
    return rows


def _filled(panels: list[Image.Image], width: int) -> list[list[Image.Image]]:
    """Rows with as many panels as fit a width."""
    rows: list[list[Image.Image]] = []
    left = width
    for panel in panels:
        if not rows or left + panel.width + _GAP > width:
            rows.append([])
            left = _GAP
        rows[-1].append(panel)
        left += panel.width + _GAP
    return rows


_Line = tuple[str, ImageFont.FreeTypeFont, tuple[int, int, int]]


def _parted(notes: Sequence[str], width: int) -> tuple[Sequence[str], Sequence[str]]:
    """Notes that stand above the pictures, as far as there is room, and those beneath."""
    lines = 0
    for k, note in enumerate(notes):
        lines += len(_broken(note, font_of(_TEXT), width))
        if lines > _LINES and k:
            return notes[:k], notes[k:]
    return notes, ()


def _lines(
    texts: Sequence[str], font: ImageFont.FreeTypeFont, ink: tuple[int, int, int], width: int
) -> list[_Line]:
    return [(line, font, ink) for text in texts for line in _broken(text, font, width)]


def _heading(view: View, notes: Sequence[str], width: int) -> Image.Image:
    faults = [f"{finding.level}: {finding.what}; {finding.why}" for finding in view.findings]
    lines = _lines([view.title], font_of(_HEAD, bold=True), _INK, width)
    lines += _lines(notes, font_of(_TEXT), _PALE, width)
    lines += _lines(faults, font_of(_TEXT, True), _FAULT, width)
    return _words(lines, width)


def _words(lines: Sequence[_Line], width: int) -> Image.Image:
    heights = [int(font.size * 1.4) for _, font, _ in lines]
    picture = Image.new("RGB", (width, sum(heights)), _PAPER)
    draw, top = ImageDraw.Draw(picture), 0
    for (text, font, colour), height in zip(lines, heights, strict=True):
        draw.text((0, top), text, fill=colour, font=font)
        top += height
    return picture


def shown(panel: Panel, view: View) -> Image.Image:
    """A panel with its title, caption and scale."""
    picture = _sized(panel, len(view.panels))
    width = max(picture.width, 64)
    above = _broken(panel.title, font_of(_TEXT), width)
    below = _broken(panel.caption, font_of(_SMALL), width)
    line, small = int(_TEXT * 1.4), int(_SMALL * 1.4)
    bar = _BAR + small + 6 if panel.scale is not None else 0
    height = len(above) * line + picture.height + bar + len(below) * small + 8
    cell = Image.new("RGB", (width, height), _PAPER)
    draw, top = ImageDraw.Draw(cell), 0
    for text in above:
        draw.text((0, top), text, fill=_INK, font=font_of(_TEXT))
        top += line
    cell.paste(picture, (0, top))
    top += picture.height + 4
    if panel.scale is not None:
        cell.paste(_scale_bar(panel.scale, picture.width), (0, top))
        low, high = number(panel.scale.low), number(panel.scale.high)
        draw.text((0, top + _BAR + 2), low, fill=_PALE, font=font_of(_SMALL))
        right = draw.textlength(high, font=font_of(_SMALL))
        draw.text((picture.width - right, top + _BAR + 2), high, fill=_PALE, font=font_of(_SMALL))
        top += bar
    for text in below:
        draw.text((0, top), text, fill=_PALE, font=font_of(_SMALL))
        top += small
    return cell


def _sized(panel: Panel, count: int) -> Image.Image:
    """A panel's pixels at the size they are shown."""
    picture = Image.fromarray(panel.pixels)
    wanted = panel.width
    if wanted is None:
        wanted = max(_LEAST, min(_MOST, (_WIDTH - _GAP) // min(count, 8) - _GAP))
        if not panel.smooth:  # a whole number of screen pixels for each
            wanted = max(1, wanted // picture.width) * picture.width
    if wanted == picture.width:
        return picture
    how = Image.Resampling.NEAREST if not panel.smooth else Image.Resampling.BICUBIC
    if wanted < picture.width:
        how = Image.Resampling.LANCZOS
    return picture.resize((wanted, max(1, round(picture.height * wanted / picture.width))), how)


def paint(values: NDArray[np.floating], scale: Scale) -> Pixels:
    """Values in the colours of a scale. (H, W) -> (H, W, 3).

    Example:
        >>> import numpy as np
        >>> paint(np.array([[0.0]]), Scale("signed", -1.0, 1.0)).tolist()
        [[[255, 255, 255]]]
    """
    if scale.kind == "signed":
        return signed(values, scale.high)[0]
    if scale.kind == "positive":
        return positive(values, scale.high)[0]
    return grey(values, scale.low, scale.high)[0]


def _scale_bar(scale: Scale, width: int) -> Image.Image:
    return Image.fromarray(
        paint(np.linspace(scale.low, scale.high, max(width, 2))[None].repeat(_BAR, axis=0), scale)
    )


def number(value: float) -> str:
    """A value in three digits, or all before the point; as a power of ten where it is far from 1.

    Example:
        >>> number(3483.2), number(0.0132), number(-1.5), number(2.5e-7), number(1e6), number(0.0)
        ('3483', '0.0132', '-1.5', '2.5e-7', '1e6', '0')
    """
    size = abs(value)
    if 999.5 <= size < 99999.5:
        return f"{value:.0f}"
    if size == 0 or 0.000995 <= size < 1000:
        return f"{value:.3g}"
    return re.sub(r"e([-+]?)0*", lambda found: "e" + found[1].strip("+"), f"{value:.3g}")


def _broken(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Lines of at most a width; a word that is wider stands alone, cut."""
    lines: list[str] = []
    for paragraph in text.splitlines():
        line = ""
        for word in paragraph.split(" "):
            longer = f"{line} {word}" if line else word
            if line and font.getlength(longer) > width:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return [_cut(line, font, width) for line in lines]


def _cut(line: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    if font.getlength(line) <= width:
        return line
    while line and font.getlength(f"{line}…") > width:
        line = line[:-1]
    return f"{line}…"


def _animate(view: View, path: Path) -> None:
    frames = [shown(frame, view) for frame in view.frames]
    size = (max(f.width for f in frames), max(f.height for f in frames))
    padded = []
    for frame in frames:
        page = Image.new("RGB", (size[0] + _GAP, size[1] + _GAP), _PAPER)
        page.paste(frame, (_GAP // 2, _GAP // 2))
        padded.append(page.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE))
    padded[0].save(
        path,
        format="GIF",
        save_all=True,
        append_images=padded[1:],
        duration=round(1000 * view.seconds),
        loop=0,
    )


_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 75rem; margin: 2rem auto; padding: 0 1rem; background: Canvas; color: CanvasText }
.panels { display: flex; flex-wrap: wrap; gap: 1.2rem; align-items: flex-start }
figure { margin: 0; max-width: 100% } figure img { max-width: 100%; display: block }
figure img.bar { margin-top: .3rem }
figcaption { font-size: .85rem; max-width: 30rem } .level { font-weight: 600 }
p, figcaption { white-space: pre-line }
.sharp { image-rendering: pixelated }
.range { display: flex; justify-content: space-between; font-size: .8rem; max-width: 100% }
"""


def page(view: View) -> str:
    """The view as one HTML file that needs nothing else."""
    say = html.escape
    above, below = _parted(view.notes, _WIDTH - 2 * _GAP)
    parts = [f"<h1>{say(view.title)}</h1>", *(f"<p>{say(note)}</p>" for note in above)]
    parts += [
        f'<p><span class="level">{say(f.level)}:</span> {say(f.what)}; {say(f.why)}; {say(f.do)}</p>'
        for f in view.findings
    ]
    figures = []
    for panel in view.panels:
        picture = _sized(panel, len(view.panels))
        sharp = "" if panel.smooth else ' class="sharp"'
        inner = [f"<figcaption><b>{say(panel.title)}</b></figcaption>"] if panel.title else []
        inner.append(
            f'<img{sharp} src="{_uri(picture)}" width="{picture.width}" height="{picture.height}" '
            f'alt="{say(panel.title or view.title, quote=True)}">'
        )
        if panel.scale is not None:
            inner.append(f'<img class="bar" src="{_uri(_scale_bar(panel.scale, picture.width))}" alt="">')
            low, high = number(panel.scale.low), number(panel.scale.high)
            inner.append(
                f'<div class="range" style="width: {picture.width}px">'
                f"<span>{low}</span><span>{high}</span></div>"
            )
        inner += [f"<figcaption>{say(panel.caption)}</figcaption>"] if panel.caption else []
        figures.append(f"<figure>{''.join(inner)}</figure>")
    parts.append(f'<div class="panels">{"".join(figures)}</div>')
    parts += [f"<p>{say(note)}</p>" for note in below]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{say(view.title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


def _uri(picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
