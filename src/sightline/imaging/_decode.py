"""Files to pixels, without torch and without losing anything in silence.

Stated rules: EXIF orientation is applied; 1-bit becomes 0 and 255; a palette is looked up; transparency is
laid on white; CMYK, YCbCr, HSV and LAB become sRGB; grey stays one channel. A file deeper than 8 bits, or
with several pages or frames, is refused by name.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import struct
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

EXTENSIONS = frozenset(
    (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm", ".jp2")
)
"""Name endings, in lower case, of files that are taken for images."""

_GREY_MODES = ("1", "L", "LA", "La")
_DEEP_MODES = ("I", "F")
_MAX_PIXELS = 178_956_970  # Pillow's own limit, above which a file may be a decompression bomb


class UnreadableImageError(ValueError):
    """An image file cannot be used; the text says why, without the file's name."""


@dataclasses.dataclass(frozen=True)
class ImageRecord:
    """What a full read of one file told."""

    width: int
    """Pixels, after EXIF orientation; 0 where unreadable."""
    height: int
    channels: int
    """1 for grey, 3 for colour; 0 where unreadable."""
    digest: str
    """BLAKE2b-128 of the file's bytes, hexadecimal."""
    error: str
    """Why the file cannot be read; empty where it can."""


def read_record(path: Path) -> ImageRecord:
    """Read a file whole, decode it, and say what it is. Never raises for a bad file."""
    try:
        content = path.read_bytes()
    except OSError as error:
        return ImageRecord(0, 0, 0, "", error.strerror or "cannot be read")
    digest = hashlib.blake2b(content, digest_size=16).hexdigest()
    try:
        image = _open(content)
        image.draft(None, (64, 64))  # still reads every byte of a JPEG, at an eighth of its cost
        width, height = _size_before_draft(content, image)
        decoded = _oriented(image)
        if (decoded.width > decoded.height) != (width > height) and width != height:
            width, height = height, width
        channels = 1 if _is_grey(decoded) else 3
    except UnreadableImageError as error:
        return ImageRecord(0, 0, 0, digest, str(error))
    return ImageRecord(width, height, channels, digest, "")


def decode(source: Path | bytes, channels: int, at_least: tuple[int, int] | None = None) -> Image.Image:
    """Decode an image.

    Args:
        source: A file, or a file's content.
        channels: 1 for grey (ITU-R 601 luma of a colour image), 3 for sRGB (a grey image repeated).
        at_least: Allow a JPEG to be decoded at 1/2, 1/4 or 1/8 scale, not below this (width, height).

    Returns:
        An 8-bit Pillow image of mode `L` or `RGB`.

    Raises:
        UnreadableImageError: if the file is broken, deeper than 8 bits, or has several frames.
    """
    try:
        content = source if isinstance(source, bytes) else source.read_bytes()
    except OSError as error:
        raise UnreadableImageError(error.strerror or "cannot be read") from error
    image = _open(content)
    if at_least is not None:
        if image.getexif().get(0x0112, 1) >= 5:  # the sides are exchanged by EXIF
            at_least = (at_least[1], at_least[0])
        image.draft(None, at_least)
    return _flat(_oriented(image), "L" if channels == 1 else "RGB")


def decode_array(source: Path | bytes, channels: int) -> NDArray[np.uint8]:
    """Decode an image to an array. As `decode`; -> (H, W, C) uint8."""
    array = np.asarray(decode(source, channels))
    return array[:, :, None] if array.ndim == 2 else array


def _open(content: bytes) -> Image.Image:
    if not content:
        raise UnreadableImageError("the file is empty")
    if content.startswith(b"version https://git-lfs"):
        raise UnreadableImageError("a Git LFS pointer, not the image itself")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(content))
    except Image.DecompressionBombError as error:
        raise UnreadableImageError(
            f"claims more than {_MAX_PIXELS:,} pixels, a decompression bomb"
        ) from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, struct.error) as error:
        raise UnreadableImageError("not an image, or its header is broken") from error
    if image.width * image.height > _MAX_PIXELS:
        raise UnreadableImageError(f"claims {image.width}x{image.height} pixels, a decompression bomb")
    try:
        frames = getattr(image, "n_frames", 1)
    except Exception as error:  # counting frames walks the file, and a broken one fails in any way
        raise UnreadableImageError(f"broken or truncated ({type(error).__name__}: {error})") from error
    if frames > 1 and image.format != "MPO":  # a phone's MPO carries a preview after its one picture
        raise UnreadableImageError(f"has {frames} pages or frames; which one is meant cannot be said yet")
    depth = _bits(image, content)
    if depth > 8:
        raise UnreadableImageError(f"{depth} bits a channel; only 8 can be read yet, and none is thrown away")
    return image


def _bits(image: Image.Image, content: bytes) -> int:
    """Bits of a channel as stored: Pillow's mode hides them where it cuts to 8 by itself."""
    if image.format == "PNG":
        return content[24]  # IHDR
    if image.format == "TIFF":
        bits = image.tag_v2.get(258, (1,))  # type: ignore[attr-defined]
        return max(bits) if isinstance(bits, tuple) else int(bits)
    if image.format == "PPM" and content[:2] in (b"P5", b"P6", b"P2", b"P3"):
        words = [w for line in content[:1024].split(b"\n") for w in line.split(b"#")[0].split()]
        return int(words[3]).bit_length() if len(words) > 3 and words[3].isdigit() else 8
    if image.mode.startswith("I;16"):
        return 16
    return 32 if image.mode in _DEEP_MODES else 8


def _oriented(image: Image.Image) -> Image.Image:
    """Decode the pixels and turn them as EXIF says."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image.load()
    except Exception as error:  # a decoder may fail in any way on a broken file: struct, zlib, index...
        raise UnreadableImageError(f"broken or truncated ({type(error).__name__}: {error})") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ImageOps.exif_transpose(image)
    except Exception:  # broken EXIF says nothing about the pixels, which are whole
        return image


def _size_before_draft(content: bytes, image: Image.Image) -> tuple[int, int]:
    """A JPEG's full size; `draft` has already shrunk what the image says of itself."""
    if image.format not in ("JPEG", "MPO"):
        return image.size
    with Image.open(io.BytesIO(content)) as full:
        return full.size


def _is_grey(image: Image.Image) -> bool:
    if image.mode in _GREY_MODES:
        return True
    if image.mode in ("P", "PA"):
        flat = np.asarray(_flat(image, "RGB"))
        return bool((flat == flat[:, :, :1]).all())
    return False


def _flat(image: Image.Image, mode: str) -> Image.Image:
    """An opaque image of mode `L` or `RGB`."""
    if image.mode == mode and "transparency" not in image.info:
        return image
    if image.mode in ("P", "PA", "LA", "La", "RGBA", "RGBa") or "transparency" in image.info:
        if image.mode in ("La", "RGBa"):
            image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
        layer = image.convert("RGBA")
        page = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        image = Image.alpha_composite(page, layer).convert("RGB")
    if image.mode == "LAB":
        to_srgb = ImageCms.buildTransform(
            ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB"
        )
        converted = ImageCms.applyTransform(image, to_srgb)
        assert converted is not None  # only an in-place transform returns nothing
        image = converted
    try:
        return image.convert(mode)
    except ValueError as error:
        raise UnreadableImageError(f"mode {image.mode} cannot be shown as {mode}") from error
