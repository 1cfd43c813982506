"""SVG text, element by element; it grows with what is put on it, so that nothing is cut off."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape, quoteattr

from sightline.base import INK

Point = tuple[float, float]

FONT = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
TITLE, SMALL = 12.0, 10.0
"""Sizes of letters in pixels."""
PAPER, BLACK, DIM = "#ffffff", "#1f2328", "#57606a"
DARK = "".join(
    f".sightline-drawing .{name}{{{rule}}}"
    for name, rule in (("paper", "fill:#0d1117"), ("ink", "fill:#e6edf3"), ("dim", "fill:#9da7b3"))
)
"""The colours that change on a dark page; the others read on both."""

_WIDE = {" ": 0.28, "-": 0.34, "m": 0.84, "w": 0.73, "M": 0.84, "W": 0.95, "@": 1.02, "%": 0.89}
_NARROW = frozenset("fijlt.,:;!|/()[]'I")


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """About how many pixels a text takes: a little more, rather than less.

    Source: widths of Helvetica, in classes, and a tenth for other fonts.
    """
    units = 0.0
    for letter in text:
        if letter in _WIDE:
            units += _WIDE[letter]
        elif letter in _NARROW:
            units += 0.31
        elif ord(letter) > 0x2E80:
            units += 1.0
        else:
            units += 0.68 if letter.isupper() else 0.56
    return units * size * (1.18 if bold else 1.1)


def shortened(text: str, size: float, width: float) -> str:
    """A text that fits, its middle left out where it must be."""
    if text_width(text, size) <= width:
        return text
    for kept in range(len(text) - 1, 1, -1):
        short = f"{text[: (kept + 1) // 2]}..{text[len(text) - kept // 2 :]}"
        if text_width(short, size) <= width:
            return short
    return ".."


class Canvas:
    """What has been drawn, and how far it reaches."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self.left, self.top = float("inf"), float("inf")
        self.right, self.bottom = float("-inf"), float("-inf")

    def _reach(self, points: Sequence[Point], margin: float = 1.0) -> None:
        for x, y in points:
            self.left, self.right = min(self.left, x - margin), max(self.right, x + margin)
            self.top, self.bottom = min(self.top, y - margin), max(self.bottom, y + margin)

    def rect(
        self, x: float, y: float, width: float, height: float, colour: str, *, name: str,
        radius: float = 4.0, solid: float = 0.2, dashed: bool = False, hint: str = "",
    ) -> None:  # fmt: skip
        """A filled box; `name` is its class, `hint` what a mouse resting on it shows."""
        self._reach([(x, y), (x + width, y + height)])
        where = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{radius:g}"'
        dash = ' stroke-dasharray="4 3"' if dashed else ""
        inside = f"<title>{escape(_clean(hint))}</title>" if hint else ""
        self._parts.append(
            f'<rect class="{name}" {where} fill="{colour}" fill-opacity="{solid:g}" stroke="{colour}"{dash}>'
            f"{inside}</rect>"
        )

    def polygon(
        self, points: Sequence[Point], colour: str, *, name: str, solid: float = 0.2, opaque: bool = True
    ) -> None:
        """A filled face; an opaque one hides what lies behind it."""
        self._reach(points)
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        if opaque:
            self._parts.append(f'<polygon class="paper" points="{path}" fill="{PAPER}"/>')
        self._parts.append(
            f'<polygon class="{name}" points="{path}" fill="{colour}" fill-opacity="{solid:g}" '
            f'stroke="{colour}" stroke-linejoin="round"/>'
        )

    def line(
        self, points: Sequence[Point], *, name: str, colour: str = INK, dashed: bool = False,
        arrow: bool = True, thick: float = 1.3, bend: float = 5.0, hint: str = "",
    ) -> None:  # fmt: skip
        """A line through points, its corners rounded, an arrow head at its end."""
        points = _without_doubles(points)
        if len(points) < 2:
            return
        self._reach(points)
        dash = ' stroke-dasharray="5 3"' if dashed else ""
        inside = f"<title>{escape(_clean(hint))}</title>" if hint else ""
        self._parts.append(
            f'<path class="{name}" d="{_rounded(points, bend)}" fill="none" stroke="{colour}" '
            f'stroke-width="{thick:g}"{dash}>{inside}</path>'
        )
        if arrow:
            (x0, y0), (x1, y1) = points[-2:]
            length = max(abs(x1 - x0), abs(y1 - y0), 1e-6) if x0 == x1 or y0 == y1 else _length(points[-2:])
            dx, dy = (x1 - x0) / length, (y1 - y0) / length
            a, b = (x1 - 6 * dx - 3 * dy, y1 - 6 * dy + 3 * dx), (x1 - 6 * dx + 3 * dy, y1 - 6 * dy - 3 * dx)
            self._reach([a, b])
            self._parts.append(
                f'<path class="head" d="M{x1:.1f} {y1:.1f}L{a[0]:.1f} {a[1]:.1f}L{b[0]:.1f} {b[1]:.1f}Z" '
                f'fill="{colour}"/>'
            )

    def text(
        self, x: float, y: float, text: str, size: float = TITLE, *, anchor: str = "middle",
        bold: bool = False, dim: bool = False,
    ) -> None:  # fmt: skip
        """A line of text on the base line `y`."""
        width = text_width(text, size, bold=bold)
        left = x - {"start": 0.0, "middle": width / 2, "end": width}[anchor]
        self._reach([(left, y - 0.8 * size), (left + width, y + 0.25 * size)])
        weight = ' font-weight="bold"' if bold else ""
        name, colour = ("dim", DIM) if dim else ("ink", BLACK)
        self._parts.append(
            f'<text class="{name}" x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" text-anchor="{anchor}" '
            f'fill="{colour}"{weight}>{escape(_clean(text))}</text>'
        )

    @contextlib.contextmanager
    def node(self, name: str, holds: Sequence[str]) -> Iterator[None]:
        """What is drawn meanwhile stands for a layer: a page finds it by `data-node`.

        Args:
            name: Id of the layer, or path of the module.
            holds: Ids of every node in it.
        """
        self._parts.append(
            f"<g data-node={quoteattr(_clean(name))} data-holds={quoteattr(_clean(' '.join(holds)))}>"
        )
        yield
        self._parts.append("</g>")

    def finish(self, title: str, description: str, margin: float = 14.0) -> str:
        """The whole file.

        Args:
            title: What a screen reader says, and a browser shows.
            description: The picture in words.
            margin: Free space around, in pixels.
        """
        if self.right < self.left:
            self._reach([(0.0, 0.0)])
        x, y = math.floor(self.left - margin), math.floor(self.top - margin)
        width, height = math.ceil(self.right + margin) - x, math.ceil(self.bottom + margin) - y
        box = f"{x} {y} {width} {height}"
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="sightline-drawing" role="img" '
            f"aria-label={quoteattr(_clean(title))} "
            f'width="{width}" height="{height}" viewBox="{box}" font-family="{FONT}" '
            f'style="max-width:100%;height:auto">\n'
            f"<title>{escape(_clean(title))}</title>\n<desc>{escape(_clean(description))}</desc>\n"
            f"<style>@media (prefers-color-scheme:dark){{{DARK}}}</style>\n"
            f'<rect class="paper" x="{x}" y="{y}" width="{width}" height="{height}" '
            f'fill="{PAPER}"/>\n' + "\n".join(self._parts) + "\n</svg>\n"
        )


def _clean(text: str) -> str:
    """Without the control characters that XML does not allow."""
    return "".join(c if c.isprintable() else " " for c in text)


def _length(points: Sequence[Point]) -> float:
    (x0, y0), (x1, y1) = points
    return float(((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5) or 1e-6


def _without_doubles(points: Sequence[Point]) -> list[Point]:
    """Points that turn the line, and its ends."""
    kept: list[Point] = []
    for point in points:
        if kept and abs(kept[-1][0] - point[0]) < 0.05 and abs(kept[-1][1] - point[1]) < 0.05:
            continue
        kept.append(point)
        while len(kept) > 2 and _in_line(*kept[-3:]):
            del kept[-2]
    return kept


def _in_line(a: Point, b: Point, c: Point) -> bool:
    return abs((b[0] - a[0]) * (c[1] - b[1]) - (b[1] - a[1]) * (c[0] - b[0])) < 0.05


def _rounded(points: Sequence[Point], bend: float) -> str:
    path = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for before, here, after in zip(points, points[1:], points[2:], strict=False):
        first, second = _length((before, here)), _length((here, after))
        r = min(bend, first / 2, second / 2)
        a = (here[0] + (before[0] - here[0]) * r / first, here[1] + (before[1] - here[1]) * r / first)
        b = (here[0] + (after[0] - here[0]) * r / second, here[1] + (after[1] - here[1]) * r / second)
        path.append(f"L{a[0]:.1f} {a[1]:.1f}Q{here[0]:.1f} {here[1]:.1f} {b[0]:.1f} {b[1]:.1f}")
    path.append(f"L{points[-1][0]:.1f} {points[-1][1]:.1f}")
    return "".join(path)
