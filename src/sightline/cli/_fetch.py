"""`sightline fetch`: the only verb that downloads."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from sightline.cli._console import handled, make_reporter, print_json


@handled
def fetch(
    names: Annotated[list[str] | None, typer.Argument(help="Networks whose public weights to fetch.")] = None,
    as_list: Annotated[bool, typer.Option("--list", help="Say which there are, and fetch nothing.")] = False,
    purpose: Annotated[str | None, typer.Option("--for", help="All that a purpose needs: lecture.")] = None,
    to: Annotated[
        Path | None, typer.Option(help="A folder to take elsewhere: there, set SIGHTLINE_CACHE to it.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Fetch public weights, once: afterwards NAME@public needs no network."""
    from sightline.base import ArgumentError
    from sightline.records import download
    from sightline.zoo import FOR_LECTURE, LICENCE, public_weights

    if purpose not in (None, "lecture"):
        raise ArgumentError(f"--for is {purpose!r}; there is lecture")
    wanted = [public_weights(name) for name in (*(names or ()), *(FOR_LECTURE if purpose else ()))]
    if as_list or not wanted:
        if not as_list:
            raise ArgumentError("name networks, or --for lecture; --list says which there are")
        _list(json)
        return
    reporter = make_reporter()
    folder = to / "public" if to is not None else None
    fetched = []
    for weights in dict.fromkeys(wanted):
        path = folder / weights.file if folder is not None else weights.path
        if path.is_file():
            reporter.note(f"{weights.architecture}: {path} is there already")
        else:
            reporter.note(f"{weights.architecture}: {weights.url}, {weights.megabytes:g} MB, {LICENCE}")
            mirror = os.environ.get("SIGHTLINE_MIRROR")
            url = f"{mirror.rstrip('/')}/{weights.file}" if mirror else weights.url
            told = functools.partial(_tell, reporter, weights.file)
            download(url, path, digest=weights.digest, progress=told)
            reporter.note(f"{weights.architecture}: {path}")
        fetched.append({"name": weights.architecture, "path": str(path)})
    if json:
        print_json({"fetched": fetched})
    elif to is not None:
        print(f"take {to} along; there: SIGHTLINE_CACHE={to}")


def _tell(reporter: Any, file: str, done: int, total: int) -> None:
    reporter.progress(file, done, max(done, total))


def _list(as_json: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    from sightline.zoo import LICENCE, PUBLIC

    if as_json:
        content = [
            {
                "name": w.architecture, "file": w.file, "url": w.url, "megabytes": w.megabytes,
                "top1": w.top1, "licence": LICENCE, "here": w.path.is_file(),
            }
            for w in PUBLIC.values()
        ]  # fmt: skip
        print_json({"public": content})
        return
    table = Table("network", "file")
    for name in ("MB", "top-1 (published)", "here"):
        table.add_column(name, justify="right")
    for w in PUBLIC.values():
        here = "yes" if w.path.is_file() else ""
        table.add_row(w.architecture, w.file, f"{w.megabytes:.1f}", f"{100 * w.top1:.2f} %", here)
    Console().print(table)
    print(f"licence: {LICENCE}")
