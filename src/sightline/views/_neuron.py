"""One output value of a layer, with every product that it is made of."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from sightline.base import Finding, ModelFileError
from sightline.blueprint import Blueprint, Node
from sightline.views._colour import signed
from sightline.views._drawn import (
    PALE,
    beside,
    cells,
    coloured,
    enlarged,
    highest,
    map_panel,
    scale_kind,
    stacked,
    written,
)
from sightline.views._layers import check_unit, convolutions, find_layer
from sightline.views._registry import How, Request
from sightline.views._subject import Picture, Subject
from sightline.views._taken import RECTIFIERS, Array, Taken, after, take
from sightline.views._transposed import TURNED, take_transposed
from sightline.views._view import Panel, Pixels, View
from sightline.views._window import Windows, checked_at, spread_evenly

_KINDS = frozenset(
    {
        "conv2d", "conv_transpose2d", "linear", "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d",
        "adaptive_max_pool2d",
    }
)  # fmt: skip
"""What can be written out."""
_SHOWN, _TALL = 8, 900
"""Input channels written out at most, and how many pixels high they may be together."""
_FRAMES = 48
_FEW = 3
"""So many input channels have large cells."""
_HEADS = ("under the window", "kernel", "products")
_ROOM = 240
"""Of a patch in the written sum, in pixels."""
_ONE, _OFF = 1e-4, 1e-6
"""How far the written sum may be from the network's own: of its size, and of the sizes of all products."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sum:
    """One value, as it is made."""

    patch: Array
    """(C, h, w): what lies under the window; 0 where that is padding."""
    outside: NDArray[np.bool_]
    """(h, w): where it is padding."""
    products: Array
    """(C, h, w): with the weights; of a mean, each share; of a maximum, the patch itself."""
    bias: float
    total: float
    """What the layer makes of it."""
    winner: tuple[int, int] | None = None
    """Of a maximum: its place in the window."""
    count: float = 1.0
    """Of a mean: what the sum is divided by."""


def neuron(
    subject: Subject,
    picture: Picture,
    *,
    layer: str | None = None,
    unit: int | None = None,
    at: tuple[int, int] | None = None,
    top: int | None = None,
    steps: int = _FRAMES,
    moving: bool = False,
) -> View:
    """One output value of a layer with its sum: patch, kernel, products, bias, and what follows.

    The patch goes through the whole depth column: every input channel that the unit reads. The strongest
    channels are shown, the rest is said. A linear layer on maps is a window as large as the maps. Pooling
    shows its window, and which value won, or the mean. A transposed convolution is written as the convolution
    that it is: over its input with zeros put between, by its kernel turned half round.

    Args:
        subject: The network.
        picture: What it sees.
        layer: As `find_layer`, of a module its last convolution, linear layer or pooling; the first
            convolution where None.
        unit: An output channel; the one of the strongest value where None.
        at: (row, column) of its position; the strongest of the unit where None.
        top: Input channels written out, those with the largest sums; eight, or as many as are no taller than
            a page, where None.
        steps: At most so many positions of the animation.
        moving: Make the frames of the animation: the window slides over the position's row.

    Raises:
        ArgumentError: if there is no such layer, unit or position, or the layer is none of these.
        DataError: if its values are not finite.
        ModelFileError: if the sum written out is not the network's own value.

    Source: "The brain/neuron view of CONV layer", as in the CS231n notes.

    Example:
        >>> import numpy as np, torch
        >>> from sightline.views import Subject
        >>> conv = torch.nn.Conv2d(1, 1, 2, bias=False)
        >>> _ = torch.nn.init.ones_(conv.weight)
        >>> subject = Subject.of(conv, (1, 2, 2))
        >>> view = neuron(subject, subject.picture(np.full((2, 2), 51, np.uint8)))  # 51 is 0.2 of 255
        >>> round(view.figures["value"], 4)
        0.8
    """
    blueprint = subject.blueprint
    node = _find(blueprint, layer)
    check_unit(node, unit)
    chain = after(blueprint, node)
    takes = take_transposed if node.kind == "conv_transpose2d" else take
    taken, captured = takes(subject, node, picture.x, [n.id for n in chain])
    checked_at(node, at)
    passed = [_as_maps(captured[n.id]) for n in chain]
    final = passed[-1] if passed else taken.output
    unit, row, column = _place(final, taken.output, unit, at)
    place = (unit, row, column)
    done, own = sum_of(taken, *place), float(taken.output[place])
    size = _OFF * (float(np.abs(done.products).sum()) + abs(done.bias))
    if not math.isclose(done.total, own, rel_tol=_ONE, abs_tol=size):
        raise ModelFileError(
            f"{node.id}: unit {unit} at {row},{column} written out is {done.total:.6g}, and the network says "
            f"{own:.6g}: it computes something else there"
        )
    steps_after = _steps(subject.network, chain, passed, own, place)
    tall = done.patch.shape[1] * _side(done) + 10
    channels = _strongest(done, max(3, min(_SHOWN, _TALL // tall)) if top is None else top)
    said = f"unit {unit}" if final[unit].size == 1 else f"unit {unit} at row {row}, column {column}"
    notes = _arithmetic(taken, done, own, steps_after)
    image = picture.pixels if node.sources == (-1,) and len(taken.x) == picture.x.shape[1] else None
    becomes = f"{float(final[place]):.4g}"
    is_now = f"{own:.4g}" + ("" if becomes == f"{own:.4g}" else f", then {becomes}")
    if node.kind == "conv_transpose2d":
        notes.append(TURNED)
    if len(channels) < len(done.products):
        notes.append(
            f"written out below: {len(channels)} of {len(done.products):,} inputs, the strongest first"
            + ("; --top N writes out more" if top is None else "")
        )
    notes += picture.notes
    arrays = {"patch": done.patch, "outside": done.outside, "products": done.products, "map": final[unit]}
    if taken.weight is not None:
        arrays["kernel"] = taken.weight[unit]
    following = zip(chain, steps_after, strict=True)
    return View(
        how="neuron",
        title=f"One neuron of {node.id}, {subject.name}: {said} is {is_now}",
        notes=tuple(notes),
        panels=(
            *_surroundings(subject, picture, node, final, place),
            _sum_panel(taken, done, unit, channels, own),
        ),
        arrays=arrays,
        figures={
            "layer": node.id, "kind": taken.kind, "unit": unit, "at": [row, column],
            "sum": done.total - done.bias, "bias": done.bias, "value": done.total, "network": own,
            "after": [{"layer": n.id, "kind": n.kind, "value": value} for n, (_, value) in following],
            "channels": channels, "inputs": [int(taken.channels(unit)[k]) for k in channels],
            "winner": None if done.winner is None else list(done.winner), "count": done.count,
        },
        findings=_silent(node, chain, final, taken.output, unit),
        frames=_frames(taken, final, place, steps, channels[0], image) if moving else (),
        seconds=0.35,
    )  # fmt: skip


def sum_of(taken: Taken, unit: int, row: int, column: int) -> Sum:
    """What a layer does at one place, product by product, in double precision."""
    patch, outside = taken.patch(unit, row, column)
    if taken.kind == "sum":
        assert taken.weight is not None
        products = patch * taken.weight[unit]
        bias = 0.0 if taken.bias is None else float(taken.bias[unit])
        return Sum(
            patch=patch, outside=outside, products=products, bias=bias, total=float(products.sum()) + bias
        )  # fmt: skip
    if taken.kind == "max":
        candidates = np.where(outside, -np.inf, patch[0])
        r, c = np.unravel_index(int(candidates.argmax()), candidates.shape)
        return Sum(
            patch=patch, outside=outside, products=patch, bias=0.0, total=float(candidates[r, c]),
            winner=(int(r), int(c)),
        )  # fmt: skip
    count: float = float((~outside).sum())
    if taken.count_padding and not taken.adaptive:
        rows, columns = taken.rows(row, column)
        ends = [taken.x.shape[a + 1] + taken.padding[a] for a in (0, 1)]  # beyond, a window is cut
        count = float(sum(r < ends[0] for r in rows) * sum(c < ends[1] for c in columns))
    count = float(taken.divisor or count)
    return Sum(
        patch=patch, outside=outside, products=patch / count, bias=0.0, total=float(patch.sum()) / count,
        count=count,
    )  # fmt: skip


def _find(blueprint: Blueprint, layer: str | None) -> Node:
    """The layer of a name; of a module, the last that can be written out; of None, the first convolution."""
    if layer is None:
        return convolutions(blueprint)[0]
    inside = [n for n in blueprint.nodes if n.id.startswith((f"{layer}.", f"{layer}:")) and n.kind in _KINDS]
    if inside and layer not in blueprint.index:
        return inside[-1]
    return find_layer(blueprint, layer)


def _as_maps(output: Tensor) -> Array:
    values: Array = output.detach().double().cpu().numpy()[0]
    return values if values.ndim == 3 else values.reshape(-1, 1, 1)


def _place(final: Array, before: Array, unit: int | None, at: tuple[int, int] | None) -> tuple[int, int, int]:
    """Unit, row and column: those asked for, else the strongest after what follows, then before it."""
    allowed = np.zeros(final.shape, dtype=bool)
    allowed[
        slice(None) if unit is None else slice(unit, unit + 1),
        slice(None) if at is None else slice(at[0], at[0] + 1),
        slice(None) if at is None else slice(at[1], at[1] + 1),
    ] = True
    values = np.where(allowed, final, -np.inf)
    ties = values == values.max()
    k, r, c = np.unravel_index(int(np.where(ties, before, -np.inf).argmax()), final.shape)
    return int(k), int(r), int(c)


def _strongest(written_out: Sum, top: int) -> list[int]:
    """Input channels by the size of what they add."""
    sizes = np.abs(written_out.products.sum(axis=(1, 2)))
    return [int(k) for k in np.argsort(-sizes, kind="stable")[:top]]


def _arithmetic(taken: Taken, done: Sum, own: float, steps: Sequence[tuple[str, float]]) -> list[str]:
    """The sum in words and numbers, a line each."""
    if taken.kind == "max":
        inside = int((~done.outside).sum())
        lines = [f"the largest of {inside} values is {done.total:.6g}; the network's own: {own:.6g}"]
    elif taken.kind == "mean":
        total = float(done.patch.sum())
        lines = [f"the sum {total:.6g} / {done.count:g} = {done.total:.6g}; the network's own: {own:.6g}"]
    else:
        total = done.total - done.bias
        bias = "and has no bias" if taken.bias is None else f"+ bias {done.bias:.6g} = {done.total:.6g}"
        count = done.products.size
        lines = [f"the sum of {count:,} products is {total:.6g} {bias}; the network's own: {own:.6g}"]
    return lines + [text for text, _ in steps]


def _steps(
    network: nn.Module,
    chain: Sequence[Node],
    passed: Sequence[Array],
    own: float,
    place: tuple[int, int, int],
) -> list[tuple[str, float]]:
    """What follows a sum, in words and numbers."""
    modules = dict(network.named_modules())
    found = []
    value = own
    for node, maps in zip(chain, passed, strict=True):
        result = float(maps[place])
        module = modules.get(node.module) if node.is_module else None
        if node.kind == "relu":
            text = f"relu: max(0, {value:.6g}) = {result:.6g}"
        elif isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
            assert module.running_var is not None
            mean, variance = (float(t[place[0]]) for t in (module.running_mean, module.running_var))
            times, plus = (
                (module.weight[place[0]].item(), module.bias[place[0]].item())
                if module.affine
                else (1.0, 0.0)
            )
            text = (
                f"batch norm: ({value:.6g} - {mean:.6g}) / sqrt({variance:.6g} + {module.eps:g}) * "
                f"{times:.6g} + {plus:.6g} = {result:.6g}"
            )
        else:
            text = f"{node.kind.replace('_', ' ')}: {value:.6g} becomes {result:.6g}"
        found.append((text, result))
        value = result
    return found


def _surroundings(
    subject: Subject, picture: Picture, node: Node, final: Array, place: tuple[int, int, int]
) -> list[Panel]:
    """Where the value stands: what it sees of the image, and its place in its map."""
    unit, row, column = place
    window = Windows(subject.blueprint).of(node, unit, (row, column), whole=False)
    pixels = enlarged(picture.pixels, 300, [window.box], smooth=picture.pixels.shape[1] > 64)
    seen = f"the frame is all it sees: {window.height} x {window.width} pixels"
    top, left, bottom, right = window.box
    if (bottom - top, right - left) != (window.height, window.width):
        seen += f", {bottom - top} x {right - left} of them in the image"
    panels = [Panel(pixels=pixels, title=picture.title, caption=seen, width=pixels.shape[1], smooth=False)]
    if final[unit].size > 1:
        own = final[unit]
        said = f"from {own.min():.4g} to {own.max():.4g}; {100 * (own == 0).mean():.0f} % are 0"
        panels.append(
            map_panel(
                final[unit], title=f"map of unit {unit}, {final.shape[1]} x {final.shape[2]}", caption=said,
                width=300, boxes=[(row, column, row + 1, column + 1)],
            )
        )  # fmt: skip
    return panels


def _sum_panel(taken: Taken, done: Sum, unit: int, shown: Sequence[int], value: float) -> Panel:
    """The products, an input channel a row."""
    rows = _written_rows(taken, done, unit, shown)
    if taken.kind == "sum":
        rest = len(done.products) - len(shown)
        sums = done.products.sum(axis=(1, 2))
        parts = [("", float(sums[k])) for k in shown]
        if rest:
            parts.append((f" ({rest:,} other inputs)", float(sums.sum() - sums[list(shown)].sum())))
        if taken.bias is not None:
            parts.append((" (bias)", done.bias))
        rows.append(_wrapped(f"{_added(parts)} = {value:.4g}"))
    low, high = done.patch.min(), done.patch.max()
    caption = f"values under the window from {low:.4g} to {high:.4g}"
    if taken.weight is not None:
        caption += f"; kernel from {taken.weight[unit].min():.4g} to {taken.weight[unit].max():.4g}"
        caption += f"; products from {done.products.min():.4g} to {done.products.max():.4g}"
        zero = "white at 0" if taken.x.min() < 0 else "the left one dark at 0, the others white"
        caption += f"; each column has one scale, {zero}"
    if done.outside.any():
        caption += "; crossed cells are padding"
    pixels = stacked(rows)
    return Panel(
        pixels=pixels,
        title="The sum, written out" if taken.kind == "sum" else "The window",
        caption=caption,
        width=pixels.shape[1],
        smooth=False,
    )


def _written_rows(taken: Taken, done: Sum, unit: int, shown: Sequence[int]) -> list[Image.Image]:
    side, width = _side(done), done.patch.shape[2]
    kind, high = scale_kind(taken.x), highest(done.patch)
    most = highest(done.products)
    wide = max(side * width + 1, int(written(_HEADS[0], 13).width))
    rows: list[Image.Image] = []
    if taken.kind == "sum":
        left, middle, right = (written(text, 13, PALE, wide) for text in _HEADS)
        rows.append(_row(written("", width=84), left, " ", middle, " ", right))
    for k in shown:
        channel = taken.channels(unit)[k]
        patch = cells(
            done.patch[k], coloured(done.patch[k], kind, high)[0], side, outside=done.outside,
            marked=done.winner, padding_says="0" if taken.kind == "sum" else "", largest=high,
        )  # fmt: skip
        name = written(f"{'input' if not taken.vector else 'entry'} {channel}", width=84)
        if taken.kind != "sum":
            mean = f"{float(done.patch.sum()):.5g} / {done.count:g} = "
            rows.append(_row(name, patch, f"{mean if taken.kind == 'mean' else 'largest: '}{done.total:.5g}"))
            continue
        assert taken.weight is not None
        kernel = taken.weight[unit, k]
        product = float(done.products[k].sum())
        factor = highest(taken.weight[unit])
        factors = cells(kernel, signed(kernel, factor)[0], side, largest=factor)
        made = cells(done.products[k], signed(done.products[k], most)[0], side, largest=most)
        left, middle, right = (_wide(part, wide) for part in (patch, factors, made))
        rows.append(_row(name, left, "\u00d7", middle, "=", right, f"sum\n{product:.4g}"))
    return rows


def _side(done: Sum) -> int:
    """Of a cell, in pixels."""
    longest = int(max(done.patch.shape[1:]))
    if longest == 1:
        return 56
    return max(1, min(36 if len(done.patch) > _FEW else 44, _ROOM // longest))


def _added(parts: Sequence[tuple[str, float]]) -> str:
    """Numbers added up, each behind its sign.

    Example:
        >>> _added([("", 0.5), ("", -0.25), (" (bias)", 0.125)])
        '0.5 - 0.25 + (bias) 0.125'
    """
    (first, value), *others = parts
    text = f"{first} {value:.4g}".strip()
    for name, value in others:
        text += f" {'-' if value < 0 else '+'}{name} {abs(value):.4g}"
    return text


def _row(*parts: Image.Image | str) -> Image.Image:
    """In a line; signs of one width."""
    return beside([written(p, width=13) if isinstance(p, str) and len(p) == 1 else p for p in parts])


def _wide(picture: Image.Image, width: int) -> Image.Image:
    page = Image.new("RGB", (max(width, picture.width), picture.height), (255, 255, 255))
    page.paste(picture, (0, 0))
    return page


def _wrapped(text: str, width: int = 100) -> Image.Image:
    lines = [""]
    for word in text.split(" "):
        if len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] += f"{' ' if lines[-1] else ''}{word}"
    return written("\n".join(lines))


def _frames(
    taken: Taken,
    final: Array,
    place: tuple[int, int, int],
    steps: int,
    channel: int,
    image: Pixels | None,
) -> tuple[Panel, ...]:
    """The window on its way along a row, and the map that it fills; `image` where it slides over that."""
    unit, row, _ = place
    across = final.shape[2]
    columns = spread_evenly(range(across), steps)
    where = taken.channels(unit)[channel]
    seen = coloured(taken.x[where], scale_kind(taken.x), highest(taken.x))[0]
    over_image = image is not None and image.shape[:2] == seen.shape[:2]
    if image is not None and over_image:
        seen = image
    pads = (0, 0) if taken.adaptive else (max(0, taken.padding[0]), max(0, taken.padding[1]))
    seen = np.pad(seen, ((pads[0],) * 2, (pads[1],) * 2, (0, 0)), constant_values=236)
    filled, _ = coloured(final[unit], scale_kind(final[unit]), None)
    frames = []
    for column in columns:
        done = sum_of(taken, unit, row, column)
        rows, under = taken.rows(row, column)
        box = (rows[0] + pads[0], under[0] + pads[1], rows[-1] + pads[0] + 1, under[-1] + pads[1] + 1)
        left = enlarged(seen, 330, [box])
        so_far = np.full_like(filled, 236)
        so_far[:row] = filled[:row]
        so_far[row, : column + 1] = filled[row, : column + 1]
        right = enlarged(so_far, 330, [(row, column, row + 1, column + 1)])
        value = float(final[unit, row, column])
        tops = beside([Image.fromarray(left), written("", width=20), Image.fromarray(right)])
        sums = _written_rows(taken, done, unit, [channel])
        under_it = "the image" if over_image else f"input {where}"
        words = f"{under_it}, and the map of unit {unit} as the window fills it"
        all_of_it = f"all inputs{' and bias' if taken.bias is not None else ''}: {done.total:.4g}"
        if value != done.total and not math.isclose(value, done.total, rel_tol=1e-4):
            all_of_it += f"; after what follows: {value:.4g}"
        pixels = stacked([written(words), tops, *sums, written(all_of_it)])
        frames.append(pixels)
    wide = max(f.shape[1] for f in frames)
    return tuple(
        Panel(
            pixels=_to_width(pixels, wide), title=f"row {row}, column {column}", width=wide, smooth=False
        )
        for pixels, column in zip(frames, columns, strict=True)
    )  # fmt: skip


def _to_width(pixels: Pixels, width: int) -> Pixels:
    return np.pad(pixels, ((0, 0), (0, width - pixels.shape[1]), (0, 0)), constant_values=255)


def _silent(node: Node, chain: Sequence[Node], final: Array, before: Array, unit: int) -> tuple[Finding, ...]:
    """That a rectified unit is 0 everywhere, if it is."""
    rectified = any(n.kind in RECTIFIERS for n in chain) or node.kind in RECTIFIERS
    if not rectified or final[unit].max() > 0:
        return ()
    strongest = int(final.max(axis=(1, 2)).argmax())
    other = (
        f"unit {strongest} is the strongest here" if final.max() > 0 else "no unit of this layer fires here"
    )
    return (
        Finding(
            level="info",
            where=node.id,
            what=f"unit {unit} never fires in this image",
            why=f"its largest sum is {before[unit].max():.4g}, and what follows makes it 0 everywhere",
            do=f"look at another image or unit: {other}",
        ),
    )


def _make(subject: Subject, request: Request) -> View:
    assert request.image is not None
    return neuron(
        subject,
        subject.picture(request.image),
        layer=request.layer,
        unit=request.unit,
        at=request.at,
        top=request.top,
        steps=_FRAMES if request.steps is None else request.steps,
        moving=request.output is not None and request.output.suffix.lower() == ".gif",
    )


VIEWS = (
    How(
        name="neuron",
        about="one value of a layer: its patch, kernel, products, sum, bias, and what follows, in numbers",
        make=_make,
        needs="image",
        options=frozenset({"layer", "unit", "at", "top", "steps"}),
    ),
)
