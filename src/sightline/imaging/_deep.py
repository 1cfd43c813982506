"""Files to arrays at their full depth: 16-bit and float, any number of channels, pages, FITS.

Stated rules, beside those of `_decode`: 9 to 16 bits are uint16 as stored (12 bits in 16 are not stretched);
signed and wider whole numbers are float32 where that keeps every value, and refused where not; doubles are
rounded to float32; values that are no numbers are refused. Channels are kept: only what a file calls alpha is
laid on white. FITS rows are kept as stored, the first row first.
"""

from __future__ import annotations

import importlib
import io
import logging
import math
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightline.base import ArgumentError
from sightline.imaging._faults import LackingExtraError, UnreadableImageError, broken

Depth = Literal["uint8", "uint16", "float32"]
"""How values of an image are kept: 8 bits; 9 to 16 bits; everything else."""

Values = NDArray[Any]
"""An array of one of the depths: uint8, uint16 or float32."""

PAGES = ("first", "max", "channels")
"""What may be said of files of several pages or frames, beside a number from 1."""

MAX_VALUES = 178_956_970
"""Pixels times channels of one image: Pillow's own limit of pixels, above which it may be a bomb."""

MAX_MEMORY = 950_000_000
"""Bytes that reading one file may take, its own among them."""

_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_FITS_START = b"SIMPLE  ="
_FITS_COUNT = re.compile(rb"(?:NAXIS  |ZNAXIS |TFIELDS) = *([0-9]{1,70})")
"""How many axes or columns there are: at most 999 by the standard (FITS 4.0, section 4.4.1)."""
_MIN_IS_WHITE, _MIN_IS_BLACK, _RGB, _PALETTE, _SEPARATED, _YCBCR, _CIELAB = 0, 1, 2, 3, 5, 6, 8
_ALPHA = {1: "associated", 2: "unassociated"}

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what it has to say, errors say by name


def is_tiff(content: bytes) -> bool:
    """Whether a file is a TIFF or a BigTIFF by its first bytes."""
    return content.startswith(_TIFF_STARTS)


def is_fits(content: bytes) -> bool:
    """Whether a file is a FITS file by its first bytes."""
    return content.startswith(_FITS_START)


def depth_of(values: NDArray[Any]) -> Depth:
    """The depth of an array that `narrowed` has made."""
    return {"uint8": "uint8", "uint16": "uint16"}.get(values.dtype.name, "float32")  # type: ignore[return-value]


def check_memory(content: bytes, decoded: int) -> None:
    """Refuse a file before more memory is taken than is allowed.

    Args:
        content: The file.
        decoded: Bytes of what it says it holds; half of what reading it takes.

    Raises:
        UnreadableImageError: if both together are over `MAX_MEMORY`.
    """
    needed = len(content) + 2 * decoded
    if needed > MAX_MEMORY:
        raise UnreadableImageError(
            f"takes {needed / 1e9:,.1f} GB to read, and {MAX_MEMORY / 1e9:g} are allowed: too large, or a "
            f"decompression bomb"
        )


def blocks(values: NDArray[Any]) -> Iterator[slice]:
    """Rows of an array some at a time, so that what is worked out on the way is never as large as all."""
    rows = max(1, (1 << 21) // max(1, math.prod(values.shape[1:])))
    return (slice(start, start + rows) for start in range(0, len(values), rows))


def narrowed(values: NDArray[Any]) -> Values:
    """An array as uint8, uint16 or float32, of which none loses a value but doubles, which are rounded.

    Raises:
        UnreadableImageError: if values are no numbers, or whole numbers that float32 does not hold.
    """
    kind, size = values.dtype.kind, values.dtype.itemsize
    if kind == "b":
        return values.astype(np.uint8) * np.uint8(255)
    if kind == "u" and size <= 2:
        return values.astype(f"u{size}", copy=False)  # in this machine's byte order
    if kind in "iu":
        kept = values.astype(np.float32)
        if not all((kept[some].astype(np.float64) == values[some]).all() for some in blocks(values)):
            raise UnreadableImageError(
                f"{8 * size}-bit whole numbers up to {int(values.max())}; float32 does not hold them all"
            )
        return kept
    if kind != "f":
        raise UnreadableImageError(f"values of type {values.dtype} are no image")
    with np.errstate(over="ignore", invalid="ignore"):
        kept = values.astype(np.float32, copy=False)
    bad = kept.size - sum(int(np.isfinite(kept[some]).sum()) for some in blocks(kept))
    if bad:
        raise UnreadableImageError(f"{bad} of {kept.size} values are no finite numbers (NaN, or too large)")
    return kept


def widened(values: Values) -> Values:
    """Values as a batch holds them: 16 bits as float32, which keeps each."""
    return values.astype(np.float32) if values.dtype == np.uint16 else values


def on_white(values: Values, alpha: Values, *, premultiplied: bool = False) -> Values:
    """An image of which some is transparent, laid on white.

    Args:
        values: (H, W, C), whole numbers.
        alpha: (H, W, 1), of the same type: none to full opacity.
        premultiplied: Whether `values` are multiplied by their opacity already.
    """
    white = float(np.iinfo(values.dtype).max)
    laid = np.empty_like(values)
    for some in blocks(values):
        share = alpha[some] / white
        own = values[some] if premultiplied else values[some] * share
        laid[some] = np.rint(np.minimum(own + white * (1 - share), white))
    return laid


def check_pages(pages: str) -> None:
    """Whether a choice of pages is one.

    Raises:
        ArgumentError: if it is not.
    """
    if pages and pages not in PAGES and not (pages.isascii() and pages.isdigit() and 0 < int(pages) < 10**9):
        raise ArgumentError(f"--pages is {pages!r}; allowed are {', '.join(PAGES)} or a number from 1")


def choose_pages(pages: str, count: int, read: Callable[[int], Values]) -> Values:
    """What `--pages` makes of a file of several pages or frames.

    Args:
        pages: `first`, `max`, `channels`, a number from 1; empty where nothing was said.
        count: How many there are.
        read: Gives one, (H, W, C), by its number from 0.

    Returns:
        (H, W, C), of `channels` (H, W, count * C).

    Raises:
        UnreadableImageError: if there are several and nothing was said, or there are fewer than said.
    """
    if pages.isdigit():
        if int(pages) > count:
            raise UnreadableImageError(f"has {count} page{'s' * (count > 1)}; --pages says {pages}")
        return read(int(pages) - 1)
    if count == 1 or pages == "first":
        return read(0)
    if not pages:
        raise UnreadableImageError(
            f"has {count} pages or frames; say which by --pages first, max, channels or a number"
        )
    result = read(0)
    if pages == "max" and result.size * count > 20 * MAX_VALUES:
        raise UnreadableImageError(f"{count} pages of {result.size} values are too many to go through")
    if pages == "channels":
        if result.size * count > MAX_VALUES or 2 * result.nbytes * count > MAX_MEMORY:
            raise UnreadableImageError(f"{count} pages of {result.size} values are too many for channels")
        parts = [result]
        for k in range(1, count):
            parts.append(_alike(read(k), result, k))
        return np.concatenate(parts, axis=2)
    result = result.copy()
    for k in range(1, count):
        np.maximum(result, _alike(read(k), result, k), out=result)
    return result


def _alike(page: Values, first: Values, k: int) -> Values:
    if page.shape != first.shape or page.dtype != first.dtype:
        raise UnreadableImageError(
            f"page {k + 1} is {page.shape[1]}x{page.shape[0]}x{page.shape[2]} {page.dtype}, the first "
            f"{first.shape[1]}x{first.shape[0]}x{first.shape[2]} {first.dtype}"
        )
    return page


def turned(values: Values, orientation: int) -> Values:
    """An array (H, W, C) as EXIF's orientation, 1 to 8, says it is to be looked at."""
    if orientation in (5, 6, 7, 8):
        values = values.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    return values


# -- TIFF ------------------------------------------------------------------------------------------------


def read_tiff(content: bytes, pages: str) -> Values:
    """A TIFF at its full depth, by tifffile. -> (H, W, C).

    Raises:
        UnreadableImageError: if it is broken, has pages and none is said, or is of a kind that is not read.
    """
    import tifffile

    _check_chain(content)
    try:
        with tifffile.TiffFile(io.BytesIO(content)) as file:
            return _read_tiff(file, content, pages)
    except UnreadableImageError:
        raise
    except Exception as error:  # a broken file fails in any way: struct, index, codec, memory
        lacking = str(error)
        if "imagecodecs" in lacking:
            raise needs_science("this TIFF's compression") from error
        raise broken(error) from error


def tiff_tells_pages(content: bytes) -> bool:
    """Whether a TIFF says of its pages which are channels, previews, or copies of a pyramid."""
    import tifffile

    try:
        _check_chain(content)
        with tifffile.TiffFile(io.BytesIO(content)) as file:
            described = bool(file.is_imagej or file.is_ome or file.is_shaped)
            return described or len(_full_pages(file)) < len(file.pages)
    except Exception:  # whoever reads it will say why
        return False


def _check_chain(content: bytes) -> None:
    """Whether a TIFF's pages end: each says where the next is, and tifffile may go round for ever.

    Source: TIFF 6.0, section 2; BigTIFF has wider offsets.
    """
    order: Literal["little", "big"] = "little" if content[:2] == b"II" else "big"
    offset, counts, entry, at = (8, 8, 20, 8) if 43 in content[2:4] else (4, 2, 12, 4)
    seen: set[int] = set()
    place = int.from_bytes(content[at : at + offset], order)
    while 0 < place < len(content):
        if place in seen:
            raise UnreadableImageError("broken (its pages go round in a circle)")
        seen.add(place)
        number = int.from_bytes(content[place : place + counts], order)
        after = place + counts + number * entry
        place = int.from_bytes(content[after : after + offset], order)


def _full_pages(file: Any) -> list[Any]:
    pages = [page.aspage() for page in file.pages]
    full = [page for page in pages if not int(page.subfiletype) & 1]
    return full or pages


def _read_tiff(file: Any, content: bytes, pages: str) -> Values:
    full = _full_pages(file)
    if not full:
        raise UnreadableImageError("a TIFF without a page")
    first = full[0]
    orientation = first.tags.get(274)
    turn = int(orientation.value) if orientation is not None and isinstance(orientation.value, int) else 1
    planes = _planes_of(file, full, content)
    if planes is not None:  # the file itself says which of its pages are channels
        count, per, read_plane = planes

        def read(k: int) -> Values:
            return np.concatenate([read_plane(k * per + c) for c in range(per)], axis=2)

        return turned(choose_pages(pages, count, read), turn)
    return turned(choose_pages(pages, len(full), lambda k: _page(full[k], content)), turn)


def _planes_of(file: Any, full: list[Any], content: bytes) -> tuple[int, int, Callable[[int], Values]] | None:
    """Of a file that names its axes: pages, channels a page, and what reads a plane by its number."""
    series = file.series[0] if file.series else None
    if series is None or not (file.is_imagej or file.is_ome or file.is_shaped) or len(series.shape) < 3:
        return None
    axes, shape = str(series.axes), tuple(series.shape)
    if set(axes) <= set("YXS"):  # one page, with samples
        return None
    order = [i for i, axis in enumerate(axes) if axis not in "CYXS"]
    channel = [i for i, axis in enumerate(axes) if axis == "C"]
    if not {"Y", "X"} <= set(axes) or ("S" in axes and channel):
        return None
    _check_values(math.prod(shape))
    _check_segments(full, None)
    check_memory(content, math.prod(shape) * _bytes_of(full[0]) + _segment_bytes(full[0]) // 2)
    array = series.asarray(maxworkers=1)
    rest = [axes.index("Y"), axes.index("X"), *(i for i, axis in enumerate(axes) if axis == "S")]
    array = array.transpose(*order, *channel, *rest)
    count = math.prod(shape[i] for i in order)
    per = math.prod(shape[i] for i in channel)
    planes = array.reshape(count * per, shape[rest[0]], shape[rest[1]], -1)
    return count, per, lambda k: _meant(planes[k], full[0])


def _check_values(count: int) -> None:
    if count > MAX_VALUES:
        raise UnreadableImageError(f"claims {count:,} values, more than {MAX_VALUES:,}")


def _bytes_of(page: Any) -> int:
    """Bytes of a value while it is read: what is wider than float32 is there beside it."""
    size = page.dtype.itemsize if page.dtype is not None else 1
    return int(size if size <= 2 or (page.dtype.kind == "f" and size == 4) else size + 4)


def _segment_bytes(page: Any) -> int:
    """Bytes of one strip or tile, which may claim to be larger than its page."""
    size: int = page.dtype.itemsize if page.dtype is not None else 1
    return size * int(math.prod(page.chunks))


def _check_segments(full: list[Any], content: bytes | None) -> None:
    """Whether every strip and tile lies in the file: tifffile fills what is missing with zeros."""
    for page in full:
        length = len(content) if content is not None else page.parent.filehandle.size
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
            if not count or offset + count > length:
                raise UnreadableImageError("broken or truncated (a strip or tile is missing)")
        if int(page.compression) == 1 and not page.is_tiled:
            needed = (page.size * page.bitspersample + 7) // 8
            if sum(page.databytecounts) < needed:
                raise UnreadableImageError("broken or truncated (too few bytes for its size)")


def _page(page: Any, content: bytes) -> Values:
    """One page: (H, W, C)."""
    _check_values(page.size)
    check_memory(content, page.size * _bytes_of(page) + _segment_bytes(page) // 2)
    _check_segments([page], content)
    values = page.asarray(maxworkers=1)
    axes = str(page.axes)
    extra = set(axes) - set("YXS")
    if extra or not {"Y", "X"} <= set(axes):
        raise UnreadableImageError(f"a TIFF page with axes {axes} is not read")
    return _meant(values[:, :, None] if "S" not in axes else np.moveaxis(values, axes.index("S"), 2), page)


def _meant(values: NDArray[Any], page: Any) -> Values:
    """The samples of a page (H, W, S) as grey, colour or channels (H, W, C)."""
    photometric = int(page.photometric)
    alphas = [int(kind) for kind in page.extrasamples or ()]
    if photometric == _MIN_IS_WHITE:
        values = _flipped(values, int(page.bitspersample))
    elif photometric == _PALETTE:
        values = _looked_up(values, page.colormap)
    elif photometric == _SEPARATED and values.shape[2] - len(alphas) == 4:
        values = _from_cmyk(narrowed(values))
    elif photometric not in (_MIN_IS_BLACK, _RGB, _SEPARATED) and not (
        photometric == _YCBCR and int(page.compression) in (6, 7)  # the JPEG codec gives RGB
    ):
        raise UnreadableImageError(
            f"a TIFF of {page.bitspersample} bits with photometric interpretation {photometric} is not read"
        )
    elif 1 < int(page.bitspersample) < 8 and values.dtype == np.uint8:
        values = np.rint(values * (255 / ((1 << int(page.bitspersample)) - 1))).astype(np.uint8)
    result = narrowed(values)
    if len(alphas) == 1 and alphas[0] in _ALPHA and result.shape[2] > 1 and result.dtype != np.float32:
        alpha, result = result[:, :, -1:], result[:, :, :-1]
        result = on_white(result, alpha, premultiplied=_ALPHA[alphas[0]] == "associated")
    return result


def _flipped(values: NDArray[Any], bits: int) -> NDArray[Any]:
    """Where 0 is white: turned so that 0 is black."""
    if values.dtype.kind == "b":
        return ~values
    if values.dtype.kind == "u":
        flipped: NDArray[Any] = np.subtract((1 << bits) - 1, values, dtype=values.dtype)
        return flipped
    raise UnreadableImageError(f"a TIFF of {values.dtype} whose 0 is white is not read")


def _looked_up(values: NDArray[Any], table: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Colours of a palette, which a TIFF keeps in 16 bits and means in 8."""
    colours = (table >> 8).astype(np.uint8).T  # 3 n -> n 3
    if int(values.max(initial=0)) >= len(colours):
        raise UnreadableImageError("broken or truncated (an index beyond its palette)")
    looked_up: NDArray[np.uint8] = colours[values[:, :, 0]]
    return looked_up


def _from_cmyk(values: Values) -> Values:
    """Cyan, magenta, yellow and black to RGB as Pillow does: what none of ink and black covers."""
    if values.dtype == np.float32:
        raise UnreadableImageError("CMYK in floating point is not read")
    full = float(np.iinfo(values.dtype).max)
    rgb = (full - values[:, :, :3]) * (full - values[:, :, 3:4]) / full
    return np.rint(rgb).astype(values.dtype)


# -- FITS ------------------------------------------------------------------------------------------------


def read_fits(content: bytes, pages: str) -> Values:
    """The first image of a FITS file, by astropy. -> (H, W, C).

    Raises:
        UnreadableImageError: if it is broken, holds no image, has planes and none is said, or astropy is
            not installed.
    """
    fits = _science("astropy.io.fits", "a FITS file")
    for card in _FITS_COUNT.finditer(content):
        if card.start() % 80 == 0 and int(card[1][:9]) > 999:  # astropy would count to it
            raise UnreadableImageError(f"broken ({card[0].split()[0].decode()} is over 999)")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with fits.open(io.BytesIO(content), memmap=False, lazy_load_hdus=True) as file:
                unit = next((u for u in file if u.is_image and len(u.shape) >= 2), None)
                if unit is None:
                    raise UnreadableImageError("a FITS file without an image")
                shape = unit.shape
                _check_values(math.prod(shape))
                check_memory(content, math.prod(shape) * 12)
                values = np.asarray(unit.data).reshape(-1, *shape[-2:])
    except UnreadableImageError:
        raise
    except Exception as error:  # a broken file fails in any way
        raise broken(error) from error
    if values.size != math.prod(shape) or not values.size:
        raise UnreadableImageError("broken or truncated (too few bytes for its size)")
    return choose_pages(pages, len(values), lambda k: narrowed(values[k])[:, :, None])


# -- others ----------------------------------------------------------------------------------------------


def read_png(content: bytes, image: Image.Image) -> Values:
    """A PNG of 16 bits, which Pillow cuts to 8 but for grey without alpha. -> (H, W, C) uint16."""
    colour = content[25]  # IHDR: 0 grey, 2 RGB, 4 grey and alpha, 6 RGBA
    transparent = image.info.get("transparency")
    if colour == 0:
        image.load()
        values = np.asarray(image).astype(np.uint16, copy=False)[:, :, None]
    else:
        codecs = _science("imagecodecs", "a 16-bit colour PNG")
        values = np.asarray(codecs.png_decode(content))
        values = values[:, :, None] if values.ndim == 2 else values
    if values.shape[2] in (2, 4):
        return on_white(values[:, :, :-1], values[:, :, -1:])
    if transparent is not None:
        clear = (values == np.asarray(transparent, dtype=np.uint16)).all(axis=2, keepdims=True)
        values = np.where(clear, np.uint16(65535), values)
    return values


def read_jpeg2000(content: bytes) -> Values:
    """A JPEG 2000 of more than 8 bits. -> (H, W, C)."""
    codecs = _science("imagecodecs", "a JPEG 2000 of more than 8 bits")
    values = np.asarray(codecs.jpeg2k_decode(content))
    return narrowed(values[:, :, None] if values.ndim == 2 else values)


_NETPBM = re.compile(rb"P([2356])" + rb"(?:\s|#[^\n]*\n)+(\d{1,9})" * 3 + rb"(?:#[^\n]*\n)?\s")


def netpbm_maximum(content: bytes) -> int:
    """The largest value that a PGM or PPM says it may hold; 0 where it is none."""
    header = _NETPBM.match(content[:4096])
    return int(header[4]) if header else 0


def read_netpbm(content: bytes) -> Values:
    """A PGM or PPM with values over 255, as stored: Pillow stretches them. -> (H, W, C) uint16."""
    header = _NETPBM.match(content[:4096])
    if header is None:
        raise UnreadableImageError("not an image, or its header is broken")
    kind, width, height, maximum = (int(group) for group in header.groups())
    channels = 3 if kind in (3, 6) else 1
    count = width * height * channels
    _check_values(count)
    check_memory(content, 2 * count)
    if not count or maximum > 65535:
        raise UnreadableImageError(f"not an image, or its header is broken ({width}x{height}, {maximum})")
    if kind in (5, 6):
        if len(content) - header.end() < 2 * count:
            raise UnreadableImageError("broken or truncated (too few bytes for its size)")
        values = np.frombuffer(content, dtype=">u2", count=count, offset=header.end())
    else:
        values = _words(content, header.end(), count)
    return values.reshape(height, width, channels).astype(np.uint16)


def _words(content: bytes, start: int, count: int) -> NDArray[np.uint16]:
    """The first values of a file that writes them in decimal."""
    check_memory(content, 3 * len(content))
    text = re.sub(rb"#[^\n]*", b"", content[start:])
    odd = re.search(rb"[^\d\s]", text)
    if odd:
        text = re.sub(rb"\d+$", b"", text[: odd.start()])  # what is no number is so from its start
    values = np.fromstring(text, dtype=np.float64, sep=" ") if text.strip() else np.empty(0)
    values = values[:count]
    if len(values) < count and odd:
        raise UnreadableImageError(f"broken: {odd[0].decode('latin-1')!a} is no value")
    if len(values) < count:
        raise UnreadableImageError("broken or truncated (too few values for its size)")
    if values.max() > 65535:
        raise UnreadableImageError(f"broken: {values.max():.0f} is no value")
    return values.astype(np.uint16)


def _science(module: str, what: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise needs_science(what) from error


def needs_science(what: str) -> LackingExtraError:
    """The error for a file that only the extra `science` reads."""
    return LackingExtraError(f"{what} is read by the extra: pip install 'sightline[science]'")
