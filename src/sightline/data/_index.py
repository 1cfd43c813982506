"""Reading every file of a folder once, and remembering what was read.

The index is keyed by relative path, size and modification time; a file that changed is read again. What it
holds of a file includes a digest of the bytes, so that anything derived from pixels is keyed by content.
Only what was read from bytes is kept: a refusal of the operating system may be over the next time. An index
of another format or another Pillow is not used, since they may say something else of the same bytes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import PIL

from sightline.base import StorageError, cache_folder, write_text
from sightline.imaging import ImageRecord, read_record
from sightline.machine import usable_cores, worker_pool

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many are done, how many there are."""

_FORMAT = 2
"""Of the index. Raise it with every change in what `read_record` says of a file, as when it reads more."""

_PARALLEL_FROM = 2_000
_CHUNK = 256


def read_records(root: Path, names: list[str], progress: Progress | None = None) -> list[ImageRecord]:
    """Read and decode every file, or recall it where size and modification time are as they were.

    Args:
        root: The folder.
        names: Paths relative to it.
        progress: Told how far it is.
    """
    path = (
        cache_folder("index")
        / f"{hashlib.blake2b(str(root.resolve()).encode(), digest_size=16).hexdigest()}.json"
    )
    known = _load(path)
    inside = os.path.join(root, "")  # noqa: PTH118  -- joining paths takes as long as all the rest here
    stamps = [_stamp(inside + name) for name in names]
    records: list[ImageRecord | None] = [
        known[name][1] if name in known and known[name][0] == stamp else None
        for name, stamp in zip(names, stamps, strict=True)
    ]
    missing = [i for i, record in enumerate(records) if record is None]
    for i, record in zip(missing, _read_all([root / names[i] for i in missing], progress), strict=True):
        records[i] = record
    complete = [record for record in records if record is not None]
    if any(complete[i].digest for i in missing):
        files = {
            name: [*stamp, *dataclasses.astuple(record)]
            for name, stamp, record in zip(names, stamps, complete, strict=True)
            if record.digest
        }
        index = {"format": _FORMAT, "pillow": PIL.__version__, "files": files}
        with contextlib.suppress(StorageError):  # a cache that cannot be written is only slower next time
            write_text(path, json.dumps(index, separators=(",", ":")))
    return complete


def _read_all(paths: list[Path], progress: Progress | None) -> Iterable[ImageRecord]:
    if len(paths) < _PARALLEL_FROM or usable_cores() == 1:
        yield from _counted(map(read_record, paths), len(paths), progress)
        return
    with worker_pool() as pool:
        yield from _counted(pool.map(read_record, paths, chunksize=_CHUNK), len(paths), progress)


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


def _load(path: Path) -> dict[str, tuple[tuple[int, int], ImageRecord]]:
    try:
        index = json.loads(path.read_text())
        if (index["format"], index["pillow"]) != (_FORMAT, PIL.__version__):
            return {}
        return {name: ((line[0], line[1]), ImageRecord(*line[2:])) for name, line in index["files"].items()}
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return {}
