"""What one image looks like: a hash, 32x32 grey values, and what its values say of themselves.

The hash is the difference hash: whether grey rises from one pixel to the next, in 8 rows of 9. Ours asks for
a rise of a tenth of the pixels' deviation: in a smooth sky mere noise would decide.

Images of 8 bits and 1 or 3 channels are decoded small where their format allows it. All others are decoded
whole; each channel is scaled by the one range of the set, never cut to 8 bits, and the channels are averaged
(three by luma).

Sources: N. Krawetz 2013, "Kind of Like That" (the difference hash); D. Donoho and I. Johnstone 1994, "Ideal
spatial adaptation by wavelet shrinkage" (noise by the median of the finest diagonal details).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightline.data._image_set import ImageSet
from sightline.data._pictures import display_range
from sightline.imaging import Depth, UnreadableImageError, Values, decode, decode_array, read_channels

THUMB = 32
"""Side of the grey pixels that candidates are verified on."""

Item = Path | tuple[Path, ...] | Values
"""What an image is read from: a file, one file a channel, or (C, H, W) as stored."""

_RISE = 0.1
_LUMA = np.array([299, 587, 114], dtype=np.float32) / 1000  # ITU-R 601
_MEDIAN_OF_NORMAL = 0.6745

_SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"), (b"\x89PNG\r\n\x1a\n", "PNG"), (b"GIF8", "GIF"), (b"BM", "BMP"),
    (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"), (b"II+\0", "TIFF"), (b"MM\0+", "TIFF"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"), (b"\xff\x4f\xff\x51", "JPEG 2000"), (b"SIMPLE  =", "FITS"),
    *((b"P%d" % i + space, "PNM") for i in range(1, 7) for space in (b"\n", b" ", b"\r", b"\t")),
    *((kind + space, "PFM") for kind in (b"PF", b"Pf") for space in (b"\n", b" ", b"\r", b"\t")),
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Way:
    """How the images of a set are read to be looked at."""

    channels: int
    depth: Depth
    pages: str
    value_range: tuple[tuple[float, float], ...] | None
    """For each channel, the values that become 0 and 255; None of 8 bits."""

    @classmethod
    def of(cls, images: ImageSet) -> Way:
        """That of a set; deeper values by the range they are shown in."""
        found = display_range(images)
        pairs = None if found is None else tuple((float(low), float(high)) for low, high in found)
        return cls(images.channels, images.depth, images.pages, pairs)

    @property
    def small(self) -> bool:
        """Whether images are looked at in 8 bits, as Pillow decodes them."""
        return self.depth == "uint8" and self.channels in (1, 3)


@dataclasses.dataclass(frozen=True, eq=False)
class Look:
    """What one image looks like."""

    hash: int
    """Of 64 bits."""
    thumb: NDArray[np.uint8] | NDArray[np.float32]
    """(32, 32) grey: 0 to 255, of deeper images by the set's range and beyond it."""
    largest: float
    """The largest value, as stored."""
    at_largest: float
    """The share of pixels with a channel at it; of 8 bits, with all of them at 255."""
    constant: int
    """Channels of one value, as bits: the first channel is the lowest."""
    bits: int
    """Bits that are set in any of the whole numbers of an image of 16 bits; else 0."""
    noise: float
    """Deviation that the pixels' noise leaves in a value of `thumb`; 0 of 8 bits, where nobody asks."""


def format_of(start: bytes) -> str:
    """The format that a file's first 16 bytes say; empty where they say none.

    Example:
        >>> format_of(b"GIF89a"), format_of(b"hello")
        ('GIF', '')
    """
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WEBP"
    return next((name for signature, name in _SIGNATURES if start.startswith(signature)), "")


def look_at(source: Image.Image) -> tuple[int, NDArray[np.uint8]]:
    """The 64-bit difference hash and the 32x32 grey pixels of an 8-bit image."""
    grey = source.convert("L")
    thumb = np.asarray(grey.resize((THUMB, THUMB), Image.Resampling.BOX), dtype=np.uint8)
    return _hash(grey.convert("F")), thumb


def look_at_values(values: Values, way: Way) -> Look:
    """The look of an image at its full depth.

    Args:
        values: (H, W, C), as stored.
        way: Of its set.
    """
    grey = _grey(values, way)
    flat = values.reshape(-1, values.shape[2])
    lowest, highest = flat.min(axis=0), flat.max(axis=0)
    largest = highest.max()
    whole = values.dtype == np.uint16
    small = Image.fromarray(grey)
    return Look(
        hash=_hash(small),
        thumb=np.asarray(small.resize((THUMB, THUMB), Image.Resampling.BOX)),
        largest=float(largest),
        at_largest=float((flat == largest).any(axis=1).mean()),
        constant=sum(1 << c for c in range(min(len(lowest), 62)) if lowest[c] == highest[c]),
        bits=int(np.bitwise_or.reduce(flat, axis=None)) if whole else 0,
        noise=_noise(grey, values, way),
    )


def read_look(item: Item, way: Way) -> tuple[str, Look | None]:
    """The format and the look of one image; no look where it cannot be read any more.

    Args:
        item: What it is read from.
        way: Of its set.
    """
    name = ""
    try:
        if isinstance(item, np.ndarray):
            if not way.small:
                return "", look_at_values(item.transpose(1, 2, 0), way)
            pixels = item[0] if len(item) == 1 else item.transpose(1, 2, 0)
            return "", _small_look(Image.fromarray(np.ascontiguousarray(pixels)))
        if isinstance(item, tuple):
            with item[0].open("rb") as file:
                name = format_of(file.read(16))
            return name, look_at_values(read_channels(item, way.depth, way.pages), way)
        content = item.read_bytes()
        name = format_of(content[:16])
        if way.small:
            return name, _small_look(decode(content, way.channels, (2 * THUMB, 2 * THUMB), way.pages))
        return name, look_at_values(decode_array(content, way.channels, way.depth, way.pages), way)
    except (OSError, UnreadableImageError):
        return name, None


def read_grey(item: Item, way: Way) -> NDArray[np.float32]:
    """An image whole, as grey from 0 to 255 in the set's range. -> (H, W).

    Args:
        item: What it is read from.
        way: Of its set.

    Raises:
        UnreadableImageError: if it cannot be read any more.
    """
    if isinstance(item, np.ndarray):
        return _grey(item.transpose(1, 2, 0), way)
    if isinstance(item, tuple):
        return _grey(read_channels(item, way.depth, way.pages), way)
    if way.small:
        return np.asarray(decode(item, 1, None, way.pages), dtype=np.float32)
    return _grey(decode_array(item, way.channels, way.depth, way.pages), way)


def _small_look(image: Image.Image) -> Look:
    """Of 8 bits: mode `L` or `RGB`."""
    bits, thumb = look_at(image)
    extremes = _extremes(image)
    largest = max(high for _, high in extremes)
    return Look(
        hash=bits,
        thumb=thumb,
        largest=float(largest),
        at_largest=_share_of_full(image) if largest == 255 else 0.0,
        constant=sum(1 << c for c, (low, high) in enumerate(extremes) if low == high),
        bits=0,
        noise=0.0,
    )


def _extremes(image: Image.Image) -> Sequence[tuple[int, int]]:
    found: Sequence[tuple[int, int]] = image.getextrema()  # type: ignore[assignment]
    return [found] if image.mode == "L" else found  # type: ignore[list-item]


def _share_of_full(image: Image.Image) -> float:
    """The share of pixels that are white."""
    values = np.asarray(image)
    full = values == 255
    return float(full.mean() if full.ndim == 2 else full.all(axis=2).mean())


def _hash(grey: Image.Image) -> int:
    """Of an image of mode `F`."""
    small = np.asarray(grey.resize((9, 8), Image.Resampling.BOX))
    bits = np.packbits(small[:, 1:] - small[:, :-1] > _RISE * small.std())
    return int.from_bytes(bits.tobytes())


def _grey(values: Values, way: Way) -> NDArray[np.float32]:
    """One value a pixel, 0 to 255 in the set's range; beyond it as far again, so that no hot pixel rules."""
    low, high = np.array(way.value_range or ((0.0, 255.0),) * values.shape[2], dtype=np.float64).T
    scaled = (values.astype(np.float32) - low.astype(np.float32)) * (255.0 / (high - low)).astype(np.float32)
    weights = _LUMA if values.shape[2] == 3 else np.full(values.shape[2], 1 / values.shape[2], np.float32)
    return np.ascontiguousarray(np.clip(scaled, -255.0, 510.0) @ weights)


def _noise(grey: NDArray[np.float32], values: Values, way: Way) -> float:
    """What noise and rounding of the pixels leave in a mean of as many as one value of a thumb has."""
    height, width = grey.shape[0] // 2 * 2, grey.shape[1] // 2 * 2
    a, b = grey[0:height:2, 0:width:2], grey[0:height:2, 1:width:2]
    c, d = grey[1:height:2, 0:width:2], grey[1:height:2, 1:width:2]
    details = np.abs(a - b - c + d) / 2
    noise = float(np.median(details)) / _MEDIAN_OF_NORMAL if details.size else 0.0
    if values.dtype.kind == "u":
        spans = [high - low for low, high in way.value_range or ((0.0, 255.0),)]
        noise = max(noise, 255.0 / min(spans) / np.sqrt(12.0))
    return float(noise / np.sqrt(max(1.0, grey.size / THUMB**2)))
