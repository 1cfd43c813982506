"""Reading every file of a folder once, and remembering what was read.

The index is keyed by relative path, size and modification time; a file that changed is read again. What it
holds of a file includes a digest of the bytes, so that anything derived from pixels is keyed by content. It
is a zip of NumPy arrays, one row a file, 45 bytes and the name: of a million files it is there in a blink.
Only what was read from bytes is kept: a refusal of the operating system may be over the next time. An index
of another format or another Pillow is not used, since they may say something else of the same bytes.
Reading that is interrupted keeps what it read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from numpy.typing import NDArray

from sightline.base import StorageError, cache_folder, write_with
from sightline.data._ahead import CHUNK, PARALLEL_FROM, mapped
from sightline.data._columns import Digests, Texts
from sightline.imaging import Depth, ImageRecord, read_record

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many are done, how many there are."""

LONG = 20_000
"""So many files are looked at, without reading them, for long enough to say how far it is."""

_FORMAT = 5
"""Of the index. Raise it with every change in what `read_record` says of a file, as when it reads more."""

DEPTHS: tuple[Depth, ...] = ("uint8", "uint16", "float32")
"""How values may be kept, from the least."""

_STAMP = [("bytes", "<i8"), ("modified_ns", "<i8")]
_TOLD = [("height", "<i4"), ("width", "<i4"), ("channels", "<i4"), ("depth", "i1"), ("digest", "u1", (16,))]
_FACTS = np.dtype([*_STAMP, *_TOLD])
"""What is kept of a file: what it was like, and what it told. A digest of zeros is none."""

_PARALLEL_FROM = PARALLEL_FROM

Facts = NDArray[np.void]
"""(N,) of `_FACTS`."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Records:
    """What full reads of N files told: as `ImageRecord`, in columns."""

    sizes: NDArray[np.int32]
    """(N, 2): height and width in pixels, after EXIF orientation; 0 where unreadable."""
    channels: NDArray[np.int32]
    """(N,) 1 for grey, 3 for colour, or as many as there are; 0 where unreadable."""
    depths: NDArray[np.int8]
    """(N,) places in `DEPTHS`."""
    digests: Sequence[str]
    """Of each file's bytes; empty where the machine, not the file, is at fault."""
    errors: Sequence[str]
    """Why each file cannot be read; empty where it can."""


@dataclasses.dataclass(frozen=True, eq=False)
class _Index:
    """Files that were read, what they were like then, and what they told."""

    names: Texts
    facts: Facts
    errors: dict[int, str]
    """Why files cannot be read, by row."""


def read_records(
    root: Path,
    names: Sequence[str],
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
    path = cache_folder("index") / f"{hashlib.blake2b(key, digest_size=16).hexdigest()}.npz"
    inside = os.path.join(root, "")  # noqa: PTH118  -- joining paths takes as long as all the rest here
    names = Texts.of(names)
    stamps = _stamps(inside, names, progress)
    index, missing = _recalled(_load(path), names, stamps)
    if len(missing):
        try:
            _read(index, missing, inside, pages, progress)
        finally:  # an interrupted reading goes on from here the next time
            if index.facts["digest"][missing].any():
                with contextlib.suppress(StorageError):  # without a cache it is only slower next time
                    _save(path, index)
    facts = index.facts
    errors = [""] * len(names)
    for row, error in index.errors.items():
        errors[row] = error
    return Records(
        sizes=np.stack([facts["height"], facts["width"]], axis=1),
        channels=facts["channels"].copy(),
        depths=facts["depth"].copy(),
        digests=Digests(facts["digest"]),
        errors=errors,
    )


def _stamps(inside: str, names: Texts, progress: Progress | None) -> Facts:
    """Size in bytes and modification time in nanoseconds of each file; -1 where there is none."""
    stamps = np.empty(len(names), dtype=_STAMP)
    done = 0
    for block in names.blocks():
        stamps[done : done + len(block)] = [_stamp(inside + name) for name in block]
        done += len(block)
        if progress is not None and len(names) >= LONG:
            progress("looking at files", done, len(names))
    return stamps


def _stamp(path: str) -> tuple[int, int]:
    try:
        status = os.stat(path)  # noqa: PTH116  -- a third of the time of Path.stat, 70,000 times
    except OSError:
        return (-1, -1)
    return (status.st_size, status.st_mtime_ns)


def _recalled(known: _Index, names: Texts, stamps: Facts) -> tuple[_Index, NDArray[np.int64]]:
    """What is known of these files as they are now, and the rows of the others."""
    if known.names == names:
        facts, errors = known.facts, known.errors
        same = np.ones(len(names), dtype=np.bool_)
    else:
        rows = _rows(known.names, names)
        same = rows >= 0
        facts = np.zeros(len(names), dtype=_FACTS)
        facts[same] = known.facts[rows[same]]
        now = {row: i for i, row in enumerate(rows.tolist()) if row in known.errors}
        errors = {now[row]: error for row, error in known.errors.items() if row in now}
    for field, _ in _STAMP:
        same &= facts[field] == stamps[field]
        facts[field] = stamps[field]
    missing = np.flatnonzero(~same)
    facts["digest"][missing] = 0
    changed = set(missing.tolist()) if errors else set()
    return _Index(names, facts, {row: e for row, e in errors.items() if row not in changed}), missing


def _rows(known: Texts, names: Texts) -> NDArray[np.int64]:
    """Where each name is among those known, or -1. Both are gone through once, sorted."""
    rows = np.full(len(names), -1, dtype=np.int64)
    pairs = _sorted(known)
    name, row = next(pairs, ("", -1))
    for wanted, i in _sorted(names):
        while row >= 0 and name < wanted:
            name, row = next(pairs, ("", -1))
        if row < 0:
            break
        if name == wanted:
            rows[i] = row
    return rows


def _sorted(names: Texts) -> Iterator[tuple[str, int]]:
    """Names in order, each with its place; those of a folder are in order already."""
    pairs = zip(names, range(len(names)), strict=True)
    return pairs if all(one <= two for one, two in pairwise(names)) else iter(sorted(pairs))


def _read(
    index: _Index, missing: NDArray[np.int64], inside: str, pages: str, progress: Progress | None
) -> None:
    """Read files, and put what they told into the index."""
    total = len(missing)
    jobs = (
        (inside, index.names.take(missing[start : start + CHUNK]), pages) for start in range(0, total, CHUNK)
    )
    done = 0
    with contextlib.closing(mapped(_read_part, jobs, parallel=total >= _PARALLEL_FROM)) as parts:
        for told, errors in parts:
            rows = missing[done : done + len(told)]
            for field, *_ in _TOLD:
                index.facts[field][rows] = told[field]
            index.errors.update((int(rows[i]), error) for i, error in errors.items())
            done += len(told)
            if progress is not None:
                progress("reading images", done, total)


def _read_part(job: tuple[str, Sequence[str], str]) -> tuple[Facts, dict[int, str]]:
    """What some files tell, and why others cannot be read, by their place."""
    inside, names, pages = job
    told = np.zeros(len(names), dtype=_TOLD)
    errors: dict[int, str] = {}
    for i, name in enumerate(names):
        record: ImageRecord = read_record(Path(inside + name), pages=pages)
        digest = np.frombuffer(bytes.fromhex(record.digest) or bytes(16), dtype=np.uint8)
        told[i] = (record.height, record.width, record.channels, DEPTHS.index(record.depth), digest)
        if record.error:
            errors[i] = record.error
    return told, errors


def _save(path: Path, index: _Index) -> None:
    """Write the files whose bytes were read."""
    kept = np.flatnonzero(index.facts["digest"].any(axis=1))
    names, facts, errors = index.names, index.facts, index.errors
    if len(kept) < len(facts):
        now = {row: i for i, row in enumerate(kept.tolist())} if errors else {}
        names, facts = names.take(kept), facts[kept]
        errors = {now[row]: error for row, error in errors.items() if row in now}
    rows = sorted(errors)
    reasons = Texts.of(errors[row] for row in rows)
    columns: dict[str, NDArray[Any]] = {
        "version": _version(),
        "names": np.frombuffer(names.content, dtype=np.uint8),
        "name_bounds": names.bounds,
        "facts": facts,
        "error_rows": np.array(rows, dtype=np.int64),
        "errors": np.frombuffer(reasons.content, dtype=np.uint8),
        "error_bounds": reasons.bounds,
    }

    def write(partial: Path) -> None:
        with partial.open("wb") as file:
            np.savez(file, **columns)  # type: ignore[arg-type]  # its stub takes the names for options

    write_with(path, write)


def _version() -> NDArray[np.str_]:
    return np.array([str(_FORMAT), PIL.__version__])


def _load(path: Path) -> _Index:
    """The index as it was written; without files where there is none, or it cannot be used."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with zipfile.ZipFile(path) as archive:
                return _parsed(archive)
    except Exception:  # a broken archive fails in any way: zlib, struct, tokenize, encryption...
        return _Index(Texts.of(()), np.zeros(0, dtype=_FACTS), {})


def _parsed(archive: zipfile.ZipFile) -> _Index:
    """Raises one of a dozen errors for an index that cannot be used."""

    def column(name: str, dtype: np.dtype[Any] | type) -> NDArray[Any]:
        with archive.open(f"{name}.npy") as file:
            values: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
            if file.read(1):  # reading to the end checks the sum
                raise ValueError(f"{name} goes on after its end")
        if values.ndim != 1 or values.dtype != dtype:
            raise ValueError(f"{name} is another kind of column")
        return values

    def texts(content: str, bounds: str) -> Texts:
        found = column(content, np.uint8).tobytes()
        places = column(bounds, np.uint32 if len(found) < 2**32 else np.int64)
        if len(places) == 0 or places[0] != 0 or places[-1] != len(found) or (places[1:] < places[:-1]).any():
            raise ValueError(f"{bounds} do not bound {content}")
        found.decode("utf-8", "surrogatepass")
        starts = np.frombuffer(found, dtype=np.uint8)[places[:-1][places[:-1] < len(found)]]
        if ((starts & 0xC0) == 0x80).any():
            raise ValueError(f"{bounds} divide a letter of {content}")
        return Texts(found, places)

    if not np.array_equal(column("version", _version().dtype), _version()):
        raise ValueError("of another version")
    facts, rows = column("facts", _FACTS), column("error_rows", np.int64)
    names, reasons = texts("names", "name_bounds"), texts("errors", "error_bounds")
    outside = ((rows < 0) | (rows >= len(facts))).any()
    told = [facts[name] for name in ("height", "width", "channels")]
    if any((values < 0).any() for values in told) or not np.isin(facts["depth"], range(len(DEPTHS))).all():
        raise ValueError("sizes, channels or depths that no file has")
    if len(names) != len(facts) or len(rows) != len(reasons) or outside:
        raise ValueError("columns of different lengths")
    return _Index(names, facts, dict(zip(rows.tolist(), reasons, strict=True)))
