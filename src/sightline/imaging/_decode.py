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
_CODESTREAM = b"\xff\x4f\xff\x51"  # of JPEG 2000: the markers SOC and SIZ
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
    """BLAKE2b-128 of the file's bytes, hexadecimal; empty where the machine, not the file, is at fault."""
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
        whole = image.size
        drafted = image.draft(None, (64, 64))  # still reads every byte of a JPEG, at an eighth of its cost
        decoded, exchanged = _oriented(image)
        if drafted is None:
            whole = decoded.size
        elif exchanged:
            whole = (whole[1], whole[0])
        channels = 1 if _is_grey(decoded) else 3
    except UnreadableImageError as error:
        short_of_memory = isinstance(error.__cause__, MemoryError)
        return ImageRecord(0, 0, 0, "" if short_of_memory else digest, str(error))
    return ImageRecord(*whole, channels, digest, "")


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
    if at_least is not None and image.format in ("JPEG", "MPO"):
        if _exchanges_sides(image):
            at_least = (at_least[1], at_least[0])
        image.draft(None, at_least)
    return _flat(_oriented(image)[0], "L" if channels == 1 else "RGB")


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
    if image.format == "JPEG2000":
        return _jpeg2000_bits(content)
    if image.mode.startswith("I;16"):
        return 16
    return 32 if image.mode in _DEEP_MODES else 8


def _jpeg2000_bits(content: bytes) -> int:
    """Bits of the deepest channel or palette entry: by the boxes of a JP2 file, and by its codestream.

    Source: ISO/IEC 15444-1, A.5.1 (SIZ) and I.5.3 (boxes). A depth is stored less one under a bit of sign.
    """
    depths = bytearray()
    at = 0
    while not content.startswith(_CODESTREAM, at) and at + 8 <= len(content):
        length, kind = int.from_bytes(content[at : at + 4]), content[at + 4 : at + 8]
        start = at + 8
        if length == 1:  # it follows, in eight bytes
            length, start = int.from_bytes(content[start : start + 8]), start + 8
        if kind in (b"jp2h", b"jp2c"):  # what it holds comes next
            at = start
            continue
        if at + length < start:  # 0: the last box, and no codestream
            break
        at += length
        if kind == b"ihdr":
            depths += content[start + 10 : start + 11].replace(b"\xff", b"")  # 255: they differ, see bpcc
        elif kind == b"bpcc":
            depths += content[start:at]
        elif kind == b"pclr":
            depths += content[start + 3 : start + 3 + int.from_bytes(content[start + 2 : start + 3])]
    if content.startswith(_CODESTREAM, at):
        depths += content[at + 42 : at + 42 + 3 * int.from_bytes(content[at + 40 : at + 42]) : 3]
    return max(((depth & 0x7F) + 1 for depth in depths), default=8)


def _exchanges_sides(image: Image.Image) -> bool:
    """Whether EXIF says that rows are shown as columns."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    except Exception:  # broken EXIF says nothing
        return False


def _oriented(image: Image.Image) -> tuple[Image.Image, bool]:
    """Decode the pixels and turn them as EXIF says; and whether that exchanged the sides."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image.load()
    except Exception as error:  # a decoder may fail in any way on a broken file: struct, zlib, index...
        raise UnreadableImageError(f"broken or truncated ({type(error).__name__}: {error})") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exchanged = _exchanges_sides(image)
            return ImageOps.exif_transpose(image), exchanged
    except Exception:  # broken EXIF says nothing about the pixels, which are whole
        return image, False


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
