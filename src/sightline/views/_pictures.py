"""Images of a set as small pictures, and rows of them with words beneath."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from sightline.data import ImageSet, picture_of
from sightline.views._colour import plotted
from sightline.views._view import Panel

_WIDTH = 960
_ACROSS, _DOWN = 1.12, 1.5
"""From one picture to the next, in pictures."""
_LEAST, _MANY_ROWS, _LEAST_OF_MANY = 6, 3, 9
"""A row is drawn as if it had so many pictures at least, of many rows more: they would fill the page."""
_LETTERS = 16


@dataclasses.dataclass(frozen=True)
class Cell:
    """One picture of a row."""

    index: int
    """Place in the set."""
    below: str = ""
    """A line beneath it, under what it is called."""
    frame: str = ""
    """The colour of its border; none where empty."""
    ink: str = "black"
    """Of the words."""


def called(images: ImageSet, index: int) -> str:
    """An image's class, or its file's name in a set without classes."""
    name: str = images.classes[images.targets[index]]
    return name or Path(images.names[index]).stem


def thumbnail(images: ImageSet, index: int, side: int, frame: str = "") -> Image.Image:
    """An image in the middle of a white square.

    Args:
        images: The set.
        index: Its place in it.
        side: Of the square, in pixels; the image fills it, also enlarged.
        frame: The colour of a border; none where empty.

    Raises:
        UnreadableImageError: if its file cannot be read any more.
    """
    picture = picture_of(images, index).convert("RGB")
    scale = (side - 4) / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    how = Image.Resampling.NEAREST if scale > 2 else Image.Resampling.LANCZOS
    page = Image.new("RGB", (side, side), (255, 255, 255))
    page.paste(picture.resize(size, how), ((side - size[0]) // 2, (side - size[1]) // 2))
    if frame:
        ImageDraw.Draw(page).rectangle((0, 0, side - 1, side - 1), outline=frame, width=2)
    return page


def picture_rows(
    images: ImageSet,
    rows: Sequence[Sequence[Cell]],
    *,
    names: Sequence[str] = (),
    apart: float = 0.0,
) -> Panel:
    """Rows of images, beneath each what it is called and a line.

    Args:
        images: The set.
        rows: What is in each.
        names: Words at the left of each row, if any.
        apart: Room behind the first of a row, in pictures.
    """
    left = 0.75 if names else 0.02
    least = _LEAST if len(rows) <= _MANY_ROWS else _LEAST_OF_MANY
    across = left + max(least, *(len(row) for row in rows)) * _ACROSS + apart
    side = int(_WIDTH / across)

    def draw(axes: Any) -> None:
        for r, row in enumerate(rows):
            bottom = -r * _DOWN
            if names:
                axes.text(-0.08, bottom + 0.5, names[r], ha="right", va="center", fontsize=9)
            for k, cell in enumerate(row):
                x = k * _ACROSS + (apart if k else 0)
                picture = thumbnail(images, cell.index, side, cell.frame)
                axes.imshow(np.asarray(picture), extent=(x, x + 1, bottom, bottom + 1))
                words = f"{called(images, cell.index)[:_LETTERS]}\n{cell.below}"
                axes.text(x, bottom - 0.03, words, va="top", fontsize=8, color=cell.ink)
        axes.set_xlim(-left, across - left)
        axes.set_ylim(-(len(rows) - 1) * _DOWN - 0.45, 1.02)
        axes.set_axis_off()

    return plotted(draw, _WIDTH, round(_WIDTH / across * ((len(rows) - 1) * _DOWN + 1.47)) + 10)
