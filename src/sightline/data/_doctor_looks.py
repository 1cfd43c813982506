"""What each image looks like, in a hash and 32x32 grey pixels; and which two look nearly the same.

The hash is the difference hash: whether grey rises from one pixel to the next, in 8 rows of 9. Ours asks for
a rise of a tenth of the pixels' deviation: in a smooth sky mere noise would decide. Pairs that share one of
its bands are candidates; a candidate is kept where few bits differ and the pixels agree, also where one image
is a slight crop of the other. Pairs are never joined into chains.

Source: N. Krawetz 2013, "Kind of Like That" (the difference hash).
"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightline.imaging import UnreadableImageError, decode
from sightline.machine import START_METHOD, serve_parent, starting_workers, usable_cores

THUMB = 32
"""Side of the grey pixels that candidates are verified on."""

MAX_BITS = 10
"""The most bits of 64 in which two hashes of a near pair differ."""

MIN_AGREEMENT = 0.955
"""The least correlation of the pixels of a near pair. Unlike photographs of flowers reach 0.951."""

STRICT_AGREEMENT = 0.995
"""The same, where images of a set are alike by nature."""

_ALIKE_FROM, _ALIKE_BY_NATURE, _MANY_TWINS = 50, 0.1, 5
"""The strict bound holds from so many images, if more than this share have a near twin, and of those the mean
has more than so many: copies come in pairs, likeness does not."""

_RISE = 0.1
_WORTH_ALIGNING = 0.7
_MAX_ALIGNED, _ALIGNED_EACH = 2_000, 3
"""Candidates, in all or an image, above which crops are not tried: images so alike give no answer."""
_PARALLEL_FROM = 500
_CHUNK = 64
_MAX_PROCESSES = 2
_MAX_BUCKET = 1_000
"""Images of one band; of more, the rest is compared by the other bands alone."""
_MAX_CANDIDATES = 1_000_000
_SMALL_BITS = 4
"""As `MAX_BITS`, where images are small and must agree almost exactly."""
_FINE_BANDS_FROM = 100_000
_AT_ONCE = 4_096

_SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"), (b"\x89PNG\r\n\x1a\n", "PNG"), (b"GIF8", "GIF"), (b"BM", "BMP"),
    (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"), (b"II+\0", "TIFF"), (b"MM\0+", "TIFF"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"), (b"\xff\x4f\xff\x51", "JPEG 2000"),
    *((b"P%d" % i + space, "PNM") for i in range(1, 7) for space in (b"\n", b" ", b"\r", b"\t")),
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Looks:
    """What N images look like, in columns."""

    hashes: NDArray[np.uint64]
    """(N,) difference hashes."""
    thumbs: NDArray[np.uint8]
    """(N, 32, 32) grey, on disk rather than in memory."""
    means: NDArray[np.float64]
    """(N,) mean grey, 0 to 255; NaN where the file could not be read."""
    deviations: NDArray[np.float64]
    """(N,) of the 32x32 pixels."""
    formats: list[str]
    """By the file's first bytes; empty where unknown."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class NearPairs:
    """Images that are nearly the same."""

    pairs: list[tuple[int, int, float]]
    """Two indices, the lower first, and how well the pixels agree, at most 1; the best first."""
    strict: bool
    """Whether the images are small or alike by nature, and the strict bound was used."""
    skipped: int
    """Comparisons left out, of images that share a band with very many."""


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
    """The 64-bit difference hash and the 32x32 grey pixels of an image."""
    grey = source.convert("L")
    small = np.asarray(grey.convert("F").resize((9, 8), Image.Resampling.BOX))
    bits = np.packbits(small[:, 1:] - small[:, :-1] > _RISE * small.std())
    thumb = np.asarray(grey.resize((THUMB, THUMB), Image.Resampling.BOX), dtype=np.uint8)
    return int.from_bytes(bits.tobytes()), thumb


def look_at_all(
    items: Iterable[Path | NDArray[np.uint8]], total: int, told: Callable[[int], None] | None = None
) -> Looks:
    """Look at every image once; a file that cannot be read has mean NaN.

    Args:
        items: Files, or (C, H, W) pixels.
        total: How many.
        told: Called with how many are done.
    """
    looks = Looks(
        hashes=np.zeros(total, dtype=np.uint64),
        thumbs=_on_disk((total, THUMB, THUMB)),
        means=np.full(total, np.nan),
        deviations=np.zeros(total),
        formats=[""] * total,
    )
    with _mapped(items, total) as found:
        for i, (name, look) in enumerate(found):
            looks.formats[i] = name
            if look is not None:
                looks.hashes[i], looks.thumbs[i] = look
                looks.means[i], looks.deviations[i] = look[1].mean(), look[1].std()
            if told is not None and ((i + 1) % _CHUNK == 0 or i + 1 == total):
                told(i + 1)
    return looks


def near_pairs(looks: Looks, wanted: NDArray[np.bool_], *, small: bool = False) -> NearPairs:
    """Pairs of images that are nearly the same: resized, saved again, brighter, slightly cropped.

    Args:
        looks: Of N images.
        wanted: (N,) which are compared; leave out what is of one colour, which agrees with anything.
        small: Whether the images are smaller than what they are compared at, so that the strict bound holds.
    """
    indices = np.flatnonzero(wanted)
    pairs: list[tuple[int, int, float]] = []
    candidates, skipped = _candidates(looks.hashes[indices], _SMALL_BITS if small else MAX_BITS)
    aligned = len(candidates) <= max(_MAX_ALIGNED, _ALIGNED_EACH * len(indices))
    for start in range(0, len(candidates), _AT_ONCE):
        part = indices[candidates[start : start + _AT_ONCE]]
        agreement = _agreements(looks.thumbs, part, aligned)
        kept = agreement >= MIN_AGREEMENT
        pairs += zip(*part[kept].T.tolist(), agreement[kept].tolist(), strict=True)
    twins = {i for one, two, _ in pairs for i in (one, two)}
    alike = len(twins) > _ALIKE_BY_NATURE * len(indices) and 2 * len(pairs) > _MANY_TWINS * len(twins)
    strict = small or (len(indices) >= _ALIKE_FROM and alike)
    if strict:
        pairs = [pair for pair in pairs if pair[2] >= STRICT_AGREEMENT]
    pairs.sort(key=lambda pair: (-pair[2], pair[0], pair[1]))
    return NearPairs(pairs=pairs, strict=strict, skipped=skipped)


def _candidates(hashes: NDArray[np.uint64], most_bits: int = MAX_BITS) -> tuple[NDArray[np.int64], int]:
    """Pairs that share a band and differ in few bits. -> (P, 2), sorted; and how many were left out."""
    width = 16 if len(hashes) >= _FINE_BANDS_FROM else 8
    mask = np.uint64((1 << width) - 1)
    found = [np.empty((0, 2), dtype=np.int64)]
    skipped = total = 0
    for shift in range(0, 64, width):
        band = (hashes >> np.uint64(shift)) & mask
        order = np.argsort(band, kind="stable")
        for bucket in np.split(order, np.flatnonzero(np.diff(band[order])) + 1):
            members = np.sort(bucket[:_MAX_BUCKET])
            skipped += (len(bucket) * (len(bucket) - 1) - len(members) * (len(members) - 1)) // 2
            if len(members) < 2:
                continue
            apart = hashes[members, None] ^ hashes[members]
            one, two = np.nonzero(np.triu(np.bitwise_count(apart) <= most_bits, k=1))
            between, new = apart[one, two], np.ones(len(one), dtype=bool)
            for earlier in range(0, shift, width):  # a pair counts in the first band it shares
                new &= (between >> np.uint64(earlier)) & mask != 0
            pairs = np.stack([members[one[new]], members[two[new]]], axis=1)
            kept = pairs[: max(0, _MAX_CANDIDATES - total)]
            skipped += len(pairs) - len(kept)
            total += len(kept)
            found.append(kept)
    candidates = np.concatenate(found)
    return candidates[np.lexsort((candidates[:, 1], candidates[:, 0]))], skipped


def _agreements(thumbs: NDArray[np.uint8], pairs: NDArray[np.int64], aligned: bool) -> NDArray[np.float64]:
    """Correlation of the pixels of each pair; the best over slight crops where it may help. -> (P,)."""
    one, two = thumbs[pairs[:, 0]].astype(np.float32), thumbs[pairs[:, 1]].astype(np.float32)
    best = (_standard(one) * _standard(two)).sum(axis=1)
    unsure = (best >= _WORTH_ALIGNING) & (best < MIN_AGREEMENT)
    if aligned and unsure.any():
        a, b = one[unsure], two[unsure]
        tried = [best[unsure]]
        for rows in _CROPS:
            for columns in _CROPS:
                tried.append((_standard(rows @ a @ columns.T) * _standard(b)).sum(axis=1))
                tried.append((_standard(rows @ b @ columns.T) * _standard(a)).sum(axis=1))
        best[unsure] = np.max(tried, axis=0)
    return np.asarray(best, dtype=np.float64)


def _crop_matrix(first: float, length: float) -> NDArray[np.float32]:
    """(32, 32): takes a line of pixels to what a crop of it, scaled back, would be (linear)."""
    at = np.clip(first + (np.arange(THUMB) + 0.5) * length / THUMB - 0.5, 0, THUMB - 1)
    low = np.minimum(at.astype(int), THUMB - 2)
    matrix = np.zeros((THUMB, THUMB), dtype=np.float32)
    matrix[np.arange(THUMB), low] = 1 - (at - low)
    matrix[np.arange(THUMB), low + 1] = at - low
    return matrix


_CROPS = [
    _crop_matrix(THUMB * cut * place, THUMB * (1 - cut))
    for cut, places in ((0.0, (0.0,)), (0.03, (0.0, 0.5, 1.0)), (0.06, (0.0, 0.5, 1.0)))
    for place in places
]


def _standard(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each image as a vector of mean 0 and length 1, so that a product is a correlation. -> (P, 1024)."""
    flat = images.reshape(len(images), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(flat / np.maximum(norms, 1e-6), dtype=np.float32)


Found = tuple[str, tuple[int, NDArray[np.uint8]] | None]


def _look(item: Path | NDArray[np.uint8]) -> Found:
    """The format and the look of one image; None where it cannot be read."""
    if isinstance(item, np.ndarray):
        pixels = item[0] if len(item) == 1 else item.transpose(1, 2, 0)
        return "", look_at(Image.fromarray(pixels))
    try:
        content = item.read_bytes()
    except OSError:
        return "", None
    name = format_of(content[:16])
    try:
        return name, look_at(decode(content, 1, (2 * THUMB, 2 * THUMB)))
    except UnreadableImageError:
        return name, None


@contextlib.contextmanager
def _mapped(items: Iterable[Path | NDArray[np.uint8]], total: int) -> Iterator[Iterable[Found]]:
    """Looks in order, by two processes where there are many images and two cores."""
    processes = min(_MAX_PROCESSES, usable_cores())
    if total < _PARALLEL_FROM or processes == 1:
        yield map(_look, items)
        return
    with starting_workers():
        pool = ProcessPoolExecutor(processes, mp_context=get_context(START_METHOD), initializer=serve_parent)
        try:
            yield _streamed(pool, iter(items))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _streamed(pool: ProcessPoolExecutor, items: Iterator[Path | NDArray[np.uint8]]) -> Iterator[Found]:
    """As `pool.map`, with few chunks under way, so that a million files are not queued at once."""
    under_way: deque[Future[list[Found]]] = deque()
    while True:
        while len(under_way) < 4 * _MAX_PROCESSES and (chunk := list(islice(items, _CHUNK))):
            under_way.append(pool.submit(_look_at_chunk, chunk))
        if not under_way:
            return
        yield from under_way.popleft().result()


def _look_at_chunk(items: list[Path | NDArray[np.uint8]]) -> list[Found]:
    return [_look(item) for item in items]


def _on_disk(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Zeros in a file without a name, which goes with the array."""
    with tempfile.TemporaryFile() as file:
        file.truncate(max(1, int(np.prod(shape))))
        return np.memmap(file, dtype=np.uint8, mode="r+", shape=shape)
