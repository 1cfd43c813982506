"""Every image onto one canvas, and the way back.

By default the whole image is kept: it is scaled to fit, never cut, and what the canvas has beyond it repeats
its outermost pixels, so that no foreign colour enters. A canvas may instead be covered, as the papers on
ImageNet do it: the shorter side fills it, and what is beyond it of the longer one is cut off at both ends.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightline.imaging._decode import (
    _content,
    _exchanges_sides,
    _open,
    decode,
    decode_array,
    decode_fitted,
    fitted_size,
)
from sightline.imaging._deep import Depth, Values, depth_of
from sightline.imaging._faults import UnreadableImageError

Framing = Literal["whole", "cover"]

_JPEG = b"\xff\xd8"


@dataclasses.dataclass(frozen=True)
class Canvas:
    """The one size to which images are framed, and what of a file goes on it."""

    height: int
    width: int
    channels: int
    """1 for grey, 3 for colour, or any number of measured channels."""
    depth: Depth = "uint8"
    """How values are kept; an image of another depth is refused."""
    pages: str = ""
    """Of files of several pages or frames: as of `decode_array`."""
    framing: Framing = "whole"
    """Whether the whole image is on it, or so much of its centre as covers it."""

    def __repr__(self) -> str:
        """As a dataclass, without `framing` where it is as ever: caches are named after it."""
        told = [field.name for field in dataclasses.fields(self)]
        told = told[:-1] if self.framing == "whole" else told
        return f"Canvas({', '.join(f'{name}={getattr(self, name)!r}' for name in told)})"

    def scaled_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The (width, height) to which an image of this (width, height) is scaled before it is laid on."""
        if self.framing == "whole":
            return fitted_size(size, (self.width, self.height))
        scale = max(self.width / size[0], self.height / size[1])
        return max(self.width, round(size[0] * scale)), max(self.height, round(size[1] * scale))


@dataclasses.dataclass(frozen=True)
class Framed:
    """An image on a canvas."""

    pixels: Values
    """(C, H, W) of the canvas, of its depth."""
    size: tuple[int, int]
    """(height, width) of the image before framing."""
    transform: NDArray[np.float32]
    """(3, 3): takes (x, y, 1) of the image to the canvas; pixel i covers [i, i + 1)."""


def frame(
    image: Image.Image | Values,
    canvas: Canvas,
    *,
    whole: tuple[int, int] | None = None,
    quickly: bool = False,
) -> Framed:
    """Scale an image to fit a canvas, centred; the rest repeats its edge. Or to cover it, and cut the rest.

    Args:
        image: Mode `L` or `RGB`, or (H, W, C); agreeing with the canvas in channels and depth.
        canvas: Where it goes. Scaled values are rounded to its depth.
        whole: (width, height) of the image before it was decoded at a reduced scale, if it was.
        quickly: Allow an 8-bit colour image to be resized by torch: one value of some thousand differs, by 1.
    """
    own = image.size if isinstance(image, Image.Image) else (image.shape[1], image.shape[0])
    whole = whole or own
    width, height = canvas.scaled_size(whole)
    if canvas.framing == "cover":
        left, top = (width - canvas.width) // 2, (height - canvas.height) // 2
        cut = (left, top, left + canvas.width, top + canvas.height)
        pixels = _scaled(image, own, (width, height), cut, quickly)
        transform = _scaling(whole, (width, height), (-left, -top))
        return Framed(np.ascontiguousarray(pixels), (whole[1], whole[0]), transform)
    pixels = _scaled(image, own, (width, height), None, quickly)
    top, left = (canvas.height - height) // 2, (canvas.width - width) // 2
    bottom, right = top + height, left + width
    framed = np.empty((len(pixels), canvas.height, canvas.width), dtype=pixels.dtype)
    framed[:, top:bottom, left:right] = pixels
    framed[:, top:bottom, :left] = framed[:, top:bottom, left : left + 1]
    framed[:, top:bottom, right:] = framed[:, top:bottom, right - 1 : right]
    framed[:, :top] = framed[:, top : top + 1]
    framed[:, bottom:] = framed[:, bottom - 1 : bottom]
    return Framed(framed, (whole[1], whole[0]), _scaling(whole, (width, height), (left, top)))


def _scaled(
    image: Image.Image | Values,
    own: tuple[int, int],
    size: tuple[int, int],
    cut: tuple[int, int, int, int] | None,
    quickly: bool,
) -> Values:
    """An image of its own (width, height) with another, whole or only a cut (left, top, right, bottom) of it.

    Of an image that would become much larger than the cut only that is computed: a strip of 900x1 that covers
    a square would be 900 times as large. Pillow rounds the places of such a cut, so that values may differ
    by 1.
    """
    left, top, right, bottom = cut or (0, 0, *size)
    box = None
    if size[0] * size[1] > 4 * (right - left) * (bottom - top):
        across, down = own[0] / size[0], own[1] / size[1]
        box = (left * across, top * down, right * across, bottom * down)
        size = (right - left, bottom - top)
        left, top, right, bottom = 0, 0, *size
    if own == size and box is None:
        pixels = _channels_first(image)
    elif not isinstance(image, Image.Image):
        pixels = np.stack([_resized(channel, size, box) for channel in _channels_first(image)])
    elif quickly and image.mode == "RGB" and box is None:
        pixels = _channels_first(_resized_by_torch(image, *size))
    else:
        pixels = _channels_first(image.resize(size, Image.Resampling.BILINEAR, box=box))
    return pixels[:, top:bottom, left:right]


def _channels_first(image: Image.Image | Values) -> Values:
    """-> (C, H, W)."""
    values = np.asarray(image)
    return values[None] if values.ndim == 2 else values.transpose(2, 0, 1)


def _scaling(whole: tuple[int, int], size: tuple[int, int], corner: tuple[int, int]) -> NDArray[np.float32]:
    """From an image of one (width, height) to where it is with another, its corner at (x, y). -> (3, 3)."""
    (x, y), (width, height) = corner, size
    return np.array([[width / whole[0], 0, x], [0, height / whole[1], y], [0, 0, 1]], dtype=np.float32)


def _resized_by_torch(image: Image.Image, width: int, height: int) -> Values:
    """The same filter by torch's vector code, twice as fast; without that, by Pillow. -> (H, W, 3)."""
    import torch

    if torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    stored = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]  # h w c -> 1 c h w
    small = torch.nn.functional.interpolate(stored, (height, width), mode="bilinear", antialias=True)
    return small[0].permute(1, 2, 0).numpy()


def _resized(channel: Values, size: tuple[int, int], box: tuple[float, float, float, float] | None) -> Values:
    """One channel, bilinear and antialiased; deeper ones in floating point, rounded where they were whole."""
    exact = channel if channel.dtype == np.uint8 else channel.astype(np.float32)
    image = Image.fromarray(np.ascontiguousarray(exact))
    values: Values = np.asarray(image.resize(size, Image.Resampling.BILINEAR, box=box))
    if channel.dtype != np.uint16:
        return values
    return np.clip(np.rint(values), 0, 65535).astype(np.uint16)


Source = Path | bytes | Sequence[Path]
"""A file, or a file's content; or the files of one image, each of one channel."""


def read_framed(source: Source, canvas: Canvas, *, reduced: bool = False) -> Framed:
    """Decode a file and frame it.

    Args:
        source: A file, a file's content, or one file a channel.
        canvas: Where it goes.
        reduced: Allow a JPEG to be decoded at 1/2, 1/4 or 1/8 scale that is at least twice what fits the
            canvas, and the quicker of two ways to resize. For training only: values differ by about half a
            step of 255, and evaluation, prediction and export must see the same ones.

    Raises:
        UnreadableImageError: as `decode_array`; or if files of one image differ in size.
    """
    if not isinstance(source, Path | bytes):
        return frame(read_channels(source, canvas.depth, canvas.pages), canvas)
    if canvas.depth == "uint8" and canvas.channels in (1, 3):
        if reduced:
            image, whole = _decode_reduced(source, canvas)
            return frame(image, canvas, whole=whole, quickly=True)
        return frame(decode(source, canvas.channels, pages=canvas.pages), canvas)
    return frame(decode_array(source, canvas.channels, canvas.depth, canvas.pages), canvas)


def _decode_reduced(source: Path | bytes, canvas: Canvas) -> tuple[Image.Image, tuple[int, int]]:
    """As `decode_fitted`, to the size of which the canvas is filled, or covered."""
    box = (canvas.width, canvas.height)
    if canvas.framing == "cover":
        source = _content(source)
        header = _open(source, canvas.pages) if source.startswith(_JPEG) else None
        if not isinstance(header, Image.Image):  # no other file can be decoded smaller than it is
            image = decode(source, canvas.channels, pages=canvas.pages)
            return image, image.size
        width, height = header.size[::-1] if _exchanges_sides(header) else header.size
        across, down = canvas.scaled_size((width, height))
        if canvas.width / width >= canvas.height / height:  # the width alone says the scale
            box = (canvas.width, down + 1)
        else:
            box = (across + 1, canvas.height)
    return decode_fitted(source, canvas.channels, box, canvas.pages)


def read_channels(files: Sequence[Path], depth: Depth | None = None, pages: str = "") -> Values:
    """An image of which each channel is a file. -> (H, W, one a file).

    Args:
        files: One a channel, in order.
        depth: As of `decode_array`; None for that of the first file.
        pages: As of `decode_array`.

    Raises:
        UnreadableImageError: naming the file, as `decode_array`; or if sizes differ.
    """
    channels: list[Values] = []
    for file in files:
        try:
            values = decode_array(file, 1, depth, pages)
        except UnreadableImageError as error:
            raise UnreadableImageError(f"{file.name}: {error}") from error
        if channels and values.shape != channels[0].shape:
            first, own = (f"{v.shape[1]}x{v.shape[0]}" for v in (channels[0], values))
            raise UnreadableImageError(f"{file.name} is {own}, and {files[0].name} {first}")
        depth = depth_of(values)
        channels.append(values)
    return np.concatenate(channels, axis=2)
