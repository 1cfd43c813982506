"""A sheet of some images as they are stored, and exactly as a network is given them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from sightline.base import DataError, write_with
from sightline.data._detail import Detail
from sightline.data._doctor_look import Way, read_grey
from sightline.data._image_set import ImageSet
from sightline.data._pictures import picture_of
from sightline.imaging import UnreadableImageError, display

if TYPE_CHECKING:
    from sightline.data._input_view import InputView

SHEET_MARK = "sightline check"
"""What a sheet's file says of its maker, so that no other picture is replaced."""

_SIDE = 224
"""Of a picture on the sheet, in pixels: the usual input of a network, shown one to one."""

_MOST_ROWS = 16
_EACH = 2
_GAP = 16
_LINE = 20
_TITLE_LINES = 3
_SHRUNK = 0.8
"""Where images become smaller than this, a piece of each is shown enlarged."""

_PIECE = 24
"""Pixels of the network's input that such a piece has across."""

_SMALLEST_PIECE = 48
_PAPER, _TEXT = "#ffffff", "#1b2028"
_FRAME = "#d1495b"

Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


def draw_sheet(images: ImageSet, view: InputView) -> Image.Image:
    """Draw some images of each class: whole, and a piece with much detail; as stored and as given.

    Args:
        images: The set.
        view: How a network is given them.

    Raises:
        DataError: if an image is not of the depth or channels that the network takes.
    """
    rows = _chosen(images)
    scales = view.scales(images)[rows]
    pieces = bool(np.median(scales) < _SHRUNK)
    heads = ["as stored", f"as {view.name} is given it, {view.size[1]}x{view.size[0]}"]
    heads += ["a piece of it, as stored", "the same piece, as given"] if pieces else []
    width = _GAP + len(heads) * (_SIDE + _GAP)
    top = _GAP + _TITLE_LINES * _LINE
    sheet = Image.new("RGB", (width, top + len(rows) * (_SIDE + _LINE + _GAP)), _PAPER)
    pen = ImageDraw.Draw(sheet)
    _write(
        pen, (_GAP, _GAP), f"{images.source}: {len(images):,} images, {len(images.classes)} classes", width
    )
    _write(pen, (_GAP, _GAP + _LINE), _scaling(view, float(np.median(scales))), width)
    for column, head in enumerate(heads):
        _write(pen, (_left(column), _GAP + 2 * _LINE), head, _SIDE)
    for row, index in enumerate(rows.tolist()):
        y = top + row * (_SIDE + _LINE + _GAP)
        height, wide = images.sizes[index].tolist()
        label = images.classes[images.targets[index]]
        _write(pen, (_GAP, y + _SIDE + 2), f"{label}: {images.names[index]}, {wide}x{height}", width)
        try:
            _draw_row(sheet, images, view, index, y, float(scales[row]) if pieces else 0.0)
        except UnreadableImageError as error:
            raise DataError(f"{images.source}/{images.names[index]}: {error}") from error
    return sheet


def write_sheet(path: Path, sheet: Image.Image) -> None:
    """Write a sheet as PNG, with a word on who made it.

    Raises:
        StorageError: if it cannot be written.
    """
    said = PngImagePlugin.PngInfo()
    said.add_text("Software", SHEET_MARK)
    write_with(path, lambda partial: sheet.save(partial, "PNG", pnginfo=said))


def _draw_row(
    sheet: Image.Image, images: ImageSet, view: InputView, index: int, y: int, scale: float
) -> None:
    """One image: whole, and where `scale` is not 0, a piece."""
    stored = picture_of(images, index)
    given, transform = view.see(images, index)
    seen = Image.fromarray(display(given, [(0.0, 1.0)] * len(given)))
    at = _paste(sheet, _fitted(stored), 0, y)
    _paste(sheet, _fitted(seen), 1, y)
    if not scale:
        return
    piece = _piece(images, index, scale, stored.size)
    corners = np.array([[piece[0], piece[1], 1], [piece[2], piece[3], 1]]) @ transform.T
    there = _inside((*corners[0, :2].tolist(), *corners[1, :2].tolist()), seen.size)
    _paste(sheet, stored.resize((_SIDE, _SIDE), Image.Resampling.NEAREST, box=piece), 2, y)
    _paste(sheet, seen.resize((_SIDE, _SIDE), Image.Resampling.NEAREST, box=there), 3, y)
    shown = [at[k % 2] + side * _factor(stored.size) for k, side in enumerate(piece)]
    ImageDraw.Draw(sheet).rectangle(shown, outline=_FRAME, width=2)


def _piece(images: ImageSet, index: int, scale: float, size: tuple[int, int]) -> Box:
    """The part of an image that is shown enlarged: about where there is most detail."""
    item = images.pixels[index] if images.pixels is not None else images.source_of(index)
    detail = Detail.of(read_grey(item, Way.of(images)))
    row, column = (size[1] // 2, size[0] // 2) if detail is None else detail.centre()
    side = min(max(_PIECE / scale, _SMALLEST_PIECE), *size)
    left = min(max(0.0, column - side / 2), size[0] - side)
    upper = min(max(0.0, row - side / 2), size[1] - side)
    return left, upper, left + side, upper + side


def _inside(box: Box, size: tuple[int, int]) -> Box:
    """A box with no part outside of a picture: rounding may put it there by a hair."""
    left, top = min(max(0.0, box[0]), size[0] - 1.0), min(max(0.0, box[1]), size[1] - 1.0)
    return left, top, min(max(left + 1, box[2]), float(size[0])), min(max(top + 1, box[3]), float(size[1]))


def _factor(size: tuple[int, int]) -> float:
    return min(_SIDE / size[0], _SIDE / size[1])


def _fitted(picture: Image.Image) -> Image.Image:
    """A picture to fit its place: enlarged pixel by pixel, so that each is seen; or made smaller."""
    factor = _factor(picture.size)
    if factor == 1:
        return picture
    sides = max(1, round(picture.width * factor)), max(1, round(picture.height * factor))
    return picture.resize(sides, Image.Resampling.NEAREST if factor > 1 else Image.Resampling.LANCZOS)


def _paste(sheet: Image.Image, picture: Image.Image, column: int, y: int) -> tuple[int, int]:
    """Put a picture into its place; and where its upper left corner came to be."""
    sheet.paste(picture, at := (_left(column), y))
    return at


def _left(column: int) -> int:
    return _GAP + column * (_SIDE + _GAP)


def _write(pen: ImageDraw.ImageDraw, at: tuple[int, int], text: str, width: int) -> None:
    """A line of text, cut where it would be wider than it may."""
    font = ImageFont.load_default(14)
    if pen.textlength(text, font) > width - _GAP:
        while text and pen.textlength(f"{text}...", font) > width - _GAP:
            text = text[:-1]
        text += "..."
    pen.text(at, text, fill=_TEXT, font=font)


def _scaling(view: InputView, scale: float) -> str:
    if scale < 1:
        return f"one pixel that the network is given is {1 / scale:.1f} x {1 / scale:.1f} of an image"
    if scale > 1 and view.preprocessing.fit == "resize":
        return f"images are enlarged {scale:.1f} times"
    return "pixels are given as they are"


def _chosen(images: ImageSet) -> NDArray[np.int64]:
    """Images to show: one or two of each class, of classes evenly chosen where there are many."""
    there = np.flatnonzero(images.counts())
    each = max(1, min(_EACH, _MOST_ROWS // max(1, len(there))))
    places = np.unique(np.linspace(0, len(there) - 1, min(len(there), _MOST_ROWS)).round().astype(np.int64))
    rows: list[int] = []
    for target in there[places].tolist():
        own = np.flatnonzero(images.targets == target)
        rows += own[np.unique(np.linspace(0, len(own) - 1, each + 2).round().astype(int)[1:-1])].tolist()
    return np.array(rows, dtype=np.int64)
