"""Two networks seen the same way, side by side, on one scale."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from PIL import Image

from sightline.views._subject import Subject
from sightline.views._view import Panel, View

_WIDEST = 480
_FAR = 20


def labels(first: Subject, second: Subject) -> tuple[str, str]:
    """What two networks are called, told apart: by name, else by what they were read from."""
    if first.name != second.name:
        return first.name, second.name
    specs = [s.model.spec if s.model is not None else s.name for s in (first, second)]
    if specs[0] == specs[1]:
        return f"{first.name} (1)", f"{second.name} (2)"
    short = [_short(spec) for spec in specs]
    return (short[0], short[1]) if short[0] != short[1] else (specs[0], specs[1])


def _short(spec: str) -> str:
    """What a user calls a model, its file without folders."""
    name, at, file = spec.rpartition("@")
    return f"{name}{at}{Path(file).name or file}"


def side_by_side(one: Subject, other: Subject, first: View, second: View) -> View:
    """One view of two: panel by panel, each pair on one scale where both scales are of one kind.

    Args:
        one: A network.
        other: Another.
        first: A view of the one.
        second: The same of the other.
    """
    names = labels(one, other)
    paired = len(first.panels) == len(second.panels)
    panels: list[Panel] = []
    for a, b in zip(first.panels, second.panels, strict=False):
        a, b = on_one_scale(a, b)
        panels += [_named(names[0], a), _named(names[1], b)]
    if not paired:
        panels = [_named(names[0], p) for p in first.panels] + [_named(names[1], p) for p in second.panels]
    said = [note for note in first.notes if note in second.notes]
    for name, subject in zip(names, (one, other), strict=True):
        if not subject.trained:
            said.append(f"{name} has fresh weights, as far as is known: what is seen in them is chance")
    said += [f"{names[0]}: {note}" for note in first.notes if note not in second.notes]
    said += [f"{names[1]}: {note}" for note in second.notes if note not in first.notes]
    frames = [
        _beside(_named(names[0], a), _named(names[1], b))
        for a, b in zip(first.frames, second.frames, strict=False)
    ]
    both = ((names[0], first), (names[1], second))
    return View(
        how=first.how,
        title=f"{first.title}, and beside it {second.title}" if first.title != second.title else first.title,
        notes=tuple(said),
        panels=tuple(panels),
        arrays={f"{k}.{name}": array for k, (_, v) in enumerate(both, 1) for name, array in v.arrays.items()},
        figures={"of": list(names), "each": [dict(first.figures), dict(second.figures)]},
        findings=tuple(
            dataclasses.replace(finding, where=f"{name}: {finding.where}")
            for name, v in both
            for finding in v.findings
        ),
        frames=tuple(frames),
        seconds=first.seconds,
    )


def on_one_scale(*panels: Panel) -> tuple[Panel, ...]:
    """Panels drawn again up to the largest value of theirs, if all can be and mean the same by it.

    Where one is more than twenty times another, each keeps its own, for the smaller to be seen, and says so.
    """
    scales = [panel.scale for panel in panels if panel.scale is not None]
    kinds = {scale.kind for scale in scales}
    again = [panel.on_scale for panel in panels if panel.on_scale is not None]
    if len(scales) < len(panels) or len(again) < len(panels) or len(kinds) != 1:
        return panels
    high = max(scale.high for scale in scales)
    end = max([high, *(panel.largest for panel in panels if panel.largest is not None)])
    if high > _FAR * min(scale.high for scale in scales):
        said = f"on its own scale: they differ more than {_FAR} times"
        return tuple(
            dataclasses.replace(p, caption=f"{p.caption}; {said}" if p.caption else said) for p in panels
        )
    return tuple(draw(end) for draw in again)


def _named(name: str, panel: Panel) -> Panel:
    return dataclasses.replace(panel, title=f"{name}: {panel.title}" if panel.title else name)


def _beside(a: Panel, b: Panel) -> Panel:
    """Two frames as one."""
    pictures = [Image.fromarray(panel.pixels) for panel in (a, b)]
    sized = []
    for picture, panel in zip(pictures, (a, b), strict=True):
        width = min(panel.width or picture.width, _WIDEST)
        how = Image.Resampling.BICUBIC if panel.smooth else Image.Resampling.NEAREST
        sized.append(picture.resize((width, max(1, round(picture.height * width / picture.width))), how))
    page = Image.new("RGB", (sum(p.width for p in sized) + 20, max(p.height for p in sized)), (255, 255, 255))
    page.paste(sized[0], (0, 0))
    page.paste(sized[1], (sized[0].width + 20, 0))
    caption = "\n".join(dict.fromkeys(p.caption for p in (a, b) if p.caption))
    return Panel(pixels=np.array(page), title=f"{a.title} | {b.title}", caption=caption, width=page.width)
