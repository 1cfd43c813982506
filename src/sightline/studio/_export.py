"""An entry's page as one HTML file for students without Python: its plays work from values computed now."""

from __future__ import annotations

import base64
import hashlib
import html
import itertools
import json
import re
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any

from sightline.base import SightlineError
from sightline.studio._plays import design_values, pool_values, slide_values, softmax_values

STRIDES, PADS, SIZES = (1, 2, 3), (0, 1, 2), (2, 3)
"""Of the plays that can be played with; what an entry begins with is there besides."""
_MODULES = (
    "dom.js", "play-slide.js", "play-design.js", "play-filter.js", "play-softmax.js", "lecture-parts.js",
    "export.js",
)  # fmt: skip
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} - Sightline</title>
<link rel="icon" href="data:,">
<style>
{css}
</style>
</head>
<body>
<main id="page"></main>
<script type="application/json" id="data">{data}</script>
<script>{script}</script>
</body>
</html>
"""


def export_page(
    entry: Mapping[str, Any],
    page: Mapping[str, Any],
    filtered: Callable[[Mapping[str, Any]], dict[str, Any]],
) -> str:
    """The file's text: styles, scripts and data in one, asking for nothing.

    Args:
        entry: As `entry_dict` gives it.
        page: What running it came to, as `page_dict` gives it.
        filtered: Computes the play `filter`.
    """
    plays = [{**play, **_precomputed(play, filtered)} for play in entry["plays"]]
    data = json.dumps({"entry": {**entry, "plays": plays}, "page": page}, ensure_ascii=False)
    script = f"\n(() => {{\n{''.join(map(_inlined, _MODULES))}}})();\n"
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _PAGE.format(
        policy=f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'",
        title=html.escape(entry["title"]),
        css=_read("style.css"),
        # Nothing in it may end the element it stands in.
        data=data.replace("<", "\\u003c"),
        script=script,
    )


def _precomputed(
    play: Mapping[str, Any], filtered: Callable[[Mapping[str, Any]], dict[str, Any]]
) -> dict[str, Any]:
    """`answers` by what can be chosen, and the ranges of that."""
    given, kind = play["given"], play["kind"]
    if kind == "slide":
        pairs = {*itertools.product(STRIDES, PADS), (given.get("stride", 1), given.get("pad", 0))}
        choices = [
            {"stride": stride, "pad": pad, "flip": flip}
            for stride, pad in sorted(pairs)
            for flip in (False, True)
        ]
        return _answers(slide_values, given, choices)
    if kind == "pool":
        size = given.get("size", 2)
        pairs = {*itertools.product(SIZES, STRIDES), (size, given.get("stride", size))}
        choices = [
            {"pool": pool, "size": size, "stride": stride}
            for pool in ("max", "avg")
            for size, stride in sorted(pairs)
        ]
        return _answers(pool_values, given, choices)
    compute = {"design": design_values, "softmax": softmax_values, "filter": filtered}[kind]
    return _answers(compute, given, [{}])


def _answers(
    compute: Callable[[Mapping[str, Any]], dict[str, Any]],
    given: Mapping[str, Any],
    choices: list[dict[str, Any]],
) -> dict[str, Any]:
    answers: dict[str, Any] = {}
    for choice in choices:
        try:
            found = compute({**given, **choice})
        except SightlineError as error:  # as a kernel that is larger than its input
            found = {"error": " ".join(str(error).split())}
        answers[",".join(json.dumps(value).strip('"') for value in choice.values())] = found
    ranges = {
        name: [min(one[name] for one in choices), max(one[name] for one in choices)]
        for name in choices[0]
        if isinstance(choices[0][name], int) and not isinstance(choices[0][name], bool)
    }
    return {"answers": answers, "ranges": ranges}


def _inlined(name: str) -> str:
    """A module without its imports and exports: all stand in one scope."""
    text = _read(name)
    text = re.sub(r"^import .*;\n", "", text, flags=re.MULTILINE)
    return re.sub(r"^export ", "", text, flags=re.MULTILINE)


def _read(name: str) -> str:
    return resources.files(__package__).joinpath("static", name).read_text("utf-8")
