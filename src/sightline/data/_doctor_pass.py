"""Looking at every image of a set once, and remembering what was seen.

What was seen is kept by content: under the digests of all images, and how they were read. A set in which a
file changed is looked at again as a whole.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import tempfile
import time
import zipfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from numpy.typing import NDArray

from sightline.base import StorageError, cache_folder, write_with
from sightline.data._doctor_look import THUMB, Item, Look, Way, read_look
from sightline.data._image_set import ImageSet
from sightline.data._index import Progress
from sightline.machine import START_METHOD, serve_parent, starting_workers, usable_cores

_FORMAT = 1
"""Of what is kept. Raise it with every change in what a look is."""

_MAX_KEPT = 256_000_000
"""Bytes of grey pixels above which nothing is kept."""

_PARALLEL_FROM = 500
_CHUNK = 64
_MAX_PROCESSES = 2
_TRIED_SECONDS = 1.0
"""After so long it is foreseen how long all will take."""

Thumbs = NDArray[np.uint8] | NDArray[np.float32]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Looks:
    """What N images look like, in columns."""

    hashes: NDArray[np.uint64]
    """(N,) difference hashes."""
    thumbs: Thumbs
    """(N, 32, 32) grey, on disk rather than in memory; float32 of images of other than 8 bits and 1 or 3
    channels."""
    means: NDArray[np.float64]
    """(N,) mean grey, 0 to 255 in the set's range; NaN where the file could not be read."""
    deviations: NDArray[np.float64]
    """(N,) of the 32x32 pixels."""
    formats: list[str]
    """By the file's first bytes; empty where unknown."""
    sizes: NDArray[np.int32]
    """(N, 2) height and width."""
    largest: NDArray[np.float64]
    """(N,) and the next: as of `Look`."""
    at_largest: NDArray[np.float64]
    constant: NDArray[np.int64]
    bits: NDArray[np.int64]
    noises: NDArray[np.float64]

    @classmethod
    def blank(cls, sizes: NDArray[np.int32], kind: type[np.generic]) -> Looks:
        """Of images that were not looked at yet."""
        total = len(sizes)
        return cls(
            hashes=np.zeros(total, dtype=np.uint64),
            thumbs=_on_disk((total, THUMB, THUMB), kind),
            means=np.full(total, np.nan),
            deviations=np.zeros(total),
            formats=[""] * total,
            sizes=sizes,
            largest=np.full(total, np.nan),
            at_largest=np.zeros(total),
            constant=np.zeros(total, dtype=np.int64),
            bits=np.zeros(total, dtype=np.int64),
            noises=np.zeros(total),
        )

    def put(self, index: int, name: str, look: Look | None) -> None:
        """Keep what one image looks like."""
        self.formats[index] = name
        if look is None:
            return
        self.hashes[index], self.thumbs[index] = look.hash, look.thumb
        self.means[index] = np.clip(look.thumb, 0, 255).mean()
        self.deviations[index] = look.thumb.std()
        self.largest[index], self.at_largest[index] = look.largest, look.at_largest
        self.constant[index], self.bits[index] = look.constant, look.bits
        self.noises[index] = look.noise


def look_at_set(
    images: ImageSet, progress: Progress | None = None, seconds: float | None = None
) -> Looks | None:
    """Look at every image of a set, or recall it where the contents are as they were.

    Args:
        images: The set.
        progress: Told how far it is.
        seconds: How long it may take; None for as long as it takes.

    Returns:
        None where it would have taken longer.
    """
    way = Way.of(images)
    path = cache_folder("looks") / f"{_key(images, way)}.npz"
    known = _load(path, images)
    if known is not None:
        return known
    total = len(images)
    looks = Looks.blank(images.sizes, np.uint8 if way.small else np.float32)
    began = time.monotonic()
    with _mapped(images, way) as found:
        for i, (name, look) in enumerate(found):
            looks.put(i, name, look)
            if (i + 1) % _CHUNK and i + 1 < total:
                continue
            passed = time.monotonic() - began
            if seconds is not None and passed > _TRIED_SECONDS and passed * total > seconds * (i + 1):
                return None
            if progress is not None:
                progress("comparing images", i + 1, total)
    if looks.thumbs.nbytes <= _MAX_KEPT and not np.isnan(looks.means).any():
        with contextlib.suppress(StorageError):  # a cache that cannot be written is only slower next time
            _save(path, looks)
    return looks


def _key(images: ImageSet, way: Way) -> str:
    said = hashlib.blake2b(repr((_FORMAT, PIL.__version__, way)).encode(), digest_size=16)
    for digest in images.digests:
        said.update(digest.encode() + b"\0")
    return said.hexdigest()


_COLUMNS = (
    "hashes", "thumbs", "means", "deviations", "largest", "at_largest", "constant", "bits", "noises"
)  # fmt: skip


def _save(path: Path, looks: Looks) -> None:
    columns: dict[str, Any] = {name: getattr(looks, name) for name in _COLUMNS}
    columns["formats"] = np.array([*looks.formats, "JPEG 2000"])  # wide enough, whatever there is

    def write(partial: Path) -> None:
        with partial.open("wb") as file:
            np.savez(file, **columns)

    write_with(path, write)


def _load(path: Path, images: ImageSet) -> Looks | None:
    """What was kept; None where there is nothing, or it cannot be used."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            columns: dict[str, Any] = {name: kept[name] for name in _COLUMNS}
            formats = kept["formats"].tolist()[:-1]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    if {len(formats), *map(len, columns.values())} != {len(images)}:
        return None
    return Looks(**columns, formats=formats, sizes=images.sizes)


def _items(images: ImageSet) -> Iterator[Item]:
    return iter(images.pixels) if images.pixels is not None else map(images.source_of, range(len(images)))


Found = tuple[str, Look | None]


@contextlib.contextmanager
def _mapped(images: ImageSet, way: Way) -> Iterator[Iterator[Found]]:
    """Looks in order, by two processes where there are many images and two cores."""
    processes = min(_MAX_PROCESSES, usable_cores())
    items = _items(images)
    if len(images) < _PARALLEL_FROM or processes == 1:
        yield (read_look(item, way) for item in items)
        return
    with starting_workers():
        pool = ProcessPoolExecutor(processes, mp_context=get_context(START_METHOD), initializer=serve_parent)
        try:
            yield _streamed(pool, items, way)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _streamed(pool: ProcessPoolExecutor, items: Iterator[Item], way: Way) -> Iterator[Found]:
    """As `pool.map`, with few chunks under way, so that a million files are not queued at once."""
    look = functools.partial(_look_at_chunk, way)
    under_way: deque[Future[list[Found]]] = deque()
    while True:
        while len(under_way) < 4 * _MAX_PROCESSES and (chunk := list(islice(items, _CHUNK))):
            under_way.append(pool.submit(look, chunk))
        if not under_way:
            return
        yield from under_way.popleft().result()


def _look_at_chunk(way: Way, items: list[Item]) -> list[Found]:
    return [read_look(item, way) for item in items]


def _on_disk(shape: tuple[int, ...], kind: type[np.generic]) -> NDArray[Any]:
    """Zeros in a file without a name, which goes with the array."""
    with tempfile.TemporaryFile() as file:
        file.truncate(max(1, int(np.prod(shape)) * np.dtype(kind).itemsize))
        return np.memmap(file, dtype=kind, mode="r+", shape=shape)
