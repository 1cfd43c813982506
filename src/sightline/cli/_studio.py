"""`sightline studio`: the page on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sightline.cli._console import handled


@handled
def studio(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PATH]...",
            help="Folders in which the page may open images, runs and networks; the current one.",
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where it listens; 0: a free one.")] = 8765,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the address.")] = False,
    device: Annotated[str | None, typer.Option(help="Where networks run: cpu, cuda, mps.")] = None,
) -> None:
    """Open the lecture, networks and images on a page of this machine, until Ctrl-C.

    The page is served to this machine alone. Its address carries a token, new each time, that lets in whoever
    has it: the page can start work, and FILE.py is code.
    """
    import importlib.util

    from sightline.base import DataError

    if any(importlib.util.find_spec(name) is None for name in ("fastapi", "uvicorn")):
        raise DataError("the studio needs its extra: pip install 'sightline[studio]'")
    from sightline.studio import serve

    serve(
        tuple(paths or ()),
        port=port,
        device=device,
        browser=not no_browser,
        say=lambda address: print(f"{address}\nCtrl-C ends it", flush=True),
    )
