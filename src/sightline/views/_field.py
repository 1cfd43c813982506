"""What a unit can see of an image, and what it does see: theoretical and effective receptive field.

Source: Luo, Li, Urtasun and Zemel 2016, "Understanding the effective receptive field in deep convolutional
neural networks".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sightline.base import SERIES, ArgumentError, DataError, Finding
from sightline.blueprint import Field, Node
from sightline.views._colour import over, plotted, positive
from sightline.views._layers import maps_of
from sightline.views._pass import up_to
from sightline.views._registry import How, Request
from sightline.views._subject import Picture, Subject
from sightline.views._view import Panel, Pixels, View
from sightline.views._window import (
    OUTSIDE,
    Window,
    Windows,
    chosen_layers,
    cropped,
    maps_or_vector,
    outlined,
)

_WIDE, _NARROW, _FEW = 310, 200, 2
"""Screen pixels of a picture; of those of more than so many layers."""
_MOST = 5
_MIXTURES = 16
"""Random mixtures of the channels, where no unit is chosen: their mean has every channel in it."""
_TAIL = 0.0228
"""Of a normal distribution beyond two standard deviations, on one side."""


@dataclasses.dataclass(frozen=True, eq=False)
class _Seen:
    """What one unit sees."""

    node: Node
    at: tuple[int, int]
    window: Window
    field: Field | None
    weights: NDArray[np.float64]
    """(H, W): mean magnitude of the gradient; sums to 1, or is 0 all over."""
    value: float | None
    """The unit's activation; None of all channels together."""

    @property
    def nothing(self) -> bool:
        return not self.weights.any()

    def widths(self) -> tuple[float, float]:
        """Rows and columns between the 2.3 % and the 97.7 % quantile."""
        return quantile_width(self.weights.sum(axis=1)), quantile_width(self.weights.sum(axis=0))

    def within_half(self) -> tuple[float, float]:
        """Shares within the middle half of the window's height and width: of the gradient, of the pixels.

        Both of what lies in the image; alike if every pixel that can be seen mattered alike.
        """
        w = self.window
        sides = ((w.top, w.height), (w.left, w.width))
        near = []
        for (first, length), count in zip(sides, self.weights.shape, strict=True):
            middle = first + (length - 1) / 2
            near.append(np.abs(np.arange(count) - middle) <= length / 4)
        inside = near[0][:, None] & near[1][None]
        pixels = float(w.mask[inside].sum() / max(w.mask.sum(), 1))
        return float(self.weights[inside].sum()), pixels


def field(
    subject: Subject,
    picture: Picture,
    *,
    layer: str | None = None,
    unit: int | None = None,
    at: tuple[int, int] | None = None,
    top: int | None = None,
    seed: int = 0,
) -> View:
    """The receptive field of a unit on an image: what can reach it, and how strongly each pixel does.

    Args:
        subject: The network.
        picture: The image.
        layer: As `find_layer`; up to five layers, from the first to the last, where None.
        unit: A channel of maps, or an output of a vector; where None, all channels in random mixtures, so
            that none cancels another.
        at: (row, column) in the layer's maps; the middle where None.
        top: At most so many layers where none is named; five where None.
        seed: Of the mixtures.

    Raises:
        ArgumentError: if there is no such layer, unit or position.
        DataError: if the gradient is not finite.
    """
    if layer is not None and top is not None:
        raise ArgumentError(f"--top {top} is how many layers are shown; it goes without --layer")
    nodes = chosen_layers(subject, layer, unit, at, most=_MOST if top is None else top)
    windows = Windows(subject.blueprint)
    seen = [_seen(subject, picture, windows, node, unit, at, seed) for node in nodes]
    panels: list[Panel] = []
    for k, s in enumerate(seen):
        label = f"L{k + 1} " if len(seen) > 1 else ""
        wide = _WIDE if len(seen) <= _FEW else _NARROW
        panels += [_theory(s, picture, label, wide), _effect(s, picture, label, wide), _profile(s, wide)]
    what = nodes[0].id if len(nodes) == 1 else f"units of {len(nodes)} layers"
    which = "" if unit is None else f", unit {unit}"
    whose = (
        "of the unit's value by each pixel, its mean over the channels"
        if unit is not None
        else f"of {_MIXTURES} random mixtures of the layer's channels by each pixel, its mean"
    )
    notes = [
        "left, bright and framed: the pixels that can reach the unit; middle, nearer: the magnitude of the "
        f"gradient {whose} on this image, a share of the whole; right: by columns (solid) and rows (dashed)",
        *picture.notes,
        *(_said(s, f"L{k + 1}: " if len(seen) > 1 else "") for k, s in enumerate(seen)),
    ]
    return View(
        how="field",
        title=f"Receptive field of {what}{which}, {subject.name}, on {picture.title}",
        notes=tuple(notes),
        panels=tuple(panels),
        columns=3,
        arrays={f"{s.node.id}.effective": s.weights for s in seen}
        | {f"{s.node.id}.theoretical": s.window.mask for s in seen},
        figures={"image": picture.name, "unit": unit, "layers": [_figures(s) for s in seen]},
        findings=tuple(_blind(s, unit) for s in seen if s.nothing),
    )


def _seen(
    subject: Subject,
    picture: Picture,
    windows: Windows,
    node: Node,
    unit: int | None,
    at: tuple[int, int] | None,
    seed: int,
) -> _Seen:
    _, height, width = maps_or_vector(node)
    place = (height // 2, width // 2) if at is None else at
    position = place if maps_of(node) is not None else None
    weights, value = effective_weights(subject.network, picture.x, node.id, unit, position, seed=seed)
    return _Seen(
        node=node,
        at=place,
        window=windows.of(node, unit, place, whole=False),
        field=windows.field(node),
        weights=weights,
        value=value,
    )


def effective_weights(
    network: nn.Module,
    x: Tensor,
    node: str,
    unit: int | None = None,
    at: tuple[int, int] | None = None,
    *,
    seed: int = 0,
) -> tuple[NDArray[np.float64], float | None]:
    """How strongly each pixel of an image moves a unit: the gradient's magnitude, its mean over channels.

    Args:
        network: In evaluation mode while it runs; it is left as it was.
        x: (1, C, H, W), preprocessed.
        node: Id of the unit's layer.
        unit: Its channel; where None, the mean over random mixtures of all of them.
        at: (row, column) of the unit in maps; None of a vector.
        seed: Of the mixtures.

    Returns:
        (H, W), to a sum of 1, or all 0; and the unit's value, None of all channels together.

    Raises:
        ArgumentError: if there is no such layer, or no gradient can be taken.
        DataError: if the gradient is not finite.
    """
    leaf = x.detach().clone().requires_grad_(True)
    times = _MIXTURES if unit is None else 1
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(leaf.shape[2:], dtype=torch.float64)
    try:
        with torch.inference_mode(False), torch.enable_grad():
            output = up_to(network, leaf.clone(), node)
            output = output if isinstance(output, Tensor) else output[0]
            units = output[(0, slice(None), *(at or ()))]
            for k in range(times if output.requires_grad else 0):
                if unit is None:
                    mixture = torch.randn(len(units), generator=generator).to(units)
                    asked = (units * mixture).sum()
                else:
                    asked = units[unit]
                (one,) = torch.autograd.grad(asked, leaf, retain_graph=k + 1 < times, allow_unused=True)
                if one is not None:
                    total += one[0].abs().double().mean(dim=0).cpu()
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise ArgumentError(f"{node} has no gradient on the pixels: {reason}") from error
    weights = total.numpy()
    whole = weights.sum()
    if not np.isfinite(whole):
        raise DataError(f"{node}: its gradient on the pixels is not finite")
    value = None if unit is None else float(units[unit].detach())
    return (weights / whole if whole > 0 else weights), value


def quantile_width(weights: NDArray[np.float64]) -> float:
    """Rows between the two quantiles of a distribution over rows; parts of a row are interpolated."""
    sums = np.concatenate([[0.0], np.cumsum(weights)])
    if sums[-1] <= 0:
        return 0.0
    low, high = np.interp((_TAIL, 1 - _TAIL), sums / sums[-1], np.arange(len(sums)))
    return float(high - low)


# ---------------------------------------------------------------------- how it is drawn


def _enlarged(pixels: Pixels, wide: int) -> tuple[Pixels, int, bool]:
    """Pixels, how wide they are shown, and whether smoothly; small pictures by whole numbers."""
    own = pixels.shape[1]
    return (pixels, wide // own * own, False) if own <= 128 else (pixels, wide, True)


def _theory(seen: _Seen, picture: Picture, label: str, wide: int) -> Panel:
    shown = picture.pixels.astype(np.float64)
    dimmed = np.where(seen.window.mask[..., None], shown, 255 - (255 - shown) * 0.3)
    drawn = outlined(np.rint(dimmed).astype(np.uint8), seen.window, wide)
    width, smooth = (drawn.shape[1], False) if drawn.shape[1] <= wide else (wide, True)
    title = f"{label}{seen.node.id}" + (f" at {seen.at[0]},{seen.at[1]}" if maps_of(seen.node) else "")
    caption = f"can see {seen.window.height}x{seen.window.width} pixels"
    inside = seen.window.box
    size = (inside[2] - inside[0], inside[3] - inside[1])
    if size != (seen.window.height, seen.window.width):
        caption += f", {size[0]}x{size[1]} of them in the image"
    holes = size[0] * size[1] - int(seen.window.mask.sum())
    caption += f"; {holes} inside the frame do not reach it" if holes else ""
    return Panel(pixels=drawn, title=title, caption=caption, width=width, smooth=smooth)


def _effect(seen: _Seen, picture: Picture, label: str, wide: int) -> Panel:
    most = float(seen.weights.max())
    heat, scale = positive(seen.weights, most)
    drawn = over(picture.pixels, heat, np.sqrt(seen.weights / most) if most else seen.weights)
    drawn = cropped(drawn, _wider(seen.window), OUTSIDE)
    pixels, width, smooth = _enlarged(drawn, wide)
    rows, columns = seen.widths()
    caption = f"95 % lies within {rows:.1f} rows and {columns:.1f} columns"
    if seen.nothing:
        caption = "the gradient is 0 everywhere: nothing to see"
    title = f"{label}gradient"
    return Panel(pixels=pixels, title=title, caption=caption, scale=scale, width=width, smooth=smooth)


def _wider(window: Window) -> Window:
    """A window and an eighth of it at each side where the image goes on, to see it from a little farther."""
    down, across = max(1, window.height // 8), max(1, window.width // 8)
    top, left, bottom, right = window.box
    height, width = window.mask.shape
    first = (max(min(window.top, top - down), 0), max(min(window.left, left - across), 0))
    last = (min(bottom + down, height), min(right + across, width))
    return dataclasses.replace(
        window, top=first[0], left=first[1], height=last[0] - first[0], width=last[1] - first[1]
    )


def _profile(seen: _Seen, wide: int) -> Panel:
    w = seen.window
    sides = ((1, w.left, w.width, "-", "columns"), (0, w.top, w.height, "--", "rows"))

    def draw(axes: Any) -> None:
        for k, (axis, start, length, style, what) in enumerate(sides):
            sums = seen.weights.sum(axis=1 - axis)
            away = np.arange(len(sums)) - (start + (length - 1) / 2)
            axes.plot(away, sums, style, color=SERIES[k], label=what, linewidth=1.5)
            for edge in (-length / 2, length / 2):
                axes.axvline(edge, color=SERIES[k], linewidth=0.8, linestyle=":")
        half = max(w.height, w.width) / 2
        axes.set_xlim(-1.15 * half, 1.15 * half)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("pixels from the middle of the frame", fontsize=9)
        axes.set_ylabel("share", fontsize=9)
        axes.tick_params(labelsize=8)
        axes.legend(frameon=False, fontsize=8)

    return dataclasses.replace(plotted(draw, 320, wide + 10), title=" ", caption="dotted: its ends")


# ---------------------------------------------------------------------- what is said


def _said(seen: _Seen, label: str) -> str:
    words = [f"{label}{seen.node.id} can see {_size(seen)} pixels"]
    jump = None if seen.field is None else seen.field.jump
    if jump is not None and all(jump):
        words.append(
            f"{jump[0]} from one unit to the next" if jump[0] == jump[1] else f"{jump[0]} and {jump[1]} apart"
        )
    if not seen.window.exact:
        words.append("that is at most: it may see less, for some layer on the way is not followed exactly")
    mass, pixels = seen.within_half()
    if not seen.nothing and pixels < 1:
        words.append(
            f"{mass:.0%} of the gradient lies within half that height and width, where {pixels:.0%} of the "
            "pixels lie"
        )
    if seen.value is not None:
        words.append(f"the unit is {seen.value:.4g}")
    return "; ".join(words)


def _size(seen: _Seen) -> str:
    size: Sequence[int] = (seen.window.height, seen.window.width)
    if seen.field is not None and seen.field.size != tuple(size):
        return f"{seen.field.size[0]}x{seen.field.size[1]} (here {size[0]}x{size[1]})"
    return f"{size[0]}x{size[1]}"


def _figures(seen: _Seen) -> dict[str, Any]:
    mass, pixels = seen.within_half()
    return {
        "layer": seen.node.id,
        "at": list(seen.at),
        "size": None if seen.field is None else list(seen.field.size),
        "jump": None if seen.field is None else [float(j) for j in seen.field.jump],
        "window": list(seen.window.box),
        "pixels": int(seen.window.mask.sum()),
        "exact": seen.window.exact,
        "effective_size": list(seen.widths()),
        "share_within_half": mass,
        "pixels_within_half": pixels,
        "value": seen.value,
    }


def _blind(seen: _Seen, unit: int | None) -> Finding:
    who = "the layer's channels have" if unit is None else f"unit {unit} has"
    value = "" if seen.value is None else f"; the unit is {seen.value:.4g}"
    return Finding(
        level="warning",
        where=seen.node.id,
        what=f"{who} no gradient at {seen.at[0]},{seen.at[1]} on this image{value}",
        why="the unit does not fire there, or nothing of the image reaches it: there is nothing to see",
        do="choose another position, unit or image",
    )


def _make(subject: Subject, request: Request) -> View:
    assert request.image is not None
    picture = subject.picture(request.image)
    seed = 0 if request.seed is None else request.seed
    return field(
        subject, picture, layer=request.layer, unit=request.unit, at=request.at, top=request.top, seed=seed
    )


VIEWS = (
    How(
        name="field",
        about="what a unit can see of an image, and what it does see",
        make=_make,
        needs="image",
        options=frozenset({"layer", "unit", "at", "top", "seed"}),
    ),
)
