"""Reading every file of a folder once, and remembering what was read.

The index is keyed by relative path, size and modification time; a file that changed is read again. What it
holds of a file includes a digest of the bytes, so that anything derived from pixels is keyed by content. It
is one JSON object of columns, which is read several times faster than one line a file.
Only what was read from bytes is kept: a refusal of the operating system may be over the next time. An index
of another format or another Pillow is not used, since they may say something else of the same bytes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from numpy.typing import NDArray

from sightline.base import StorageError, cache_folder, write_text
from sightline.imaging import Depth, ImageRecord, read_record
from sightline.machine import usable_cores, worker_pool

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many are done, how many there are."""

_FORMAT = 4
"""Of the index. Raise it with every change in what `read_record` says of a file, as when it reads more."""

_COLUMNS = (
    "names", "bytes", "modified_ns", "heights", "widths", "channels", "depths", "digests", "errors"
)  # fmt: skip
"""Of the index, each with one entry a file."""

DEPTHS: tuple[Depth, ...] = ("uint8", "uint16", "float32")
"""How values may be kept, from the least."""

_PARALLEL_FROM = 2_000
_CHUNK = 256


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Records:
    """What full reads of N files told: as `ImageRecord`, in columns."""

    sizes: NDArray[np.int32]
    """(N, 2): height and width in pixels, after EXIF orientation; 0 where unreadable."""
    channels: NDArray[np.int32]
    """(N,) 1 for grey, 3 for colour, or as many as there are; 0 where unreadable."""
    depths: NDArray[np.int8]
    """(N,) places in `DEPTHS`."""
    digests: list[str]
    """Of each file's bytes; empty where the machine, not the file, is at fault."""
    errors: list[str]
    """Why each file cannot be read; empty where it can."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Index:
    """Files that were read, what they were like then, and what they told."""

    names: list[str]
    stamps: NDArray[np.int64]
    """(N, 2): size in bytes, and modification time in nanoseconds."""
    records: Records


def read_records(
    root: Path,
    names: list[str],
    progress: Progress | None = None,
    *,
    listed_in: Path | None = None,
    pages: str = "",
) -> Records:
    """Read and decode every file, or recall it where size and modification time are as they were.

    Args:
        root: The folder.
        names: Paths relative to it; unique.
        progress: Told how far it is.
        listed_in: The file that lists them, if one does: it has an index of its own.
        pages: Of files of several pages or frames, as of `decode_array`; each has an index of its own.

    Returns:
        One entry a file, in the order of `names`.
    """
    of = str((listed_in or root).resolve())
    key = os.fsencode(of) + (f"\0{pages}".encode() if pages else b"")
    path = cache_folder("index") / f"{hashlib.blake2b(key, digest_size=16).hexdigest()}.json"
    inside = os.path.join(root, "")  # noqa: PTH118  -- joining paths takes as long as all the rest here
    stamps = np.array([_stamp(inside + name) for name in names], dtype=np.int64).reshape(-1, 2)
    known = _load(path)
    row_of = {name: row for row, name in enumerate(known.names)}
    rows = np.array([row_of.get(name, -1) for name in names], dtype=np.int64)
    recalled = np.flatnonzero(rows >= 0)
    recalled = recalled[(known.stamps[rows[recalled]] == stamps[recalled]).all(axis=1)]
    missing = np.delete(np.arange(len(names)), recalled).tolist()
    read = list(_read_all([root / names[i] for i in missing], pages, progress))
    index = _Index(
        names=names,
        stamps=stamps,
        records=_merged(known.records, rows[recalled], recalled, read, missing),
    )
    if any(record.digest for record in read):
        with contextlib.suppress(StorageError):  # a cache that cannot be written is only slower next time
            _save(path, index)
    return index.records


def _merged(
    known: Records,
    rows: NDArray[np.int64],
    recalled: NDArray[np.int64],
    read: list[ImageRecord],
    missing: list[int],
) -> Records:
    """One entry a file: at `recalled` what `known` has in `rows`, at `missing` what was read."""
    total = len(recalled) + len(missing)
    sizes = np.zeros((total, 2), dtype=np.int32)
    channels = np.zeros(total, dtype=np.int32)
    depths = np.zeros(total, dtype=np.int8)
    digests, errors = [""] * total, [""] * total
    sizes[recalled], channels[recalled] = known.sizes[rows], known.channels[rows]
    depths[recalled] = known.depths[rows]
    for i, row in zip(recalled.tolist(), rows.tolist(), strict=True):
        digests[i], errors[i] = known.digests[row], known.errors[row]
    for i, record in zip(missing, read, strict=True):
        sizes[i], channels[i] = (record.height, record.width), record.channels
        depths[i] = DEPTHS.index(record.depth)
        digests[i], errors[i] = record.digest, record.error
    return Records(sizes=sizes, channels=channels, depths=depths, digests=digests, errors=errors)


def _read_all(paths: list[Path], pages: str, progress: Progress | None) -> Iterable[ImageRecord]:
    read = functools.partial(read_record, pages=pages)
    if len(paths) < _PARALLEL_FROM or usable_cores() == 1:
        yield from _counted(map(read, paths), len(paths), progress)
        return
    with worker_pool() as pool:
        yield from _counted(pool.map(read, paths, chunksize=_CHUNK), len(paths), progress)


def _counted(records: Iterable[ImageRecord], total: int, progress: Progress | None) -> Iterable[ImageRecord]:
    for done, record in enumerate(records, start=1):
        if progress is not None and (done % _CHUNK == 0 or done == total):
            progress("reading images", done, total)
        yield record


def _stamp(path: str) -> tuple[int, int]:
    try:
        status = os.stat(path)  # noqa: PTH116  -- a third of the time of Path.stat, 70,000 times
    except OSError:
        return (-1, -1)
    return (status.st_size, status.st_mtime_ns)


def _save(path: Path, index: _Index) -> None:
    """Write the files whose bytes were read, one list a column."""
    records = index.records
    kept = [i for i, digest in enumerate(records.digests) if digest]
    columns: tuple[list[Any], ...] = (
        [index.names[i] for i in kept],
        index.stamps[kept, 0].tolist(),
        index.stamps[kept, 1].tolist(),
        records.sizes[kept, 0].tolist(),
        records.sizes[kept, 1].tolist(),
        records.channels[kept].tolist(),
        records.depths[kept].tolist(),
        [records.digests[i] for i in kept],
        [records.errors[i] for i in kept],
    )
    content = {"format": _FORMAT, "pillow": PIL.__version__, **dict(zip(_COLUMNS, columns, strict=True))}
    write_text(path, json.dumps(content, separators=(",", ":")))


def _load(path: Path) -> _Index:
    """The index as it was written; without files where there is none, or it cannot be used."""
    try:
        return _parsed(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError, LookupError, OverflowError):
        nothing: dict[str, list[Any]] = {column: [] for column in _COLUMNS}
        return _parsed({"format": _FORMAT, "pillow": PIL.__version__, **nothing})


def _parsed(content: dict[str, Any]) -> _Index:
    """Raises ValueError, TypeError, LookupError or OverflowError for an index that cannot be used."""
    if (content["format"], content["pillow"]) != (_FORMAT, PIL.__version__):
        raise ValueError("of another version")
    columns = [content[column] for column in _COLUMNS]
    if len({len(column) for column in columns}) != 1:
        raise ValueError("columns of different lengths")
    names, file_sizes, modified, heights, widths, channels, depths, digests, errors = columns
    return _Index(
        names=names,
        stamps=np.array([file_sizes, modified], dtype=np.int64).T,
        records=Records(
            sizes=np.array([heights, widths], dtype=np.int32).T,
            channels=np.array(channels, dtype=np.int32),
            depths=np.array(depths, dtype=np.int8),
            digests=digests,
            errors=errors,
        ),
    )
