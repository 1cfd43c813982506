"""Files to pixels, without torch and without losing anything in silence.

Stated rules: EXIF orientation is applied; 1-bit becomes 0 and 255; a palette is looked up; transparency is
laid on white; CMYK, YCbCr, HSV and LAB become sRGB; grey stays one channel. A file of more than 8 bits, or of
other than 1 or 3 channels, keeps them: `_deep` has its rules. Of several pages or frames, none is taken
before it is said which.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import stat
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from sightline.imaging._deep import (
    MAX_MEMORY,
    MAX_VALUES,
    Depth,
    Values,
    blocks,
    check_memory,
    choose_pages,
    depth_of,
    is_fits,
    is_tiff,
    narrowed,
    netpbm_maximum,
    read_fits,
    read_jpeg2000,
    read_netpbm,
    read_png,
    read_tiff,
    tiff_tells_pages,
    turned,
)
from sightline.imaging._faults import LackingExtraError, UnreadableImageError, broken

EXTENSIONS = frozenset(
    f".{ending}"
    for endings in ("jpg jpeg png bmp gif tif tiff webp", "ppm pgm pbm pfm jp2 fits fit fts")
    for ending in endings.split()
)
"""Name endings, in lower case, of files that are taken for images."""

_REDUCED_TO = 2
"""How many times what is wanted of a JPEG its reduced scale must be: nearer, it is sharper than the whole."""

_STRIP = 1 << 22
"""Pixels that are converted at a time: on the way there are up to five copies of them."""

_GREY_MODES = ("1", "L", "LA", "La")
_DEEP_MODES = ("I", "F")
_CODESTREAM = b"\xff\x4f\xff\x51"  # of JPEG 2000: the markers SOC and SIZ
_LUMA = np.array([299, 587, 114]) / 1000  # ITU-R 601
_NAMED = {"uint8": "8 bits", "uint16": "9 to 16 bits", "float32": "floating-point values"}


@dataclasses.dataclass(frozen=True)
class ImageRecord:
    """What a full read of one file told."""

    width: int
    """Pixels, after EXIF orientation; 0 where unreadable."""
    height: int
    channels: int
    """1 for grey, 3 for colour, or what a deeper or scientific file holds; 0 where unreadable."""
    digest: str
    """BLAKE2b-128 of the file's bytes, hexadecimal; empty where the machine, not the file, is at fault."""
    error: str
    """Why the file cannot be read; empty where it can."""
    depth: Depth = "uint8"
    """How its values are kept."""


def read_record(path: Path, pages: str = "") -> ImageRecord:
    """Read a file whole, decode it, and say what it is. Never raises for a bad file.

    Args:
        path: The file.
        pages: As of `decode_array`.
    """
    try:
        content = _content(path)
    except UnreadableImageError as error:
        return ImageRecord(0, 0, 0, "", str(error))
    digest = hashlib.blake2b(content, digest_size=16).hexdigest()
    try:
        image = _open(content, pages)
        if not isinstance(image, Image.Image):
            height, width, channels = image.shape
            return ImageRecord(width, height, channels, digest, "", depth_of(image))
        whole = image.size
        drafted = image.draft(None, (64, 64))  # still reads every byte of a JPEG, at an eighth of its cost
        decoded, exchanged = _oriented(image)
        if drafted is None:
            whole = decoded.size
        elif exchanged:
            whole = (whole[1], whole[0])
        channels = 1 if is_grey(decoded) else 3
    except UnreadableImageError as error:
        of_machine = isinstance(error, LackingExtraError) or isinstance(error.__cause__, MemoryError)
        return ImageRecord(0, 0, 0, "" if of_machine else digest, str(error))
    return ImageRecord(*whole, channels, digest, "")


def decode(
    source: Path | bytes, channels: int, at_least: tuple[int, int] | None = None, pages: str = ""
) -> Image.Image:
    """Decode an 8-bit image.

    Args:
        source: A file, or a file's content.
        channels: 1 for grey (ITU-R 601 luma of a colour image), 3 for sRGB (a grey image repeated).
        at_least: Allow a JPEG to be decoded at 1/2, 1/4 or 1/8 scale, not below this (width, height).
        pages: As of `decode_array`.

    Returns:
        An 8-bit Pillow image of mode `L` or `RGB`.

    Raises:
        UnreadableImageError: if the file is broken, deeper than 8 bits, of other than 1 or 3 channels, or has
            several frames and `pages` is empty.
    """
    return _picture(decode_any(source, at_least, pages), channels)


def decode_fitted(
    source: Path | bytes, channels: int, box: tuple[int, int], pages: str = ""
) -> tuple[Image.Image, tuple[int, int]]:
    """Decode an 8-bit image; a JPEG at 1/2, 1/4 or 1/8 scale, where that is twice what fits a box.

    Args:
        source: A file, or a file's content.
        channels: As of `decode`.
        box: (width, height).
        pages: As of `decode_array`.

    Returns:
        The image, and the (width, height) it has when decoded whole. One decoded at a reduced scale has the
        size of `fitted_size`, and the same edges as the whole; any other is whole.

    Raises:
        UnreadableImageError: as `decode`.
    """
    image = _open(_content(source), pages)
    if not isinstance(image, Image.Image):
        picture = _picture(image, channels)
        return picture, picture.size
    stored = image.size
    fitted = fitted_size(stored, box[::-1] if _exchanges_sides(image) else box)
    drafted = image.draft(None, (_REDUCED_TO * fitted[0], _REDUCED_TO * fitted[1]))
    _load(image)
    small: Image.Image = image
    if drafted is not None and image.size != stored:
        # the last row and column may lie half beyond the image: the box says where it ends
        small = image.resize(fitted, Image.Resampling.BILINEAR, box=drafted[1])
    oriented, exchanged = _oriented(small)
    return _picture(oriented, channels), stored[::-1] if exchanged else stored


def fitted_size(size: tuple[int, int], box: tuple[int, int]) -> tuple[int, int]:
    """The (width, height) of an image of this size when it is scaled to fit a box.

    Example:
        >>> fitted_size((500, 375), (224, 224))
        (224, 168)
    """
    scale = min(box[0] / size[0], box[1] / size[1])
    width, height = (max(1, min(b, round(s * scale))) for s, b in zip(size, box, strict=True))
    return width, height


def _picture(image: Image.Image | Values, channels: int) -> Image.Image:
    """What was decoded as an opaque image of mode `L` or `RGB`."""
    if isinstance(image, Image.Image):
        return flat(image, "L" if channels == 1 else "RGB")
    values = of_channels(_of_depth(image, "uint8"), channels)
    return Image.fromarray(values[:, :, 0] if channels == 1 else values)


def decode_any(
    source: Path | bytes, at_least: tuple[int, int] | None = None, pages: str = ""
) -> Image.Image | Values:
    """Decode a file of any kind.

    Args:
        source: A file, or a file's content.
        at_least: As of `decode`.
        pages: As of `decode_array`.

    Returns:
        Of one 8-bit picture a Pillow image of any 8-bit mode; of anything else (H, W, C), as stored.

    Raises:
        UnreadableImageError: if the file is broken, or has several pages and `pages` is empty.
    """
    image = _open(_content(source), pages)
    if not isinstance(image, Image.Image):
        return image
    if at_least is not None and image.format in ("JPEG", "MPO"):
        if _exchanges_sides(image):
            at_least = (at_least[1], at_least[0])
        image.draft(None, at_least)
    return _oriented(image)[0]


def decode_array(
    source: Path | bytes, channels: int | None = None, depth: Depth | None = None, pages: str = ""
) -> Values:
    """Decode an image to an array, at its full depth.

    Args:
        source: A file, or a file's content.
        channels: How many are wanted: colour becomes grey by ITU-R 601 luma, and grey colour by repeating it;
            nothing else becomes anything else. None for those the file has.
        depth: Which is wanted; an image of another is refused. None for the file's own.
        pages: Of a file of several pages or frames: `first`, `max` (the largest value of each pixel),
            `channels` (each page a channel, or three), or a number from 1.

    Returns:
        (H, W, C) uint8, uint16 or float32, as stored.

    Raises:
        UnreadableImageError: if the file is broken, of another depth, its channels cannot be made into those
            wanted, or it has several pages and `pages` is empty.
    """
    image = decode_any(source, pages=pages)
    if isinstance(image, Image.Image):
        wanted = channels if channels in (1, 3) else 1 if is_grey(image) else 3
        image = _flat_array(image, "L" if wanted == 1 else "RGB")
    return of_channels(_of_depth(image, depth), channels)


def _content(source: Path | bytes) -> bytes:
    if isinstance(source, bytes):
        return source
    try:
        status = source.stat()
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            raise UnreadableImageError("a pipe or a device, no file")  # of which reading may never end
        if status.st_size > MAX_MEMORY:
            raise UnreadableImageError(
                f"a file of {status.st_size / 1e9:,.1f} GB; at most {MAX_MEMORY / 1e9:g} are read as an image"
            )
        return source.read_bytes()
    except OSError as error:
        raise UnreadableImageError(error.strerror or "cannot be read") from error


def _of_depth(values: Values, depth: Depth | None) -> Values:
    if depth is not None and depth_of(values) != depth:
        raise UnreadableImageError(
            f"holds {_NAMED[depth_of(values)]} a channel, and {_NAMED[depth]} are expected; "
            "no value is changed to fit"
        )
    return values


def of_channels(values: Values, channels: int | None) -> Values:
    """An array with as many channels as are wanted: as of `decode_array`. (H, W, C) -> (H, W, channels).

    Raises:
        UnreadableImageError: if it cannot be.
    """
    have = values.shape[2]
    if channels in (None, have):
        return values
    if (have, channels) == (1, 3):
        check_memory(b"", 2 * values.nbytes)
        return np.repeat(values, 3, axis=2)
    if (have, channels) == (3, 1) and values.dtype == np.uint8:
        return np.asarray(Image.fromarray(np.ascontiguousarray(values)).convert("L"))[:, :, None]
    if (have, channels) == (3, 1):
        grey = np.empty(values.shape[:2], dtype=values.dtype)
        for some in blocks(values):
            luma = values[some] @ _LUMA
            grey[some] = np.rint(luma) if values.dtype.kind == "u" else luma
        return grey[:, :, None]
    raise UnreadableImageError(f"has {have} channel{'s' * (have > 1)}, and {channels} are expected")


def _open(content: bytes, pages: str = "") -> Image.Image | Values:
    """A file of one 8-bit picture as Pillow opens it, its pixels not read yet; any other as an array."""
    if not content:
        raise UnreadableImageError("the file is empty")
    if content.startswith(b"version https://git-lfs"):
        raise UnreadableImageError("a Git LFS pointer, not the image itself")
    if is_fits(content):
        return read_fits(content, pages)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(content))
    except Image.DecompressionBombError as error:
        raise UnreadableImageError(f"claims more than {MAX_VALUES:,} pixels, a decompression bomb") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, struct.error) as error:
        if is_tiff(content):
            return read_tiff(content, pages)
        said = "" if isinstance(error, UnidentifiedImageError) else f" ({' '.join(str(error).split())[:200]})"
        raise UnreadableImageError(f"not an image, or its header is broken{said}") from error
    pixels = image.width * image.height
    if pixels > MAX_VALUES:
        raise UnreadableImageError(f"claims {image.width}x{image.height} pixels, a decompression bomb")
    if image.format == "TIFF" and _is_scientific(image):
        return read_tiff(content, pages)
    check_memory(content, pixels * (1 if image.mode in ("1", "L") else 4))
    count = _frames(image)
    if count > 1 and image.format == "TIFF" and tiff_tells_pages(content):
        return read_tiff(content, pages)
    if count > 1:
        check_memory(content, 8 * pixels)  # a frame, the one before it, and what is made of them
        return _of_frames(image, count, pages)
    if pages.isdigit() and int(pages) > 1:
        raise UnreadableImageError(f"has 1 page; --pages says {pages}")
    if _bits(image, content) > 8:
        check_memory(content, pixels * (4 if len(image.getbands()) == 1 else 8))
        return turned(_deep(image, content), _orientation(image))
    return image


def _is_scientific(image: Image.Image) -> bool:
    """Whether a TIFF holds what Pillow would cut or drop: more than 8 bits, or channels without a meaning."""
    tags: Any = image.tag_v2  # type: ignore[attr-defined]
    bits = tags.get(258, (1,))
    deepest = max(bits) if isinstance(bits, tuple) else int(bits)
    return deepest > 8 or any(kind not in (1, 2) for kind in tags.get(338, ()))


def _frames(image: Image.Image) -> int:
    """How many pages or frames there are to choose from."""
    if image.format == "MPO":  # a phone's carries a preview after its one picture
        return 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            frames: int = getattr(image, "n_frames", 1)
    except Exception as error:  # counting frames walks the file, and a broken one fails in any way
        raise broken(error) from error
    return frames


def _of_frames(image: Image.Image, count: int, pages: str) -> Values:
    """The chosen of several 8-bit frames; grey if every one of them is."""

    def read(k: int) -> Values:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                image.seek(k)
        except Exception as error:  # a broken file fails in any way
            raise broken(error) from error
        return np.asarray(flat(_oriented(image)[0], "RGB"))

    values = choose_pages(pages, count, read)
    triples = values.reshape(*values.shape[:2], -1, 3)
    if all((triples[some] == triples[some, ..., :1]).all() for some in blocks(triples)):
        return np.ascontiguousarray(triples[..., 0])
    return values


def _deep(image: Image.Image, content: bytes) -> Values:
    """The array of a file of more than 8 bits that is no TIFF."""
    if image.format == "JPEG2000" and image.mode not in ("I;16", "I;16L", "I;16B"):
        try:
            return read_jpeg2000(content)
        except UnreadableImageError:
            raise
        except Exception as error:
            raise broken(error) from error
    if image.format == "PPM" and image.mode != "F":
        return read_netpbm(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if image.format == "PNG":
                return read_png(content, image)
            image.load()
            return narrowed(np.asarray(image)[:, :, None])
    except UnreadableImageError:
        raise
    except Exception as error:  # a decoder may fail in any way on a broken file
        raise broken(error) from error


def _bits(image: Image.Image, content: bytes) -> int:
    """Bits of a channel as stored: Pillow's mode hides them where it cuts to 8 by itself."""
    if image.format == "PNG":
        return content[24]  # IHDR
    if image.format == "PPM" and netpbm_maximum(content):
        return 16 if netpbm_maximum(content) > 255 else 8
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


def _orientation(image: Image.Image) -> int:
    """EXIF's orientation, 1 to 8; 1 where it says nothing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            orientation = image.getexif().get(0x0112, 1)
            return orientation if isinstance(orientation, int) else 1
    except Exception:  # broken EXIF says nothing
        return 1


def _exchanges_sides(image: Image.Image) -> bool:
    """Whether EXIF says that rows are shown as columns."""
    return _orientation(image) in (5, 6, 7, 8)


def _load(image: Image.Image) -> None:
    """Decode the pixels."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image.load()
    except Exception as error:  # a decoder may fail in any way on a broken file: struct, zlib, index...
        raise broken(error) from error


def _oriented(image: Image.Image) -> tuple[Image.Image, bool]:
    """Decode the pixels and turn them as EXIF says; and whether that exchanged the sides."""
    _load(image)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if _orientation(image) == 1:
                return image, False
            exchanged = _exchanges_sides(image)
            return ImageOps.exif_transpose(image), exchanged
    except Exception:  # broken EXIF says nothing about the pixels, which are whole
        return image, False


def _strips(image: Image.Image) -> Iterator[tuple[slice, Image.Image]]:
    """An image some rows at a time, so that what is made of it is not there all at once."""
    rows = max(1, _STRIP // image.width)
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        whole = top == 0 and bottom == image.height
        yield slice(top, bottom), image if whole else image.crop((0, top, image.width, bottom))


def _flat_array(image: Image.Image, mode: str) -> NDArray[np.uint8]:
    """What `flat` gives, as an array. -> (H, W, 1 or 3)."""
    pixels = np.empty((image.height, image.width, len(mode)), dtype=np.uint8)
    of_palette = image.mode == "P" and image.width * image.height > _STRIP
    for rows, strip in _strips(_opaque(image) if of_palette else image):
        shown = strip.convert("RGB").convert(mode) if of_palette else flat(strip, mode)
        pixels[rows] = np.asarray(shown).reshape(-1, image.width, len(mode))
    return pixels


def _colours(image: Image.Image) -> NDArray[np.uint8]:
    """What each index of a palette is shown as. -> (256, 3)."""
    every = image.crop((0, 0, 256, 1))
    every.putdata(range(256))
    colours: NDArray[np.uint8] = np.asarray(flat(every, "RGB"))[0]
    return colours


def _opaque(image: Image.Image) -> Image.Image:
    """An image of a palette whose colours are laid on white already."""
    opaque = image.copy()
    opaque.info.pop("transparency", None)
    opaque.putpalette(_colours(image).tobytes())
    return opaque


def is_grey(image: Image.Image) -> bool:
    """Whether an image is grey by its mode, or by every colour of its palette that it uses."""
    if image.mode in _GREY_MODES:
        return True
    if image.mode == "P":
        colours = _colours(image)[np.array(image.histogram()[:256]) > 0]
        return bool((colours == colours[:, :1]).all())
    if image.mode == "PA":
        strips = (np.asarray(flat(strip, "RGB")) for _, strip in _strips(image))
        return all((colours == colours[:, :, :1]).all() for colours in strips)
    return False


def flat(image: Image.Image, mode: str) -> Image.Image:
    """An opaque image of mode `L` or `RGB`."""
    if image.mode == mode and "transparency" not in image.info:
        return image
    if image.mode == "P" and image.width * image.height > _STRIP:
        return _opaque(image).convert("RGB").convert(mode)
    if image.width * image.height > _STRIP:
        whole = Image.new(mode, image.size)
        for rows, strip in _strips(image):
            whole.paste(flat(strip, mode), (0, rows.start))
        return whole
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
