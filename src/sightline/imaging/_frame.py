"""Every image onto one canvas, and the way back.

The whole image is kept: it is scaled to fit, never cut, and what the canvas has beyond it repeats its
outermost pixels, so that no foreign colour enters.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightline.imaging._decode import decode, decode_array, decode_fitted, fitted_size
from sightline.imaging._deep import Depth, Values, depth_of
from sightline.imaging._faults import UnreadableImageError


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
    """Scale an image to fit a canvas, centred; the rest repeats its edge.

    Args:
        image: Mode `L` or `RGB`, or (H, W, C); agreeing with the canvas in channels and depth.
        canvas: Where it goes. Scaled values are rounded to its depth.
        whole: (width, height) of the image before it was decoded at a reduced scale, if it was.
        quickly: Allow an 8-bit colour image to be resized by torch: one value of some thousand differs, by 1.
    """
    own = image.size if isinstance(image, Image.Image) else (image.shape[1], image.shape[0])
    whole = whole or own
    width, height = fitted_size(whole, (canvas.width, canvas.height))
    if isinstance(image, Image.Image):
        if (width, height) == own:
            pixels = np.asarray(image)
        elif quickly and image.mode == "RGB":
            pixels = _resized_by_torch(image, width, height)
        else:
            pixels = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
        pixels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    else:
        pixels = image.transpose(2, 0, 1)
        if (width, height) != own:
            pixels = np.stack([_resized(channel, width, height) for channel in pixels])
    top, left = (canvas.height - height) // 2, (canvas.width - width) // 2
    bottom, right = top + height, left + width
    framed = np.empty((len(pixels), canvas.height, canvas.width), dtype=pixels.dtype)
    framed[:, top:bottom, left:right] = pixels
    framed[:, top:bottom, :left] = framed[:, top:bottom, left : left + 1]
    framed[:, top:bottom, right:] = framed[:, top:bottom, right - 1 : right]
    framed[:, :top] = framed[:, top : top + 1]
    framed[:, bottom:] = framed[:, bottom - 1 : bottom]
    transform = np.array(
        [[width / whole[0], 0, left], [0, height / whole[1], top], [0, 0, 1]], dtype=np.float32
    )
    return Framed(framed, (whole[1], whole[0]), transform)


def _resized_by_torch(image: Image.Image, width: int, height: int) -> Values:
    """The same filter by torch's vector code, twice as fast; without that, by Pillow. -> (H, W, 3)."""
    import torch

    if torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    stored = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]  # h w c -> 1 c h w
    small = torch.nn.functional.interpolate(stored, (height, width), mode="bilinear", antialias=True)
    return small[0].permute(1, 2, 0).numpy()


def _resized(channel: Values, width: int, height: int) -> Values:
    """One channel, bilinear and antialiased; deeper ones in floating point, rounded where they were whole."""
    exact = channel if channel.dtype == np.uint8 else channel.astype(np.float32)
    image = Image.fromarray(np.ascontiguousarray(exact))
    values: Values = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
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
            box = (canvas.width, canvas.height)
            image, whole = decode_fitted(source, canvas.channels, box, canvas.pages)
            return frame(image, canvas, whole=whole, quickly=True)
        return frame(decode(source, canvas.channels, pages=canvas.pages), canvas)
    return frame(decode_array(source, canvas.channels, canvas.depth, canvas.pages), canvas)


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
