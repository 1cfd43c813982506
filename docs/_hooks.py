"""What the documentation takes from the code while it is built: options of verbs, public names of packages.

A page says where, in a comment of its own: `<!-- options: train -->` or `<!-- names: sightline.base -->`.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import re
from typing import Any

MARK = re.compile(r"^<!-- (options|names): ([\w.]+) -->$", re.MULTILINE)
ASKED = re.compile(
    r"<(?:script|link|img|iframe|source|video|audio|object|embed)\b[^>]*\b(?:src|href|data)=[\"']?(?:https?:)?//"
    r"|@import\s+[\"']?(?:url\()?[\"']?(?:https?:)?//|url\([\"']?(?:https?:)?//",
    re.IGNORECASE,
)
"""What a browser would fetch from elsewhere as it shows a page; a link that a reader may follow is not."""


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put in what a page asks for."""
    return fill(markdown)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Let no page out that asks another host for anything.

    Raises:
        ValueError: if one does, with the tag.
    """
    found = ASKED.search(output)
    if found is not None:
        raise ValueError(f"{page.file.src_path} asks another host: {found[0]}")
    return output


def fill(markdown: str) -> str:
    """The page with options and names in place of its marks."""
    makers = {"options": options, "names": names}
    return MARK.sub(lambda found: makers[found[1]](found[2]), markdown)


@functools.cache
def verbs() -> dict[str, Any]:
    """The commands of the command line, as typer made them."""
    from typer.main import get_command

    from sightline.cli import app

    return dict(get_command(app).commands)  # type: ignore[attr-defined]


def options(verb: str) -> str:
    """What a verb takes, word for word what `--help` says, as a table."""
    command = verbs()[verb]
    context = command.make_context(f"sightline {verb}", [], resilient_parsing=True)
    usage = " ".join(["sightline", verb, *command.collect_usage_pieces(context)])
    lines = ["```text", usage, "```", "", "| takes | |", "|---|---|"]
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            name, told = record
            lines.append(f"| `{_cell(name)}` | {_cell(_literal(told))} |")
    return "\n".join(lines)


def names(package: str) -> str:
    """The public names of a package: what each is, then each in full, from its docstring."""
    module = importlib.import_module(package)
    rows, full = [], []
    for name in sorted(module.__all__, key=str.lower):
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isroutine(value):
            first = _literal((inspect.getdoc(value) or "").split("\n\n")[0])
            rows.append(f"| [`{name}`][{package}.{name}] | {_cell(first)} |")
            full.append(f"::: {package}.{name}\n")
        else:
            rows.append(f"| `{name}` | {_cell(_literal(f'constant: `{_short(value)}`'))} |")
    return "\n".join(["| name | |", "|---|---|", *rows, "", *full])


def _short(value: object) -> str:
    """A value as Python writes it, cut where it is long."""
    text = " ".join(repr(value).replace("`", "'").split())
    return text if len(text) <= 80 else f"{text[:76]} ..."


def _literal(text: str) -> str:
    """Text that Markdown leaves as it is; what stands between backticks stays code."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"([\\*_<>\[\]])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
