"""`sightline lab`: the lecture, live."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from sightline.cli._console import handled, make_reporter, print_json


@handled
def lab(
    entry: Annotated[str | None, typer.Argument(help="A stop of the lecture; without, the syllabus.")] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Compute what is otherwise read from a recorded curve.")
    ] = False,
    data: Annotated[Path | None, typer.Option(help="Your images, for the stops that take some.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of what is random.")] = 0,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Where pages go: DIR/ENTRY/index.html.")
    ] = Path("lab"),
    json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Go through the lecture in slide order: what to run, what to see, where it is loose."""
    from sightline.base import ArgumentError, duration
    from sightline.lab import Setting, check_setting, find_entry, run_entry

    if entry is None:
        if live or data is not None:
            raise ArgumentError("--live and --data are of an ENTRY, and none is given")
        _list(json)
        return
    found = find_entry(entry)
    setting = Setting(live=live, data=data, seed=seed, progress=make_reporter().progress)
    check_setting(found, setting)
    expected = found.live_seconds if live or data is not None else None
    print(
        f"{found.title}: about {duration(found.seconds if expected is None else expected)}", file=sys.stderr
    )
    began = time.perf_counter()
    page, path = run_entry(found, setting, output)
    if json:
        print_json(
            {
                "entry": found.name,
                "title": found.title,
                "sentences": list(page.sentences),
                "numbers": page.numbers,
                "notes": list(page.notes),
                "seconds": time.perf_counter() - began,
                "file": str(path),
            }
        )
        return
    for sentence in page.sentences:
        print(sentence)
    for name, value in page.numbers.items():
        if not isinstance(value, list | dict):
            print(f"  {name.replace('_', ' ')}: {_said(value)}")
    for note in page.notes:
        print(f"  {note}")
    for one in found.corrections:
        print(f"the lecture: {one.says}\n  {one.fact} ({one.evidence})")
    print(f"written: {path}")


def _said(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _list(json: bool) -> None:
    from sightline.base import duration
    from sightline.lab import syllabus

    if json:
        print_json([entry.to_dict() for entry in syllabus()])
        return
    for number, entry in enumerate(syllabus(), 1):
        live = f"; --live {duration(entry.live_seconds)}" if entry.live_seconds is not None else ""
        print(f"{number:2}. {entry.title}  ({entry.slides})")
        print(f"    {entry.about}")
        print(f"    {entry.command}  ({duration(entry.seconds)}{live})")
        print(f"    to see: {entry.see}")
        for command in entry.commands:
            print(f"    also: {command}")
        for one in entry.corrections:
            print(f"    loose: {one.says!r}: {one.fact} ({one.evidence})")
        print()
