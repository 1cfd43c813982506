"""Recorded curves: CSV files whose first line says what made them."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path

from sightline.base import DataError, write_text


@dataclasses.dataclass(frozen=True, kw_only=True)
class Curves:
    """What was recorded."""

    command: str
    versions: str
    machine: str
    date: str
    rows: tuple[Mapping[str, str], ...]

    @property
    def note(self) -> str:
        """Where the numbers come from, a sentence."""
        return f"Recorded on {self.date} by `{self.command}` ({self.versions}) on {self.machine}."


def recorded(name: str) -> Curves:
    """The curves that come with the lab, by the name of their entry.

    Raises:
        DataError: if there are none, or they cannot be read.
    """
    file = resources.files(__package__).joinpath("curves", f"{name}.csv")
    try:
        return read_curves(file.read_text("utf-8"), f"{name}.csv")
    except OSError as error:
        raise DataError(f"the recorded curves of {name} are not installed: {error}") from error


def read_curves(text: str, name: str) -> Curves:
    """The curves of a file.

    Args:
        text: `# command; versions; machine; date`, then a CSV with one header.
        name: What to call it.

    Raises:
        DataError: if the first line is another, or there is no row.
    """
    first, _, rest = text.partition("\n")
    parts = [part.strip() for part in first.removeprefix("#").split(";")]
    if not first.startswith("#") or len(parts) != 4 or not all(parts):
        raise DataError(f"{name} begins with {first[:80]!r}; it must be '# command; versions; machine; date'")
    rows = tuple(csv.DictReader(io.StringIO(rest)))
    if not rows or any(None in row.values() or None in row for row in rows):
        raise DataError(f"{name} has no rows, or rows of another length than its header")
    command, versions, machine, date = parts
    return Curves(command=command, versions=versions, machine=machine, date=date, rows=rows)


def write_curves(
    path: Path, about: Sequence[str], columns: Sequence[str], rows: Iterable[Mapping[str, object]]
) -> None:
    """Write a file that `read_curves` reads.

    Args:
        path: The file.
        about: Command, versions, machine, date.
        columns: The header.
        rows: By column.

    Raises:
        StorageError: if the disk refuses.
    """
    out = io.StringIO()
    out.write(f"# {'; '.join(about)}\n")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        values = [row[column] for column in columns]
        writer.writerow([f"{v:.6g}" if isinstance(v, float) else v for v in values])
    write_text(path, out.getvalue())
