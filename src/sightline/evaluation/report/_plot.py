"""A plot as an SVG element that stands in a page and takes its colours."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import matplotlib.style
from markupsafe import Markup
from matplotlib.figure import Figure

from sightline.base import INK, SERIES

RIGHT, WRONG = SERIES[0], SERIES[1]
VARIABLES = {RIGHT: "var(--right)", WRONG: "var(--wrong)", INK: "var(--plot-text)"}
"""Colours of plots that the page chooses, for light and for dark."""
_PLOT_STYLE = {
    "svg.fonttype": "none",
    "font.size": 9.5,
    "axes.labelsize": 9.5,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": INK,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.8,
}


def plot(name: str, label: str, inches: tuple[float, float], draw: Callable[[Figure], None]) -> Markup:
    """A figure as an SVG element to stand in the page.

    Args:
        name: Unique on the page; begins its ids.
        label: What it shows, for those who cannot see it.
        inches: Width and height, which fix how large text is beside it.
        draw: Draws it.
    """
    with matplotlib.style.context(["default", _PLOT_STYLE | {"svg.hashsalt": f"sightline-{name}"}]):
        figure = Figure(figsize=inches, layout="constrained")
        draw(figure)
        out = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(out, format="svg", transparent=True, metadata=nothing)
    return _as_element(out.getvalue(), name, label)


def _as_element(svg: str, name: str, label: str) -> Markup:
    """An SVG file of ours as an element of a page: the page's colours, ids that nothing else has."""
    box = re.search(r'viewBox="([^"]+)"', svg)
    assert box is not None
    body = svg[svg.index(">", box.end()) + 1 :].replace("xlink:href", "href")
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", body, flags=re.DOTALL)
    used = set(re.findall(r'(?:url\(|href=")#([\w.-]+)', body))
    body = re.sub(r' id="([\w.-]+)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", body)
    body = re.sub(r'(url\(|href=")#', rf"\1#{name}-", body)
    for colour, variable in VARIABLES.items():
        body = body.replace(f": {colour.lower()}", f": {variable}")
    return Markup('<svg class="plot" viewBox="{}" role="img" aria-label="{}">').format(
        box[1], label
    ) + Markup(body)
