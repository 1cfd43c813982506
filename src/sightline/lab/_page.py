"""An entry's page: one HTML file, and the same as JSON for the studio."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from markupsafe import Markup

from sightline.evaluation.report import write_page
from sightline.lab._entry import Cell, Entry, Listing, Page, Part, Picture, Plot, Table


def write_entry(path: Path, entry: Entry, page: Page) -> None:
    """Write what an entry came to as one file that needs nothing else.

    Raises:
        StorageError: if the disk refuses; an older page is untouched.
    """
    write_page(path, "entry.html.j2", package=__package__, entry=entry, page=page_dict(page), Markup=Markup)


def page_dict(page: Page) -> dict[str, Any]:
    """A page as JSON: sentences, parts by kind, numbers, notes."""
    return {
        "sentences": list(page.sentences),
        "parts": [_part(part) for part in page.parts],
        "numbers": dict(page.numbers),
        "notes": list(page.notes),
    }


def _part(part: Part) -> dict[str, Any]:
    common = {"title": part.title, "caption": part.caption}
    if isinstance(part, Plot):
        return {"kind": "plot", "svg": str(part.svg), **common}
    if isinstance(part, Picture):
        data = f"data:image/png;base64,{base64.b64encode(part.png).decode()}"
        return {"kind": "picture", "src": data, "alt": part.alt, "width": part.width, **common}
    if isinstance(part, Table):
        numbers = [all(not isinstance(row[k], str) for row in part.rows) for k in range(len(part.columns))]
        rows = [[_cell(value) for value in row] for row in part.rows]
        return {"kind": "table", "columns": list(part.columns), "numbers": numbers, "rows": rows, **common}
    assert isinstance(part, Listing)
    return {"kind": "listing", "text": part.text, **common}


def _cell(value: Cell) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
