"""From what there is to say to one file: the templates, their filters, the colours."""

from __future__ import annotations

import functools
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from sightline.base import LEVELS, SERIES, duration, write_text
from sightline.evaluation.report._plot import RIGHT, WRONG


def write_page(path: Path, template: str, *, package: str = "", **context: Any) -> None:
    """Write a page: one HTML file that needs nothing else.

    Args:
        path: The file to write.
        template: Which page; it may extend `page.html.j2`.
        package: The package that has the template, where it is not this one.
        context: What it says.

    Raises:
        StorageError: if the disk refuses; an older page is untouched.
    """
    page = (
        _environment(package)
        .get_template(template)
        .render(
            css=Markup(_read("report.css")),
            colours={"right": RIGHT, "wrong": WRONG} | LEVELS,
            dark_colours={"right": SERIES[5], "wrong": SERIES[4], "info": SERIES[5]},
            **context,
        )
    )
    write_text(path, page.encode(errors="backslashreplace").decode())


@functools.cache
def _environment(package: str) -> jinja2.Environment:
    def read(name: str) -> str | None:
        own = resources.files(package).joinpath(name) if package else None
        return own.read_text("utf-8") if own is not None and own.is_file() else _read(name)

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(read),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": "{:,}".format,
        "duration": duration,
        "percent": lambda x, n=2: Markup('<data value="{}">{}</data>').format(repr(float(x)), _percent(x, n)),
        "percent_text": _percent,
    }
    return environment


def _percent(fraction: float, decimals: int = 2) -> str:
    from sightline.evaluation.report._words import (
        percent,  # its room loads PyTorch, which other pages need not
    )

    return percent(fraction, decimals)


def _read(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")
