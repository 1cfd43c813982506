"""A set that a CSV lists: one image a row, with its class and perhaps its part.

The first line names the columns: `path` and `label`; `split` if rows say train, val or test; any other can be
what images are grouped by. Cells are separated by the comma, semicolon or tab that gives a column `path`. The
text is UTF-8, with or without a byte order mark. A path is relative to the CSV's folder, or absolute; a
backslash in it separates folders.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import os
import posixpath
import re
import stat
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sightline.base import DataError, Finding, did_you_mean
from sightline.data._image_set import ImageSet, Part
from sightline.data._index import Progress, Records, read_records
from sightline.data._places import (
    MAX_UNREADABLE,
    PART_FOLDERS,
    check_classes,
    natural,
    unreadable,
    unreadable_classes,
)

if TYPE_CHECKING:
    from _csv import Reader

_SEPARATORS = (",", ";", "\t")
_OWN_COLUMNS = ("path", "label", "split")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclasses.dataclass(frozen=True)
class _Row:
    name: str
    """The path, relative to the folder, with forward slashes."""
    label: str
    part: Part | None
    others: tuple[str, ...]
    """Cells of the columns that are not ours, in their order."""
    line: int
    """Where the row ends in the file, from 1."""


def open_csv(
    source: str, path: Path, training: bool, allow_unreadable: bool, progress: Progress | None
) -> ImageSet:
    """Open the images that a CSV lists; arguments as of `open_images`.

    Raises:
        DataError: if the file is no such CSV, a row is wrong (its line is named), or as `open_images`.
    """
    extra, rows = _read(source, path)
    root = path.parent
    missing = {row.name: row.line for row in rows if not _is_file(root, row.name)}
    if missing and not allow_unreadable:
        raise DataError(_missing(source, missing, len(rows)))
    there = [row for row in rows if row.name not in missing]
    names = [row.name for row in there]
    records = read_records(root, names, progress, listed_in=path)
    errors = dict.fromkeys(missing, "no such file")
    errors |= {name: error for name, error in zip(names, records.errors, strict=True) if error}
    good = [i for i, error in enumerate(records.errors) if not error]
    findings = _not_read(source, extra)
    if errors:
        findings += _left_out(source, rows, errors, training, allow_unreadable)
    if not good:
        raise DataError(f"{source} lists no readable image")
    return _set(source, path, extra, [there[i] for i in good], records, good, findings, errors, training)


def _set(
    source: str,
    path: Path,
    extra: list[str],
    rows: list[_Row],
    records: Records,
    good: list[int],
    findings: list[Finding],
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
        channels=int(records.channels[good].max()),
        sizes=records.sizes[good],
        digests=tuple(records.digests[i] for i in good),
        parts=tuple(row.part for row in rows),
        columns={name: tuple(row.others[i] for row in rows) for i, name in enumerate(extra)},
        findings=tuple(findings),
        left_out=tuple(sorted(errors)),
    )


def _read(source: str, path: Path) -> tuple[list[str], list[_Row]]:
    """The names of the columns that are not ours, and the rows by path."""
    text = _text(source, path)
    reader, header = _opened(source, text)
    place = {name: header.index(name) for name in _OWN_COLUMNS if name in header}
    others = [i for i, name in enumerate(header) if name and name not in _OWN_COLUMNS]
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
            name = _name(where, cells[place["path"]], base)
            label = cells[place["label"]]
            if not label:
                raise DataError(f"{where}: {_brief(name)} has no label")
            if _CONTROL.search(label):
                raise DataError(f"{where}: label {_brief(label)} holds a control character")
            if name in lines:
                raise DataError(
                    f"{where}: {_brief(name)} was listed before, in line {lines[name]}; keep one of the two"
                )
            lines[name] = reader.line_num
            part = _part(where, cells[place["split"]]) if "split" in place else None
            rows.append(_Row(name, label, part, tuple(cells[i] for i in others), reader.line_num))
    except csv.Error as error:
        raise DataError(f"{source}, line {reader.line_num}: {error}") from error
    if not rows:
        raise DataError(f"{source} lists no images: it has a header and no row")
    return [header[i] for i in others], sorted(rows, key=lambda row: row.name)


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


def _opened(source: str, text: str) -> tuple[Reader, list[str]]:
    """A reader behind the header, by the first separator that gives a column `path`; and the header."""
    headers: list[list[str]] = []
    for separator in _SEPARATORS:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        try:
            header = [name.strip() for name in next((cells for cells in reader if any(cells)), [])]
        except csv.Error:
            continue
        if "path" in header:
            _check_header(source, header)
            return reader, header
        headers.append(header)
    header = max(headers, key=len, default=[])
    channels = [name for name in header if name.startswith("path:")]
    if channels:
        raise DataError(
            f"{source}: columns {', '.join(channels)}: one file a channel cannot be read yet; "
            f"give each image as one file, in a column path"
        )
    shown = ", ".join(map(_brief, islice(header, 8))) or "none"
    raise DataError(f"{source}: the first line must name the columns path and label; it names {shown}")


def _check_header(source: str, header: list[str]) -> None:
    if "label" not in header:
        others = [_brief(name) for name in header if name != "path"]
        hint = did_you_mean("label", others) if others else "path is the only one"
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


def _missing(source: str, missing: dict[str, int], total: int) -> str:
    first = min(missing, key=lambda name: missing[name])
    more = f"; {len(missing)} of {total} are missing" if len(missing) > 1 else ""
    return (
        f"{source}, line {missing[first]}: no such file: {_brief(first)}{more}; paths are relative to "
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
