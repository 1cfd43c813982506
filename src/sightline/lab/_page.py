"""An entry's page: one HTML file, and the same as JSON for the studio."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from sightline.evaluation.report import write_page
from sightline.lab._entry import Cell, Entry, Listing, Page, Part, Picture, Plot, Table

WIDE = 108
"""Letters of a row that fit beside a title."""
LONG = 72
"""Letters of a cell that is broken into lines."""


def write_entry(path: Path, entry: Entry, page: Page) -> None:
    """Write what an entry came to as one file that needs nothing else.

    Raises:
        StorageError: if the disk refuses; an older page is untouched.
    """
    write_page(
        path,
        "entry.html.j2",
        package=__package__,
        entry=entry,
        page=page_dict(page),
        long=LONG,
        Markup=Markup,
    )


def page_dict(page: Page) -> dict[str, Any]:
    """A page as JSON: sentences, parts by kind, numbers, notes."""
    return {
        "sentences": list(page.sentences),
        "parts": [_part(part) for part in page.parts],
        "numbers": dict(page.numbers),
        "notes": list(page.notes),
    }


def _part(part: Part) -> dict[str, Any]:
    common: dict[str, Any] = {"title": part.title, "caption": part.caption, "wide": False}
    if isinstance(part, Plot):
        return {"kind": "plot", "svg": str(part.svg), **common}
    if isinstance(part, Picture):
        data = f"data:image/png;base64,{base64.b64encode(part.png).decode()}"
        return {"kind": "picture", "src": data, "alt": part.alt, "width": part.width, **common}
    if isinstance(part, Table):
        numbers = [_of_numbers([row[k] for row in part.rows]) for k in range(len(part.columns))]
        rows = [[_cell(value) for value in row] for row in part.rows]
        widths = [max(map(len, column)) for column in zip(part.columns, *rows, strict=True)]
        common["wide"] = sum(min(width, LONG) + 2 for width in widths) > WIDE
        return {
            "kind": "table", "columns": list(part.columns), "numbers": numbers, "rows": rows, **common
        }  # fmt: skip
    assert isinstance(part, Listing)
    return {"kind": "listing", "text": part.text, **common}


def _of_numbers(column: Sequence[Cell]) -> bool:
    """Whether a column is set as numbers are: some are, and what is not is empty or a dash."""
    return any(not isinstance(value, str) for value in column) and all(
        not isinstance(value, str) or value in ("", "-") for value in column
    )


def _cell(value: Cell) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
