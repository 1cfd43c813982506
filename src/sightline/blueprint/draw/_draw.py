"""The public door: which picture, and what is written under it."""

from __future__ import annotations

from sightline.base import ArgumentError, did_you_mean
from sightline.blueprint._graph import Blueprint
from sightline.blueprint.draw._blocks import draw_blocks, paint_legend
from sightline.blueprint.draw._boxes import Sketch, sketch
from sightline.blueprint.draw._canvas import SMALL, TITLE, Canvas, text_width
from sightline.blueprint.draw._kinds import COLOURS, WORDS, by_x
from sightline.blueprint.draw._ladder import draw_ladder, find_ladder
from sightline.blueprint.draw._volumes import draw_volumes, num_weighted, why_no_chain

STYLES = ("auto", "volumes", "blocks")
"""What `draw` knows."""

_MOST_VOLUMES = 25
"""Convolutions and linear layers up to which a chain is drawn as volumes."""


def draw(
    blueprint: Blueprint,
    *,
    style: str = "auto",
    depth: int | None = None,
    width: int = 1000,
    unfold: bool = False,
) -> str:
    """Draw a network.

    Args:
        blueprint: What `record` made.
        style: `volumes` are boxes to scale, for a chain of layers; `blocks` is a graph, or, for a network
            that goes down in size and up again with skips between, the letter U; `auto` chooses.
        depth: Modules this deep in the network are drawn as one box; None as deep as stays readable.
        width: Pixels the picture should not be wider than, where it can be broken into columns; at least 200.
        unfold: Draw each of the equal blocks that follow each other.

    Returns:
        An SVG file as text: no script, no font, nothing to load; it follows the reader's light or dark page.
        What stands for a layer is a group with `data-node`, its id or the path of a folded module, and
        `data-holds`, the ids of all nodes in it, with spaces between.

    Raises:
        ArgumentError: if `style` is unknown, `depth` or `width` too small, or if `volumes` are asked of a
            network that branches.

    Example:
        >>> from torch import nn
        >>> from sightline.blueprint import record
        >>> draw(record(nn.Sequential(nn.Conv2d(3, 10, 5)), (1, 3, 32, 32))).startswith("<svg ")
        True
    """
    if style not in STYLES:
        raise ArgumentError(f"style is {style!r}; {did_you_mean(style, STYLES)}")
    if width < 200:
        raise ArgumentError(f"width must be at least 200 pixels, not {width}")
    if depth is not None and depth < 1:
        raise ArgumentError(f"depth must be at least 1, not {depth}")
    whole = sketch(blueprint, unfold=True, depth=10**6)
    why_not = why_no_chain(whole)
    if style == "volumes" and why_not:
        raise ArgumentError(
            f"style volumes is for chains of layers, and {blueprint.name} is none: {why_not}; use blocks"
        )
    canvas = Canvas()
    few = 0 < num_weighted(whole) <= _MOST_VOLUMES
    if style == "volumes" or (style == "auto" and depth is None and not why_not and few):
        notes = draw_volumes(canvas, whole, float(width))
        shown, what = whole, "volumes to scale"
    else:
        ladder = find_ladder(whole) if depth is None else None
        if ladder is not None:
            notes = draw_ladder(canvas, ladder, blueprint)
            shown, what = whole, "maps by resolution, with skips"
            return _finish(canvas, shown, what, notes, legend=False)
        shown, what = (
            sketch(blueprint, depth=depth, unfold=unfold, limit=400 if unfold else 110),
            "graph of blocks",
        )
        notes = draw_blocks(canvas, shown, float(width))
    return _finish(canvas, shown, what, notes, legend=True)


def repr_svg(blueprint: Blueprint) -> str:
    """The picture a notebook shows: `draw` as it comes.

    Example:
        >>> from torch import nn
        >>> from sightline.blueprint import record
        >>> repr_svg(record(nn.Linear(4, 2), (1, 4))).count("<svg ")
        1
    """
    return draw(blueprint)


def _finish(canvas: Canvas, shown: Sketch, what: str, notes: list[str], *, legend: bool) -> str:
    """Name, numbers and legend below the picture."""
    blueprint = shown.blueprint
    if canvas.right < canvas.left:
        canvas.text(0.0, 0.0, "nothing was recorded", TITLE, dim=True)
    x, room = canvas.left, max(canvas.right - canvas.left, 360.0)
    y = canvas.bottom + 30
    canvas.text(x, y, blueprint.name, TITLE + 2, anchor="start", bold=True)
    lines = [*_wrapped(_facts(blueprint), room), *_wrapped(notes, room)]
    for line in lines:
        y += 15
        canvas.text(x, y, line, SMALL, anchor="start", dim=True)
    groups = list(dict.fromkeys(box.group for box in shown.boxes.values()))
    if legend and groups:
        entries = {WORDS[g]: COLOURS[g] for g in WORDS if g in groups}
        paint_legend(canvas, [(colour, word) for word, colour in entries.items()], x + 1, y + 10, room)
    description = f"{what}; {'; '.join(_facts(blueprint))}; {_steps_in_words(shown)}"
    return canvas.finish(f"{blueprint.name}: a drawing of the network", description)


def _facts(blueprint: Blueprint) -> list[str]:
    shapes = " and ".join(by_x(shape[1:]) for shape in blueprint.input_shapes)
    batch = f" (batch of {blueprint.batch})" if blueprint.batch != 1 else ""
    how = "recorded on meta: shapes alone" if blueprint.how == "meta" else "recorded real: one branch seen"
    numbers = f"{blueprint.num_parameters:,} parameters", f"{blueprint.macs:,} multiply-adds"
    return [f"input {shapes}{batch}", *numbers, how]


def _wrapped(facts: list[str], room: float) -> list[str]:
    """Facts in lines, none broken."""
    lines: list[str] = []
    for fact in facts:
        longer = f"{lines[-1]} \u00b7 {fact}" if lines else fact
        if lines and text_width(longer, SMALL) <= room:
            lines[-1] = longer
        else:
            lines.append(fact)
    return lines


def _steps_in_words(shown: Sketch, most: int = 60) -> str:
    titles = [box.title for box in shown.boxes.values()]
    rest = len(titles) - most
    return " - ".join(titles[:most]) + (f" - and {rest} more" if rest > 0 else "")
