"""Drawings of the lab: matrices with windows on them, heat maps, pictures; SVG in the colours of the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightline.base import INK, SERIES
from sightline.reference import number_text

_TONES = {
    "text": "currentColor",
    "soft": INK,
    "rule": INK,
    "page": "Canvas",
    "right": SERIES[0],
    "wrong": SERIES[1],
}
"""Colours by what they are for, with those of a page that does not say; the page has them light and dark."""
_DEEPEST = 0.6
"""Opacity of the strongest shade, so that a number on it can be read."""
_LETTER, _BOLD = 0.56, 0.66
"""Mean width of a letter, of the size of the type."""
_HATCH = 7


@dataclass(frozen=True)
class Frame:
    """A frame around cells of a matrix."""

    row: int
    column: int
    rows: int
    columns: int
    tone: str = "right"
    dashed: bool = False


class Drawing:
    """Shapes and words at places in pixels."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._left = self._top = float("inf")
        self.right = self.bottom = 0.0
        """How far it reaches."""

    def words(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = 14,
        anchor: str = "start",
        tone: str = "text",
        bold: bool = False,
    ) -> float:
        """Write one line, its baseline at y; where it ends, about."""
        wide = len(text) * size * (_BOLD if bold else _LETTER)
        left = x - {"start": 0.0, "middle": wide / 2, "end": wide}[anchor]
        self._reach(left, y - size, left + wide, y + size * 0.3)
        weight = ' font-weight="650"' if bold else ""
        self._parts.append(
            f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" text-anchor="{anchor}" fill="{_paint(tone)}"'
            f"{weight}>{escape(text)}</text>"
        )
        return left + wide

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        *,
        fill: str = "",
        strength: float = 1.0,
        line: str = "",
        thickness: float = 1.0,
        dashed: bool = False,
    ) -> None:
        """A rectangle; `fill` and `line` are tones, `strength` is the opacity of the fill."""
        half = thickness / 2 if line else 0.0
        self._reach(x - half, y - half, x + width + half, y + height + half)
        painted = f'fill="{_paint(fill)}" fill-opacity="{strength:.3g}"' if fill else 'fill="none"'
        self._parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" {painted}'
            f"{_stroke(line, thickness, dashed)}/>"
        )

    def line(
        self,
        points: Sequence[tuple[float, float]],
        *,
        tone: str = "soft",
        thickness: float = 1.5,
        dashed: bool = False,
    ) -> None:
        """A line from point to point."""
        for x, y in points:
            self._reach(x, y, x, y)
        places = " ".join(f"{x:g},{y:g}" for x, y in points)
        self._parts.append(f'<polyline points="{places}" fill="none"{_stroke(tone, thickness, dashed)}/>')

    def dot(self, x: float, y: float, radius: float, *, tone: str = "right", hollow: bool = False) -> None:
        """A disc, or a ring."""
        self._reach(x - radius, y - radius, x + radius, y + radius)
        painted = f'fill="none"{_stroke(tone, 1.5, False)}' if hollow else f'fill="{_paint(tone)}"'
        self._parts.append(f'<circle cx="{x:g}" cy="{y:g}" r="{radius:g}" {painted}/>')

    def arrow(self, x: float, y: float, length: float, *, tone: str = "soft") -> None:
        """An arrow to the right."""
        end = x + length
        self.line([(x, y), (end, y)], tone=tone)
        self.line([(end - 6, y - 5), (end, y), (end - 6, y + 5)], tone=tone)

    def hatch(self, x: float, y: float, width: float, height: float, *, tone: str = "wrong") -> None:
        """Slanting lines: what is not seen."""
        strokes = []
        for k in range(_HATCH, int(width + height), _HATCH):
            start = (x + max(0.0, k - height), y + min(k, height))
            end = (x + min(k, width), y + max(0.0, k - width))
            strokes.append(f"M{start[0]:g} {start[1]:g}L{end[0]:g} {end[1]:g}")
        self._reach(x, y, x + width, y + height)
        self._parts.append(f'<path d="{"".join(strokes)}" fill="none"{_stroke(tone, 1.2, False)}/>')

    def picture(
        self, x: float, y: float, width: float, pixels: NDArray[np.uint8], *, smooth: bool = False
    ) -> float:
        """Pixels, (H, W) or (H, W, 3), so wide; how high they are."""
        height = float(width * pixels.shape[0] / pixels.shape[1])
        self._reach(x, y, x + width, y + height)
        data = base64.b64encode(png(pixels)).decode()
        sharp = "" if smooth else ' style="image-rendering: pixelated"'
        self._parts.append(
            f'<image x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"{sharp} '
            f'preserveAspectRatio="none" href="data:image/png;base64,{data}"/>'
        )
        return height

    def matrix(
        self,
        x: float,
        y: float,
        rows: Any,
        *,
        side: float = 34,
        title: str = "",
        under: str = "",
        shades: Any = None,
        frames: Sequence[Frame] = (),
        hatched: Collection[tuple[int, int]] = (),
        faint: Collection[tuple[int, int]] = (),
        strong: Collection[tuple[int, int]] = (),
        text: Callable[[float], str] | None = number_text,
        size: float = 0,
    ) -> tuple[float, float]:
        """Cells with their numbers.

        Args:
            x: Left.
            y: Top, of the title where there is one.
            rows: (rows, columns).
            side: Of a cell.
            title: Above.
            under: Below.
            shades: (rows, columns), -1 to 1: how strongly cells are coloured, below 0 in the other colour.
            frames: Around cells.
            hatched: Cells, (row, column), that nothing sees.
            faint: Cells whose numbers are pale.
            strong: Cells whose numbers are bold.
            text: Writes a number; None for none.
            size: Of the numbers; by the cell where 0.

        Returns:
            Right and bottom.
        """
        cells = np.asarray(rows)
        height, width = cells.shape
        if title:
            self.words(x, y + 13, title, tone="soft", size=13)
            y += 21
        longest = max((len(text(v)) for v in cells.ravel().tolist()), default=1) if text else 1
        type_size = size or min(17.0, side * 0.44, side * 0.9 / (longest * _LETTER))
        for r in range(height):
            for c in range(width):
                left, top = x + c * side, y + r * side
                if shades is not None and shades[r][c]:
                    strength = _DEEPEST * min(1.0, abs(float(shades[r][c])))
                    fill = "right" if shades[r][c] > 0 else "wrong"
                    self.box(left, top, side, side, fill=fill, strength=strength)
                if (r, c) in hatched:
                    self.hatch(left, top, side, side)
        for r in range(height + 1):
            self.line([(x, y + r * side), (x + width * side, y + r * side)], tone="rule", thickness=1)
        for c in range(width + 1):
            self.line([(x + c * side, y), (x + c * side, y + height * side)], tone="rule", thickness=1)
        for r in range(height):
            for c in range(width):
                if text is None:
                    continue
                self.words(
                    x + (c + 0.5) * side,
                    y + (r + 0.5) * side + type_size * 0.36,
                    text(cells[r, c].item()),
                    size=type_size,
                    anchor="middle",
                    tone="soft" if (r, c) in faint else "text",
                    bold=(r, c) in strong,
                )
        for one in frames:
            self.box(
                x + one.column * side,
                y + one.row * side,
                one.columns * side,
                one.rows * side,
                line=one.tone,
                thickness=3,
                dashed=one.dashed,
            )
        bottom = y + height * side
        if under:
            self.words(x, bottom + 18, under, size=13, tone="soft")
            bottom += 24
        return x + width * side, bottom

    def svg(self, label: str) -> str:
        """The drawing as an element of a page.

        Args:
            label: What it shows, for those who cannot see it.
        """
        margin = 3.0
        left, top = min(self._left, 0.0) - margin, min(self._top, 0.0) - margin
        width, height = self.right - left + margin, self.bottom - top + margin
        return (
            f'<svg class="drawing" viewBox="{left:g} {top:g} {width:g} {height:g}" width="{width:g}" '
            f'style="max-width: 100%; height: auto" role="img" aria-label="{escape(label)}">'
            f"{''.join(self._parts)}</svg>"
        )

    def _reach(self, left: float, top: float, right: float, bottom: float) -> None:
        self._left, self._top = min(self._left, left), min(self._top, top)
        self.right, self.bottom = max(self.right, right), max(self.bottom, bottom)


def shades_of(rows: Any, largest: float = 0) -> NDArray[np.float64]:
    """Numbers as shades from -1 to 1, the largest in size at full strength."""
    values = np.asarray(rows, np.float64)
    most = largest or float(np.abs(values).max())
    return values / most if most else values


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Grey levels (H, W) or colours (H, W, 3) as a PNG file."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format="PNG")
    return out.getvalue()


def reduced(pixels: NDArray[np.uint8], width: int, height: int = 0) -> NDArray[np.uint8]:
    """A photograph made smaller, its shape kept where no height is given."""
    tall = height or max(1, round(width * pixels.shape[0] / pixels.shape[1]))
    return np.asarray(Image.fromarray(pixels).resize((width, tall), Image.Resampling.LANCZOS))


def grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Colours as grey levels (ITU-R 601 luma)."""
    return np.asarray(Image.fromarray(pixels).convert("L"))


def map_levels(values: NDArray[Any]) -> NDArray[np.uint8]:
    """A map as grey levels: 0 is black and the largest value white; with negative ones, mid grey is 0."""
    most = float(np.abs(values).max()) or 1.0
    if values.min() < 0:
        return np.rint(128 + values * (127 / most)).astype(np.uint8)
    return np.rint(values * (255 / most)).astype(np.uint8)


def _paint(tone: str) -> str:
    return f"var(--{tone}, {_TONES[tone]})"


def _stroke(tone: str, thickness: float, dashed: bool) -> str:
    if not tone:
        return ""
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    return f' stroke="{_paint(tone)}" stroke-width="{thickness:g}"{dash}'
