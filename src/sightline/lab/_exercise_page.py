"""The sheet that marks itself, and its key: one HTML file each, which needs nothing else.

The sheet holds a hash of every answer and every sum in a light disguise. This hides them from a glance; it
does not protect them: whoever reads the page's program, or has Sightline, can find them.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from importlib import resources
from itertools import cycle
from pathlib import Path
from typing import Any

import jinja2

from sightline.base import ArgumentError, write_text
from sightline.lab._exercise import ALL, RULES, TOPICS, Exercise, Sheet, plain

_MARK = "sightline exercise"
"""Stands near the beginning of every file written here, so that no other file is replaced."""
_FNV_START, _FNV_PRIME, _WORD = 0x811C9DC5, 0x01000193, 0xFFFFFFFF


def write_sheet(path: Path, sheet: Sheet) -> Path:
    """Write a self-marking sheet, and its key beside it.

    Args:
        path: Ends in `.html`. A sheet is replaced, a file of another kind is not.
        sheet: From `make_exercises`.

    Returns:
        The key: `sheet-key.html` for `sheet.html`.

    Raises:
        ArgumentError: if the ending is another, or a file that is no sheet would be replaced.
        StorageError: if the disk refuses.
    """
    check_file(path, (".html",), "; for a GIFT file, add --gift")
    key = key_beside(path)
    write_text(path, sheet_page(sheet))
    write_text(key, key_page(sheet))
    return key


def key_beside(path: Path) -> Path:
    """Where the key of a sheet lies, checked.

    Raises:
        ArgumentError: if another file lies there.
    """
    key = path.with_name(f"{path.stem}-key.html")
    check_file(key, (".html",))
    return key


def check_file(path: Path, endings: tuple[str, ...], hint: str = "") -> None:
    """Refuse another ending, a folder, and a file that was not written here.

    Raises:
        ArgumentError: says which, and what to do.
    """
    if path.is_dir():
        raise ArgumentError(f"-o {path} is a folder; give a file")
    if path.suffix.lower() not in endings:
        raise ArgumentError(f"-o {path} must end in {' or '.join(endings)}{hint}")
    if path.exists():
        try:
            with path.open("rb") as file:
                start = file.read(512).decode("utf-8", "replace")
        except OSError:
            start = ""
        if _MARK not in start:
            raise ArgumentError(f"-o {path} exists and was not written by exercise; give another name")


def sheet_page(sheet: Sheet) -> str:
    """The self-marking sheet as HTML."""
    return _render(sheet, key=False)


def key_page(sheet: Sheet) -> str:
    """The key as HTML: questions, answers and sums."""
    return _render(sheet, key=True)


def digest(text: str) -> str:
    """What the page compares: FNV-1a in 32 bits, of the text and of the text read backwards.

    Example:
        >>> digest("a")
        'e40c292ce40c292c'

    Source: Fowler, Noll, Vo 1991; the page's own program has the same in JavaScript.
    """
    return "".join(f"{_fnv(way):08x}" for way in (text, text[::-1]))


def title(topic: str) -> str:
    """A topic as a heading."""
    return "All topics" if topic == ALL else topic.replace("-", " ").capitalize()


def _render(sheet: Sheet, *, key: bool) -> str:
    several = len({one.topic for one in sheet.exercises}) > 1
    groups = [
        {
            "title": title(topic),
            "rules": RULES[topic],
            "questions": [
                _question(number, exercise, key=key)
                for number, exercise in enumerate(sheet.exercises, 1)
                if exercise.topic == topic
            ],
        }
        for topic in TOPICS
    ]
    return (
        _environment()
        .get_template("sheet.html.j2")
        .render(
            sheet=sheet,
            key=key,
            mark=_MARK,
            title=title(sheet.topic),
            several=several,
            groups=[group for group in groups if group["questions"]],
        )
    )


def _question(number: int, exercise: Exercise, *, key: bool) -> dict[str, Any]:
    salt = hashlib.blake2b(exercise.id.encode(), digest_size=6).hexdigest()
    blanks = [
        {
            "label": label,
            "answer": answer if key else "",
            "hash": digest(f"{salt}/{place}/{answer}"),
            "place": place,
        }
        for place, (label, answer) in enumerate(exercise.blanks)
    ]
    columns = len(exercise.answer[0]) if isinstance(exercise.answer, tuple) else 1
    return {
        "number": number,
        "id": exercise.id,
        "kind": exercise.kind,
        "lines": exercise.text.split("\n"),
        "given": [
            {"title": grid.title, "rows": [[plain(value) for value in row] for row in grid.rows]}
            for grid in exercise.given
        ],
        "salt": salt,
        "rows": [blanks[start : start + columns] for start in range(0, len(blanks), columns)],
        "sum": exercise.sum if key else _disguised(exercise.sum, salt),
    }


def _disguised(text: str, salt: str) -> str:
    mixed = bytes(a ^ b for a, b in zip(text.encode(), cycle(salt.encode()), strict=False))
    return base64.b64encode(mixed).decode()


def _fnv(text: str) -> int:
    value = _FNV_START
    for byte in text.encode():
        value = (value ^ byte) * _FNV_PRIME & _WORD
    return value


@functools.cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FunctionLoader(
            lambda name: resources.files(__package__).joinpath(name).read_text("utf-8")
        ),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
