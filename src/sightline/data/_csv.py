"""A set that a CSV lists: one image a row, with its class and perhaps its part.

The first line names the columns: `path` and `label`, or for images of which each channel is a grey file a
column `path:NAME` a channel, in order, and `label`; `split` if rows say train, val or test; any other can be
what images are grouped by. Cells are separated by the comma, semicolon or tab that gives such a column. The
text is UTF-8, with or without a byte order mark. A path is relative to the CSV's folder, or absolute; a
backslash in it separates folders.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import os
import posixpath
import re
import stat
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sightline.base import DataError, Finding, did_you_mean
from sightline.data._image_set import ImageSet, Part
from sightline.data._index import DEPTHS, Progress, Records, read_records
from sightline.data._kinds import common_kind, without
from sightline.data._places import (
    MAX_UNREADABLE,
    PART_FOLDERS,
    check_classes,
    natural,
    unreadable,
    unreadable_classes,
)
from sightline.imaging import Source

if TYPE_CHECKING:
    from _csv import Reader

_SEPARATORS = (",", ";", "\t")
_OWN_COLUMNS = ("path", "label", "split")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclasses.dataclass(frozen=True)
class _Row:
    files: tuple[str, ...]
    """The path, or that of each channel: relative to the folder, with forward slashes."""
    label: str
    part: Part | None
    others: tuple[str, ...]
    """Cells of the columns that are not ours, in their order."""
    line: int
    """Where the row ends in the file, from 1."""

    @property
    def name(self) -> str:
        """What the image is known by: its path, or that of its first channel."""
        return self.files[0]


def open_csv(
    source: str, path: Path, training: bool, allow_unreadable: bool, pages: str, progress: Progress | None
) -> ImageSet:
    """Open the images that a CSV lists; arguments as of `open_images`.

    Raises:
        DataError: if the file is no such CSV, a row is wrong (its line is named), or as `open_images`.
    """
    table = _read(source, path)
    rows, root = table.rows, path.parent
    missing = {row.name: row.line for row in rows if not all(_is_file(root, file) for file in row.files)}
    if missing and not allow_unreadable:
        raise DataError(_missing(source, rows, missing, root))
    there = [row for row in rows if row.name not in missing]
    names = [row.name for row in there]
    records = _records(root, there, path, pages, progress)
    kind, strays = common_kind(records)
    records = without(records, strays)
    errors = dict.fromkeys(missing, "no such file")
    errors |= {name: error for name, error in zip(names, records.errors, strict=True) if error}
    good = [i for i, error in enumerate(records.errors) if not error]
    findings = _not_read(source, table.extra)
    if errors:
        findings += _left_out(source, rows, errors, training, allow_unreadable)
    if not good:
        raise DataError(f"{source} lists no readable image")
    images = _set(source, path, table, [there[i] for i in good], records, good, errors, training)
    return dataclasses.replace(
        images, channels=kind.channels, depth=kind.depth, pages=pages, findings=tuple(findings)
    )


def _records(root: Path, rows: list[_Row], path: Path, pages: str, progress: Progress | None) -> Records:
    """One entry a row: of several files, what they are together."""
    files = list(dict.fromkeys(file for row in rows for file in row.files))
    records = read_records(root, files, progress, listed_in=path, pages=pages)
    if not rows or len(rows[0].files) == 1:
        return records
    at = {file: i for i, file in enumerate(files)}
    places = [[at[file] for file in row.files] for row in rows]
    first = [place[0] for place in places]
    digests = ["".join(records.digests[i] for i in place).encode() for place in places]
    return Records(
        sizes=records.sizes[first],
        channels=np.full(len(rows), len(rows[0].files), dtype=np.int32),
        depths=records.depths[first],
        digests=[hashlib.blake2b(digest, digest_size=16).hexdigest() for digest in digests],
        errors=[_error_of(files, place, records) for place in places],
    )


def _error_of(files: list[str], place: list[int], records: Records) -> str:
    """Why the files of one image cannot be put together; empty where they can."""
    first = place[0]
    for i in place:
        if records.errors[i]:
            return records.errors[i] if i == first else f"{files[i]}: {records.errors[i]}"
        if records.channels[i] != 1:
            return f"{files[i]} has {records.channels[i]} channels; one file a channel must be grey"
        if records.depths[i] != records.depths[first]:
            return (
                f"{files[i]} is {DEPTHS[records.depths[i]]}, {files[first]} {DEPTHS[records.depths[first]]}"
            )
        if (records.sizes[i] != records.sizes[first]).any():
            (height, width), (own_height, own_width) = records.sizes[first], records.sizes[i]
            return f"{files[i]} is {own_width}x{own_height}, {files[first]} {width}x{height}"
    return ""


def listed_sources(source: str, channels: Sequence[str] = ()) -> list[tuple[str, Source]]:
    """What a CSV lists, with labels or without: what each image is called, and its file or files.

    Args:
        source: The CSV.
        channels: The channels that are wanted, in order, where each is a file.

    Raises:
        DataError: as `open_images`; or if the columns are of other channels.
    """
    path = Path(source)
    table = _read(source, path, labelled=False)
    if not table.channels:
        return [(row.name, path.parent / row.name) for row in table.rows]
    if channels and sorted(table.channels) != sorted(channels):
        raise DataError(
            f"{source} has channels {', '.join(table.channels)}; the network takes {', '.join(channels)}"
        )
    order = [table.channels.index(name) for name in channels or table.channels]
    return [(row.name, tuple(path.parent / row.files[i] for i in order)) for row in table.rows]


def path_columns(images: ImageSet) -> list[str]:
    """The columns that say which files a set's images are in."""
    return [f"path:{name}" for name in images.channel_names] if images.more_files is not None else ["path"]


def path_cells(images: ImageSet, index: int) -> list[str]:
    """An image's files under `path_columns`: absolute, so that the CSV may lie anywhere.

    Raises:
        DataError: as `check_sayable`.
    """
    assert images.root is not None
    source = images.source_of(index)
    root = images.root.resolve()
    files = source if isinstance(source, tuple) else (source,)
    cells = [Path(os.path.normpath(root / file.relative_to(images.root))).as_posix() for file in files]
    for cell in cells:
        check_sayable("path", cell)
    return cells


def check_sayable(what: str, cell: str) -> None:
    """Whether a CSV set reads a cell, a `path` or a `class`, as it was written.

    Raises:
        DataError: if not.
    """
    folders = what == "path" and "\\" in cell  # would be read as separators
    unicode = cell.encode(errors="replace").decode() == cell
    if folders or not unicode or _CONTROL.search(cell) or cell != cell.strip():
        raise DataError(
            f"{what} {cell!a} cannot stand in a CSV: it has a control character, "
            f"{'a backslash, ' if what == 'path' else ''}a space at an end, or is not Unicode; rename it"
        )


def _set(
    source: str,
    path: Path,
    table: _Table,
    rows: list[_Row],
    records: Records,
    good: list[int],
    errors: dict[str, str],
    training: bool,
) -> ImageSet:
    """The set of the rows that can be read; `good` are their places in `records`."""
    classes = tuple(sorted({row.label for row in rows}, key=natural))
    if training:
        check_classes(source, classes, list(dict.fromkeys((row.part, row.label) for row in rows)), [])
    position = {name: index for index, name in enumerate(classes)}
    return ImageSet(
        source=source,
        root=path.parent,
        file=path,
        names=tuple(row.name for row in rows),
        targets=np.array([position[row.label] for row in rows], dtype=np.int64),
        classes=classes,
        channels=1,
        sizes=records.sizes[good],
        digests=tuple(records.digests[i] for i in good),
        parts=tuple(row.part for row in rows),
        columns={name: tuple(row.others[i] for row in rows) for i, name in enumerate(table.extra)},
        more_files=tuple(row.files[1:] for row in rows) if len(table.channels) > 1 else None,
        channel_names=table.channels,
        left_out=tuple(sorted(errors)),
    )


@dataclasses.dataclass(frozen=True)
class _Table:
    """What a CSV says."""

    extra: list[str]
    """Names of the columns that are not ours."""
    channels: tuple[str, ...]
    """Names of the channels, where each is a file."""
    rows: list[_Row]
    """Sorted by path."""


def _read(source: str, path: Path, *, labelled: bool = True) -> _Table:
    text = _text(source, path)
    reader, header = _opened(source, text, labelled)
    place = {name: header.index(name) for name in _OWN_COLUMNS if name in header}
    paths = [i for i, name in enumerate(header) if _is_path(name)]
    others = [i for i, name in enumerate(header) if name and name not in _OWN_COLUMNS and not _is_path(name)]
    base = os.path.realpath(path.parent)
    lines: dict[str, int] = {}
    rows: list[_Row] = []
    try:
        for cells in reader:
            if not any(cells):
                continue
            where = f"{source}, line {reader.line_num}"
            cells = [cell.strip() for cell in cells]
            if len(cells) != len(header):
                raise DataError(
                    f"{where}: {len(cells)} cells, and the header has {len(header)}; "
                    f"a cell with a separator in it must be quoted"
                )
            files = tuple(_name(where, cells[i], base) for i in paths)
            name = files[0]
            if len(set(files)) < len(files):
                raise DataError(f"{where}: {_brief(name)} is more than one channel")
            label = cells[place["label"]] if "label" in place else ""
            if labelled and not label:
                raise DataError(f"{where}: {_brief(name)} has no label")
            if _CONTROL.search(label):
                raise DataError(f"{where}: label {_brief(label)} holds a control character")
            if name in lines:
                raise DataError(
                    f"{where}: {_brief(name)} was listed before, in line {lines[name]}; keep one of the two"
                )
            lines[name] = reader.line_num
            part = _part(where, cells[place["split"]]) if "split" in place else None
            rows.append(_Row(files, label, part, tuple(cells[i] for i in others), reader.line_num))
    except csv.Error as error:
        said = str(error).replace("\t", r"\t")  # a separator, which it quotes
        raise DataError(f"{source}, line {reader.line_num}: {said}") from error
    if not rows:
        raise DataError(f"{source} lists no images: it has a header and no row")
    return _Table(
        extra=[header[i] for i in others],
        channels=tuple(header[i].removeprefix("path:").strip() for i in paths if header[i] != "path"),
        rows=sorted(rows, key=lambda row: row.name),
    )


def _is_path(name: str) -> bool:
    return name == "path" or name.startswith("path:")


def _text(source: str, path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{source} cannot be read: {error.strerror}") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(f"{source}, line {line}: not UTF-8; save it as CSV UTF-8") from error


def _opened(source: str, text: str, labelled: bool) -> tuple[Reader, list[str]]:
    """A reader behind the header, by the first separator that gives a column `path`; and the header."""
    headers: list[list[str]] = []
    for separator in _SEPARATORS:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        try:
            header = [name.strip() for name in next((cells for cells in reader if any(cells)), [])]
        except csv.Error:
            continue
        if any(map(_is_path, header)):
            _check_header(source, header, labelled)
            return reader, header
        headers.append(header)
    header = max(headers, key=len, default=[])
    shown = ", ".join(map(_brief, islice(header, 8))) or "none"
    raise DataError(f"{source}: the first line must name the columns path and label; it names {shown}")


def _check_header(source: str, header: list[str], labelled: bool) -> None:
    channels = [name for name in header if name.startswith("path:")]
    if channels and "path" in header:
        raise DataError(f"{source}: columns path and {_brief(channels[0])}; keep path, or one a channel")
    unnamed = [name for name in channels if not name.removeprefix("path:").strip()]
    if unnamed:
        raise DataError(f"{source}: column path: names no channel; write path:dapi or the like")
    if labelled and "label" not in header:
        others = [_brief(name) for name in header if not _is_path(name)]
        hint = did_you_mean("label", others) if others else f"there is only {_brief(header[0])}"
        raise DataError(f"{source}: no column label; {hint}")
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise DataError(f"{source}: two columns are called {_brief(twice[0])}; rename one")
    alike = [name for name in header if name not in _OWN_COLUMNS and name.lower() in _OWN_COLUMNS]
    if alike:
        raise DataError(f"{source}: column {alike[0]} must be written {alike[0].lower()}")


def _brief(text: str) -> str:
    """A cell as it can be shown in a line."""
    return text if text.isprintable() and len(text) <= 200 else ascii(text[:200])


def _name(where: str, cell: str, base: str) -> str:
    """A path as it is kept: relative to the folder `base`, in its shortest form, with forward slashes."""
    if not cell:
        raise DataError(f"{where}: no path")
    if _CONTROL.search(cell):
        raise DataError(f"{where}: path {_brief(cell)} holds a control character")
    cell = cell.replace("\\", "/")
    if posixpath.isabs(cell):
        return Path(os.path.relpath(cell, base)).as_posix()
    return posixpath.normpath(cell)


def _part(where: str, cell: str) -> Part:
    part = PART_FOLDERS.get(cell.lower())
    if part is None:
        came = f"split {_brief(cell)!r}" if cell else "no split"
        raise DataError(f"{where}: {came}; allowed are train, val, test")
    return part


def _is_file(root: Path, name: str) -> bool:
    """Whether a path is that of a plain file: reading from a device may never end."""
    try:
        return stat.S_ISREG((root / name).stat().st_mode)
    except (OSError, ValueError):
        return False


def _missing(source: str, rows: list[_Row], missing: dict[str, int], root: Path) -> str:
    row = min((row for row in rows if row.name in missing), key=lambda row: row.line)
    first = next(file for file in row.files if not _is_file(root, file))
    more = f"; {len(missing)} of {len(rows)} are missing" if len(missing) > 1 else ""
    return (
        f"{source}, line {row.line}: no such file: {_brief(first)}{more}; paths are relative to "
        f"the CSV's folder; --allow-unreadable leaves missing files out"
    )


def _left_out(
    source: str, rows: list[_Row], errors: dict[str, str], training: bool, allow_unreadable: bool
) -> list[Finding]:
    """Files that cannot be read, and classes that are left with none; a DataError where they may not be."""
    lost = unreadable_classes([row.name for row in rows], [(row.part, row.label) for row in rows], errors)
    if lost and training and not allow_unreadable and len(errors) < len(rows):
        raise DataError(f"{source}: {lost[0].what}; {lost[0].do}, or leave it out by --allow-unreadable")
    limit = 1.0 if allow_unreadable else MAX_UNREADABLE if training else 0.0
    line_of = {row.name: row.line for row in rows}
    named = {f"{name} (line {line_of[name]})": errors[name] for name in sorted(errors)}
    return [unreadable(source, len(rows), named, limit), *lost]


def _not_read(source: str, extra: list[str]) -> list[Finding]:
    """Columns that mean nothing here, unless a split goes by one."""
    if not extra:
        return []
    return [
        Finding(
            level="info",
            where=source,
            what=f"columns that say nothing of path, label or split: {', '.join(map(_brief, extra[:8]))}",
            why="they are passed over",
            do="if one is a patient, a plate or the like, keep its images together by --group-by COLUMN",
        )
    ]
