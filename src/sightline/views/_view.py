"""What a view is: pictures of a network's inside, with the numbers they are of."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sightline.base import Finding

Pixels = NDArray[np.uint8]
"""(H, W, 3), sRGB."""


@dataclasses.dataclass(frozen=True)
class Scale:
    """What the colours of a panel mean."""

    kind: Literal["signed", "positive", "grey"]
    """From -most to most about white; from 0 to `high`; from `low` to `high` as grey levels."""
    low: float
    """The value of the first colour, in the network's own units."""
    high: float
    """Of the last."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Panel:
    """One picture."""

    pixels: Pixels
    title: str = ""
    """One line above it."""
    caption: str = ""
    """Below it: the raw range, the probability, the value; lines are broken where they must be."""
    scale: Scale | None = None
    """Of a heat map: a bar with its values is drawn."""
    smooth: bool = True
    """Whether it may be interpolated when enlarged; false where pixels are to be seen, as of kernels."""
    width: int | None = None
    """How wide it is shown, in pixels, if not as the others; text and plots are shown as they are."""
    largest: float | None = None
    """The largest magnitude there is, where the scale ends below it."""
    on_scale: Callable[[float], Panel] | None = None
    """The same panel with another last value of its scale, so that two networks are seen on one."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """Something seen in a network."""

    how: str
    """The name of the view, as in `sightline view HOW`."""
    title: str
    """What is shown, of what: `Grad-CAM of layer4.1:relu for 'bees'`."""
    notes: tuple[str, ...] = ()
    """What to know to read it, a sentence each: what was computed, at which layer, over which range.

    The first ones stand above the pictures, those that have no room there beneath them.
    """
    panels: tuple[Panel, ...]
    columns: int | None = None
    """Panels a row; None for as many as fit."""
    arrays: Mapping[str, NDArray[Any]] = dataclasses.field(default_factory=dict)
    """The numbers themselves, by name: what `-o FILE.npz` holds."""
    figures: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What is to be said in numbers and words, as JSON: layer, unit, value, range, verdict."""
    findings: tuple[Finding, ...] = ()
    """What is wrong with what is seen: nothing to see, a flat map, a failed sanity check."""
    frames: tuple[Panel, ...] = ()
    """Of an animation: what `-o FILE.gif` shows one after the other."""
    seconds: float = 0.5
    """A frame."""

    def save(self, path: Path | str) -> Path:
        """Write it: `.png` and `.html` with titles, notes and scales; `.npz` the numbers; `.gif` the frames.

        Raises:
            ArgumentError: if the ending is another, or there are no frames.
            StorageError: if the disk refuses; an older file is untouched.
        """
        from sightline.views._render import save

        return save(self, Path(path))

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of `sightline view`, without the pictures."""
        return {
            "how": self.how,
            "title": self.title,
            "notes": list(self.notes),
            **self.figures,
            "findings": [finding.to_dict() for finding in self.findings],
        }
