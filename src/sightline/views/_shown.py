"""One activation with what comes back of it and what the unit saw."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray

from sightline.blueprint import Node
from sightline.data import ImageSet
from sightline.views._project import Projection, project
from sightline.views._strongest import BEST, Strongest, pictures_of
from sightline.views._subject import Picture, Subject
from sightline.views._view import Pixels
from sightline.views._window import OUTSIDE, Window, Windows, cropped, unit_index

_AT_A_TIME = 3
"""Images taken back together: what they keep for it is many times an image."""


@dataclasses.dataclass(frozen=True, eq=False)
class Shown:
    """One activation, ready to be drawn."""

    value: float
    at: tuple[int, int]
    window: Window
    picture: Picture
    pixels: NDArray[np.float32]
    """(C, H, W) the projection."""

    def crop(self) -> NDArray[np.float32]:
        """The projection cut to the window. (C, h, w)."""
        cut = cropped(self.pixels.transpose(1, 2, 0), self.window, 0.0)
        return np.asarray(cut.transpose(2, 0, 1), dtype=np.float32)

    def patch(self) -> Pixels:
        """The image cut to the window."""
        return cropped(self.picture.pixels, self.window, OUTSIDE)

    def most(self) -> float:
        """The magnitude of full colour: all but the strongest half per cent of what is not 0 are below."""
        values = np.abs(self.pixels if len(self.pixels) == 3 else self.pixels.sum(axis=0))
        there = values[values > 0]
        return float(np.percentile(there, 99.5)) if there.size else 0.0

    @property
    def nothing(self) -> bool:
        """Whether not a pixel of the projection differs from 0."""
        return not self.pixels.any()


def shown_activation(
    windows: Windows, node: Node, unit: int, at: tuple[int, int], picture: Picture, back: Projection, k: int
) -> Shown:
    """One of the activations that were taken back together.

    Args:
        windows: Of the network.
        node: Its layer.
        unit: Its channel, or its place in a vector.
        at: (row, column).
        picture: What the network was given.
        back: What all of them came back as.
        k: Which of them.
    """
    return Shown(
        value=float(back.values[k]),
        at=at,
        window=windows.of(node, unit, at),
        picture=picture,
        pixels=back.pixels[k].float().cpu().numpy(),
    )


def strongest_shown(
    subject: Subject,
    images: ImageSet,
    windows: Windows,
    node: Node,
    unit: int,
    index: Strongest,
    most: int = BEST,
) -> list[Shown]:
    """The strongest activations of a unit over a set, as far as it fires.

    Args:
        subject: The network.
        images: The set.
        windows: Of the network.
        node: The unit's layer.
        unit: Its channel, or its place in a vector.
        index: What `strongest` found for the layer.
        most: At most so many.

    Raises:
        ArgumentError: if the network cannot be gone through backward.
        DataError: if an image cannot be read any more.
    """
    fires = min(int((index.values[unit] > 0).sum()), most)
    found: list[Shown] = []
    for start in range(0, fires, _AT_A_TIME):
        ids = index.images[unit, start : min(start + _AT_A_TIME, fires)]
        pictures = pictures_of(subject, images, ids)
        places = [(int(r), int(c)) for r, c in index.places[unit, start : start + len(ids)]]
        units = [unit_index(node, unit, place) for place in places]
        back = project(subject.network, torch.cat([p.x for p in pictures]), node.id, units)
        found += [
            shown_activation(windows, node, unit, place, picture, back, k)
            for k, (place, picture) in enumerate(zip(places, pictures, strict=True))
        ]
    return found
